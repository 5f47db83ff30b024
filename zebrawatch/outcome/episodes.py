"""Alert episodes read back from the rows of schemas.FLAGS: what was shown to whom on which night."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import pandas as pd

from zebrawatch.outcome.observation import night_value, records
from zebrawatch.screen.alerts import NOT_OWN

DAY = timedelta(days=1)


class Change(NamedTuple):
    """A stretch's list from `night` on: disease ids, best first."""

    night: date
    diseases: tuple[str, ...]


@dataclass(frozen=True)
class Stretch:
    """An unbroken stretch of an episode: open from `first` up to, not including, `until` (None: still open)."""

    first: date
    until: date | None
    ended: str | None
    lists: tuple[Change, ...]

    def open_on(self, night: date) -> bool:
        return self.first <= night and (self.until is None or night < self.until)

    def shown_on(self, night: date) -> tuple[str, ...]:
        """The diseases shown on `night`; none where the stretch is not open."""
        if not self.open_on(night):
            return ()
        return self.lists[bisect_right([change.night for change in self.lists], night) - 1].diseases


@dataclass(frozen=True)
class Episode:
    """An alert's episode: its stretches, at most 90 days apart (OUTCOMES)."""

    subject_id: int
    episode_id: str
    first: date
    backlog: bool
    stretches: tuple[Stretch, ...]
    own_from: date | None
    """First night on which the alert rested on the patient's evidence; None where only a new background raised it."""

    def open_on(self, night: date) -> bool:
        return any(stretch.open_on(night) for stretch in self.stretches)

    def shown_on(self, night: date) -> tuple[str, ...]:
        return next((shown for stretch in self.stretches if (shown := stretch.shown_on(night))), ())

    def lists_before(self, night: date) -> list[Change]:
        """Every list shown before `night`, in order."""
        return [change for stretch in self.stretches for change in stretch.lists if change.night < night]

    def open_nights(self, last: date) -> int:
        """Nights on which it stood open, up to and including `last`."""
        ends = [(s.first, min(s.until, last + DAY) if s.until else last + DAY) for s in self.stretches]
        return sum(max(0, (until - first).days) for first, until in ends)


def episodes_of(flags: pd.DataFrame) -> list[Episode]:
    """All episodes of a frame with the columns of schemas.FLAGS, by subject and first night.

    ValueError where the rows of a patient do not alternate between raise and withdraw.
    """
    if flags.empty:
        return []
    rows = flags.assign(night=flags["night"].map(night_value)).sort_values(["subject_id", "night"], kind="stable")
    columns = ["subject_id", "episode_id", "night", "action", "reason", "shown", "backlog"]
    grouped: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in records(rows, columns):
        grouped.setdefault((int(row["subject_id"]), str(row["episode_id"])), []).append(row)
    found = [_episode(subject, name, changes) for (subject, name), changes in grouped.items()]
    return sorted(found, key=lambda episode: (episode.subject_id, episode.first))


def by_subject(episodes: Iterable[Episode]) -> dict[int, list[Episode]]:
    """Episodes grouped by patient, in order of their first night."""
    grouped: dict[int, list[Episode]] = {}
    for episode in sorted(episodes, key=lambda episode: episode.first):
        grouped.setdefault(episode.subject_id, []).append(episode)
    return grouped


def _episode(subject: int, name: str, rows: list[dict[str, Any]]) -> Episode:
    stretches: list[Stretch] = []
    lists: list[Change] = []
    for row in rows:
        if (row["action"] == "raise") is bool(lists):
            raise ValueError(f"episode {name}: a {row['action']} on {row['night']} does not follow what stood before")
        if row["action"] == "withdraw":
            stretches.append(Stretch(lists[0].night, row["night"], str(row["reason"]), tuple(lists)))
            lists = []
        else:
            lists.append(Change(row["night"], _diseases(row["shown"])))
    if lists:
        stretches.append(Stretch(lists[0].night, None, None, tuple(lists)))
    own = [row["night"] for row in rows if row["action"] != "withdraw" and _own(row)]
    return Episode(subject, name, rows[0]["night"], bool(rows[0]["backlog"]), tuple(stretches), own[0] if own else None)


def _own(row: Mapping[str, Any]) -> bool:
    """A raise on evidence, or the row by which evidence earned an alert that a new background had raised."""
    reason = str(row["reason"])
    return reason not in NOT_OWN if row["action"] == "raise" else reason == "threshold"


def _diseases(shown: Any) -> tuple[str, ...]:
    ordered = sorted(shown, key=lambda entry: entry["rank"]) if shown is not None else []
    return tuple(str(entry["disease_id"]) for entry in ordered)
