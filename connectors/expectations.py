"""The door to Great Expectations: suites kept as data, run on extracts, Data Docs for auditors.

The suites are JSON (`assets/expectations/<table>.json`, in Great Expectations' own form); each expectation's meta says
whether it stops the night. Only the columns a suite names are handed over, and only true or false comes back: no value,
no example, no message of an exception is kept, because those may hold patient data. Great Expectations' pages load
style sheets, scripts and a counting image from the network; what is written here has them taken out.
"""

from __future__ import annotations

import html
import json
import os
import re
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from zebrawatch.errors import ZebrawatchError

# Read by Great Expectations when it is imported.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

SUITES = Path(__file__).resolve().parent.parent / "assets" / "expectations"
# Columns that hold what was written or who it is about: no suite may name them (see zebrawatch.schemas).
TEXT_COLUMNS = frozenset(
    (
        *("text", "text_value", "quote", "sentence", "line", "detail", "display"),
        *("body", "content", "reasoning", "judged"),
    )
)


class ExpectationError(ZebrawatchError):
    """A suite cannot be read or run."""


@dataclass(frozen=True)
class ExpectationStore:
    """Where results and Data Docs are written, and where the suites lie."""

    folder: Path
    suites: Path = SUITES

    @property
    def docs(self) -> Path:
        """The first page of the Data Docs."""
        return self.folder.resolve() / "data_docs" / "index.html"


@dataclass(frozen=True)
class SuiteOutcome:
    """What a suite said. `failed` and `stopping` name expectations and columns, such as `not_be_null(known_night)`.

    `success`: all held. `stops_the_night`: one that must hold did not. `statistics`: rows, evaluated, successful,
    unsuccessful, success_percent. `docs`: the page of this result.
    """

    success: bool
    stops_the_night: bool
    failed: tuple[str, ...]
    stopping: tuple[str, ...]
    statistics: Mapping[str, float]
    docs: Path


def tables_with_suites(store: ExpectationStore) -> tuple[str, ...]:
    """Names of the tables that have a suite, in alphabetical order."""
    return tuple(sorted(path.stem for path in store.suites.glob("*.json")))


def columns_needed(table: str, store: ExpectationStore) -> tuple[str, ...]:
    """The columns that the suite of `table` reads: all that an extract has to hold."""
    return _columns(_suite(store.suites, table)["expectations"])


def validate(table: str, frame: pd.DataFrame, store: ExpectationStore, night: str) -> SuiteOutcome:
    """Run the suite of `table` on an extract and add its result to the Data Docs.

    `frame` needs the columns of columns_needed(); others are not looked at. `night` names the run, such as `2025-06-01`
    or `2025-06-01..2025-06-30`. An empty extract passes. ExpectationError where there is no suite for the table, or it
    cannot be read.
    """
    described = _suite(store.suites, table)
    if not re.fullmatch(r"[0-9A-Za-z.\-]{1,64}", night):
        raise ExpectationError("the name of a validated night may hold only digits, letters, dots and hyphens.")
    extract = _extract(frame, _columns(described["expectations"]))
    with _LOCK:
        context = _current(_context(str(store.folder.resolve())))
        result = _run(context, table, described, extract)
        _scrub(result)
        docs = _publish(context, store, table, night, result)
        outcome = _outcome(result, len(frame), docs)
        _index(store, table, night, outcome)
    return outcome


