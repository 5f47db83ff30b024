"""Three nulls at the same number of alerts per night (OUTCOMES, "Nulls"): what chance, timing and busy charts would
give.

Every null is made generous rather than weak: an alert that only ended because its own patient was suspected or died
stands on for whomever it is given to, and a swapped suspicion keeps its distance from entry, so that it falls within
the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from zebrawatch.outcome.episodes import Change, Episode, Stretch, by_subject
from zebrawatch.outcome.intervals import Floats, Resample
from zebrawatch.outcome.lead_time import hit
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import Observed, night_value, observed, records

_STANDS_ON = ("suspected", "died")
SMALLEST_STRATUM = 2


@dataclass(frozen=True)
class Case:
    """One at-risk pair, with what stratifies it."""

    subject_id: int
    disease_id: str
    entry: date
    suspicion: date
    stratum: tuple[str, ...]
    """From fine to coarse, the coarsest last to be given up: age band, sex, main organ system."""


@dataclass(frozen=True)
class PairedValues:
    """Per case: prioritised (0 or 1, or its mean over draws) and lead in days."""

    share: Floats
    lead: Floats


def cases_of(
    lead_rows: pd.DataFrame, people: pd.DataFrame, organ_system: Mapping[str, str], *, pair_class: str = "at risk"
) -> list[Case]:
    """At-risk pairs of schemas.LEAD_TIME rows, with age band at suspicion, sex and the disease's main organ system."""
    persons = {person.subject_id: person for person in observed(people)}
    columns = ("subject_id", "disease_id", "entry_night", "suspicion_night")
    found = []
    for row in records(lead_rows[lead_rows["pair_class"] == pair_class], columns):
        entry, suspicion = night_value(row["entry_night"]), night_value(row["suspicion_night"])
        person = persons.get(int(row["subject_id"]))
        if entry is None or suspicion is None or person is None:
            continue
        organ = organ_system.get(str(row["disease_id"]), "unknown")
        stratum = (organ, age_band(person.birth_date, suspicion), person.sex)
        found.append(Case(person.subject_id, str(row["disease_id"]), entry, suspicion, stratum))
    return found


def age_band(birth: date | None, on: date) -> str:
    """Under 1, 1-17, 18-64, 65 and over, or unknown."""
    if birth is None:
        return "unknown"
    years = (on - birth).days / 365.25
    return "under 1" if years < 1 else "1-17" if years < 18 else "18-64" if years < 65 else "65 and over"


def observed_values(cases: Sequence[Case], episodes: Sequence[Episode], matcher: Matcher) -> PairedValues:
    """What the alerts really did."""
    grouped = by_subject(episodes)
    return _values(
        [_judge(grouped.get(case.subject_id, ()), case.disease_id, case.suspicion, matcher) for case in cases]
    )


def within_stratum(
    cases: Sequence[Case], episodes: Sequence[Episode], matcher: Matcher, *, draws: int, seed: int
) -> PairedValues:
    """(a) Disease and time to suspicion swapped among cases of one stratum.

    A stratum with one case is joined with the others that share its age band and sex, then its sex, then with all.
    """
    rng = np.random.default_rng(seed)
    grouped = by_subject(standing_on(episodes))
    share, lead = np.zeros(len(cases)), np.zeros(len(cases))
    groups = _strata(cases)
    seen: dict[tuple[int, int], tuple[float, float]] = {}
    for _ in range(draws):
        for group in groups:
            for recipient, donor in zip(group, rng.permutation(group).tolist(), strict=True):
                if (recipient, donor) not in seen:
                    case, other = cases[recipient], cases[donor]
                    suspicion = case.entry + (other.suspicion - other.entry)
                    seen[recipient, donor] = _judge(
                        grouped.get(case.subject_id, ()), other.disease_id, suspicion, matcher
                    )
                values = seen[recipient, donor]
                share[recipient] += values[0]
                lead[recipient] += values[1]
    return PairedValues(share / draws, lead / draws)


