"""The compiled ranker against the model written out plainly, and the rules that hold for any findings."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from knowledge_samples import whole_knowledge

from zebrawatch.evidence.background import Background, BackgroundError
from zebrawatch.evidence.common_conditions import COMMON_CONDITIONS
from zebrawatch.evidence.ranking import Evidence, Person, Ranker
from zebrawatch.evidence.reference import SlowDisease, prior
from zebrawatch.knowledge.diseases import Knowledge

DISEASES = ("OMIM:154700", "OMIM:310200", "ORPHA:558", "OMIM:619340")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    knowledge = whole_knowledge()
    return Ranker(knowledge, Background.default(knowledge))


def mention(hpo_id: str, assertion: str = "present", **more: object) -> Evidence:
    return Evidence(hpo_id, assertion, "text", "n", **more)  # type: ignore[arg-type]


def index(knowledge: Knowledge, disease: str) -> int:
    found = knowledge.index_of(disease)
    assert found is not None
    return found


@pytest.mark.parametrize("disease", DISEASES[:2] + DISEASES[3:])
def test_the_compiled_ranker_equals_the_plain_one(ranker: Ranker, disease: str) -> None:
    knowledge, parameters = ranker.knowledge, ranker.parameters
    number = index(knowledge, disease)
    slow = SlowDisease(knowledge, number, parameters)
    assert slow.crowding == pytest.approx(ranker.crowding[number], rel=1e-9)
    rng = random.Random(disease)
    annotated = sorted(slow.own)
    phenotypic = np.flatnonzero(knowledge.phenotypic).tolist()
    terms = rng.sample(annotated, min(8, len(annotated))) + rng.sample(phenotypic, 25)
    terms += [int(rng.choice(knowledge.ancestors(term).tolist())) for term in terms]
    evidence = [mention(knowledge.terms[term]) for term in terms[::2]]
    evidence += [mention(knowledge.terms[term], "negated") for term in terms[1::2]]
    findings = ranker.findings(evidence)
    wanted = sum(
        slow.log_ratio(each.term, parameters.noise["text"], ranker.term_probability)
        if each.present
        else slow.denied_log_ratio(each.term, ranker.term_probability)
        for each in findings
    )
    assert ranker.log_ratios(ranker.codes(findings))[number] == pytest.approx(wanted, abs=1e-6)


def test_the_order_shown_is_likelihood_and_prior(ranker: Ranker) -> None:
    knowledge, temperature = ranker.knowledge, ranker.parameters.temperature
    evidence = [mention(each) for each in ("HP:0001083", "HP:0002616", "HP:0001166")]
    first, *others = ranker.rank(evidence, top=10).entries
    for other in others:
        ratio = 10 ** (temperature * (other.log10_lr - first.log10_lr))
        odds = prior(knowledge, index(knowledge, other.disease_id), ranker.parameters)
        odds /= prior(knowledge, index(knowledge, first.disease_id), ranker.parameters)
        assert other.posterior / first.posterior == pytest.approx(ratio * odds, rel=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_findings_give_a_sound_ranking(ranker: Ranker, data: st.DataObject) -> None:
    ids = st.sampled_from(ranker.knowledge.terms) | st.from_regex(r"HP:\d{7}", fullmatch=True) | st.text(max_size=12)
    assertions = st.sampled_from(["present", "present", "negated", "uncertain"])
    evidence = [mention(*each) for each in data.draw(st.lists(st.tuples(ids, assertions), max_size=40))]
    ranking = ranker.rank(evidence, Person("male"))
    assert 0 <= ranking.p_any <= 1
    assert sum(entry.posterior for entry in ranking.entries) <= ranking.p_any + 1e-9
    assert [entry.rank for entry in ranking.entries] == list(range(1, len(ranking.entries) + 1))
    posteriors = [entry.posterior for entry in ranking.entries]
    assert posteriors == sorted(posteriors, reverse=True)
    for entry in ranking.entries[:3]:
        assert sum(each.log10_lr for each in entry.contributions) == pytest.approx(entry.log10_lr, abs=1e-6)
    data.draw(st.randoms(use_true_random=False)).shuffle(evidence)
    assert ranker.rank(evidence, Person("male")) == ranking


def test_ten_thousand_findings_are_answered(ranker: Ranker) -> None:
    evidence = [mention(term) for term in ranker.knowledge.terms[:10_000]]
    ranking = ranker.rank(evidence)
    assert len(ranking.entries) == 10
    assert all(np.isfinite(entry.log10_lr) for entry in ranking.entries)


def test_sex_and_age_speak(ranker: Ranker) -> None:
    weakness = [mention(each, event_time=datetime(2025, 1, 1, tzinfo=UTC)) for each in ("HP:0003236", "HP:0003707")]
    boy = ranker.rank(weakness, Person("male", date(2019, 1, 1)), top=200)
    girl = ranker.rank(weakness, Person("female", date(2019, 1, 1)), top=200)
    place = {entry.disease_id: entry.log10_lr for entry in boy.entries}
    other = {entry.disease_id: entry.log10_lr for entry in girl.entries}
    assert place["OMIM:310200"] > other.get("OMIM:310200", -99.0)  # Duchenne muscular dystrophy
    assert "sex: male" in {each.label for entry in boy.entries for each in entry.contributions}


def test_what_is_common_in_the_hospital_says_less(ranker: Ranker) -> None:
    knowledge = ranker.knowledge
    counts = dict.fromkeys(["HP:0001166", "HP:0000118", "HP:0000001"], 4000)
    busy = Ranker(knowledge, Background.from_counts(knowledge, "2025-05", 10_000, counts))
    evidence = [mention("HP:0001166"), mention("HP:0001083")]
    marfan = index(knowledge, "OMIM:154700")
    usual, common = (each.log_ratios(each.codes(each.findings(evidence)))[marfan] for each in (ranker, busy))
    assert common < usual - 1


def test_the_patient_is_left_out_of_the_background(ranker: Ranker) -> None:
    knowledge = ranker.knowledge
    small = Ranker(knowledge, Background.from_counts(knowledge, "2025-05", 500, {"HP:0001083": 1, "HP:0000001": 500}))
    counted = [mention("HP:0001083", in_background=True)]
    other = [mention("HP:0001083")]
    marfan = index(knowledge, "OMIM:154700")
    with_self, without = (small.log_ratios(small.codes(small.findings(each)))[marfan] for each in (other, counted))
    assert without > with_self
    entry = small.rank(counted).entries[0]
    assert sum(each.log10_lr for each in entry.contributions) == pytest.approx(entry.log10_lr, abs=1e-6)


def test_the_patient_is_left_out_of_what_the_findings_imply(ranker: Ranker) -> None:
    """Seizures were known before the month began; the focal ones are new, and match through `Seizure`."""
    knowledge, parameters = ranker.knowledge, ranker.parameters
    told = {"HP:0001250": 2, "HP:0012638": 2, "HP:0000001": 90}
    small = Ranker(knowledge, Background.from_counts(knowledge, "2025-05", 90, told))
    evidence = [mention("HP:0001250", in_background=True), mention("HP:0007359"), mention("HP:0001083")]
    findings = small.findings(evidence)
    assert knowledge.term_index("HP:0001250") not in {each.term for each in findings}  # implied
    fewer = Background.from_counts(knowledge, "2025-05", 89, {"HP:0001250": 1, "HP:0012638": 1, "HP:0000001": 89})
    apart = Ranker(knowledge, fewer).term_probability
    seizure = knowledge.term_index("HP:0001250")
    assert seizure is not None
    without = {term: float(apart[term]) for term in knowledge.ancestors(seizure).tolist()}
    ratios = small.log_ratios(small.codes(findings, evidence))
    for disease in ("OMIM:154700", "OMIM:607208", "OMIM:619340"):
        number = index(knowledge, disease)
        slow = SlowDisease(knowledge, number, parameters)
        noise = parameters.noise["text"]
        wanted = sum(slow.log_ratio(each.term, noise, small.term_probability, without) for each in findings)
        assert ratios[number] == pytest.approx(wanted, abs=1e-6)


def test_a_common_condition_competes(ranker: Ranker) -> None:
    stroke = ["HP:0001297", "HP:0001269", "HP:0002381", "HP:0000822"]
    ranking = ranker.rank([mention(each) for each in stroke])
    assert ranking.common and "Stroke" in ranking.common[0].name
    known = {term for condition in COMMON_CONDITIONS for term, _ in condition.findings}
    assert all(ranker.knowledge.term_index(term) is not None for term in known)


def test_a_background_of_other_knowledge_is_refused(ranker: Ranker) -> None:
    other = Background("background@2025-05", date(2025, 4, 30), 0, np.zeros(3), "other")
    with pytest.raises(BackgroundError, match="make the background again"):
        Ranker(ranker.knowledge, other)
