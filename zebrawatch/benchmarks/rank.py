"""Benchmark `rank`: patients a second on one core, with full likelihood ratios and the account of the first ten.

Processor time, so that a busy machine counts little; interleaved, the least of several. `rank` goes from mentions to
the whole account as numbers (contribution and match of every finding, what is missing, next test); `rows` to the Arrow
rows that the screen keeps, quotes and all; `objects` makes every object of the explanation. Beside them stands the bare
sum of likelihood ratios of the same findings (no posterior, nothing explained).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from zebrawatch.benchmarks.cases import locate_knowledge
from zebrawatch.benchmarks.results import Results
from zebrawatch.engine.candidate_rows import CandidateRows, Vocabulary
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.explanation import Ranking
from zebrawatch.evidence.ranking import Codes, Evidence, Ranker
from zebrawatch.knowledge.diseases import Knowledge

FINDINGS = 20
PATIENTS = 400
ROUNDS = 7
NIGHT = date(2025, 5, 1)


def made_patients(knowledge: Knowledge, ranker: Ranker, seed: int) -> list[list[str]]:
    """Twenty findings each: half from a random annotated disease's profile, half random annotated terms."""
    rng = np.random.default_rng(seed)
    pooled = ranker.pooled
    used = np.unique(pooled.term[knowledge.phenotypic[pooled.term]])
    patients = []
    for disease in rng.choice(np.unique(pooled.disease), PATIENTS):
        low, high = np.searchsorted(pooled.disease, [disease, disease + 1])
        own = rng.permutation(pooled.term[low:high])[: FINDINGS // 2].tolist()
        other = rng.choice(used, FINDINGS - len(own), replace=False).tolist()
        patients.append([knowledge.terms[term] for term in dict.fromkeys([*own, *other])])
    return patients


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Time the ranker on made patients of twenty findings; `files` are not used (ValueError if given)."""
    if files:
        raise ValueError("the benchmark `rank` takes no files: it makes its own patients")
    started = time.perf_counter()
    knowledge = Knowledge.build(locate_knowledge(data))
    ranker = Ranker(knowledge, Background.default(knowledge))
    patients = made_patients(knowledge, ranker, seed)
    evidence = [[Evidence(term, "present", "text", f"note {n}") for n, term in enumerate(each)] for each in patients]
    codes = [ranker.codes(ranker.findings(each)) for each in evidence]
    vocabulary = Vocabulary(knowledge)
    progress(f"{len(patients)} patients of {FINDINGS} findings against {len(ranker.ranked)} diseases")
    timings = {
        "bare_sum": _timer(lambda each: ranker.log_ratios(each), codes),
        "explain": _timer(lambda each: ranker.explain(each), codes),
        "rank": _timer(lambda each: ranker.rank(each), evidence),
        "rows": _timer(lambda each: _rows(vocabulary, ranker.rank(each)), evidence),
        "objects": _timer(lambda each: ranker.rank(each).entries, evidence),
    }
    best = dict.fromkeys(timings, np.inf)
    for _ in range(ROUNDS):
        for name, timer in timings.items():
            best[name] = min(best[name], timer())
    speed = {name: len(patients) / seconds for name, seconds in best.items()}
    progress(", ".join(f"{name} {value:,.0f} patients/s" for name, value in speed.items()))
    return {
        "made_patients": {
            "n": len(patients),
            "findings": FINDINGS,
            "diseases": len(ranker.ranked),
            "patients_per_second_with_account": round(speed["explain"]),
            "patients_per_second_ranked": round(speed["rank"]),
            "patients_per_second_with_rows": round(speed["rows"]),
            "patients_per_second_with_objects": round(speed["objects"]),
            "patients_per_second_bare_sum": round(speed["bare_sum"]),
            "account_over_bare_sum": round(best["explain"] / best["bare_sum"], 3),
            "ranked_over_bare_sum": round(best["rank"] / best["bare_sum"], 3),
            "rows_over_bare_sum": round(best["rows"] / best["bare_sum"], 3),
            "objects_over_bare_sum": round(best["objects"] / best["bare_sum"], 3),
            "ci95": {},
            "seconds": round(time.perf_counter() - started, 1),
        }
    }


def _rows(vocabulary: Vocabulary, ranking: Ranking) -> object:
    rows = CandidateRows(vocabulary)
    rows.add(1, NIGHT, ranking, "evidence", "background", first=True)
    return rows.table()


def _timer(one: Callable[..., object], patients: Sequence[Codes] | Sequence[list[Evidence]]) -> Callable[[], float]:
    def timed() -> float:
        begun = time.process_time()
        for each in patients:
            one(each)
        return time.process_time() - begun

    timed()  # compiled code and caches are warm before anything counts
    return timed
