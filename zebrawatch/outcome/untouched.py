"""The untouched lines that a night's own pull could have held, told apart by other code than the decoder's.

A fault that dates rows too early is the same in a replay and in the night's own run, and would pass the proof if both
were given the line. So whose a line is, and from which night the hospital could show it, is read here a second time:
from the JSON itself, with a table of its own. A test holds that nothing of zebrawatch.fhir or zebrawatch.timeline is
imported.
"""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

UPDATED = "meta.lastUpdated"
ORDER: Mapping[str, tuple[str, ...]] = {
    "DocumentReference": ("date", UPDATED),
    "DiagnosticReport": ("issued", UPDATED),
    "Composition": ("date", UPDATED),
    "Observation": ("issued", UPDATED),
    "Condition": ("recordedDate", UPDATED),
    "Procedure": ("performedPeriod.end", "performedDateTime", UPDATED),
    "MedicationRequest": ("authoredOn", UPDATED),
    "ServiceRequest": ("authoredOn", UPDATED),
    "FamilyMemberHistory": ("date", UPDATED),
    "AllergyIntolerance": ("recordedDate", UPDATED),
    "Encounter": ("period.end", UPDATED),
    "Immunization": ("recorded", UPDATED),
}
"""DESIGN, "Time", written down a second time. After these comes the end of the encounter.

Types that are not here are taken along whole: a Patient holds from its first row, and Coverages, Binaries and
Medications say nothing by themselves. A Bundle is taken or left as one line.
"""
OWNERS = ("subject", "patient", "beneficiary")
LOOKED_UP = ("Binary", "Medication", "Bundle")
"""Types that name no patient: they are taken along where a line of the patients refers to them."""
_TIME = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?$")
_PLAUSIBLE = range(1850, 2201)


@dataclass(frozen=True)
class Line:
    """One line, who it is about (ids of Patients), and the night from which it could be shown (None: not dated)."""

    text: bytes
    kind: str
    id: str
    owners: frozenset[str]
    night: date | None
    encounter: str | None
    ended: date | None
    """Of an Encounter: the night of its end."""
    refers: frozenset[str]


@dataclass
class Untouched:
    """Lines of some patients by (pull, file), in the order of the files."""

    lines: dict[tuple[str, str], list[Line]] = field(default_factory=dict)

    def collect(
        self,
        pull: str,
        files: Iterable[str],
        read: Callable[[str], Iterable[bytes]],
        patients: Collection[str],
        order: Mapping[str, tuple[str, ...]],
        zone: ZoneInfo,
    ) -> None:
        """Add a pull's lines about `patients`, and what these refer to; `read` gives the lines of a file.

        `order` overrides ORDER by resource type.
        """
        wanted = frozenset(patients)
        elements = {**ORDER, **order}
        for name in files:
            own = [line for text in read(name) if (line := read_line(text, elements, zone)) and line.owners & wanted]
            self.lines[pull, name] = own
        referred = {one for lines in self.lines.values() for line in lines for one in line.refers}
        for name in files:
            for text in read(name):
                if any(kind.encode() in text for kind in LOOKED_UP):
                    line = read_line(text, elements, zone)
                    if line and not line.owners and (line.kind == "Bundle" or line.id in referred):
                        self.lines[pull, name].append(line)

    def cut(self, pull: str, patients: Collection[str], night: date) -> dict[str, list[bytes]]:
        """Lines of a pull about `patients` that could be shown by `night`, by file, with what these refer to.

        A line that no element dates, nor its encounter's end, stays: nothing says that it came later.
        """
        wanted, ends = frozenset(patients), self._ends()
        own = {
            key: [bool(line.owners & wanted) and _shown(line, night, ends) for line in lines]
            for key, lines in self.lines.items()
        }
        held = [line for key, lines in self.lines.items() for line, kept in zip(lines, own[key], strict=True) if kept]
        referred = {one for line in held for one in line.refers}
        return {
            name: [
                line.text
                for line, kept in zip(lines, own[of, name], strict=True)
                if kept or (not line.owners and (line.kind == "Bundle" or line.id in referred))
            ]
            for (of, name), lines in self.lines.items()
            if of == pull
        }

    def _ends(self) -> dict[str, date]:
        every = (line for lines in self.lines.values() for line in lines)
        return {line.id: line.ended for line in every if line.ended is not None}


def _shown(line: Line, night: date, ends: Mapping[str, date]) -> bool:
    own = line.night or ends.get(line.encounter or "")
    dated = [one for one in (own, line.ended) if one is not None]
    return not dated or min(dated) <= night


def read_line(text: bytes, order: Mapping[str, tuple[str, ...]], zone: ZoneInfo) -> Line | None:
    """Owner and night of one line; None where it is no JSON object with a resourceType."""
    try:
        resource = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return None
    kind, name = resource["resourceType"], str(resource.get("id", ""))
    owners = {_last(_at(resource, f"{word}.reference")) for word in OWNERS} | ({name} if kind == "Patient" else set())
    if kind == "Bundle":
        owners |= {owner for each in _entries(resource) for owner in _owners_of(each)}
    elements = order.get(kind, ())
    if "entered-in-error" in (resource.get("status"), resource.get("docStatus")):
        elements = (UPDATED, *elements)  # a withdrawal acts from its own time
    asked = (night_of(_at(resource, element), zone) for element in elements)
    return Line(
        text,
        kind,
        name,
        frozenset(owner for owner in owners if owner),
        next((night for night in asked if night is not None), None),
        _last(_at(resource, "encounter.reference") or _at(resource, "context.reference") or _context(resource)),
        night_of(_at(resource, "period.end"), zone) if kind == "Encounter" else None,
        frozenset(_references(resource)),
    )


def night_of(text: Any, zone: ZoneInfo) -> date | None:
    """The local night by whose end a FHIR date, dateTime or instant has surely passed; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        if span := _TIME.match(text):
            year, month, day = (int(part) if part else None for part in span.groups())
            assert year is not None
            month = month or 12
            found = date(year, month, day or calendar.monthrange(year, month)[1])
        elif len(text) > 10:
            at = datetime.fromisoformat(text)
            found = at.astimezone(zone).date() if at.tzinfo else at.date()
        else:
            return None
    except (ValueError, OverflowError, calendar.IllegalMonthError):
        return None
    return found if found.year in _PLAUSIBLE else None


def _at(resource: Any, path: str) -> Any:
    for name in path.split("."):
        resource = resource.get(name) if isinstance(resource, dict) else None
    return resource


def _context(resource: Mapping[str, Any]) -> Any:
    """DocumentReference's encounter: the first of a list."""
    listed = _at(resource, "context.encounter")
    return _at(listed[0], "reference") if isinstance(listed, list) and listed else None


def _entries(bundle: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = _at(entry, "resource")
        if isinstance(resource, dict):
            yield resource


def _owners_of(resource: Mapping[str, Any]) -> Iterator[str]:
    if resource.get("resourceType") == "Patient":
        yield str(resource.get("id", ""))
    for word in OWNERS:
        if owner := _last(_at(resource, f"{word}.reference")):
            yield owner


def _references(value: Any) -> Iterator[str]:
    """Ids of everything a resource refers to, by `reference` or by an attachment's `url`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("reference", "url") and isinstance(inner, str):
                if found := _last(inner):
                    yield found
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _last(reference: Any) -> str | None:
    """The id a reference or an address ends in."""
    if not isinstance(reference, str):
        return None
    path = reference.split("/_history/")[0].split("#")[0].split("?")[0].rstrip("/")
    return path.removeprefix("urn:uuid:").rsplit("/", 1)[-1] or None
