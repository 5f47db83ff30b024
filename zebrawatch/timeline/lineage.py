"""From a row of the timeline back to its raw line: which lines of a pull are about a patient, and where they stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from zebrawatch.timeline.splits import Split, lines_of

# FHIR R4, datatypes, id: letters, digits, hyphen and dot; at most 64.
_ID = rb"[A-Za-z0-9.\-]"
_BESIDES = re.compile(rb"\b(Binary|Medication)/([A-Za-z0-9.\-]{1,64})")


@dataclass(frozen=True)
class RawLine:
    """One raw line: its file in a pull, its number from 1, its bytes without the line's end."""

    file: str
    line_number: int
    line: bytes

    @property
    def version(self) -> str:
        """The version of the resource as the timeline names it: sha256 of the bytes, first 16 hex digits."""
        return hashlib.sha256(self.line).hexdigest()[:16]


@dataclass(frozen=True)
class Delivery:
    """A pull's files, and the names of those that tell of deletions (which name no patient)."""

    splits: tuple[Split, ...]
    tombstones: frozenset[str] = frozenset()


def lines_about(pulls: Mapping[str, Delivery], ids: Iterable[str]) -> dict[str, list[RawLine]]:
    """By pull, the lines that name any of the ids, those they refer to (Binary, Medication), and all tombstones.

    `ids` are ids of Patients in their source. What a line refers to may have come with another pull, so it is looked
    for in all. A line that only happens to hold an id comes along too: whoever decodes the lines looks at the patient
    of each row.
    """
    naming = _naming(ids)
    found = {name: list(_lines(pull.splits, naming, pull.tombstones)) for name, pull in pulls.items()}
    lines = (line for own in found.values() for line in own)
    referred = {name.decode() for line in lines for _, name in _BESIDES.findall(line.line)}
    if referred:
        being = _being(referred)
        for name, pull in pulls.items():
            found[name] += _lines(pull.splits, being)
    return {name: _in_order(own) for name, own in found.items()}


def _in_order(lines: Iterable[RawLine]) -> list[RawLine]:
    """Each line once, as they stand in the files."""
    by_place = {(line.file, line.line_number): line for line in lines}
    return [by_place[place] for place in sorted(by_place)]


def _lines(
    splits: Iterable[Split], wanted: re.Pattern[bytes], whole: frozenset[str] = frozenset()
) -> Iterator[RawLine]:
    for split in splits:
        for number, line in lines_of(split):
            if split.name in whole or wanted.search(line):
                yield RawLine(split.name, number, line)


def _naming(ids: Iterable[str]) -> re.Pattern[bytes]:
    return re.compile(rb"(?<!" + _ID + rb")(?:" + _any(ids) + rb")(?!" + _ID + rb")")


def _being(ids: Iterable[str]) -> re.Pattern[bytes]:
    return re.compile(rb'"id"\s*:\s*"(?:' + _any(ids) + rb')"')


def _any(ids: Iterable[str]) -> bytes:
    return b"|".join(sorted(re.escape(name.encode()) for name in ids)) or rb"(?!)"
