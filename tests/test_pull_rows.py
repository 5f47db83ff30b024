"""What one pull after another adds to the timeline: what returns, what is deleted, what completes what. Made data."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from fhir_lines import b64, context, lab, note

from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, QUARANTINE, REFERRED, Table
from zebrawatch.timeline.asof import spans
from zebrawatch.timeline.rows import (
    Known,
    PullClock,
    awaited,
    decode,
    decode_again,
    quarantined,
    rows_of_pull,
    still_quarantined,
    whole_lines,
)
from zebrawatch.timeline.splits import splits_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEPT = (PATIENTS, NOTES, EVENTS, REFERRED)


class Story:
    """A lake without files: pulls come in, rows stay, lines that may be completed are read again as the screen does."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._folder = spark, folder
        self.tables: dict[str, pa.Table] = {table.name: plain(table).empty_table() for table in (*KEPT, QUARANTINE)}
        self._nights = 0
        self._spans: list[Any] | None = None
        self.waiting: list[list[tuple[str, str]]] = []  # (reason, id) after each pull

    def frame(self, table: Table) -> DataFrame:
        # in one piece: Spark takes an empty chunk for the end of the rows
        return self._spark.createDataFrame(self.tables[table.name].combine_chunks())

    def pull(self, *resources: dict[str, Any] | bytes) -> None:
        self._nights += 1
        night = date(2025, 6, self._nights)
        name = f"pull-{self._nights}"
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in resources]
        (self._folder / f"{name}.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
        used = context(pull=name, pulled_at=datetime(2025, 6, self._nights, 20, tzinfo=UTC))
        splits = splits_of(self._folder, [f"{name}.ndjson"])
        sent = decode(self._spark, splits, used).cache()
        again = self._spark.createDataFrame(plain(QUARANTINE).empty_table())
        if self.tables["quarantine"].num_rows:
            again = awaited(sent, self.frame(QUARANTINE)).cache()
        rows = sent.unionByName(decode_again(again, used)).cache()
        frames = [self.frame(table) for table in KEPT]
        known = Known(*(frame if self._nights > 1 else frame.limit(0) for frame in frames))
        clock = PullClock("Europe/Berlin", night, self._nights == 1)
        made = rows_of_pull(rows, known, clock, lambda _, frame: frame.localCheckpoint())
        unusable = made.unusable.cache()
        kept = still_quarantined(again, unusable, used).toArrow()
        read_again = {(row["pull"], row["line_number"]) for row in again.collect()}
        late = whole_lines(self._spark, splits, unusable, name).toArrow()
        new = {table.name: getattr(made, table.name).toArrow() for table in KEPT}
        old = [row for row in self.rows("quarantine") if (row["pull"], row["line_number"]) not in read_again]
        refused = [*old, *kept.to_pylist(), *quarantined(sent).toArrow().to_pylist(), *late.to_pylist()]
        self.tables["quarantine"] = pa.Table.from_pylist(refused, schema=plain(QUARANTINE))
        for table in KEPT:
            added = new[table.name].select(table.schema.names).cast(plain(table))
            self.tables[table.name] = pa.concat_tables([self.tables[table.name], added])
        self.waiting.append(sorted((row["reason"], json.loads(row["line"])["id"]) for row in self.rows("quarantine")))

    def rows(self, name: str) -> list[dict[str, Any]]:
        return list(self.tables[name].to_pylist())

    def of(self, name: str, key: str) -> list[dict[str, Any]]:
        return [row for row in self.rows(name) if row["subject_id"] == subject(key)]

    def stood(self, source: str) -> list[tuple[int, int | None]]:
        """First night and night of leaving of every version of a note or event."""
        if self._spans is None:
            self._spans = spans(self.frame(NOTES), self.frame(EVENTS)).collect()
        found = [row for row in self._spans if row["source_id"] == source]
        return [
            (row["source_night"].day, row["removed_night"].day if row["removed_night"] else None)
            for row in sorted(found, key=lambda row: row["source_night"])
        ]


def plain(table: Table) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in table.schema])