# -- suites --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _suite(folder: Path, table: str) -> dict[str, Any]:
    path = folder / f"{table}.json"
    try:
        suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        columns = _columns(suite["expectations"])
        marked = all(isinstance(e["meta"]["stops_the_night"], bool) for e in suite["expectations"])
    except FileNotFoundError:
        raise ExpectationError(f"there is no expectation suite for the table '{table}' in {folder}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ExpectationError(f"the expectation suite {path.name} cannot be read: {error}.") from None
    if not marked:
        raise ExpectationError(f"an expectation of {path.name} does not say in its meta whether it stops the night.")
    if held := sorted(TEXT_COLUMNS & set(columns)):
        raise ExpectationError(f"the suite {path.name} names {held[0]}, which may hold patient data.")
    return suite


def _columns(expectations: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    named: dict[str, None] = {}
    for expectation in expectations:
        kwargs = expectation["kwargs"]
        for key in ("column", "column_A", "column_B"):
            if key in kwargs:
                named[kwargs[key]] = None
        named |= dict.fromkeys(kwargs.get("column_list", ()))
    return tuple(named)


def _extract(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The named columns that are there, dates as timestamps so that they compare."""
    extract = frame.loc[:, [column for column in columns if column in frame.columns]].copy()
    for column in extract.columns:
        if extract[column].dtype == object and column.endswith(("_night", "night", "_date", "_at", "_time")):
            extract[column] = _instants(extract[column], utc=column.endswith(("_at", "_time")))
    return extract


def _instants(values: pd.Series[Any], *, utc: bool) -> pd.Series[Any]:
    """Dates as timestamps; what is no date becomes null, which the suite then sees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pd.to_datetime(values, errors="coerce", utc=utc)


# -- Great Expectations --------------------------------------------------------------------------------------------

_LOCK = threading.Lock()  # a context is no place for two threads at once


@lru_cache(maxsize=4)
def _context(folder: str) -> Any:
    """A context whose suites, results and pages lie under `folder`; made once a process, for it takes seconds."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig

    Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    config = DataContextConfig(
        stores={
            "expectations": _store("ExpectationsStore", folder, "suites"),
            "results": _store("ValidationResultsStore", folder, "results"),
            "validation_definition_store": _store("ValidationDefinitionStore", folder, "definitions"),
            "checkpoint_store": _store("CheckpointStore", folder, "checkpoints"),
        },
        expectations_store_name="expectations",
        validation_results_store_name="results",
        checkpoint_store_name="checkpoint_store",
        data_docs_sites={"docs": _site(folder)},
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    context = gx.get_context(project_config=config, mode="ephemeral")
    context.data_sources.add_pandas("extracts")
    return context


def _current(context: Any) -> Any:
    """Great Expectations keeps one context a process in mind: make it this one."""
    from great_expectations.data_context.data_context.context_factory import set_context

    set_context(context)
    return context


def _store(kind: str, folder: str, name: str) -> dict[str, Any]:
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": f"{folder}/{name}"}
    return {"class_name": kind, "store_backend": backend}


def _site(folder: str) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": f"{folder}/data_docs"},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def _run(context: Any, table: str, described: Mapping[str, Any], extract: pd.DataFrame) -> Any:
    from great_expectations import ExpectationSuite
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    try:
        suite = context.suites.add_or_update(
            ExpectationSuite(name=table, expectations=described["expectations"], meta=described["meta"])
        )
        result = _batch(context, table, extract).validate(suite, result_format="BOOLEAN_ONLY")
    except GreatExpectationsError as error:
        raise ExpectationError(f"the expectation suite of '{table}' cannot be run: {type(error).__name__}.") from None
    return result


def _batch(context: Any, table: str, extract: pd.DataFrame) -> Any:
    source = context.data_sources.get("extracts")
    if table not in source.get_asset_names():
        source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("extract")
    definition = source.get_asset(table).get_batch_definition("extract")
    return definition.get_batch({"dataframe": extract})


def _scrub(result: Any) -> None:
    """Take out everything but true and false: the text of an exception may quote a value."""
    for item in result.results:
        item.result = {}
        raised = any(isinstance(told, dict) for told in item.exception_info.values()) or bool(
            item.exception_info.get("raised_exception")
        )
        message = "not evaluated: a column is missing or of another type" if raised else ""
        item.exception_info = {"raised_exception": raised, "exception_message": message, "exception_traceback": ""}


def _run_time(night: str) -> datetime:
    """The time in a result's address: midnight of the first night named, since GX would guess one from the name."""
    try:
        return datetime.combine(date.fromisoformat(night[:10]), datetime.min.time(), UTC)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)


def _publish(context: Any, store: ExpectationStore, table: str, night: str, result: Any) -> Path:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    identifier = ValidationResultIdentifier(
        ExpectationSuiteIdentifier(table), RunIdentifier(night, _run_time(night)), table
    )
    context.validation_results_store.set(identifier, result)
    context.build_data_docs(resource_identifiers=[identifier], build_index=False)
    pages = sorted((store.folder / "data_docs" / "validations" / table / night).rglob("*.html"))
    if not pages:
        raise ExpectationError(f"the Data Docs page of '{table}' could not be written under {store.folder}.")
    _cut_from_the_network(pages[-1])
    return pages[-1].resolve()


_OUTSIDE = re.compile(
    r"<link\b[^>]*href=\"(?:https?:)?//[^>]*>"
    r"|<script\b[^>]*src=\"(?:https?:)?//[^>]*>\s*</script>"
    r"|<img\b[^>]*src=\"(?:https?:)?//[^>]*>"
    r"|background:\s*url\('https?://[^;]*;",
    re.IGNORECASE,
)

# Stands in for the style sheets that were on the network; the policy keeps a browser from asking for anything else.
_STYLE = """<meta http-equiv="Content-Security-Policy"
 content="default-src 'self' 'unsafe-inline' data: file:; connect-src 'none'">
<style>
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:70rem;padding:0 1rem}
body{color:#1d2733;background:#fff}
table{border-collapse:collapse;margin:.4rem 0}
td,th{padding:.25rem .7rem;border-bottom:1px solid #d9dfe6;text-align:left;vertical-align:top}
footer,nav,form,button,input,.modal{display:none}a{color:#0b5cad}
.fa-check-circle::before{content:"holds";color:#17703c}.fa-times::before{content:"FAILS";color:#b3261e;font-weight:700}
.fa-exclamation-triangle::before{content:"not evaluated";color:#b3261e;font-weight:700}
@media (prefers-color-scheme:dark){
body{color:#dfe6ee;background:#14191f}td,th{border-color:#333d48}a{color:#7db8f5}
.fa-check-circle::before{color:#6fce95}.fa-times::before,.fa-exclamation-triangle::before{color:#ff8a80}}
</style></head>"""


def _cut_from_the_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if _STYLE not in text:
        page.write_text(_OUTSIDE.sub("", text).replace("</head>", _STYLE, 1), encoding="utf-8")


def _index(store: ExpectationStore, table: str, night: str, outcome: SuiteOutcome) -> None:
    """Add the result to `outcomes.jsonl` and write the first page anew: a row a night, newest first."""
    page = outcome.docs.relative_to(store.docs.parent).as_posix()
    line = {"night": night, "table": table, "success": outcome.success, "stops": outcome.stops_the_night, "page": page}
    with (store.folder / "outcomes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    lines = (store.folder / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    latest = {(told["night"], told["table"]): told for told in map(json.loads, lines)}
    tables = sorted({table for _, table in latest})
    nights = sorted({night for night, _ in latest}, reverse=True)
    rows = "".join(_row(night, [latest.get((night, table)) for table in tables]) for night in nights)
    head = "".join(f"<th>{html.escape(table)}</th>" for table in tables)
    store.docs.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data checks</title>{_STYLE}'
        f"<body><h1>Data checks, by night</h1><table><tr><th>night</th>{head}</tr>{rows}</table></body></html>",
        encoding="utf-8",
    )


def _row(night: str, told: Iterable[Mapping[str, Any] | None]) -> str:
    words = (("holds" if t["success"] else "STOPS" if t["stops"] else "fails", t["page"]) if t else None for t in told)
    cells = (f'<td><a href="{html.escape(w[1])}">{w[0]}</a></td>' if w else "<td></td>" for w in words)
    return f"<tr><th>{html.escape(night)}</th>{''.join(cells)}</tr>"


def _outcome(result: Any, rows: int, docs: Path) -> SuiteOutcome:
    failed = [item for item in result.results if not item.success]
    stopping = [item for item in failed if item.expectation_config.meta["stops_the_night"]]
    statistics = {
        "rows": rows,
        "evaluated": result.statistics["evaluated_expectations"],
        "successful": result.statistics["successful_expectations"],
        "unsuccessful": result.statistics["unsuccessful_expectations"],
        "success_percent": result.statistics["success_percent"] or 0.0,
    }
    names = tuple(sorted(map(_name, failed)))
    return SuiteOutcome(
        not failed, bool(stopping), names, tuple(sorted(map(_name, stopping))), statistics, docs
    )  # fmt: skip


def _name(item: Any) -> str:
    config = item.expectation_config
    kind = config.type.removeprefix("expect_").removeprefix("column_").removeprefix("values_to_")
    return f"{kind}({', '.join(_columns([{'kwargs': config.kwargs}]))})"
