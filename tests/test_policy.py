"""The policy file: its mistakes in one sentence, its entries each from their night, and a range equal to its nights."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange
from zebrawatch.screen.alerts import AlertPolicy, Facts, FlagChange, NightScore, PatientState, Shown, fold
from zebrawatch.screen.policy import Patient, PolicyEntry, PolicyHistory, preview, read_policy

DAY0 = date(2025, 1, 1)
LENGTH = 30
WHOLE = NightRange(DAY0, DAY0 + timedelta(days=LENGTH - 1))
FILE = """
[[policy]]
from = 2025-01-01
by = "Dr. Ada Okafor"
why = "First policy, chosen on another hospital's data."
threshold = 0.5

[[policy]]
from = 2025-01-11
by = "Dr. Ada Okafor"
why = "Marfan clinic is closed in January."
threshold = 0.5
suspended = ["OMIM:154700"]
suppressed = ["OMIM:277900"]
never_screened = ["OMIM:143100"]
thresholds = { "ORPHA:558" = 0.3 }
"""


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def score(n: int, p: float, **shares: float) -> NightScore:
    shown = tuple(Shown(i + 1, d.replace("_", ":"), d, share, 1.0) for i, (d, share) in enumerate(shares.items()))
    return NightScore(night(n), p, shown)


def history(*entries: tuple[int, AlertPolicy]) -> PolicyHistory:
    return PolicyHistory(tuple(PolicyEntry(night(n), "me", "because", policy) for n, policy in entries))


def told(changes: list[FlagChange]) -> list[tuple[int, str, str]]:
    return [((c.night - DAY0).days, c.action, c.reason) for c in changes]


def story(policy: PolicyHistory, *scores: NightScore) -> list[tuple[int, str, str]]:
    return told(fold(policy, PatientState(7), scores, Facts(), WHOLE, DAY0)[0])


def test_each_entry_holds_from_its_night(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(FILE)
    found = read_policy(tmp_path / "policy.toml")
    assert found.on(date(2025, 1, 10)).suspended == frozenset()
    assert found.on(date(2025, 1, 11)).suspended == {"OMIM:154700", "OMIM:143100"}
    assert found.never(date(2025, 1, 11)) == {"OMIM:143100"}
    assert found.turns() == {date(2025, 1, 11)}
    assert found.digest(date(2025, 1, 10)) != found.digest(date(2025, 1, 11))
    assert found.digest(date(2025, 1, 10)) == PolicyHistory(found.entries[:1]).digest(date(2025, 2, 1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("threshold = 0.5", "threshold = 7"), "entry 1, threshold: input should be less than or equal to 1"),
        (("threshold = 0.5", "treshold = 0.5"), "entry 1, treshold: there is no such key; was threshold meant?"),
        (("[[policy]]", "[[polcy]]"), "polcy: there is no such key; was policy meant?"),
        (('by = "Dr. Ada Okafor"', ""), "entry 1, by: it is missing"),
        (("from = 2025-01-11", "from = 2025-01-01"), "one a night"),
        (('"OMIM:154700"', '"marfan"'), "entry 2, suspended.1"),
        (("[[policy]]", "[[policy"), "is not TOML"),
        (("threshold = 0.5", "threshold = 0.5\nwithdraw_below = 0.9"), "withdraw_below lies above threshold"),
        (("threshold = 0.5", "threshold = 0.5\nbudgets = 3"), "entry 1, budgets: there is no such key"),
        (("threshold = 0.5", "threshold = 0.5\nbudget = -1"), "entry 1, budget: input should be greater than"),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(FILE.replace(*change, 1))
    with pytest.raises(ConfigurationError) as error:
        read_policy(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value).partition("is not TOML")[0]


def test_a_disease_that_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(FILE)
    known = {"OMIM:154700": "OMIM:154700", "ORPHA:558": "OMIM:154700", "OMIM:277900": "OMIM:277900"}
    with pytest.raises(ConfigurationError, match="names OMIM:143100, which is no disease"):
        read_policy(tmp_path / "policy.toml", known)
    found = read_policy(tmp_path / "policy.toml", {**known, "OMIM:143100": "OMIM:143100"})
    assert found.on(date(2025, 1, 11)).thresholds == (("OMIM:154700", 0.3),)


PLAIN = AlertPolicy(0.5)
NO_MARFAN = AlertPolicy(0.5, suspended=frozenset({"OMIM:1"}))


def test_a_suspended_disease_ends_its_alerts_and_its_return_gives_no_lead() -> None:
    policy = history((0, PLAIN), (10, NO_MARFAN), (20, PLAIN))
    assert story(policy, score(3, 0.8, OMIM_1=0.7, OMIM_2=0.1)) == [
        (3, "raise", "threshold"), (10, "withdraw", "policy"), (20, "raise", "policy"),
    ]  # fmt: skip


def test_what_is_left_of_a_list_goes_on_without_the_suspended_disease() -> None:
    changes = fold(history((0, PLAIN), (10, NO_MARFAN)), PatientState(7),
                   [score(3, 0.95, OMIM_1=0.3, OMIM_2=0.6)], Facts(), WHOLE, DAY0)[0]  # fmt: skip
    assert told(changes) == [(3, "raise", "threshold"), (10, "show", "policy")]
    assert [one.disease_id for one in changes[-1].shown] == ["OMIM:2"]


def test_a_suppressed_disease_is_shown_and_raises_nothing() -> None:
    quiet = AlertPolicy(0.5, suppressed=frozenset({"OMIM:1"}))
    assert story(history((0, quiet)), score(3, 0.8, OMIM_1=0.7)) == []
    changes = fold(quiet, PatientState(7), [score(3, 0.95, OMIM_1=0.35, OMIM_2=0.6)], Facts(), WHOLE, DAY0)[0]
    assert [one.disease_id for one in changes[0].shown] == ["OMIM:1", "OMIM:2"]
    assert changes[0].p_any == pytest.approx(0.6)


def test_a_disease_with_a_threshold_of_its_own_counts_from_there() -> None:
    strict = AlertPolicy(0.5, thresholds=(("OMIM:1", 0.9),))
    assert story(history((0, strict)), score(3, 0.8, OMIM_1=0.8)) == []
    assert story(history((0, strict)), score(3, 0.95, OMIM_1=0.92)) == [(3, "raise", "threshold")]


def test_a_preview_says_what_a_change_would_have_done() -> None:
    scores = [score(3, 0.3, OMIM_1=0.2), score(15, 0.6, OMIM_1=0.5)]
    girl = Patient(7, scores, Facts(), [])
    last = NightRange(night(10), night(29))
    now, _ = preview([girl], PLAIN, last, DAY0)
    then, _ = preview([girl], history((0, PLAIN), (10, AlertPolicy(0.2))), last, DAY0)
    never, _ = preview([girl], history((0, PLAIN), (10, NO_MARFAN)), last, DAY0)
    assert (now.raised, now.open_at_end) == ({"OMIM_1": 1}, 1)
    assert (then.new_alerts, never.new_alerts) == (1, 0)


IDS = ("OMIM:1", "OMIM:2", "OMIM:3")
policies = st.builds(
    AlertPolicy,
    threshold=st.sampled_from([0.2, 0.5]),
    k=st.integers(1, 3),
    persistence_nights=st.integers(0, 3),
    same_episode_days=st.sampled_from([0, 5, 90]),
    suspended=st.frozensets(st.sampled_from(IDS), max_size=2),
    suppressed=st.frozensets(st.sampled_from(IDS), max_size=1),
    thresholds=st.sampled_from([(), (("OMIM:1", 0.3),)]),
)
histories = st.dictionaries(st.integers(1, LENGTH - 1), policies, max_size=3).flatmap(
    lambda later: policies.map(lambda first: history((0, first), *sorted(later.items())))
)
lives = st.dictionaries(
    st.integers(0, LENGTH - 1),
    st.tuples(st.permutations(IDS), st.sampled_from([(0.1, 0.05, 0.0), (0.4, 0.1, 0.05), (0.7, 0.2, 0.05)])),
    max_size=8,
).map(
    lambda found: [
        NightScore(
            night(n),
            sum(shares),
            tuple(Shown(i + 1, d, d, s, 1.0) for i, (d, s) in enumerate(zip(ids, shares, strict=True))),
        )
        for n, (ids, shares) in sorted(found.items())
    ]
)


@settings(max_examples=150, deadline=None)
@given(histories, lives, st.lists(st.integers(1, LENGTH - 1), max_size=5), st.none() | st.integers(0, LENGTH - 1))
def test_a_range_equals_any_cut_of_it_whatever_the_policy_did(
    policy: PolicyHistory, scores: list[NightScore], cuts: list[int], suspected: int | None
) -> None:
    facts = Facts(None if suspected is None else night(suspected))
    expected, _ = fold(policy, PatientState(7), scores, facts, WHOLE, DAY0)
    for starts in (sorted({0, *cuts}), list(range(LENGTH))):
        rows: list[FlagChange] = []
        for first, following in zip(starts, [*starts[1:], LENGTH], strict=True):
            part = NightRange(night(first), night(following - 1))
            stored = [change.as_row("x") for change in rows]
            eve = part.first - timedelta(days=1)
            state = PatientState.rebuild(policy, 7, stored, scores, facts, DAY0, eve)
            rows += fold(policy, state, [s for s in scores if s.night in part], facts, part, DAY0)[0]
        assert rows == expected


def test_the_command_says_a_mistake_in_one_sentence_and_what_is_sound(tmp_path: Path) -> None:
    import os

    from typer.testing import CliRunner

    from pipelines.commands.main import app

    path, before = tmp_path / "policy.toml", dict(os.environ)
    os.environ["ZEBRAWATCH_STATE__FOLDER"] = str(tmp_path / "state")
    try:
        path.write_text(FILE)
        assert "is sound: 2 entries" in CliRunner().invoke(app, ["policy", "check", str(path)]).stdout
        path.write_text(FILE.replace("OMIM:154700", "OMIM:999999"))
        said = CliRunner().invoke(app, ["policy", "check", str(path)])
        assert isinstance(said.exception, ConfigurationError)
        assert "OMIM:999999" in str(said.exception)
    finally:
        os.environ.clear()
        os.environ.update(before)
