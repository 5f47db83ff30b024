"""What alerts cost, what PPV means, and what chance would have done: counted by hand on stories."""

from __future__ import annotations

import pandas as pd
import pytest
from outcome_stories import (
    DAY0,
    FABRY,
    GAUCHER,
    GAUCHER2,
    NIGHTS,
    POMPE,
    candidates,
    flags,
    flags_of,
    matcher,
    on,
    people,
    suspicions,
    written,
)  # fmt: skip

from zebrawatch.outcome import burden as b
from zebrawatch.outcome import nulls as n
from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.intervals import Resample
from zebrawatch.outcome.lead_time import lead_time
from zebrawatch.outcome.pairs import pairs

EVERYONE = people(*((subject, 0, 1400) for subject in range(1, 9)))
THOUGHT = suspicions((1, FABRY, "confirmed", 300), (2, GAUCHER, "confirmed", 300), (3, FABRY, "confirmed", 10))


def rows() -> pd.DataFrame:
    return pairs(
        people=EVERYONE, suspicions=THOUGHT, matcher=matcher(), first_screened_night=DAY0, last_night=NIGHTS.last
    ).rows


@pytest.mark.parametrize(
    ("subject", "day", "shown", "expected"),
    [
        (1, 100, [FABRY], b.EARLY),
        (1, 350, [FABRY], b.AFTER),
        (1, 100, [POMPE], b.NEAR),
        (2, 100, [GAUCHER2], b.NEAR),
        (1, 100, [GAUCHER], b.WRONG),
        (3, 100, [FABRY], b.KNOWN),
        (3, 100, [GAUCHER], b.WRONG),
        (4, 100, [FABRY], b.NONE),
        (4, 670, [FABRY], b.NONE),
        (4, 671, [FABRY], b.UNDETERMINED),
    ],
)
def test_each_episode_has_one_class(subject: int, day: int, shown: list[str], expected: str) -> None:
    episodes = episodes_of(flags(flags_of(subject, [(day, 0.9, shown)])))
    (found,) = b.classify(episodes, EVERYONE, rows(), matcher(), DAY0)
    assert (found.episode_class, found.day) == (expected, day)


def test_an_alerted_patient_whose_record_was_restricted_since_is_counted_apart() -> None:
    alerts = episodes_of(flags(flags_of(99, [(100, 0.9, [POMPE])])))
    (found,) = classified = b.classify(alerts, EVERYONE, rows(), matcher(), DAY0)
    assert found.episode_class == b.LEFT
    exposed = b.exposure(EVERYONE, rows(), {}, DAY0)
    resample = Resample(list(exposed.subjects), draws=200, seed=1)
    cost = b.burden(
        classified, exposed, resample, horizon_days=365, last_night=NIGHTS.last, first_screened_night=DAY0, reviewers=1
    )
    assert (cost["episodes"], cost["left_the_screen"]) == (0, 1)


def test_burden_by_hand() -> None:
    """Eight patients. 1: early hit on day 100. 4: false on day 50 and, another episode, on day 400. 5: backlog."""
    alerts = episodes_of(
        flags(
            flags_of(1, [(100, 0.9, [FABRY])], suspected=300),
            flags_of(4, [(50, 0.9, [POMPE]), (60, 0.1, [POMPE]), (400, 0.9, [POMPE]), (410, 0.1, [POMPE])]),
            flags_of(5, [(0, 0.9, [POMPE])]),
        )
    )
    suspected = {1: on(300), 2: on(300), 3: on(10)}
    classified = b.classify(alerts, EVERYONE, rows(), matcher(), DAY0)
    exposed = b.exposure(EVERYONE, rows(), suspected, DAY0)
    assert exposed.days.tolist() == [300, 300, 10, 1401, 1401, 1401, 1401, 1401]
    assert (set(exposed.cases), set(exposed.controls)) == ({1, 2}, {4, 5, 6, 7, 8})
    resample = Resample(list(exposed.subjects), draws=400, seed=1)
    cost = b.burden(
        classified, exposed, resample, horizon_days=365, last_night=NIGHTS.last, first_screened_night=DAY0, reviewers=1
    )
    years = (300 + 300 + 10 + 5 * 1401) / 365.25
    assert cost["episodes"] == 3
    assert cost["episodes_per_1000_py"]["value"] == pytest.approx(3000 / years)
    assert cost["backlog"] == {b.NONE: 1}
    assert cost["by_class"][b.NONE]["episodes"] == 2
    # Day 50: one false alert among the seven still followed beyond it (patient 3 was suspected on day 10); day 400 is
    # later.
    assert cost["false_alerts_per_1000_12m"]["value"] == pytest.approx(1000 / 7)
    low, high = cost["false_alerts_per_1000_12m"]["ci95"]
    assert low == 0 and 250 < high < 700
    assert cost["new_per_reviewer_week"] == pytest.approx(3 / (1461 / 7))


