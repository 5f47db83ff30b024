"""Who was screened: everybody who still stands, with their span of observation and what subgroups go by."""

from __future__ import annotations

from datetime import date
from typing import Any, cast
from zoneinfo import ZoneInfo

import pandas as pd

from zebrawatch.outcome.observation import PEOPLE_COLUMNS

DESCRIBED = ("race", "ethnicity", "language", "payer")
"""What subgroups go by besides sex and birth date; kept apart, `race` also joins `race_ethnicity`."""
SCREENED_COLUMNS = (*PEOPLE_COLUMNS, *DESCRIBED, "race_ethnicity")


def screened_people(spans: pd.DataFrame, versions: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """SCREENED_COLUMNS for everybody who is neither restricted, deleted nor merged into another record.

    `spans`: subject_id, known_night_min, known_night_max, a row for every table in which somebody has rows.
    `versions`: rows of schemas.PATIENTS known by the last night. The last version holds whole: what it no longer says
    is undone. A death acts from the later of its local day and the night it became known.
    """
    seen = spans.groupby("subject_id").agg(
        entry_night=("known_night_min", "min"), last_night=("known_night_max", "max")
    )
    # groupby().last() would bring back what the last version no longer says, such as a merge undone since.
    known = _last_versions(versions)
    known["death_night"] = [_death(row, zone) for row in known.itertuples()]
    known["race_ethnicity"] = [_together(row.race, row.ethnicity) for row in known.itertuples()]
    stands = ~known["restricted"].astype(bool) & ~known["deleted"].astype(bool) & known["merged_into"].isna()
    columns = [name for name in SCREENED_COLUMNS if name not in ("subject_id", "entry_night", "last_night")]
    return seen.join(known.loc[stands, columns], how="inner").reset_index()


def survivors(versions: pd.DataFrame) -> dict[int, int]:
    """The surviving record of every record that stands as merged, by subject; `versions` as for `screened_people`.

    A merge undone since is none. A record that was merged into one which was itself merged ends where that one ends; of
    records merged in a circle none survives, and each stands for itself.
    """
    known = _last_versions(versions)["merged_into"].dropna()
    into = dict(zip(map(int, known.index), map(int, known), strict=True))
    found = {}
    for subject in into:
        passed = [subject]
        while passed[-1] in into and into[passed[-1]] not in passed:
            passed.append(into[passed[-1]])
        if passed[-1] not in into:
            found[subject] = passed[-1]
    return found


def _last_versions(versions: pd.DataFrame) -> pd.DataFrame:
    ordered = versions.sort_values(["known_night", "available_at", "version"])
    return ordered.drop_duplicates("subject_id", keep="last").set_index("subject_id")


def _death(row: Any, zone: ZoneInfo) -> date | None:
    if row.death_time is None or row.death_time is pd.NaT:
        return None
    return cast(date, max(row.known_night, row.death_time.astimezone(zone).date()))


def _together(race: Any, ethnicity: Any) -> str | None:
    parts = [part for part in (race, ethnicity) if isinstance(part, str) and part]
    return ", ".join(parts) or None
