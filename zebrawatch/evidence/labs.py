"""Laboratory values and vital signs to HPO findings.

An abnormal value is one that the laboratory calls abnormal, or that lies outside the reference range sent with it: no
limits are guessed. Vital signs and growth have limits of their own where a published one can be named
(`vital_findings.tsv`); a child's height, weight and head are judged by age and sex (`growth.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from math import isfinite
from typing import NamedTuple

from zebrawatch.evidence.growth import BEYOND, MEASURES, Place, place_of
from zebrawatch.evidence.tables import rows
from zebrawatch.units import convert


class EventFields(NamedTuple):
    """What is read of a row of `events`: the columns of the same names (schemas.EVENTS)."""

    code: str
    display: str | None = None
    numeric_value: float | None = None
    text_value: str | None = None
    unit: str | None = None
    interpretation: str | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    resource_type: str = "Observation"
    status: str | None = None
    category: str | None = None
    relationship: str | None = None
    time: datetime | None = None


class EventFinding(NamedTuple):
    """A finding of one event."""

    hpo_id: str
    assertion: str
    """present / negated / uncertain"""
    quote: str
    """display and value, as a reader would say it (patient data)"""
    origin: str
    """lab / code"""
    abnormal_values: int
    """how many abnormal values on different days it takes: 2 where a single one is commonly transient"""


class _Analyte(NamedTuple):
    low: str
    high: str
    positive: str
    values: int


class _Limit(NamedTuple):
    above: bool
    limit: float
    unit: str
    from_age: float
    to_age: float
    hpo_id: str
    values: int


# http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation, and the words systems send instead of its codes.
_INTERPRETATIONS: dict[str, str] = {
    **dict.fromkeys(("H", "HH", "HU", "H>", ">", "HX", "HIGH", "CRITICAL HIGH", "↑", "↑↑"), "high"),
    **dict.fromkeys(("ABOVE HIGH NORMAL", "ABOVE NORMAL", "ABNORMAL HIGH"), "high"),
    **dict.fromkeys(("L", "LL", "LU", "L<", "<", "LX", "LOW", "CRITICAL LOW", "↓", "↓↓"), "low"),
    **dict.fromkeys(("BELOW LOW NORMAL", "BELOW NORMAL", "ABNORMAL LOW"), "low"),
    **dict.fromkeys(("N", "NORMAL"), "normal"),
    **dict.fromkeys(("POS", "POSITIVE", "DET", "RR", "WR"), "positive"),
    **dict.fromkeys(("NEG", "NEGATIVE", "ND", "NR"), "negative"),
    **dict.fromkeys(("A", "AA", "ABNORMAL"), "abnormal"),
}
_POSITIVE = re.compile(
    r"\s*(?:positive|detected|present|reactive|abnormal|trace|moderate|large|many|[1-4]\s?\+|\+{1,4})(?![\w-])",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    r"\s*(?:neg(?:ative)?|not (?:detected|present|seen)|undetected|none|absent|non[ -]?reactive|normal|nil)\b",
    re.IGNORECASE,
)

# Results that stand, by Observation.status (http://hl7.org/fhir/observation-status).
_NO_RESULT = frozenset(("entered-in-error", "cancelled", "registered"))


def findings_of_event(event: EventFields, birth_date: date | None = None, sex: str | None = None) -> list[EventFinding]:
    """HPO findings of one laboratory value or vital sign; empty where the value says nothing.

    A value within its range denies what it would have shown (`negated`). Findings with `abnormal_values` 2 count only
    once a second day confirms them: see `confirmed`. `birth_date` is asked where a limit depends on age, `sex` (FHIR's
    administrative gender) too for growth.
    """
    if event.relationship or event.status in _NO_RESULT or not event.code.startswith("LOINC//"):
        return []
    loinc = event.code[7:]
    if loinc in MEASURES:
        return _of_growth(event, place_of(loinc, event.numeric_value, event.unit, sex, _age(event.time, birth_date)))
    limits = _limits().get(loinc)
    if limits is not None:
        return _of_limits(event, limits, _age(event.time, birth_date))
    analyte = _analytes().get(loinc)
    return [] if analyte is None else _of_analyte(event, analyte)


def _of_analyte(event: EventFields, analyte: _Analyte) -> list[EventFinding]:
    direction = direction_of(event)
    quote = quoted(event)

    def found(hpo_id: str, assertion: str) -> list[EventFinding]:
        return [EventFinding(hpo_id, assertion, quote, "lab", analyte.values)] if hpo_id else []

    match direction:
        case "high":
            return found(analyte.high or analyte.positive, "present")
        case "low":
            return found(analyte.low, "present")
        case "positive":
            return found(analyte.positive, "present")
        case "abnormal":  # no direction: it tells only where one direction is possible
            return (
                found(analyte.positive or (analyte.high if not analyte.low else ""), "present")
                if event.numeric_value is None
                else []
            )
        case "negative":
            return found(analyte.positive, "negated")
        case "normal":
            denied = {hpo_id: None for hpo_id in (analyte.low, analyte.high, analyte.positive) if hpo_id}
            return [one for hpo_id in denied for one in found(hpo_id, "negated")]
    return []


def direction_of(event: EventFields) -> str | None:
    """high / low / normal / positive / negative / abnormal, by the laboratory's word, else by the reference range;
    else None.
    """
    # laboratories star what is abnormal: "H*"
    said = _INTERPRETATIONS.get((event.interpretation or "").strip(" *!()").upper())
    if said is not None and said != "abnormal":
        return said
    by_range = _by_range(event)
    if by_range is not None:
        return by_range
    if event.numeric_value is None and event.text_value:
        if _NEGATIVE.match(event.text_value):
            return "negative"
        if _POSITIVE.match(event.text_value):
            return "positive"
    return said


def _by_range(event: EventFields) -> str | None:
    value, low, high = event.numeric_value, event.reference_low, event.reference_high
    if value is None or not isfinite(value) or (low is None and high is None):
        return None
    comparator = (event.text_value or "")[:1] if event.text_value and event.text_value[0] in "<>" else ""
    if high is not None and value > high and comparator != "<":
        return "high"
    if low is not None and value < low and comparator != ">":
        return "low"
    # `<5` within a range that begins at 0 is normal; `>100` with an upper limit of 200 tells nothing.
    if comparator == ">" and (high is None or value < high):
        return None
    if comparator == "<" and low is not None and 0 < low < value:
        return None
    if comparator == ">" and high is not None and value >= high:
        return "high"
    return "normal" if high is not None and (low is not None or value <= high) else None


def _of_limits(event: EventFields, limits: Sequence[_Limit], age: float | None) -> list[EventFinding]:
    found = []
    for limit in limits:
        if (limit.from_age > 0 or limit.to_age < 200) and (age is None or not limit.from_age <= age < limit.to_age):
            continue
        value = None if event.numeric_value is None else convert(event.numeric_value, event.unit, limit.unit)
        if value is None:
            continue
        passed = value >= limit.limit if limit.above else value < limit.limit
        found.append(EventFinding(limit.hpo_id, "present" if passed else "negated", quoted(event), "lab", limit.values))
    return found


def _of_growth(event: EventFields, place: Place | None) -> list[EventFinding]:
    if place is None:
        return []
    passed = {place.low: place.deviation < -BEYOND, place.high: place.deviation > BEYOND}
    return [
        EventFinding(term, "present" if beyond else "negated", quoted(event), "lab", 1)
        for term, beyond in passed.items()
        if term
    ]


def _age(time: datetime | None, birth_date: date | None) -> float | None:
    """Age in years (of 365.25 days)."""
    return None if time is None or birth_date is None else (time.date() - birth_date).days / 365.25


def quoted(event: EventFields) -> str:
    """The event as a reader would say it: `Creatine kinase 4200 U/L (30-200, H)`."""
    value = event.text_value if event.numeric_value is None or event.text_value else f"{event.numeric_value:g}"
    low = "" if event.reference_low is None else f"{event.reference_low:g}"
    high = "" if event.reference_high is None else f"{event.reference_high:g}"
    aside = ", ".join(part for part in (f"{low}-{high}" if low or high else "", event.interpretation or "") if part)
    parts = (event.display or event.code, value or "", event.unit or "" if value else "", f"({aside})" if aside else "")
    return " ".join(part for part in parts if part)


class DatedFinding(NamedTuple):
    """A finding with the day of its value and whatever the caller wants back."""

    finding: EventFinding
    time: datetime | None
    key: object


APART = timedelta(days=7)
"""Two abnormal values this far apart are no one passing event."""


def days_apart(one: datetime | None, other: datetime | None, apart: timedelta = APART) -> bool:
    """Whether two values are of times at least `apart`; False where a time is missing."""
    return one is not None and other is not None and abs(one - other) >= apart


@cache
def takes_two(hpo_id: str) -> bool:
    """Whether a value's finding counts only with a second abnormal value (`abnormal_values` 2 in the tables)."""
    if any(one.values > 1 for one in _analytes().values() if hpo_id in (one.low, one.high, one.positive)):
        return True
    return any(one.values > 1 for of_code in _limits().values() for one in of_code if one.hpo_id == hpo_id)


