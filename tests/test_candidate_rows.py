"""Rows of CANDIDATES made from the ranker's arrays: the same as the objects of the explanation say."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from knowledge_samples import whole_knowledge

from zebrawatch.engine.candidate_rows import CandidateRows, Vocabulary, candidate_schema
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Evidence, Person, Ranker
from zebrawatch.schemas import CONTRIBUTION

NIGHT = date(2025, 5, 3)
MARFAN = ("HP:0001083", "HP:0002616", "HP:0001166", "HP:0000767")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    knowledge = whole_knowledge()
    return Ranker(knowledge, Background.default(knowledge))


def said(hpo_id: str, n: int, assertion: str = "present", masked: frozenset[str] = frozenset()) -> Evidence:
    at = datetime(2025, 1, 1 + n, tzinfo=UTC)
    return Evidence(hpo_id, assertion, "text", f"note {n}", n, n + 4, "long fingers", at.date(), at, masked)


def test_rows_say_what_the_objects_say(ranker: Ranker) -> None:
    evidence = [said(each, n) for n, each in enumerate(MARFAN)]
    evidence += [said("HP:0001250", 7, "negated"), said("HP:0000098", 8, masked=frozenset({"OMIM:154700"}))]
    ranking = ranker.rank(evidence, Person("male", date(2010, 1, 1)))
    rows = CandidateRows(Vocabulary(ranker.knowledge))
    rows.add(5, NIGHT, ranking, "evidence", "background@2025-05", first=True)
    rows.add(5, NIGHT, ranker.rank([]), "source removed", "background@2025-05", first=False)
    table = rows.table()
    assert table.schema == candidate_schema()
    told = table.to_pylist()
    assert [row["rank"] for row in told] == [*range(1, 11), 0]
    for row, entry in zip(told, ranking.entries, strict=False):
        assert (row["disease_id"], row["disease_name"]) == (entry.disease_id, entry.disease_name)
        assert row["log10_lr"] == pytest.approx(entry.log10_lr, abs=1e-9)
        assert row["posterior"] == pytest.approx(entry.posterior, abs=1e-12)
        assert row["expected_absent"] == list(entry.expected_absent)
        for one, part in zip(row["contributions"], entry.contributions, strict=True):
            assert one == {each.name: getattr(part, each.name) for each in CONTRIBUTION}
    masked = next(row for row in told if row["disease_id"] == "OMIM:154700")
    assert "HP:0000098" not in {one["hpo_id"] for one in masked["contributions"]}
    assert told[-1]["contributions"] == [] and told[-1]["cause"] == "source removed"


def test_a_first_score_of_nothing_gives_no_row(ranker: Ranker) -> None:
    rows = CandidateRows(Vocabulary(ranker.knowledge))
    rows.add(5, NIGHT, ranker.rank([]), "evidence", "background@2025-05", first=True)
    assert rows.table().num_rows == 0 and rows.table().schema == candidate_schema()