def patient(key: str, **changed: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": key, "meta": {"lastUpdated": "2025-05-01T10:00:00Z"}, **changed}


def ref(key: str) -> dict[str, str]:
    return {"reference": f"Patient/{key}"}


def text(key: str, words: str, **changed: Any) -> dict[str, Any]:
    """A note of patient `key`, with the same id."""
    content = [{"attachment": {"contentType": "text/plain", "data": b64(words)}}]
    return note(**{"id": key, "subject": ref(key), "content": content, **changed})


def linked(key: str, address: str) -> dict[str, Any]:
    return text(key, "", content=[{"attachment": {"contentType": "text/plain", "url": address}}])


def undated(key: str, **changed: Any) -> dict[str, Any]:
    made = text(key, "Seizures.", context={"encounter": [{"reference": f"Encounter/{key}"}]}, **changed)
    del made["date"]
    return made


def value(key: str, **changed: Any) -> dict[str, Any]:
    return lab(id=key, subject=ref(key), **changed)


def encounter(key: str, end: str | None, **changed: Any) -> dict[str, Any]:
    period = {"start": "2025-05-02", **({"end": end} if end else {})}
    return {
        "resourceType": "Encounter", "id": key, "status": "finished", "subject": ref(key), "period": period, **changed,
    }  # fmt: skip


def binary(key: str, words: str) -> dict[str, Any]:
    return {"resourceType": "Binary", "id": key, "contentType": "text/plain", "data": b64(words)}


def deletion(*references: str, **changed: Any) -> dict[str, Any]:
    entries = [{"request": {"method": "DELETE", "url": reference}} for reference in references]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries, **changed}


def order(key: str, medication: dict[str, str], **changed: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": key, "status": "active", "intent": "order",
        "subject": ref("ordered"), "authoredOn": "2025-05-02T08:00:00Z", "medicationReference": medication,
        "reasonCode": [{"text": "pain"}], **changed,
    }  # fmt: skip


def medication(key: str, *codes: str, text: str | None = None) -> dict[str, Any]:
    coding = [{"code": code, "display": f"drug {code}"} for code in codes]
    return {"resourceType": "Medication", "id": key, "code": {"coding": coding, **({"text": text} if text else {})}}


