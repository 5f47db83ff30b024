"""Burden: what every alert cost (OUTCOMES, "Burden").

Each episode gets exactly one class. False = wrong list + no rare disease, each also alone. An alert in a patient
followed for less than two years without a rare diagnosis is undetermined: where one figure must be given it counts as
false.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from zebrawatch.outcome.episodes import Episode
from zebrawatch.outcome.intervals import Floats, Interval, Resample, none_seen, percentile, safe_ratio
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import Observed, night_value, observed, records

EARLY = "early hit"
AFTER = "hit after suspicion"
KNOWN = "known at entry"
NEAR = "family or gene hit"
WRONG = "wrong list in a patient with a rare disease"
NONE = "no rare disease"
UNDETERMINED = "undetermined"
LEFT = "left the screen"
"""The record was restricted, merged or deleted since: in no rate, but counted."""
CLASSES = (EARLY, AFTER, KNOWN, NEAR, WRONG, NONE, UNDETERMINED, LEFT)
FALSE = (WRONG, NONE)
YEAR_DAYS = 365.25
DAYS_AT_ONCE = 64
"""Days whose people at risk are in memory together (patients times days)."""


class Diagnosed(NamedTuple):
    """One usable pair of a patient."""

    disease_id: str
    pair_class: str
    suspicion: date


@dataclass(frozen=True)
class Classified:
    """An episode, its class, and the day of its raise since screening of the patient began."""

    episode: Episode
    episode_class: str
    day: int


def diagnosed(pairs: pd.DataFrame) -> dict[int, list[Diagnosed]]:
    """Usable pairs by patient (rows of zebrawatch.outcome.pairs.PairTable)."""
    found: dict[int, list[Diagnosed]] = {}
    columns = ("subject_id", "disease_id", "pair_class", "suspicion_night")
    for row in records(pairs[pairs["pair_class"].notna()], columns):
        suspicion = night_value(row["suspicion_night"])
        if suspicion is not None:
            pair = Diagnosed(str(row["disease_id"]), str(row["pair_class"]), suspicion)
            found.setdefault(int(row["subject_id"]), []).append(pair)
    return found


def classify(
    episodes: Sequence[Episode],
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    matcher: Matcher,
    first_screened_night: date,
    follow_up_days: int = 730,
) -> list[Classified]:
    """One class per episode. Somebody who is no longer among `people` has left the screen."""
    spans = {person.subject_id: person for person in observed(people)}
    sick = diagnosed(pairs)
    found = []
    for episode in episodes:
        person = spans.get(episode.subject_id)
        if person is None:
            found.append(Classified(episode, LEFT, 0))
            continue
        name = _class(episode, person, sick.get(episode.subject_id, []), matcher, follow_up_days)
        found.append(Classified(episode, name, (episode.first - max(person.entry, first_screened_night)).days))
    return found


def _class(
    episode: Episode, person: Observed, pairs: Sequence[Diagnosed], matcher: Matcher, follow_up_days: int
) -> str:
    if not pairs:
        return NONE if (person.last - episode.first).days >= follow_up_days else UNDETERMINED
    best = WRONG
    for pair in pairs:
        for change in (change for stretch in episode.stretches for change in stretch.lists):
            tier = matcher.best(pair.disease_id, change.diseases)
            if tier == "exact":
                early = EARLY if change.night < pair.suspicion else AFTER
                best = min(best, KNOWN if pair.pair_class == "prevalent" else early, key=CLASSES.index)
            elif tier != "miss":
                best = min(best, NEAR, key=CLASSES.index)
    return best


@dataclass(frozen=True)
class Exposure:
    """Per patient the days on which they could have been alerted: from entry or the first screened night, to suspicion,
    death or the end of observation."""

    subjects: tuple[int, ...]
    days: Floats
    cases: frozenset[int]
    """Patients with an incident pair; patients with a prevalent pair only are neither case nor control."""
    controls: frozenset[int]
    """Patients with no recorded rare diagnosis."""

    @property
    def years(self) -> float:
        return float(self.days.sum()) / YEAR_DAYS


def exposure(
    people: pd.DataFrame, pairs: pd.DataFrame, suspected: Mapping[int, date], first_screened_night: date
) -> Exposure:
    """Person-time at risk of an alert; `suspected`: first suspicion of any kind by patient."""
    sick = diagnosed(pairs)
    subjects, days = [], []
    for person in observed(people):
        start = max(person.entry, first_screened_night)
        if person.last < start:
            continue
        nights = (person.last - start).days + 1
        thought = min(
            [*(pair.suspicion for pair in sick.get(person.subject_id, ())), suspected.get(person.subject_id, date.max)]
        )
        subjects.append(person.subject_id)
        days.append(float(max(0, min(nights, (thought - start).days))))
    cases = {s for s, found in sick.items() if any(pair.pair_class != "prevalent" for pair in found)}
    controls = set(subjects) - set(sick)
    return Exposure(
        tuple(subjects), np.array(days, dtype=np.float64), frozenset(cases & set(subjects)), frozenset(controls)
    )


def burden(
    classified: Sequence[Classified],
    exposed: Exposure,
    resample: Resample,
    *,
    horizon_days: int,
    last_night: date,
    first_screened_night: date,
    reviewers: int,
) -> dict[str, Any]:
    """Rates by class, cumulative false alerts, workload; the first night's backlog apart, in none of the rates."""
    left = sum(one.episode_class == LEFT for one in classified)
    new = [one for one in classified if not one.episode.backlog and one.episode_class != LEFT]
    nights = (last_night - first_screened_night).days + 1
    rates = {name: _rate([one for one in new if one.episode_class == name], exposed, resample) for name in CLASSES}
    return {
        "person_years": exposed.years,
        "patients": len(exposed.subjects),
        "episodes": len(new),
        "episodes_per_1000_py": _rate(new, exposed, resample),
        "by_class": {
            name: {"episodes": sum(one.episode_class == name for one in new), "per_1000_py": rates[name]}
            for name in CLASSES
            if name != LEFT
        },
        "left_the_screen": left,
        "false_per_1000_py": _rate([one for one in new if one.episode_class in FALSE], exposed, resample),
        "false_alerts_per_1000_12m": cumulative(new, (*FALSE, UNDETERMINED), exposed, resample).by(horizon_days),
        "false_alerts_determined_per_1000_12m": cumulative(new, FALSE, exposed, resample).by(horizon_days),
        "backlog": dict(Counter(one.episode_class for one in classified if one.episode.backlog)),
        "new_per_reviewer_week": len(new) / (nights / 7) / reviewers,
        "open_per_reviewer": sum(one.episode.open_nights(last_night) for one in classified) / nights / reviewers,
    }


