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
