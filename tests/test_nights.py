"""Nights: local calendar dates, 23 or 25 hours long at a change of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.fhir.availability import Calendar, microseconds
from zebrawatch.nights import NightRange, cut_of, month_of, night_of

BERLIN = ZoneInfo("Europe/Berlin")
# Clocks that change at one, two, three and at midnight itself; half-hour offsets; a date that was skipped (Apia,
# 2011-12-30).
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe",
     "Asia/Beirut", "America/Havana", "Pacific/Apia"]
).map(ZoneInfo)  # fmt: skip
DATES = st.dates(date(1990, 1, 1), date(2035, 12, 30))
INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2035, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC))


def hours_of(night: date, zone: ZoneInfo) -> float:
    return (cut_of(night, zone) - cut_of(night - timedelta(days=1), zone)) / timedelta(hours=1)


@pytest.mark.parametrize(("night", "hours"), [("2025-03-30", 23), ("2025-06-01", 24), ("2025-10-26", 25)])
def test_a_night_is_23_or_25_hours_long_at_a_change_of_clocks(night: str, hours: int) -> None:
    assert hours_of(date.fromisoformat(night), BERLIN) == hours


def test_a_night_ends_at_local_midnight() -> None:
    assert cut_of(date(2025, 7, 1), BERLIN) == datetime(2025, 7, 1, 22, 0, tzinfo=UTC)
    assert night_of(datetime(2025, 7, 1, 21, 59, 59, tzinfo=UTC), BERLIN) == date(2025, 7, 1)
    assert night_of(datetime(2025, 7, 1, 22, 0, tzinfo=UTC), BERLIN) == date(2025, 7, 2)


def test_the_repeated_hour_belongs_to_one_night() -> None:
    first = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)
    assert night_of(first, BERLIN) == night_of(first.replace(fold=1), BERLIN) == date(2025, 10, 26)


def test_midnight_that_clocks_skip_still_ends_the_night() -> None:
    zone = ZoneInfo("America/Sao_Paulo")  # 2018-11-04 began at 01:00
    assert cut_of(date(2018, 11, 3), zone) == datetime(2018, 11, 4, 3, 0, tzinfo=UTC)
    assert hours_of(date(2018, 11, 4), zone) == 23


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        night_of(datetime(2025, 7, 1), BERLIN)


@given(INSTANTS, ZONES)
def test_an_instant_lies_between_the_cuts_of_its_night(instant: datetime, zone: ZoneInfo) -> None:
    night = night_of(instant, zone)
    assert cut_of(night - timedelta(days=1), zone) <= instant < cut_of(night, zone)


@given(DATES, ZONES)
def test_cuts_never_run_backwards_and_are_utc(night: date, zone: ZoneInfo) -> None:
    assert cut_of(night, zone) <= cut_of(night + timedelta(days=1), zone)
    assert cut_of(night, zone).utcoffset() == timedelta(0)


@given(DATES, ZONES)
def test_a_date_without_a_time_is_known_at_the_end_of_its_last_day(day: date, zone: ZoneInfo) -> None:
    calendar = Calendar(zone.key)
    month_end = (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    for text, last in (
        (f"{day:%Y-%m-%d}", day),
        (f"{day:%Y-%m}", month_end),
        (f"{day:%Y}", date(day.year, 12, 31)),
    ):
        moment = calendar.read(text)
        assert moment is not None
        assert moment.last == microseconds(cut_of(last, zone)) - 1


@given(DATES, st.integers(0, 500))
def test_a_range_reads_what_it_writes_and_holds_its_nights(first: date, length: int) -> None:
    nights = NightRange(first, first + timedelta(days=length))
    assert NightRange.parse(str(nights)) == nights
    assert list(nights) == [first + timedelta(days=n) for n in range(length + 1)]
    assert len(nights) == length + 1
    assert nights.first in nights
    assert nights.last in nights
    assert nights.first - timedelta(days=1) not in nights
    assert nights.last + timedelta(days=1) not in nights


@pytest.mark.parametrize(
    "text", ["", "..", "2025-02-30", "2025-06-01..", "..2025-06-01", "2025-06-02..2025-06-01", "June"]
)
def test_a_wrong_range_is_refused_in_a_sentence_that_quotes_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not a night"):
        NightRange.parse(text)


def test_a_background_goes_by_the_month_of_the_night() -> None:
    assert month_of(date(2025, 6, 30)) == "2025-06"
