"""Asset checks: Great Expectations suites as Dagster asset checks, with Data Docs for auditors.

Suites lie in `assets/expectations/` beside this module. They see columns without text only, of a hash sample where a
table is large; results hold no values. A check that stops the night fails with severity ERROR.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.drift import WATCHED, suspend, watched
from assets.night_run import NightRun
from connectors.expectations import ExpectationStore, columns_needed, validate
from zebrawatch.schemas import TABLES

MOST_ROWS = 200_000  # pandas validates this many in about a second; DESIGN: small extracts, not the big table
CHECKED: dict[str, tuple[tuple[str, str], ...]] = {
    name: (("expectations", f"Great Expectations suite of `{name}`; its result and Data Docs hold no patient data"),)
    for name in ("patients", "notes", "events", "findings", "candidates", "suspicions", "flags", "lead_time")
}
WATCHER = "lead_time"  # the last step before publication carries the drift watch, which warns and never stops


@dataclass(frozen=True)
class CheckOutcome:
    """What a check says to Dagster."""

    name: str
    passed: bool
    severity: dg.AssetCheckSeverity
    metadata: dict[str, Any] = field(default_factory=dict)


def checks_of(step: str, run: NightRun) -> list[CheckOutcome]:
    """Run the checks of a step's table on what this run wrote."""
    found = [_expectations(step, run)] if step in CHECKED else []
    return [*found, *_drifts(run)] if step == WATCHER else found


def _drifts(run: NightRun) -> list[CheckOutcome]:
    """The drift watch; a disease it suspends is named in the metadata of the alert rate."""
    if run.replay is not None:
        return [CheckOutcome(name, True, dg.AssetCheckSeverity.WARN, {"note": "not watched in a replay"})
                for name in WATCHED]  # fmt: skip
    new = suspend(run)
    return [
        CheckOutcome(
            told.name,
            not told.drifts,
            dg.AssetCheckSeverity.WARN,
            {
                "rate": WATCHED[told.name],
                "last_weeks": "not assessed" if told.recent is None else told.recent,
                "before": "not assessed" if told.baseline is None else told.baseline,
                "z": "too little to say" if told.z is None else told.z,
                **({"suspended": ", ".join(new)} if new and told.name == "drift_alerts" else {}),
            },
        )
        for told in watched(run)
    ]


def _expectations(step: str, run: NightRun) -> CheckOutcome:
    table = TABLES[step]
    store = ExpectationStore(run.configuration.state_folder / "expectations")
    rows = run.lake.arrow(table, columns_needed(step, store), rows=_of_this_run(step, run))
    sampled = rows if rows.num_rows <= MOST_ROWS else rows.take(_evenly(rows.num_rows))
    said = validate(
        step,
        sampled.to_pandas(),
        store,
        str(run.nights) if step not in ("patients", "notes", "events", "findings") else run.label,
    )
    return CheckOutcome(
        "expectations",
        said.success,
        dg.AssetCheckSeverity.ERROR if said.stops_the_night else dg.AssetCheckSeverity.WARN,
        {
            "rows": rows.num_rows,
            "checked": sampled.num_rows,
            "failed": ", ".join(said.failed) or "none",
            "data_docs": dg.MetadataValue.path(str(said.docs)),
        },
    )


def _of_this_run(step: str, run: NightRun) -> Any:
    partition = TABLES[step].partition
    if partition == "night_range":
        return pc.field("night_range") == str(run.nights)
    if partition == "pull":
        return pc.field("pull").isin(pa.array([pull.name for pull in run.new_pulls()], pa.string()))
    return None


def _evenly(rows: int) -> list[int]:
    return [index * rows // MOST_ROWS for index in range(MOST_ROWS)]
