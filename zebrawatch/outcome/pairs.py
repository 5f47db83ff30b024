"""Patient-disease pairs: which labels count, to which class each belongs, and when each was first suspected.

OUTCOMES, "Cases". Every label gives exactly one row; what could not be used keeps its row with an `exclusion`, and
every irregularity is listed in `problems`, so nothing leaves a denominator silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pandas as pd

from zebrawatch.outcome.matching import DISEASE_ID, GENE_ID, Matcher
from zebrawatch.outcome.observation import Observed, night_value, observed, records

PREVALENT_DAYS = 30
"""A disease named or treated within 30 days of entry was known before (OUTCOMES, "Cases")."""

LABEL_COLUMNS = ("subject_id", "disease_id", "suspected", "confirmed")
PAIR_COLUMNS = (
    "subject_id", "disease_id", "label_source", "pair_class", "exclusion", "entry_night", "last_night",
    "specific_night", "general_night", "suspicion_night", "confirmed_night", "interval_days",
)  # fmt: skip
PROBLEM_COLUMNS = ("subject_id", "disease_id", "problem", "treatment")

NOT_USED = {
    "unknown patient": "row kept, left out of every figure",
    "unknown disease": "row kept, left out of every figure",
    "gene id as label": "row kept, left out of every figure",
    "group id as label": "row kept, left out of every figure",
    "no date of suspicion": "row kept, left out of every figure",
    "suspicion after the last night": "row kept, left out of every figure: the nights end before it",
    "suspicion before entry": "row kept as prevalent",
    "confirmation before any note": "row kept as prevalent",
    "two suspicion dates": "the earlier date is used",
    "confirmed before suspected": "the earlier date is used as suspicion",
    "patient merged": "moved to the surviving record",
    "label given twice": "counted once",
}


@dataclass(frozen=True)
class PairTable:
    """`rows`: one per pair (PAIR_COLUMNS). `problems`: every irregularity by name, with what was done about it."""

    rows: pd.DataFrame
    problems: pd.DataFrame

    def flow(self) -> dict[str, int]:
        """Counts for the flow diagram: labels read, left out by reason, and the four classes."""
        used = self.rows[self.rows["pair_class"].notna()]
        left_out = Counter(self.rows.loc[self.rows["pair_class"].isna(), "exclusion"])
        return {
            "pairs": len(self.rows),
            **{f"excluded: {reason}": count for reason, count in sorted(left_out.items())},
            **{name: int((used["pair_class"] == name).sum()) for name in PAIR_CLASSES},
        }


PAIR_CLASSES = ("prevalent", "not in the knowledge", "first contact", "at risk")


@dataclass
class _Notes:
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, subject: int | None, disease: str, problem: str) -> None:
        self.rows.append(
            {"subject_id": subject, "disease_id": disease, "problem": problem, "treatment": NOT_USED[problem]}
        )


@dataclass(frozen=True)
class _Label:
    subject_id: int | None
    disease_id: str
    source: str
    suspected: date | None
    confirmed: date | None


def pairs(
    *,
    people: pd.DataFrame,
    suspicions: pd.DataFrame,
    matcher: Matcher,
    first_screened_night: date,
    last_night: date,
    labels: pd.DataFrame | None = None,
    groups: frozenset[str] = frozenset(),
    gene_symbols: frozenset[str] = frozenset(),
    merged: dict[int, int] | None = None,
    count_phenotype_names: bool = False,
    prevalent_days: int = PREVALENT_DAYS,
) -> PairTable:
    """Class and dates of every pair.

    `people`: zebrawatch.outcome.observation.PEOPLE_COLUMNS. `suspicions`: schemas.SUSPICIONS. `labels`:
    LABEL_COLUMNS, one row a label (the dates may be missing); without it the pairs are the confirmed diseases of
    `suspicions`. With it, confirmed diseases that no label names are added with `label_source` `records`. `groups`
    are ids of disease groups, `gene_symbols` the known genes: both are no diseases. `merged` maps a merged record to
    the surviving one.

    A pair's suspicion is the earliest of the label's date, the first naming of the disease, and the first general
    suspicion, to which the naming of any other rare disease counts (OUTCOMES, "Headline figures use the earlier of
    the two").
    """
    notes = _Notes()
    found = _Suspicions(suspicions, matcher, count_phenotype_names)
    given = _labels(labels, merged or {}, matcher, notes)
    given += _confirmed(found, given, matcher)
    rules = _Rules(matcher, groups, gene_symbols, first_screened_night, last_night, prevalent_days)
    spans = {person.subject_id: person for person in observed(people)}
    rows = [_pair(label, spans.get(label.subject_id or 0), found, rules, notes) for label in given]
    return PairTable(
        pd.DataFrame(rows, columns=list(PAIR_COLUMNS)), pd.DataFrame(notes.rows, columns=list(PROBLEM_COLUMNS))
    )


@dataclass(frozen=True)
class _Rules:
    """What a label is judged by."""

    matcher: Matcher
    groups: frozenset[str]
    genes: frozenset[str]
    first_screened_night: date
    last_night: date
    prevalent_days: int


class _Suspicions:
    """First nights per patient, out of schemas.SUSPICIONS."""

    def __init__(self, suspicions: pd.DataFrame, matcher: Matcher, count_phenotype_names: bool) -> None:
        self._matcher = matcher
        self._named: dict[int, list[tuple[date, str]]] = {}
        self._general: dict[int, date] = {}
        self.confirmed: dict[int, list[tuple[date, str]]] = {}
        columns = ["subject_id", "disease_id", "kind", "known_night", "phenotype_name"]
        for row in records(suspicions, columns):
            night = night_value(row["known_night"])
            if night is None or (row["phenotype_name"] is True and not count_phenotype_names):
                continue
            self._take(int(row["subject_id"]), row["disease_id"], str(row["kind"]), night)

    def _take(self, subject: int, disease: Any, kind: str, night: date) -> None:
        if kind == "general" or not isinstance(disease, str):
            self._general[subject] = min(night, self._general.get(subject, night))
            return
        self._named.setdefault(subject, []).append((night, disease))
        if kind == "confirmed":
            self.confirmed.setdefault(subject, []).append((night, disease))

    def specific(self, subject: int, disease: str) -> date | None:
        return min((n for n, d in self._named.get(subject, []) if self._matcher.same(disease, d)), default=None)

    def general(self, subject: int, disease: str) -> date | None:
        others = [n for n, d in self._named.get(subject, []) if not self._matcher.same(disease, d)]
        return min([*others, *([self._general[subject]] if subject in self._general else [])], default=None)

    def confirmation(self, subject: int, disease: str) -> date | None:
        return min((n for n, d in self.confirmed.get(subject, []) if self._matcher.same(disease, d)), default=None)


def _labels(
    labels: pd.DataFrame | None, merged: dict[int, int], matcher: Matcher, notes: _Notes
) -> list[_Label]:  # fmt: skip
    """One label a patient and disease, whichever of its ids it is given by: the first one's stands."""
    if labels is None:
        return []
    kept: dict[tuple[int | None, str], _Label] = {}
    for row in records(labels, LABEL_COLUMNS):
        subject = None if pd.isna(row["subject_id"]) else int(row["subject_id"])
        disease = str(row["disease_id"]).strip()
        if subject is not None and subject in merged:
            notes.add(subject, disease, "patient merged")
            subject = merged[subject]
        if subject is not None:
            disease = next((own for of, own in kept if of == subject and matcher.same(own, disease)), disease)
        label = _Label(subject, disease, "labels", night_value(row["suspected"]), night_value(row["confirmed"]))
        before = kept.get((subject, disease)) if subject is not None else None
        if before is None:
            kept[(subject, disease) if subject is not None else (None, f"{len(kept)} {disease}")] = label
            continue
        two = before.suspected != label.suspected
        notes.add(subject, disease, "two suspicion dates" if two else "label given twice")
        kept[subject, disease] = _Label(
            subject,
            disease,
            "labels",
            _earliest(before.suspected, label.suspected),
            _earliest(before.confirmed, label.confirmed),
        )
    return list(kept.values())


def _confirmed(found: _Suspicions, given: list[_Label], matcher: Matcher) -> list[_Label]:
    """Confirmed diseases of the records that no label names, one a disease."""
    rows: list[_Label] = []
    named: dict[int, list[str]] = {}
    for label in given:
        named.setdefault(label.subject_id or 0, []).append(label.disease_id)
    for subject, hits in sorted(found.confirmed.items()):
        for night, disease in sorted(hits):
            known = named.setdefault(subject, [])
            if not any(matcher.same(one, disease) for one in known):
                known.append(disease)
                rows.append(_Label(subject, disease, "records", None, night))
    return rows


def _unusable(label: _Label, span: Observed | None, rules: _Rules) -> str | None:
    if label.subject_id is None or span is None:
        return "unknown patient"
    if GENE_ID.match(label.disease_id) or label.disease_id in rules.genes:
        return "gene id as label"
    if label.disease_id in rules.groups:
        return "group id as label"
    if not rules.matcher.knows(label.disease_id) and not DISEASE_ID.match(label.disease_id):
        return "unknown disease"
    return None


def _pair(label: _Label, span: Observed | None, found: _Suspicions, rules: _Rules, notes: _Notes) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(PAIR_COLUMNS)
    row |= {"subject_id": label.subject_id, "disease_id": label.disease_id, "label_source": label.source}
    reason = _unusable(label, span, rules)
    if reason is not None or label.subject_id is None or span is None:
        notes.add(label.subject_id, label.disease_id, reason or "unknown patient")
        return row | {"exclusion": reason}
    entry = span.entry
    specific = _earliest(found.specific(label.subject_id, label.disease_id), label.suspected)
    general = found.general(label.subject_id, label.disease_id)
    confirmed = _earliest(label.confirmed, found.confirmation(label.subject_id, label.disease_id))
    if confirmed is not None and (specific is None or confirmed < specific):
        if specific is not None:
            notes.add(label.subject_id, label.disease_id, "confirmed before suspected")
        specific = confirmed
    suspicion = _earliest(specific, general)
    row |= {
        "entry_night": entry,
        "last_night": span.last,
        "specific_night": specific,
        "general_night": general,
        "suspicion_night": suspicion,
        "confirmed_night": confirmed,
    }
    if suspicion is None or specific is None:
        notes.add(label.subject_id, label.disease_id, "no date of suspicion")
        return row | {"exclusion": "no date of suspicion"}
    if suspicion > rules.last_night:
        notes.add(label.subject_id, label.disease_id, "suspicion after the last night")
        return row | {"exclusion": "suspicion after the last night"}
    if confirmed is not None and confirmed < entry:
        notes.add(label.subject_id, label.disease_id, "confirmation before any note")
        row["exclusion"] = "confirmation before any note"
    elif suspicion < entry:
        notes.add(label.subject_id, label.disease_id, "suspicion before entry")
    row["interval_days"] = max(0, (suspicion - entry).days)
    row["pair_class"] = _class(entry, specific, suspicion, rules.matcher.knows(label.disease_id), rules)
    return row


def _class(entry: date, specific: date, suspicion: date, known: bool, rules: _Rules) -> str:
    if specific <= entry + timedelta(days=rules.prevalent_days) or specific < rules.first_screened_night:
        return "prevalent"
    if not known:
        return "not in the knowledge"
    # Somebody whose suspicion is written down on the first night there is to score has no night before it.
    return "first contact" if suspicion <= max(entry, rules.first_screened_night) else "at risk"


def disagreements(
    labels: pd.DataFrame, suspicions: pd.DataFrame, matcher: Matcher, *, count_phenotype_names: bool = False
) -> pd.DataFrame:
    """Where the label file and the records date a pair's suspicion differently, or only one of them knows the pair.

    Columns: subject_id, disease_id, label_night, records_night, days (records - label).
    """
    found = _Suspicions(suspicions, matcher, count_phenotype_names)
    given = [label for label in _labels(labels, {}, matcher, _Notes()) if label.subject_id is not None]
    rows = []
    for label in [*given, *_confirmed(found, given, matcher)]:
        subject = label.subject_id or 0
        told = _earliest(label.suspected, label.confirmed) if label.source == "labels" else None
        written = found.specific(subject, label.disease_id)
        if told != written:
            days = (written - told).days if written and told else None
            rows.append((subject, label.disease_id, told, written, days))
    return pd.DataFrame(rows, columns=["subject_id", "disease_id", "label_night", "records_night", "days"])


def _earliest(*nights: date | None) -> date | None:
    return min(_present(nights), default=None)


def _present(nights: Iterable[date | None]) -> list[date]:
    return [night for night in nights if night is not None]
