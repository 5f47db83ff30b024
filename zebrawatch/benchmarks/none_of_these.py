"""Cases against "none of these": what the evidence for any rare disease is worth in charts, and the fit of its slope.

A published case is a clean list of findings; a chart is not. So every case loses up to half of its findings and gains
up to thirty-four others: most found by the recogniser in notes about common diseases, up to four random. Each stands
beside three nulls of the same size: *hard*, its own findings replaced by findings of other cases; *random*, by random
terms; *ordinary*, only what was added. A third of the cases each is scored against the annotations' background, and
those of made hospitals of 200 and 2,000 patients, who have the complaints of the other half of the notes.

Slope and offset come from cases whose disease keeps a profile against hard nulls, all folds but one (folds keep papers
and diseases together); the figures are of the fold left out. Intervals resample diseases.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zebrawatch.benchmarks.corpora import packaged_ontology, read_notes
from zebrawatch.benchmarks.ranking import (
    NOTHING_CHANGED,
    Bench,
    Changed,
    Prepared,
    codes_of,
    independent,
    ours,
    without_papers,
)
from zebrawatch.benchmarks.ranking_folds import FOLDS, folds_of
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.calibration import Calibration, area, brier, reliability
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.ranking import Ranker
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.knowledge.diseases import Knowledge

FloatArray = NDArray[np.float64]
HOSPITALS = (0, 200, 2000)
MOST_ADDED = 30
MOST_RANDOM = 4
NULLS = ("hard", "random", "ordinary")
RESAMPLES = 200
NOTES = Path("notes") / "common_disease_notes.jsonl.gz"


class Evidence(NamedTuple):
    """Evidence for any rare disease of every case and its nulls; NaN where there was nothing to score."""

    case: FloatArray
    nulls: dict[str, FloatArray]
    clean_case: FloatArray
    clean_nulls: dict[str, FloatArray]
    """The same without noise or loss (hard and random only)."""
    left: NDArray[np.bool_]
    """Whether the case's disease keeps a profile without the case's own papers."""


def complaints(knowledge: Knowledge, data: Path) -> list[list[int]]:
    """Findings of the patient in each note about common diseases that has any, as term indices."""
    recogniser = Recogniser(Lexicon.build(packaged_ontology()))
    found = []
    for note in read_notes(data / NOTES):
        ids = {
            one.hpo_id
            for one in recogniser.find(note["text"])
            if one.assertion in ("present", "historical") and one.experiencer == "patient"
        }
        terms = [term for each in sorted(ids) if (term := knowledge.term_index(each)) is not None]
        found.append([term for term in terms if knowledge.phenotypic[term]])
    return [each for each in found if each]


@dataclass(frozen=True)
class Noise:
    """What stands in charts beside the findings of a disease."""

    notes: Sequence[Sequence[int]]
    annotated: NDArray[np.int64]

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Findings of as many random notes as it takes, and a few random annotated terms."""
        wanted = int(rng.integers(0, MOST_ADDED + 1))
        found: dict[int, None] = {}
        while len(found) < wanted:
            found.update(dict.fromkeys(self.notes[int(rng.integers(len(self.notes)))]))
        chosen = list(found)[:wanted]
        more = rng.choice(self.annotated, int(rng.integers(0, MOST_RANDOM + 1)), replace=False)
        return [*chosen, *more.tolist()]


def made_background(knowledge: Knowledge, noise: Noise, n_patients: int, seed: int) -> Background:
    """Background of a made hospital whose patients have complaints only."""
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(knowledge.terms))
    for _ in range(n_patients):
        up = {each for term in noise.draw(rng) for each in knowledge.ancestors(term).tolist()}
        counts[list(up)] += 1
    return replace(Background.default(knowledge), n_patients=n_patients, counts=counts)


