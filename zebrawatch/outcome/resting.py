"""What a pair's dates rest on: the grade of the row that dated its suspicion, and rows kept in one version only.

DESIGN, "Time": a backload holds only the last version of a resource; figures are given with and without such rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import night_value, records

GRADES = ("version", "filed", "date")
"""From firm to weak: a version timestamp, a signature or filing, a date without a time."""
LABEL_FILE = "label file"
WEIGHED_COLUMNS = ("subject_id", "night", "rank", "disease_id", "contributions")
SOURCE_COLUMNS = ("source_id", "available_grade", "single_version")

Pair = tuple[int, str]


def grades(pairs: pd.DataFrame, suspicions: pd.DataFrame, sources: pd.DataFrame) -> dict[Pair, str]:
    """The weakest grade among the rows that dated each pair's suspicion, LABEL_FILE where only the labels did.

    `pairs`: rows of schemas.LEAD_TIME with a night of suspicion; `suspicions`: schemas.SUSPICIONS; `sources`:
    SOURCE_COLUMNS, a row a version of a note or event.
    """
    of_source: dict[str, str] = {}
    for row in records(sources, SOURCE_COLUMNS):
        of_source[row["source_id"]] = _weaker(of_source.get(row["source_id"]), str(row["available_grade"]))
    dated = _sources_by_night(suspicions)
    found = {}
    for subject, disease, night in _pairs(pairs):
        own = [of_source[one] for one in dated.get((subject, night), ()) if one in of_source]
        found[subject, disease] = max(own, key=_weakness) if own else LABEL_FILE
    return found


def on_single_versions(
    pairs: pd.DataFrame, suspicions: pd.DataFrame, candidates: pd.DataFrame, sources: pd.DataFrame, matcher: Matcher
) -> set[Pair]:
    """Pairs whose suspicion was dated, or whose disease was weighed before it, by a row of a single version.

    `candidates`: WEIGHED_COLUMNS, of which the contributions to the pair's own disease are looked at.
    """
    single = {
        row["source_id"] for row in records(sources, ("source_id", "single_version")) if bool(row["single_version"])
    }
    if not single:
        return set()
    dated, weighed = _sources_by_night(suspicions), _weighed(candidates, set(pairs["subject_id"].dropna()))
    found = set()
    for subject, disease, night in _pairs(pairs):
        used = set(dated.get((subject, night), ()))
        for scored, listed, own in weighed.get(subject, ()):
            if scored < night and matcher.same(disease, listed):
                used |= own
        if used & single:
            found.add((subject, disease))
    return found


def _pairs(rows: pd.DataFrame) -> Iterable[tuple[int, str, date]]:
    for row in records(rows, ("subject_id", "disease_id", "suspicion_night")):
        night = night_value(row["suspicion_night"])
        if night is not None:
            yield int(row["subject_id"]), str(row["disease_id"]), night


def _sources_by_night(suspicions: pd.DataFrame) -> dict[tuple[int, date], list[str]]:
    found: dict[tuple[int, date], list[str]] = {}
    for row in records(suspicions, ("subject_id", "known_night", "source_id")):
        night = night_value(row["known_night"])
        if night is not None and isinstance(row["source_id"], str):
            found.setdefault((int(row["subject_id"]), night), []).append(row["source_id"])
    return found


def _weighed(candidates: pd.DataFrame, subjects: set[Any]) -> dict[int, list[tuple[date, str, set[str]]]]:
    found: dict[int, list[tuple[date, str, set[str]]]] = {}
    wanted = candidates[candidates["subject_id"].isin(subjects) & (candidates["rank"] > 0)]
    for row in records(wanted, WEIGHED_COLUMNS):
        night = night_value(row["night"])
        if night is not None and row["contributions"] is not None:
            own = {str(one["source_id"]) for one in row["contributions"] if one.get("source_id")}
            found.setdefault(int(row["subject_id"]), []).append((night, str(row["disease_id"]), own))
    return found


def _weakness(grade: str) -> int:
    return GRADES.index(grade) if grade in GRADES else len(GRADES)


def _weaker(one: str | None, other: str) -> str:
    return other if one is None else max(one, other, key=_weakness)
