"""Who is read tonight, under a budget of patients, tokens or GPU-hours; why each is in or out is kept.

In order: patients the evidence arm would alert, then the likeliest of those above the floor. Who does not fit a night's
budget waits, and is considered again on the nights that follow, as long as the score stands. A fixed random sample of
the rest is read as well: what it finds measures what the shortlist misses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from zebrawatch.errors import ConfigurationError

CHARTS_A_PLACE = 4
SPENT = "the night's budget was spent"
WAITED = "waited for a place in the budget"


@dataclass(frozen=True)
class Scored:
    """A patient scored tonight: P(any listed rare disease), and why they may not be alerted ("" where they may).

    `prompt_tokens` is the length of the chart's prompt, None where none was made (`worth_a_chart`). `answered`: the
    same chart was asked about on an earlier night. `since`: the night of the score, where it is not tonight's and the
    patient has waited since then.
    """

    subject_id: int
    p_any: float
    bar: str = ""
    prompt_tokens: int | None = None
    answered: bool = False
    since: date | None = None


@dataclass(frozen=True)
class Budget:
    """The night's budget: at most so many patients and tokens (prompt and answer); None means no limit of that kind.

    GPU-hours become patients by zebrawatch.reasoning.budget. Of the rest `sample_share` are read within it, drawn at
    random, and at most `sample` patients.
    """

    patients: int | None = None
    tokens: int | None = None
    sample: int = 0
    sample_share: float = 1.0

    def __post_init__(self) -> None:
        if any(limit is not None and limit < 0 for limit in (self.patients, self.tokens, self.sample)):
            raise ConfigurationError("a budget of the reasoning arm cannot be negative.")


@dataclass(frozen=True)
class Choice:
    """Whether a patient is read on a night, and why. `sampled` ones were drawn from the rest."""

    subject_id: int
    night: date
    p_any: float
    read: bool
    reason: str
    sampled: bool = False


def worth_a_chart(scored: Sequence[Scored], budget: Budget, night: date, *, floor: float, seed: int) -> set[int]:
    """The patients whose chart is worth laying out: the likeliest of the shortlist, and the sample of the rest.

    Beyond CHARTS_A_PLACE charts for each place in the budget nobody has a chance: unchanged charts take no place, but
    they are few on a night on which their patients were scored.
    """
    listed, rest = _parted(scored, night, floor, seed)
    most = None if budget.patients is None else budget.patients * CHARTS_A_PLACE
    return {s.subject_id for s in [*listed[:most], *_drawn(rest, budget, night, seed)]}


def choose(
    scored: Sequence[Scored],
    budget: Budget,
    night: date,
    *,
    threshold: float,
    floor: float,
    answer_tokens: int,
    seed: int,
    questions: int = 1,
) -> list[Choice]:
    """Choose tonight's patients; one Choice for each scored tonight, in the order in which they were considered.

    Who has waited gets a Choice where they are read; otherwise they go on waiting (`still_waiting`). Unchanged charts
    that were asked about before cost nothing and are always in. The sample is drawn by a hash of seed, night and
    patient, so that it is the same on every run. `questions` asked of a patient each cost prompt and answer.
    """
    barred = sorted((s for s in scored if s.bar and not s.since), key=lambda s: s.subject_id)
    listed, rest = _parted(scored, night, floor, seed)
    purse = _Purse(budget, answer_tokens, questions)
    drawn = [
        Choice(s.subject_id, night, s.p_any, True, "random sample of the rest", sampled=True)
        for s in _drawn(rest, budget, night, seed)
        if purse.pay(s)
    ]
    considered = [(s, _choice(s, night, purse, threshold)) for s in listed]
    choices = [choice for s, choice in considered if choice.read or not s.since] + drawn
    sampled = {choice.subject_id for choice in drawn}
    choices += [
        Choice(s.subject_id, night, s.p_any, False, "below the shortlist's floor")
        for s in rest
        if s.subject_id not in sampled
    ]
    return choices + [Choice(s.subject_id, night, s.p_any, False, f"already {s.bar}") for s in barred]


def still_waiting(waiting: Iterable[Scored], tonight: Iterable[Scored], choices: Iterable[Choice]) -> list[Scored]:
    """Who waits after a night: those who waited and were neither read nor scored anew, and those it had no place for.

    `tonight` are those scored on the night, `choices` what `choose` made of both.
    """
    chosen = {choice.subject_id: choice for choice in choices}
    fresh = {scored.subject_id for scored in tonight}
    left = [s for s in waiting if s.subject_id not in chosen and s.subject_id not in fresh]
    spent = [c for c in chosen.values() if c.reason == SPENT]
    return left + [Scored(c.subject_id, c.p_any, since=c.night) for c in spent]


def _parted(scored: Sequence[Scored], night: date, floor: float, seed: int) -> tuple[list[Scored], list[Scored]]:
    """The shortlist, likeliest first, and the rest in the order of tonight's lot."""
    ranked = sorted((s for s in scored if not s.bar), key=lambda s: (-s.p_any, s.subject_id))
    rest = sorted((s for s in ranked if s.p_any < floor and not s.since), key=lambda s: _lot(s, night, seed))
    return [s for s in ranked if s.p_any >= floor], rest


def _choice(scored: Scored, night: date, purse: _Purse, threshold: float) -> Choice:
    if scored.answered:
        return Choice(scored.subject_id, night, scored.p_any, True, "answered before, chart unchanged")
    if not purse.pay(scored):
        return Choice(scored.subject_id, night, scored.p_any, False, SPENT)
    if scored.since:
        why = WAITED
    elif scored.p_any >= threshold:
        why = "would be alerted by the evidence arm"
    else:
        why = "among the likeliest below the threshold"
    return Choice(scored.subject_id, night, scored.p_any, True, why)


class _Purse:
    """What is left of the budget; the sample is paid first, so that it cannot be crowded out."""

    def __init__(self, budget: Budget, answer_tokens: int, questions: int) -> None:
        self._patients = budget.patients
        self._tokens = budget.tokens
        self._answer = answer_tokens
        self._questions = questions

    def pay(self, scored: Scored) -> bool:
        if scored.answered:
            return True
        if scored.prompt_tokens is None:
            return False
        cost = (scored.prompt_tokens + self._answer) * self._questions
        if (self._patients is not None and self._patients < 1) or (self._tokens is not None and self._tokens < cost):
            return False
        if self._patients is not None:
            self._patients -= 1
        if self._tokens is not None:
            self._tokens -= cost
        return True


def _drawn(rest: Sequence[Scored], budget: Budget, night: date, seed: int) -> list[Scored]:
    return [each for each in rest if _lot(each, night, seed) < budget.sample_share][: budget.sample]


def _lot(scored: Scored, night: date, seed: int) -> float:
    """A number in [0, 1) drawn by seed, night and patient."""
    return int(hashlib.sha256(f"{seed}|{night}|{scored.subject_id}".encode()).hexdigest()[:12], 16) / 16**12
