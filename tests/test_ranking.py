"""The ranker: the right disease first, an account that adds up, whatever the order of the findings."""

from __future__ import annotations

import random
from datetime import date

import pytest
from knowledge_samples import whole_knowledge

from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Evidence, Person, Ranker

MARFAN = ("HP:0001083", "HP:0002616", "HP:0001166", "HP:0000767", "HP:0000098")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    knowledge = whole_knowledge()
    return Ranker(knowledge, Background.default(knowledge))


def mentions(*terms: str, assertion: str = "present", masked: frozenset[str] = frozenset()) -> list[Evidence]:
    return [
        Evidence(term, assertion, "text", f"note {n}", n, n + 5, term, date(2025, 1, 1 + n), masked_for=masked)
        for n, term in enumerate(terms)
    ]


def test_ectopia_lentis_aortic_root_and_long_fingers_are_marfan(ranker: Ranker) -> None:
    ranking = ranker.rank(mentions(*MARFAN), Person("male"))
    first = ranking.entries[0]
    assert first.disease_id == "OMIM:154700" and first.rank == 1
    assert ranking.n_findings == 5
    assert {each.label for each in first.contributions} >= {"Ectopia lentis", "Arachnodactyly"}


def test_contributions_add_up_to_the_score(ranker: Ranker) -> None:
    evidence = mentions(*MARFAN, "HP:0001250") + mentions("HP:0000750", "HP:0000545", assertion="negated")
    for entry in ranker.rank(evidence, Person("female")).entries:
        assert sum(each.log10_lr for each in entry.contributions) == pytest.approx(entry.log10_lr, abs=1e-6)


def test_the_order_of_the_findings_changes_nothing(ranker: Ranker) -> None:
    evidence = mentions(*MARFAN, "HP:0001250", "HP:0001252", *MARFAN)
    evidence += [mention._replace(origin="measurement") for mention in evidence]
    wanted = ranker.rank(evidence)
    for seed in range(5):
        shuffled = random.Random(seed).sample(evidence, len(evidence))
        assert ranker.rank(shuffled) == wanted


def test_no_findings_leave_the_prior(ranker: Ranker) -> None:
    ranking = ranker.rank([])
    assert ranking.entries == () and ranking.n_findings == 0
    assert ranking.p_any == pytest.approx(ranker.parameters.any_prevalence)
    unknown = [Evidence("HP:9999999", "present", "text", "n"), Evidence("HP:0001250", "uncertain", "text", "n")]
    assert ranker.rank(unknown) == ranking


def test_a_document_that_names_the_disease_does_not_count_for_it(ranker: Ranker) -> None:
    plain = ranker.rank(mentions(*MARFAN), top=30)
    masked = ranker.rank(mentions(*MARFAN, masked=frozenset({"ORPHA:558"})), top=30)
    assert plain.entries[0].disease_id == "OMIM:154700"
    assert "OMIM:154700" not in {entry.disease_id for entry in masked.entries}
    others = {entry.disease_id: entry.log10_lr for entry in plain.entries[1:]}
    assert all(others.get(entry.disease_id, entry.log10_lr) == entry.log10_lr for entry in masked.entries)


@pytest.mark.parametrize(
    ("findings", "disease", "expected", "test"),
    [
        # tremor, cirrhosis, depression, parkinsonism: measure copper
        (("HP:0001337", "HP:0001394", "HP:0000716", "HP:0001300"), "Wilson disease", "HP:0003281|HP:0010836|HP:0010837",
         "Increased urinary copper concentration"),
        # angiokeratoma, proteinuria, paresthesia, hypohidrosis
        (("HP:0001014", "HP:0000093", "HP:0003401", "HP:0000966"), "Fabry disease", "HP:0000100|HP:0000365",
         "Abnormal glycosphingolipid metabolism"),
        # aortic root aneurysm, arachnodactyly, pectus excavatum, tall stature: look at the dura, not at what is known
        (("HP:0002616", "HP:0001166", "HP:0000767", "HP:0000098"), "Marfan syndrome", "HP:0100775", "Dural ectasia"),
    ],
)  # fmt: skip
def test_what_is_missing_and_what_to_test_next(
    ranker: Ranker, findings: tuple[str, ...], disease: str, expected: str, test: str
) -> None:
    first = ranker.rank(mentions(*findings)).entries[0]
    assert first.disease_name == disease
    assert set(expected.split("|")) & set(first.expected_absent)
    assert not set(findings) & set(first.expected_absent)
    assert first.next_test is not None and first.next_test.label == test
    assert first.next_test.log10_lr_if_present > 1 > 0 > first.next_test.log10_lr_if_absent


def test_what_was_ruled_out_is_not_tested_again(ranker: Ranker) -> None:
    marfan = ("HP:0002616", "HP:0001166", "HP:0000767", "HP:0000098")
    asked = ranker.rank(mentions(*marfan) + mentions("HP:0100775", assertion="negated")).entries[0]
    assert asked.disease_name == "Marfan syndrome" and "HP:0100775" in asked.expected_absent
    assert asked.next_test is not None and asked.next_test.hpo_id != "HP:0100775"


def test_the_next_test_says_what_its_presence_would_add(ranker: Ranker) -> None:
    before = ranker.rank(mentions(*MARFAN)).entries[0]
    assert before.next_test is not None
    after = ranker.rank(mentions(*MARFAN, before.next_test.hpo_id)).entries[0]
    added = next(each for each in after.contributions if each.hpo_id == before.next_test.hpo_id)
    assert after.disease_id == before.disease_id
    assert added.log10_lr == pytest.approx(before.next_test.log10_lr_if_present, abs=0.05)


def test_a_chart_full_of_complaints_is_little_evidence(ranker: Ranker) -> None:
    complaints = ("HP:0012531", "HP:0000822", "HP:0002018", "HP:0012378", "HP:0012735", "HP:0002315", "HP:0001945")
    syndrome, ordinary, both = (
        ranker.rank(mentions(*each)).p_any for each in (MARFAN, complaints, (*MARFAN, *complaints))
    )
    assert ordinary < 0.008 < both < syndrome  # the default threshold