def random_timing(
    cases: Sequence[Case],
    episodes: Sequence[Episode],
    people: pd.DataFrame,
    suspected: Mapping[int, date],
    first_screened_night: date,
    matcher: Matcher,
    *,
    draws: int,
    seed: int,
) -> PairedValues:
    """(b) Each night's lists given to random patients at risk on that night."""
    rng = np.random.default_rng(seed)
    risk = _AtRisk(observed(people), cases, suspected, first_screened_night)
    given: dict[tuple[int, int], list[Episode]] = {}
    for episode in standing_on(episodes):
        eligible = risk.on(episode.first)
        if not len(eligible):
            continue
        for draw, place in enumerate(rng.choice(eligible, size=draws).tolist()):
            if risk.subjects[place] in risk.cases:
                given.setdefault((draw, risk.subjects[place]), []).append(episode)
    share, lead = np.zeros(len(cases)), np.zeros(len(cases))
    places: dict[int, list[int]] = {}
    for place, case in enumerate(cases):
        places.setdefault(case.subject_id, []).append(place)
    for (_, subject), received in given.items():
        for place in places[subject]:
            values = _judge(received, cases[place].disease_id, cases[place].suspicion, matcher)
            share[place] += values[0]
            lead[place] += values[1]
    return PairedValues(share / draws, lead / draws)


def utilisation(
    cases: Sequence[Case],
    episodes: Sequence[Episode],
    people: pd.DataFrame,
    suspected: Mapping[int, date],
    first_screened_night: date,
    candidates: pd.DataFrame,
    written: pd.DataFrame,
    matcher: Matcher,
    *,
    k: int,
) -> PairedValues:
    """(c) As many alerts each night, to the patients about whom most has been written, with their own ranking of that
    night.

    `written`: subject_id and known_night, one row a document; `candidates`: schemas.CANDIDATES. An alert once given
    stands until suspicion.
    """
    risk = _AtRisk(observed(people), cases, suspected, first_screened_night)
    alerted = _busiest(episodes, risk, written)
    lists = _standing_lists(candidates, {case.subject_id for case in cases}, k)
    values = []
    for case in cases:
        raised = alerted.get(case.subject_id)
        if raised is None:
            values.append((0.0, 0.0))
            continue
        before = [change for change in lists.get(case.subject_id, ()) if change.night <= raised][-1:]
        after = [change for change in lists.get(case.subject_id, ()) if raised < change.night < case.suspicion]
        shown = [Change(raised, change.diseases) for change in before] + after
        if not shown:
            values.append((0.0, 0.0))
            continue
        stretch = Stretch(shown[0].night, None, None, tuple(shown))
        episode = Episode(case.subject_id, "", shown[0].night, False, (stretch,), shown[0].night)
        values.append(_judge([episode], case.disease_id, case.suspicion, matcher))
    return _values(values)


def compare(
    actual: PairedValues, nulls: Mapping[str, PairedValues], cases: Sequence[Case], resample: Resample
) -> dict[str, Any]:
    """Observed, each null, observed - null with its interval, and whether the result counts.

    It counts where the lower bound of (observed - worst null) is above zero, on share and on lead. Differences are
    taken per case and resampled by patient.
    """
    owners = [case.subject_id for case in cases]
    found: dict[str, Any] = {
        "observed": {"share": _mean(actual.share), "lead_days_mean": _mean(actual.lead)},
        "n": len(cases),
    }
    for name, null in nulls.items():
        found[name] = {
            "share": _mean(null.share),
            "lead_days_mean": _mean(null.lead),
            "share_difference": _mean(actual.share - null.share),
            "lead_difference": _mean(actual.lead - null.lead),
            "ci95": {
                "share_difference": resample.mean(actual.share - null.share, owners) if owners else None,
                "lead_difference": resample.mean(actual.lead - null.lead, owners) if owners else None,
            },
        }
    if nulls and cases:
        found["worst_share"] = max(nulls, key=lambda name: found[name]["share"])
        found["worst_lead"] = max(nulls, key=lambda name: found[name]["lead_days_mean"])
        share = found[found["worst_share"]]["ci95"]["share_difference"]
        lead = found[found["worst_lead"]]["ci95"]["lead_difference"]
        found["counts"] = bool(share and lead and share.low > 0 and lead.low > 0)
    else:
        found["counts"] = False
    return found


def _judge(episodes: Sequence[Episode], disease: str, suspicion: date, matcher: Matcher) -> tuple[float, float]:
    found = hit(episodes, disease, suspicion, matcher)
    return float(found.sustained_raise is not None), float(found.sustained_days(suspicion))


