"""A budget of new alerts: the most probable first, the others on a later night, a range equal to its nights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from lake_rows import frame

from zebrawatch.engine.flags import Folding, flags
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CANDIDATES, FLAGS
from zebrawatch.screen.alerts import AlertPolicy, Facts, FlagChange, NightScore, PatientState, Shown, Span, fold
from zebrawatch.screen.budget import Life, Raised, fold_together
from zebrawatch.screen.policy import Patient, PolicyEntry, PolicyHistory, preview

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY0 = date(2025, 1, 1)
LENGTH = 24
WHOLE = NightRange(DAY0, DAY0 + timedelta(days=LENGTH - 1))
ONE = AlertPolicy(0.5, budget=1)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def score(n: int, p: float, disease: str = "OMIM:1") -> NightScore:
    return NightScore(night(n), p, (Shown(1, disease, disease, p, 1.0),))


def history(*entries: tuple[int, AlertPolicy]) -> PolicyHistory:
    return PolicyHistory(tuple(PolicyEntry(night(n), "me", "because", policy) for n, policy in entries))


def lives(scores: Mapping[int, Sequence[NightScore]], facts: Mapping[int, Facts] | None = None) -> dict[int, Life]:
    return {one: Life(PatientState(one), found, (facts or {}).get(one, Facts())) for one, found in scores.items()}


def told(changes: Sequence[FlagChange]) -> list[tuple[int, str, str]]:
    return [((c.night - DAY0).days, c.action, c.reason) for c in changes]


def stories(
    policy: AlertPolicy | PolicyHistory, scores: Mapping[int, Sequence[NightScore]], **more: Mapping[date, list[Raised]]
) -> dict[int, list[tuple[int, str, str]]]:
    return {one: told(found[0]) for one, found in fold_together(policy, lives(scores), WHOLE, DAY0, **more).items()}


def test_the_most_probable_are_told_first_and_the_others_from_the_next_night() -> None:
    found = stories(ONE, {1: [score(3, 0.6)], 2: [score(3, 0.9)], 3: [score(3, 0.6)]})
    assert found == {
        2: [(3, "raise", "threshold")], 1: [(4, "raise", "budget")], 3: [(5, "raise", "budget")],
    }  # fmt: skip


def test_who_waits_and_falls_below_the_threshold_is_never_told() -> None:
    scores = {1: [score(3, 0.9)], 2: [score(3, 0.6), score(4, 0.1)], 3: [score(3, 0.7), score(5, 0.8)]}
    assert stories(ONE, scores)[2] == []
    suspected = fold_together(ONE, lives(scores, {3: Facts(night(4))}), WHOLE, DAY0)
    assert told(suspected[3][0]) == []
    assert suspected[3][1].met_night is None


def test_an_episode_that_goes_on_takes_no_budget() -> None:
    scores = {1: [score(1, 0.9), score(4, 0.1), score(6, 0.6)], 2: [score(6, 0.7)]}
    found = stories(ONE, scores)
    assert found[1][-1] == (6, "raise", "threshold")
    assert found[2] == [(6, "raise", "threshold")]


def test_a_waiting_alert_keeps_the_night_on_which_its_condition_was_met() -> None:
    raised = fold_together(ONE, lives({1: [score(0, 0.9)], 2: [score(0, 0.6)]}), WHOLE, DAY0)[2][0][0]
    assert (raised.night, raised.met_night, raised.backlog) == (night(1), night(0), True)
    assert raised.episode_id == f"2:{night(1)}"


def test_a_budget_of_nothing_raises_nothing_until_another_entry_holds() -> None:
    policy = history((0, AlertPolicy(0.5, budget=0)), (9, AlertPolicy(0.5)))
    assert stories(policy, {1: [score(3, 0.9)], 2: [score(3, 0.8)]}) == {
        1: [(9, "raise", "budget")], 2: [(9, "raise", "budget")],
    }  # fmt: skip


def test_alerts_known_already_take_their_part() -> None:
    """An audit makes one patient's flag again; the others' stand in the lake."""
    alone = {1: [score(3, 0.6)]}
    assert stories(ONE, alone, elsewhere={night(3): [(-0.9, 7)]})[1] == [(4, "raise", "budget")]
    assert stories(ONE, alone, elsewhere={night(3): [(-0.55, 7)]})[1] == [(3, "raise", "threshold")]


def test_a_preview_shows_what_a_budget_would_have_done() -> None:
    patients = [Patient(n, [score(15, 0.6 + n / 100)], Facts(), []) for n in range(5)]
    last = NightRange(night(10), night(16))
    then, changed = preview(patients, history((0, AlertPolicy(0.5)), (10, ONE)), last, DAY0)
    assert (then.new_alerts, then.open_at_end, sorted(changed)) == (2, 2, [3, 4])


lists = st.dictionaries(st.integers(0, LENGTH - 1), st.sampled_from([0.1, 0.3, 0.6, 0.8]), max_size=6).map(
    lambda found: [score(n, p) for n, p in sorted(found.items())]
)
bars = st.none() | st.integers(0, LENGTH - 1)
policies = st.builds(
    AlertPolicy,
    threshold=st.sampled_from([0.2, 0.5]),
    persistence_nights=st.integers(0, 2),
    same_episode_days=st.sampled_from([0, 3, 90]),
    budget=st.sampled_from([None, 0, 1, 2]),
)
histories = st.dictionaries(st.integers(1, LENGTH - 1), policies, max_size=3).flatmap(
    lambda later: policies.map(lambda first: history((0, first), *sorted(later.items())))
)


@settings(max_examples=150, deadline=None)
@given(histories, st.lists(st.tuples(lists, bars, bars), min_size=1, max_size=6), st.lists(st.integers(1, 23)))
def test_a_range_equals_any_cut_of_it(
    policy: PolicyHistory, people: list[tuple[list[NightScore], int | None, int | None]], cuts: list[int]
) -> None:
    scores = {n: found for n, (found, _, _) in enumerate(people)}
    facts = {
        n: Facts(
            None if suspected is None else night(suspected),
            restricted=() if barred is None else (Span(night(barred), night(barred + 3)),),
        )
        for n, (_, suspected, barred) in enumerate(people)
    }
    whole = fold_together(policy, lives(scores, facts), WHOLE, DAY0)
    for starts in (sorted({0, *cuts}), list(range(LENGTH))):
        rows: dict[int, list[FlagChange]] = {n: [] for n in scores}
        for first, following in pairwise([*starts, LENGTH]):
            part, eve = NightRange(night(first), night(following - 1)), night(first - 1)
            begun = {
                n: Life(
                    PatientState.rebuild(policy, n, [c.as_row("x") for c in rows[n]], scores[n], facts[n], DAY0, eve),
                    [one for one in scores[n] if one.night in part],
                    facts[n],
                )
                for n in scores
            }
            for n, (changes, _) in fold_together(policy, begun, part, DAY0).items():
                rows[n] += changes
        assert rows == {n: changes for n, (changes, _) in whole.items()}
    new = [
        c.night
        for changes, _ in whole.values()
        for c in changes
        if c.action == "raise" and c.episode_id.endswith(str(c.night))
    ]
    budgets = {one: policy.on(one).budget for one in new}
    assert all(budget is None or new.count(one) <= budget for one, budget in budgets.items())


@settings(max_examples=50, deadline=None)
@given(lists, st.builds(AlertPolicy, threshold=st.just(0.5), persistence_nights=st.integers(0, 2)))
def test_without_a_budget_each_patient_is_folded_alone(scores: list[NightScore], policy: AlertPolicy) -> None:
    assert fold_together(policy, lives({1: scores}), WHOLE, DAY0)[1] == fold(
        policy, PatientState(1), scores, Facts(), WHOLE, DAY0
    )


def test_under_spark_the_patients_of_a_night_share_its_budget(spark: SparkSession) -> None:
    rows = [
        {"subject_id": n, "night": night(3), "rank": 1, "disease_id": "OMIM:1", "disease_name": "One",
         "posterior": p, "log10_lr": 1.0, "p_any": p, "cause": "evidence"}
        for n, p in ((1, 0.6), (2, 0.9), (3, 0.2))
    ]  # fmt: skip
    facts = spark.createDataFrame([], "subject_id long, fact string, first date, until date")
    scored = frame(spark, CANDIDATES, rows)

    def made(over: NightRange, before: list[dict[str, object]]) -> list[dict[str, object]]:
        made = flags(scored, facts, frame(spark, FLAGS, before), Folding(ONE, over, DAY0, "UTC"))
        return sorted(made.toArrow().to_pylist(), key=lambda row: row["night"])

    whole = made(WHOLE, [])
    assert [(row["subject_id"], row["night"], row["reason"]) for row in whole] == [
        (2, night(3), "threshold"), (1, night(4), "budget"),
    ]  # fmt: skip
    first = made(NightRange(DAY0, night(3)), [])
    assert first + made(NightRange(night(4), night(9)), first) == whole
