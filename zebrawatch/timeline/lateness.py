"""How late rows came: nights between what happened, when it could be shown, and when the screen could use it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("resource_type", "event_time", "available_at", "known_night")
"""What `lateness` reads of the timeline's tables."""


@dataclass(frozen=True)
class Lateness:
    """Nights from the night of `event_time` to `known_night` over `rows` rows; `delivery_median` from `available_at`.

    None where no row has both.
    """

    rows: int
    median: float | None
    ninetieth: float | None
    delivery_median: float | None

    def __str__(self) -> str:
        if self.median is None:
            return f"{self.rows:,} rows without a time of the event"
        return (
            f"median {self.median:g} nights, 90% within {self.ninetieth:g}; "
            f"{self.delivery_median or 0:g} of them on the way ({self.rows:,} rows)"
        )


def nights_late(rows: pa.Table, column: str, zone: str) -> pa.ChunkedArray:
    """Nights from the local night of an instant column to `known_night` (null where either is missing)."""
    local = pc.local_timestamp(rows[column].cast(pa.timestamp("us", tz=zone)))
    return pc.days_between(local.cast(pa.date32()), rows["known_night"])


def lateness(rows: pa.Table, zone: str) -> Lateness:
    """Lateness of rows with COLUMNS (but `resource_type`), nights in the IANA time zone `zone`."""
    if not rows.num_rows:
        return Lateness(0, None, None, None)
    median, ninetieth = pc.quantile(nights_late(rows, "event_time", zone), [0.5, 0.9]).to_pylist()
    (delivered,) = pc.quantile(nights_late(rows, "available_at", zone), 0.5).to_pylist()
    return Lateness(rows.num_rows, median, ninetieth, delivered)


def lateness_by_type(rows: pa.Table, zone: str) -> dict[str, Lateness]:
    """Lateness of rows with COLUMNS by resource type, in order of their names."""
    kinds = sorted(kind for kind in pc.unique(rows["resource_type"]).to_pylist() if kind)
    return {kind: lateness(rows.filter(pc.equal(rows["resource_type"], kind)), zone) for kind in kinds}
