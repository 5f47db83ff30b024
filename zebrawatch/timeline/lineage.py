"""From a row of the timeline back to its raw line: which lines of a pull are about a patient, and where they stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
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


def lines_about(splits: Iterable[Split], ids: Iterable[str], tombstones: frozenset[str] = frozenset()) -> list[RawLine]:
    """The lines of a pull that name any of the ids, those they refer to (Binary, Medication), and all tombstones.

    `ids` are ids of Patients in their source. A line that only happens to hold an id comes along too: whoever decodes
    the lines looks at the patient of each row. `tombstones` names the files of deletions, which name no patient.
    """
    known = list(splits)
    found = list(_lines(known, _naming(ids), tombstones))
    referred = {name.decode() for line in found for _, name in _BESIDES.findall(line.line)}
    besides = _lines(known, _being(referred)) if referred else ()
    by_place = {(line.file, line.line_number): line for line in (*found, *besides)}
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
