"""The rows a pull delivers: every line decoded once, dated, and told apart from what is already known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.fhir.decode import DECODED_SCHEMA, DecodeContext, decode_lines
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, QUARANTINE, Table
from zebrawatch.timeline.splits import Split, lines_of

EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PullClock:
    """How rows of a pull become known.

    `backload` marks a source that already holds the past (a lake's first pull): a row is known from the night of its
    `available_at`. Of later, polled pulls it is known from `seen_night` at the earliest (DESIGN, "Time").
    """

    zone: str
    seen_night: date
    backload: bool


@dataclass(frozen=True)
class PullRows:
    """What one pull adds to the timeline tables; `unusable` are resources the rest of the pull could not complete."""

    patients: DataFrame
    notes: DataFrame
    events: DataFrame
    unusable: DataFrame


def decode(spark: SparkSession, splits: Sequence[Split], context: DecodeContext) -> DataFrame:
    """Decode all lines of the splits: rows of DECODED_SCHEMA, one Python stage."""
    return _split_frame(spark, splits).mapInArrow(
        _decoder(context), from_arrow_schema(DECODED_SCHEMA, prefer_timestamp_ntz=False)
    )


def _split_frame(spark: SparkSession, splits: Sequence[Split]) -> DataFrame:
    rows = [tuple(asdict(split).values()) for split in splits]
    return spark.createDataFrame(rows, "path string, name string, start long, end long, first_line long").repartition(
        max(1, len(rows))
    )


def _decoder(context: DecodeContext) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def decode_splits(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                split = Split(**row)
                yield from decode_lines(lines_of(split), split.name, context)

    return decode_splits


def rows_of_pull(decoded: DataFrame, known: PullRows, clock: PullClock) -> PullRows:
    """Date the decoded rows and drop versions the lake already has.

    `decoded` is best read back from disk (it is used several times). `known` holds the timeline tables so far.
    `unusable` has the columns `version, resource_type, reason, detail`; `whole_lines` finds their lines.
    """
    ends = _encounter_ends(decoded)
    sent_patients = _rows(decoded, "patient")
    people = sent_patients.select("subject_id").unionByName(known.patients.select("subject_id")).distinct()
    sent_notes = _with_binaries(_rows(decoded, "note"), _rows(decoded, "binary"))
    sent_events = _with_medications(_rows(decoded, "event"), _rows(decoded, "medication"))
    notes = _dated(sent_notes.join(people, "subject_id", "left_semi"), ends)
    events = _dated(sent_events.join(people, "subject_id", "left_semi"), ends)
    first_rows = _first_rows([notes, events, known.notes, known.events])
    patients = _with_payer(_dated_patients(sent_patients, first_rows), _rows(decoded, "coverage"))
    undated = F.col("available_at").isNull()
    usable = F.col("text").isNotNull() | F.col("deleted")
    unusable = [
        _unusable(sent_notes.join(people, "subject_id", "left_anti"), "note_id", "unknown patient"),
        _unusable(sent_events.join(people, "subject_id", "left_anti"), "event_id", "unknown patient"),
        _unusable(notes.where(undated), "note_id", "no time of availability"),
        _unusable(events.where(undated), "event_id", "no time of availability"),
        _unusable(patients.where(undated), "source_id", "no time of availability"),
        _unusable(notes.where(~usable & ~undated), "note_id", "attachment missing"),
    ]
    return PullRows(
        _new(_known(patients, clock), known.patients, PATIENTS, ("subject_id", "version")),
        _new(_known(notes.where(usable), clock), known.notes, NOTES, ("note_id", "version")),
        _new(_known(events, clock), known.events, EVENTS, ("event_id", "version", "code")),
        reduce(DataFrame.unionByName, unusable),
    )


def quarantined(decoded: DataFrame) -> DataFrame:
    """Lines that could not be decoded: rows of QUARANTINE."""
    return _rows(decoded, "quarantine").select(*QUARANTINE.schema.names)


def whole_lines(spark: SparkSession, splits: Sequence[Split], unusable: DataFrame, pull: str) -> DataFrame:
    """Rows of QUARANTINE for resources found unusable after decoding: their lines, looked up by their bytes' hash."""
    wanted = {
        row["version"]: (row["resource_type"], row["reason"], row["detail"]) for row in unusable.distinct().collect()
    }
    schema = pa.schema([field.remove_metadata() for field in QUARANTINE.schema])
    if not wanted:
        return spark.createDataFrame([], from_arrow_schema(schema))
    shared = spark.sparkContext.broadcast(wanted)

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for split in (Split(**row) for row in batch.to_pylist()):
                rows = []
                for number, line in lines_of(split):
                    facts = shared.value.get(hashlib.sha256(line).hexdigest()[:16])
                    if facts is not None:
                        rows.append((split.name, number, line, *facts, pull))
                columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
                yield pa.RecordBatch.from_arrays(
                    [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
                )

    return _split_frame(spark, splits).mapInArrow(find, from_arrow_schema(schema))


def _rows(decoded: DataFrame, kind: str) -> DataFrame:
    return decoded.where(F.col("kind") == kind).select(f"{kind}.*")


def _encounter_ends(decoded: DataFrame) -> DataFrame:
    ends = _rows(decoded, "encounter").where(F.col("encounter_id").isNotNull())
    return ends.groupBy("encounter_id").agg(F.max("end").alias("encounter_end"))


def _with_binaries(notes: DataFrame, binaries: DataFrame) -> DataFrame:
    """Notes whose text lies in a Binary get it from there."""
    texts = binaries.groupBy("binary_id").agg(
        F.first("text").alias("binary_text"),
        F.first("text_sha256").alias("binary_sha"),
        F.first("content_type").alias("binary_type"),
    )
    joined = notes.join(texts, "binary_id", "left")
    return (
        joined.withColumn("text", F.coalesce("text", "binary_text"))
        .withColumn("text_sha256", F.coalesce("text_sha256", "binary_sha"))
        .withColumn("content_type", F.coalesce("content_type", "binary_type"))
        .drop("binary_text", "binary_sha", "binary_type")
    )


def _with_medications(events: DataFrame, medications: DataFrame) -> DataFrame:
    """Orders whose code lies in a Medication get it from there."""
    codes = medications.groupBy("medication_id").agg(
        F.first("code").alias("medication_code"),
        F.first("code_system").alias("medication_system"),
        F.first("display").alias("medication_display"),
    )
    return (
        events.join(F.broadcast(codes), "medication_id", "left")
        .withColumn("code", F.coalesce("medication_code", "code"))
        .withColumn("code_system", F.coalesce("medication_system", "code_system"))
        .withColumn("display", F.coalesce("display", "medication_display"))
        .drop("medication_code", "medication_system", "medication_display")
    )


def _with_payer(patients: DataFrame, coverages: DataFrame) -> DataFrame:
    """The payer of a patient: that of the coverage which began last."""
    payers = (
        coverages.where("not deleted")
        .groupBy("subject_id")
        .agg(F.max_by("payer", F.coalesce("start", F.lit(EARLIEST))).alias("coverage_payer"))
    )
    return (
        patients.join(payers, "subject_id", "left")
        .withColumn("payer", F.coalesce("payer", "coverage_payer"))
        .drop("coverage_payer")
    )


def _dated(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """Where no element of its own dates a row, its encounter's end does (DESIGN, `available_at`)."""
    missing = F.col("available_at").isNull() & F.col("encounter_end").isNotNull()
    return (
        rows.join(F.broadcast(ends), "encounter_id", "left")
        .withColumn("available_rule", F.when(missing, F.lit("Encounter.period.end")).otherwise(F.col("available_rule")))
        .withColumn("available_grade", F.when(missing, F.lit("filed")).otherwise(F.col("available_grade")))
        .withColumn("available_at", F.coalesce("available_at", "encounter_end"))
        .drop("encounter_end")
    )


def _first_rows(frames: Sequence[DataFrame]) -> DataFrame:
    stacked = [frame.select("subject_id", "available_at") for frame in frames]
    together = stacked[0]
    for frame in stacked[1:]:
        together = together.unionByName(frame)
    return together.groupBy("subject_id").agg(F.min("available_at").alias("first_row"))


def _dated_patients(patients: DataFrame, first_rows: DataFrame) -> DataFrame:
    """Demographics without meta.lastUpdated carry no date of their own: they hold from the patient's first row."""
    missing = F.col("available_at").isNull() & F.col("first_row").isNotNull()
    return (
        patients.join(first_rows, "subject_id", "left")
        .withColumn(
            "available_rule", F.when(missing, F.lit("first row of the patient")).otherwise(F.col("available_rule"))
        )
        .withColumn("available_grade", F.when(missing, F.lit("date")).otherwise(F.col("available_grade")))
        .withColumn("available_at", F.coalesce("available_at", "first_row"))
        .drop("first_row")
    )


def _known(rows: DataFrame, clock: PullClock) -> DataFrame:
    own = F.to_date(F.from_utc_timestamp(F.col("available_at"), clock.zone))
    seen = F.lit(clock.seen_night)
    return (
        rows.where(F.col("available_at").isNotNull())
        .withColumn("seen_night", seen)
        .withColumn("known_night", own if clock.backload else F.greatest(own, seen))
    )


def _new(rows: DataFrame, known: DataFrame, table: Table, key: Sequence[str]) -> DataFrame:
    """Rows in the table's columns, one a key, without those the lake has already."""
    window = Window.partitionBy(*key).orderBy("available_at")  # the same version sent twice counts once
    single = rows.withColumn("_nth", F.row_number().over(window)).where("_nth = 1").drop("_nth")
    return (
        single.select(*table.schema.names).join(known.select(*key), list(key), "left_anti").select(*table.schema.names)
    )


def _unusable(rows: DataFrame, identity: str, reason: str) -> DataFrame:
    kind = F.col("resource_type") if "resource_type" in rows.columns else F.lit("Patient")
    return rows.select(
        "version", kind.alias("resource_type"), F.lit(reason).alias("reason"), F.col(identity).alias("detail")
    )
