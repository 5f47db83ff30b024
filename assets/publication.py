"""The aggregate tables of `published/`: who was screened, alerted, reviewed and confirmed, out of the lake's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from assets import reporting
from assets.night_run import NightRun
from connectors.published import write_published
from zebrawatch.nights import NightRange
from zebrawatch.outcome import burden
from zebrawatch.outcome.summary import Outcome
from zebrawatch.reports.published import UNKNOWN, NightCount, Population, age_band, publish
from zebrawatch.reports.statement import statement
from zebrawatch.schemas import CANDIDATES, EVENTS, FLAGS, PATIENTS, TABLES


def write(run: NightRun, outcome: Outcome, people: pd.DataFrame) -> Path:
    """Write the tables and the dashboard page of all nights so far; `people` are those screened (outcome.people)."""
    provenance = reporting.provenance_of(run)
    published = publish(
        population(run, outcome, people), statement(provenance), provenance.data_kind, provenance.data_to
    )
    return write_published(published, run.configuration.published_folder)


def population(run: NightRun, outcome: Outcome, people: pd.DataFrame) -> Population:
    """What is counted, a row a patient and one a night."""
    alerted = _first_shown(run)
    classes = _classes(outcome)
    pairs = _pairs(outcome)
    about, units, reviewed = _about(run), _units(run), _reviewed(run)
    rows = []
    for person in people.to_dict("records"):
        subject = int(person["subject_id"])
        found, cases = classes.get(subject, frozenset()), pairs.get(subject, [])
        told = about.get(subject, {})
        rows.append(
            {
                "subject_id": subject,
                "sex": told.get("sex") or UNKNOWN,
                "age_band": age_band(told.get("birth_date"), run.nights.last),
                "race": told.get("race") or UNKNOWN,
                "ethnicity": told.get("ethnicity") or UNKNOWN,
                "language": told.get("language") or UNKNOWN,
                "payer": told.get("payer") or UNKNOWN,
                "unit": units.get(subject, UNKNOWN),
                "screened": True,
                "alerted": subject in alerted,
                "reviewed": None if reviewed is None else subject in reviewed and subject in alerted,
                "confirmed": subject in alerted and bool(found & {burden.EARLY, burden.AFTER, burden.KNOWN}),
                "false_alerted": subject in alerted and bool(found) and found <= set(burden.FALSE),
                "cases": bool(cases),
                "prioritised": any(pair["prioritised"] for pair in cases),
                "disease": alerted.get(subject),
                "lead_days": max((pair["lead_days"] or 0 for pair in cases), default=None),
            }
        )
    columns = ["subject_id", *PERSON_COLUMNS]
    return Population(pd.DataFrame(rows, columns=columns), _nights(run), _names(run, set(alerted.values())))


PERSON_COLUMNS = (
    "sex", "age_band", "race", "ethnicity", "language", "payer", "unit", "screened", "alerted", "reviewed", "confirmed",
    "false_alerted", "cases", "prioritised", "disease", "lead_days",
)  # fmt: skip


def _first_shown(run: NightRun) -> dict[int, str]:
    """The disease first shown with each patient's first alert."""
    wanted = (pc.field("action") == "raise") & (pc.field("night") <= pc.scalar(run.nights.last))
    rows = run.lake.arrow(FLAGS, ["subject_id", "night", "shown"], rows=wanted).to_pylist()
    first: dict[int, str] = {}
    for row in sorted(rows, key=lambda row: row["night"]):
        first.setdefault(row["subject_id"], row["shown"][0]["disease_id"] if row["shown"] else "none")
    return first


def _classes(outcome: Outcome) -> dict[int, frozenset[str]]:
    """The classes of each patient's episodes (OUTCOMES, "Burden")."""
    found: dict[int, set[str]] = {}
    for one in outcome.classified:
        found.setdefault(one.episode.subject_id, set()).add(one.episode_class)
    return {subject: frozenset(names) for subject, names in found.items()}


def _pairs(outcome: Outcome) -> dict[int, list[dict[str, Any]]]:
    at_risk = outcome.headline[outcome.headline["pair_class"] == "at risk"]
    found: dict[int, list[dict[str, Any]]] = {}
    for row in at_risk.to_dict("records"):
        found.setdefault(int(row["subject_id"]), []).append({str(name): value for name, value in row.items()})
    return found


def _about(run: NightRun) -> Mapping[int, Mapping[str, Any]]:
    """The last known version of every patient's demographics."""
    columns = ["subject_id", "sex", "birth_date", "race", "ethnicity", "language", "payer", "known_night", "version"]
    rows = run.lake.arrow(PATIENTS, columns, rows=pc.field("known_night") <= pc.scalar(run.nights.last)).to_pylist()
    return {row["subject_id"]: row for row in sorted(rows, key=lambda row: (row["known_night"], row["version"]))}


def _units(run: NightRun) -> dict[int, str]:
    """The unit of each patient's last encounter: its service as sent, else its class."""
    wanted = (pc.field("resource_type") == "Encounter") & (pc.field("known_night") <= pc.scalar(run.nights.last))
    columns = ["subject_id", "event_time", "code", "display", "category", "deleted"]
    rows = run.lake.arrow(EVENTS, columns, rows=wanted).to_pylist()
    units: dict[int, str] = {}
    told = [row for row in rows if row["event_time"] is not None and row["category"] != "reason" and not row["deleted"]]
    for row in sorted(told, key=lambda row: (row["event_time"], row["code"] == "TEXT", row["display"] or "")):
        service = row["display"] if row["code"] == "TEXT" else None
        units[row["subject_id"]] = (service or row["category"] or UNKNOWN).strip().capitalize()
    return units


def _reviewed(run: NightRun) -> frozenset[int] | None:
    """Patients on whom a reviewer gave a final verdict, by the lake's snapshot; None where there is none."""
    table = TABLES.get("verdicts")
    if table is None or not run.lake.exists(table):
        return None
    rows = run.lake.arrow(table, ["subject_id", "stage"]).to_pylist()
    return frozenset(row["subject_id"] for row in rows if row["stage"] == "final")


def _names(run: NightRun, ids: set[str]) -> dict[str, str]:
    found = {one: run.knowledge.index_of(one) for one in ids}
    return {one: run.knowledge.diseases[index].name for one, index in found.items() if index is not None}


def _nights(run: NightRun) -> tuple[NightCount, ...]:
    until = pc.field("night") <= pc.scalar(run.nights.last)
    scores = run.lake.arrow(CANDIDATES, ["subject_id", "night"], rows=until).group_by(["subject_id", "night"])
    scored = Counter(scores.aggregate([])["night"].to_pylist())
    rows = run.lake.arrow(FLAGS, ["night", "action"], rows=until).to_pylist()
    raised = Counter(row["night"] for row in rows if row["action"] == "raise")
    every = NightRange(run.first_screened, run.nights.last)
    return tuple(NightCount(night, scored[night], raised[night]) for night in every)
