"""How the ranker's parameters were chosen, and what that choice is worth: cross-validation over a list of settings.

Folds keep papers and diseases together. In each fold the setting is taken that has the best mean reciprocal rank on the
other folds (source-excluded, and with twenty random terms more, half each); the fold is then ranked with it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from zebrawatch.benchmarks.cases import leaders, read_phenopackets
from zebrawatch.benchmarks.ranking import (
    MISSED,
    Bench,
    Prepared,
    as_shown,
    intervals,
    ours,
    prepare,
    rank_of,
    with_noise,
    without_papers,
)
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.evidence.ranking import Ranker

FOLDS = 5
SETTINGS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "no relatives": {"relative_weight": 0.0},
    "relatives lend more": {"relative_size": 3.0, "relative_weight": 1.0},
    "no papers in the prior": {"papers_weight": 0.0},
    "papers count half": {"papers_weight": 0.15},
    "prevalence counts, not papers": {"prevalence_weight": 0.25, "papers_weight": 0.0},
    "names left out": {"name_size": 0.0},
    "no partial matches": {"ancestor_weight": 0.0, "sibling_weight": 0.0},
    "strong partial matches": {"ancestor_weight": 0.5, "sibling_weight": 0.1},
    "rich profiles not held back": {"mass_power": 0.0},
    "rich profiles held back fully": {"mass_power": 1.0},
    "low floor": {"smoothing": 2.0},
    "rows without a frequency count half": {"bare_share": 0.5, "prior_share": 0.4, "prior_size": 1.0},
}


def folds_of(cases: Sequence[Prepared]) -> NDArray[np.int64]:
    """Fold of every case: cases that share a paper or a disease, directly or through others, stand together."""
    keys = [sorted(prepared.case.papers) + sorted(prepared.case.diseases) or [prepared.case.id] for prepared in cases]
    return np.array([zlib.crc32(leader.encode()) % FOLDS for leader in leaders(keys)], np.int64)


def ranks_with(bench: Bench, cases: Sequence[Prepared], parameters: RankingParameters) -> NDArray[np.float64]:
    """Source-excluded ranks under other parameters (knowledge and papers of `bench`)."""
    ranker = Ranker(bench.knowledge, Background.default(bench.knowledge), parameters)
    other = replace(bench, ranker=ranker)
    found = np.full(len(cases), MISSED)
    by_papers: dict[frozenset[str], list[int]] = {}
    for number, prepared in enumerate(cases):
        by_papers.setdefault(prepared.case.papers, []).append(number)
    for papers, numbers in by_papers.items():
        changed = without_papers(other, papers)
        for number in numbers:
            if len(cases[number].terms):
                total, rankable = ours(other, cases[number].terms, changed)
                found[number] = rank_of(as_shown(other, total, changed), rankable, cases[number].gold)
    return found


def run(
    *, data: Path, every: int = 4, seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Cross-validated figures of the choice, and each setting's own, on every `every`-th development case."""
    bench = Bench.build(data)
    cases = prepare(bench.knowledge, read_phenopackets(data / "cases" / "phenopackets.jsonl.gz"))[1::every]
    noisy = [with_noise(bench.knowledge, each, "plus20", seed) for each in cases]
    folds = folds_of(cases)
    clean, busy = [], []
    table: dict[str, Any] = {}
    for name, change in SETTINGS.items():
        parameters = replace(RankingParameters(), **change)
        clean.append(ranks_with(bench, cases, parameters))
        busy.append(ranks_with(bench, noisy, parameters))
        table[name] = {**_figures(clean[-1], ""), **_figures(busy[-1], "plus20_")}
        progress(f"{name}: {table[name]}")
    worth = np.array([(1 / first + 1 / second) / 2 for first, second in zip(clean, busy, strict=True)])
    chosen = [int(np.argmax(worth[:, folds != fold].mean(axis=1))) for fold in range(FOLDS)]
    picked = np.array([clean[chosen[fold]][number] for number, fold in enumerate(folds.tolist())])
    crowded = np.array([busy[chosen[fold]][number] for number, fold in enumerate(folds.tolist())])
    clusters = np.unique([min(each.case.diseases, default="") for each in cases], return_inverse=True)[1]
    values = {"top1": (picked <= 1.5).astype(float), "top10": (picked <= 10.5).astype(float)}
    names = list(SETTINGS)
    cross: dict[str, Any] = {"n": len(cases), **_figures(picked, ""), **_figures(crowded, "plus20_")}
    cross |= {"chosen": [names[each] for each in chosen], "ci95": intervals(values, clusters.astype(np.int64), seed)}
    return {"cross_validated": cross, "settings": table}


def _figures(ranks: NDArray[np.float64], prefix: str) -> dict[str, float]:
    figures = {f"{prefix}top{top}": round(float((ranks <= top + 0.5).mean()), 4) for top in (1, 3, 10)}
    return {**figures, f"{prefix}mean_reciprocal_rank": round(float((1 / ranks).mean()), 4)}


def main() -> None:
    """`python -m zebrawatch.benchmarks.ranking_folds`: progress on the error stream, JSON last."""
    import os

    data = Path(os.environ.get("ZEBRAWATCH_DATA", "../shared/data"))
    print(orjson.dumps(run(data=data, progress=lambda text: print(text, file=sys.stderr))).decode())


if __name__ == "__main__":
    main()
