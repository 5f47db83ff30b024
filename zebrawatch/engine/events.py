"""Coded events as findings and namings: pure functions over Arrow batches of `events`, and a patient's labs settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.engine.chart import AWAITING
from zebrawatch.evidence.codes import CodeMap, findings_of_event
from zebrawatch.evidence.labs import DatedFinding, EventFields, EventFinding, confirmed
from zebrawatch.schemas import FINDINGS, NAMINGS
from zebrawatch.screen.naming import Namer, NamingSet

_NAMERS: dict[str, Namer] = {}
_FIELDS = EventFields._fields
_OF_PERSON = ("birth_date", "sex")


def plain(schema: pa.Schema, *more: pa.Field) -> pa.Schema:
    """A schema without its documentation, with further fields."""
    return pa.schema([*(field.remove_metadata() for field in schema), *more])


_EVENT_FINDINGS = plain(FINDINGS.schema, pa.field("abnormal_values", pa.int32()))


def findings_of_events(events: DataFrame, patients: DataFrame, earlier: DataFrame, code_map: CodeMap) -> DataFrame:
    """Rows of FINDINGS for events: labs, vital signs, codes.

    `patients` gives birth dates and sex (limits of growth and vital signs depend on them); `earlier` are the patients'
    FINDINGS known before. Of an abnormality that is commonly transient the first value awaits a second, a week apart.
    """
    # growth asks for the sex, and a year of birth alone is too coarse an age for it
    fine = patients.withColumn("sex", F.when(F.col("birth_precision") != "year", F.col("sex")))
    people = fine.groupBy("subject_id").agg(*(F.max_by(name, "known_night").alias(name) for name in _OF_PERSON))
    rows = _mapped(events.join(people, "subject_id", "left"), _finding_rows(code_map), _EVENT_FINDINGS)
    rows = rows.withColumn("new", F.lit(True))
    transient = rows.where("abnormal_values > 1 and assertion = 'present'")
    before = earlier.where(f"origin = 'lab' and assertion = '{AWAITING}'").join(
        transient.select("subject_id").distinct(), "subject_id", "left_semi"
    )
    before = (
        before.select(*FINDINGS.schema.names).withColumn("abnormal_values", F.lit(2)).withColumn("new", F.lit(False))
    )
    settled = (
        transient.unionByName(before)
        .groupBy("subject_id")
        .applyInArrow(settle, from_arrow_schema(plain(FINDINGS.schema), prefer_timestamp_ntz=False))
    )
    certain = rows.where("abnormal_values <= 1 or assertion <> 'present'").select(*FINDINGS.schema.names)
    return certain.unionByName(settled)


def settle(rows: pa.Table) -> pa.Table:
    """One patient's transient abnormalities, in order of becoming known: those a second value confirms are present."""
    ordered = rows.sort_by(
        [("known_night", "ascending"), ("event_time", "ascending"), ("source_id", "ascending"), ("hpo_id", "ascending")]
    )
    listed = ordered.select(["hpo_id", "event_time"]).to_pylist()
    dated = [
        DatedFinding(EventFinding(row["hpo_id"], "present", "", "lab", 2), row["event_time"], index)
        for index, row in enumerate(listed)
    ]
    standing = {one.key for one in confirmed(dated)}
    assertions = pa.array(["present" if index in standing else AWAITING for index in range(len(listed))], pa.string())
    marked = ordered.set_column(ordered.schema.get_field_index("assertion"), "assertion", assertions)
    return marked.filter(marked.column("new")).select(FINDINGS.schema.names).cast(plain(FINDINGS.schema))


def namings_of_events(events: DataFrame, naming_set: NamingSet) -> DataFrame:
    """Rows of NAMINGS for events: codes, orders, referrals."""
    return _mapped(events, _naming_rows(naming_set), plain(NAMINGS.schema))


Convert = Callable[[pa.RecordBatch], pa.Table]


def _mapped(events: DataFrame, convert: Convert, schema: pa.Schema) -> DataFrame:
    def mapped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from convert(batch).to_batches()

    return events.mapInArrow(mapped, from_arrow_schema(schema, prefer_timestamp_ntz=False))


def _finding_rows(code_map: CodeMap) -> Convert:
    def rows(batch: pa.RecordBatch) -> pa.Table:
        found = [
            {
                **_source(event),
                "origin": one.origin,
                "hpo_id": one.hpo_id,
                "assertion": one.assertion,
                "experiencer": "family" if event["relationship"] else "patient",
                "quote": one.quote,
                "abnormal_values": one.abnormal_values,
            }
            for event in batch.to_pylist()
            for one in findings_of_event(
                EventFields(*(event[name] for name in _FIELDS)), code_map, *(event[name] for name in _OF_PERSON)
            )
        ]
        return pa.Table.from_pylist(found, schema=_EVENT_FINDINGS)

    return rows


def _naming_rows(naming_set: NamingSet) -> Convert:
    def rows(batch: pa.RecordBatch) -> pa.Table:
        namer = _NAMERS.get(naming_set.version) or _NAMERS.setdefault(naming_set.version, Namer(naming_set))
        found = [
            {
                **_source(event),
                "disease_id": naming.disease_id,
                "evidence_class": naming.evidence_class,
                "kind": naming.kind,
                "phenotype_name": naming.phenotype_name,
                "assertion": naming.assertion,
                "quote": event["display"] or event["code"],
            }
            for event in batch.to_pylist()
            for naming in namer.of_event(
                event["resource_type"],
                event["code"],
                event["display"],
                event["text_value"],
                event["status"],
                event["relationship"],
            )
        ]
        return pa.Table.from_pylist(found, schema=plain(NAMINGS.schema))

    return rows


def _source(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject_id": event["subject_id"],
        "source_id": event["event_id"],
        "source_version": event["version"],
        "event_time": event["event_time"],
        "known_night": event["known_night"],
        "pull": event["pull"],
    }
