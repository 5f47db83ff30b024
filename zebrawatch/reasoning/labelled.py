"""Labelled pairs of a replay in which both arms read: what a fusion is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from zebrawatch.reasoning.fusion import LabelledPair, Listed, supported_ranks
from zebrawatch.reasoning.rows import judged_of

PAIR_COLUMNS = ("subject_id", "disease_id", "suspicion_night", "exclusion")
LIST_COLUMNS = ("subject_id", "night", "rank", "disease_id", "disease_name", "posterior", "log10_lr")
Same = Callable[[str, str], bool]
"""Whether two ids mean the same disease (zebrawatch.outcome.matching, the tier `exact`)."""


class Reading(NamedTuple):
    """A chart that a model read: `judged` as `llm_responses` holds it."""

    subject_id: int
    night: date
    judged: str


def labelled_pairs(
    pairs: Iterable[Mapping[str, Any]],
    readings: Iterable[Reading],
    candidates: Iterable[Mapping[str, Any]],
    same: Same,
) -> list[LabelledPair]:
    """One pair a patient whose chart was read while nobody suspected anything: the last such reading.

    `pairs` have PAIR_COLUMNS (rows of LEAD_TIME), `candidates` LIST_COLUMNS. Patients with a usable label have its
    disease, those of whom no diagnosis is recorded have none, and those with an unusable label are left out: whether
    they are diseased is not known.
    """
    known: dict[int, list[Mapping[str, Any]]] = {}
    for row in pairs:
        known.setdefault(row["subject_id"], []).append(row)
    lists: dict[int, dict[date, list[Mapping[str, Any]]]] = {}
    for row in candidates:
        lists.setdefault(row["subject_id"], {}).setdefault(row["night"], []).append(row)
    found: dict[int, LabelledPair] = {}
    for reading in sorted(readings):
        own = known.get(reading.subject_id, [])
        if any(row["exclusion"] for row in own) or not _unsuspected(own, reading.night):
            continue
        listed = _standing(lists.get(reading.subject_id, {}), reading.night)
        told = supported_ranks(judged_of(reading.judged))
        disease = _as_listed(own, listed, same)
        found[reading.subject_id] = LabelledPair(reading.subject_id, reading.night, tuple(listed), told, disease)
    return list(found.values())


def _unsuspected(own: Sequence[Mapping[str, Any]], night: date) -> bool:
    suspected = [row["suspicion_night"] for row in own if row["suspicion_night"] is not None]
    return len(suspected) == len(own) and all(night < one for one in suspected)


def _standing(lists: Mapping[date, Sequence[Mapping[str, Any]]], night: date) -> list[Listed]:
    """The list of the last score up to a night: a chart that waited for its place is read after its score."""
    last = max((one for one in lists if one <= night), default=None)
    rows = [row for row in lists[last] if row["rank"] > 0] if last is not None else []
    return [
        Listed(row["disease_id"], row["disease_name"], row["posterior"], row["log10_lr"])
        for row in sorted(rows, key=lambda row: row["rank"])
    ]


def _as_listed(own: Sequence[Mapping[str, Any]], listed: Sequence[Listed], same: Same) -> str | None:
    """The patient's disease by the id it is listed under, else by its label; None for nobody's."""
    for row in own:
        for entry in listed:
            if same(row["disease_id"], entry.disease_id):
                return entry.disease_id
    return str(own[0]["disease_id"]) if own else None
