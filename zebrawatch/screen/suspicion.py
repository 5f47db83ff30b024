"""First suspicions: when a disease, or the thought of a rare one, was first written down about a patient.

OUTCOMES, "Naming and suspicion". Pure functions on rows of schemas.NAMINGS of one patient; the engine wraps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

Row = Mapping[str, Any]

SPECIFIC, GENERAL, CONFIRMED = "specific", "general", "confirmed"
_CONDITION = "Condition/"
_DIAGNOSES = ("code", "name", "synonym")


class Suspicion(NamedTuple):
    """The columns of schemas.SUSPICIONS, without `night_range`."""

    subject_id: int
    disease_id: str | None
    kind: str
    evidence_class: str
    phenotype_name: bool
    source_id: str
    quote: str
    event_time: datetime | None
    known_night: date


def first_suspicions(namings: Iterable[Row], *, through: date | None = None) -> list[Suspicion]:
    """The first row per patient, disease and kind, in order of patient, disease and kind.

    `namings`: rows of schemas.NAMINGS (mappings); rows known after `through` are left out. `specific` is the first
    hit of the disease about the patient in any assertion, `general` the first thought of a rare disease that names
    none, `confirmed` the first hit of kind confirmed, or the second date on which Conditions name the disease. Family
    history alone gives nothing. A name that is also an HPO label counts only when coded or given as a diagnosis; for
    the other way of counting see `suspicions_with_phenotype_names`.
    """
    return _first(namings, through, phenotype_names=False)


def suspicions_with_phenotype_names(namings: Iterable[Row], *, through: date | None = None) -> list[Suspicion]:
    """As `first_suspicions`, with names that are also HPO labels counted wherever they stand (the other way of
    OUTCOMES).
    """
    return _first(namings, through, phenotype_names=True)


def first_night_of_any(suspicions: Iterable[Suspicion], subject_id: int) -> date | None:
    """The earliest suspicion of any kind of one patient: from then on they cannot be alerted (OUTCOMES, headline)."""
    return min((one.known_night for one in suspicions if one.subject_id == subject_id), default=None)


def first_nights(suspicions: Iterable[Suspicion]) -> dict[int, date]:
    """The earliest suspicion of any kind by patient."""
    found: dict[int, date] = {}
    for one in suspicions:
        found[one.subject_id] = min(one.known_night, found.get(one.subject_id, one.known_night))
    return found


def _first(namings: Iterable[Row], through: date | None, *, phenotype_names: bool) -> list[Suspicion]:
    rows = [
        row
        for row in namings
        if row["kind"] != "family"
        and (through is None or row["known_night"] <= through)
        and (phenotype_names or not row["phenotype_name"])
    ]
    found: dict[tuple[int, str | None, str], Suspicion] = {}
    for row in sorted(rows, key=_order):
        disease = row["disease_id"] if isinstance(row["disease_id"], str) else None
        kinds = [GENERAL] if disease is None else [SPECIFIC]
        kinds += [CONFIRMED] if row["kind"] == CONFIRMED and disease is not None else []
        for kind in kinds:
            found.setdefault((row["subject_id"], disease, kind), _suspicion(row, disease, kind))
    for (subject, disease), row in _coded_twice(rows).items():
        place = (subject, disease, CONFIRMED)
        if place not in found or row["known_night"] < found[place].known_night:
            found[place] = _suspicion(row, disease, CONFIRMED)
    return sorted(found.values(), key=lambda one: (one.subject_id, one.disease_id or "", one.kind))


def _coded_twice(rows: Iterable[Row]) -> dict[tuple[int, str], Row]:
    """By patient and disease: the row by which a second date of coding became known."""
    dates: dict[tuple[int, str], set[date]] = {}
    second: dict[tuple[int, str], Row] = {}
    coded = [
        row
        for row in rows
        if isinstance(row["disease_id"], str)
        and row["evidence_class"] in _DIAGNOSES
        and str(row["source_id"]).startswith(_CONDITION)
    ]
    for row in sorted(coded, key=_order):
        place = (row["subject_id"], row["disease_id"])
        when = _when(row)
        seen = dates.setdefault(place, set())
        seen.add(row["known_night"] if when is None else when.date())
        if len(seen) > 1:
            second.setdefault(place, row)
    return second


def _order(row: Row) -> tuple[Any, ...]:
    """By time and place, the longest wording of a place first; no two rows that tell differently are equal in it, or
    the order in which rows are stored would show.
    """
    when = _when(row)
    stamp = float("inf") if when is None else when.timestamp()
    return (
        row["known_night"],
        stamp,
        str(row["source_id"]),
        row["start"] if _number(row["start"]) else -1,
        -len(row["quote"] or ""),
        row["quote"] or "",
        row["evidence_class"],
        bool(row["phenotype_name"]),
    )


def _when(row: Row) -> datetime | None:
    """event_time, where there is one (a frame's NaT is a datetime that equals nothing)."""
    when = row["event_time"]
    return when if isinstance(when, datetime) and when == when else None


def _number(value: Any) -> bool:
    return value is not None and value == value


def _suspicion(row: Row, disease: str | None, kind: str) -> Suspicion:
    return Suspicion(
        row["subject_id"], disease, kind, row["evidence_class"], bool(row["phenotype_name"]), row["source_id"],
        row["quote"], _when(row), row["known_night"],
    )  # fmt: skip