MERGED = [{"type": "replaced-by", "other": {"reference": "Patient/survivor"}}]
TWO_CODES = {"coding": [{"system": "http://loinc.org", "code": code} for code in ("2157-6", "50757-4")]}
HISTORY = (
    text("history", "Seizures.", date="2025-05-01T10:00:00Z"),
    text("history", "No seizures.", date="2025-05-02T10:00:00Z"),
)
PEOPLE = (
    "back",
    "merged",
    "codes",
    "history",
    "deleted",
    "restored",
    "completed",
    "waits",
    "attached",
    "open",
    "ordered",
)
NIGHTS: tuple[tuple[dict[str, Any], ...], ...] = (
    (
        *(patient(key) for key in PEOPLE),
        text("back", "Seizures."),
        value("codes", code=TWO_CODES),
        *HISTORY,
        text("deleted", "Seizures."),
        value("deleted"),
        text("restored", "Seizures."),
        encounter("completed", "2025-05-09T12:00:00Z"),
        binary("b1", "Ataxia."),
        {"resourceType": "Medication", "id": "m1", "code": {"coding": [{"code": "203456"}, {"code": "B01"}]}},
        {
            "resourceType": "Coverage", "id": "c1", "status": "active", "beneficiary": ref("completed"),
            "type": {"text": "statutory"},
        },
        undated("waits"),
        linked("attached", "Binary/b2"),
        text("stranger", "Ptosis."),
        undated("twice"),
        encounter("open", "2025-05-09T12:00:00Z"),
        order("bare", {"reference": "Medication/late"}),
        order("told", {"reference": "Medication/late", "display": "own words"}),
        order("worded", {"reference": "Medication/words"}),
        order("changed", {"reference": "Medication/late"}),
        order("withdrawn", {"reference": "Medication/late"}),
        deletion("DocumentReference/never", id="stray"),
        {"resourceType": "Bundle", "id": "bundle", "entry": [{"resource": text("nobody", "Seizures.")}]},
    ),
    (
        text("back", "No seizures."),
        patient("merged", link=MERGED),
        value("codes", valueQuantity={"value": 40, "unit": "U/L"}),
        *HISTORY,
        deletion("DocumentReference/deleted", "Observation/deleted", id="graves"),
        deletion("DocumentReference/restored", id="grave"),
        patient("completed", gender="female"),
        undated("completed"),
        linked("attached-later", "https://server/fhir/Binary/b1?version=2") | {"subject": ref("completed")},
        {
            "resourceType": "MedicationRequest", "id": "r1", "status": "active", "intent": "order",
            "subject": ref("completed"), "authoredOn": "2025-06-02T08:00:00Z",
            "medicationReference": {"reference": "Medication/m1"},
        },
        medication("late", "1", "2"),
        medication("words", text="some drug"),
        order("changed", {"reference": "Medication/late"}, status="stopped"),
        deletion("MedicationRequest/withdrawn", id="grave of an order"),
        {
            "resourceType": "Coverage", "id": "c2", "status": "active", "beneficiary": ref("ordered"),
            "type": {"text": "private"},
        },
        encounter("waits", "2025-06-02T12:00:00Z"),
        patient("twice"),
        deletion("Encounter/open", id="grave of an encounter"),
    ),
    (
        text("back", "No seizures."),
        text("back", "Seizures."),
        patient("merged"),
        value("codes", code=TWO_CODES),
        text("restored", "Seizures."),
        binary("b2", "Ataxia."),
        order("bare", {"reference": "Medication/late"}),
        medication("late", "1", "2"),
        medication("words", text="some drug"),
        patient("ordered"),
        patient("stranger"),
        encounter("twice", "2025-06-03T12:00:00Z"),
        undated("open"),
    ),
    (text("back", "Seizures."),),
    (text("back", "Seizures."),),
    (text("back", "No seizures."),),
)  # fmt: skip


