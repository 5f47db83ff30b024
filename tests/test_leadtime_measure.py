"""The lead-time benchmark's measure: halves, the threshold for a burden, standardised cost, where cases are lost."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from outcome_stories import FABRY, GAUCHER, NIGHTS, POMPE, labels, matcher, on, people, suspicions, written

from zebrawatch.benchmarks.cases import leaders
from zebrawatch.benchmarks.published_cases.measure import LOSSES, Told, Trial, half_of, losses, part_of, recognised
from zebrawatch.benchmarks.published_cases.selection import DatedFinding, PublishedCase
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import Replay, summarise
from zebrawatch.schemas import CANDIDATES, FLAGS


def case(name: str, disease: str, *papers: str) -> PublishedCase:
    findings = (DatedFinding("HP:0001250", 1.0), DatedFinding("HP:0001251", 2.0))
    return PublishedCase(name, frozenset(papers), disease, "female", 3.0, findings, ())


def test_cases_that_share_a_paper_or_a_disease_stand_in_one_half() -> None:
    cases = [case(f"c{n}", f"OMIM:{n // 3}", f"PMID:{n % 7}") for n in range(60)]
    cases += [case(f"d{n}", f"OMIM:9{n}", f"PMID:9{n}") for n in range(40)]
    half = half_of(cases)
    for one in cases:
        for other in cases:
            if one.papers & other.papers or one.disease_id == other.disease_id:
                assert half[one.id] == half[other.id]
    assert {"develop", "report"} == set(half.values())
    assert leaders([["a", "b"], ["c"], ["b", "c"], ["d"]])[:3] == ["a", "a", "a"]


def score(subject: int, day: int, p: float, *diseases: str) -> list[dict[str, Any]]:
    return [
        {
            "subject_id": subject, "night": on(day), "rank": rank, "disease_id": one, "disease_name": one,
            "posterior": p / 2, "log10_lr": 1.0, "p_any": p, "cause": "evidence", "contributions": [],
        }
        for rank, one in enumerate(diseases, 1)
    ]  # fmt: skip


def hospital(controls: int = 300) -> Replay:
    """Four cases, suspected on day 400; controls of whom every tenth once scores .3, and the last one .8."""
    cases = {1: FABRY, 2: FABRY, 3: GAUCHER, 4: GAUCHER}
    rows = (
        score(1, 100, 0.9, FABRY) + score(2, 100, 0.4, FABRY) + score(3, 100, 0.35, POMPE) + score(4, 350, 0.1, GAUCHER)
    )
    for subject in range(10, 10 + controls):
        rows += score(subject, 120, 0.8 if subject == 9 + controls else 0.3 if subject % 10 == 0 else 0.05, POMPE)
    everybody = [*cases, *range(10, 10 + controls)]
    return Replay(
        nights=[NIGHTS],
        people=people(*((subject, 0, 1400) for subject in everybody)),
        suspicions=suspicions(*((s, d, "specific", 400) for s, d in cases.items())),
        flags=pd.DataFrame([], columns=FLAGS.schema.names),
        candidates=pd.DataFrame(rows, columns=CANDIDATES.schema.names),
        written=written(*((subject, 0, 1) for subject in everybody)),
        labels=labels(*((s, d, 400, None) for s, d in cases.items())),
    )


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(hospital(), matcher(), Protocol.read())


def test_share_and_cost_at_a_threshold(trial: Trial) -> None:
    low = trial.at(0.2)
    assert low.prioritised_share == pytest.approx(0.5)  # both with Fabry; the third is shown another disease
    assert low.burden.controls == pytest.approx(1000 * 31 / 300)
    assert low.burden.mix == pytest.approx(1000 * 32 / 304)
    # one case in five hundred: the wrong list of one case in four hardly counts
    assert low.burden.standard == pytest.approx(0.998 * 1000 * 31 / 300 + 0.002 * 250)
    high = trial.at(0.5)
    assert high.prioritised_share == pytest.approx(0.25)
    assert high.burden.controls == pytest.approx(1000 / 300)


def test_the_threshold_is_the_lowest_that_keeps_to_the_burden(trial: Trial) -> None:
    chosen = trial.threshold_for(15.0)
    assert trial.at(chosen).burden.standard_upper <= 15.0
    lower = max(value for value in trial.thresholds if value < chosen)
    assert trial.at(lower).burden.standard_upper > 15.0
    # Above the last control the best case may still be alerted; but where nothing was seen the rate's exact upper bound
    # is not zero, so no threshold keeps that bound to zero.
    assert trial.threshold_for(0.0, bound="controls") == pytest.approx(0.9)
    assert trial.threshold_for(0.0) == 1.0


def test_alerts_in_memory_are_those_of_the_outcome_engine(trial: Trial) -> None:
    replay = hospital()
    flags = trial.flags(0.2)
    figures = summarise(Replay(**{**vars(replay), "flags": flags}), matcher(), Protocol.read()).figures
    assert figures["prioritised_share"] == trial.at(0.2).prioritised_share
    assert figures["false_alerts_per_1000_12m"] == pytest.approx(trial.at(0.2).burden.mix)


def test_a_part_holds_its_own_patients_only() -> None:
    part = part_of(hospital(), {1, 3, 10})
    assert set(part.people["subject_id"]) == {1, 3, 10}
    assert part.labels is not None
    assert set(part.labels["subject_id"]) == {1, 3}
    assert set(part.candidates["subject_id"]) == {1, 3, 10}


def test_every_lost_case_has_one_reason() -> None:
    replay = hospital()
    rows = pd.DataFrame(
        [
            (1, FABRY, on(400), True, 1), (2, FABRY, on(400), False, 1), (3, GAUCHER, on(400), False, None),
            (4, GAUCHER, on(400), False, None), (5, POMPE, on(400), False, None), (6, "OMIM:9", on(400), False, None),
        ],
        columns=["subject_id", "disease_id", "suspicion_night", "prioritised", "best_rank"],
    )  # fmt: skip
    told = {n: [Told("HP:0001250", on(50))] for n in (1, 2, 3, 5, 6)} | {4: [Told("HP:0001250", on(500))]}
    found = losses(
        rows, replay.candidates[replay.candidates["subject_id"] != 4], told, published={FABRY, GAUCHER, POMPE},
        left={FABRY, GAUCHER}, rank_of_told={(3, GAUCHER): 2.0}, matcher=matcher(), k=5,
    )  # fmt: skip
    assert sum(found.values()) == 6
    assert {name for name, n in found.items() if n == 1} == set(LOSSES) - {LOSSES[5], LOSSES[6]}


def test_recognition_counts_the_same_and_near_terms() -> None:
    ancestors = {
        "HP:3": frozenset({"HP:3", "HP:2", "HP:1"}), "HP:2": frozenset({"HP:2", "HP:1"}), "HP:9": frozenset({"HP:9"}),
    }  # fmt: skip
    told = {1: [Told("HP:3", on(1)), Told("HP:9", on(2))], 2: [Told("HP:2", on(1))]}
    findings = pd.DataFrame([(1, "HP:2"), (2, "HP:2")], columns=["subject_id", "hpo_id"])
    found = recognised(told, findings, ancestors)
    assert found == {"told": 3, "recognised_exact": pytest.approx(1 / 3), "recognised_near": pytest.approx(2 / 3)}
