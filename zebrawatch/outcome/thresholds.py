"""The threshold for a burden that is wanted: chosen on one stretch of nights, judged on a later one.

OUTCOMES, "Protocol": splits fit / choose threshold / report. Every threshold is tried by folding the stored scores
again (zebrawatch.outcome.operating), and costed by the outcome's own burden.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange
from zebrawatch.outcome import burden as burdens
from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.intervals import Floats, Interval, Resample, none_seen, wilson
from zebrawatch.outcome.lead_time import lead_time
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import night_value, observed, records
from zebrawatch.outcome.operating import Refolding
from zebrawatch.outcome.pairs import PairTable, pairs
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import Replay
from zebrawatch.screen.alerts import AlertPolicy

DRAWS = 500
"""Bootstrap draws while a threshold is sought; reported figures use the protocol's."""
WEEK_DAYS = 7


@dataclass(frozen=True)
class Measured:
    """A figure and its 95 % interval; None where it has none."""

    value: float | None
    ci95: Interval | None


Alerts = Sequence[burdens.Classified]
Cost = Callable[[Alerts], float]


class Trial:
    """Alerts of one set of patients at any threshold; what does not depend on the threshold is made once.

    Alerts and pairs count from `since` on (default: the first night): alerts are folded from the first night, so that
    one that stood already is no new one. `policy` gives everything but the threshold (default: the protocol's).
    """

    def __init__(
        self, replay: Replay, matcher: Matcher, protocol: Protocol, policy: AlertPolicy | None = None,
        since: date | None = None, draws: int = DRAWS,
    ) -> None:  # fmt: skip
        self.replay, self.matcher, self.protocol = replay, matcher, protocol
        self.policy = policy or protocol.policy
        self.since = since or replay.first
        self.draws = draws
        self.table: PairTable = pairs(
            people=replay.people, suspicions=replay.suspicions, matcher=matcher, first_screened_night=replay.first,
            last_night=replay.last, labels=replay.labels, groups=replay.groups, gene_symbols=replay.gene_symbols,
            merged=dict(replay.merged), prevalent_days=protocol.windows.prevalent_days,
        )  # fmt: skip
        suspected = _first_suspected(replay.suspicions)
        nights = NightRange(replay.first, replay.last)
        self._refolding = Refolding(replay.candidates, replay.people, suspected, self.policy.k, nights)
        self.exposed = burdens.exposure(replay.people, self.table.rows, suspected, self.since)
        self._flags: dict[float, pd.DataFrame] = {}

    @cached_property
    def resample(self) -> Resample:
        """The resamples of patients that all intervals of this trial share."""
        people = [person.subject_id for person in observed(self.replay.people)]
        return Resample(people, draws=self.draws, seed=self.protocol.resampling.seed)

    @cached_property
    def thresholds(self) -> list[float]:
        """Every threshold at which another patient joins the alerted, in ascending order."""
        return self._refolding.thresholds(self.policy)

    def flags(self, threshold: float) -> pd.DataFrame:
        """Rows of FLAGS at a threshold."""
        if threshold not in self._flags:
            self._flags[threshold] = self._refolding.flags(at_threshold(self.policy, threshold))
        return self._flags[threshold]

    def alerts(self, threshold: float) -> list[burdens.Classified]:
        """The new episodes begun since `since`, each with its class; the first night's backlog is none of them."""
        episodes = episodes_of(self.flags(threshold))
        classified = burdens.classify(
            episodes, self.replay.people, self.table.rows, self.matcher, self.since,
            self.protocol.windows.follow_up_days,
        )  # fmt: skip
        return [one for one in classified if not one.episode.backlog and one.episode.first >= self.since]

    def prioritised(self, threshold: float) -> tuple[int, int]:
        """(prioritised, all) at-risk pairs suspected since `since`: labelled ones, or confirmed in the records."""
        source = "records" if self.replay.labels is None else "labels"
        rows = lead_time(self.table.rows, episodes_of(self.flags(threshold)), None, self.matcher)
        rows = rows[(rows["label_source"] == source) & (rows["pair_class"] == "at risk")]
        later = [(night_value(night) or date.min) >= self.since for night in rows["suspicion_night"]]
        return int((rows["prioritised"].eq(True) & np.array(later, dtype=bool)).sum()), sum(later)

    def lowest_threshold(self, most: float, cost: Cost) -> float | None:
        """The lowest threshold whose alerts cost no more than `most`; None where none does.

        By bisection: fewer patients are alerted the higher the threshold. (An episode can fall apart as the threshold
        rises, so that the count of episodes may rise by a few within it; what is given keeps to `most` in any case.)
        """
        values = self.thresholds
        low, high = 0, len(values)
        while low < high:
            middle = (low + high) // 2
            if cost(self.alerts(values[middle])) <= most:
                high = middle
            else:
                low = middle + 1
        return values[low] if low < len(values) else None