def _values(values: Sequence[tuple[float, float]]) -> PairedValues:
    table = np.array(values, dtype=np.float64).reshape(-1, 2)
    return PairedValues(table[:, 0], table[:, 1])


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def standing_on(episodes: Sequence[Episode]) -> list[Episode]:
    """Episodes whose last stretch ended with suspicion or death stand on."""
    found = []
    for episode in episodes:
        *others, last = episode.stretches
        if last.ended in _STANDS_ON:
            episode = replace(episode, stretches=(*others, replace(last, until=None, ended=None)))
        found.append(episode)
    return found


def _strata(cases: Sequence[Case]) -> list[list[int]]:
    """Places of the cases by stratum, single ones joined with the next coarser."""
    left = list(range(len(cases)))
    found: list[list[int]] = []
    for coarseness in range(4):
        groups: dict[tuple[str, ...], list[int]] = {}
        for place in left:
            groups.setdefault(cases[place].stratum[coarseness:], []).append(place)
        found += [group for group in groups.values() if len(group) >= SMALLEST_STRATUM]
        left = [group[0] for group in groups.values() if len(group) < SMALLEST_STRATUM]
    return found + [[place] for place in left]


class _AtRisk:
    """Who could have been alerted on a night: observed, alive, unsuspected."""

    def __init__(
        self,
        persons: Sequence[Observed],
        cases: Sequence[Case],
        suspected: Mapping[int, date],
        first_screened_night: date,
    ) -> None:
        thought = dict(suspected)
        for case in cases:
            thought[case.subject_id] = min(case.suspicion, thought.get(case.subject_id, case.suspicion))
        self.subjects = [person.subject_id for person in persons]
        self.place = {subject: place for place, subject in enumerate(self.subjects)}
        self.cases = {case.subject_id for case in cases}
        self._start = np.array([max(p.entry, first_screened_night).toordinal() for p in persons])
        ends = [
            min(p.last + timedelta(days=1), p.death or date.max, thought.get(p.subject_id, date.max)) for p in persons
        ]
        self._end = np.array([end.toordinal() for end in ends])

    def mask(self, night: date) -> Any:
        day = night.toordinal()
        return (self._start <= day) & (day < self._end)

    def on(self, night: date) -> Any:
        return np.flatnonzero(self.mask(night))


def _busiest(episodes: Sequence[Episode], risk: _AtRisk, written: pd.DataFrame) -> dict[int, date]:
    """Night on which each patient would have been alerted, had the most written about gone first."""
    documents = sorted(
        (night, risk.place[int(row["subject_id"])])
        for row in records(written, ("subject_id", "known_night"))
        if (night := night_value(row["known_night"])) is not None and int(row["subject_id"]) in risk.place
    )
    raises: dict[date, int] = {}
    for episode in episodes:
        raises[episode.first] = raises.get(episode.first, 0) + 1
    counts = np.zeros(len(risk.subjects))
    done = np.zeros(len(risk.subjects), dtype=bool)
    alerted: dict[int, date] = {}
    at = 0
    for night, number in sorted(raises.items()):
        while at < len(documents) and documents[at][0] <= night:
            counts[documents[at][1]] += 1
            at += 1
        eligible = np.flatnonzero(risk.mask(night) & ~done)
        chosen = eligible[np.lexsort((eligible, -counts[eligible]))[:number]]
        done[chosen] = True
        alerted |= {risk.subjects[place]: night for place in chosen.tolist()}
    return alerted


def _standing_lists(candidates: pd.DataFrame, subjects: set[int], k: int) -> dict[int, list[Change]]:
    rows: dict[int, dict[date, list[tuple[int, str]]]] = {}
    wanted = candidates[candidates["subject_id"].isin(subjects) & (candidates["rank"] <= k)]
    for row in records(wanted, ("subject_id", "night", "rank", "disease_id")):
        night = night_value(row["night"])
        if night is not None:
            rows.setdefault(int(row["subject_id"]), {}).setdefault(night, []).append(
                (int(row["rank"]), str(row["disease_id"]))
            )
    return {
        subject: [
            Change(night, tuple(disease for _, disease in sorted(found))) for night, found in sorted(nights.items())
        ]
        for subject, nights in rows.items()
    }
