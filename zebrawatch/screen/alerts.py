"""Alerts and their episodes: one pure fold over nights (OUTCOMES, "Alert, episode, hit").

A patient is scored on the nights on which something of theirs became known; in between the last score stands. The fold
therefore stops only where something can change: at a score, at a fact (suspicion, death, restriction, merge), and on
the night on which a pending alert has persisted long enough. Folding a range at once equals folding it night by night.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Literal, NamedTuple, Protocol

from zebrawatch.nights import NightRange

Action = Literal["raise", "show", "withdraw"]
Cause = Literal["evidence", "background", "source removed"]
NEW_BACKGROUND, POLICY, BUDGET = "new background", "policy", "budget"
NOT_OWN = (NEW_BACKGROUND, POLICY)
"""Reasons of a raise that did not come from the patient's own evidence: such an alert gives no lead."""


class Shown(NamedTuple):
    """One disease of an alert's list: the columns of schemas.SHOWN."""

    rank: int
    disease_id: str
    disease_name: str
    posterior: float
    log10_lr: float


@dataclass(frozen=True)
class NightScore:
    """The score of one patient on one night.

    `p_any` is P(any listed rare disease), `shown` the ranked diseases, best first (the policy cuts them at K).
    `cause` says what moved the score since the one before: evidence of the patient, `background` where the same
    evidence would not have passed under the background or release used before, `source removed` where evidence left
    through a correction or deletion. `read`: the score of an earlier night, whose list a language model has read since.
    """

    night: date
    p_any: float
    shown: tuple[Shown, ...]
    cause: Cause = "evidence"
    read: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.p_any <= 1.0 or math.isnan(self.p_any):
            raise ValueError(
                f"P(any listed rare disease) of night {self.night} must lie between 0 and 1, not {self.p_any}"
            )


SCORE_COLUMNS = ("subject_id", "night", "rank", "disease_id", "disease_name", "posterior", "log10_lr", "p_any", "cause")
"""Columns of schemas.CANDIDATES that make scores."""


def scores_of(rows: Iterable[Mapping[str, Any]]) -> list[NightScore]:
    """A patient's scores, one a night, of candidate rows; a row of rank 0 is a score that lists nothing."""
    ordered = sorted(rows, key=lambda row: (row["night"], row["rank"]))
    scores = []
    for night, group in groupby(ordered, key=lambda row: row["night"]):
        listed = list(group)
        shown = tuple(Shown(*(row[name] for name in Shown._fields)) for row in listed if row["rank"] > 0)
        scores.append(NightScore(night, listed[0]["p_any"], shown, listed[0]["cause"]))
    return scores


@dataclass(frozen=True)
class AlertPolicy:
    """When a patient is alerted.

    An alert is raised when `p_any` has been at or above `threshold` on `persistence_nights` + 1 nights in a row, and
    withdrawn when it falls below `withdraw_below` (the threshold itself unless set lower, which keeps an alert from
    flickering). A raise at most `same_episode_days` after a withdrawal continues the episode. K diseases are shown.

    By disease: `suspended` ones are neither shown nor counted, `suppressed` ones may be shown but raise no alert, and
    one with a threshold of its own counts only where its own share reaches that. What does not count is taken off
    `p_any`. `budget` caps the new alerts of a night over all patients (zebrawatch.screen.budget).
    """

    threshold: float
    k: int = 5
    persistence_nights: int = 0
    same_episode_days: int = 90
    withdraw_below: float | None = None
    suspended: frozenset[str] = frozenset()
    suppressed: frozenset[str] = frozenset()
    thresholds: tuple[tuple[str, float], ...] = ()
    budget: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"the alert threshold must lie in (0, 1], not {self.threshold}")
        if self.k < 1 or self.persistence_nights < 0 or self.same_episode_days < 0:
            raise ValueError("k must be at least 1, persistence_nights and same_episode_days at least 0")
        if self.withdraw_below is not None and not 0.0 <= self.withdraw_below <= self.threshold:
            raise ValueError("withdraw_below must lie between 0 and the threshold")
        if self.budget is not None and self.budget < 0:
            raise ValueError(f"a budget of new alerts a night is 0 or more, not {self.budget}")

    @property
    def floor(self) -> float:
        """The probability below which an open alert is withdrawn."""
        return self.threshold if self.withdraw_below is None else self.withdraw_below

    def on(self, night: date) -> AlertPolicy:  # noqa: ARG002
        """The policy of a night: one that never changes is its own."""
        return self

    def turns(self) -> frozenset[date]:
        """Nights on which the policy changes."""
        return frozenset()

    def has_budget(self, nights: NightRange) -> bool:  # noqa: ARG002
        """Whether new alerts are capped."""
        return self.budget is not None

    def judged(self, score: NightScore) -> NightScore:
        """The score as this policy takes it: what does not count is off `p_any`, and the list is cut at K."""
        own = dict(self.thresholds)
        off = [
            one.posterior
            for one in score.shown
            if one.disease_id in self.suspended
            or one.disease_id in self.suppressed
            or one.posterior < own.get(one.disease_id, 0.0)
        ]
        left = tuple(one for one in score.shown if one.disease_id not in self.suspended)[: self.k]
        return replace(score, p_any=max(0.0, score.p_any - sum(off)) if off else score.p_any, shown=left)