def _rate(chosen: Sequence[Classified], exposed: Exposure, resample: Resample) -> dict[str, Any]:
    """Episodes per 1,000 patient-years with its interval."""
    counts = _counts(chosen, exposed.subjects)
    years = exposed.days / YEAR_DAYS
    value = 1000 * counts.sum() / years.sum() if years.sum() > 0 else None
    interval = resample.ratio(1000 * counts, years, exposed.subjects)
    if value == 0:
        interval = none_seen(years.sum() / 1000)
    return {"value": value, "ci95": interval}


def _counts(chosen: Sequence[Classified], subjects: Sequence[int]) -> Floats:
    tally = Counter(one.episode.subject_id for one in chosen)
    return np.array([tally[subject] for subject in subjects], dtype=np.float64)


@dataclass(frozen=True)
class Cumulative:
    """Mean cumulative number of alerts per patient since screening began, by Nelson's estimator
    (zebrawatch.outcome.time_to_event.mean_cumulative_count), so that patients followed for less than a horizon count as
    long as they were seen.

    `days` (events' days, ascending), `steps` (1 + draws, days): what each day adds, first in the data themselves, then
    in each resample of patients; `followed`: days of follow-up of every patient.
    """

    days: Floats
    steps: Floats
    followed: Floats

    def by(self, horizon_days: int) -> dict[str, Any]:
        """The count per 1,000 patients by `horizon_days` with its interval. None where nobody was followed."""
        if not len(self.followed):
            return {"value": None, "ci95": None, "followed_days_max": 0}
        total = 1000 * self.steps[:, self.days < horizon_days].sum(axis=1)
        interval = percentile(total[1:])
        horizons = float(np.minimum(self.followed, horizon_days).sum()) / horizon_days if horizon_days else 0.0
        if total[0] == 0 and horizons > 0:
            interval = none_seen(horizons / 1000)
        return {"value": float(total[0]), "ci95": interval, "followed_days_max": int(self.followed.max())}


