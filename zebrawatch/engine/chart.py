"""One patient's chart as it stood on a night: which findings count, and on which nights that changed. Pure Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from zebrawatch.evidence.labs import days_apart, takes_two
from zebrawatch.evidence.ranking import Evidence, Person
from zebrawatch.nights import Landmarks, landmark_of

WEIGHED = {"present": "present", "historical": "present", "negated": "negated"}
"""Assertions that are evidence, and as what; uncertain and hypothetical mentions are shown but not weighed."""


AWAITING = "uncertain"
"""Assertion of an abnormal value that a second one has to confirm; it is kept, and not weighed."""

NEVER = date(9999, 12, 31)


class Finding(NamedTuple):
    """A finding in a source: from `known_night` on, until its source is corrected or deleted on `removed_night`.

    Of a copied sentence `known_night` is that of its first appearance; it is part of the chart from `source_night`, on
    which the source itself was known. `masked_for` are the diseases its document names: it does not count for them.
    Of what came with a merged record `known_night` is the merge at the earliest, `written_night` when that record had
    it.
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
    source_night: date
    removed_night: date | None
    masked_for: frozenset[str] = frozenset()
    written_night: date | None = None

    @property
    def first_night(self) -> date:
        """The first night whose chart it is part of."""
        return max(self.known_night, self.source_night)

    def stands(self, night: date) -> bool:
        """Whether the finding is part of the chart of `night`."""
        return self.first_night <= night and (self.removed_night is None or night < self.removed_night)


def while_confirmed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; those of commonly transient values only over the nights on which another value stands, too.

    A value that a second one confirmed falls with it: where the second is withdrawn or corrected, the first is again a
    single one, from that night on. What was known before that night stays as it was.
    """
    listed = list(findings)
    values: dict[str, list[Finding]] = {}
    for finding in listed:
        if finding.origin == "lab" and finding.assertion in ("present", AWAITING) and takes_two(finding.hpo_id):
            values.setdefault(finding.hpo_id, []).append(finding)
    for finding in listed:
        if finding.assertion == "present" and finding.origin == "lab" and finding.hpo_id in values:
            yield from _stretches(finding, values[finding.hpo_id])
        else:
            yield finding


def _stretches(finding: Finding, values: Sequence[Finding]) -> Iterator[Finding]:
    """A finding cut to the unbroken stretches of nights on which one of the other values stands beside it."""
    beside = sorted(
        (max(finding.first_night, other.first_night), min(finding.removed_night or NEVER, other.removed_night or NEVER))
        for other in values
        if other.source_id != finding.source_id and days_apart(finding.event_time, other.event_time)
    )
    first = last = None
    for begin, end in beside:
        if begin >= end:
            continue
        if first is not None and last is not None and begin <= last:
            last = max(last, end)
            continue
        if first is not None and last is not None:
            yield _cut(finding, first, last)
        first, last = begin, end
    if first is not None and last is not None:
        yield _cut(finding, first, last)


def _cut(finding: Finding, first: date, last: date) -> Finding:
    """The finding from `first` up to, not including, `last`."""
    source_night = first if first > finding.first_night else finding.source_night
    return finding._replace(source_night=source_night, removed_night=None if last == NEVER else last)


class Demographics(NamedTuple):
    """A version of a patient's demographics, from `known_night` on."""

    known_night: date
    sex: str | None
    birth_date: date | None
    restricted: bool
    merged_into: int | None
    deleted: bool


class Stretch(NamedTuple):
    """The nights of a finding, worked out once: a chart is asked about every finding on every night."""

    first: date
    """The first night whose chart it is part of."""
    end: date
    """The first whose chart it is no longer part of."""
    written: date
    """When this record, or one merged into it since, first had it."""
    hpo_id: str
    weighed: str
    """present or negated."""
    finding: Finding

    @classmethod
    def of(cls, finding: Finding) -> Stretch:
        """The stretch of a finding that is weighed."""
        written = max(finding.written_night or finding.known_night, finding.source_night)
        end = finding.removed_night or NEVER
        return cls(finding.first_night, end, written, finding.hpo_id, WEIGHED[finding.assertion], finding)


class Turn(NamedTuple):
    """A night on which the weighed evidence changed; `removed` where it only lost what it had."""

    night: date
    removed: bool


