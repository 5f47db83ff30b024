"""How fast the whole evidence arm is without Spark, beside orjson; and the reading of texts under Spark, beside plain
Python.

The arm: NDJSON lines to rows, every text read, values and codes judged, every patient ranked once with the account of
the first ten. Ratios are of two things timed in one run, in turn, the least of several rounds each.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from zebrawatch.benchmarks.burden import TOLD, Arm, Told, evidence_of
from zebrawatch.benchmarks.ingest import document_line, drain
from zebrawatch.evidence.codes import findings_of_event
from zebrawatch.evidence.labs import EventFields
from zebrawatch.fhir.decode import DecodeContext, decode_lines

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from zebrawatch.evidence.recogniser import Recogniser
    from zebrawatch.screen.naming import NamingSet

ROUNDS = 15  # a round of the arm is a tenth of a second
ROUNDS_UNDER_SPARK = 5
NOTES_A_PATIENT = 10
TIMES_UNDER_SPARK = 100  # as often the notes are read in one job, so that what a job costs by itself counts little
TEXTS_A_BATCH = 10_000  # as many as Spark puts into one
_CONTEXT = DecodeContext(
    pull="benchmark", site_key=b"benchmark", zone="UTC", pulled_at=datetime(2100, 1, 1, tzinfo=UTC), validate_share=0.0
)


# ---- without Spark ---------------------------------------------------------------------------------------------------


def rank_patients(lines: Sequence[bytes], arm: Arm) -> dict[int, float]:
    """P(any listed rare disease) of every patient in FHIR lines of whom there is a finding."""
    known: dict[int, set[Told]] = defaultdict(set)
    for batch in decode_lines(enumerate(lines, 1), "benchmark", _CONTEXT):
        kind = batch.column("kind")[0].as_py()
        if kind == "note":
            for subject, text in _rows(batch, kind, ("subject_id", "text")):
                known[subject].update(map(TOLD, arm.recogniser.find(text or "")))
        elif kind == "event":
            for subject, *fields in _rows(batch, kind, ("subject_id", *EventFields._fields)):
                found = findings_of_event(EventFields(*fields), arm.code_map)
                known[subject].update((one.hpo_id, one.origin, one.assertion, "patient") for one in found)
    weighed = {subject: evidence_of(told) for subject, told in known.items()}
    return {subject: arm.ranker.rank(evidence).p_any for subject, evidence in weighed.items() if evidence}


def _rows(batch: pa.RecordBatch, kind: str, names: Iterable[str]) -> Iterator[Any]:
    column = batch.column(kind)
    return zip(*(column.field(name).to_pylist() for name in names), strict=True)


def time_arm(lines: Sequence[bytes], arm: Arm) -> dict[str, Any]:
    """The arm over these lines beside orjson.loads alone; CPU seconds of this process, which has one thread."""
    kinds = [orjson.loads(line).get("resourceType") for line in lines]
    notes = sum(kind in ("DocumentReference", "DiagnosticReport", "Composition") for kind in kinds)
    ranked = rank_patients(lines, arm)
    best = least(
        {"orjson": lambda: drain(map(orjson.loads, lines)), "arm": lambda: rank_patients(lines, arm)},
        time.process_time,
        ROUNDS,
    )
    return {
        "n": len(lines),
        "patients": len(ranked),
        "notes_per_second": notes / best["arm"],
        "lines_per_second": len(lines) / best["arm"],
        "to_orjson": best["arm"] / best["orjson"],
        "ci95": {},
        "seconds": best["arm"],
    }


def lines_of_notes(notes: Sequence[str]) -> list[bytes]:
    """The notes as DocumentReferences, ten a patient."""
    patients = max(1, len(notes) // NOTES_A_PATIENT)
    return [document_line(number, text, patients) for number, text in enumerate(notes)]


# ---- under Spark -----------------------------------------------------------------------------------------------------


def time_under_spark(
    spark: SparkSession, notes: Sequence[str], arm: Arm, naming_set: NamingSet, folder: Path
) -> dict[str, Any]:
    """The recogniser in `mapInArrow`, and the screen's whole reading of texts, beside the same code in a plain loop.

    On both sides texts go in and rows of what was found come out.

    The session is up and its worker has read once before anything counts. Wall time: the work is done by two processes.
    """
    from zebrawatch.engine.texts import read_texts, readers_of, rows_of

    lexicon = arm.recogniser.lexicon
    texts = list(notes) * TIMES_UNDER_SPARK
    path = str(folder / "texts.parquet")
    pq.write_table(pa.table({"text_sha256": [str(number) for number in range(len(texts))], "text": texts}), path)
    frame = spark.read.parquet(path)
    found, workers = _under_spark(spark, frame, lexicon, naming_set)
    readers = readers_of(lexicon, naming_set)
    batches = pq.read_table(path).to_batches(TEXTS_A_BATCH)
    tasks: dict[str, Callable[[], object]] = {
        "plain": lambda: drain(_mentions(readers.recogniser, batches)),
        "spark": lambda: _run(found),
        "plain_reading": lambda: drain(rows_of(readers, batches)),
        "spark_reading": lambda: _run(read_texts(spark, frame, lexicon, naming_set)),
    }
    _run(found)
    best = least(tasks, time.perf_counter, ROUNDS_UNDER_SPARK)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    made = {(row.worker, row.readers) for _ in range(2) for row in workers.collect()}
    return {
        "n": len(texts),
        "plain_megabytes_per_second": megabytes / best["plain"],
        "spark_megabytes_per_second": megabytes / best["spark"],
        "spark_over_plain": best["plain"] / best["spark"],
        "reading_spark_over_plain": best["plain_reading"] / best["spark_reading"],
        "automata_a_worker": len(made) / len({worker for worker, _ in made}),
        "ci95": {},
        "seconds": best["spark"],
    }


def _under_spark(
    spark: SparkSession, frame: DataFrame, lexicon: Any, naming_set: NamingSet
) -> tuple[DataFrame, DataFrame]:
    """Mentions of the texts; and which process read each batch, with which readers."""
    from zebrawatch.engine.texts import readers_of

    shared = spark.sparkContext.broadcast((lexicon, naming_set))

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _mentions(readers_of(*shared.value).recogniser, batches)

    def tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.record_batch([[os.getpid()], [id(readers_of(*shared.value))]], names=["worker", "readers"])

    return (
        frame.mapInArrow(find, "start int, end int, hpo_id string, assertion string"),
        frame.mapInArrow(tell, "worker long, readers long"),
    )


def _mentions(recogniser: Recogniser, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found = [recogniser.find(text) for text in batch.column("text").to_pylist()]
        columns = list(zip(*(one for mentions in found for one in mentions), strict=True)) or [()] * 9
        yield pa.record_batch(
            [pa.array(columns[0], pa.int32()), pa.array(columns[1], pa.int32()), pa.array(columns[2], pa.string()),
             pa.array(columns[4], pa.string())],
            names=["start", "end", "hpo_id", "assertion"],
        )  # fmt: skip


def _run(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def least(tasks: Mapping[str, Callable[[], object]], clock: Callable[[], float], rounds: int) -> dict[str, float]:
    """The least time of each task by a clock, the tasks taken in turn."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            began = clock()
            task()
            best[name] = min(best[name], clock() - began)
    return best
