"""The rows a pull delivers: every line decoded once, dated, and told apart from what is already known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.fhir.decode import DECODED_SCHEMA, DecodeContext, decode_lines, versions_in
from zebrawatch.fhir.rows import NO_CODE
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, QUARANTINE, REFERRED, Table
from zebrawatch.timeline.splits import Split, lines_of

EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)

UNKNOWN_PATIENT, UNDATED, NO_ATTACHMENT = "unknown patient", "no time of availability", "attachment missing"
AWAITING = (UNKNOWN_PATIENT, UNDATED, NO_ATTACHMENT)
"""Reasons of lines that a later pull may complete; the detail of their quarantine rows names what they await."""
NOTHING_DELETED = "deletes what is not here"
ORDER = "order"  # kind of rows of REFERRED that say which Medication an order names
_RESOURCE = {
    "patients": "subject_id",
    "notes": "note_id",
    "events": "regexp_replace(event_id, '#.*$', '')",
}
"""By table, the SQL expression that tells resources apart."""


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
class Known:
    """The timeline tables as earlier pulls left them."""

    patients: DataFrame
    notes: DataFrame
    events: DataFrame
    referred: DataFrame


@dataclass(frozen=True)
class PullRows(Known):
    """What one pull adds to the timeline tables; `unusable` are resources that nothing here could complete."""

    unusable: DataFrame


Keep = Callable[[str, DataFrame], DataFrame]
"""Stores a frame under a name and gives it back as it is read from there: what is used often is made once."""


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


def rows_of_pull(decoded: DataFrame, known: Known, clock: PullClock, keep: Keep) -> PullRows:
    """Date the decoded rows, complete them, and drop versions the lake already has.

    `decoded` is best read back from disk (it is used several times). What rows refer to (Binaries, encounters' ends,
    Medications, Coverages) is looked up in this pull and in all before it. `unusable` has the columns `version,
    resource_type, reason, detail`; `whole_lines` finds their lines.
    """
    present, graves = _contents(decoded)

    def sent(kind: str) -> DataFrame:
        # limit(0) lets Spark drop every join with what this pull does not hold
        return _rows(decoded, kind) if kind in present else _rows(decoded, kind).limit(0)

    referred = referred_of_pull(decoded, clock, present)
    standing = referred.unionByName(known.referred.select(*referred.columns))
    sent_patients, sent_notes, sent_events = sent("patient"), sent("note"), sent("event")
    people = sent_patients.select("subject_id").unionByName(known.patients.select("subject_id")).distinct()
    people = people.withColumn("here", F.lit(True))
    strays = sent_notes.select("version", "resource_type", F.lit("").alias("reason"), F.lit("").alias("detail")).limit(
        0
    )
    if graves:
        sent_notes, sent_events, lost = _owned(sent_notes, sent_events, known, clock)
        strays = lost.select(
            "version", "resource_type", F.lit(NOTHING_DELETED).alias("reason"), F.lit("").alias("detail")
        )
    notes = keep("notes", _judged_notes(sent_notes, standing, people))
    events = keep("events", _judged_events(sent_events, standing, people))
    first_rows = _first_rows([_usable(notes), _usable(events), known.notes, known.events])
    patients = keep("patients", _judged_patients(sent_patients, standing, first_rows))
    orders, insured = known.events.limit(0), known.patients.limit(0)
    if "medication" in present:
        orders = keep("orders", _completed_orders(known, referred, sent_events, clock))
    if "coverage" in present:
        insured = keep("insured", _insured(known, referred, standing, sent_patients, clock))
    unusable = [
        frame.where("reason is not null").select("version", kind.alias("resource_type"), "reason", "detail")
        for frame, kind in (
            (notes, F.col("resource_type")),
            (events, F.col("resource_type")),
            (patients, F.lit("Patient")),
        )
    ]
    return PullRows(
        _new(_known(_usable(patients), clock), known.patients, insured, PATIENTS),
        _new(_known(_usable(notes), clock), known.notes, known.notes.limit(0), NOTES),
        _new(_known(_usable(events), clock), known.events, orders, EVENTS),
        referred,
        reduce(DataFrame.unionByName, [*unusable, _stray(strays)]),
    )


def _judged_notes(notes: DataFrame, standing: DataFrame, people: DataFrame) -> DataFrame:
    """Notes completed and dated, with `reason` and `detail` where they cannot be used."""
    complete = _with_binaries(notes, _standing(standing, "binary", notes, "binary_id"))
    dated = _dated(complete, _standing(standing, "encounter", notes, "encounter_id"))
    textless = F.col("text").isNull() & ~F.col("deleted")
    return _judged(dated, people, [(textless, NO_ATTACHMENT, _awaits("Binary", "binary_id"))])


def _judged_events(events: DataFrame, standing: DataFrame, people: DataFrame) -> DataFrame:
    """Events completed and dated, with `reason` and `detail` where they cannot be used."""
    complete = _with_medications(events, _standing(standing, "medication", events, "medication_id"))
    return _judged(_dated(complete, _standing(standing, "encounter", events, "encounter_id")), people, [])


def _judged_patients(patients: DataFrame, standing: DataFrame, first_rows: DataFrame) -> DataFrame:
    dated = _with_payer(_dated_patients(patients, first_rows), standing)
    undated = F.col("available_at").isNull()
    return dated.withColumn("reason", F.when(undated, UNDATED)).withColumn(
        "detail", F.when(undated, _awaits("row of", "subject_id"))
    )


def _judged(rows: DataFrame, people: DataFrame, more: Sequence[tuple[Column, str, Column]]) -> DataFrame:
    faults = [
        (F.col("here").isNull(), UNKNOWN_PATIENT, _awaits_patient()),
        (F.col("available_at").isNull(), UNDATED, _awaits("Encounter", "encounter_id")),
        *more,
    ]
    reason = F.coalesce(*[F.when(fault, word) for fault, word, _ in faults])
    detail = F.coalesce(*[F.when(fault, awaits) for fault, _, awaits in faults])
    joined = rows.join(people, "subject_id", "left")
    return joined.withColumn("reason", reason).withColumn("detail", detail).drop("here")


def _stray(deletions: DataFrame) -> DataFrame:
    reason = F.lit(NOTHING_DELETED).alias("reason")
    return deletions.select("version", "resource_type", reason, F.lit("").alias("detail"))


def _usable(rows: DataFrame) -> DataFrame:
    return rows.where("reason is null")


def _contents(decoded: DataFrame) -> tuple[frozenset[str], bool]:
    """Which kinds of rows a pull holds, and whether deletions, which name no patient, are among them."""
    counts = decoded.groupBy("kind").agg(
        F.max(
            F.expr("(kind = 'note' and note.subject_id is null) or (kind = 'event' and event.subject_id is null)")
        ).alias("graves")
    )
    found = counts.collect()
    return frozenset(row["kind"] for row in found), any(row["graves"] for row in found)


def referred_of_pull(decoded: DataFrame, clock: PullClock, present: frozenset[str] | None = None) -> DataFrame:
    """Rows of REFERRED that a pull delivers; `present` are the kinds of rows it holds, where that is known."""

    def of(kind: str) -> DataFrame:
        rows = _rows(decoded, kind)
        named = {"kind": F.lit(kind), "referred_id": F.col(f"{kind}_id"), "seen_night": F.lit(clock.seen_night)}
        columns = [
            (
                named[field.name]
                if field.name in named
                else F.col(field.name)
                if field.name in rows.columns
                else F.lit(None)
            )
            .cast(spark_type.dataType)
            .alias(field.name)
            for field, spark_type in zip(REFERRED.schema, _REFERRED_SPARK, strict=True)
        ]
        return rows.where(F.col(f"{kind}_id").isNotNull()).select(*columns)

    kinds = ("encounter", "binary", "medication", "coverage")
    parts = [of(kind) if present is None or kind in present else of(kind).limit(0) for kind in kinds]
    if present is None or "event" in present:
        parts.append(_orders(_rows(decoded, "event"), clock))
    together = reduce(DataFrame.unionByName, parts)
    return together.dropDuplicates(list(REFERRED.key))


_REFERRED_SPARK = from_arrow_schema(REFERRED.schema, prefer_timestamp_ntz=False).fields


def _orders(events: DataFrame, clock: PullClock) -> DataFrame:
    """Rows of REFERRED of kind `order`: which Medication an order names, should that come in a later pull."""
    told = {
        "kind": F.lit(ORDER),
        "referred_id": F.col("medication_id"),
        "version": F.col("version"),
        "subject_id": F.col("subject_id"),
        "code": F.col("event_id"),
        "deleted": F.col("deleted"),
        "last_updated": F.col("last_updated"),
        "seen_night": F.lit(clock.seen_night),
        "pull": F.col("pull"),
    }
    return events.where("medication_id is not null").select(
        *(
            told.get(field.name, F.lit(None)).cast(spark_type.dataType).alias(field.name)
            for field, spark_type in zip(REFERRED.schema, _REFERRED_SPARK, strict=True)
        )
    )


def awaited(decoded: DataFrame, quarantine: DataFrame) -> DataFrame:
    """Rows of QUARANTINE whose lines await something that this pull brings."""
    arrivals = [
        _rows(decoded, "patient").select(_awaits_patient().alias("detail")),
        _rows(decoded, "note").select(_awaits("row of", "subject_id").alias("detail")),
        _rows(decoded, "event").select(_awaits("row of", "subject_id").alias("detail")),
        _rows(decoded, "encounter")
        .where("end is not null")
        .select(_awaits("Encounter", "encounter_id").alias("detail")),
        _rows(decoded, "binary").select(_awaits("Binary", "binary_id").alias("detail")),
    ]
    arrived = reduce(DataFrame.unionByName, arrivals).distinct()
    return quarantine.where(F.col("reason").isin(*AWAITING)).join(arrived, "detail", "left_semi")


def decode_again(lines: DataFrame, context: DecodeContext) -> DataFrame:
    """Decode quarantined lines (rows of QUARANTINE) once more: rows of DECODED_SCHEMA but for what is refused again."""

    def again(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for line in batch.column("line").to_pylist():
                for rows in decode_lines([(0, line)], "", context):
                    if rows.column("kind")[0].as_py() not in ("quarantine", "skipped"):
                        yield rows

    return lines.select("line").mapInArrow(again, from_arrow_schema(DECODED_SCHEMA, prefer_timestamp_ntz=False))


def still_quarantined(lines: DataFrame, unusable: DataFrame, context: DecodeContext) -> DataFrame:
    """Of lines that were decoded again, those that still cannot be used, with the reason of now: rows of QUARANTINE."""
    wanted = _reasons_by_version(unusable)
    shared = lines.sparkSession.sparkContext.broadcast(wanted)
    names = QUARANTINE.schema.names

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            kept = [now for row in batch.to_pylist() if (now := _judged_again(row, shared.value, context)) is not None]
            yield from pa.Table.from_pylist(kept, schema=_QUARANTINE).to_batches()

    return lines.select(*names).mapInArrow(judge, from_arrow_schema(_QUARANTINE))


_QUARANTINE = pa.schema([field.remove_metadata() for field in QUARANTINE.schema])


def _judged_again(
    row: dict[str, Any], unusable: Mapping[str, tuple[str, str, str]], context: DecodeContext
) -> dict[str, Any] | None:
    for batch in decode_lines([(0, row["line"])], "", context):
        if batch.column("kind")[0].as_py() == "quarantine":
            refused = batch.column("quarantine").to_pylist()[0]
            return {**row, "reason": refused["reason"], "detail": refused["detail"]}
    for version in versions_in(row["line"]):
        if version in unusable:
            _, reason, detail = unusable[version]
            return {**row, "reason": reason, "detail": detail}
    return None


def quarantined(decoded: DataFrame) -> DataFrame:
    """Lines that could not be decoded: rows of QUARANTINE."""
    return _rows(decoded, "quarantine").select(*QUARANTINE.schema.names)


def whole_lines(spark: SparkSession, splits: Sequence[Split], unusable: DataFrame, pull: str) -> DataFrame:
    """Rows of QUARANTINE for resources found unusable after decoding: their lines, looked up by their bytes' hash."""
    wanted = _reasons_by_version(unusable)
    if not wanted:
        return spark.createDataFrame([], from_arrow_schema(_QUARANTINE))
    shared = spark.sparkContext.broadcast(wanted)

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for split in (Split(**row) for row in batch.to_pylist()):
                rows = []
                for number, line in lines_of(split):
                    facts = next((shared.value[one] for one in versions_in(line) if one in shared.value), None)
                    if facts is not None:
                        rows.append((split.name, number, line, *facts, pull))
                columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _QUARANTINE]
                yield pa.RecordBatch.from_arrays(
                    [pa.array(c, f.type) for c, f in zip(columns, _QUARANTINE, strict=True)], schema=_QUARANTINE
                )

    return _split_frame(spark, splits).mapInArrow(find, from_arrow_schema(_QUARANTINE))


