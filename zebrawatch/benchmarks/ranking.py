"""Benchmark `ranking`: published cases, source-excluded first, against two plain likelihood ratios in the same run.

Source-excluded: annotation rows that rest on the case's own papers are left out for every disease; rows pooled over
several papers keep the share of the papers that remain. A case whose disease is not ranked counts as a miss. Ties take
their mean rank. Intervals resample diseases.

*Ours* is the order the screen shows, by posterior: findings and the prior of prevalence and papers (of those that are
left). *Findings* is the order by likelihood ratio alone, which is what the baselines rank by.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zebrawatch.benchmarks.baselines import Baseline
from zebrawatch.benchmarks.cases import Case, locate_knowledge, read_phenobrain, read_phenopackets
from zebrawatch.benchmarks.results import Results
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.likelihoods import (
    crowding,
    papers_behind,
    pool_rows,
    prior_weight,
    propagated,
    relative_share,
)
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.evidence.ranking import Codes, Ranker
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.knowledge.ontology import Ontology

FloatArray = NDArray[np.float64]
TOPS = (1, 3, 5, 10)
MISSED = 1e9
RESAMPLES = 1000
LEAST_CALIBRATED = 200


@dataclass(frozen=True)
class Bench:
    """Everything that is built once for a run."""

    knowledge: Knowledge
    ranker: Ranker
    baseline: Baseline

    @classmethod
    def build(cls, data: Path, parameters: RankingParameters | None = None) -> Bench:
        """Knowledge, ranker and baselines of the files at hand."""
        files = locate_knowledge(data)
        ontology = Ontology.read(files.hp_obo)
        knowledge = Knowledge.build(files, ontology)
        place = {term: number for number, term in enumerate(knowledge.terms)}
        parents = [[place[each] for each in ontology.terms[term].parents] for term in knowledge.terms]
        ranker = Ranker(knowledge, Background.default(knowledge), parameters or RankingParameters())
        return cls(knowledge, ranker, Baseline.build(knowledge, parents))

    @cached_property
    def rows_of_paper(self) -> dict[str, list[int]]:
        """Annotation rows by the paper they rest on."""
        references = self.knowledge.references
        by_reference: dict[int, list[int]] = {}
        for row, reference in enumerate(np.asarray(self.knowledge.row_reference).tolist()):
            by_reference.setdefault(reference, []).append(row)
        found: dict[str, list[int]] = {}
        for number, papers in enumerate(references):
            for paper in papers:
                if paper.startswith("PMID:"):
                    found.setdefault(paper, []).extend(by_reference.get(number, []))
        return found


class Prepared(NamedTuple):
    """A case in numbers."""

    case: Case
    terms: NDArray[np.int32]
    gold: tuple[int, ...]


class Changed(NamedTuple):
    """Diseases that lost annotation rows: dense profiles, own flags, crowding and prior weight."""

    diseases: list[int]
    probability: list[FloatArray]
    own: list[NDArray[np.bool_]]
    crowding: list[float]
    rankable: list[bool]
    prior_weight: list[float]
    baseline: dict[int, tuple[FloatArray, NDArray[np.bool_]]]


NOTHING_CHANGED = Changed([], [], [], [], [], [], {})


def independent(knowledge: Knowledge, terms: Iterable[int]) -> NDArray[np.int32]:
    """Terms without those another one implies, ascending."""
    chosen = set(terms)
    implied = {up for term in chosen for up in knowledge.ancestors(term).tolist() if up != term}
    return np.array(sorted(chosen - implied), np.int32)


def prepare(knowledge: Knowledge, cases: Sequence[Case]) -> list[Prepared]:
    """Cases with terms and diagnoses looked up; unknown terms are left out."""
    found = []
    for case in cases:
        terms = {term for hpo_id in case.present if (term := knowledge.term_index(hpo_id)) is not None}
        gold = {index for each in case.diseases if (index := knowledge.index_of(each)) is not None}
        usable = (term for term in terms if knowledge.phenotypic[term])
        found.append(Prepared(case, independent(knowledge, usable), tuple(sorted(gold))))
    return found


def with_noise(knowledge: Knowledge, prepared: Prepared, kind: str, seed: int) -> Prepared:
    """`plus20`: twenty random phenotypic abnormalities more; `half5`: half of the findings gone, five random more."""
    rng = np.random.default_rng([seed, zlib.crc32(prepared.case.id.encode())])
    everything = np.flatnonzero(knowledge.phenotypic)
    kept = prepared.terms
    if kind == "half5" and len(kept):
        kept = rng.choice(kept, max(1, len(kept) - len(kept) // 2), replace=False)
    added = rng.choice(everything, 20 if kind == "plus20" else 5, replace=False)
    return prepared._replace(terms=independent(knowledge, [*kept.tolist(), *added.tolist()]))


def without_papers(bench: Bench, papers: frozenset[str]) -> Changed:
    """What is left of every disease some of whose rows rest on these papers."""
    knowledge, ranker = bench.knowledge, bench.ranker
    keep: dict[int, float] = {}
    for paper in sorted(papers):
        for row in bench.rows_of_paper.get(paper, ()):
            every = knowledge.references[int(knowledge.row_reference[row])]
            keep[row] = len([each for each in every if each not in papers]) / len(every)
    diseases = sorted({int(knowledge.row_disease[row]) for row in keep})
    if not diseases:
        return NOTHING_CHANGED
    own, flags, masses = {}, {}, {}
    for disease in diseases:
        low, high = np.searchsorted(knowledge.row_disease, [disease, disease + 1])
        rows = np.arange(low, high)
        pooled = pool_rows(knowledge, ranker.parameters, rows, np.array([keep.get(row, 1.0) for row in rows.tolist()]))
        own[disease], flags[disease] = _dense(knowledge, pooled, ranker.parameters)
        masses[disease] = float(pooled.probability.sum())
    probability, crowd = [], []
    for disease in diseases:
        lent, lent_mass = _lent(bench, disease, own, masses)
        share = _share(bench, disease, masses[disease])
        lent = np.where(share * lent < ranker.parameters.least_borrowed, 0.0, share * lent)
        probability.append(np.maximum(own[disease], lent))
        crowd.append(float(crowding(np.array([masses[disease] + share * lent_mass]), ranker.parameters)[0]))
    dropped = np.array([row for row, left in keep.items() if left == 0.0], np.int64)
    return Changed(
        diseases,
        probability,
        [flags[disease] for disease in diseases],
        crowd,
        [bool(each.any()) for each in probability],
        [_prior_weight(bench, disease, papers) for disease in diseases],
        bench.baseline.without(diseases, dropped),
    )


def _prior_weight(bench: Bench, disease: int, papers: frozenset[str]) -> float:
    knowledge = bench.knowledge
    low, high = np.searchsorted(knowledge.row_disease, [disease, disease + 1])
    left = papers_behind(knowledge, papers, np.arange(low, high))[disease]
    weight = prior_weight(knowledge.prevalence[[disease]], np.array([left]), bench.ranker.parameters)
    return float(weight[0])


def _dense(knowledge: Knowledge, pooled: Any, parameters: RankingParameters) -> tuple[FloatArray, NDArray[np.bool_]]:
    dense, own = np.zeros(len(knowledge.terms)), np.zeros(len(knowledge.terms), np.bool_)
    if len(pooled.term):
        _, term, probability, flags = propagated(
            pooled.disease,
            pooled.term,
            pooled.probability,
            knowledge.ancestor_start,
            knowledge.ancestor,
            len(knowledge.terms),
            parameters.or_weight,
        )
        dense[term], own[term] = probability, flags
    return dense, own


def _share(bench: Bench, disease: int, own_mass: float) -> float:
    masses = np.array(bench.ranker.own_mass)
    masses[disease] = own_mass
    return float(relative_share(bench.knowledge, masses, bench.ranker.parameters)[disease])


def _lent(
    bench: Bench, disease: int, changed: Mapping[int, FloatArray], masses: Mapping[int, float]
) -> tuple[FloatArray, float]:
    """Mean profile and mass of the relatives, changed ones among them as changed."""
    knowledge = bench.knowledge
    total, total_mass = np.zeros(len(knowledge.terms)), 0.0
    for k in range(int(knowledge.relative_start[disease]), int(knowledge.relative_start[disease + 1])):
        other, weight = int(knowledge.relative[k]), float(knowledge.relative_weight[k])
        if other in changed:
            total += weight * changed[other]
            total_mass += weight * masses[other]
        else:
            terms, values = _own_profile(bench, other)
            total[terms] += weight * values
            total_mass += weight * float(bench.ranker.own_mass[other])
    return total, total_mass


def _own_profile(bench: Bench, disease: int) -> tuple[NDArray[np.int32], FloatArray]:
    pooled = bench.ranker.pooled
    low, high = np.searchsorted(pooled.disease, [disease, disease + 1])
    if low == high:
        return np.zeros(0, np.int32), np.zeros(0)
    knowledge = bench.knowledge
    _, term, probability, _ = propagated(
        pooled.disease[low:high], pooled.term[low:high], pooled.probability[low:high],
        knowledge.ancestor_start, knowledge.ancestor, len(knowledge.terms), bench.ranker.parameters.or_weight,
    )  # fmt: skip
    return term, probability


def changed_score(bench: Bench, changed: Changed, place: int, terms: NDArray[np.int32]) -> float:
    """Log ratio of one changed disease, written out plainly."""
    p, ranker = bench.ranker.parameters, bench.ranker
    noise, total = p.noise["text"], 0.0
    for term in terms.tolist():
        best = 0.0
        for up in bench.knowledge.ancestors(term).tolist():
            strength = changed.probability[place][up] / ranker.term_probability[up]
            if up != term:
                strength *= p.ancestor_weight if changed.own[place][up] else p.sibling_weight
                if ranker.term_probability[up] > p.commonest_ancestor or strength <= 1.0:
                    continue
            best = max(best, strength)
        ratio = (p.gain * best + p.smoothing) / changed.crowding[place]
        total += float(np.log(noise + (1 - noise) * ratio))
    return total


def codes_of(ranker: Ranker, terms: NDArray[np.int32]) -> Codes:
    """Present findings from text."""
    n = len(terms)
    level = ranker.levels.index(ranker.parameters.noise["text"])
    return Codes(terms, np.ones(n, np.bool_), np.full(n, level), np.zeros(0, np.bool_))


def ours(bench: Bench, terms: NDArray[np.int32], changed: Changed) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(log ratio, rankable) of every disease; common explanations at the end of the first."""
    ranker = bench.ranker
    total = ranker.log_ratios(codes_of(ranker, terms))
    rankable = np.zeros(len(bench.knowledge.diseases), np.bool_)
    rankable[ranker.ranked] = True
    for place, disease in enumerate(changed.diseases):
        total[disease] = changed_score(bench, changed, place, terms)
        rankable[disease] = changed.rankable[place]
    return total, rankable


