"""The drift watch over nights: five rates as checks that warn, and diseases that may be suspended by policy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from zebrawatch.outcome.drift import BASELINE_NIGHTS, RECENT_NIGHTS, Drift, drift
from zebrawatch.schemas import CANDIDATES, FINDINGS, FLAGS, NOTES, SUSPICIONS, Table

if TYPE_CHECKING:
    from assets.night_run import NightRun
    from connectors.lake import Lake

WATCHED = {
    "drift_findings": "findings per note",
    "drift_alerts": "alerts raised per patient scored",
    "drift_lateness": "share of notes known more than a week after they were written",
    "drift_duplication": "share of findings copied from earlier notes",
    "drift_calibration": "confirmed diseases per unit of stated probability",
}
LATE_DAYS = 7
SUSPENDED_FILE = "suspended.json"


def watched(run: NightRun) -> list[Drift]:
    """The five rates, last weeks against the months before, over all nights up to the run's last."""
    lake, last = run.lake, run.nights.last
    notes = _rows(lake, NOTES, "known_night", last, ["event_time", "available_at"])
    findings = _rows(lake, FINDINGS, "known_night", last, ["copied_from", "origin"])
    texts = findings.filter(pc.equal(findings["origin"], "text"))
    flags = _rows(lake, FLAGS, "night", last, ["action", "backlog"])
    raised = flags.filter(pc.and_(pc.equal(flags["action"], "raise"), pc.invert(pc.fill_null(flags["backlog"], False))))
    scores = _rows(lake, CANDIDATES, "night", last, ["rank", "p_any"])
    first = scores.filter(pc.less_equal(scores["rank"], 1))
    suspicions = _rows(lake, SUSPICIONS, "known_night", last, ["kind"])
    late = pc.greater(pc.subtract(notes["available_at"], notes["event_time"]), pa.scalar(timedelta(days=LATE_DAYS)))
    counts: dict[str, tuple[Mapping[date, float], Mapping[date, float]]] = {
        "drift_findings": (_by_night(texts, "known_night"), _by_night(notes, "known_night")),
        "drift_alerts": (_by_night(raised, "night"), _by_night(first, "night")),
        "drift_lateness": (_by_night(notes.filter(pc.fill_null(late, False)), "known_night"),
                           _by_night(notes, "known_night")),
        "drift_duplication": (_by_night(texts.filter(pc.is_valid(texts["copied_from"])), "known_night"),
                              _by_night(texts, "known_night")),
        "drift_calibration": (
            _by_night(suspicions.filter(pc.equal(suspicions["kind"], "confirmed")), "known_night"),
            _sum_by_night(first),
        ),
    }  # fmt: skip
    return [drift(name, *counts[name], last) for name in WATCHED]


def drifting_diseases(lake: Lake, last: date) -> list[str]:
    """Diseases that lead new alerts far more often than they did, per alert raised."""
    rows = _rows(lake, FLAGS, "night", last, ["action", "shown"]).to_pylist()
    tops = [(row["night"], row["shown"][0]["disease_id"]) for row in rows if row["action"] == "raise" and row["shown"]]
    every = {night: float(count) for night, count in Counter(night for night, _ in tops).items()}
    found = []
    for disease in sorted({disease for _, disease in tops}):
        own = Counter(night for night, one in tops if one == disease)
        told = drift(disease, {night: float(count) for night, count in own.items()}, every, last)
        if told.drifts and (told.z or 0) > 0:
            found.append(disease)
    return found


def suspend(run: NightRun) -> list[str]:
    """Suspend drifting diseases from the next night on where the policy says so; those newly suspended."""
    if not run.configuration.policy.suspend_on_drift:
        return []
    standing = _suspensions(run.lake)
    new = [one for one in drifting_diseases(run.lake, run.nights.last) if one not in standing]
    if new:
        standing |= dict.fromkeys(new, run.nights.last.isoformat())
        (run.lake.root / SUSPENDED_FILE).write_text(json.dumps(standing, indent=1, sort_keys=True) + "\n")
    return new


def suspended(lake: Lake, first: date) -> frozenset[str]:
    """Diseases suspended on a night before `first`: they are left out before scoring. Delete a line to lift it."""
    return frozenset(one for one, since in _suspensions(lake).items() if date.fromisoformat(since) < first)


def _suspensions(lake: Lake) -> dict[str, str]:
    file = lake.root / SUSPENDED_FILE
    found: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def _rows(lake: Lake, table: Table, night: str, last: date, columns: list[str]) -> pa.Table:
    since = last - timedelta(days=RECENT_NIGHTS + BASELINE_NIGHTS)
    within = (pc.field(night) > pc.scalar(since)) & (pc.field(night) <= pc.scalar(last))
    return lake.arrow(table, [night, *columns], rows=within)


def _by_night(rows: pa.Table, night: str) -> dict[date, float]:
    return {item["values"]: float(item["counts"]) for item in pc.value_counts(rows[night]).to_pylist()}


def _sum_by_night(rows: pa.Table) -> dict[date, float]:
    grouped: list[dict[str, Any]] = rows.group_by("night").aggregate([("p_any", "sum")]).to_pylist()
    return {row["night"]: float(row["p_any_sum"]) for row in grouped}
