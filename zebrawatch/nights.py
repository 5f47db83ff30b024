"""Nights: the screen's unit of time.

A night is a local calendar date; its cut is midnight at its end, so it is 23 or 25 hours long at a change of clocks.
Instants are UTC. See DESIGN, "Time".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from zebrawatch.errors import LakeError


def night_of(instant: datetime, zone: ZoneInfo) -> date:
    """The night an instant belongs to: its local calendar date in `zone`.

    `instant` must carry a time zone (ValueError otherwise).
    """
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(zone).date()


def cut_of(night: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a night ends: local midnight at the end of its date."""
    return datetime.combine(night + timedelta(days=1), time.min, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, order=True)
class NightRange:
    """An unbroken range of nights, both ends included; one night is a range of length one."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a range of nights cannot end ({self.last}) before it begins ({self.first})")

    @classmethod
    def parse(cls, text: str) -> NightRange:
        """Read `2025-06-01` or `2025-06-01..2025-06-30`; ValueError says what is wrong."""
        first, dots, last = text.strip().partition("..")
        try:
            return cls(date.fromisoformat(first), date.fromisoformat(last if dots else first))
        except ValueError as error:
            raise ValueError(f"'{text}' is not a night (YYYY-MM-DD) or a range of nights (A..B): {error}") from None

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, night: date) -> bool:
        return self.first <= night <= self.last

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))


def ranges_of(nights: Iterable[date]) -> list[NightRange]:
    """Unbroken ranges of a list of nights."""
    ranges: list[NightRange] = []
    for night in sorted(nights):
        if ranges and night == ranges[-1].last + timedelta(days=1):
            ranges[-1] = NightRange(ranges[-1].first, night)
        else:
            ranges.append(NightRange(night, night))
    return ranges


def month_of(night: date) -> str:
    """The month a night lies in, as `YYYY-MM`: the key of its background."""
    return f"{night:%Y-%m}"


Landmarks = Literal["nightly", "note", "monthly"]
"""Nights on which a replay judges a patient: every one, those with something new, or the last night of each month.

Between two scores the last one stands, so `nightly` and `note` are the same scores.
"""
LANDMARKS: tuple[Landmarks, ...] = get_args(Landmarks)


def landmark_of(night: date, landmarks: Landmarks) -> date:
    """The night on which something that became known on `night` is first weighed."""
    if landmarks != "monthly":
        return night
    return (night.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class ReplayPlan:
    """What a run over the past is asked for besides its lake: where it begins and ends, and when it looks.

    Without `first` or `last` it begins with the first known row, or ends with the last.
    """

    first: date | None = None
    last: date | None = None
    landmarks: Landmarks = "note"

    def nights(self, first_known: date, last_known: date) -> NightRange:
        """The nights to replay, cut to those the records speak of; LakeError where none is left."""
        first, last = max(self.first or first_known, first_known), min(self.last or last_known, last_known)
        if last < first:
            raise LakeError(
                f"No night is left to replay: the records speak of {first_known} to {last_known}; give other nights "
                "with --from and --to."
            )
        return NightRange(first, last)