def as_shown(bench: Bench, total: FloatArray, changed: Changed) -> FloatArray:
    """What the screen orders the rare diseases by: tempered log ratios with the log prior (up to a constant)."""
    weight = np.array(bench.ranker.prior_weight)
    weight[changed.diseases] = changed.prior_weight
    return np.asarray(bench.ranker.parameters.temperature * total[: len(weight)] + np.log(weight))


def rank_of(scores: FloatArray, rankable: NDArray[np.bool_], gold: Iterable[int]) -> float:
    """Best mean rank of any right answer; MISSED where none is ranked."""
    ranked = scores[rankable]
    best = MISSED
    for index in gold:
        if rankable[index]:
            higher = int(np.count_nonzero(ranked > scores[index] + 1e-9))
            same = int(np.count_nonzero(np.abs(ranked - scores[index]) <= 1e-9))
            best = min(best, higher + (same + 1) / 2)
    return best


class Ranks(NamedTuple):
    """Ranks of the right answer, one for each case."""

    ours: FloatArray
    findings: FloatArray
    naive: FloatArray
    exact: FloatArray
    profile_left: NDArray[np.bool_]


def rank_cases(
    bench: Bench, cases: Sequence[Prepared], *, source_excluded: bool, progress: Callable[[str], None], name: str
) -> Ranks:
    """Rank all cases with the four methods; cases of the same papers share their changed profiles."""
    n = len(cases)
    missed = np.full(n, MISSED)
    out = Ranks(missed, missed.copy(), missed.copy(), missed.copy(), np.zeros(n, np.bool_))
    by_papers: dict[frozenset[str], list[int]] = {}
    for number, prepared in enumerate(cases):
        by_papers.setdefault(prepared.case.papers if source_excluded else frozenset(), []).append(number)
    done = 0
    for papers, numbers in by_papers.items():
        changed = without_papers(bench, papers) if papers else NOTHING_CHANGED
        for number in numbers:
            _rank_case(bench, cases[number], changed, number, out)
        done += len(numbers)
        if done // 500 != (done - len(numbers)) // 500:
            progress(f"{name}: {done} of {n} cases")
    return out


