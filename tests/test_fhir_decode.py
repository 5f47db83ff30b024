"""FHIR lines to rows: what is read, when it was available, what goes to quarantine, and that nothing is lost."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir_lines import PULLED, b64, context, decoded, lab, note, one, reason
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.fhir.decode import DECODED_SCHEMA, REASONS, DecodeContext, decode_lines, subject_id_of
from zebrawatch.fhir.subjects import binary_id_of
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS

DATA = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parents[2] / "shared" / "data"))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_note_becomes_a_row() -> None:
    row = one(
        "note",
        note(
            meta={"lastUpdated": "2025-05-31T10:00:00Z"},
            relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/n0"}}],
        ),
    )
    assert row["text"] == "Seizures since infancy."
    assert (row["note_id"], row["type_code"], row["type_display"]) == (
        "DocumentReference/n1",
        "11506-3",
        "Progress note",
    )
    assert (row["author_role"], row["encounter_id"], row["status"]) == ("Practitioner", "e1", "final")
    assert row["relates_to"] == "replaces DocumentReference/n0"
    assert row["available_at"] == utc(2025, 5, 30, 7, 15)
    assert (row["available_rule"], row["available_grade"], row["single_version"]) == (
        "DocumentReference.date",
        "filed",
        False,
    )
    assert row["subject_id"] == subject_id_of("p1", b"made key")
    assert not row["deleted"] and not row["restricted"]


def test_subject_ids_are_63_bits_and_depend_on_the_key() -> None:
    ids = {subject_id_of(f"p{n}", b"k") for n in range(1000)}
    assert len(ids) == 1000 and all(0 <= found < 2**63 for found in ids)
    assert subject_id_of("p1", b"k") != subject_id_of("p1", b"other")
    with pytest.raises(ValueError, match="needs"):
        subject_id_of("p1", b"")


@pytest.mark.parametrize(
    "reference", ["Patient/p1", "https://server/fhir/Patient/p1", "Patient/p1/_history/3", "urn:uuid:p1"]
)
def test_every_form_of_reference_names_the_same_patient(reference: str) -> None:
    assert one("note", note(subject={"reference": reference}))["subject_id"] == subject_id_of("p1", b"made key")


@pytest.mark.parametrize(
    ("written", "available", "grade"),
    [
        ("2025-05-30T09:15:00+02:00", utc(2025, 5, 30, 7, 15), "filed"),
        ("2025-05-30T09:15:00.123Z", utc(2025, 5, 30, 9, 15, 0, 123000), "filed"),
        ("2025-05-30T09:15:00", utc(2025, 5, 30, 7, 15), "filed"),  # no zone: the site's own
        ("2025-05-30", utc(2025, 5, 30, 21, 59, 59, 999999), "date"),
        ("2025-03-30", utc(2025, 3, 30, 21, 59, 59, 999999), "date"),  # a day of 23 hours
        ("2025-02", utc(2025, 2, 28, 22, 59, 59, 999999), "date"),
        ("2024", utc(2024, 12, 31, 22, 59, 59, 999999), "date"),
    ],
)
def test_dates_without_a_time_count_as_the_end_of_the_local_day(written: str, available: datetime, grade: str) -> None:
    row = one("note", note(date=written))
    assert (row["available_at"], row["available_grade"]) == (available, grade)


def test_without_its_own_time_a_resource_takes_the_version_then_waits_for_its_encounter() -> None:
    timeless = note()
    del timeless["date"]
    versioned = one("note", {**timeless, "meta": {"lastUpdated": "2025-05-31T10:00:00Z"}})
    assert (versioned["available_rule"], versioned["available_grade"]) == ("meta.lastUpdated", "version")
    waiting = one("note", timeless)
    assert waiting["available_at"] is None and waiting["encounter_id"] == "e1" and waiting["single_version"]
    assert reason({**timeless, "context": {}}) == "no time"
    assert reason({**timeless, "context": {}, "date": "last Tuesday"}) == "unreadable time"
    assert reason({**timeless, "context": {}, "date": "0001-01-01T00:00:00Z"}) == "unreadable time"


def test_the_order_of_elements_is_a_setting() -> None:
    site = context(availability={"DocumentReference": ("meta.lastUpdated", "date")})
    assert one("note", note(meta={"lastUpdated": "2025-06-01T00:00:00Z"}), site)["available_rule"] == "meta.lastUpdated"
    with pytest.raises(ValueError, match="'author' cannot be asked"):
        context(availability={"DocumentReference": ("author",)})
    with pytest.raises(ValueError, match="Organization"):
        context(availability={"Organization": ("date",)})


def test_a_result_is_not_believed_to_be_shown_before_it_was_taken() -> None:
    row = one("event", lab(issued="2025-05-30T00:00:00Z", effectiveDateTime="2025-05-30T11:00:00Z"))
    assert row["available_at"] == utc(2025, 5, 30, 11)
    assert row["available_rule"] == "Observation.effective"


def test_a_withdrawal_acts_from_its_own_time() -> None:
    row = one("note", note(status="entered-in-error", content=[], meta={"lastUpdated": "2025-06-01T10:00:00Z"}))
    assert row["deleted"] and row["text"] is None
    assert row["available_at"] == utc(2025, 6, 1, 10)


def test_an_observation_keeps_value_unit_range_and_components() -> None:
    row = one("event", lab())
    assert (row["code"], row["numeric_value"], row["unit"]) == ("LOINC//2157-6", 4200.0, "U/L")
    assert (row["interpretation"], row["reference_low"], row["reference_high"]) == ("H", 30.0, 200.0)
    pressure = lab(
        component=[
            {"code": {"text": "Systolic"}, "valueQuantity": {"value": 150}},
            {"code": {"text": "Diastolic"}, "valueQuantity": {"value": 95}},
        ]
    )
    rows = decoded([pressure])["event"]
    assert [(one["event_id"], one["numeric_value"]) for one in rows[1:]] == [
        ("Observation/o1#1", 150.0),
        ("Observation/o1#2", 95.0),
    ]


def test_reference_ranges_come_in_the_values_own_unit() -> None:
    row = one(
        "event",
        lab(valueQuantity={"value": 80, "code": "g/L"}, referenceRange=[{"low": {"value": 12, "code": "g/dL"}}]),
    )
    assert row["reference_low"] == pytest.approx(120)
    other = one(
        "event",
        lab(valueQuantity={"value": 80, "code": "g/L"}, referenceRange=[{"low": {"value": 12, "code": "mmol/L"}}]),
    )
    assert other["reference_low"] is None
    told = one("event", lab(referenceRange=[{"text": "30 - 200 U/L"}]))
    assert (told["reference_low"], told["reference_high"]) == (30.0, 200.0)


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        ({"valueQuantity": {"value": 5, "comparator": "<"}}, 5.0, "<5"),
        ({"valueQuantity": {"value": "5.5"}}, 5.5, None),  # a number sent as a string
        ({"valueInteger": 3}, 3.0, None),
        ({"valueBoolean": True}, None, "true"),
        ({"valueString": "detected"}, None, "detected"),
        ({"valueCodeableConcept": {"text": "Positive"}}, None, "Positive"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 160}}}, None, "1:160"),
        ({"valueRange": {"low": {"value": 1}, "high": {"value": 2}}}, None, "1-2"),
    ],
)
def test_every_kind_of_value_is_read(value: dict[str, Any], number: float | None, text: str | None) -> None:
    resource = lab(**value)
    if "valueQuantity" not in value:
        del resource["valueQuantity"]
    row = one("event", resource)
    assert (row["numeric_value"], row["text_value"]) == (number, text)


def test_a_diagnosis_gives_a_row_for_each_code_and_keeps_the_doctors_words() -> None:
    condition = {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "recordedDate": "2025-05-01",
        "verificationStatus": {"coding": [{"code": "provisional"}]},
        "code": {
            "text": "?Fabry disease",
            "coding": [
                {"system": "http://snomed.info/sct", "code": "16652001", "display": "Fabry's disease"},
                {
                    "system": "http://hl7.org/fhir/sid/icd-10-cm",
                    "code": "E75.21",
                    "display": "Fabry (-Anderson) disease",
                },
            ],
        },
        "note": [{"text": "await enzyme"}],
    }
    rows = decoded([condition])["event"]
    assert [row["code"] for row in rows] == ["SNOMED//16652001", "ICD10CM//E75.21", "TEXT"]
    assert {row["status"] for row in rows} == {"provisional"}
    assert rows[0]["text_value"] == "?Fabry disease" and rows[2]["text_value"] == "await enzyme"
    assert [row["lines"] for row in rows] == [1, 0, 0]


def test_orders_reasons_family_and_drugs_become_events() -> None:
    rows = decoded(
        [
            {
                "resourceType": "ServiceRequest",
                "id": "s1",
                "status": "active",
                "intent": "order",
                "subject": {"reference": "Patient/p1"},
                "authoredOn": "2025-05-01",
                "code": {"text": "Referral to genetics"},
                "reasonCode": [{"text": "?Marfan"}],
            },
            {
                "resourceType": "FamilyMemberHistory",
                "id": "f1",
                "status": "completed",
                "patient": {"reference": "Patient/p1"},
                "date": "2025-05-01",
                "relationship": {"text": "mother"},
                "condition": [{"code": {"text": "Seizures"}}],
            },
            {
                "resourceType": "MedicationRequest",
                "id": "m1",
                "status": "active",
                "intent": "order",
                "subject": {"reference": "Patient/p1"},
                "authoredOn": "2025-05-01",
                "medicationReference": {"reference": "Medication/x", "display": "agalsidase beta"},
            },
            {
                "resourceType": "Medication",
                "id": "x",
                "code": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "402238"}]},
            },
        ]
    )
    orders = [
        (row["event_id"], row["display"], row["category"], row["relationship"], row["status"]) for row in rows["event"]
    ]
    assert orders == [
        ("ServiceRequest/s1", "Referral to genetics", None, None, "order active"),
        ("ServiceRequest/s1#reason0", "?Marfan", "reason", None, "order active"),
        ("FamilyMemberHistory/f1#1", "Seizures", "family history", "mother", "completed"),
        ("MedicationRequest/m1", "agalsidase beta", None, None, "order active"),
    ]
    assert rows["event"][3]["medication_id"] == rows["medication"][0]["medication_id"] == "x"


def test_a_patient_row_holds_what_the_screen_asks() -> None:
    row = one(
        "patient",
        {
            "resourceType": "Patient",
            "id": "p1",
            "gender": "female",
            "birthDate": "1980-02",
            "deceasedDateTime": "2025-01-05",
            "meta": {"lastUpdated": "2025-05-01T00:00:00Z", "security": [{"code": "V"}]},
            "extension": [
                {
                    "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
                    "extension": [{"url": "text", "valueString": "White"}],
                }
            ],
            "communication": [{"language": {"coding": [{"code": "de"}]}, "preferred": True}],
            "link": [{"type": "replaced-by", "other": {"reference": "Patient/p2"}}],
        },
    )
    assert (row["sex"], row["birth_date"], row["birth_precision"]) == ("female", date(1980, 2, 1), "month")
    assert row["death_time"] == utc(2025, 1, 5, 22, 59, 59, 999999)
    assert (row["race"], row["language"], row["restricted"]) == ("White", "de", True)
    assert row["merged_into"] == subject_id_of("p2", b"made key")


def test_encounters_give_their_own_row_and_their_codes() -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2025-05-01T08:00:00Z", "end": "2025-05-01T09:00:00Z"},
        "reasonCode": [{"text": "Falls"}],
    }
    rows = decoded([visit])
    assert (rows["encounter"][0]["encounter_id"], rows["encounter"][0]["end"]) == ("e1", utc(2025, 5, 1, 9))
    assert rows["event"][0]["display"] == "Falls"
    still = one("encounter", {**visit, "period": {"start": "2025-05-01T08:00:00Z"}, "status": "in-progress"})
    assert still["end"] is None and (still["available_at"], still["available_rule"]) == (PULLED, "pull")


def test_a_note_in_a_binary_waits_for_it() -> None:
    rows = decoded(
        [
            note(content=[{"attachment": {"contentType": "text/html", "url": "https://server/fhir/Binary/b1"}}]),
            {
                "resourceType": "Binary",
                "id": "b1",
                "contentType": "text/html",
                "data": b64("<p>Muscle <b>weak</b>ness</p>"),
            },
        ]
    )
    assert (rows["note"][0]["binary_id"], rows["note"][0]["text"]) == ("b1", None)
    assert (rows["binary"][0]["binary_id"], rows["binary"][0]["text"]) == ("b1", "Muscle weakness")


@pytest.mark.parametrize(
    "address",
    [
        "Binary/b1",
        "Binary/b1?x=y#z",
        "https://server/fhir/Binary/b1/_history/2",
        "https://server/documents/b1/",
        "urn:uuid:b1",
    ],
)
def test_notes_and_fetched_documents_meet_under_one_id(address: str) -> None:
    content = [{"attachment": {"contentType": "text/plain", "url": address}}]
    assert one("note", note(content=content))["binary_id"] == binary_id_of(address) == "b1"


def test_the_best_of_several_attachments_is_taken_and_the_others_counted() -> None:
    forms = [
        {"attachment": {"contentType": "image/png", "data": b64(b"\x89PNG")}},
        {"attachment": {"contentType": "text/html", "data": b64("<p>from html</p>")}},
        {"attachment": {"contentType": "text/plain", "data": b64("from plain text")}},
    ]
    row = one("note", note(content=forms))
    assert (row["text"], row["content_type"], row["alternatives"]) == ("from plain text", "text/plain", 2)
    broken = [{"attachment": {"contentType": "text/plain", "data": "%%%"}}, forms[1]]
    assert one("note", note(content=broken))["text"] == "from html"


def test_reports_and_compositions_are_notes() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "issued": "2025-05-01T08:00:00Z",
        "code": {"text": "MRI brain"},
        "presentedForm": [{"contentType": "text/plain", "data": b64("White matter changes.")}],
        "conclusion": "Leukodystrophy?",
    }
    rows = decoded([report])
    assert rows["note"][0]["text"] == "White matter changes.\n\nConclusion:\nLeukodystrophy?"
    assert rows["event"][0]["display"] == "MRI brain" and rows["event"][0]["lines"] == 0
    letter = {
        "resourceType": "Composition",
        "id": "k1",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "date": "2025-05-01",
        "title": "Letter",
        "confidentiality": "R",
        "section": [
            {
                "title": "History",
                "text": {"div": "<div xmlns='http://www.w3.org/1999/xhtml'><p>Ataxia</p></div>"},
                "section": [{"title": "Family", "text": {"div": "<div>none &amp; nothing</div>"}}],
            }
        ],
    }
    row = one("note", letter)
    assert row["text"] == "History:\nAtaxia\n\nFamily:\nnone & nothing" and row["restricted"]


def test_deletions_become_tombstones() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": "2025-06-01T12:00:00Z",
        "entry": [
            {"request": {"method": "DELETE", "url": f"{name}/1"}}
            for name in ("Patient", "DocumentReference", "Observation", "Organization")
        ],
    }
    rows = decoded([bundle])
    assert [row["deleted"] for kind in ("patient", "note", "event") for row in rows[kind]] == [True, True, True]
    assert rows["event"][0]["event_id"] == "Observation/1" and rows["event"][0]["available_at"] == utc(2025, 6, 1, 12)
    assert sum(row["lines"] for kind in rows for row in rows[kind]) == 1
    assert (
        reason({"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": "nothing"}}]})
        == "unreadable deletion"
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"resourceType": "Observation", "id": "o1", "sta', "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[1, 2]", "not a FHIR resource"),
        (b'{"id": "1"}', "not a FHIR resource"),
        (b'{"resourceType": "Zebra", "id": "1"}', "unknown resource type"),
        (lab(valueQuantity=[1]), "malformed resource"),
        (lab(id=None), "no id"),
        (lab(subject=None), "no subject"),
        (lab(subject={"display": "somebody"}), "no subject"),
        (lab(subject={"reference": "Group/g1"}), "subject is no patient"),
        (lab(issued="2025-06-04T00:00:00Z"), "dated in the future"),
        (lab(code=None, valueQuantity=None), "no content"),
        (note(content=[]), "no text"),
        (note(content=[{"attachment": {"contentType": "text/plain", "data": b64(" \n ")}}]), "no text"),
        (note(content=[{"attachment": {"contentType": "text/plain", "data": "!"}}]), "attachment is damaged"),
        (
            note(content=[{"attachment": {"contentType": "image/jpeg", "data": b64(b"\xff\xd8")}}]),
            "attachment of a type without text",
        ),
        (
            note(content=[{"attachment": {"contentType": "text/plain", "url": "https://elsewhere/"}}]),
            "text lies elsewhere",
        ),
        ({"resourceType": "Binary", "id": "b1", "contentType": "text/plain"}, "no text"),
    ],
)
def test_what_cannot_be_used_goes_to_quarantine_whole(line: dict[str, Any] | bytes, why: str) -> None:
    assert why in REASONS
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    rows = decoded([raw])["quarantine"]
    assert [(row["reason"], row["line"], row["line_number"], row["pull"]) for row in rows] == [(why, raw, 1, "pull-1")]


def test_fhir_resources_words_a_refusal_without_values() -> None:
    detail = decoded([lab(status=3, valueQuantity={"value": "Mary Miller"})])["quarantine"][0]["detail"]
    assert "valueQuantity" in detail and "Mary" not in detail


def test_conformance_is_judged_for_a_share_and_does_not_refuse() -> None:
    unconformant = lab(status=None)
    judged = one("event", unconformant, context(validate_share=1.0))
    assert judged["conformant"] is False
    assert one("event", lab(), context(validate_share=1.0))["conformant"] is True
    assert one("event", lab(), context(validate_share=0.0))["conformant"] is None
    sample = [lab(id=f"o{n}") for n in range(300)]
    first = [row["conformant"] for row in decoded(sample, context(validate_share=0.2))["event"]]
    assert first == [row["conformant"] for row in decoded(sample, context(validate_share=0.2))["event"]]
    assert 30 < sum(judged is not None for judged in first) < 100


def test_what_carries_nothing_is_counted() -> None:
    ours = lab(meta={"tag": [{"system": "urn:zebrawatch:written-by", "code": "zebrawatch"}]})
    rows = decoded([{"resourceType": "Organization", "id": "1"}, {"resourceType": "Organization"}, b"", b"  ", ours])[
        "skipped"
    ]
    assert {(row["resource_type"], row["reason"]): row["lines"] for row in rows} == {
        ("Organization", "not read"): 2,
        (None, "empty line"): 2,
        ("Observation", "written by Zebrawatch"): 1,
    }


def test_restricted_by_security_label_of_the_document() -> None:
    assert one("note", note(securityLabel=[{"coding": [{"code": "R"}]}]))["restricted"]
    assert not one("note", note(securityLabel=[{"coding": [{"code": "N"}]}]))["restricted"]


def test_columns_are_the_tables_without_what_spark_fills() -> None:
    for kind, table in (("note", NOTES), ("event", EVENTS), ("patient", PATIENTS)):
        struct = DECODED_SCHEMA.field(kind).type
        names = {struct.field(n).name for n in range(struct.num_fields)}
        assert set(table.schema.names) - names == {"seen_night", "known_night"}
        for name in set(table.schema.names) & names:
            assert struct.field(name).type == table.schema.field(name).type


def test_the_context_pickles_and_refuses_what_is_wrong() -> None:
    assert pickle.loads(pickle.dumps(context())) == context()
    with pytest.raises(ValueError, match="time zone"):
        context(pulled_at=datetime(2025, 1, 1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        context(validate_share=2)


# ---- anything at all --------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just("2025-05-30"),
    st.just("Patient/p1"),
    st.just("\ud800"),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "coding",
                    "code",
                    "text",
                    "reference",
                    "value",
                    "attachment",
                    "data",
                    "contentType",
                    "div",
                    "start",
                    "system",
                    "url",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_TYPES = st.sampled_from(
    [
        "Patient",
        "DocumentReference",
        "DiagnosticReport",
        "Composition",
        "Observation",
        "Condition",
        "Procedure",
        "MedicationRequest",
        "ServiceRequest",
        "FamilyMemberHistory",
        "AllergyIntolerance",
        "Encounter",
        "Immunization",
        "Binary",
        "Coverage",
        "Bundle",
        "Medication",
    ]
)
_ELEMENTS = st.sampled_from(
    [
        "id",
        "meta",
        "subject",
        "patient",
        "code",
        "status",
        "date",
        "issued",
        "content",
        "section",
        "presentedForm",
        "valueQuantity",
        "component",
        "period",
        "data",
        "contentType",
        "entry",
        "link",
        "birthDate",
        "context",
        "reasonCode",
        "note",
        "condition",
        "effectiveDateTime",
        "reaction",
    ]
)


def _broken(draw: st.DrawFn) -> bytes:
    base = draw(
        st.sampled_from(
            [note(), lab(), {"resourceType": draw(_TYPES), "id": "x", "subject": {"reference": "Patient/p1"}}]
        )
    )
    resource = {**base, **draw(st.dictionaries(_ELEMENTS, _JSON, max_size=5))}
    for name in draw(st.lists(st.sampled_from(sorted(resource)), max_size=2)):
        resource.pop(name, None)
    line = json.dumps(resource).encode()
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(line)))
        line = line[:cut] + draw(st.binary(max_size=4)) + line[cut + draw(st.integers(0, 6)) :]
    return line.replace(b"\n", b" ")


@settings(max_examples=250, deadline=None)
@given(st.lists(st.composite(_broken)() | st.binary(max_size=40), max_size=4))
def test_broken_lines_never_crash_and_are_never_lost(lines: list[bytes]) -> None:
    rows = decoded(lines)  # asserts that lines in = rows + quarantined + skipped
    for row in rows["quarantine"]:
        assert row["reason"] in REASONS and row["reason"] != "decoder failed", row["detail"]
        assert row["line"] == lines[row["line_number"] - 1]


@settings(max_examples=50, deadline=None)
@given(st.permutations([note(), lab(), lab(subject=None), {"resourceType": "Organization"}, note(id="n2")]))
def test_a_line_gives_the_same_rows_wherever_it_stands(lines: list[dict[str, Any]]) -> None:
    rows = decoded(lines)
    assert {row["note_id"]: row["version"] for row in rows["note"]} == {
        row["note_id"]: row["version"] for row in decoded(sorted(lines, key=str))["note"]
    }


def test_batches_are_bounded() -> None:
    line = json.dumps(lab()).encode()
    sizes = [batch.num_rows for batch in decode_lines(((n, line) for n in range(20_000)), "f", context())]
    assert sum(sizes) == 20_000 and max(sizes) < 10_000


# ---- a real export ---------------------------------------------------------------------------------


def _context_of_export() -> DecodeContext:
    return DecodeContext(
        pull="p", site_key=b"k", zone="America/New_York", pulled_at=utc(2024, 8, 7), validate_share=0.02
    )


@pytest.mark.skipif(
    not (DATA / "ehr" / "synthea_bulk_10").is_dir(), reason="third-party export not here: set ZEBRAWATCH_DATA"
)
def test_synthea_export_decodes_with_nothing_in_quarantine() -> None:
    counts: dict[str, int] = {}
    for path in sorted((DATA / "ehr" / "synthea_bulk_10").glob("*.ndjson.gz")):
        if path.name.startswith("log."):
            continue
        lines = gzip.decompress(path.read_bytes()).splitlines()
        seen = 0
        for batch in decode_lines(enumerate(lines, 1), path.name, _context_of_export()):
            seen += sum(batch["lines"].to_pylist())
            kind = batch["kind"][0].as_py()
            counts[kind] = counts.get(kind, 0) + batch.num_rows
        assert seen == len(lines), path.name
    assert counts["note"] == 1215 and counts["patient"] == 13 and counts["encounter"] == 1215
    assert "quarantine" not in counts


def test_an_emptied_resource_entered_in_error_still_withdraws_its_earlier_version() -> None:
    row = one("event", lab(status="entered-in-error", code=None, valueQuantity=None, interpretation=None))
    assert (row["event_id"], row["code"], row["deleted"]) == ("Observation/o1", "DELETED", True)


def test_a_bundle_is_taken_whole_or_not_at_all() -> None:
    assert (
        reason({"resourceType": "Bundle", "entry": [{"resource": lab()}, {"resource": lab(subject=None)}]})
        == "no subject"
    )
    rows = decoded([{"resourceType": "Bundle", "entry": [{"resource": lab()}, {"resource": note()}]}])
    assert len(rows["event"]) == len(rows["note"]) == 1


def test_text_that_mentions_the_screen_is_left_out_and_counted() -> None:
    said = note(
        content=[{"attachment": {"contentType": "text/html", "data": b64("<p>Flagged by ZEBRAWATCH, ?Fabry</p>")}}]
    )
    rows = decoded([said, said, lab(note=[{"text": "Zebrawatch alert"}]), lab()])
    assert {(row["resource_type"], row["reason"]): row["lines"] for row in rows["skipped"]} == {
        ("DocumentReference", "mentions Zebrawatch"): 2,
        ("Observation", "mentions Zebrawatch"): 1,
    }
    assert len(rows["event"]) == 1 and not rows["note"]
