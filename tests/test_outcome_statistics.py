"""The statistics, each against a published worked example, a second library, or a count made by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter, KaplanMeierFitter, NelsonAalenFitter
from outcome_stories import DAY0, FABRY, GAUCHER, flags, flags_of, matcher, on, people, suspicions

from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.intervals import Resample, percentile, weighted_median, wilson
from zebrawatch.outcome.pairs import pairs
from zebrawatch.outcome.time_to_event import aalen_johansen, first_alert_incidence, landmarks, mean_cumulative_count


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_intervals(hits: int, n: int, low: float, high: float) -> None:
    """R. G. Newcombe, Stat Med 1998;17:857, Table I, method 3."""
    found = wilson(hits, n)
    assert found is not None
    assert list(found) == pytest.approx([low, high], abs=5e-5)


def test_wilson_of_nobody_is_nothing() -> None:
    assert wilson(0, 0) is None


durations = st.lists(st.integers(1, 2000), min_size=3, max_size=40, unique=True)


@settings(max_examples=40, deadline=None)
@given(durations, st.data())
def test_aalen_johansen_equals_lifelines(times: list[int], data: st.DataObject) -> None:
    events = [data.draw(st.integers(0, 2)) for _ in times]
    if 1 not in events:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = AalenJohansenFitter(calculate_variance=False).fit(times, events, event_of_interest=1)
    ours = aalen_johansen(times, events, 1)
    for day in times:
        assert ours.at(day) == pytest.approx(float(theirs.cumulative_density_.loc[:day].iloc[-1, 0]), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=2, max_size=40))
def test_without_competing_events_it_is_the_complement_of_kaplan_meier(rows: list[tuple[int, bool]]) -> None:
    times, events = [time for time, _ in rows], [int(event) for _, event in rows]
    theirs = KaplanMeierFitter().fit(times, events)
    ours = aalen_johansen(times, events, 1)
    for day in set(times):
        assert ours.at(day) == pytest.approx(1 - float(theirs.predict(day)), abs=1e-9)


def test_incidences_of_all_events_and_survival_make_one() -> None:
    times, events = [2, 4, 4, 5, 7, 8], [1, 2, 1, 0, 3, 1]
    total = sum(aalen_johansen(times, events, event).at(8) for event in (1, 2, 3))
    assert total == pytest.approx(1.0)  # the last person had an event: nobody is left


def test_mean_cumulative_count_of_single_events_is_nelson_aalen() -> None:
    times, events = [3, 5, 6, 8, 11, 12], [1, 0, 1, 1, 0, 1]
    theirs = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(times, events)
    ours = mean_cumulative_count(times, [time for time, event in zip(times, events, strict=True) if event])
    for day in times:
        assert ours.at(day) == pytest.approx(float(theirs.cumulative_hazard_.loc[:day].iloc[-1, 0]))


def test_mean_cumulative_count_counts_repeats() -> None:
    """Three people followed 10, 20, 30 days; events on days 5, 5 and 25: 2/3 by day 5, then 1/1 more."""
    curve = mean_cumulative_count([10, 20, 30], [5, 5, 25])
    assert [curve.at(day) for day in (4, 5, 24, 25)] == pytest.approx([0, 2 / 3, 2 / 3, 5 / 3])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4)), min_size=1, max_size=20))
def test_weighted_median_is_the_median_of_the_repeated_values(rows: list[tuple[int, int]]) -> None:
    values, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    repeated = np.repeat(values, weights.astype(int))
    found, again = weighted_median(values, np.vstack([weights, weights[::-1]]))
    assert np.isnan(found) if repeated.size == 0 else found == pytest.approx(np.median(repeated))
    repeated = np.repeat(values, weights[::-1].astype(int))
    assert np.isnan(again) if repeated.size == 0 else again == pytest.approx(np.median(repeated))


def test_patients_are_resampled_whole() -> None:
    """Two patients, one with a hundred pairs: the interval must reach both of their means, however many rows."""
    resample = Resample(["a", "b"], draws=2000, seed=1)
    found = resample.mean(np.array([1.0] * 100 + [0.0]), ["a"] * 100 + ["b"])
    assert found == (0.0, 1.0)


def test_a_mean_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for trial in range(200):
        values = rng.normal(10, 3, 60)
        found = Resample(range(60), draws=400, seed=trial).mean(values, range(60))
        covered += found is not None and found.low <= 10 <= found.high
    assert covered >= 178  # 95% nominal; 89% would be three standard errors short


def test_no_value_no_interval() -> None:
    assert percentile(np.array([np.nan, np.nan])) is None


def hospital() -> tuple:  # type: ignore[type-arg]
    """Patient 1: Fabry, alert day 100, suspected day 300. Patient 2: Gaucher, never alerted, suspected day 500.
    Patient 3: nothing, false alert on day 50. Patient 4: nothing, no alert. Patient 5: died on day 200, no alert."""
    everyone = people((1, 0, 1400), (2, 0, 1400), (3, 0, 1400), (4, 0, 1400), (5, 0, 200), died={5: 200})
    thought = suspicions((1, FABRY, "confirmed", 300), (2, GAUCHER, "confirmed", 500))
    alerts = episodes_of(flags(flags_of(1, [(100, 0.9, [FABRY])], suspected=300), flags_of(3, [(50, 0.9, [FABRY])])))
    found = pairs(
        people=everyone, suspicions=thought, matcher=matcher(), first_screened_night=DAY0, last_night=on(1460)
    )
    return everyone, found.rows, alerts, {1: on(300), 2: on(500)}


def test_landmarks_counted_by_hand() -> None:
    everyone, rows, alerts, suspected = hospital()
    by_day = {one.day: one for one in landmarks(everyone, rows, alerts, suspected, DAY0)}
    month, half, year = by_day[30], by_day[182], by_day[365]
    # Day 30: nobody alerted; patient 1 is suspected within a year, patient 2 only after 470 days.
    assert (month.true_positive, month.false_positive, month.false_negative, month.true_negative) == (0, 0, 1, 4)
    # Day 182: 1 alerted and suspected, 3 alerted and not, 2 suspected within the year and not alerted.
    assert (half.true_positive, half.false_positive, half.false_negative, half.true_negative) == (1, 1, 1, 2)
    # Day 365: patient 1 is already suspected, patient 5 dead.
    assert (year.true_positive, year.false_positive, year.false_negative, year.true_negative) == (0, 1, 1, 1)
    assert half.as_dict()["sensitivity"] == 0.5


def test_somebody_followed_too_short_is_censored_not_healthy() -> None:
    _, rows, alerts, suspected = hospital()
    everyone = people((3, 0, 1400), (4, 0, 300))
    (half,) = landmarks(everyone, rows, alerts, suspected, DAY0, days=(182,))
    assert (half.censored, half.false_positive, half.true_negative) == (1, 1, 0)


def test_first_alert_competes_with_suspicion_and_death() -> None:
    everyone, _, alerts, suspected = hospital()
    curves = first_alert_incidence(everyone, alerts, suspected, DAY0)
    # 5 at risk: alerts on days 50 and 100, death on day 200, suspicion without alert on day 500.
    assert curves["alert"].at(49) == 0
    assert curves["alert"].at(365) == pytest.approx(2 / 5)
    assert curves["death"].at(365) == pytest.approx(1 / 5)
    assert curves["suspicion"].at(730) == pytest.approx(1 / 5)