def test_an_undetermined_alert_counts_as_false_until_shown_otherwise() -> None:
    alerts = episodes_of(flags(flags_of(4, [(100, 0.9, [POMPE])])))
    short = people((4, 0, 400), (5, 0, 400))
    none = pairs(
        people=short, suspicions=suspicions(), matcher=matcher(), first_screened_night=DAY0, last_night=on(400)
    ).rows
    classified = b.classify(alerts, short, none, matcher(), DAY0)
    exposed = b.exposure(short, none, {}, DAY0)
    resample = Resample(list(exposed.subjects), draws=200, seed=1)
    cost = b.burden(
        classified, exposed, resample, horizon_days=365, last_night=on(400), first_screened_night=DAY0, reviewers=1
    )
    assert cost["false_alerts_per_1000_12m"]["value"] == pytest.approx(500)
    nothing = cost["false_alerts_determined_per_1000_12m"]
    assert nothing["value"] == 0
    # none in two patients followed for the year: the exact bound is -ln(0.025) = 3.69 events
    assert nothing["ci95"] == pytest.approx((0, 1000 * 3.6889 / 2), rel=1e-4)


def test_ppv_at_a_stated_prevalence_by_hand() -> None:
    """Cases 1 and 2: one early hit in 600 days. Controls: one alert in 5 x 1401 days. At 1 in 2,000 by Bayes."""
    alerts = episodes_of(
        flags(flags_of(1, [(100, 0.9, [FABRY])], suspected=300), flags_of(4, [(50, 0.9, [POMPE]), (60, 0.1, [POMPE])]))
    )
    classified = b.classify(alerts, EVERYONE, rows(), matcher(), DAY0)
    exposed = b.exposure(EVERYONE, rows(), {1: on(300), 2: on(300), 3: on(10)}, DAY0)
    found = b.ppv_by_prevalence(classified, exposed, [1 / 2000], Resample(list(exposed.subjects), draws=200, seed=1))
    hit, false = (1 / 2000) * (1 / 600), (1999 / 2000) * (1 / (5 * 1401))
    assert found["1/2,000"]["low"] == pytest.approx(hit / (hit + false))
    assert found["1/2,000"]["high"] == found["1/2,000"]["low"]  # nothing undetermined
    assert found["1/2,000"]["number_needed_to_review"] == pytest.approx((hit + false) / hit)


SICK = 12


def hospital(*, informative: bool) -> tuple[pd.DataFrame, pd.DataFrame, list, list[n.Case]]:  # type: ignore[type-arg]
    """Twelve cases, alternately Fabry and Gaucher, suspected between days 300 and 685, and sixty controls.

    Informative alerts show each patient's own disease from day 100; the others show everybody both.
    """
    diseases = {subject: FABRY if subject % 2 else GAUCHER for subject in range(1, SICK + 1)}
    onset = {subject: 300 + 35 * (subject - 1) for subject in diseases}
    everyone = people(*((subject, 0, 1400) for subject in range(1, 73)))
    thought = suspicions(*((s, diseases[s], "confirmed", onset[s]) for s in diseases))
    shown = {s: [diseases[s]] if informative else [FABRY, GAUCHER] for s in diseases}
    alerts = episodes_of(flags(*(flags_of(s, [(100, 0.9, shown[s])], suspected=onset[s]) for s in diseases)))
    found = pairs(
        people=everyone, suspicions=thought, matcher=matcher(), first_screened_night=DAY0, last_night=NIGHTS.last
    )
    lead = lead_time(found.rows, alerts, None, matcher())
    return everyone, found.rows, alerts, n.cases_of(lead, everyone.assign(sex="female"), {FABRY: "x", GAUCHER: "x"})


