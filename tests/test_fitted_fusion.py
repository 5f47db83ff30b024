"""The fitted fusion, tried with a simulated reader of stated sensitivity. Nothing here says how a real model reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.engine.flags import joined
from zebrawatch.outcome.calibration import calibration
from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, Quote
from zebrawatch.reasoning.fusion import (
    FEWEST_PAIRS,
    FittedFusion,
    FusionError,
    LabelledPair,
    Listed,
    join,
    read_fusion,
    supported_ranks,
)
from zebrawatch.reasoning.labelled import Reading, labelled_pairs
from zebrawatch.reasoning.names import Resolution
from zebrawatch.screen.alerts import NightScore
from zebrawatch.screen.alerts import Shown as ShownAlert

NIGHT = date(2024, 5, 1)
LISTED = 8


def simulated(n: int, sensitivity: float, seed: int) -> list[LabelledPair]:
    """Patients whose disease stands somewhere in the list, and a reader who names it with this probability.

    The evidence arm's odds are right on average but scattered; the reader names up to two others as well.
    """
    random = Random(seed)
    pairs = []
    for subject in range(n):
        diseases = [f"OMIM:{subject * 100 + place:06d}" for place in range(LISTED)]
        true = random.randrange(LISTED)
        odds = [random.gauss(1.2 if place == true else 0.0, 1.0) for place in range(LISTED)]
        total = sum(np.exp(odds)) + 3.0
        order = sorted(range(LISTED), key=lambda place: -odds[place])
        listed = tuple(Listed(diseases[p], f"d{p}", float(np.exp(odds[p]) / total), odds[p]) for p in order)
        named = [diseases[p] for p in random.sample([p for p in range(LISTED) if p != true], 2)]
        if random.random() < sensitivity:
            named.insert(random.choice((0, 0, 1)), diseases[true])
        told = {disease: rank for rank, disease in enumerate(named, 1)}
        pairs.append(LabelledPair(subject, NIGHT - timedelta(days=subject % 300), listed, told, diseases[true]))
    return pairs


def top1(pairs: Sequence[LabelledPair], chances: Sequence[Sequence[float]]) -> float:
    hits = [
        p.listed[int(np.argmax(chance))].disease_id == p.disease_id for p, chance in zip(pairs, chances, strict=True)
    ]
    return float(np.mean(hits))


def answer_of(told: dict[str, int], verdict: str = "accepted") -> JudgedAnswer:
    quote = (Quote("n1", "a quote that stands"),)
    diseases = tuple(
        JudgedDisease(rank, name, Resolution(name, name, "exact", 1.0), 0.5, quote, (), 0, "")
        for name, rank in told.items()
    )
    return JudgedAnswer("k", verdict, diseases=diseases)


def test_a_good_reader_helps_and_the_probability_comes_true() -> None:
    fusion = FittedFusion.fit(simulated(400, 0.7, seed=1), profile="p", learnt_from="simulated reader")
    fresh = simulated(800, 0.7, seed=2)
    chances = [fusion.probabilities(pair.listed, pair.told) for pair in fresh]
    alone = [[entry.posterior for entry in pair.listed] for pair in fresh]
    assert top1(fresh, chances) > top1(fresh, alone) + 0.1
    truth = [entry.disease_id == pair.disease_id for pair in fresh for entry in pair.listed]
    stated = calibration([chance for own in chances for chance in own], truth)
    assert stated["slope"] == pytest.approx(1.0, abs=0.15)
    assert stated["stated_mean"] == pytest.approx(stated["happened_mean"], abs=0.01)


def test_a_reader_who_never_finds_it_does_no_harm() -> None:
    fusion = FittedFusion.fit(simulated(400, 0.0, seed=3), profile="p", learnt_from="simulated reader")
    fresh = simulated(800, 0.0, seed=4)
    chances = [fusion.probabilities(pair.listed, pair.told) for pair in fresh]
    alone = [[entry.posterior for entry in pair.listed] for pair in fresh]
    assert top1(fresh, chances) >= top1(fresh, alone)


def test_the_fixed_rule_stands_below_a_hundred_pairs() -> None:
    few = simulated(FEWEST_PAIRS - 1, 0.7, seed=5)
    controls = [LabelledPair(10_000 + n, NIGHT, few[n].listed, few[n].told, None) for n in range(60)]
    with pytest.raises(FusionError, match="needs 100 labelled pairs and has 99"):
        FittedFusion.fit([*few, *controls, few[0]], profile="p", learnt_from="simulated reader")


def test_it_refuses_nights_of_its_own_data_and_other_profiles() -> None:
    pairs = simulated(120, 0.7, seed=6)
    fusion = FittedFusion.fit(pairs, profile="p", learnt_from="simulated reader")
    assert fusion.fitted_through == NIGHT
    later = NIGHT + timedelta(days=1)
    listed, answer = pairs[0].listed, answer_of(dict(pairs[0].told))
    with pytest.raises(FusionError, match="may not use it"):
        fusion.join(0.5, listed, answer, threshold=0.1, night=NIGHT, profile="p")
    with pytest.raises(FusionError, match="another model profile"):
        fusion.join(0.5, listed, answer, threshold=0.1, night=later, profile="other")
    joined = fusion.join(0.5, listed, answer, threshold=0.1, night=later, profile="p")
    chances = fusion.probabilities(listed, supported_ranks(answer))
    assert [entry.listed.disease_id for entry in joined.shown] == [
        listed[place].disease_id for place in sorted(range(LISTED), key=lambda place: -chances[place])
    ]
    assert joined.p_any == 0.5
    assert "fitted-logistic@1" in joined.rule


def test_an_answer_that_was_not_accepted_changes_nothing() -> None:
    pairs = simulated(120, 0.7, seed=7)
    fusion = FittedFusion.fit(pairs, profile="p", learnt_from="simulated reader")
    rejected = answer_of(dict(pairs[0].told), verdict="schema")
    later = NIGHT + timedelta(days=1)
    found = fusion.join(0.5, pairs[0].listed, rejected, threshold=0.1, night=later, profile="p")
    assert found == join(0.5, pairs[0].listed, rejected, threshold=0.1)


FITTED = FittedFusion("p", -1.0, 0.8, 1.5, -0.4, NIGHT, 100, "simulated reader")


@given(st.floats(0, 1), st.integers(1, 9))
def test_a_better_rank_never_lowers_the_probability(posterior: float, rank: int) -> None:
    listed = (Listed("OMIM:1", "one", posterior, 1.0),)
    worse, better = (FITTED.probabilities(listed, {"OMIM:1": r})[0] for r in (rank + 1, rank))
    assert 0.0 <= worse <= better <= 1.0


def test_it_is_kept_as_json() -> None:
    assert FittedFusion.from_json(FITTED.to_json()) == FITTED


def test_a_file_that_holds_no_fusion_is_named(tmp_path: Path) -> None:
    place = tmp_path / "fusion.json"
    place.write_text(json.dumps(FITTED.to_json()))
    assert read_fusion(place) == FITTED
    place.write_text("[]")
    with pytest.raises(FusionError, match=r"no fitted fusion in .*fusion\.json"):
        read_fusion(place)


# -- from a replay's tables to the screen ------------------------------------------------------------------------------


def judged(told: dict[str, int]) -> str:
    return json.dumps(asdict(answer_of(told)))


def label(subject: int, disease: str, suspected: date | None, exclusion: str | None = None) -> dict[str, Any]:
    return {"subject_id": subject, "disease_id": disease, "suspicion_night": suspected, "exclusion": exclusion}


def rows_of(pair: LabelledPair) -> list[dict[str, Any]]:
    return [
        {"subject_id": pair.subject_id, "night": pair.night, "rank": rank, "disease_id": one.disease_id,
         "disease_name": one.name, "posterior": one.posterior, "log10_lr": one.log10_lr}
        for rank, one in enumerate(pair.listed, 1)
    ]  # fmt: skip


def test_a_pair_is_the_last_reading_before_anybody_suspected() -> None:
    pairs = simulated(5, 1.0, seed=8)
    suspected = NIGHT + timedelta(days=10)
    labels = [
        label(0, "ORPHA:1", suspected),
        label(1, str(pairs[1].disease_id), pairs[1].night),
        label(2, str(pairs[2].disease_id), suspected, "unknown disease"),
    ]
    readings = [Reading(p.subject_id, p.night, judged(dict(p.told))) for p in pairs]
    readings[4] = Reading(4, pairs[4].night + timedelta(days=3), readings[4].judged)  # it waited for its place
    readings += [Reading(0, suspected, judged({})), Reading(0, pairs[0].night - timedelta(days=1), judged({}))]
    candidates = [row for pair in pairs for row in rows_of(pair)]

    def same(one: str, other: str) -> bool:
        return one == other or (one, other) == ("ORPHA:1", pairs[0].disease_id)

    found = {pair.subject_id: pair for pair in labelled_pairs(labels, readings, candidates, same)}
    assert set(found) == {0, 3, 4}, "suspected when read, or not known whether diseased"
    assert found[0] == pairs[0], "the id it is listed under, the last night nobody suspected it"
    assert found[3].disease_id is None
    assert found[4].listed == pairs[4].listed


def test_the_screen_uses_it_for_its_own_model_on_later_nights_only() -> None:
    """Fitted on a simulated reader (sensitivity .7): the list is then in the order of the fitted probability."""
    pairs = simulated(200, 0.7, seed=9)
    fusion = FittedFusion.fit(pairs, profile="p", learnt_from="simulated reader", known_through=NIGHT)
    one = next(pair for pair in pairs if 1 in pair.told.values() and pair.told.get(pair.listed[3].disease_id) == 1)
    shown = tuple(
        ShownAlert(rank, each.disease_id, each.name, each.posterior, each.log10_lr)
        for rank, each in enumerate(one.listed, 1)
    )

    def order(night: date, profile: str) -> list[str]:
        (score,) = joined(
            [NightScore(night, 0.4, shown, "evidence")],
            [{"night": night, "judged": judged(dict(one.told)), "profile": profile}],
            fusion,
        )
        return [each.disease_id for each in score.shown]

    chances = fusion.probabilities(one.listed, one.told)
    fitted = [one.listed[p].disease_id for p in sorted(range(LISTED), key=lambda place: -chances[place])]
    fixed = [each.listed.disease_id for each in join(0.4, one.listed, answer_of(dict(one.told)), threshold=1.0).shown]
    assert fitted != fixed
    later = NIGHT + timedelta(days=1)
    assert order(later, "p") == fitted
    assert order(NIGHT, "p") == order(later, "another model") == fixed
