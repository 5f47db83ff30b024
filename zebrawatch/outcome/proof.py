"""The proof that nothing leaked: a night's own run equals the replay cut at that night, row for row (OUTCOMES)."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zebrawatch.content import content_columns
from zebrawatch.outcome.observation import night_value, records
from zebrawatch.schemas import Table

NOT_ASSESSABLE = "look-ahead from edits: not assessable"


@dataclass(frozen=True)
class Difference:
    """Rows of one table, up to and on one night, that only one of the two runs has."""

    table: str
    rows: int
    on_the_night: int
    only_in_replay: int
    only_in_nightly: int

    @property
    def differing(self) -> int:
        """Rows that the other run does not have."""
        return self.only_in_replay + self.only_in_nightly


def difference(replay: pa.Table, nightly: pa.Table, table: Table, night: date) -> Difference:
    """Compare the rows of both runs up to `night`, without the columns that only name a run.

    `replay` may know later nights: its rows after `night` are cut off. Rows are compared whole, quotes included.
    """
    whole, own = _rows(replay, table, night), _rows(nightly, table, night)
    on_the_night = pc.sum(pc.equal(replay[night_of(table)], pa.scalar(night))).as_py() or 0
    return Difference(
        table.name, sum(own.values()), on_the_night, sum((whole - own).values()), sum((own - whole).values())
    )


def _rows(data: pa.Table, table: Table, night: date) -> Counter[str]:
    columns = content_columns(table)
    kept = data.filter(pc.less_equal(data[night_of(table)], pa.scalar(night))).to_pylist()
    return Counter(json.dumps({name: row[name] for name in columns}, sort_keys=True, default=str) for row in kept)


def night_of(table: Table) -> str:
    """The column that says from which night a row may be used."""
    return table.night or "known_night"


@dataclass(frozen=True)
class Draw:
    """One proof's night and the patients it is held on."""

    night: date
    subjects: tuple[int, ...]


def draws(known: Mapping[int, Sequence[date]], n: int, seed: int, most_patients: int = 40) -> list[Draw]:
    """`n` random nights and sub-cohorts.

    `known`: the nights on which rows of each patient became known. A night is one on which something of the cohort
    became known, and neither its first nor its last: a proof on a silent night would prove nothing. Fewer than `n`
    where the records have no such night.
    """
    chance = random.Random(seed)
    found = []
    for _ in range(n):
        cohort = tuple(sorted(chance.sample(sorted(known), min(len(known), chance.randint(1, most_patients)))))
        nights = sorted({night for subject in cohort for night in known[subject]})[1:-1]
        if nights:
            found.append(Draw(chance.choice(nights), cohort))
    return found


EDIT_COLUMNS = ("resource_id", "version", "resource_type", "available_rule", "known_night")


def measured_look_ahead(archive: pd.DataFrame, export: pd.DataFrame, last_archived: date) -> list[dict[str, Any]]:
    """What a later full export says was known before the archived nights knew it, by resource type and rule.

    Both frames have EDIT_COLUMNS, a row a version. Of the export's rows known by `last_archived`: `ahead` were archived
    on a later night than the export gives them (`days_median` earlier); `edited` are versions that no archived night
    ever held. `overwritten` counts archived versions that the export no longer has.
    """
    archived = {
        (row["resource_id"], row["version"]): night_value(row["known_night"]) for row in records(archive, EDIT_COLUMNS)
    }
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def group(row: Mapping[str, Any]) -> dict[str, Any]:
        empty = {"rows": 0, "ahead": 0, "edited": 0, "overwritten": 0, "days": []}
        return found.setdefault((str(row["resource_type"]), str(row["available_rule"])), empty)

    seen = set()
    for row in records(export, EDIT_COLUMNS):
        key, night = (row["resource_id"], row["version"]), night_value(row["known_night"])
        seen.add(key)
        if night is None or night > last_archived:
            continue
        counts = group(row)
        counts["rows"] += 1
        known = archived.get(key)
        if known is None:
            counts["edited"] += 1
        elif known > night:
            counts["ahead"] += 1
            counts["days"].append((known - night).days)
    for row in records(archive, EDIT_COLUMNS):
        if (row["resource_id"], row["version"]) not in seen:
            group(row)["overwritten"] += 1
    return [
        {"resource_type": kind, "rule": rule, **{name: n for name, n in counts.items() if name != "days"},
         "days_median": float(pd.Series(counts["days"]).median()) if counts["days"] else None}
        for (kind, rule), counts in sorted(found.items())
    ]  # fmt: skip
