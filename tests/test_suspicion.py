"""First suspicions, as a chart reviewer would date them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any

from zebrawatch.screen.suspicion import first_nights, first_suspicions, suspicions_with_phenotype_names

D = "OMIM:301500"


def hit(
    day: int, kind: str = "specific", disease: str | None = D, source: str = "DocumentReference/1", **more: Any
) -> dict[str, Any]:
    return {
        "subject_id": 7, "source_id": source, "source_version": "a", "disease_id": disease, "kind": kind,
        "evidence_class": "name", "phenotype_name": False, "assertion": "present", "start": 0, "end": 5,
        "quote": "Fabry", "event_time": datetime(2024, 1, day, tzinfo=UTC), "known_night": date(2024, 1, day), **more,
    }  # fmt: skip


def nights(rows: list[dict[str, Any]]) -> dict[tuple[str | None, str], int]:
    return {(one.disease_id, one.kind): one.known_night.day for one in first_suspicions(rows)}


def test_the_earliest_hit_in_any_assertion_is_the_suspicion() -> None:
    assert nights([hit(9), hit(5, assertion="negated"), hit(7)]) == {(D, "specific"): 5}


def test_family_history_alone_is_no_suspicion() -> None:
    assert nights([hit(5, "family")]) == {}


def test_a_thought_without_a_name_is_general() -> None:
    assert nights([hit(3, "general", None), hit(8)]) == {(None, "general"): 3, (D, "specific"): 8}
    assert first_nights(first_suspicions([hit(3, "general", None), hit(8)])) == {7: date(2024, 1, 3)}


def test_confirmed_by_status_or_by_a_second_date() -> None:
    assert nights([hit(4), hit(9, "confirmed")]) == {(D, "specific"): 4, (D, "confirmed"): 9}
    coded: dict[str, Any] = {"evidence_class": "code", "start": None}
    twice = [hit(4, source="Condition/1", **coded), hit(11, source="Condition/2", **coded)]
    assert nights(twice) == {(D, "specific"): 4, (D, "confirmed"): 11}
    once = [hit(4, source="Condition/1", **coded), hit(4, source="Condition/2", **coded)]
    assert nights(once) == {(D, "specific"): 4}


def test_a_confirmation_is_also_a_suspicion() -> None:
    assert nights([hit(9, "confirmed")]) == {(D, "specific"): 9, (D, "confirmed"): 9}


def test_a_phenotype_name_counts_only_the_other_way() -> None:
    rows = [hit(2, phenotype_name=True), hit(8)]
    assert nights(rows) == {(D, "specific"): 8}
    assert [one.known_night.day for one in suspicions_with_phenotype_names(rows)] == [2]


def test_the_longest_wording_of_a_place_is_quoted_in_whatever_order_rows_come() -> None:
    rows = [
        hit(5, end=4, quote="Dent"),
        hit(5, end=12, quote="Dent disease"),
        hit(5, end=12, quote="Dent disease", evidence_class="synonym"),
        hit(5, end=12, quote="Dent disease", phenotype_name=True, disease="OMIM:300009"),
    ]
    found = {tuple(first_suspicions(order)) for order in permutations(rows)}
    assert [(one.quote, one.evidence_class) for one in found.pop()] == [("Dent disease", "name")]
    assert not found


def test_what_is_not_yet_known_is_not_used() -> None:
    assert first_suspicions([hit(9)], through=date(2024, 1, 8)) == []


def test_rows_out_of_a_frame_may_lack_a_time() -> None:
    import pandas as pd

    frame = pd.DataFrame([hit(9, source="Condition/1"), hit(4)])
    frame["event_time"] = pd.NaT
    (row,) = first_suspicions(frame.to_dict("records"))  # type: ignore[arg-type]
    assert (row.known_night.day, row.event_time) == (4, None)


def test_rows_fit_the_table() -> None:
    from zebrawatch.schemas import SUSPICIONS

    (row,) = first_suspicions([hit(9)])
    assert [*row._fields, "night_range"] == SUSPICIONS.schema.names