def cumulative(
    classified: Sequence[Classified], classes: Sequence[str], exposed: Exposure, resample: Resample
) -> Cumulative:
    """The cumulative number of alerts of some classes among the patients at risk."""
    place = {subject: index for index, subject in enumerate(exposed.subjects)}
    last = exposed.days.max(initial=-1)
    alerts = [
        (place[one.episode.subject_id], one.day)
        for one in classified
        if one.episode_class in classes and one.episode.subject_id in place and one.day <= last
    ]
    days = np.array(sorted({day for _, day in alerts}), dtype=np.float64)
    weights = resample.weights(exposed.subjects)
    steps = [np.zeros((len(weights) + 1, 0))]
    for first in range(0, len(days), DAYS_AT_ONCE):
        block = days[first : first + DAYS_AT_ONCE]
        raised = np.zeros((len(place), len(block)))
        for index, day in alerts:
            raised[index] += block == day
        followed = (exposed.days[:, None] >= block).astype(np.float64)
        estimate = safe_ratio(raised.sum(axis=0), followed.sum(axis=0))
        steps.append(np.vstack([estimate, safe_ratio(weights @ raised, weights @ followed)]))
    return Cumulative(days, np.nan_to_num(np.hstack(steps)), exposed.days)


def ppv_by_prevalence(
    classified: Sequence[Classified], exposed: Exposure, prevalences: Sequence[float], resample: Resample
) -> dict[str, Any]:
    """PPV of a new alert, and alerts to review for one early hit, at stated prevalences of undiagnosed rare disease.

    PPV(p) = p h / (p a1 + (1 - p) a0), by Bayes' rule on rates per patient-year (D. G. Altman, J. M. Bland, BMJ
    1994;309:102): h early hits and a1 alerts of any class among incident cases before suspicion, a0 alerts among
    controls. Rates, so that cases and controls may be followed for unequal times. The bounds take undetermined alerts
    as false, and leave them out. It is never taken from the mix of the data themselves.
    """
    new = [one for one in classified if not one.episode.backlog]
    cases = np.array([subject in exposed.cases for subject in exposed.subjects])
    controls = np.array([subject in exposed.controls for subject in exposed.subjects])
    subjects = exposed.subjects

    def rate(classes: Sequence[str], group: Any) -> Floats:
        """In the data themselves, then in each resample."""
        counts = _counts([one for one in new if one.episode_class in classes], subjects) * group
        parts = (counts, exposed.days * group)
        return safe_ratio(*(np.append(part.sum(), resample.sums(part, subjects)) for part in parts))

    hits, alerts = rate((EARLY,), cases), rate(CLASSES, cases)
    low, high = rate(CLASSES, controls), rate((NONE,), controls)
    found = {}
    for prevalence in prevalences:
        bounds = [
            safe_ratio(prevalence * hits, prevalence * alerts + (1 - prevalence) * other) for other in (low, high)
        ]
        lower, upper = percentile(bounds[0][1:]), percentile(bounds[1][1:])
        found[f"1/{round(1 / prevalence):,}"] = {
            "prevalence": prevalence,
            "low": _finite(bounds[0][0]),
            "high": _finite(bounds[1][0]),
            "ci95": Interval(lower.low, upper.high) if lower and upper else None,
            "number_needed_to_review": _finite(1 / bounds[0][0]) if bounds[0][0] > 0 else None,
        }
    return found


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
