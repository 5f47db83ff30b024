"""One patient's chart as it stood on a night: which findings count, and on which nights that changed. Pure Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from zebrawatch.evidence.ranking import Evidence, Person

WEIGHED = {"present": "present", "historical": "present", "negated": "negated"}
"""Assertions that are evidence, and as what; uncertain and hypothetical mentions are shown but not weighed."""


@dataclass(frozen=True)
class Finding:
    """A finding in a source: from `known_night` on, until its source is corrected or deleted on `removed_night`.

    `masked_for` are the diseases its document names: it does not count for them.
    """

    source_id: str
    origin: str
    hpo_id: str
    assertion: str
    experiencer: str
    start: int | None
    end: int | None
    quote: str | None
    event_time: datetime | None
    known_night: date
    removed_night: date | None
    masked_for: frozenset[str] = frozenset()

    def stands(self, night: date) -> bool:
        """Whether the finding is part of the chart of `night`."""
        return self.known_night <= night and (self.removed_night is None or night < self.removed_night)


class Demographics(NamedTuple):
    """A version of a patient's demographics, from `known_night` on."""

    known_night: date
    sex: str | None
    birth_date: date | None
    restricted: bool
    merged_into: int | None
    deleted: bool


Key = frozenset[tuple[str, str, frozenset[str]]]


class Chart:
    """All that is known of one patient, to be asked night by night."""

    def __init__(self, findings: Iterable[Finding], demographics: Sequence[Demographics]) -> None:
        self.findings = sorted(
            (f for f in findings if f.experiencer == "patient" and f.assertion in WEIGHED),
            key=lambda f: (
                f.known_night,
                f.event_time is not None,
                f.event_time,
                f.source_id,
                f.start or 0,
                f.hpo_id,
                f.assertion,
            ),
        )
        self.demographics = sorted(demographics, key=lambda version: version.known_night)

    def person(self, night: date) -> Person:
        """Sex and birth date as known on `night` (of the first version before that, so that age is never missing)."""
        known = [version for version in self.demographics if version.known_night <= night] or self.demographics[:1]
        return Person(known[-1].sex, known[-1].birth_date) if known else Person(None, None)

    def barred(self, night: date) -> bool:
        """Whether the patient is left out before scoring: restricted, deleted, or merged into another record."""
        known = [version for version in self.demographics if version.known_night <= night]
        return bool(known) and (known[-1].restricted or known[-1].deleted or known[-1].merged_into is not None)

    def evidence(self, night: date, month_start: date) -> list[Evidence]:
        """What the ranker weighs on `night`: one Evidence a term, quoted from its first appearance.

        A term once found present is not also weighed as denied. A disease masks a term only where every document
        that holds the term names it. `in_background` marks terms that this patient gave to the month's background.
        """
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            if finding.stands(night):
                groups.setdefault((finding.hpo_id, WEIGHED[finding.assertion]), []).append(finding)
        counted = {f.hpo_id for f in self.findings if WEIGHED[f.assertion] == "present" and _before(f, month_start)}
        return [
            Evidence(
                hpo_id=hpo_id, assertion=assertion, origin=group[0].origin, source_id=group[0].source_id, start=group[0].start,
                end=group[0].end, quote=group[0].quote, known_night=group[0].known_night, event_time=group[0].event_time,
                masked_for=frozenset.intersection(*(f.masked_for for f in group)), in_background=hpo_id in counted and assertion == "present",
            )
            for (hpo_id, assertion), group in groups.items()
            if assertion == "present" or (hpo_id, "present") not in groups
        ]  # fmt: skip

    def turns(self, first_screened: date, through: date) -> list[tuple[date, Key]]:
        """The nights, from the first screened one on, on which the weighed evidence changed, with what it was then."""
        nights = {max(f.known_night, first_screened) for f in self.findings}
        nights |= {max(f.removed_night, first_screened) for f in self.findings if f.removed_night is not None}
        nights |= {max(version.known_night, first_screened) for version in self.demographics}
        turns: list[tuple[date, Key]] = []
        last: Key = frozenset()
        for night in sorted(night for night in nights if night <= through):
            key: Key = frozenset() if self.barred(night) else self._key(night)
            if key != last:
                turns.append((night, key))
                last = key
        return turns

    def _key(self, night: date) -> Key:
        return frozenset((e.hpo_id, e.assertion, e.masked_for) for e in self.evidence(night, night))


def _before(finding: Finding, night: date) -> bool:
    return finding.known_night < night and (finding.removed_night is None or finding.removed_night >= night)
