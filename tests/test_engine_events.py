"""Coded events and texts as findings: what one patient's rows come to, and how copies and second values are dated."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from lake_rows import arrow, frame
from pyspark.sql import SparkSession

from zebrawatch.engine.chart import AWAITING
from zebrawatch.engine.events import findings_of_events, settle
from zebrawatch.engine.findings import findings_of_notes, mark_copies
from zebrawatch.engine.texts import READ_SCHEMA
from zebrawatch.evidence.codes import CodeMap
from zebrawatch.schemas import EVENTS, FINDINGS, NOTES, PATIENTS

DAY0 = date(2025, 1, 1)
SPLEEN = "HP:0001744"
LONG = "The spleen is palpable four centimetres below the costal margin."
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def with_new(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of FINDINGS with the column `new` (true unless the row says otherwise)."""
    made = arrow(FINDINGS, [{key: value for key, value in row.items() if key != "new"} for row in rows])
    return made.append_column("new", pa.array([row.get("new", True) for row in rows], pa.bool_()))


def value(n: int, **more: Any) -> dict[str, Any]:
    """An abnormal value of day n that takes a second one."""
    return {
        "subject_id": 1,
        "source_id": f"Observation/{n}",
        "origin": "lab",
        "hpo_id": "HP:0002910",
        "assertion": "present",
        "experiencer": "patient",
        "event_time": NOON + timedelta(days=n),
        "known_night": night(n),
        **more,
    }


def settled(*rows: dict[str, Any]) -> dict[str, str]:
    return {row["source_id"]: row["assertion"] for row in settle(with_new(list(rows))).to_pylist()}


def test_a_transient_abnormality_awaits_a_second_value_a_week_apart() -> None:
    told = settled(value(12), value(0), value(3))
    assert told == {"Observation/0": AWAITING, "Observation/3": AWAITING, "Observation/12": "present"}


def test_a_value_known_before_confirms_a_new_one_and_is_not_given_again() -> None:
    assert settled(value(0, assertion=AWAITING, new=False), value(8)) == {"Observation/8": "present"}


def test_a_value_without_a_time_and_one_of_another_term_confirm_nothing() -> None:
    told = settled(value(0, event_time=None), value(20, hpo_id="HP:0003236"), value(30))
    assert set(told.values()) == {AWAITING}


def sentence(source: str, n: int, text: str = LONG, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": 1,
        "source_id": source,
        "source_version": "v",
        "origin": "text",
        "hpo_id": SPLEEN,
        "assertion": "present",
        "experiencer": "patient",
        "start": 4,
        "end": 10,
        "sentence": text,
        "known_night": night(n),
        **more,
    }


def copies(*rows: dict[str, Any]) -> dict[str, tuple[str | None, int]]:
    marked = mark_copies(with_new(list(rows))).to_pylist()
    return {row["source_id"]: (row["copied_from"], (row["known_night"] - DAY0).days) for row in marked}


def test_a_copy_is_dated_to_where_the_sentence_first_stood() -> None:
    assert copies(sentence("note 2", 9), sentence("note 1", 3)) == {"note 1": (None, 3), "note 2": ("note 1", 3)}


def test_a_copy_of_a_note_known_before_points_to_it() -> None:
    assert copies(sentence("note 1", 3, new=False), sentence("note 2", 9)) == {"note 2": ("note 1", 3)}


def test_a_denial_or_a_relatives_finding_is_no_copy() -> None:
    told = copies(
        sentence("note 1", 3),
        sentence("note 2", 9, assertion="negated"),
        sentence("note 3", 10, experiencer="family"),
    )
    assert {source: origin for source, (origin, _) in told.items()} == {"note 1": None, "note 2": None, "note 3": None}


def test_marking_keeps_every_row_and_all_else_of_it() -> None:
    rows = [sentence(f"note {n}", n, "Short one." if n % 2 else LONG, quote=f"q{n}") for n in range(6)]
    marked = mark_copies(with_new(rows))
    assert marked.schema.names == FINDINGS.schema.names
    assert sorted(row["quote"] for row in marked.to_pylist()) == [row["quote"] for row in rows]


# -- under Spark -------------------------------------------------------------------------------------------------------


def creatine_kinase(subject: int, name: str, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject,
        "event_id": f"Observation/{name}",
        "version": "v",
        "resource_type": "Observation",
        "code": "LOINC//2157-6",
        "display": "Creatine kinase",
        "numeric_value": 4200.0,
        "unit": "U/L",
        "interpretation": "H",
        "status": "final",
        "time": NOON,
        "event_time": NOON,
        "known_night": DAY0,
        "pull": "p",
        **more,
    }


def test_labs_and_codes_become_findings_of_their_source(spark: SparkSession) -> None:
    events = [
        creatine_kinase(1, "1"),
        {
            **creatine_kinase(1, "2"),
            "event_id": "Condition/2",
            "resource_type": "Condition",
            "code": "SNOMED//16294009",
            "display": "Splenomegaly",
            "numeric_value": None,
            "interpretation": None,
            "status": "confirmed",
            "category": None,
        },
        {
            **creatine_kinase(2, "3"),
            "event_id": "FamilyMemberHistory/3",
            "resource_type": "FamilyMemberHistory",
            "relationship": "mother",
        },
    ]
    codes = CodeMap({"SNOMED//16294009": SPLEEN}, {}, "made")
    people = frame(spark, PATIENTS, [{"subject_id": 1, "birth_date": date(1990, 1, 1), "known_night": DAY0}])
    found = findings_of_events(frame(spark, EVENTS, events), people, frame(spark, FINDINGS, []), codes)
    assert found.columns == FINDINGS.schema.names
    rows = {row["source_id"]: row for row in found.toArrow().to_pylist()}
    assert set(rows) == {"Observation/1", "Condition/2"}
    assert (rows["Condition/2"]["hpo_id"], rows["Condition/2"]["origin"]) == (SPLEEN, "code")
    assert rows["Observation/1"]["origin"] == "lab"
    assert "4200" in rows["Observation/1"]["quote"]
    assert rows["Observation/1"]["known_night"] == DAY0


def test_one_text_is_read_once_and_put_back_on_every_note_that_has_it(spark: SparkSession) -> None:
    notes = [
        {
            "subject_id": subject,
            "note_id": f"Composition/{n}",
            "version": "v",
            "text_sha256": "sha",
            "known_night": night(n),
            "pull": "p",
        }
        for subject, n in ((1, 0), (1, 5), (2, 3))
    ]
    mention = {
        "text_sha256": "sha",
        "start": 4,
        "end": 10,
        "quote": "spleen",
        "assertion": "present",
        "hpo_id": SPLEEN,
        "origin": "text",
        "experiencer": "patient",
        "sentence": LONG,
    }
    naming = {
        "text_sha256": "sha",
        "start": 0,
        "end": 3,
        "quote": "The",
        "assertion": "present",
        "evidence_class": "name",
    }
    read = spark.createDataFrame(pa.Table.from_pylist([mention, naming], schema=READ_SCHEMA))
    earlier = [sentence("Composition/old", -30)]
    found = findings_of_notes(read, frame(spark, NOTES, notes), frame(spark, FINDINGS, earlier)).toArrow().to_pylist()
    told = {(row["subject_id"], row["source_id"]): (row["copied_from"], row["known_night"]) for row in found}
    assert told == {
        (1, "Composition/0"): ("Composition/old", night(-30)),
        (1, "Composition/5"): ("Composition/old", night(-30)),
        (2, "Composition/3"): (None, night(3)),
    }
