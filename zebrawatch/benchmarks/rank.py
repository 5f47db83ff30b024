"""Benchmark `rank`: patients a second on one core, with full likelihood ratios and the account of the first ten.

Processor time, so that a busy machine counts little; interleaved, the least of several. `rank` goes from mentions to
the whole account as numbers (contribution and match of every finding, what is missing, next test); `rows` to the Arrow
rows that the screen keeps, quotes and all, of as many patients at once as in the screen; `one_table_each` to the same
rows, a table a patient; `objects` makes every object of the explanation. `stage` is all that the screen's Python does
for a score: from Arrow rows of findings through the chart to rows. Beside them stands the bare sum of likelihood ratios
of the same findings (no posterior, nothing explained). Sex and birth date of the patients are known, as in the screen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from zebrawatch.benchmarks.cases import locate_knowledge
from zebrawatch.benchmarks.results import Results
from zebrawatch.engine.candidate_rows import CandidateRows, Vocabulary
from zebrawatch.engine.score import FINDING_COLUMNS, PATIENT_COLUMNS, Scorer, Scoring, charts
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.evidence.ranking import Evidence, Person, Ranker
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.nights import NightRange, month_of
from zebrawatch.schemas import INSTANT
from zebrawatch.screen.alerts import AlertPolicy
from zebrawatch.screen.policy import PolicyHistory

FINDINGS = 20
PATIENTS = 400
ROUNDS = 7
NIGHT = date(2025, 5, 1)
SEEN = datetime(2025, 3, 3, 12, tzinfo=UTC)
PERSON = Person("female", date(1984, 2, 1))


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


def mentions(knowledge: Knowledge, terms: Sequence[str]) -> list[Evidence]:
    """Each term found once, in a note of its own, with its label as the quote."""
    labels = [knowledge.labels[term] for each in terms if (term := knowledge.term_index(each)) is not None]
    return [
        Evidence(
            term, "present", "text", f"note {n}", n, n + len(quote), quote, SEEN.date(), SEEN + timedelta(minutes=n)
        )
        for n, (term, quote) in enumerate(zip(terms, labels, strict=True))
    ]


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
    progress(f"{len(patients)} patients of {FINDINGS} findings against {len(ranker.ranked)} diseases")
    best = _least(ranker, [mentions(knowledge, each) for each in patients])
    speed = {name: len(patients) / seconds for name, seconds in best.items()}
    progress(", ".join(f"{name} {value:,.0f} patients/s" for name, value in speed.items()))
    over = {f"{name}_over_bare_sum": round(best[name] / best["bare_sum"], 3) for name in best if name != "bare_sum"}
    return {
        "made_patients": {
            "n": len(patients),
            "findings": FINDINGS,
            "diseases": len(ranker.ranked),
            **{f"patients_per_second_{name}": round(value) for name, value in speed.items()},
            **over,
            "rows_over_one_table_each": round(best["rows"] / best["one_table_each"], 3),
            "ci95": {},
            "seconds": round(time.perf_counter() - started, 1),
        }
    }


def _least(ranker: Ranker, evidence: Sequence[list[Evidence]]) -> dict[str, float]:
    """Seconds of processor time each way takes over all patients: the least of the rounds, which are interleaved."""
    codes = [ranker.codes(ranker.findings(each)) for each in evidence]
    vocabulary = Vocabulary(ranker.knowledge)
    with TemporaryDirectory() as folder:
        ranker.knowledge.save(Path(folder))
        scorer = Scorer(_scoring(folder, ranker, evidence))
        batches = _stored(evidence).to_batches()
        ways: dict[str, Callable[[], object]] = {
            "bare_sum": lambda: [ranker.log_ratios(each) for each in codes],
            "account": lambda: [ranker.explain(each) for each in codes],
            "ranked": lambda: [ranker.rank(each, PERSON) for each in evidence],
            "rows": lambda: _rows(vocabulary, ranker, evidence),
            "one_table_each": lambda: [_rows(vocabulary, ranker, [each]) for each in evidence],
            "objects": lambda: [ranker.rank(each, PERSON).entries for each in evidence],
            "stage": lambda: list(scorer.tables(charts(batches))),
        }
        for way in ways.values():
            way()  # compiled code and caches are warm before anything counts
        best = dict.fromkeys(ways, np.inf)
        for _ in range(ROUNDS):
            for name, way in ways.items():
                best[name] = min(best[name], _timed(way))
    return best


def _rows(vocabulary: Vocabulary, ranker: Ranker, evidence: Sequence[list[Evidence]]) -> pa.Table:
    rows = CandidateRows(vocabulary)
    for n, each in enumerate(evidence):
        rows.add(n, NIGHT, ranker.rank(each, PERSON), "evidence", "background", first=True)
    return rows.table()


def _scoring(folder: str, ranker: Ranker, evidence: Sequence[list[Evidence]]) -> Scoring:
    """One night, on which everything became known."""
    return Scoring(
        run_id="benchmark",
        knowledge_folder=folder,
        backgrounds={month_of(NIGHT): ranker.background},
        parameters=RankingParameters(),
        nights=NightRange(NIGHT, NIGHT),
        first_screened=NIGHT,
        top=10,
        policies=PolicyHistory.always(AlertPolicy(0.008), frozenset()),
        terms=frozenset(mention.hpo_id for each in evidence for mention in each),
    )


def _stored(evidence: Sequence[list[Evidence]]) -> pa.Table:
    """The same mentions and persons as rows that the stage of candidates reads (score.charts)."""
    night = SEEN.date()
    rows: list[dict[str, object]] = []
    for subject_id, each in enumerate(evidence):
        version = (night, PERSON.sex, PERSON.birth_date, False, None, False)
        rows.append({"subject_id": subject_id, "version": dict(zip(PATIENT_COLUMNS[1:], version, strict=True))})
        for one in each:
            told = {name: getattr(one, name) for name in FINDING_COLUMNS if hasattr(one, name) and name != "masked_for"}
            rows.append(
                {
                    **told,
                    "subject_id": subject_id,
                    "experiencer": "patient",
                    "written_night": night,
                    "source_night": night,
                }
            )
    kinds = {**dict.fromkeys(FINDING_COLUMNS, pa.string()), "subject_id": pa.int64(), "event_time": INSTANT}
    kinds |= dict.fromkeys(("start", "end"), pa.int32()) | {"masked_for": pa.list_(pa.string())}
    kinds |= dict.fromkeys(("known_night", "written_night", "source_night", "removed_night"), pa.date32())
    person = (pa.date32(), pa.string(), pa.date32(), pa.bool_(), pa.int64(), pa.bool_())
    kinds["version"] = pa.struct(list(zip(PATIENT_COLUMNS[1:], person, strict=True)))
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))


def _timed(way: Callable[[], object]) -> float:
    begun = time.process_time()
    way()
    return time.process_time() - begun
