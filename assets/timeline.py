"""Timeline: patients, notes and coded events, a row a version."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets import raw
from assets.night_run import NightRun
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, REFERRED, Table
from zebrawatch.timeline.lateness import COLUMNS, lateness, lateness_by_type
from zebrawatch.timeline.rows import referred_of_pull


def referred(run: NightRun) -> dict[str, Any]:
    """What other rows refer to: texts of Binaries, ends of encounters, codes of Medications, payers."""
    # a lake of an earlier release has no such table: then every pull is read for it once
    pulls = run.new_pulls() if run.lake.exists(REFERRED) or run.lake.taken_over else run.pulls()
    rows = 0
    for pull in pulls:
        frame = referred_of_pull(raw.decoded(run, pull), raw.clock(run, pull))
        rows += run.keep(run.lake.write(frame, REFERRED, pull.name)).rows
    return {"rows": rows}


def patients(run: NightRun) -> dict[str, Any]:
    """Patients: demographics, merges, restrictions."""
    facts = patient_rows(run)
    raw.check_usable(run)
    return facts


def patient_rows(run: NightRun) -> dict[str, Any]:
    """As `patients`, for a source that may hold no usable patient."""
    return _write(run, PATIENTS, "patients")


def notes(run: NightRun) -> dict[str, Any]:
    """Notes as plain text."""
    return _write(run, NOTES, "notes")


def events(run: NightRun) -> dict[str, Any]:
    """Coded events in MEDS columns."""
    return _write(run, EVENTS, "events")


def _write(run: NightRun, table: Table, part: str) -> dict[str, Any]:
    new = 0
    for pull in run.new_pulls():
        frame = getattr(raw.rows(run, pull), part)
        new += run.keep(run.lake.write(frame, table, pull.name)).rows
    return {"rows": new, "patients": _distinct(run.lake.arrow(table, ["subject_id"])), **_dating(run, table)}


def _distinct(column: pa.Table) -> int:
    return int(pc.count_distinct(column["subject_id"]).as_py())


def _dating(run: NightRun, table: Table) -> dict[str, Any]:
    """How rows were dated, and how many nights late those of this run's pulls came."""
    rows = run.lake.arrow(table, ["available_rule", "available_grade", "single_version"])
    by_rule = (
        rows.group_by(["available_rule", "available_grade"])
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending")])
    )
    return {
        "by_rule": {
            f"{row['available_rule']} ({row['available_grade']})": row["count_all"] for row in by_rule.to_pylist()
        },
        "single_version": int(pc.sum(rows["single_version"]).as_py() or 0),
        **(_lateness(run, table) if table is not PATIENTS else {}),
    }


def _lateness(run: NightRun, table: Table) -> dict[str, Any]:
    new = pa.array([pull.name for pull in run.new_pulls()], pa.string())
    rows = run.lake.arrow(table, COLUMNS, rows=pc.field("pull").isin(new) & ~pc.field("deleted"))
    zone = run.configuration.site.timezone
    median = lateness(rows, zone).median
    by_type = {kind: str(late) for kind, late in lateness_by_type(rows, zone).items()}
    return {"lateness_by_type": by_type, **({} if median is None else {"lateness_days_median": median})}