class Chart:
    """All that is known of one patient, to be asked night by night."""

    def __init__(self, findings: Iterable[Finding], demographics: Sequence[Demographics]) -> None:
        self.findings = sorted(
            (f for f in while_confirmed(findings) if f.experiencer == "patient" and f.assertion in WEIGHED),
            key=lambda f: (
                f.known_night,
                f.event_time is not None,
                f.event_time,
                f.source_id,
                f.start or 0,
                f.hpo_id,
                f.assertion,
                f.end or 0,
                f.quote or "",
            ),
        )
        self.stretches = [Stretch.of(finding) for finding in self.findings]
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
        that holds the term names it. `in_background` marks terms that this patient gave to the month's background;
        what came with a merge within the month was counted for the other record: that is this patient while the merge
        holds.
        """
        groups: dict[tuple[str, str], list[Finding]] = {}
        counted: set[str] = set()
        for first, end, written, hpo_id, weighed, finding in self.stretches:
            stands = first <= night < end
            if stands:
                groups.setdefault((hpo_id, weighed), []).append(finding)
            given = first < month_start or (stands and written < month_start)
            if given and end >= month_start and weighed == "present":
                counted.add(hpo_id)
        return [
            _evidence(assertion, group, in_background=assertion == "present" and hpo_id in counted)
            for (hpo_id, assertion), group in groups.items()
            if assertion == "present" or (hpo_id, "present") not in groups
        ]

    def turns(self, first_screened: date, through: date, landmarks: Landmarks = "note") -> list[Turn]:
        """The nights, from the first screened one on, on which the weighed evidence changed.

        `landmarks` `monthly` looks at the last night of each month only. One sweep over the nights: only terms that
        something happened to are looked at again.
        """
        happened: dict[date, set[str]] = {}
        by_term: dict[str, list[Stretch]] = {}
        for stretch in self.stretches:
            by_term.setdefault(stretch.hpo_id, []).append(stretch)
            for night in (stretch.first, stretch.finding.removed_night):
                if night is not None:
                    seen = landmark_of(max(night, first_screened), landmarks)
                    happened.setdefault(seen, set()).add(stretch.hpo_id)
        for version in self.demographics:
            happened.setdefault(landmark_of(max(version.known_night, first_screened), landmarks), set())
        turns: list[Turn] = []
        weighed: dict[str, Weighed] = {}
        was_barred = False
        for night in sorted(night for night in happened if night <= through):
            had_any = bool(weighed)
            added, removed = _update(weighed, happened[night], by_term, night)
            barred = self.barred(night)
            if barred != was_barred:
                changed, lost = (had_any if barred else bool(weighed)), barred
            else:
                changed, lost = (added or removed) and not barred, removed and not added
            if changed:
                turns.append(Turn(night, lost))
            was_barred = barred
        return turns


Weighed = tuple[str, frozenset[str]]
"""How a term is weighed: its assertion, and the diseases it is masked for."""


def _update(
    weighed: dict[str, Weighed], terms: Iterable[str], by_term: dict[str, list[Stretch]], night: date
) -> tuple[bool, bool]:
    """Bring the terms up to `night`; whether any was added or changed, and whether any was removed."""
    added = removed = False
    for term in terms:
        before, now = weighed.get(term), _weighed([each for each in by_term[term] if each.first <= night < each.end])
        if now is None:
            removed |= weighed.pop(term, None) is not None
        elif now != before:
            weighed[term] = now
            added = True
    return added, removed


def _weighed(standing: Sequence[Stretch]) -> Weighed | None:
    """A term once found present is not also weighed as denied; a mask holds where every document has it."""
    if not standing:
        return None
    counted = [each for each in standing if each.weighed == "present"] or standing
    masked_for = counted[0].finding.masked_for
    if masked_for:
        masked_for = frozenset.intersection(*(each.finding.masked_for for each in counted))
    return counted[0].weighed, masked_for


def _evidence(assertion: str, group: Sequence[Finding], *, in_background: bool) -> Evidence:
    """A term's evidence, quoted from its first appearance in the document that names the fewest diseases.

    What counts for a disease must not be quoted from a document that names it.
    """
    first, masked_for = group[0], group[0].masked_for
    if masked_for:
        first = min(group, key=lambda finding: len(finding.masked_for))
        masked_for = frozenset.intersection(*(finding.masked_for for finding in group))
    return Evidence(
        hpo_id=first.hpo_id,
        assertion=assertion,
        origin=first.origin,
        source_id=first.source_id,
        start=first.start,
        end=first.end,
        quote=first.quote,
        known_night=first.known_night,
        event_time=first.event_time,
        masked_for=masked_for,
        in_background=in_background,
    )
