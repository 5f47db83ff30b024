"""The data dictionary in ARCHITECTURE.md, written from `zebrawatch.schemas`.

python -m zebrawatch.data_dictionary           writes it between its markers
python -m zebrawatch.data_dictionary --check   only says whether it is current (status 1 where it is not)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from zebrawatch.errors import ZebrawatchError
from zebrawatch.schemas import LAKE_SCHEMA_VERSION, TABLES, TIME_COLUMNS, Table

DOCUMENT = Path(__file__).resolve().parents[1] / "ARCHITECTURE.md"
BEGIN = "<!-- data dictionary: begin (python -m zebrawatch.data_dictionary) -->"
END = "<!-- data dictionary: end -->"

_TYPES = {
    pa.string(): "text",
    pa.bool_(): "yes or no",
    pa.int32(): "integer",
    pa.int64(): "integer (64 bits)",
    pa.float64(): "number",
    pa.date32(): "date",
    pa.binary(): "bytes",
}


class DictionaryError(ZebrawatchError):
    """The document has no place for the dictionary."""


def data_dictionary() -> str:
    """All tables of the lake as Markdown: what a row is, its key, and every column with type and meaning."""
    lines = [
        f"Schema version of the lake: {LAKE_SCHEMA_VERSION}. Instants are UTC; nights are local dates.",
        "",
        "Time columns, wherever a table has them:",
        "",
        *_columns(list(TIME_COLUMNS)),
    ]
    for table in TABLES.values():
        lines += ["", *_table(table)]
    return "\n".join(lines)


def with_dictionary(document: str) -> str:
    """The document with the dictionary between its markers replaced; DictionaryError where there are no markers."""
    head, begun, rest = document.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not begun or not ended:
        raise DictionaryError(f"The document has no markers `{BEGIN}` and `{END}`.")
    return f"{head}{BEGIN}\n\n{data_dictionary()}\n\n{END}{tail}"


def _table(table: Table) -> Iterator[str]:
    own = [field for field in table.schema if field.name not in {each.name for each in TIME_COLUMNS}]
    timed = len(own) < len(table.schema)
    yield f"### `{table.name}` ({table.layer})"
    yield f"{table.about[0].upper()}{table.about[1:]}."
    stored = f"partitioned by `{table.partition}`" if table.partition else "a snapshot that every run writes anew"
    left_out = f"; the content digest leaves out {_listed(table.clock)}" if table.clock else ""
    yield f"Key: {_listed(table.key)}; {stored}{left_out}."
    yield ""
    yield from _columns(own)
    if timed:
        yield "| *time columns* | | see above |"


def _columns(fields: list[pa.Field]) -> Iterator[str]:
    yield "| column | type | what it holds |"
    yield "|---|---|---|"
    for field in fields:
        about = (field.metadata or {}).get(b"about", b"").decode().replace("|", "\\|")
        yield f"| `{field.name}` | {_type(field.type)} | {about} |"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"({', '.join(f'`{field.name}`' for field in kind)})"
    return "instant" if pa.types.is_timestamp(kind) else _TYPES[kind]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="The data dictionary in ARCHITECTURE.md, from zebrawatch.schemas.")
    parser.add_argument("document", nargs="?", type=Path, default=DOCUMENT)
    parser.add_argument("--check", action="store_true", help="change nothing, only say whether it is current")
    given = parser.parse_args(arguments)
    try:
        before = given.document.read_text(encoding="utf-8")
        after = with_dictionary(before)
    except (ZebrawatchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if before == after:
        return 0
    if given.check:
        print(f"{given.document} is not current: run python -m zebrawatch.data_dictionary.", file=sys.stderr)
        return 1
    given.document.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
