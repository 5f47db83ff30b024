"""Reading the tab-separated word lists that stand beside this module."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files


def rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of a list as dictionaries by its header line; lines that begin with # are remarks.

    ValueError where a row has another number of columns than the header.
    """
    header: list[str] | None = None
    for number, line in enumerate(raw(name).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if header is None:
            header = cells
            continue
        if len(cells) != len(header):
            raise ValueError(f"{name}, line {number}: {len(cells)} columns where the header has {len(header)}")
        yield dict(zip(header, cells, strict=True))


def raw(name: str) -> str:
    """The whole list as text (also what versions are made from)."""
    return files("zebrawatch.evidence").joinpath(name).read_text(encoding="utf-8")