def test_swapping_diseases_leaves_nothing_of_a_list_that_suits_everybody() -> None:
    _, _, alerts, cases = hospital(informative=False)
    null = n.within_stratum(cases, alerts, matcher(), draws=200, seed=3)
    actual = n.observed_values(cases, alerts, matcher())
    assert actual.share.mean() == 1
    assert null.share.mean() == 1  # the null collapses the advantage: everybody's list holds everybody's disease
    assert null.lead.mean() == pytest.approx(actual.lead.mean(), rel=0.02)


def test_swapping_diseases_takes_away_what_a_right_list_gave() -> None:
    _, _, alerts, cases = hospital(informative=True)
    null = n.within_stratum(cases, alerts, matcher(), draws=400, seed=3)
    assert null.share.mean() == pytest.approx(0.5, abs=0.05)  # half of the twelve have the same disease


def test_a_lone_case_joins_a_coarser_stratum() -> None:
    _, _, alerts, cases = hospital(informative=True)
    alone = [
        n.Case(c.subject_id, c.disease_id, c.entry, c.suspicion, (f"organ {i}", "18-64", "female"))
        for i, c in enumerate(cases)
    ]
    null = n.within_stratum(alone, alerts, matcher(), draws=400, seed=3)
    assert null.share.mean() == pytest.approx(0.5, abs=0.05)


def test_random_timing_hits_as_often_as_chance() -> None:
    everyone, _, alerts, cases = hospital(informative=True)
    suspected = {case.subject_id: case.suspicion for case in cases}
    null = n.random_timing(cases, alerts, everyone, suspected, DAY0, matcher(), draws=2000, seed=5)
    # Twelve lists on day 100, each to one of 72; six of them hold a case's disease: 1 - (71/72)^6.
    assert null.share.mean() == pytest.approx(1 - (71 / 72) ** 6, abs=0.01)


def test_utilisation_gives_the_alerts_to_the_most_written_about() -> None:
    everyone, _, alerts, cases = hospital(informative=True)
    suspected = {case.subject_id: case.suspicion for case in cases}
    listed = candidates(*((case.subject_id, 50, [case.disease_id]) for case in cases))
    busy_controls = written(*((subject, 10, 30) for subject in range(20, 60)), *((c.subject_id, 10, 1) for c in cases))
    busy_cases = written(*((subject, 10, 1) for subject in range(20, 60)), *((c.subject_id, 10, 30) for c in cases))
    quiet = n.utilisation(cases, alerts, everyone, suspected, DAY0, listed, busy_controls, matcher(), k=5)
    busy = n.utilisation(cases, alerts, everyone, suspected, DAY0, listed, busy_cases, matcher(), k=5)
    assert (quiet.share.mean(), busy.share.mean()) == (0, 1)


def test_a_result_counts_only_above_the_worst_null() -> None:
    everyone, _, alerts, cases = hospital(informative=True)
    actual = n.observed_values(cases, alerts, matcher())
    nothing = n.PairedValues(actual.share * 0, actual.lead * 0)
    resample = Resample(everyone["subject_id"].tolist(), draws=400, seed=1)
    good = n.compare(actual, {"nothing": nothing}, cases, resample)
    bad = n.compare(actual, {"nothing": nothing, "the same": actual}, cases, resample)
    assert (good["counts"], bad["counts"]) == (True, False)
    assert bad["worst_share"] == "the same"
