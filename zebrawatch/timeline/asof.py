"""What stood on a night: spans of resource versions, and merges of patients."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

from zebrawatch.nights import NightRange

_VERSION = ("version", "known_night", "available_at")


def spans(notes: DataFrame, events: DataFrame) -> DataFrame:
    """For every version of a note or event, when it stood.

    Columns `source_id, source_version`, `source_night` on which it became known and `removed_night` from which a later
    version or a deletion replaced it (null while it stands). Versions known on the same night follow each other by
    `available_at`; the last stands.
    """
    versions = _versions(notes, events)
    single = versions.groupBy("base", "version").agg(
        F.min("known_night").alias("known_night"), F.min("available_at").alias("available_at")
    )
    order = Window.partitionBy("base").orderBy("known_night", "available_at", "version")
    stood = single.withColumn("removed_night", F.lead("known_night").over(order))
    return (
        versions.select("base", "version", "source_id")
        .distinct()
        .join(stood, ["base", "version"])
        .select(
            "source_id",
            F.col("version").alias("source_version"),
            F.col("known_night").alias("source_night"),
            "removed_night",
        )
    )


def _versions(notes: DataFrame, events: DataFrame) -> DataFrame:
    """Versions of notes and events with their `base`, the resource itself: an event's id goes on with its code."""
    note_versions = notes.select(
        "subject_id", F.col("note_id").alias("base"), F.col("note_id").alias("source_id"), *_VERSION
    )
    event_versions = events.select("subject_id", _base().alias("base"), F.col("event_id").alias("source_id"), *_VERSION)
    return note_versions.unionByName(event_versions)


def _base() -> Column:
    return F.regexp_replace("event_id", "#.*$", "")


def touched(notes: DataFrame, events: DataFrame, patients: DataFrame, nights: NightRange) -> DataFrame:
    """`subject_id` of everybody of whose standing rows any may have come or gone within the range.

    They are those of whom a version became known, or of whose resources one did (it may now be another patient's), and
    whoever is merged with them.
    """
    within = F.col("known_night").between(F.lit(nights.first), F.lit(nights.last))
    versions, pairs = _versions(notes, events), merges(patients).select("from_subject", "to_subject")
    moved = versions.where(within).select("base").distinct()
    own = versions.join(F.broadcast(moved), "base", "left_semi").select("subject_id")
    own = own.unionByName(patients.where(within).select("subject_id")).distinct().persist()  # asked for four times
    survivors = own.unionByName(
        pairs.join(own, pairs["from_subject"] == own["subject_id"], "left_semi").select(
            F.col("to_subject").alias("subject_id")
        )
    ).distinct()
    beside = pairs.join(survivors, pairs["to_subject"] == survivors["subject_id"], "left_semi")
    return survivors.unionByName(beside.select(F.col("from_subject").alias("subject_id"))).distinct()


def of_patients(notes: DataFrame, events: DataFrame, subjects: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The notes and events that `spans` needs for these patients' rows: every version of every resource of theirs."""
    bases = _versions(notes, events).join(subjects, "subject_id", "left_semi").select("base").distinct()
    kept_notes = notes.join(bases, notes["note_id"] == bases["base"], "left_semi")
    return kept_notes, events.withColumn("base", _base()).join(bases, "base", "left_semi").drop("base")


def merges(patients: DataFrame) -> DataFrame:
    """Merges and when they held: `from_subject, to_subject, merge_night, unmerge_night` (null while it holds)."""
    order = Window.partitionBy("subject_id").orderBy("known_night", "available_at", "version")
    return (
        patients.withColumn("unmerge_night", F.lead("known_night").over(order))
        .where("merged_into is not null")
        .select(
            F.col("subject_id").alias("from_subject"),
            F.col("merged_into").alias("to_subject"),
            F.col("known_night").alias("merge_night"),
            "unmerge_night",
        )
    )


def with_merged(rows: DataFrame, merged: DataFrame) -> DataFrame:
    """Rows with `subject_id, known_night, removed_night`, and for every merge a copy under the survivor.

    The copy is known from the merge on and leaves at an unmerge; `written_night`, which is added, stays the night from
    which the record it was written in had it. Chains of merges are followed one step: a survivor that is itself merged
    passes on its own rows only, as FHIR servers flatten chains (Patient.link points to the record in use).
    """
    rows = rows.withColumn("written_night", F.col("known_night"))
    copies = rows.join(F.broadcast(merged), rows["subject_id"] == merged["from_subject"]).withColumn(
        "subject_id", F.col("to_subject")
    )
    copies = copies.withColumn("known_night", F.greatest("known_night", "merge_night")).withColumn(
        "removed_night", F.least("removed_night", "unmerge_night")
    )
    return rows.unionByName(copies.select(*rows.columns))


def apart(rows: DataFrame, merged: DataFrame) -> DataFrame:
    """Rows with `subject_id, known_night, removed_night`, those of a merged record only while it stood on its own.

    Beside `with_merged` nothing then counts for two records at once.
    """
    order = Window.partitionBy("from_subject").orderBy("merge_night")
    reverse = Window.partitionBy("from_subject").orderBy(F.desc("merge_night"))
    ends = merged.withColumn("last", F.row_number().over(reverse) == 1)
    own = ends.select(
        F.col("from_subject").alias("subject_id"),
        F.lag("unmerge_night").over(order).alias("since"),
        F.col("merge_night").alias("until"),
    ).unionByName(
        ends.where("last and unmerge_night is not null").select(
            F.col("from_subject").alias("subject_id"),
            F.col("unmerge_night").alias("since"),
            F.lit(None).cast("date").alias("until"),
        )
    )
    return (
        rows.join(F.broadcast(own.withColumn("was_merged", F.lit(True))), "subject_id", "left")
        .withColumn("known_night", F.greatest("known_night", "since"))
        .withColumn("removed_night", F.least("removed_night", "until"))
        .where("was_merged is null or removed_night is null or known_night < removed_night")
        .select(*rows.columns)
    )
