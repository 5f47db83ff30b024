"""The untouched lines a night could hold: read by code of its own, and of the same mind as the decoder."""

from __future__ import annotations

import ast
import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import tiny_hospital
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.fhir.availability import DEFAULT_AVAILABILITY, EPOCH, MICROSECOND, Calendar
from zebrawatch.outcome import untouched
from zebrawatch.outcome.untouched import ORDER, Untouched, night_of, read_line

BERLIN = ZoneInfo("Europe/Berlin")


def test_it_stands_on_its_own_feet_and_says_what_the_decoder_says() -> None:
    tree = ast.parse(Path(untouched.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert not any(name.startswith("zebrawatch") for name in imported)
    assert {kind: order for kind, order in DEFAULT_AVAILABILITY.items() if kind not in ("Patient", "Coverage")} == ORDER


times = st.one_of(
    st.datetimes(timezones=st.sampled_from([ZoneInfo("UTC"), BERLIN, ZoneInfo("Pacific/Auckland")])).map(
        lambda at: at.isoformat()
    ),
    st.datetimes().map(lambda at: at.isoformat()),
    st.dates().map(str),
    st.dates().map(lambda day: str(day)[:7]),
    st.integers(0, 9999).map(lambda year: f"{year:04d}"),
    st.sampled_from(["2024-02-30", "2024-13", "soon", "", "2024-01-01T25:00:00Z", "2024-06-30T23:30:00Z"]),
)


@given(times)
def test_a_night_is_read_as_the_decoder_reads_it(text: str) -> None:
    moment = Calendar("Europe/Berlin").read(text)
    decoded = None if moment is None else (EPOCH + moment.last * MICROSECOND).astimezone(BERLIN).date()
    assert night_of(text, BERLIN) == decoded


def lines(*resources: dict[str, Any]) -> list[bytes]:
    return [json.dumps(one).encode() for one in resources]


def test_a_night_holds_the_lines_of_its_patients_that_could_be_shown_by_then() -> None:
    visit = {"reference": "Encounter/e1"}
    kept = lines(
        tiny_hospital.patient("maria"),
        tiny_hospital.note("early", "maria", "2025-03-01", "x"),
        tiny_hospital.note(
            "far", "maria", "2025-03-03", "x", content=[{"attachment": {"url": "https://server/fhir/Binary/b1?x=y"}}]
        ),
        {"resourceType": "Binary", "id": "b1", "data": ""},
        {"resourceType": "Encounter", "id": "e1", "subject": {"reference": "Patient/maria"},
         "period": {"end": "2025-03-02T12:00:00Z"}},
        {"resourceType": "Observation", "id": "o1", "subject": {"reference": "Patient/maria"}, "encounter": visit},
        {**tiny_hospital.condition("gone", "maria", "2025-03-09", "x"), "status": "entered-in-error",
         "meta": {"lastUpdated": "2025-03-03T00:00:00Z"}},
    )  # fmt: skip
    left = lines(
        tiny_hospital.note("late", "maria", "2025-03-04", "x"),
        tiny_hospital.note("other", "paul", "2025-03-01", "x"),
        {"resourceType": "Binary", "id": "b2", "data": ""},
        {"resourceType": "Encounter", "id": "e2", "subject": {"reference": "Patient/maria"},
         "period": {"end": "2025-03-05T12:00:00Z"}},
        {"resourceType": "Observation", "id": "o2", "subject": {"reference": "Patient/maria"},
         "encounter": {"reference": "Encounter/e2"}},
    )  # fmt: skip
    found = Untouched()
    every = [*left, b"{not JSON", b"[]", *kept]
    found.collect("pull", ["all.ndjson"], lambda _: every, {"maria", "paul"}, {}, BERLIN)
    assert set(found.cut("pull", {"maria"}, date(2025, 3, 3))["all.ndjson"]) == set(kept)
    assert set(found.cut("pull", {"maria"}, date(2025, 3, 9))["all.ndjson"]) == {*kept, left[0], left[3], left[4]}
    assert found.cut("another pull", {"maria"}, date(2025, 3, 9)) == {}


def test_a_site_s_own_order_of_elements_is_asked() -> None:
    (text,) = lines({**tiny_hospital.condition("c", "maria", "2025-03-04", "x"), "onsetDateTime": "2024-05"})
    read = read_line(text, {**ORDER, "Condition": ("onsetDateTime",)}, BERLIN)
    assert read is not None
    assert read.night == date(2024, 5, 31)


@pytest.mark.parametrize("text", [b"", b"null", b'"x"', b'{"id": "1"}', b"\xff\xfe"])
def test_what_is_no_resource_is_no_line(text: bytes) -> None:
    assert read_line(text, ORDER, BERLIN) is None