def confirmed(findings: Iterable[DatedFinding], apart: timedelta = APART) -> list[DatedFinding]:
    """The findings of one patient that stand: of those that take two abnormal values, the ones after a first.

    Findings are taken in the order given (that in which they became known). One that takes a second value stands from
    the second abnormal value whose time lies at least `apart` from an earlier one; so nothing is known before it could
    be. Whether the other value still stands on a night is the chart's business (engine.chart.while_confirmed).
    """
    earlier: dict[str, list[datetime]] = {}
    standing = []
    for one in findings:
        finding, time, _ = one
        if finding.abnormal_values < 2 or finding.assertion != "present":
            standing.append(one)
            continue
        if time is None:
            continue
        before = earlier.setdefault(finding.hpo_id, [])
        if any(days_apart(time, other, apart) for other in before):
            standing.append(one)
        before.append(time)
    return standing


def course_of(times: Sequence[tuple[datetime, bool]]) -> str | None:
    """single / repeated / sustained, from (time, abnormal) of one analyte's values in one patient; None without an
    abnormal one.

    Repeated: abnormal on two days at least a week apart. Sustained: on two days at least 90 days apart with most
    values between them abnormal (the interval KDIGO 2012 asks for chronicity, doi:10.1038/kisup.2012.73).
    """
    abnormal = sorted(time for time, bad in times if bad)
    if not abnormal:
        return None
    span = abnormal[-1] - abnormal[0]
    if span < timedelta(days=7):
        return "single"
    between = [bad for time, bad in times if abnormal[0] <= time <= abnormal[-1]]
    return "sustained" if span >= timedelta(days=90) and 2 * sum(between) > len(between) else "repeated"


@cache
def _analytes() -> dict[str, _Analyte]:
    found = {}
    for row in rows("lab_findings.tsv"):
        analyte = _Analyte(row["low_id"], row["high_id"], row["positive_id"], int(row["abnormal_values"]))
        found.update(dict.fromkeys(row["loinc"].split(), analyte))
    return found


@cache
def _limits() -> dict[str, tuple[_Limit, ...]]:
    found: dict[str, tuple[_Limit, ...]] = {}
    for row in rows("vital_findings.tsv"):
        limit = _Limit(
            row["direction"] == "above",
            float(row["limit"]),
            row["unit"],
            float(row["from_age"] or 0),
            float(row["to_age"] or 200),
            row["hpo_id"],
            int(row["abnormal_values"]),
        )
        for loinc in row["loinc"].split():
            found[loinc] = (*found.get(loinc, ()), limit)
    return found