def at_threshold(policy: AlertPolicy, threshold: float) -> AlertPolicy:
    """The policy with another threshold; a lower `withdraw_below` keeps its ratio to it."""
    if policy.withdraw_below is None:
        return replace(policy, threshold=threshold)
    return replace(policy, threshold=threshold, withdraw_below=threshold * policy.withdraw_below / policy.threshold)


def _first_suspected(suspicions: pd.DataFrame) -> dict[int, date]:
    found: dict[int, date] = {}
    for row in records(suspicions, ("subject_id", "known_night")):
        night = night_value(row["known_night"])
        if night is not None:
            found[int(row["subject_id"])] = min(night, found.get(int(row["subject_id"]), night))
    return found


# -- the threshold for a burden that is wanted -------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """The most that alerts may cost. Exactly one of the first two is given.

    `upper`: the upper end of the 95 % interval keeps to it, not only the estimate.
    """

    alerts_per_week: float | None = None
    false_per_1000: float | None = None
    upper: bool = False

    def __post_init__(self) -> None:
        if (self.alerts_per_week is None) == (self.false_per_1000 is None):
            raise ConfigurationError("Say either how many alerts a week are wanted, or how many false per 1,000.")
        if self.most <= 0:
            raise ConfigurationError("The burden that is wanted must be above 0.")

    @property
    def most(self) -> float:
        """The figure itself."""
        return self.alerts_per_week if self.alerts_per_week is not None else self.false_per_1000 or 0.0

    def sentence(self) -> str:
        """Such as `at most 2 new alerts a week`."""
        what = "new alerts a week" if self.alerts_per_week is not None else "false alerts per 1,000 in 12 months"
        return f"at most {self.most:g} {what}{', upper end of the interval' if self.upper else ''}"


@dataclass(frozen=True)
class Stretch:
    """What one threshold gives over some nights."""

    nights: NightRange
    patients: int
    person_years: float
    alerts: int
    alerts_per_week: Measured
    false_per_1000: Measured
    """In the first 12 months of these nights, or as long as anybody was followed (`followed_days_max`)."""
    followed_days_max: int
    episodes_per_1000_py: Measured
    prioritised: int
    at_risk: int
    prioritised_share: Measured


@dataclass(frozen=True)
class Choice:
    """A threshold, the nights it was chosen on, and what the later ones say of it.

    `judged_newcomers` are the patients first known after the choice: no record of theirs had a part in it.
    """

    wanted: Wanted
    threshold: float
    chosen: Stretch
    judged: Stretch
    judged_newcomers: Stretch

    @property
    def fitted_through(self) -> date:
        """The last night that had a part in the choice."""
        return self.chosen.nights.last

    @property
    def kept(self) -> bool:
        """Whether the judged nights kept to the burden: the estimate, not its interval."""
        seen = self.judged.alerts_per_week if self.wanted.alerts_per_week is not None else self.judged.false_per_1000
        return seen.value is not None and seen.value <= self.wanted.most


def choose(
    early: Replay,
    whole: Replay,
    matcher: Matcher,
    protocol: Protocol,
    wanted: Wanted,
    policy: AlertPolicy | None = None,
) -> Choice:
    """The lowest threshold (three digits, rounded up) that keeps to a burden on the nights of `early`, judged on those
    of `whole` that lie after them.

    `early` holds what was known by its last night, and no more. ConfigurationError, in one sentence, where no night is
    left to judge on, where 12 months are asked of fewer, or where no threshold is known to keep to the burden.
    """
    through = early.last
    if through >= whole.last:
        raise ConfigurationError(f"No night after {through} is published: a threshold is judged on later nights.")
    horizon = protocol.windows.horizon_days
    first = Trial(early, matcher, protocol, policy)
    followed = int(first.exposed.days.max()) if len(first.exposed.days) else 0
    if wanted.false_per_1000 is not None and followed < horizon:
        raise ConfigurationError(
            f"False alerts per 1,000 in 12 months need {horizon} nights to choose on, and nobody was followed for more "
            f"than {followed} by {through}: choose on more nights, or by alerts a week."
        )
    found = first.lowest_threshold(wanted.most, _cost(wanted, first))
    if found is None:
        raise ConfigurationError(
            f"On the nights to {through} no threshold is known to keep to {wanted.sentence()}: choose on more nights, "
            "or without the upper end."
        )
    threshold = _rounded_up(found)
    draws = protocol.resampling.draws
    chosen = Trial(early, matcher, protocol, policy, draws=draws)
    judged = Trial(whole, matcher, protocol, policy, through + timedelta(days=1), draws)
    known = {person.subject_id for person in observed(whole.people) if person.entry > through}
    return Choice(
        wanted, threshold, stretch(chosen, threshold), stretch(judged, threshold), stretch(judged, threshold, known)
    )


def _cost(wanted: Wanted, trial: Trial) -> Cost:
    figure = _alerts_per_week if wanted.alerts_per_week is not None else _false_per_1000

    def cost(alerts: Alerts) -> float:
        measured = figure(alerts, trial, trial.exposed)
        if wanted.upper:
            return measured.ci95.high if measured.ci95 is not None else float("inf")
        return measured.value or 0.0

    return cost


def stretch(trial: Trial, threshold: float, subjects: Collection[int] | None = None) -> Stretch:
    """The figures of a trial from its `since` on, or of some of its patients."""
    exposed = trial.exposed if subjects is None else restricted(trial.exposed, subjects)
    alerts = [one for one in trial.alerts(threshold) if subjects is None or one.episode.subject_id in subjects]
    hits, pairs_at_risk = trial.prioritised(threshold) if subjects is None else (0, 0)
    share = Measured(hits / pairs_at_risk, wilson(hits, pairs_at_risk)) if pairs_at_risk else Measured(None, None)
    counts = _counts(alerts, exposed)
    return Stretch(
        nights=NightRange(trial.since, trial.replay.last),
        patients=len(exposed.subjects),
        person_years=exposed.years,
        alerts=len(alerts),
        alerts_per_week=_alerts_per_week(alerts, trial, exposed),
        false_per_1000=_false_per_1000(alerts, trial, exposed),
        followed_days_max=int(exposed.days.max()) if len(exposed.days) else 0,
        episodes_per_1000_py=_rate(counts * 1000, exposed.days / burdens.YEAR_DAYS, exposed, trial.resample, 1000),
        prioritised=hits,
        at_risk=pairs_at_risk,
        prioritised_share=share,
    )


def restricted(exposed: burdens.Exposure, subjects: Collection[int]) -> burdens.Exposure:
    """The exposure of some of its patients."""
    keep = [place for place, subject in enumerate(exposed.subjects) if subject in subjects]
    own = tuple(exposed.subjects[place] for place in keep)
    return replace(exposed, subjects=own, days=exposed.days[keep])


def _counts(alerts: Alerts, exposed: burdens.Exposure) -> Floats:
    place = {subject: index for index, subject in enumerate(exposed.subjects)}
    counts = np.zeros(len(exposed.subjects))
    for one in alerts:
        if one.episode.subject_id in place:
            counts[place[one.episode.subject_id]] += 1
    return counts


def _alerts_per_week(alerts: Alerts, trial: Trial, exposed: burdens.Exposure) -> Measured:
    """New episodes a week; the interval resamples patients, as many as there are."""
    weeks = len(NightRange(trial.since, trial.replay.last)) / WEEK_DAYS
    share = np.full(len(exposed.subjects), weeks / max(1, len(exposed.subjects)))
    return _rate(_counts(alerts, exposed), share, exposed, trial.resample, 1)


def _rate(counts: Floats, exposure: Floats, exposed: burdens.Exposure, resample: Resample, scale: float) -> Measured:
    whole = float(exposure.sum())
    if whole <= 0:
        return Measured(None, None)
    if counts.sum() == 0:
        return Measured(0.0, none_seen(whole / scale))
    return Measured(float(counts.sum()) / whole, resample.ratio(counts, exposure, exposed.subjects))


def _false_per_1000(alerts: Alerts, trial: Trial, exposed: burdens.Exposure) -> Measured:
    """Undetermined alerts count as false (zebrawatch.outcome.burden)."""
    curve = burdens.cumulative(alerts, (*burdens.FALSE, burdens.UNDETERMINED), exposed, trial.resample)
    told = curve.by(trial.protocol.windows.horizon_days)
    return Measured(told["value"], told["ci95"])


def _rounded_up(threshold: float) -> float:
    """Three digits, not below: a threshold for people to write down that alerts nobody more."""
    near = float(f"{threshold:.3g}")
    if near >= threshold:
        return min(near, 1.0)
    step = 10.0 ** (np.floor(np.log10(threshold)) - 2)
    return min(float(f"{threshold + step / 2:.3g}"), 1.0)
