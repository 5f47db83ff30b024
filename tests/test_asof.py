"""What stood on a night, under Spark: versions of notes and events, deletions, merges; backgrounds by month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from lake_rows import frame
from pyspark.sql import DataFrame, SparkSession

from zebrawatch.engine.score import background_steps, patient_steps
from zebrawatch.nights import NightRange
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS
from zebrawatch.timeline.asof import apart, merges, of_patients, spans, touched, with_merged

DAY0 = date(2025, 1, 1)
SPLEEN, ABDOMEN = "HP:0001744", "HP:0001438"


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def at(n: int, hour: int = 0) -> datetime:
    return datetime(2025, 1, 1, hour, tzinfo=UTC) + timedelta(days=n)


def note(name: str, version: str, n: int, available: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "note_id": name,
        "version": version,
        "known_night": night(n),
        "available_at": at(n if available is None else available),
        "deleted": False,
        **more,
    }


def event(name: str, version: str, n: int, code: str = "LOINC//1") -> dict[str, Any]:
    return {"event_id": name, "version": version, "code": code, "known_night": night(n), "available_at": at(n)}


def stood(
    spark: SparkSession, notes: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]] = ()
) -> dict[tuple[str, str], tuple[int, int | None]]:
    rows = spans(frame(spark, NOTES, notes), frame(spark, EVENTS, events)).collect()
    told = {
        (row["source_id"], row["source_version"]): (
            (row["source_night"] - DAY0).days,
            None if row["removed_night"] is None else (row["removed_night"] - DAY0).days,
        )
        for row in rows
    }
    assert len(told) == len(rows)
    return told


def test_a_version_stands_until_the_next_or_a_deletion(spark: SparkSession) -> None:
    told = stood(
        spark,
        [
            note("Composition/1", "a", 1),
            note("Composition/1", "b", 5),
            note("Composition/1", "c", 9, deleted=True),
            note("Composition/2", "d", 2),
            # known on one night, the one that was filed later stands
            note("Composition/3", "f", 6, available=4),
            note("Composition/3", "e", 6, available=5),
        ],
        [
            # a panel: its components leave together, though the next version has one component only
            event("Observation/1", "x", 1),
            event("Observation/1#1", "x", 1, "LOINC//2"),
            event("Observation/1#1", "x", 1, "SNOMED//2"),
            event("Observation/1", "y", 4),
        ],
    )
    assert told == {
        ("Composition/1", "a"): (1, 5),
        ("Composition/1", "b"): (5, 9),
        ("Composition/1", "c"): (9, None),
        ("Composition/2", "d"): (2, None),
        ("Composition/3", "f"): (6, 6),
        ("Composition/3", "e"): (6, None),
        ("Observation/1", "x"): (1, 4),
        ("Observation/1#1", "x"): (1, 4),
        ("Observation/1", "y"): (4, None),
    }


def patient(subject: int, version: str, n: int, merged_into: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject,
        "version": version,
        "known_night": night(n),
        "available_at": at(n),
        "merged_into": merged_into,
        **more,
    }


def findings(spark: SparkSession, *rows: tuple[int, str, int, int | None]) -> DataFrame:
    return spark.createDataFrame(
        [
            (s, hpo, night(n), night(n), None if until is None else night(until), "patient", "present")
            for s, hpo, n, until in rows
        ],
        "subject_id long, hpo_id string, known_night date, source_night date, removed_night date, "
        "experiencer string, assertion string",
    )


def test_a_merge_passes_findings_on_from_its_night_and_an_unmerge_takes_them_back(spark: SparkSession) -> None:
    people = frame(
        spark,
        PATIENTS,
        [patient(1, "a", 0), patient(1, "b", 10, 2), patient(1, "c", 20), patient(2, "d", 0), patient(3, "e", 15, 2)],
    )
    merged = merges(people)
    assert sorted(map(tuple, merged.collect())) == [(1, 2, night(10), night(20)), (3, 2, night(15), None)]

    rows = findings(spark, (1, "early", 3, None), (1, "late", 12, None), (1, "gone", 3, 11), (2, "own", 1, None))
    told = {
        (row["subject_id"], row["hpo_id"]): (row["known_night"], row["removed_night"])
        for row in with_merged(rows, merged).collect()
    }
    written = {
        row["hpo_id"]: row["written_night"] for row in with_merged(rows, merged).where("subject_id = 2").collect()
    }
    assert written == {"own": night(1), "early": night(3), "late": night(12), "gone": night(3)}
    assert told == {
        (1, "early"): (night(3), None),
        (1, "late"): (night(12), None),
        (1, "gone"): (night(3), night(11)),
        (2, "own"): (night(1), None),
        (2, "early"): (night(10), night(20)),
        (2, "late"): (night(12), night(20)),
        (2, "gone"): (night(10), night(11)),
    }


def test_a_night_touches_whose_rows_came_or_went_and_whoever_is_merged_with_them(spark: SparkSession) -> None:
    notes = frame(
        spark,
        NOTES,
        [
            note("Composition/1", "a", 1, subject_id=1),
            note("Composition/1", "b", 5, subject_id=2),  # it was another patient's
            note("Composition/2", "c", 1, subject_id=3),
            note("Composition/4", "d", 6, subject_id=1),
        ],
    )
    events = frame(
        spark,
        EVENTS,
        [
            {**event("Observation/1#1", "x", 1), "subject_id": 4},
            {**event("Observation/1", "y", 5), "subject_id": 4},  # the next version has no such component
            {**event("Observation/2", "x", 4), "subject_id": 5},
        ],
    )
    people = frame(
        spark,
        PATIENTS,
        [
            *(patient(n, "a", 0) for n in range(1, 10)),
            patient(4, "b", 2, 6),
            patient(7, "b", 3, 6),  # merged into the same record as 4: what 4 loses, 6 and 7 are scored with
            patient(8, "b", 3, 9),
        ],
    )
    near = touched(notes, events, people, NightRange(night(5), night(5)))
    assert sorted(row["subject_id"] for row in near.collect()) == [1, 2, 4, 6, 7]
    few_notes, few_events = of_patients(notes, events, near)
    whole, few = spans(notes, events).collect(), spans(few_notes, few_events).collect()
    assert set(few) == {row for row in whole if row["source_id"] not in ("Composition/2", "Observation/2")}


def test_merged_records_count_once_in_the_background(spark: SparkSession) -> None:
    """Record 1 is merged into 2 in January, apart again in March, merged for good in May; both had the finding."""
    people = frame(
        spark,
        PATIENTS,
        [patient(1, "a", 0), patient(1, "b", 10, 2), patient(1, "c", 70), patient(1, "d", 125, 2), patient(2, "e", 0)],
    )
    merged = merges(people)
    rows = apart(with_merged(findings(spark, (1, SPLEEN, 3, None), (2, SPLEEN, 40, None)), merged), merged)
    ancestors = spark.createDataFrame([(SPLEEN, SPLEEN)], "hpo_id string, term string")
    told = {row["month"]: row["step"] for row in background_steps(rows, ancestors).collect()}
    assert {month: step for month, step in told.items() if step} == {"2025-01": 1, "2025-03": 1, "2025-05": -1}
    counted = {row["month"]: row["step"] for row in patient_steps(people, merged).collect()}
    assert counted == {"2025-01": 1, "2025-03": 1, "2025-05": -1}


def steps(spark: SparkSession, *rows: tuple[int, str, int, int | None]) -> dict[tuple[str, str], int]:
    ancestors = spark.createDataFrame(
        [(SPLEEN, SPLEEN), (SPLEEN, ABDOMEN), (ABDOMEN, ABDOMEN)], "hpo_id string, term string"
    )
    return {
        (row["term"], row["month"]): row["step"]
        for row in background_steps(findings(spark, *rows), ancestors).collect()
        if row["step"]
    }


def test_a_background_counts_a_patient_once_a_term_with_all_that_a_finding_implies(spark: SparkSession) -> None:
    told = steps(spark, (1, SPLEEN, 1, None), (1, SPLEEN, 40, None), (1, ABDOMEN, 2, None), (2, ABDOMEN, 33, None))
    assert told == {(SPLEEN, "2025-01"): 1, (ABDOMEN, "2025-01"): 1, (ABDOMEN, "2025-02"): 1}


def test_a_background_loses_a_patient_while_no_source_holds_the_finding(spark: SparkSession) -> None:
    # January to February in one note, corrected without a gap; deleted in March; found again in May
    told = steps(spark, (1, SPLEEN, 5, 35), (1, SPLEEN, 35, 65), (1, SPLEEN, 125, None))
    assert {month: step for (term, month), step in told.items() if term == SPLEEN} == {
        "2025-01": 1,
        "2025-03": -1,
        "2025-05": 1,
    }


def test_what_was_corrected_the_same_night_or_never_said_of_the_patient_is_no_step(spark: SparkSession) -> None:
    assert steps(spark, (1, SPLEEN, 5, 5)) == {}
