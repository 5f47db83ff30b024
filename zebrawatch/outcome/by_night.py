"""Series by night for a run's record: how many rows, and how late they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from zebrawatch.nights import NightRange
from zebrawatch.timeline.lateness import nights_late

Series = list[tuple[date, float]]
LATENESS = (("lateness_days_median", "event_time"), ("delivery_days_median", "available_at"))
"""Name of a series, and the instant from which nights are counted to `known_night`."""


def counts_by_night(nights: Iterable[date], within: NightRange) -> Series:
    """How often each night occurs, for the nights of a range."""
    return [(night, float(count)) for night, count in sorted(Counter(nights).items()) if night in within]


def lateness_by_night(rows: pa.Table, zone: str) -> dict[str, Series]:
    """Median nights from the event, and from when it could be shown, to the night the screen knew it.

    `rows` have zebrawatch.timeline.lateness.COLUMNS; `zone` is an IANA time zone.
    """
    found: dict[str, Series] = {}
    for name, column in LATENESS:
        late = pa.table({"night": rows["known_night"], "days": nights_late(rows, column, zone)}).to_pandas()
        medians = late.dropna().groupby("night")["days"].median().sort_index()
        found[name] = [(night, float(days)) for night, days in medians.items()]
    return found
