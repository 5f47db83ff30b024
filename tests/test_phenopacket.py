"""Phenopackets: what another tool can read again, without what would identify the patient."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from knowledge_samples import whole_knowledge

from zebrawatch.benchmarks.cases import read_phenopackets
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.phenopacket import phenopacket
from zebrawatch.evidence.ranking import Evidence, Person, Ranker

CREATED = datetime(2025, 6, 1, 12, tzinfo=UTC)
SEEN = datetime(2025, 5, 20, tzinfo=UTC)


def mention(hpo_id: str, assertion: str = "present") -> Evidence:
    return Evidence(hpo_id, assertion, "text", "note 1", 3, 9, "Anna Zebra fits", date(2025, 5, 20), SEEN)


def test_what_goes_out_comes_back(tmp_path: Path) -> None:
    knowledge = whole_knowledge()
    evidence = [mention("HP:0001083"), mention("HP:0001166"), mention("HP:0002616"), mention("HP:0001250", "negated")]
    person = Person("female", date(2014, 2, 28))
    ranking = Ranker(knowledge, Background.default(knowledge)).rank(evidence, person)
    packet = phenopacket("p1", "subject 7", evidence, person, ranking, knowledge, created=CREATED)
    text = json.dumps(packet)
    assert "Anna" not in text and "2014" not in text
    (tmp_path / "p.json").write_text(text)
    case = read_phenopackets(tmp_path / "p.json")[0]
    assert set(case.present) == {"HP:0001083", "HP:0001166", "HP:0002616"}
    assert case.excluded == ("HP:0001250",)
    assert case.sex == "female"
    assert case.age == pytest.approx(11 + 2 / 12)
    assert case.diseases[0] == ranking.entries[0].disease_id
    quoted = phenopacket("p1", "s", evidence, person, ranking, knowledge, created=CREATED, with_quotes=True)
    assert "Anna Zebra" in json.dumps(quoted)
    with pytest.raises(ValueError, match="time zone"):
        phenopacket("p1", "s", evidence, person, ranking, knowledge, created=datetime(2025, 6, 1))
