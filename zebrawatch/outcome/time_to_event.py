"""Time-to-event figures: cumulative incidence under competing events, mean cumulative count, landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from zebrawatch.outcome.episodes import Episode, by_subject
from zebrawatch.outcome.intervals import wilson
from zebrawatch.outcome.observation import night_value, observed, records

Floats = npt.NDArray[np.float64]

LANDMARK_DAYS = (30, 182, 365, 730)
"""30 days, 6, 12, 24 months (OUTCOMES, "Time-to-event")."""
HORIZON_DAYS = 365


class Incidence(NamedTuple):
    """Cumulative incidence of one event: a step function."""

    days: Floats
    share: Floats

    def at(self, day: float) -> float:
        """The share by `day`."""
        place = int(np.searchsorted(self.days, day, side="right")) - 1
        return float(self.share[place]) if place >= 0 else 0.0


def aalen_johansen(durations: Sequence[float], events: Sequence[int], event: int) -> Incidence:
    """Cumulative incidence of `event` where other events compete; 0 in `events` means censored.

    F(t) = sum over event times u <= t of S(u-) d_event(u) / Y(u), with S the Kaplan-Meier survival from all events
    (O. O. Aalen, S. Johansen, Scand J Stat 1978;5:141; tied times are taken as they are, censorings after events).
    `durations` in days from entry.
    """
    time, kind = np.asarray(durations, dtype=np.float64), np.asarray(events, dtype=np.int64)
    if time.shape != kind.shape:
        raise ValueError("durations and events must have the same length")
    days: Floats = np.unique(time[kind != 0])
    shares, survival, total = [], 1.0, 0.0
    for day in days:
        at_risk = float((time >= day).sum())
        total += survival * float(((time == day) & (kind == event)).sum()) / at_risk
        survival *= 1.0 - float(((time == day) & (kind != 0)).sum()) / at_risk
        shares.append(total)
    return Incidence(days, np.array(shares, dtype=np.float64))


def mean_cumulative_count(followed: Sequence[float], event_days: Iterable[float]) -> Incidence:
    """Mean number of recurrent events per person by day: sum over event times of events / people still followed.

    The nonparametric estimator of the mean cumulative function (W. Nelson, J Qual Technol 1988;20:24). `followed`: days
    of follow-up of every person; `event_days`: the day of every event, of whomever.
    """
    lengths = np.sort(np.asarray(followed, dtype=np.float64))
    happened = np.asarray(list(event_days), dtype=np.float64)
    days, counts = np.unique(happened, return_counts=True)
    at_risk = lengths.size - np.searchsorted(lengths, days, side="left")
    if (at_risk <= 0).any():
        raise ValueError("an event lies after everybody's follow-up")
    return Incidence(days.astype(np.float64), np.cumsum(counts / at_risk))


ALERT, SUSPICION, DEATH = 1, 2, 3


def first_alert_incidence(
    people: pd.DataFrame, episodes: Sequence[Episode], suspected: dict[int, date], first_screened_night: date
) -> dict[str, Incidence]:
    """Aalen-Johansen from entry: alert, against suspicion without alert and death; loss is censored.

    `people` as zebrawatch.outcome.observation.PEOPLE_COLUMNS; `suspected`: first suspicion of any kind by patient.
    Entry is the later of a patient's first row and the first screened night.
    """
    grouped = by_subject(episodes)
    durations, events = [], []
    for person in observed(people):
        subject, last, start = person.subject_id, person.last, max(person.entry, first_screened_night)
        if last < start:
            continue
        alert = grouped[subject][0].first if subject in grouped else None
        turns = [(alert, ALERT), (suspected.get(subject), SUSPICION), (person.death, DEATH), (last, 0)]
        # On one night suspicion and death come before an alert (OUTCOMES: same night, suspicion wins), loss after all.
        order = {SUSPICION: 0, DEATH: 1, ALERT: 2, 0: 3}
        night, kind = min(((n, e) for n, e in turns if n is not None), key=lambda turn: (turn[0], order[turn[1]]))
        if night < start:
            continue
        durations.append((night - start).days)
        events.append(kind)
    names = {"alert": ALERT, "suspicion": SUSPICION, "death": DEATH}
    return {name: aalen_johansen(durations, events, event) for name, event in names.items()}


@dataclass(frozen=True)
class Landmark:
    """Alert by `day` after entry against suspicion of a labelled disease within `HORIZON_DAYS` after it."""

    day: int
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    censored: int

    def as_dict(self) -> dict[str, Any]:
        """Shares with Wilson intervals; None where a denominator is empty."""
        cases, controls = self.true_positive + self.false_negative, self.false_positive + self.true_negative
        alerted = self.true_positive + self.false_positive
        return {
            "day": self.day,
            "n": cases + controls,
            "censored": self.censored,
            "sensitivity": _share(self.true_positive, cases),
            "specificity": _share(self.true_negative, controls),
            "ppv": _share(self.true_positive, alerted),
            "ci95": {
                "sensitivity": wilson(self.true_positive, cases),
                "specificity": wilson(self.true_negative, controls),
                "ppv": wilson(self.true_positive, alerted),
            },
        }


def landmarks(
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    episodes: Sequence[Episode],
    suspected: dict[int, date],
    first_screened_night: date,
    days: Sequence[int] = LANDMARK_DAYS,
) -> list[Landmark]:
    """At each landmark, among everyone alive, observed and unsuspected: an open alert against suspicion in the next
    year.

    A case is a patient with a usable pair whose suspicion falls within the year; somebody followed for less than it,
    and not suspected within it, is counted as censored and left out of the four cells.
    """
    grouped = by_subject(episodes)
    cases = _first_by_subject(pairs)
    return [_landmark(day, people, cases, grouped, suspected, first_screened_night) for day in days]


def _first_by_subject(pairs: pd.DataFrame) -> dict[int, date]:
    found: dict[int, date] = {}
    for row in records(pairs[pairs["pair_class"].notna()], ["subject_id", "suspicion_night"]):
        subject, night = int(row["subject_id"]), night_value(row["suspicion_night"])
        if night is not None:
            found[subject] = min(night, found.get(subject, night))
    return found


def _landmark(
    day: int, people: pd.DataFrame, cases: dict[int, date], grouped: dict[int, list[Episode]], suspected: dict[int,
    date], first_screened_night: date,
) -> Landmark:  # fmt: skip
    cells = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    censored = 0
    for person in observed(people):
        subject, last, death = person.subject_id, person.last, person.death
        at = max(person.entry, first_screened_night) + timedelta(days=day)
        thought = min((n for n in (suspected.get(subject), cases.get(subject)) if n is not None), default=None)
        if last < at or (death is not None and death <= at) or (thought is not None and thought <= at):
            continue
        until = at + timedelta(days=HORIZON_DAYS)
        case = subject in cases and cases[subject] <= until
        if not case and last < until and death is None:
            censored += 1
            continue
        cells[any(episode.open_on(at) for episode in grouped.get(subject, ())), case] += 1
    return Landmark(day, cells[True, True], cells[True, False], cells[False, True], cells[False, False], censored)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
