"""Who was observed from when to when: entry, end of observation, death."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

PEOPLE_COLUMNS = ("subject_id", "entry_night", "last_night", "death_night", "sex", "birth_date")


@dataclass(frozen=True)
class Observed:
    """One patient's observation: `entry` is the first known row, `last` the last night of observation."""

    subject_id: int
    entry: date
    last: date
    death: date | None
    sex: str
    birth_date: date | None


def night_value(value: Any) -> date | None:
    """A night out of a frame's cell: date, Timestamp or missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.date()
    return value if isinstance(value, date) else pd.Timestamp(value).date()


def records(frame: pd.DataFrame, columns: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of `frame` as plain mappings of `columns`."""
    rows: list[dict[str, Any]] = frame[list(columns)].to_dict("records")  # type: ignore[assignment]
    return rows


def observed(people: pd.DataFrame) -> list[Observed]:
    """The patients of a frame with PEOPLE_COLUMNS, one row a patient; ValueError where one stands twice.

    Rows without an entry or end were never observed and are left out.
    """
    if people["subject_id"].duplicated().any():
        raise ValueError("the table of people holds a patient twice")
    found = []
    for row in records(people, PEOPLE_COLUMNS):
        entry, last = night_value(row["entry_night"]), night_value(row["last_night"])
        if entry is None or last is None or last < entry:
            continue
        sex = row["sex"] if isinstance(row["sex"], str) else "unknown"
        found.append(
            Observed(
                int(row["subject_id"]),
                entry,
                last,
                night_value(row["death_night"]),
                sex,
                night_value(row["birth_date"]),
            )
        )
    return found


def people_table(
    first_known: Mapping[int, date],
    death_night: Mapping[int, date],
    last_night: date,
    sex: Mapping[int, str | None],
    birth_date: Mapping[int, date | None],
    lost_night: Mapping[int, date] | None = None,
) -> pd.DataFrame:
    """PEOPLE_COLUMNS for every patient of `first_known`.

    Observation ends with death, with `lost_night` where the source knows of a patient's leaving, else on `last_night`.
    """
    lost = lost_night or {}
    rows = []
    for subject, entry in sorted(first_known.items()):
        death = death_night.get(subject)
        ends = [night for night in (death, lost.get(subject), last_night) if night is not None]
        rows.append((subject, entry, max(entry, min(ends)), death, sex.get(subject), birth_date.get(subject)))
    return pd.DataFrame(rows, columns=list(PEOPLE_COLUMNS))
