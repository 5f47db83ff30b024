"""Answers judged: schema, quotes looked up, names resolved; the rule that joins the arms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reasoning_charts import (
    FABRY,
    FIRST,
    GAUCHER,
    POMPE,
    RESOLVER,
    SECOND,
    answer,
    chart,
    count_words,
    differential,
    disease,
    finding,
    note,
    scored,
)  # fmt: skip

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, Quote, judge, schema_fault
from zebrawatch.reasoning.chart import build_prompts
from zebrawatch.reasoning.fusion import Listed, join
from zebrawatch.reasoning.names import DiseaseName, Resolution, Resolver
from zebrawatch.reasoning.profile import ModelProfile, read_profile
from zebrawatch.reasoning.task import read_task

SMALL, THINKS = read_profile("smollm2-135m"), read_profile("radar-32b")
DIFFERENTIAL, CONFIRM = read_task("differential"), read_task("confirm")


def judged(content: str | None, profile: ModelProfile = SMALL, **changed: Any) -> JudgedAnswer:
    denied = finding(1, FIRST, "seizures", assertion="negated")
    given = chart(1, note(1, FIRST, 200), note(2, SECOND, 100), findings=(denied,))
    prompt = build_prompts([given], DIFFERENTIAL, 3000, count_words)[0]
    return judge(answer(content, **changed), DIFFERENTIAL, profile, prompt, given.findings, RESOLVER)


def test_a_supported_disease_may_flag() -> None:
    """The quote stands over a line break and doubled blanks; the name is a synonym."""
    told = judged(
        differential(disease("Alpha galactosidase A deficiency", ("N1", "Burning pain\n in  hands and feet")))
    )
    found = told.diseases[0]
    assert (told.verdict, found.resolution.disease_id, found.resolution.how) == ("accepted", FABRY, "synonym")
    assert found.may_flag
    assert (told.quotes, told.struck, told.no_rare_disease) == (1, 0, 0.1)


@pytest.mark.parametrize(
    "quote",
    [
        ("N1", "Urine protein 1.2 g per day"),  # stands in N2
        ("N7", "Burning pain in hands"),  # no such note
        ("N1", "burning sensation in hands"),  # paraphrased
        ("N1", "and"),  # too short to say anything
        ("N1", "No seizures."),  # denied, offered as support
    ],
)
def test_a_quote_that_does_not_stand_is_struck_and_the_disease_cannot_flag(quote: tuple[str, str]) -> None:
    told = judged(differential(disease("Fabry disease", quote)))
    assert (told.accepted, told.struck) == (True, 1)
    assert not told.diseases[0].may_flag


def test_a_denied_finding_may_speak_against() -> None:
    told = judged(differential(disease("Fabry disease", against=(("N1", "No seizures."),))))
    assert told.diseases[0].against == (Quote("DocumentReference/1", "No seizures."),)


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ({"content": differential(), "finish_reason": "length"}, "cut off"),
        ({"content": "I think it is Fabry disease."}, "no JSON"),
        ({"content": None}, "no JSON"),
        ({"content": '{"differential": []}'}, "schema"),
        ({"content": differential(none=1.5)}, "schema"),
        ({"content": "[]"}, "schema"),
        ({"content": None, "error": "timeout"}, "no answer"),
    ],
)
def test_what_is_no_answer(response: dict[str, Any], verdict: str) -> None:
    told = judged(**response)
    assert (told.verdict, told.accepted, told.diseases) == (verdict, False, ())
    assert told.fault


def test_a_reasoning_model_must_reason() -> None:
    assert judged(differential(), THINKS).verdict == "no reasoning"
    assert judged(differential(), THINKS, reasoning="Let me see.").accepted
    assert judged("<think>Let me see.</think>\n" + differential(), THINKS, reasoning="so").accepted


def test_confirm_is_about_its_candidate() -> None:
    prompt = build_prompts([chart()], CONFIRM, 3000, count_words, [(POMPE, "Pompe disease")])[0]
    content = json.dumps(
        {
            "consistent": "no", "probability": 0.1, "for": [], "against": [{"note": "N2", "quote": "Cornea whorled."}],
            "commoner_explanation": "", "next_test": "",
        }
    )  # fmt: skip
    told = judge(answer(content), CONFIRM, SMALL, prompt, (), RESOLVER, (POMPE, "Pompe disease"))
    assert (told.consistent, told.diseases[0].resolution.disease_id, len(told.diseases[0].against)) == ("no", POMPE, 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_gets_a_verdict(told: Any) -> None:
    content = json.dumps(told)
    assert judged(content).verdict in ("accepted", "schema", "no JSON")
    fault = schema_fault(told, DIFFERENTIAL.schema)
    assert fault is None or "\n" not in fault


def test_a_schema_fault_names_the_place_and_not_the_value() -> None:
    fault = schema_fault(json.loads(differential(disease("Ann Lee " * 20))), DIFFERENTIAL.schema)
    assert fault == "differential/0/disease breaks the schema's rule 'maxLength 120'"


@pytest.mark.parametrize(
    ("name", "disease_id", "how"),
    [
        ("Fabry disease", FABRY, "exact"),
        ("FABRY'S DISEASE (OMIM:301500)", FABRY, "exact"),
        ("Alpha galactosidase A deficency", FABRY, "fuzzy"),
        ("pompe disease", POMPE, "synonym"),
        ("Glycogen storage disease type II", POMPE, "fuzzy"),
        ("Glycogen storage disease 2", POMPE, "exact"),
        ("Glycogen storage disease III", None, "unresolved"),
        ("Gaucher disease type 1", GAUCHER, "exact"),
        ("Gaucher disease", None, "unresolved"),
        ("influenza", None, "unresolved"),
        ("", None, "unresolved"),
    ],
)
def test_names_resolve_with_a_margin_or_not_at_all(name: str, disease_id: str | None, how: str) -> None:
    found = RESOLVER.resolve(name)
    assert (found.disease_id, found.how) == (disease_id, how)


def test_one_label_of_two_diseases_is_no_name() -> None:
    double = Resolver([DiseaseName("OMIM:1", "Twin syndrome"), DiseaseName("OMIM:2", "Twin syndrome")])
    assert double.resolve("twin syndrome").how == "unresolved"


def told_of(*ids: str, none: float = 0.1, supported: bool = True) -> JudgedAnswer:
    quotes = (Quote("n", "Burning pain"),) if supported else ()
    diseases = tuple(
        JudgedDisease(rank, i, Resolution(i, i, "exact", 1.0), 0.5, quotes, (), 0, "") for rank, i in enumerate(ids, 1)
    )
    return JudgedAnswer("k", "accepted", None, none, diseases)


LISTED = scored(chart()).listed


def order(joined: Any) -> list[str]:
    return [shown.listed.disease_id for shown in joined.shown]


def test_a_supported_disease_rises_an_unsupported_one_does_not() -> None:
    assert order(join(0.6, LISTED, told_of(GAUCHER), threshold=0.5)) == [POMPE, GAUCHER, FABRY]
    assert order(join(0.6, LISTED, told_of(GAUCHER, supported=False), threshold=0.5)) == [POMPE, FABRY, GAUCHER]
    assert order(join(0.6, LISTED, None, threshold=0.5)) == [POMPE, FABRY, GAUCHER]


def test_disagreement_is_shown() -> None:
    outside = join(0.6, LISTED, told_of("OMIM:999", FABRY), threshold=0.5)
    assert [d.kind for d in outside.disagreements] == ["reasoning only"]
    assert "OMIM:999" not in order(outside)
    assert [d.kind for d in join(0.6, LISTED, told_of(none=0.9), threshold=0.5).disagreements] == ["says none"]
    assert [d.kind for d in join(0.2, LISTED, told_of(none=0.9), threshold=0.5).disagreements] == []
    assert [d.kind for d in join(0.6, LISTED, told_of(FABRY), threshold=0.5).disagreements] == ["other first"]


@given(st.permutations([str(n) for n in range(10)]), st.integers(0, 10), st.floats(0, 1), st.booleans())
def test_the_rule_keeps_what_it_promises(named: list[str], size: int, p_any: float, supported: bool) -> None:
    listed = [Listed(str(n), str(n), 0.1, 1.0) for n in range(size)]
    joined = join(p_any, listed, told_of(*named, supported=supported), threshold=0.5)
    assert joined.p_any == p_any
    assert sorted(order(joined)) == sorted(entry.disease_id for entry in listed)
    assert [shown.rank for shown in joined.shown] == list(range(1, size + 1))
    if size:
        assert order(joined)[0] == "0", "the evidence arm's first stays first"
    if not supported:
        assert order(joined) == [entry.disease_id for entry in listed]