def _rank_case(bench: Bench, prepared: Prepared, changed: Changed, number: int, out: Ranks) -> None:
    if not len(prepared.terms):
        return
    n = len(bench.knowledge.diseases)
    total, rankable = ours(bench, prepared.terms, changed)
    out.ours[number] = rank_of(as_shown(bench, total, changed), rankable, prepared.gold)
    out.findings[number] = rank_of(total[:n], rankable, prepared.gold)
    rows = [row for index in prepared.gold for row in (2 * index, 2 * index + 1)]
    for ranks, partial in ((out.naive, True), (out.exact, False)):
        scores, annotated = bench.baseline.scores(prepared.terms, changed.baseline, partial=partial)
        ranks[number] = rank_of(scores, annotated, rows)
        out.profile_left[number] = bool(annotated[rows].any()) if rows else False


def summary(cases: Sequence[Prepared], ranks: Ranks, seed: int, seconds: float) -> dict[str, Any]:
    """Shares in the first 1, 3, 5, 10, median ranks, paired gains over both baselines, intervals by disease."""
    values: dict[str, FloatArray] = {}
    for top in TOPS:
        values[f"top{top}"] = (ranks.ours <= top + 0.5).astype(float)
        for name, other in (("naive", ranks.naive), ("exact", ranks.exact)):
            values[f"{name}_top{top}"] = (other <= top + 0.5).astype(float)
            values[f"gain_over_{name}_top{top}"] = values[f"top{top}"] - values[f"{name}_top{top}"]
        values[f"findings_top{top}"] = (ranks.findings <= top + 0.5).astype(float)
        values[f"findings_gain_over_exact_top{top}"] = values[f"findings_top{top}"] - values[f"exact_top{top}"]
    clusters = _clusters(cases)
    result: dict[str, Any] = {"n": len(cases), "diseases": len(set(clusters.tolist()))}
    result |= {name: round(float(value.mean()), 4) for name, value in values.items()}
    left = ranks.profile_left
    for top in (1, 10):
        result[f"top{top}_where_a_profile_is_left"] = (
            round(float(values[f"top{top}"][left].mean()), 4) if left.any() else None
        )
    result["profile_left"] = int(left.sum())
    result["not_ranked"] = int((ranks.ours >= MISSED).sum())
    result["not_ranked_naive"] = int((ranks.naive >= MISSED).sum())
    result["median_rank"] = float(np.median(ranks.ours))
    result["ci95"] = intervals(values, clusters, seed)
    result["seconds"] = round(seconds, 1)
    return result


