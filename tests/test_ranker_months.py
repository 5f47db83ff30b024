"""A new ranker every month: cheap, the same ranking as one for all terms, and without the diseases not screened for."""

from __future__ import annotations

from knowledge_samples import whole_knowledge

from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Evidence, Ranker

MARFAN = ("HP:0001083", "HP:0002616", "HP:0001166")
EVIDENCE = [Evidence(term, "present", "text", f"note {n}") for n, term in enumerate(MARFAN)]


def test_a_ranker_for_the_terms_in_use_ranks_as_one_for_all() -> None:
    knowledge = whole_knowledge()
    background = Background.from_counts(knowledge, "2025-05", 400, {"HP:0001166": 3})
    whole = Ranker(knowledge, background).rank(EVIDENCE)
    monthly = Ranker(knowledge, background, only=frozenset(MARFAN)).rank(EVIDENCE)
    assert monthly == whole


def test_a_disease_that_is_not_screened_for_is_never_listed() -> None:
    knowledge = whole_knowledge()
    ranker = Ranker(knowledge, Background.default(knowledge), never=frozenset({"ORPHA:558"}))
    ranking = ranker.rank(EVIDENCE, top=50)
    assert "OMIM:154700" not in {entry.disease_id for entry in ranking.entries}
