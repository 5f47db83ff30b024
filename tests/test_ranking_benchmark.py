"""The ranking benchmark: leaving out a paper leaves out its rows, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from knowledge_samples import knowledge_files, whole_knowledge

from zebrawatch.benchmarks.baselines import Baseline
from zebrawatch.benchmarks.cases import Case
from zebrawatch.benchmarks.ranking import (
    Bench,
    as_shown,
    changed_score,
    codes_of,
    independent,
    ours,
    prepare,
    with_noise,
    without_papers,
)
from zebrawatch.benchmarks.ranking import run as run_benchmark
from zebrawatch.benchmarks.ranking_folds import folds_of
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Ranker
from zebrawatch.knowledge.ontology import Ontology

MARFAN = ("HP:0001083", "HP:0002616", "HP:0001166", "HP:0000767", "HP:0000098")


def case(name: str, papers: set[str], diseases: tuple[str, ...], present: tuple[str, ...] = MARFAN) -> Case:
    return Case(name, frozenset(papers), diseases, present, (), None, None)


@pytest.fixture(scope="module")
def bench() -> Bench:
    knowledge = whole_knowledge()
    ontology = Ontology.read(knowledge_files().hp_obo)
    place = {term: number for number, term in enumerate(knowledge.terms)}
    parents = [[place[each] for each in ontology.terms[term].parents] for term in knowledge.terms]
    return Bench(knowledge, Ranker(knowledge, Background.default(knowledge)), Baseline.build(knowledge, parents))


def test_leaving_out_nothing_changes_no_score(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    disease = bench.knowledge.index_of("OMIM:154700")
    assert disease is not None
    low, high = np.searchsorted(bench.knowledge.row_disease, [disease, disease + 1])
    monkeypatch.setitem(bench.__dict__, "rows_of_paper", {"PMID:0": list(range(low, high))})
    changed = without_papers(bench, frozenset({"PMID:0"}))  # no row rests on it, so each keeps its whole weight
    assert changed.diseases == [disease]
    terms = prepare(bench.knowledge, [case("a", set(), ("OMIM:154700",), (*MARFAN, "HP:0001250"))])[0].terms
    plain, _ = ours(bench, terms, without_papers(bench, frozenset()))
    assert changed_score(bench, changed, 0, terms) == pytest.approx(plain[disease], abs=1e-6)


def test_a_disease_known_from_one_paper_loses_its_profile(bench: Bench) -> None:
    papers = frozenset({"PMID:31675180"})
    index = bench.knowledge.index_of("OMIM:619340")  # annotated from this paper alone
    assert index is not None
    changed = without_papers(bench, papers)
    assert index in changed.diseases
    place = changed.diseases.index(index)
    spasticity = bench.knowledge.term_index("HP:0011097")
    assert spasticity is not None
    assert changed.probability[place][spasticity] < bench.ranker.own_profiles.probability.max()
    terms = independent(bench.knowledge, [spasticity])
    assert changed_score(bench, changed, place, terms) < bench.ranker.log_ratios(codes_of(bench.ranker, terms))[index]
    dense, own = changed.baseline[2 * index]
    assert not own.any() and not dense.any()


def test_a_paper_left_out_is_left_out_of_the_prior(bench: Bench) -> None:
    paper = "PMID:31675180"
    index = bench.knowledge.index_of("OMIM:619340")  # annotated from this paper alone
    assert index is not None
    changed = without_papers(bench, frozenset({paper}))
    parameters = bench.ranker.parameters
    place = changed.diseases.index(index)
    lost = bench.ranker.prior_weight[index] / changed.prior_weight[place]
    assert lost == pytest.approx(2**parameters.papers_weight)
    total = np.zeros(len(bench.ranker.crowding))
    before = as_shown(bench, total, without_papers(bench, frozenset()))
    after = as_shown(bench, total, changed)
    assert before[index] - after[index] == pytest.approx(np.log(lost))
    untouched = np.setdiff1d(np.arange(len(after)), changed.diseases)
    np.testing.assert_array_equal(before[untouched], after[untouched])


def test_noise_adds_and_drops_the_same_way_every_time(bench: Bench) -> None:
    prepared = prepare(bench.knowledge, [case("a", set(), ("OMIM:154700",))])[0]
    more = with_noise(bench.knowledge, prepared, "plus20", 7)
    assert 20 <= len(more.terms) <= 25
    np.testing.assert_array_equal(more.terms, with_noise(bench.knowledge, prepared, "plus20", 7).terms)
    fewer = with_noise(bench.knowledge, prepared, "half5", 7)
    assert len(fewer.terms) <= 8 and len(set(fewer.terms) & set(prepared.terms)) <= 3


def test_folds_keep_papers_and_diseases_together(bench: Bench) -> None:
    cases = [
        case("a", {"PMID:1"}, ("OMIM:154700",)), case("b", {"PMID:1"}, ("OMIM:310200",)),
        case("c", {"PMID:2"}, ("OMIM:310200",)), case("d", {"PMID:3"}, ("OMIM:619340",)),
    ]  # fmt: skip
    folds = folds_of(prepare(bench.knowledge, cases))
    assert folds[0] == folds[1] == folds[2]


def test_a_users_file_gives_figures_under_its_stem(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "build", staticmethod(lambda *_: bench))
    packet = {
        "id": "p", "subject": {"id": "p"}, "metaData": {},
        "phenotypicFeatures": [{"type": {"id": each}} for each in MARFAN],
        "diseases": [{"term": {"id": "ORPHA:558"}}],
    }  # fmt: skip
    (tmp_path / "mine.jsonl").write_text(json.dumps(packet) + "\n")
    results = run_benchmark(data=tmp_path, files=[tmp_path / "mine.jsonl"])
    assert results["mine"]["n"] == 1 and results["mine"]["top1"] == 1.0
    assert set(results["mine"]["ci95"]["top1"]) == {1.0}
    assert {"mine", "mine/as_published", "mine/plus20", "mine/half5"} == set(results)