@pytest.fixture(scope="module")
def story(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All pulls, one a night."""
    told = Story(spark, tmp_path_factory.mktemp("pulls"))
    for sent in NIGHTS:
        told.pull(*sent)
    return told


def subject(key: str) -> int:
    return subject_id_of(key, b"made key")


def test_a_version_that_comes_back_stands_again(story: Story) -> None:
    notes = sorted(story.of("notes", "back"), key=lambda row: row["known_night"])
    assert [row["text"] for row in notes] == ["Seizures.", "No seizures.", "Seizures.", "No seizures."]
    assert [row["version"].partition(".")[2] for row in notes] == ["", "", "2", "2"]
    assert story.stood("DocumentReference/back")[1:] == [(2, 4), (4, 6), (6, None)]


def test_a_patient_is_merged_and_unmerged_with_the_same_bytes(story: Story) -> None:
    rows = sorted(story.of("patients", "merged"), key=lambda row: row["seen_night"])
    assert [row["merged_into"] for row in rows] == [None, subject("survivor"), None]
    assert [row["known_night"].day for row in rows][1:] == [2, 3]


def test_values_that_come_back_bring_all_their_codes(story: Story) -> None:
    june = [row["known_night"].day for row in story.of("events", "codes") if row["known_night"].month == 6]
    assert sorted(june) == [2, 3, 3]


def test_a_history_sent_again_changes_nothing(story: Story) -> None:
    assert len(story.of("notes", "history")) == 2


def test_a_deletion_takes_the_note_and_the_value_away_from_its_night(story: Story) -> None:
    graves = [row for name in ("notes", "events") for row in story.of(name, "deleted") if row["deleted"]]
    assert [row["known_night"].day for row in graves] == [2, 2]
    assert [last for _, last in story.stood("DocumentReference/deleted")] == [2, None]
    assert [last for _, last in story.stood("Observation/deleted")] == [2, None]


def test_what_was_deleted_may_be_restored(story: Story) -> None:
    assert story.stood("DocumentReference/restored")[1:] == [(2, 3), (3, None)]


def test_a_deletion_and_a_bundle_that_cannot_be_used_are_kept_whole(story: Story) -> None:
    assert ("deletes what is not here", "stray") in story.waiting[-1]
    assert ("unknown patient", "bundle") in story.waiting[-1]


def test_what_came_earlier_completes_what_comes_later(story: Story) -> None:
    notes = {row["note_id"]: row for row in story.of("notes", "completed")}
    assert notes["DocumentReference/completed"]["available_rule"] == "Encounter.period.end"
    assert notes["DocumentReference/attached-later"]["text"] == "Ataxia."
    codes = [row["code"] for row in story.rows("events") if row["event_id"] == "MedicationRequest/r1"]
    assert sorted(codes) == ["LOCAL//203456", "LOCAL//B01"]
    assert [row["payer"] for row in story.of("patients", "completed")] == ["statutory", "statutory"]


def test_what_comes_later_completes_what_waits_from_its_own_night(story: Story) -> None:
    known = {
        key: [(row["known_night"].day, row["text"]) for row in story.of("notes", key)]
        for key in ("waits", "attached", "stranger")
    }
    assert known == {"waits": [(2, "Seizures.")], "attached": [(3, "Ataxia.")], "stranger": [(3, "Ptosis.")]}


def orders(story: Story, key: str) -> list[tuple[int, str, str, str]]:
    """Night, code, display and number of the version of the order's rows and of its reason's."""
    found = [row for row in story.of("events", "ordered") if row["event_id"].partition("#")[0].endswith("/" + key)]
    return sorted(
        (
            row["known_night"].day,
            row["code"] if "#" not in row["event_id"] else "reason",
            row["display"] or "",
            row["version"].partition(".")[2],
        )
        for row in found
    )


def test_an_order_gets_the_codes_of_a_medication_that_comes_later(story: Story) -> None:
    assert orders(story, "bare") == [
        (2, "LOCAL//1", "drug 1", "2"), (2, "LOCAL//2", "drug 2", "2"), (2, "TEXT", "", ""),
        (2, "reason", "pain", ""), (2, "reason", "pain", "2"),
    ]  # fmt: skip
    told = [row for row in orders(story, "told") if row[3]]
    assert [row[:3] for row in told] == [
        (2, "LOCAL//1", "own words"), (2, "LOCAL//2", "own words"), (2, "reason", "pain"),
    ]  # fmt: skip
    assert [row for row in orders(story, "worded") if row[3]] == [
        (2, "TEXT", "some drug", "2"), (2, "reason", "pain", "2"),
    ]  # fmt: skip
    assert story.stood("MedicationRequest/bare") == [(2, 2), (2, None)]


def test_an_order_that_came_anew_or_was_withdrawn_beside_its_medication_is_not_completed_twice(story: Story) -> None:
    assert [(code, number) for night, code, _, number in orders(story, "changed") if code != "reason"] == [
        ("LOCAL//1", ""), ("LOCAL//2", ""), ("TEXT", ""),
    ]  # fmt: skip
    assert all(number == "" for *_, number in orders(story, "withdrawn"))
    assert story.stood("MedicationRequest/withdrawn")[-1] == (2, None)


def test_a_coverage_that_comes_later_tells_the_payer_from_its_own_night(story: Story) -> None:
    rows = sorted(story.of("patients", "ordered"), key=lambda row: row["known_night"])
    assert [(row["known_night"].month, row["payer"]) for row in rows] == [(5, None), (6, "private")]


def test_a_line_that_awaits_two_things_says_what_it_awaits_now(story: Story) -> None:
    reasons = [[reason for reason, key in waiting if key == "twice"] for waiting in story.waiting]
    assert reasons[:3] == [["unknown patient"], ["no time of availability"], []]
    assert [row["known_night"].day for row in story.of("notes", "twice")] == [3]


def test_an_encounter_that_was_deleted_ends_nothing(story: Story) -> None:
    assert ("no time of availability", "open") in story.waiting[-1]


def test_every_line_is_rows_or_waits(story: Story) -> None:
    assert sorted(key for _, key in story.waiting[-1]) == ["bundle", "open", "stray"]
