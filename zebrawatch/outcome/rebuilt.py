"""A flag made again: its name, the raw lines it came from, and each table's rows beside those that are stored."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from zebrawatch.content import content_columns, digest_of
from zebrawatch.errors import LakeError
from zebrawatch.schemas import Table

_OF_THE_RUN = ("nights", "data", "pulls", "percentage", "schema")
"""Differ between any two runs, and say nothing about how."""


@dataclass(frozen=True)
class FlagName:
    """An alert: its patient and the first night of its episode, as in `flags.episode_id`."""

    subject_id: int
    first_night: date

    @classmethod
    def parse(cls, episode_id: str) -> FlagName:
        """From `flags.episode_id`."""
        subject, _, first = episode_id.rpartition(":")
        return cls(int(subject), date.fromisoformat(first))

    @property
    def episode_id(self) -> str:
        """As the table `flags` writes it."""
        return f"{self.subject_id}:{self.first_night}"

    @property
    def key(self) -> str:
        """The patient's pseudonymous key, as pages show it."""
        return f"{self.subject_id:016x}"


@dataclass(frozen=True)
class SourceLine:
    """Where a version of a resource stands in the raw files."""

    version: str
    pull: str
    file: str
    line_number: int


@dataclass(frozen=True)
class Compared:
    """One table's rows of the patient: as stored, and as rebuilt. `verdict` is same / differs / not rebuilt."""

    table: str
    stored: int
    rebuilt: int | None
    stored_digest: str
    rebuilt_digest: str | None
    verdict: str
    only_stored: tuple[str, ...] = ()
    only_rebuilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebuild:
    """What making a flag again showed."""

    lines: tuple[SourceLine, ...]
    compared: tuple[Compared, ...]
    quarantined: tuple[dict[str, Any], ...]
    not_rebuilt: tuple[str, ...] = ()
    other_versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether any rebuilt table is not as stored."""
        return any(one.verdict == "differs" for one in self.compared)

    @property
    def whole(self) -> bool:
        """Whether every table could be rebuilt."""
        return not self.not_rebuilt


def flag_meant(names: Collection[FlagName], given: str) -> FlagName:
    """The flag that a person means: `SUBJECT:NIGHT` (flags.episode_id), the subject as a number or as a page's key.

    A key may be cut short while it names one patient; the night may be left out where the patient has one alert.
    LakeError in one sentence where there is no such flag, or more than one.
    """
    who, _, night = given.partition(":")
    of_subject = [one for one in names if str(one.subject_id) == who or (len(who) >= 4 and one.key.startswith(who))]
    meant = [one for one in of_subject if not night or str(one.first_night) == night]
    if not meant:
        raise LakeError(f"There is no flag {given}; `zebrawatch audit night DATE` lists those of a night.")
    if len(meant) > 1:
        found = ", ".join(sorted(f"{one.key}:{one.first_night}" for one in meant)[:5])
        raise LakeError(f"{given} names {len(meant)} flags ({found}); give one of them.")
    return meant[0]


def other_versions(stored: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[str, str]]:
    """What of a run identity is another today: dotted name to (then, now)."""
    found: dict[str, tuple[str, str]] = {}
    for name in sorted({*stored, *now} - set(_OF_THE_RUN if not prefix else ())):
        then, today = stored.get(name), now.get(name)
        if isinstance(then, Mapping) and isinstance(today, Mapping):
            found |= other_versions(then, today, f"{prefix}{name}.")
        elif then != today and not (name == "readers" and isinstance(then, str) != isinstance(today, str)):
            found[f"{prefix}{name}"] = (str(then), str(today))
    return found


def compared(table: Table, stored: pa.Table, rebuilt: pa.Table | None) -> Compared:
    """A table's rows of a patient as stored beside those made again (None: they could not be)."""
    digest = digest_of(stored, table)
    if rebuilt is None:
        return Compared(table.name, stored.num_rows, None, digest, None, "not rebuilt")
    again = digest_of(rebuilt, table)
    if digest == again:
        return Compared(table.name, stored.num_rows, rebuilt.num_rows, digest, again, "same")
    ours, theirs = _by_row(table, stored), _by_row(table, rebuilt)
    return Compared(
        table.name, stored.num_rows, rebuilt.num_rows, digest, again, "differs",
        tuple(sorted(ours[row] for row in ours.keys() - theirs.keys())),
        tuple(sorted(theirs[row] for row in theirs.keys() - ours.keys())),
    )  # fmt: skip


def _by_row(table: Table, rows: pa.Table) -> dict[str, str]:
    """Content of every row, and its key in words."""
    columns = content_columns(table)
    return {
        json.dumps(row, sort_keys=True, default=str): " ".join(str(row[name]) for name in table.key)
        for row in rows.select(columns).to_pylist()
    }
