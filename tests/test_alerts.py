"""Alerts and episodes: little stories a clinician could follow, and the fold's one great promise."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.nights import NightRange
from zebrawatch.screen.alerts import AlertPolicy, Facts, FlagChange, NightScore, PatientState, Shown, Span, fold

DAY0 = date(2024, 1, 1)
YEAR = NightRange(DAY0, DAY0 + timedelta(days=365))
POLICY = AlertPolicy(threshold=0.5)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def score(n: int, p: float, *ids: str, cause: str = "evidence", read: bool = False) -> NightScore:
    shown = tuple(Shown(i + 1, d, d.lower(), 0.1, 1.0) for i, d in enumerate(ids or ("OMIM:1",)))
    return NightScore(night(n), p, shown, cause, read)  # type: ignore[arg-type]


def story(
    *scores: NightScore, facts: Facts | None = None, policy: AlertPolicy = POLICY, nights: NightRange = YEAR
) -> list[FlagChange]:
    return fold(policy, PatientState(7), scores, facts or Facts(), nights, YEAR.first)[0]


def told(changes: list[FlagChange]) -> list[tuple[int, str, str]]:
    return [((c.night - DAY0).days, c.action, c.reason) for c in changes]


def test_alert_stands_until_evidence_is_withdrawn() -> None:
    changes = story(score(3, 0.2), score(10, 0.7), score(40, 0.8), score(60, 0.3))
    assert told(changes) == [(10, "raise", "threshold"), (60, "withdraw", "below threshold")]
    assert {c.episode_id for c in changes} == {"7:2024-01-11"}


def test_a_standing_night_is_no_new_alert_but_a_new_list_is_shown() -> None:
    changes = story(score(10, 0.7, "A", "B"), score(11, 0.75, "A", "B"), score(12, 0.7, "B", "A"))
    assert told(changes) == [(10, "raise", "threshold"), (12, "show", "list changed")]
    assert [entry.disease_id for entry in changes[-1].shown] == ["B", "A"]


def test_a_raise_within_ninety_days_continues_the_episode_and_the_next_day_does_not() -> None:
    same = story(score(1, 0.9), score(10, 0.1), score(100, 0.9))
    other = story(score(1, 0.9), score(10, 0.1), score(101, 0.9))
    assert len({c.episode_id for c in same}) == 1
    assert len({c.episode_id for c in other}) == 2


def test_persistence_dates_the_alert_to_the_night_it_is_met() -> None:
    policy = AlertPolicy(threshold=0.5, persistence_nights=3)
    (change,) = story(score(10, 0.9), policy=policy)
    assert (change.night, change.met_night) == (night(13), night(10))
    assert told(story(score(10, 0.9), score(12, 0.1), policy=policy)) == []
    (later,) = story(score(10, 0.9), score(12, 0.1), score(14, 0.9), policy=policy)
    assert (later.night, later.met_night) == (night(17), night(14))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(suspected_night=night(20)), "suspected"),
        (Facts(died=(Span(night(20)),)), "died"),
        (Facts(restricted=(Span(night(20)),)), "restricted"),
        (Facts(merged=(Span(night(20)),)), "merged"),
    ],
)
def test_what_ends_an_alert_also_keeps_one_from_being_raised(facts: Facts, reason: str) -> None:
    assert told(story(score(10, 0.9), facts=facts)) == [(10, "raise", "threshold"), (20, "withdraw", reason)]
    assert told(story(score(20, 0.9), facts=facts)) == []  # the same night: suspicion wins
    assert told(story(score(30, 0.9), facts=facts)) == []


@pytest.mark.parametrize("bar", ["restricted", "merged", "died"])
def test_a_bar_that_is_lifted_lets_the_standing_score_alert_again(bar: str) -> None:
    facts = Facts(**{bar: (Span(night(20), night(30)),)})  # type: ignore[arg-type]
    assert told(story(score(10, 0.9), facts=facts)) == [
        (10, "raise", "threshold"), (20, "withdraw", bar), (30, "raise", "threshold"),
    ]  # fmt: skip


def test_a_removed_source_is_named_as_the_reason() -> None:
    assert told(story(score(1, 0.9), score(5, 0.1, cause="source removed")))[-1] == (5, "withdraw", "source removed")


def test_an_alert_by_a_new_background_is_tagged_until_evidence_earns_it() -> None:
    changes = story(score(1, 0.9, cause="background"), score(9, 0.9), score(12, 0.9))
    assert told(changes) == [(1, "raise", "new background"), (9, "show", "threshold")]


def test_a_list_that_was_read_later_is_shown_anew_and_earns_nothing() -> None:
    changes = story(
        score(1, 0.9, "A", "B", cause="background"), score(4, 0.9, "B", "A", cause="background", read=True),
        score(9, 0.9, "A", "B"),
    )  # fmt: skip
    assert told(changes) == [(1, "raise", "new background"), (4, "show", "list changed"), (9, "show", "threshold")]


def test_backlog_is_what_the_first_screened_night_met() -> None:
    assert [c.backlog for c in story(score(0, 0.9))] == [True]
    assert [c.backlog for c in story(score(1, 0.9))] == [False]
    waiting = AlertPolicy(threshold=0.5, persistence_nights=2)
    assert [(c.backlog, c.night) for c in story(score(0, 0.9), policy=waiting)] == [(True, night(2))]


def test_a_lower_floor_keeps_an_alert_from_flickering() -> None:
    calm = AlertPolicy(threshold=0.5, withdraw_below=0.4)
    assert told(story(score(1, 0.6), score(2, 0.45), score(3, 0.39), policy=calm)) == [
        (1, "raise", "threshold"), (3, "withdraw", "below threshold"),
    ]  # fmt: skip


def test_only_k_diseases_are_shown_and_rows_fit_the_table() -> None:
    (change,) = story(score(1, 0.9, *"ABCDEFGH"))
    row = change.as_row("2024")
    assert [entry["disease_id"] for entry in row["shown"]] == list("ABCDE")
    from zebrawatch.schemas import FLAGS

    assert list(row) == FLAGS.schema.names


def test_wrong_input_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="two scores on one night"):
        story(score(1, 0.1), score(1, 0.2))
    with pytest.raises(ValueError, match="outside the nights"):
        story(score(999, 0.1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        score(1, float("nan"))
    with pytest.raises(ValueError, match="before the first screened night"):
        fold(POLICY, PatientState(7), [], Facts(), YEAR, night(5))


LENGTH = 40
nights_in = st.integers(0, LENGTH - 1)
spans = st.tuples(nights_in, st.integers(1, 9)).map(lambda v: Span(night(v[0]), night(v[0] + v[1])))


@st.composite
def lives(draw: st.DrawFn) -> tuple[AlertPolicy, list[NightScore], Facts]:
    policy = AlertPolicy(
        threshold=0.5,
        k=2,
        persistence_nights=draw(st.integers(0, 4)),
        same_episode_days=draw(st.integers(0, 12)),
        withdraw_below=draw(st.sampled_from([None, 0.3])),
    )
    scores = [
        score(n, draw(st.sampled_from([0.1, 0.4, 0.5, 0.9])), *draw(st.permutations(["A", "B", "C"])),
              cause=draw(st.sampled_from(["evidence", "background", "source removed"])),
              read=draw(st.booleans()))
        for n in sorted(draw(st.sets(nights_in, max_size=12)))
    ]  # fmt: skip
    maybe = st.one_of(st.none(), nights_in.map(night))
    facts = Facts(draw(maybe), *(tuple(draw(st.lists(spans, max_size=most))) for most in (1, 2, 1)))
    return policy, scores, facts


@settings(max_examples=150, deadline=None)
@given(lives(), st.lists(nights_in, max_size=6))
def test_a_range_at_once_equals_any_cut_of_it(
    life: tuple[AlertPolicy, list[NightScore], Facts], cuts: list[int]
) -> None:
    policy, scores, facts = life
    whole = NightRange(DAY0, night(LENGTH - 1))
    expected, end = fold(policy, PatientState(7), scores, facts, whole, DAY0)
    for starts in (sorted({0, *cuts}), list(range(LENGTH))):
        state, rows = PatientState(7), []
        for first, following in zip(starts, [*starts[1:], LENGTH], strict=True):
            part = NightRange(night(first), night(following - 1))
            changes, carried = fold(policy, state, [s for s in scores if s.night in part], facts, part, DAY0)
            rows += changes
            state = PatientState.from_json(carried.to_json())
            stored = [change.as_row("x") for change in rows]
            assert PatientState.rebuild(policy, 7, stored, scores, facts, DAY0, part.last) == state
        assert rows == expected
        assert state == end


@settings(max_examples=100, deadline=None)
@given(lives())
def test_nobody_is_alerted_while_barred_and_changes_alternate(
    life: tuple[AlertPolicy, list[NightScore], Facts],
) -> None:
    policy, scores, facts = life
    changes = fold(policy, PatientState(7), scores, facts, NightRange(DAY0, night(LENGTH - 1)), DAY0)[0]
    is_open = False
    for change in changes:
        assert (change.action == "raise") is not is_open
        if change.action != "withdraw":
            assert facts.bar(change.night) is None
        is_open = change.action != "withdraw"
    assert len({(c.night, c.action) for c in changes}) == len(changes)
