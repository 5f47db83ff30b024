"""A budget of new alerts: over all patients, night by night, the most probable first; the others wait.

Only here does one patient's alert depend on another's. Whoever waits is closed like anybody below the threshold, and is
looked at again on the next night; so the state of a night is still each patient's own, and a range of nights equals its
nights one by one.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from zebrawatch.nights import NightRange
from zebrawatch.screen.alerts import Facts, FlagChange, NightScore, PatientState, Policy, Step, steps

Raised = tuple[float, int]
"""Negative P(any) and subject: the order in which new alerts of a night are taken."""


@dataclass(frozen=True)
class Life:
    """What the fold needs of one patient: the state before the range, scores within it in order of night, facts."""

    state: PatientState
    scores: Sequence[NightScore]
    facts: Facts


@dataclass
class _Folding:
    life: Life
    steps: Iterator[Step]
    state: PatientState
    changes: list[FlagChange] = field(default_factory=list)
    asking: Step | None = None
    """The new alert that waits for its night's budget."""

    def advance(self) -> None:
        """Go on to the next new alert, or to the end of the range."""
        self.asking = None
        for step in self.steps:
            if step.opens:
                self.asking = step
                return
            self._take(step)

    def grant(self) -> None:
        if self.asking:
            self._take(self.asking)

    def _take(self, step: Step) -> None:
        self.state = step.state
        self.changes += [step.change] if step.change else []


def fold_together(
    policy: Policy,
    lives: Mapping[int, Life],
    nights: NightRange,
    first_screened_night: date,
    elsewhere: Mapping[date, Sequence[Raised]] | None = None,
) -> dict[int, tuple[list[FlagChange], PatientState]]:
    """`alerts.fold` of many patients at once, under the budget of each night (AlertPolicy.budget).

    Of those who would be alerted anew on a night, as many are as its budget allows: highest P(any) first, ties by
    subject. The rest are not, and are asked about again on the next night. An episode that goes on takes no budget.
    `lives` are all patients who could be alerted anew, by subject; `elsewhere` are new alerts of other patients, known
    already (an audit makes one patient's flag again). One pass: a patient costs one fold, and one more for every night
    of waiting.
    """
    taken = {night: sorted(raised) for night, raised in (elsewhere or {}).items()}
    patients = {
        subject: _Folding(life, steps(policy, life.state, life.scores, life.facts, nights, first_screened_night),
                          life.state)
        for subject, life in sorted(lives.items())
    }  # fmt: skip
    asking: list[tuple[date, float, int]] = []
    granted: dict[date, int] = {}

    def next_of(subject: int) -> None:
        patients[subject].advance()
        if (step := patients[subject].asking) and step.change:
            heapq.heappush(asking, (step.change.night, -step.change.p_any, subject))

    for subject in patients:
        next_of(subject)
    while asking:
        night, order, subject = heapq.heappop(asking)
        budget, one = policy.on(night).budget, patients[subject]
        before = granted.get(night, 0) + bisect_left(taken.get(night, []), (order, subject))
        if budget is None or before < budget:
            granted[night] = granted.get(night, 0) + 1
            one.grant()
        elif one.asking:
            one.state = one.asking.otherwise
            after = night + timedelta(days=1)
            left = [score for score in one.life.scores if score.night >= after]
            rest = NightRange(after, nights.last) if after <= nights.last else None
            one.steps = steps(policy, one.state, left, one.life.facts, rest, first_screened_night) if rest else iter(())
        next_of(subject)
    return {subject: (one.changes, one.state) for subject, one in patients.items()}