class Policy(Protocol):
    """An alert policy over time: AlertPolicy, which never changes, or zebrawatch.screen.policy.PolicyHistory."""

    def on(self, night: date) -> AlertPolicy: ...

    def turns(self) -> frozenset[date]: ...

    def has_budget(self, nights: NightRange) -> bool: ...


class Span(NamedTuple):
    """Nights `first` up to, not including, `until`; open-ended where `until` is None."""

    first: date
    until: date | None = None

    def holds(self, night: date) -> bool:
        return self.first <= night and (self.until is None or night < self.until)


@dataclass(frozen=True)
class Facts:
    """What bars a patient from being alerted, by the night from which it was known.

    `suspected_night` is the earliest suspicion of any kind. `died` are the nights on which the record states a death,
    `restricted` covers restricted records and opt-outs, `merged` the nights on which the record is merged into
    another; all three can be undone.
    """

    suspected_night: date | None = None
    died: tuple[Span, ...] = ()
    restricted: tuple[Span, ...] = ()
    merged: tuple[Span, ...] = ()

    def bar(self, night: date) -> str | None:
        """The reason why this patient cannot be alerted on `night`; None where nothing bars."""
        if self.suspected_night is not None and self.suspected_night <= night:
            return "suspected"
        if any(span.holds(night) for span in self.died):
            return "died"
        if any(span.holds(night) for span in self.restricted):
            return "restricted"
        return "merged" if any(span.holds(night) for span in self.merged) else None

    def turns(self) -> set[date]:
        """Nights on which a bar begins or ends."""
        spans = (*self.died, *self.restricted, *self.merged)
        ends = {span.until for span in spans if span.until is not None}
        suspected = set() if self.suspected_night is None else {self.suspected_night}
        return {span.first for span in spans} | ends | suspected


