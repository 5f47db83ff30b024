"""Who counts as screened, and who asked not to be."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from lake_rows import arrow

from assets.night_run import NightRun
from assets.outcome import people
from connectors.configuration import Configuration, replaced
from connectors.lake import Lake
from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.people import SCREENED_COLUMNS, screened_people, survivors
from zebrawatch.schemas import PATIENTS, Table

DAY0 = date(2025, 1, 1)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def version(subject: int, name: str, n: int, **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "sex": "female",
        "restricted": False,
        "deleted": False,
        "available_at": datetime(2025, 1, 1, n, tzinfo=UTC),
    }
    return {"subject_id": subject, "version": name, "known_night": night(n), **facts, **more}


def screened(*versions: dict[str, Any], through: int = 9) -> dict[int, tuple[date | None, str | None]]:
    def read(table: Table, columns: list[str] | None = None, *, rows: Any) -> pa.Table:
        found = arrow(table, versions if table is PATIENTS else ()).filter(rows)
        return found.select(columns) if columns else found

    run = SimpleNamespace(
        lake=SimpleNamespace(arrow=read), nights=NightRange(DAY0, night(through)), zone=ZoneInfo("Europe/Berlin")
    )
    return {
        row["subject_id"]: (row["death_night"], row["sex"]) for row in people(cast(NightRun, run)).to_dict("records")
    }


def test_the_last_version_holds_whole_and_what_it_no_longer_says_is_undone() -> None:
    died = datetime(2025, 1, 2, 12, tzinfo=UTC)
    told = screened(
        version(1, "a", 0, merged_into=9),
        version(1, "b", 3),
        version(2, "a", 0, death_time=died),
        version(2, "b", 3, sex=None),
    )
    assert told == {1: (None, "female"), 2: (None, None)}


def test_of_two_versions_of_one_night_the_one_filed_later_holds() -> None:
    late = datetime(2025, 1, 1, 20, tzinfo=UTC)
    assert screened(version(1, "a", 2, restricted=True, available_at=late), version(1, "b", 2)) == {}


def test_merged_restricted_and_deleted_patients_are_left_out_and_later_versions_wait() -> None:
    told = screened(
        version(1, "a", 0, merged_into=9),
        version(2, "a", 0, restricted=True),
        version(3, "a", 0, deleted=True),
        version(4, "a", 0),
        version(4, "b", 12, restricted=True),
    )
    assert set(told) == {4}


def test_what_subgroups_go_by_comes_with_each_patient() -> None:
    spans = pd.DataFrame({"subject_id": [1, 2], "known_night_min": [night(0)] * 2, "known_night_max": [night(9)] * 2})
    versions = arrow(
        PATIENTS,
        (
            version(1, "a", 0, race="Asian", ethnicity="Not Hispanic or Latino", language="de", payer="Medicaid"),
            version(2, "a", 0),
        ),
    )
    told = screened_people(spans, versions.to_pandas(date_as_object=True), ZoneInfo("UTC"))
    assert set(SCREENED_COLUMNS) == set(told.columns)
    first, second = told.to_dict("records")
    assert (first["race_ethnicity"], first["language"], first["payer"]) == (
        "Asian, Not Hispanic or Latino",
        "de",
        "Medicaid",
    )
    assert second["race_ethnicity"] is None


def test_an_opt_out_list_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    settings = replaced(Configuration(), "policy", opt_out_file=str(tmp_path / "none.txt"))
    run = NightRun(settings, Lake(tmp_path), "run", None)
    with pytest.raises(ConfigurationError, match=r"none\.txt"):
        _ = run.opted_out


def test_merged_records_end_where_the_last_of_them_ends_unless_undone() -> None:
    versions = pd.DataFrame(
        [
            version(1, "a", 0, merged_into=2),
            version(2, "a", 0),
            version(2, "b", 1, merged_into=3),
            version(3, "a", 0),
            version(4, "a", 0, merged_into=3),
            version(4, "b", 2),
            version(5, "a", 0, merged_into=6),
            version(6, "a", 0, merged_into=5),
            version(7, "a", 0, merged_into=5),
        ]
    )
    assert survivors(versions) == {1: 3, 2: 3}
