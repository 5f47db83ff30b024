"""Lateness in nights: counted in the site's own days, by type, from the event and from availability."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa

from zebrawatch.schemas import INSTANT
from zebrawatch.timeline.lateness import lateness, lateness_by_type

ZONE = "Europe/Berlin"


def rows(*given: tuple[str, datetime | None, datetime, date]) -> pa.Table:
    kinds, events, available, known = zip(*given, strict=True) if given else ((), (), (), ())
    return pa.table(
        {
            "resource_type": pa.array(kinds, pa.string()),
            "event_time": pa.array(events, INSTANT),
            "available_at": pa.array(available, INSTANT),
            "known_night": pa.array(known, pa.date32()),
        }
    )


def at(day: int, hour: int) -> datetime:
    return datetime(2025, 6, day, hour, 30, tzinfo=UTC)


def test_nights_are_the_sites_own() -> None:
    late_evening = rows(("Observation", at(1, 22), at(2, 22), date(2025, 6, 5)))  # half past midnight in Berlin
    found = lateness(late_evening, ZONE)
    assert (found.median, found.delivery_median) == (3.0, 2.0)


def test_by_type_and_without_a_time_of_the_event() -> None:
    found = lateness_by_type(
        rows(
            ("Observation", at(1, 8), at(1, 9), date(2025, 6, 1)),
            ("Observation", at(1, 8), at(3, 9), date(2025, 6, 3)),
            ("Condition", None, at(3, 9), date(2025, 6, 3)),
        ),
        ZONE,
    )
    assert list(found) == ["Condition", "Observation"]
    assert (found["Observation"].rows, found["Observation"].median) == (2, 1.0)
    assert found["Condition"].median is None
    assert "without a time" in str(found["Condition"])


def test_a_quiet_night_has_none() -> None:
    assert lateness(rows(), ZONE).median is None
    assert lateness_by_type(rows(), ZONE) == {}