@dataclass(frozen=True)
class PatientState:
    """What must be carried from the night before a range: the standing score and the episode as far as it has come."""

    subject_id: int
    score: NightScore | None = None
    met_night: date | None = None
    open: bool = False
    episode_first: date | None = None
    withdrawn_night: date | None = None
    shown: tuple[Shown, ...] = ()
    background_only: bool = False
    backlog: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `from_json` gives the same state back."""
        score = self.score
        return {
            "subject_id": self.subject_id,
            "score": None
            if score is None
            else {
                "night": score.night.isoformat(),
                "p_any": score.p_any,
                "shown": [list(entry) for entry in score.shown],
                "cause": score.cause,
                "read": score.read,
            },
            "met_night": _iso(self.met_night),
            "open": self.open,
            "episode_first": _iso(self.episode_first),
            "withdrawn_night": _iso(self.withdrawn_night),
            "shown": [list(entry) for entry in self.shown],
            "background_only": self.background_only,
            "backlog": self.backlog,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PatientState:
        """Read what `to_json` wrote."""
        score = values["score"]
        return cls(
            subject_id=values["subject_id"],
            score=None
            if score is None
            else NightScore(
                date.fromisoformat(score["night"]),
                score["p_any"],
                _entries(score["shown"]),
                score["cause"],
                score["read"],
            ),
            met_night=_date(values["met_night"]),
            open=values["open"],
            episode_first=_date(values["episode_first"]),
            withdrawn_night=_date(values["withdrawn_night"]),
            shown=_entries(values["shown"]),
            background_only=values["background_only"],
            backlog=values["backlog"],
        )

    @classmethod
    def rebuild(
        cls,
        policy: Policy,
        subject_id: int,
        flags: Iterable[Mapping[str, Any]],
        scores: Iterable[NightScore],
        facts: Facts,
        first_screened_night: date,
        through: date,
    ) -> PatientState:
        """The state at the end of night `through`, from stored rows.

        `flags` are the patient's rows of schemas.FLAGS (mappings), `scores` the patient's stored scores; rows after
        `through` are ignored. Equals the state that `fold` carried, where the same policy was used.
        """
        known = sorted((score for score in scores if score.night <= through), key=lambda score: score.night)
        state = cls(subject_id, score=known[-1] if known else None)
        for row in sorted((row for row in flags if row["night"] <= through), key=lambda row: row["night"]):
            state = _replayed(state, row)
        if state.open:
            return state
        return replace(state, met_night=_pending_since(policy, known, facts, first_screened_night, through))


@dataclass(frozen=True)
class FlagChange:
    """One row of schemas.FLAGS, without `night_range`."""

    subject_id: int
    episode_id: str
    night: date
    action: Action
    reason: str
    met_night: date | None
    p_any: float
    threshold: float
    shown: tuple[Shown, ...]
    backlog: bool

    def as_row(self, night_range: str) -> dict[str, Any]:
        """The row as schemas.FLAGS wants it."""
        return {
            "subject_id": self.subject_id,
            "episode_id": self.episode_id,
            "night": self.night,
            "action": self.action,
            "reason": self.reason,
            "met_night": self.met_night,
            "p_any": self.p_any,
            "threshold": self.threshold,
            "shown": [entry._asdict() for entry in self.shown],
            "backlog": self.backlog,
            "night_range": night_range,
        }


class Step(NamedTuple):
    """One look at a patient: what changed, the state after it, and the state had no alert been raised."""

    change: FlagChange | None
    state: PatientState
    otherwise: PatientState

    @property
    def opens(self) -> bool:
        """Whether a new episode begins: the new alerts that a budget counts."""
        change = self.change
        return change is not None and change.action == "raise" and self.state.episode_first == change.night


def fold(
    policy: Policy,
    state: PatientState,
    scores: Sequence[NightScore],
    facts: Facts,
    nights: NightRange,
    first_screened_night: date,
) -> tuple[list[FlagChange], PatientState]:
    """Carry one patient's alert through `nights`: the changes in order of night, and the state at the end of the last
    night.

    `state` is that of the night before the range. `scores` are the patient's scores within the range, at most one a
    night; `facts` may know of later nights: they act from their own. An alert whose condition was met on
    `first_screened_night` is backlog. A budget is not looked at (zebrawatch.screen.budget). ValueError: a score outside
    the range, two scores on one night, a range before the first screened night.
    """
    changes: list[FlagChange] = []
    for step in steps(policy, state, scores, facts, nights, first_screened_night):
        changes += [step.change] if step.change else []
        state = step.state
    return changes, state


def steps(
    policy: Policy,
    state: PatientState,
    scores: Sequence[NightScore],
    facts: Facts,
    nights: NightRange,
    first_screened_night: date,
) -> Iterator[Step]:
    """What `fold` does, look by look."""
    by_night = _by_night(scores, nights)
    if nights.first < first_screened_night:
        raise ValueError(f"nights {nights} begin before the first screened night {first_screened_night}")
    turns = facts.turns() | policy.turns()
    stops = sorted({nights.first, *by_night, *(night for night in turns if night in nights)})
    for stop, following in zip(stops, [*stops[1:], nights.last + timedelta(days=1)], strict=True):
        if stop in by_night:
            state = replace(state, score=by_night[stop])
        step = _looked(policy, state, facts, stop, first_screened_night)
        yield step
        due = _due(policy.on(stop), step.state)
        if due is not None and stop < due < following:
            step = _looked(policy, step.state, facts, due, first_screened_night)
            yield step
        state = step.state


def _looked(policy: Policy, state: PatientState, facts: Facts, night: date, first_screened_night: date) -> Step:
    change, after = _turn(policy, state, facts, night, first_screened_night)
    return Step(change, after, replace(state, met_night=after.met_night))


def _by_night(scores: Sequence[NightScore], nights: NightRange) -> dict[date, NightScore]:
    by_night = {score.night: score for score in scores}
    if len(by_night) < len(scores):
        raise ValueError("a patient has two scores on one night")
    outside = [night for night in by_night if night not in nights]
    if outside:
        raise ValueError(f"a score of night {min(outside)} lies outside the nights {nights}")
    return by_night


def _due(policy: AlertPolicy, state: PatientState) -> date | None:
    if state.open or state.met_night is None:
        return None
    return state.met_night + timedelta(days=policy.persistence_nights)


def _turn(
    policy: Policy, state: PatientState, facts: Facts, night: date, first_screened_night: date
) -> tuple[FlagChange | None, PatientState]:
    bar, held = facts.bar(night), policy.on(night)
    if state.open:
        return _while_open(policy, state, bar, night)
    score = held.judged(state.score) if state.score else None
    if bar is not None or score is None or score.p_any < held.threshold:
        return None, replace(state, met_night=None)
    state = replace(state, met_night=state.met_night or night)
    due = _due(held, state)
    if due is None or night < due:
        return None, state
    return _raised(policy, state, score, night, first_screened_night)


def _raised(
    policy: Policy, state: PatientState, score: NightScore, night: date, first_screened_night: date
) -> tuple[FlagChange, PatientState]:
    held = policy.on(night)
    continues = (
        state.episode_first is not None
        and state.withdrawn_night is not None
        and (night - state.withdrawn_night).days <= held.same_episode_days
    )
    by_policy = state.met_night is not None and _met_by_policy(policy, state.score, state.met_night)
    waited = BUDGET if _was_due_before(policy, state, night) else "threshold"
    reason = POLICY if by_policy else NEW_BACKGROUND if score.cause == "background" else waited
    state = replace(
        state,
        open=True,
        episode_first=state.episode_first if continues else night,
        withdrawn_night=None,
        shown=score.shown,
        background_only=reason in NOT_OWN,
        backlog=state.backlog if continues else state.met_night == first_screened_night,
    )
    return _change(held, state, score, night, "raise", reason), state


def _was_due_before(policy: Policy, state: PatientState, night: date) -> bool:
    """Whether the alert was due on the night before and is raised only now: that night's budget was spent."""
    eve = night - timedelta(days=1)
    due = _due(policy.on(eve), state)
    return due is not None and due <= eve and policy.on(eve).budget is not None


