"""The replay report: pictures where something may be shown, blanks where nothing is known, no small cell told."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import outcome_sample, replay_report_sample

from zebrawatch.reports.data import ReplayReport
from zebrawatch.reports.replay_page import flow_diagram, incidence_steps, operating_points, replay_report, safe_cells

FLOW = {
    "pairs": 236, "excluded: unknown patient": 12, "excluded: gene id as label": 14, "prevalent": 35,
    "not in the knowledge": 12, "first contact": 19, "at risk": 144,
}  # fmt: skip


def test_the_page_shows_pictures_checklists_and_the_reference_line() -> None:
    page = replay_report(replay_report_sample())
    for title in (
        "Lead time, a line per case",
        "Cumulative incidence from entry",
        "Share prioritised against false alerts",
        "Reliability",
        "Detection and lead by subgroup",
        "Cumulative false alerts per 1,000 patients",
    ):
        assert f">{title}</title>" in page, title
    assert "61.06%" in page
    assert "not applicable: no language model ran" in page
    assert "look-ahead from edits: not assessable" in page.lower()
    assert "blank: for the site to fill in" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_flow_counts_every_pair_once() -> None:
    steps = flow_diagram(outcome_sample(144) | {"flow": FLOW}, floor=1)
    assert [step.shown for step in steps] == [236, 210, 175, 144, 144, 81]
    for step, after in itertools.pairwise(steps):
        assert (step.shown or 0) - sum(n or 0 for _, n in step.aside) == after.shown
    assert [step.label for step in steps if step.primary] == ["at risk: the denominator"]


def test_a_small_exclusion_of_real_people_hides_the_whole_flow() -> None:
    flow = FLOW | {"excluded: gene id as label": 3, "prevalent": 46}
    assert flow_diagram(outcome_sample(144) | {"flow": flow}, floor=11) == []
    assert flow_diagram(outcome_sample(144) | {"flow": flow}, floor=1)


def cell(n: int, hits: int) -> dict[str, Any]:
    return {"n": n, "prioritised_share": hits / n}


def test_a_hidden_subgroup_cannot_be_worked_out_from_the_others() -> None:
    """144 pairs, 81 hits: 100 + 40 shown would leave 4 for the third group."""
    cells = {"a": cell(100, 56), "b": cell(40, 21), "c": {"n": "below 11"}}
    assert set(safe_cells(cells, outcome_sample(144), floor=11)) == {"a"}
    assert set(safe_cells(cells, outcome_sample(144), floor=1)) == {"a", "b"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 80), st.floats(0, 1)), min_size=1, max_size=6), st.integers(2, 15))
def test_what_is_hidden_is_nothing_or_enough(groups: list[tuple[int, float]], floor: int) -> None:
    made = {str(i): cell(n, round(n * share)) for i, (n, share) in enumerate(groups)}
    total, hits = sum(n for n, _ in groups), sum(round(n * share) for n, share in groups)
    shown = safe_cells(made, {"at_risk": total, "prioritised_share": hits / total}, floor)
    kept_n = sum(one["n"] for one in shown.values())
    kept_hits = sum(round(one["n"] * one["prioritised_share"]) for one in shown.values())
    for hidden in (total - kept_n, hits - kept_hits, (total - kept_n) - (hits - kept_hits)):
        assert not shown or hidden == 0 or hidden >= floor


def test_thresholds_that_differ_by_few_hits_are_one_point() -> None:
    points = [
        {"threshold": t, "protocol": t == 0.6, "prioritised_share": hits / 144, "false_alerts_per_1000_12m": 5.0}
        for t, hits in ((0.1, 100), (0.5, 84), (0.6, 81))
    ]
    told = operating_points(outcome_sample(144) | {"by_threshold": points}, floor=11)
    assert [point.threshold for point in told] == [0.6, 0.1]
    assert len(operating_points(outcome_sample(144) | {"by_threshold": points}, floor=1)) == 3


def test_steps_of_few_people_are_not_drawn() -> None:
    report: ReplayReport = dataclasses.replace(
        replay_report_sample("real"), incidence={"alert": ((30.0, 0.001), (60.0, 0.01), (5000.0, 0.5))}
    )
    (steps,) = incidence_steps(report, floor=11).values()
    assert [share for _, share in steps] == [0.01]


@pytest.mark.parametrize("landmarks", ["nightly", "note", "monthly"])
def test_the_page_says_on_which_nights_patients_were_judged(landmarks: str) -> None:
    report = dataclasses.replace(replay_report_sample(), landmarks=landmarks)
    said = {"nightly": "Every night", "note": "on nights on which something new", "monthly": "each month only"}
    assert said[landmarks] in replay_report(report)


def test_an_empty_replay_says_what_it_lacks() -> None:
    sample = replay_report_sample("real")
    summary = dataclasses.replace(sample.summary, outcome={}, cases=(), flow=(), burden=(), cumulative=())
    page = replay_report(ReplayReport(summary, "note"))
    assert "fairness is not assessed" in page
    assert "Calibration was not assessed" in page