def measure(
    bench: Bench, cases: Sequence[Prepared], data: Path, seed: int, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """AUC, Brier score and reliability against each null, cross-validated, and the slope fitted on all."""
    started = time.perf_counter()
    usable = [each for each in cases if len(each.terms)]
    found = evidence_of(bench, usable, data, seed, progress)
    folds = folds_of(usable)
    stated = _stated(found, folds)
    clusters = np.unique(["+".join(each.case.diseases) for each in usable], return_inverse=True)[1]
    whole = _fit(found, np.ones(len(usable), np.bool_))
    result: dict[str, Any] = {"n": int(found.left.sum()), "slope": round(whole.slope, 4),
                              "offset": round(whole.offset, 4), "ci95": {}}  # fmt: skip
    for null in NULLS:
        cases_p, nulls_p = stated["case"], stated[null]
        kept = found.left & ~np.isnan(nulls_p)
        p = np.concatenate([cases_p[kept], nulls_p[kept]])
        truth = np.repeat([True, False], int(kept.sum()))
        result[f"auc_{null}"] = round(area(cases_p[kept], nulls_p[kept]), 4)
        result[f"brier_{null}_even_odds"] = round(brier(p, truth), 4)
        result[f"reliability_{null}"] = [(round(a, 3), round(b, 3), n) for a, b, n in reliability(p, truth)]
        result["ci95"][f"auc_{null}"] = _interval(cases_p[kept], nulls_p[kept], clusters[kept], seed)
    for null, values in found.clean_nulls.items():
        result[f"clean_auc_{null}"] = round(area(found.clean_case[found.left], values[found.left]), 4)
    result["seconds"] = round(time.perf_counter() - started, 1)
    return result


def evidence_of(
    bench: Bench, cases: Sequence[Prepared], data: Path, seed: int, progress: Callable[[str], None]
) -> Evidence:
    """Evidence of every case (source-excluded) and its nulls."""
    knowledge = bench.knowledge
    progress("none of these: findings of notes about common diseases")
    notes = complaints(knowledge, data)
    annotated = np.unique(bench.ranker.pooled.term[knowledge.phenotypic[bench.ranker.pooled.term]]).astype(np.int64)
    elsewhere, noise = Noise(notes[0::2], annotated), Noise(notes[1::2], annotated)
    benches = [
        replace(
            bench,
            ranker=Ranker(knowledge, made_background(knowledge, elsewhere, n, seed), bench.ranker.parameters)
            if n
            else bench.ranker,
        )
        for n in HOSPITALS
    ]
    nothing = np.full(len(cases), np.nan)
    out = Evidence(
        nothing.copy(), {null: nothing.copy() for null in NULLS}, nothing.copy(),
        {null: nothing.copy() for null in NULLS[:2]}, np.zeros(len(cases), np.bool_),
    )  # fmt: skip
    by_papers: dict[frozenset[str], list[int]] = {}
    for number, prepared in enumerate(cases):
        by_papers.setdefault(prepared.case.papers, []).append(number)
    done = 0
    for papers, numbers in by_papers.items():
        changed = without_papers(bench, papers) if papers else NOTHING_CHANGED
        for number in numbers:
            _of_case(benches, cases, number, changed, noise, seed, out)
            done += 1
            if done % 500 == 0:
                progress(f"none of these: {done} of {len(cases)} cases")
    return out


def _of_case(
    benches: Sequence[Bench], cases: Sequence[Prepared], number: int, changed: Changed, noise: Noise, seed: int,
    out: Evidence,
) -> None:  # fmt: skip
    prepared = cases[number]
    rng = np.random.default_rng([seed, zlib.crc32(prepared.case.id.encode())])
    bench = benches[int(rng.integers(len(benches)))]
    knowledge = bench.knowledge
    kept = rng.choice(prepared.terms, max(1, round(len(prepared.terms) * (1 - rng.uniform(0, 0.5)))), replace=False)
    added = noise.draw(rng)
    replaced = {
        "hard": mixed(cases, number, len(kept), rng),
        "random": rng.choice(noise.annotated, len(kept), replace=False).tolist(),
        "ordinary": [],
    }
    out.case[number], rankable = _score(bench, [*kept.tolist(), *added], changed)
    out.left[number] = bool(rankable[list(prepared.gold)].any())
    for null, terms in replaced.items():
        if terms or added:
            out.nulls[null][number] = _score(bench, [*terms, *added], NOTHING_CHANGED)[0]
    out.clean_case[number] = _score(benches[0], prepared.terms.tolist(), changed)[0]
    n = len(prepared.terms)
    for null, terms in (
        ("hard", mixed(cases, number, n, rng)),
        ("random", rng.choice(np.flatnonzero(knowledge.phenotypic), n, replace=False).tolist()),
    ):
        out.clean_nulls[null][number] = _score(benches[0], terms, NOTHING_CHANGED)[0]


def mixed(cases: Sequence[Prepared], number: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """As many findings, each from another patient with another disease."""
    others = rng.choice(len(cases), size=min(3 * wanted + 3, len(cases)), replace=False)
    found: dict[int, None] = {}
    for other in others.tolist():
        if len(found) < wanted and cases[other].case.diseases != cases[number].case.diseases:
            found[int(rng.choice(cases[other].terms))] = None
    return list(found)


def _score(bench: Bench, terms: Sequence[int], changed: Changed) -> tuple[float, NDArray[np.bool_]]:
    chosen = independent(bench.knowledge, terms)
    codes = codes_of(bench.ranker, chosen)
    total, rankable = ours(bench, chosen, changed)
    floors = bench.ranker.floors_of(codes)
    other = {d: float(total[d] - floors[d]) if rankable[d] else -np.inf for d in changed.diseases}
    return bench.ranker.evidence_for_any(codes, other), rankable


def _fit(found: Evidence, chosen: NDArray[np.bool_]) -> Calibration:
    kept = chosen & found.left
    hard = found.nulls["hard"][kept]
    return Calibration.fit(
        found.case[kept], hard[~np.isnan(hard)], fitted_through=date.min, learnt_from="published cases"
    )


def _stated(found: Evidence, folds: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Probabilities at even odds, each fold's by the slope of the others."""
    values = {"case": found.case, **found.nulls}
    stated = {name: np.full(len(each), np.nan) for name, each in values.items()}
    for fold in range(FOLDS):
        fitted = _fit(found, folds != fold)
        for name, each in values.items():
            for number in np.flatnonzero((folds == fold) & ~np.isnan(each)).tolist():
                stated[name][number] = fitted.probability(float(each[number]), 0.5)
    return stated


def _interval(cases: FloatArray, nulls: FloatArray, clusters: NDArray[np.int64], seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(clusters == each) for each in np.unique(clusters)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[each] for each in rng.integers(0, len(members), len(members))])
        drawn.append(area(cases[chosen], nulls[chosen]))
    return [round(float(each), 4) for each in np.percentile(drawn, [2.5, 97.5])]