def _clusters(cases: Sequence[Prepared]) -> NDArray[np.int64]:
    names = ["+".join(prepared.case.diseases) for prepared in cases]
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def intervals(values: Mapping[str, FloatArray], clusters: NDArray[np.int64], seed: int) -> dict[str, list[float]]:
    """95 % percentile intervals of means, resampling diseases."""
    rng = np.random.default_rng(seed)
    n = int(clusters.max()) + 1
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    size = drawn @ np.bincount(clusters, minlength=n)
    found = {}
    for name, value in values.items():
        means = drawn @ np.bincount(clusters, value, minlength=n) / size
        found[name] = [round(float(each), 4) for each in np.percentile(means, [2.5, 97.5])]
    return found


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Rank the development phenopackets and PhenoBrain's public cases, or the phenopackets of `files`.

    Keys: the data set (source-excluded), and `<set>/as_published`, `<set>/plus20` (twenty random terms more),
    `<set>/half5`, the last two source-excluded too; `<set>/none_of_these`.
    """
    from zebrawatch.benchmarks import none_of_these  # which reads cases through this module

    bench = Bench.build(data)
    progress(f"knowledge {bench.knowledge.version}: {len(bench.ranker.ranked)} diseases ranked")
    results: Results = {}
    paths = list(files) or [data / "cases" / "phenopackets.jsonl.gz"]
    for path in paths:
        name = path.name.partition(".")[0] or path.name
        cases = prepare(bench.knowledge, read_phenopackets(path))
        conditions: list[tuple[str, bool, str]] = [
            (name, True, ""), (f"{name}/as_published", False, ""),
            (f"{name}/plus20", True, "plus20"), (f"{name}/half5", True, "half5"),
        ]  # fmt: skip
        for key, excluded, noise in conditions:
            started = time.perf_counter()
            chosen = [with_noise(bench.knowledge, each, noise, seed) for each in cases] if noise else cases
            ranks = rank_cases(bench, chosen, source_excluded=excluded, progress=progress, name=key)
            results[key] = summary(cases, ranks, seed, time.perf_counter() - started)
            progress(_line(key, results[key]))
        if len(cases) >= LEAST_CALIBRATED and (data / none_of_these.NOTES).exists():
            results[f"{name}/none_of_these"] = none_of_these.measure(bench, cases, data, seed, progress)
            progress(f"{name}/none_of_these {results[f'{name}/none_of_these']}")
    phenobrain = data / "cases" / "phenobrain_public_test_set.json"
    if not files and phenobrain.exists():
        started = time.perf_counter()
        cases = prepare(bench.knowledge, read_phenobrain(phenobrain))
        ranks = rank_cases(bench, cases, source_excluded=False, progress=progress, name="phenobrain")
        results["phenobrain_report"] = summary(cases, ranks, seed, time.perf_counter() - started)
        progress(_line("phenobrain_report", results["phenobrain_report"]))
    return results


def _line(key: str, result: Mapping[str, Any]) -> str:
    orders = (("ours", ""), ("findings", "findings_"), ("naive", "naive_"), ("exact", "exact_"))
    parts = [f"{name} {result[f'{prefix}top1']:.3f}/{result[f'{prefix}top3']:.3f}/{result[f'{prefix}top10']:.3f}"
             for name, prefix in orders]  # fmt: skip
    return f"{key}: n {result['n']}, top-1/3/10 " + ", ".join(parts)