def _reasons_by_version(unusable: DataFrame) -> dict[str, tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    for row in sorted(
        unusable.distinct().collect(), key=lambda row: (row["version"], row["reason"], row["detail"] or "")
    ):
        found.setdefault(row["version"], (row["resource_type"], row["reason"], row["detail"]))
    return found


def _rows(decoded: DataFrame, kind: str) -> DataFrame:
    return decoded.where(F.col("kind") == kind).select(f"{kind}.*")


def _standing(referred: DataFrame, kind: str, wanted: DataFrame, by: str) -> DataFrame:
    """The last version of each `kind` that `wanted` refers to by column `by`; what was deleted is gone."""
    ids = wanted.select(F.col(by).alias("referred_id")).where("referred_id is not null").distinct()
    order = Window.partitionBy("referred_id").orderBy(
        F.desc("seen_night"), F.desc_nulls_last("last_updated"), F.desc("version")
    )
    rows = referred.where(F.col("kind") == kind).join(ids, "referred_id", "left_semi")
    return rows.withColumn("_nth", F.dense_rank().over(order)).where("_nth = 1 and not deleted").drop("_nth")


def _owned(
    notes: DataFrame, events: DataFrame, known: Known, clock: PullClock
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Notes and events with the patient of each deletion, which names none; and deletions of what is not here.

    A deleted DiagnosticReport may have been a note, an event, or both: it takes away what there was.
    """
    base = F.regexp_replace("event_id", "#.*$", "").alias("base")
    night = F.lit(clock.seen_night).alias("known_night")
    graves_of_notes = notes.where("subject_id is null").drop("subject_id")
    graves_of_events = events.where("subject_id is null").drop("subject_id")
    columns = ("base", "subject_id", "known_night", "available_at")

    def owners(graves: DataFrame, named: str, *rows: DataFrame) -> DataFrame:
        gone = graves.select(F.col(named).alias("base")).distinct()
        together = reduce(DataFrame.unionByName, [frame.select(*columns) for frame in rows])
        return (
            together.where("subject_id is not null")
            .join(gone, "base", "left_semi")
            .groupBy("base")
            .agg(F.max_by("subject_id", F.struct("known_night", "available_at")).alias("subject_id"))
            .withColumnRenamed("base", named)
        )

    note_base = F.col("note_id").alias("base")
    of_notes = owners(
        graves_of_notes,
        "note_id",
        notes.select(note_base, "subject_id", night, "available_at"),
        known.notes.select(note_base, "subject_id", "known_night", "available_at"),
    )
    of_events = owners(
        graves_of_events,
        "event_id",
        events.select(base, "subject_id", night, "available_at"),
        known.events.select(base, "subject_id", "known_night", "available_at"),
    )
    graves = graves_of_notes.select("version", "resource_type", note_base).unionByName(
        graves_of_events.select("version", "resource_type", F.col("event_id").alias("base"))
    )
    found = of_notes.select(note_base).unionByName(of_events.select(F.col("event_id").alias("base")))
    # an Encounter's deletion stands in `referred` too, whether or not it gave events
    strays = graves.where("resource_type <> 'Encounter'").join(found, "base", "left_anti")
    return (
        notes.where("subject_id is not null").unionByName(
            graves_of_notes.join(of_notes, "note_id").select(*notes.columns)
        ),
        events.where("subject_id is not null").unionByName(
            graves_of_events.join(of_events, "event_id").select(*events.columns)
        ),
        strays,
    )


def _with_binaries(notes: DataFrame, binaries: DataFrame) -> DataFrame:
    """Notes whose text lies in a Binary get it from there."""
    texts = binaries.select(
        F.col("referred_id").alias("binary_id"),
        F.col("text").alias("binary_text"),
        F.col("text_sha256").alias("binary_sha"),
        F.col("content_type").alias("binary_type"),
    )
    joined = notes.join(texts, "binary_id", "left")
    return (
        joined.withColumn("text", F.coalesce("text", "binary_text"))
        .withColumn("text_sha256", F.coalesce("text_sha256", "binary_sha"))
        .withColumn("content_type", F.coalesce("content_type", "binary_type"))
        .drop("binary_text", "binary_sha", "binary_type")
    )


def _with_medications(events: DataFrame, medications: DataFrame) -> DataFrame:
    """Orders whose codes lie in a Medication get them from there, a row a code."""
    codes = medications.select(
        F.col("referred_id").alias("medication_id"),
        F.col("code").alias("medication_code"),
        F.col("code_system").alias("medication_system"),
        F.col("display").alias("medication_display"),
    )
    return (
        events.join(F.broadcast(codes), "medication_id", "left")
        .withColumn(
            "code_system",
            F.when(F.col("medication_code").isNotNull(), F.col("medication_system")).otherwise(F.col("code_system")),
        )
        .withColumn("code", F.coalesce("medication_code", "code"))
        .withColumn("display", F.coalesce("display", "medication_display"))
        .drop("medication_code", "medication_system", "medication_display")
    )


def _with_payer(patients: DataFrame, referred: DataFrame) -> DataFrame:
    """The payer of a patient: that of the coverage which began last."""
    order = Window.partitionBy("referred_id").orderBy(
        F.desc("seen_night"), F.desc_nulls_last("last_updated"), F.desc("version")
    )
    # a deleted coverage may name no beneficiary: versions are put in order before patients are looked at
    payers = (
        referred.where("kind = 'coverage'")
        .withColumn("_nth", F.row_number().over(order))
        .where("_nth = 1 and not deleted")
        .join(patients.select("subject_id").distinct(), "subject_id", "left_semi")
        .groupBy("subject_id")
        .agg(F.max_by("payer", F.struct(F.coalesce("start", F.lit(EARLIEST)), "referred_id")).alias("coverage_payer"))
    )
    return (
        patients.join(payers, "subject_id", "left")
        .withColumn("payer", F.coalesce("payer", "coverage_payer"))
        .drop("coverage_payer")
    )


def _dated(rows: DataFrame, encounters: DataFrame) -> DataFrame:
    """Where no element of its own dates a row, its encounter's end does (DESIGN, `available_at`)."""
    ends = encounters.select(F.col("referred_id").alias("encounter_id"), F.col("end").alias("encounter_end"))
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


def _new(rows: DataFrame, known: DataFrame, completed: DataFrame, table: Table) -> DataFrame:
    """Rows in the table's columns, one a key, without those that the lake has already; and the `completed` ones.

    A version the lake has, but which another has replaced since, came back: it is a version of its own, `.2` (`.3`, …)
    behind its digest. So is a version that this pull completed.
    """
    resource, names = F.expr(_RESOURCE[table.name]), table.schema.names
    window = Window.partitionBy(*table.key).orderBy("available_at")  # the same version sent twice counts once
    single = rows.withColumn("_nth", F.row_number().over(window)).where("_nth = 1").drop("_nth").select(*names)
    here = known.select(*names).unionByName(completed.select(*names))
    digest = F.substring_index("version", ".", 1)
    fresh = single.join(here.withColumn("version", digest).select(*table.key), list(table.key), "left_anti")
    seen = (
        here.withColumn("_resource", resource)
        .join(single.select(resource.alias("_resource")).distinct(), "_resource", "left_semi")
        .select("_resource", "version", "known_night", "available_at")
        .distinct()
    )
    standing = seen.groupBy("_resource").agg(
        F.substring_index(F.max_by("version", F.struct("known_night", "available_at", "version")), ".", 1).alias(
            "_stands"
        )
    )
    times = seen.groupBy("_resource", digest.alias("version")).agg(F.countDistinct("version").alias("_times"))
    own = Window.partitionBy("_resource")
    returned = (
        single.withColumn("_resource", resource)
        .join(times, ["_resource", "version"])
        .join(standing, "_resource")
        .withColumn("_resent", F.max((F.col("version") == F.col("_stands")).cast("int")).over(own))
        .withColumn("_last", F.max(F.struct("available_at", "version")).over(own)["version"])
        .where("_resent = 0 and version = _last")
        .withColumn("version", F.concat("version", F.lit("."), (F.col("_times") + 1).cast("string")))
        .select(*names)
    )
    return fresh.select(*names).unionByName(returned).unionByName(completed.select(*names))


def _completed_orders(known: Known, referred: DataFrame, sent: DataFrame, clock: PullClock) -> DataFrame:
    """Orders of earlier pulls whose Medication came in this one, with its codes: rows of EVENTS, versions of their own.

    An order without the codes of its Medication entered with the reference's display, or with nothing. Orders that this
    pull sends anew are complete by themselves; a Medication that comes again changes no order that has its codes.
    """
    arrived = referred.where("kind = 'medication'")
    waiting = (
        known.referred.where(F.col("kind") == ORDER)
        .join(arrived.select("referred_id").distinct(), "referred_id", "left_semi")
        .select(F.col("code").alias("event_id"), F.col("referred_id").alias("medication_id"), "version")
    )
    stand = _last_versions(known.events, "events", waiting.select(F.col("event_id").alias("_resource")), sent)
    # the order's own row is the one whose event_id is the resource itself; reasons and notes go along unchanged
    heads = stand.where(F.col("event_id") == F.col("_resource"))
    bare = (
        heads.where(f"code = '{NO_CODE}' and text_value is null and not deleted")
        .join(waiting.withColumnRenamed("version", "_digest"), ["event_id", "_digest"])
        .withColumn("_told", F.col("display").isNotNull())
    )
    coded = (
        _with_medications(bare, _standing(arrived, "medication", bare, "medication_id"))
        .where(f"code <> '{NO_CODE}' or (display is not null and not _told)")
        .select(*stand.columns)
    )
    rest = stand.where(F.col("event_id") != F.col("_resource")).join(
        coded.select("_resource").distinct(), "_resource", "left_semi"
    )
    pull = arrived.select(F.max("pull").alias("pull"))
    return _anew(coded.unionByName(rest), pull, clock).select(*EVENTS.schema.names)


def _insured(known: Known, referred: DataFrame, standing: DataFrame, sent: DataFrame, clock: PullClock) -> DataFrame:
    """Patients of earlier pulls whose payer a Coverage of this one tells: rows of PATIENTS, versions of their own."""
    arrived = referred.where("kind = 'coverage'")
    concerned = arrived.where("subject_id is not null").select(F.col("subject_id").alias("_resource"))
    stand = _last_versions(known.patients, "patients", concerned, sent)
    told = _with_payer(
        stand.withColumnRenamed("payer", "_before").withColumn("payer", F.lit(None).cast("string")), standing
    )
    changed = told.where("not deleted and payer is not null and not (payer <=> _before)")
    pull = arrived.select(F.max("pull").alias("pull"))
    return _anew(changed, pull, clock).select(*PATIENTS.schema.names)


def _last_versions(known: DataFrame, table: str, wanted: DataFrame, sent: DataFrame) -> DataFrame:
    """Rows of the versions that stand of the `wanted` resources, without those of which this pull sends another.

    Columns `_resource`, `_digest` (the version without its number) and `_times` (how often it came) are added.
    """
    resource, digest = F.expr(_RESOURCE[table]), F.substring_index("version", ".", 1)
    order = Window.partitionBy("_resource").orderBy(F.desc("known_night"), F.desc("available_at"), F.desc("version"))
    here = (
        known.withColumn("_resource", resource)
        .join(wanted.distinct(), "_resource", "left_semi")
        .withColumn("_digest", digest)
    )
    times = here.groupBy("_resource", "_digest").agg(F.countDistinct("version").alias("_times"))
    stand = here.withColumn("_nth", F.dense_rank().over(order)).where("_nth = 1").drop("_nth")
    others = sent.select(resource.alias("_resource"), F.col("version").alias("_digest")).distinct()
    other = others.join(stand.select("_resource", "_digest").distinct(), ["_resource", "_digest"], "left_anti")
    return stand.join(times, ["_resource", "_digest"]).join(other.select("_resource"), "_resource", "left_anti")


def _anew(rows: DataFrame, pull: DataFrame, clock: PullClock) -> DataFrame:
    """Rows of `_last_versions` as versions of this pull."""
    seen = F.lit(clock.seen_night)
    return (
        rows.drop("pull")
        .crossJoin(F.broadcast(pull))
        .withColumn("version", F.concat("_digest", F.lit("."), (F.col("_times") + 1).cast("string")))
        .withColumn("known_night", F.greatest("known_night", seen))
        .withColumn("seen_night", seen)
    )


def _awaits(what: str, column: str) -> Column:
    return F.concat(F.lit(f"awaits {what} "), F.col(column).cast("string"))


def _awaits_patient() -> Column:
    return _awaits("patient", "subject_id")
