"""Findings and namings of patients: what the texts said, put back on the notes they stand in."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.engine.events import plain
from zebrawatch.evidence.copied import Sentence, first_appearances
from zebrawatch.schemas import FINDINGS, NAMINGS

NOTE_COLUMNS = ("subject_id", "note_id", "version", "text_sha256", "event_time", "known_night", "pull")


def findings_of_notes(read: DataFrame, notes: DataFrame, earlier: DataFrame) -> DataFrame:
    """Rows of FINDINGS for notes: mentions by text hash joined to every note with that text, copies marked.

    `earlier` holds the patients' findings known before (rows of FINDINGS): a copy may point to one of them.
    """
    mentions = read.where("hpo_id is not null").drop("disease_id", "evidence_class", "kind", "phenotype_name")
    rows = (
        mentions.join(notes.select(*NOTE_COLUMNS), "text_sha256")
        .withColumnRenamed("note_id", "source_id")
        .withColumnRenamed("version", "source_version")
        .withColumn("copied_from", F.lit(None).cast("string"))
        .select(*FINDINGS.schema.names)
    )
    before = earlier.where("sentence is not null and copied_from is null").join(
        rows.select("subject_id").distinct(), "subject_id", "left_semi"
    )
    together = rows.withColumn("new", F.lit(True)).unionByName(
        before.select(*FINDINGS.schema.names).withColumn("new", F.lit(False))
    )
    schema = from_arrow_schema(FINDINGS.schema, prefer_timestamp_ntz=False)
    return together.groupBy("subject_id").applyInArrow(mark_copies, schema)


def mark_copies(rows: pa.Table) -> pa.Table:
    """One patient's findings with copied sentences dated to their first appearance; returns the rows marked `new`."""
    table = rows.sort_by(
        [
            ("known_night", "ascending"),
            ("event_time", "ascending"),
            ("source_id", "ascending"),
            ("start", "ascending"),
            ("hpo_id", "ascending"),
        ]
    )
    columns = ("hpo_id", "assertion", "experiencer", "source_id", "sentence", "known_night", "new")
    listed = table.select(columns).to_pylist()
    origins = first_appearances(
        Sentence((row["hpo_id"], row["assertion"], row["experiencer"]), row["source_id"], row["sentence"] or "")
        for row in listed
    )
    copied = [None if origin is None else listed[origin]["source_id"] for origin in origins]
    known = [
        row["known_night"] if origin is None else listed[origin]["known_night"]
        for row, origin in zip(listed, origins, strict=True)
    ]
    marked = table.set_column(table.schema.get_field_index("copied_from"), "copied_from", pa.array(copied, pa.string()))
    marked = marked.set_column(
        marked.schema.get_field_index("known_night"), "known_night", pa.array(known, pa.date32())
    )
    return marked.filter(marked.column("new")).select(FINDINGS.schema.names).cast(plain(FINDINGS.schema))


def namings_of_notes(read: DataFrame, notes: DataFrame) -> DataFrame:
    """Rows of NAMINGS for notes."""
    return (
        read.where("evidence_class is not null")
        .join(notes.select(*NOTE_COLUMNS), "text_sha256")
        .withColumnRenamed("note_id", "source_id")
        .withColumnRenamed("version", "source_version")
        .select(*NAMINGS.schema.names)
    )
