"""Times in FHIR, and when a resource could first be shown by the hospital's systems (DESIGN, "Time").

Instants are microseconds since 1970-01-01T00:00Z, so that columns are built without an object per value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from zebrawatch.nights import cut_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Years outside these are placeholders (0001-01-01, 9999-12-31) that systems write for "not known": no time at all.
FIRST_YEAR, LAST_YEAR = 1850, 2200

DEFAULT_AVAILABILITY: Mapping[str, tuple[str, ...]] = {
    "DocumentReference": ("date", "meta.lastUpdated"),
    "DiagnosticReport": ("issued", "meta.lastUpdated"),
    "Composition": ("date", "meta.lastUpdated"),
    "Observation": ("issued", "meta.lastUpdated"),
    "Condition": ("recordedDate", "meta.lastUpdated"),
    "Procedure": ("performedPeriod.end", "performedDateTime", "meta.lastUpdated"),
    "MedicationRequest": ("authoredOn", "meta.lastUpdated"),
    "ServiceRequest": ("authoredOn", "meta.lastUpdated"),
    "FamilyMemberHistory": ("date", "meta.lastUpdated"),
    "AllergyIntolerance": ("recordedDate", "meta.lastUpdated"),
    "Encounter": ("period.end", "meta.lastUpdated"),
    "Immunization": ("recorded", "meta.lastUpdated"),
    "Patient": ("meta.lastUpdated",),
    "Coverage": ("meta.lastUpdated",),
}
"""The order in which elements are asked for `available_at`, by resource type. After them comes the end of the
encounter.
"""

# What else may be named in a site's own order. Everything listed here is an element that `zebrawatch.fhir.resources`
# reads.
_EXTRA_ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "DocumentReference": ("context.period.start", "context.period.end"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod.end"),
    "Observation": ("effectiveDateTime", "effectiveInstant", "effectivePeriod.end"),
    "Condition": ("onsetDateTime", "onsetPeriod.start"),
    "Procedure": ("performedPeriod.start",),
    "AllergyIntolerance": ("onsetDateTime",),
    "Encounter": ("period.start",),
    "Immunization": ("occurrenceDateTime",),
    "Coverage": ("period.start",),
}


class Moment(NamedTuple):
    """A FHIR date, dateTime or instant: first and last microsecond it may mean, and how precise it is."""

    first: int
    last: int
    precision: str  # instant / day / month / year


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch of an instant with a time zone."""
    return (instant - EPOCH) // MICROSECOND


class Calendar(dict[str, "Moment | None"]):
    """Reads FHIR times at a site: what carries no zone is local time there, a date without a time is that local day.

    `calendar[text]` is the moment that `text` means; None where it is no FHIR date, dateTime or instant, or a
    placeholder. A dictionary, because times repeat within a resource and a pull, and nothing is looked up faster.
    """

    def __init__(self, zone: str) -> None:
        """`zone` is an IANA name; `ZoneInfoNotFoundError` or ValueError where it is none."""
        super().__init__()
        self.zone = ZoneInfo(zone)

    def __missing__(self, text: str) -> Moment | None:
        if len(self) > 200_000:  # a long-lived worker must not grow
            self.clear()
        moment: Moment | None = None
        try:
            if len(text) <= 10:
                moment = self._span(text)
            elif text[4] == text[7] == "-" and text[10] in "T ":
                instant = datetime.fromisoformat(text)
                if FIRST_YEAR <= instant.year <= LAST_YEAR:
                    if instant.tzinfo is None:
                        instant = instant.replace(tzinfo=self.zone)
                    at = (instant - EPOCH) // MICROSECOND
                    moment = Moment(at, at, "instant")
        except (ValueError, OverflowError):
            pass
        self[text] = moment
        return moment

    def read(self, text: str | None) -> Moment | None:
        """The moment `text` means, None where there is none."""
        return self[text] if text else None

    def _span(self, text: str) -> Moment | None:
        parsed = parse_date(text)
        if parsed is None:
            return None
        first, last, precision = parsed
        if not FIRST_YEAR <= first.year <= LAST_YEAR:
            return None
        start = microseconds(datetime.combine(first, time.min, tzinfo=self.zone).astimezone(UTC))
        return Moment(start, microseconds(cut_of(last, self.zone)) - 1, precision)


def parse_date(text: str) -> tuple[date, date, str] | None:
    """First day, last day and precision of a FHIR date (`2024-02-29`, `2024-02`, `2024`); None for anything else."""
    try:
        if len(text) == 10 and text[4] == text[7] == "-":
            day = date.fromisoformat(text)
            return day, day, "day"
        if len(text) == 7 and text[4] == "-":
            first = date.fromisoformat(text + "-01")
            return first, _next_month(first) - timedelta(days=1), "month"
        if len(text) == 4 and text.isdigit():
            return date(int(text), 1, 1), date(int(text), 12, 31), "year"
    except (ValueError, OverflowError):
        return None
    return None


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


Getter = Callable[[Any], "str | None"]


def element_getter(path: str) -> Getter:
    """A function that reads a dotted path such as `context.period.end` from a decoded resource; None where a part is
    missing.
    """
    names = path.split(".")
    if len(names) == 1:
        return attrgetter(path)

    def read(resource: Any) -> str | None:
        for name in names:
            resource = getattr(resource, name)
            if resource is None:
                return None
        return resource  # type: ignore[no-any-return]

    return read


def availability_rules(order: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[tuple[str, str, Getter], ...]]:
    """(rule name, grade of an exact time, getter) in order, by resource type; types not in `order` keep the default.

    ValueError in one sentence where a type or an element is not one that can be asked.
    """
    unknown = sorted(set(order) - set(DEFAULT_AVAILABILITY))
    if unknown:
        raise ValueError(f"availability: {', '.join(unknown)} is no resource type with an availability order")
    rules = {}
    for resource_type, default in DEFAULT_AVAILABILITY.items():
        elements = tuple(order.get(resource_type, default))
        allowed = {*default, *_EXTRA_ELEMENTS.get(resource_type, ())}
        wrong = [element for element in elements if element not in allowed]
        if wrong:
            raise ValueError(
                f"availability of {resource_type}: '{wrong[0]}' cannot be asked; "
                f"choose from {', '.join(sorted(allowed))}"
            )
        rules[resource_type] = tuple((*_named(resource_type, element), element_getter(element)) for element in elements)
    return rules


def _named(resource_type: str, element: str) -> tuple[str, str]:
    if element == "meta.lastUpdated":
        return element, "version"
    return f"{resource_type}.{element}", "filed"
