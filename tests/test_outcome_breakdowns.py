"""What stands beside the headline: other thresholds, what the dates rest on, splits, calibration over nights."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome_stories import DAY0, FABRY, GAUCHER, NIGHTS, candidates, day, flags, flags_of, matcher, on, people

from zebrawatch.nights import NightRange, ranges_of
from zebrawatch.outcome.calibration import stated_and_confirmed
from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.operating import Refolding
from zebrawatch.outcome.protocol import Split
from zebrawatch.outcome.resting import LABEL_FILE, grades, on_single_versions
from zebrawatch.schemas import SUSPICIONS
from zebrawatch.screen.alerts import AlertPolicy


def scored(*rows: tuple[int, int, float]) -> pd.DataFrame:
    """(subject, day, probability): Fabry before Gaucher."""
    frame = candidates(*((subject, n, [FABRY, GAUCHER]) for subject, n, _ in rows))
    p_any = {(subject, on(n)): p for subject, n, p in rows}
    return frame.assign(
        p_any=[p_any[one] for one in zip(frame["subject_id"], frame["night"], strict=True)], cause="evidence"
    )


def refolded(story: pd.DataFrame, crowd: pd.DataFrame, suspected: dict[int, date], policy: AlertPolicy) -> pd.DataFrame:
    return Refolding(story, crowd, suspected, policy.k, NIGHTS).flags(policy)


def test_the_policys_own_threshold_gives_the_policys_own_alerts() -> None:
    story = scored((1, 10, 0.6), (1, 40, 0.2), (1, 60, 0.9))
    again = refolded(story, people((1, 0, 900)), {1: on(300)}, AlertPolicy(threshold=0.5))
    made = flags_of(1, [(n, p, [FABRY, GAUCHER]) for n, p in ((10, 0.6), (40, 0.2), (60, 0.9))], suspected=300)
    assert episodes_of(again) == episodes_of(flags(made))


def test_a_higher_threshold_alerts_later_and_a_lower_one_does_not_stop() -> None:
    story, crowd = scored((1, 10, 0.6), (1, 40, 0.2), (1, 60, 0.9)), people((1, 0, 900))
    (high,) = episodes_of(refolded(story, crowd, {}, AlertPolicy(threshold=0.8)))
    (low,) = episodes_of(refolded(story, crowd, {}, AlertPolicy(threshold=0.1)))
    assert (high.first, low.first, len(low.stretches)) == (on(60), on(10), 1)
    assert refolded(story, people((2, 0, 900)), {}, AlertPolicy(threshold=0.1)).empty, "not screened: no alert"


PAIRS = pd.DataFrame(
    [(1, FABRY, on(300)), (2, FABRY, on(400))], columns=["subject_id", "disease_id", "suspicion_night"]
)
SUSPECTED = pd.DataFrame(
    [
        {"subject_id": 1, "disease_id": FABRY, "kind": "specific", "known_night": on(300), "source_id": "note/1"},
        {"subject_id": 1, "disease_id": None, "kind": "general", "known_night": on(300), "source_id": "order/1"},
    ],
    columns=SUSPICIONS.schema.names,
)


def sources(*rows: tuple[str, str, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source_id", "available_grade", "single_version"])


def test_a_pair_is_graded_by_the_weakest_row_that_dated_it() -> None:
    told = grades(PAIRS, SUSPECTED, sources(("note/1", "version", False), ("order/1", "date", False)))
    assert told == {(1, FABRY): "date", (2, FABRY): LABEL_FILE}


def test_a_pair_rests_on_a_single_version_by_its_suspicion_or_by_its_evidence() -> None:
    weighed = candidates((2, 100, [FABRY]), (2, 500, [FABRY]))
    weighed["contributions"] = [[{"source_id": "note/2"}], [{"source_id": "note/3"}]]
    rows = sources(("note/1", "filed", True), ("note/2", "filed", True), ("note/3", "filed", True))
    assert on_single_versions(PAIRS, SUSPECTED, weighed, rows, matcher()) == {(1, FABRY), (2, FABRY)}
    later_only = rows[rows["source_id"] == "note/3"]
    assert on_single_versions(PAIRS, SUSPECTED, weighed, later_only, matcher()) == set(), "known after the suspicion"


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_every_place_belongs_to_one_part_of_the_split(place: float) -> None:
    split = Split(fit=0.5, threshold=0.25)
    assert split.part(place) == ("fit" if place < 0.5 else "threshold" if place < 0.75 else "report")


def test_a_split_that_leaves_nothing_to_report_on_is_refused() -> None:
    with pytest.raises(ValueError, match="leave some"):
        Split(fit=0.7, threshold=0.3)


@settings(deadline=None)
@given(st.sets(st.integers(0, 400), min_size=1))
def test_ranges_hold_exactly_the_nights_they_were_made_of(days: set[int]) -> None:
    nights = [DAY0 + timedelta(days=n) for n in days]
    ranges = ranges_of(nights)
    assert [night for one in ranges for night in one] == sorted(nights)
    assert all(later.first > earlier.last + timedelta(days=1) for earlier, later in itertools.pairwise(ranges))
    assert ranges_of([]) == []


def test_probabilities_are_read_a_year_after_entry_and_judged_two_years_later() -> None:
    crowd = people((1, 0, 1400), (2, 0, 1400), (3, 0, 600), (4, 0, 1400), (5, 0, 1400))
    story = scored((1, 100, 0.3), (1, 700, 0.9), (2, 100, 0.1), (3, 100, 0.2), (4, 100, 0.8), (5, 500, 0.5))
    confirmed = {1: on(800), 2: on(1300), 4: on(350)}
    stated, happened, censored = stated_and_confirmed(crowd, story, {4: on(340)}, confirmed, DAY0)
    assert stated == [0.3, 0.1], "4 was suspected before, 5 was not scored yet"
    assert happened == [True, False], "2 was confirmed after the 24 months"
    assert censored == 1, "3 was lost"


def test_nights_no_range_covers_are_named() -> None:
    from test_outcome_summary import figures

    holed = [NightRange(DAY0, on(99)), NightRange(on(110), on(1460))]
    found = figures(nights=holed)
    assert (found["nights_missing"], found["holes"]) == (10, [f"{day(100)}..{day(109)}"])
