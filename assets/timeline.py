"""Timeline: patients, notes and coded events, a row a version."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets import raw
from assets.night_run import NightRun
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, Table


def patients(run: NightRun) -> dict[str, Any]:
    """Patients: demographics, merges, restrictions."""
    facts = _write(run, PATIENTS, "patients")
    raw.check_usable(run)
    return facts


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
    """How rows were dated, and how late they came: nights between `available_at`'s and `known_night`."""
    rows = run.lake.arrow(table, ["available_rule", "available_grade", "single_version", "event_time", "available_at"])
    by_rule = (
        rows.group_by(["available_rule", "available_grade"])
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending")])
    )
    late = pc.divide(pc.cast(pc.subtract(rows["available_at"], rows["event_time"]), pa.int64()), 86_400_000_000)
    return {
        "by_rule": {
            f"{row['available_rule']} ({row['available_grade']})": row["count_all"] for row in by_rule.to_pylist()
        },
        "single_version": int(pc.sum(rows["single_version"]).as_py() or 0),
        "lateness_days_median": float(pc.approximate_median(late).as_py() or 0.0),
    }