def _met_by_policy(policy: Policy, score: NightScore | None, night: date) -> bool:
    """Whether only the policy that began on `night` lets the score pass: such an alert gives no lead."""
    if score is None or night not in policy.turns():
        return False
    before = policy.on(night - timedelta(days=1))
    return before.judged(score).p_any < before.threshold


def _while_open(
    policy: Policy, state: PatientState, bar: str | None, night: date
) -> tuple[FlagChange | None, PatientState]:
    if state.score is None:
        raise ValueError("an open alert without a score")
    held, turned = policy.on(night), night in policy.turns()
    score = held.judged(state.score)
    told = score.night == night
    fresh = told and not score.read
    if bar is not None or score.p_any < held.floor:
        removed = fresh and score.cause == "source removed"
        reason = bar or ("source removed" if removed else POLICY if turned and not fresh else "below threshold")
        change = _change(held, state, score, night, "withdraw", reason)
        return change, replace(
            state, open=False, met_night=None, withdrawn_night=night, shown=(), background_only=False
        )
    if not told and not turned:
        return None, state
    # An alert that a new background or policy raised is the patient's own from the first score that passes on evidence.
    earned = fresh and state.background_only and score.cause != "background" and score.p_any >= held.threshold
    if not earned and _ids(score.shown) == _ids(state.shown):
        return None, state
    state = replace(state, shown=score.shown, background_only=state.background_only and not earned)
    by_background = fresh and score.cause == "background"
    moved = POLICY if turned and not fresh else NEW_BACKGROUND if by_background else "list changed"
    return _change(held, state, score, night, "show", "threshold" if earned else moved), state


def _change(
    policy: AlertPolicy, state: PatientState, score: NightScore, night: date, action: Action, reason: str
) -> FlagChange:
    return FlagChange(
        state.subject_id, f"{state.subject_id}:{state.episode_first}", night, action, reason, state.met_night,
        score.p_any, policy.threshold, state.shown, state.backlog,
    )  # fmt: skip


def _replayed(state: PatientState, row: Mapping[str, Any]) -> PatientState:
    if row["action"] == "withdraw":
        return replace(state, open=False, met_night=None, withdrawn_night=row["night"], shown=(), background_only=False)
    state = replace(
        state,
        open=True,
        met_night=row["met_night"],
        withdrawn_night=None,
        episode_first=date.fromisoformat(row["episode_id"].rpartition(":")[2]),
        shown=tuple(Shown(**entry) for entry in row["shown"]),
        backlog=bool(row["backlog"]),
    )
    if row["reason"] in NOT_OWN:
        return replace(state, background_only=state.background_only or row["action"] == "raise")
    return replace(state, background_only=state.background_only and row["reason"] != "threshold")


def _pending_since(
    policy: Policy, scores: Sequence[NightScore], facts: Facts, first_screened_night: date, through: date
) -> date | None:
    """The night since which a closed alert's condition has held without a break; None where it does not hold."""
    turns = {first_screened_night, *(score.night for score in scores), *facts.turns(), *policy.turns()}
    since: date | None = None
    standing = iter((*scores, None))
    score, following = None, next(standing)
    for stop in sorted(night for night in turns if first_screened_night <= night <= through):
        while following is not None and following.night <= stop:
            score, following = following, next(standing)
        held = policy.on(stop)
        met = score is not None and facts.bar(stop) is None and held.judged(score).p_any >= held.threshold
        since = (since or stop) if met else None
    return since


def _ids(shown: Iterable[Shown]) -> tuple[str, ...]:
    return tuple(entry.disease_id for entry in shown)


def _entries(values: Iterable[Sequence[Any]]) -> tuple[Shown, ...]:
    return tuple(Shown(*value) for value in values)


def _iso(night: date | None) -> str | None:
    return None if night is None else night.isoformat()


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
