"""What is claimed of a finding, and which values in text are findings: pairs a clinician can read."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.benchmarks.corpora import packaged_ontology
from zebrawatch.evidence.assertion import Judge
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.recogniser import Recogniser


@cache
def recogniser() -> Recogniser:
    return Recogniser(Lexicon.build(packaged_ontology()))


@cache
def judge() -> Judge:
    return Judge.make()


def claims(text: str) -> dict[str, str]:
    """What is said of each finding: `assertion`, or `family: relative`."""
    return {
        text[one.start : one.end].lower(): one.assertion
        if one.experiencer == "patient"
        else f"{one.relative or 'family'}: {one.assertion}"
        for one in recogniser().find(text)
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # denied, and where a denial ends
        ("Fever: none. Cough: yes.", {"fever": "negated", "cough": "present"}),
        ("No fever, cough or vomiting.", {"fever": "negated", "cough": "negated", "vomiting": "negated"}),
        ("No fever but has a cough.", {"fever": "negated", "cough": "present"}),
        ("Denies fever. Has a cough.", {"fever": "negated", "cough": "present"}),
        ("Denies:\n- fever\n- cough\n\nHas vomiting.", {"fever": "negated", "cough": "negated", "vomiting": "present"}),
        ("Seizures (-), ataxia (+).", {"seizures": "negated", "ataxia": "present"}),
        ("Seizures were ruled out.", {"seizures": "negated"}),
        ("Review of systems: denies fever, cough, vomiting or headache. Ataxia on examination.",
         {"fever": "negated", "cough": "negated", "vomiting": "negated", "headache": "negated", "ataxia": "present"}),
        ("Gram negative sepsis.", {"sepsis": "present"}),
        # a normal or absent state ends what a list denies
        ("No rash, anicteric.", {"rash": "negated", "anicteric": "negated"}),
        ("No clonus, tone normal, power 5/5.", {"clonus": "negated", "tone normal": "negated", "power 5/5": "negated"}),
        ("No jaundice, liver not palpable, no organomegaly.",
         {"jaundice": "negated", "liver not palpable": "negated", "organomegaly": "negated"}),
        ("No clonus, reflexes absent.", {"clonus": "negated", "reflexes absent": "present"}),
        ("No clonus, absent reflexes.", {"clonus": "negated", "absent reflexes": "present"}),
        ("No rash or absent reflexes.", {"rash": "negated", "absent reflexes": "negated"}),
        ("Normal power, absent reflexes.", {"normal power": "negated", "absent reflexes": "present"}),
        # templates: answers and signs, before or after the finding
        ("Fever no, cough yes, rash no", {"fever": "negated", "cough": "present", "rash": "negated"}),
        ("Fever: no, cough: 3 days", {"fever": "negated", "cough": "present"}),
        ("Patient is negative for: fever, cough.", {"fever": "negated", "cough": "negated"}),
        ("Pertinent negatives: fever, cough.", {"fever": "negated", "cough": "negated"}),
        ("Nystagmus has never been observed.", {"nystagmus": "negated"}),
        ("(+) headache, (-) fever, (+) rash.", {"headache": "present", "fever": "negated", "rash": "present"}),
        ("(+) headache\n(-) fever", {"headache": "present", "fever": "negated"}),
        ("ROS: +fever, -cough, -headache.", {"fever": "present", "cough": "negated", "headache": "negated"}),
        ("+ fever, - cough, + rash", {"fever": "present", "cough": "negated", "rash": "present"}),
        ("Vomiting +, fever -, cough +.", {"vomiting": "present", "fever": "negated", "cough": "present"}),
        ("-seizures, -headache", {"seizures": "present", "headache": "present"}),  # may be bullets
        ("Nystagmus (-)", {"nystagmus": "negated"}),
        ("Seizures (+), ataxia (-).", {"seizures": "present", "ataxia": "negated"}),
        ("Hypotonia?", {"hypotonia": "uncertain"}),
        # uncertain and hypothetical
        ("Hypotonia? Cataract (?), ataxia.", {"hypotonia": "uncertain", "cataract": "uncertain", "ataxia": "present"}),
        ("Fever? No. Rash? Yes. Seen.", {"fever": "negated", "rash": "present"}),
        ("Why does he have ataxia? We do not know.", {"ataxia": "present"}),
        ("Surveillance for cataract.", {"cataract": "hypothetical"}),
        ("People with this condition may develop seizures.", {"seizures": "hypothetical"}),
        ("?cataract", {"cataract": "uncertain"}),
        ("Fever.\n? cataract", {"fever": "present", "cataract": "uncertain"}),
        ("Fever, ? cataract", {"fever": "present", "cataract": "uncertain"}),
        ("Cataract ? Fever noted.", {"cataract": "uncertain", "fever": "present"}),
        ("Possible seizures.", {"seizures": "uncertain"}),
        ("Return if fever develops.", {"fever": "hypothetical"}),
        ("[ ] fever", {"fever": "hypothetical"}),
        # once
        ("History of seizures in childhood.", {"seizures": "historical"}),
        ("Past medical history: asthma.", {"asthma": "historical"}),
        ("Three day history of fever.", {"fever": "present"}),
        ("6 month history of ataxia.", {"ataxia": "present"}),
        ("History: boy with ataxia.", {"ataxia": "present"}),  # the heading of a request, not a past illness
        ("Ataxia which has resolved.", {"ataxia": "historical"}),
        # a heading that is answered with nothing opens no section
        ("FH - nil of note. Ataxia since he was two.", {"ataxia": "present"}),
        ("PMH: none.\nAtaxia today.", {"ataxia": "present"}),
        ("Family history: unremarkable for ataxia.", {"ataxia": "family: negated"}),
        # of whom
        ("Mother has epilepsy.", {"epilepsy": "mother: present"}),
        ("His maternal uncle had ataxia. He has a cough.", {"ataxia": "uncle: present", "cough": "present"}),
        ("Family history: epilepsy, ataxia.\n\nExamination: cough.",
         {"epilepsy": "family: present", "ataxia": "family: present", "cough": "present"}),
        ("Mother reports fever.", {"fever": "present"}),
        ("Mother denies fever.", {"fever": "negated"}),
        ("No family history of epilepsy.", {"epilepsy": "family: negated"}),
        ("Nobody else in the family has ataxia.", {"ataxia": "family: negated"}),
        ("His sister who has ataxia was seen.", {"ataxia": "sister: present"}),
        ("His brother, who is 6, also has ataxia.", {"ataxia": "brother: present"}),
        ("His sister, aged 4, has epilepsy.", {"epilepsy": "sister: present"}),
        ("His mother, who is a nurse, reports that he has ataxia.", {"ataxia": "present"}),
        ("His mother, who has migraine, brought him in with a rash.",
         {"migraine": "mother: present", "rash": "present"}),
        ("She should be screened for scoliosis.", {"scoliosis": "hypothetical"}),
        ("Seen with his mother, who reports that he has ataxia.", {"ataxia": "present"}),
        ("Epilepsy in his mother and ataxia in his sister.",
         {"epilepsy": "mother: present", "ataxia": "sister: present"}),
        ("FH: father - cataract, paternal aunt - ataxia.", {"cataract": "father: present", "ataxia": "aunt: present"}),
    ],
)  # fmt: skip
def test_claims(text: str, told: dict[str, str]) -> None:
    assert claims(text) == told


def values(text: str) -> list[tuple[str, str]]:
    ontology = packaged_labels()
    return [
        (text[one.start : one.end], ontology[one.hpo_id])
        for one in recogniser().find(text)
        if one.origin == "measurement"
    ]


@cache
def packaged_labels() -> dict[str, str]:
    lexicon = recogniser().lexicon
    return dict(zip(lexicon.hpo_ids, lexicon.labels, strict=True))


CK = "Elevated circulating creatine kinase concentration"
LVEF = "Reduced left ventricular ejection fraction"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CK 12 000 today.", [("CK 12 000", CK)]),
        ("CK was 12,000 U/L.", [("CK was 12,000 U/L", CK)]),
        ("CK 120.", []),
        ("OFC 3 SD below mean.", [("OFC 3 SD below", "Microcephaly")]),
        ("OFC -2.5 SD.", [("OFC -2.5 SD", "Microcephaly")]),
        ("OFC +2.5 SD.", [("OFC +2.5 SD", "Macrocephaly")]),
        ("OFC 1 SD below mean.", []),
        ("Height < 3rd centile.", [("Height < 3rd centile", "Short stature")]),
        ("Height below the 0.4th centile.", [("Height below the 0.4th centile", "Short stature")]),
        ("Height on the 50th centile.", []),
        ("Height on the 3rd centile.", []),
        ("Weight 0.4th centile.", [("Weight 0.4th centile", "Decreased body weight")]),
        ("Height on the 99th percentile.", [("Height on the 99th percentile", "Tall stature")]),
        ("Weight between the 2nd and 98th centile.", []),
        (
            "Weight 50th centile at birth, now below the 3rd centile.",
            [("Weight 50th centile at birth, now below the 3rd centile", "Decreased body weight")],
        ),
        ("Height z-score -3.1.", [("Height z-score -3.1", "Short stature")]),
        ("Height SDS: -2.4 today.", [("Height SDS: -2.4", "Short stature")]),
        ("OFC z score +1.9.", []),
        ("Weight > 99th percentile.", [("Weight > 99th percentile", "Increased body weight")]),
        ("Hb 8.1, platelets 300.", [("Hb 8.1", "Anemia")]),
        # one place on the chart told of two measures
        (
            "Height and weight below the 3rd centile.",
            [
                ("Height and weight below the 3rd centile", "Short stature"),
                ("weight below the 3rd centile", "Decreased body weight"),
            ],
        ),
        ("Height and weight on the 50th centile, OFC < 3rd centile.", [("OFC < 3rd centile", "Microcephaly")]),
        ("Ht <3rd %ile, wt 10th %ile.", [("Ht <3rd %ile", "Short stature")]),
        ("Ht z = -2.8.", [("Ht z = -2.8", "Short stature")]),
        ("Birth weight 1.8 kg (<3rd centile).", [("Birth weight 1.8 kg (<3rd centile", "Small for gestational age")]),
        ("LVEF 25%, QTc 520 ms.", [("LVEF 25%", LVEF), ("QTc 520", "Prolonged QT interval")]),
        ("LVEF 62%, QTc 430 ms. Ejection fraction 0.55.", []),
        # degrees Fahrenheit, and counts a microlitre
        ("Temperature 98.6 F.", []),
        ("Temp 98.4, pulse 80.", []),
        ("Temp 101.5 F.", [("Temp 101.5 F", "Fever")]),
        ("Temp 39.", [("Temp 39", "Fever")]),
        ("Plt 45,000/uL.", [("Plt 45,000/uL", "Thrombocytopenia")]),
        ("Platelet count 250,000.", []),
        ("Platelets 20 × 10^9/L.", [("Platelets 20 × 10", "Thrombocytopenia")]),
        ("Plt 280 K/uL.", []),
        ("Hb 81 g/L.", [("Hb 81 g/L", "Anemia")]),
        ("Hb 13.5 g/dL.", []),
        ("Temp 39.2 C.", [("Temp 39.2 C", "Fever")]),
        ("Full scale IQ 62.", [("IQ 62", "Intellectual disability")]),
        ("The CK will be repeated in 12 weeks.", []),
    ],
)
def test_values_in_text(text: str, told: list[tuple[str, str]]) -> None:
    assert values(text) == told


def test_a_value_of_a_relative_is_the_relatives() -> None:
    (found,) = [one for one in recogniser().find("Mother: CK 4000.") if one.origin == "measurement"]
    assert found.experiencer == "family"


TEXTS = st.lists(
    st.sampled_from(
        [
            "no",
            "fever",
            "seizures",
            "mother",
            "denies",
            ":",
            ",",
            ".",
            "\n- ",
            "but",
            "history of",
            "if",
            "?",
            "(-)",
            "has",
        ]
    ),
    max_size=30,
).map(" ".join)


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_judging_given_spans_says_what_recognition_says(text: str) -> None:
    """Two doors to the same rules: spans of a benchmark, and mentions of a note."""
    found = [one for one in recogniser().find(text) if one.origin == "text"]
    judged = judge().judge(text, [(one.start, one.end) for one in found])
    assert [(one.assertion, one.experiencer, one.relative) for one in found] == [tuple(one) for one in judged]


@given(st.text(max_size=80), st.lists(st.tuples(st.integers(-5, 90), st.integers(-5, 90)), max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_span_of_any_text_has_a_judgement(text: str, spans: list[tuple[int, int]]) -> None:
    found = judge().judge(text, spans)
    assert len(found) == len(spans)
    assert all(one.relative is None or one.experiencer == "family" for one in found)
