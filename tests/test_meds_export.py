"""The timeline as a MEDS data set: accepted by the `meds` package's own check, and true to what stands in the lake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import meds
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.lake import Lake
from connectors.meds_export import ExportError, export_meds
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, Table

Row = Mapping[str, Any]
ANNA, BEN, HIDDEN, MOVED = 101, 202, 303, 404


def at(day: int, hour: int = 10) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=UTC)


def known(day: int, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {
        "version": version, "event_time": at(day), "available_at": at(day), "known_night": date(2025, 3, day),
        "deleted": False, "restricted": False, "pull": "p1", **more,
    }  # fmt: skip


def event(subject: int, name: str, code: str | None, day: int, **more: Any) -> dict[str, Any]:
    row = known(day, subject_id=subject, event_id=name, code=code, time=at(day), resource_type="Observation")
    return {**row, **more}


def note(subject: int, name: str, day: int, text: str = "made text") -> dict[str, Any]:
    return known(
        day, subject_id=subject, note_id=name, text=text, resource_type="DocumentReference", type_code="11506-3"
    )


PEOPLE = [
    known(1, subject_id=ANNA, sex="female", birth_date=date(2012, 5, 4), language="de"),
    known(1, subject_id=BEN, sex="male", death_time=at(9)),
    {**known(1, subject_id=HIDDEN, sex="male"), "restricted": True},
    known(2, subject_id=MOVED, sex="female", merged_into=ANNA),
]
HISTORY = [
    event(ANNA, "Observation/2", "LOINC//2157-6", 5, numeric_value=12000.0, unit="U/L", display="Creatine kinase"),
    event(ANNA, "Observation/1", "LOINC//718-7", 2, numeric_value=11.5, unit="g/dL", display="Hemoglobin"),
    event(ANNA, "Observation/3", "LOINC//718-7", 3, numeric_value=1.0, version="old"),
    event(ANNA, "Observation/3", "LOINC//718-7", 4, numeric_value=2.0, version="new"),
    event(ANNA, "Observation/4", "LOINC//718-7", 3, numeric_value=3.0),
    event(ANNA, "Observation/4", "LOINC//718-7", 4, numeric_value=3.0, version="gone", deleted=True),
    event(ANNA, "FamilyMemberHistory/1#0", "SNOMED//38341003", 3, relationship="mother", display="Hypertension"),
    event(BEN, "Condition/1", "ICD10CM//I10", 3, status="refuted"),
    event(BEN, "Condition/2", None, 3),
    event(HIDDEN, "Condition/3", "ICD10CM//I10", 3),
    event(MOVED, "Condition/4", "ICD10CM//E11", 3, status="confirmed"),
]
WRITTEN = [note(ANNA, "DocumentReference/1", 4), note(BEN, "DocumentReference/2", 4)]


def lake_with(root: Path, rows: Mapping[Table, Sequence[Row]]) -> Lake:
    lake = Lake.open(root, create=True)
    written = []
    for table, listed in rows.items():
        data = pa.Table.from_pylist(list(listed), schema=pa.schema([field.remove_metadata() for field in table.schema]))
        written.append(lake.write_snapshot(data, table))
    lake.describe(data_kind="made")
    lake.publish(NightRange.parse("2025-03-01..2025-03-09"), written, {"nights": "x"}, "run")
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_with(tmp_path_factory.mktemp("meds") / "lake", {PATIENTS: PEOPLE, EVENTS: HISTORY, NOTES: WRITTEN})


def rows_of(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data").glob("*.parquet")))


def test_the_package_s_own_check_accepts_every_file(lake: Lake, tmp_path: Path) -> None:
    done = export_meds(lake, tmp_path / "out", name="a site")
    folder = done.folder
    for path in (folder / "data").glob("*.parquet"):
        meds.DataSchema.validate(pq.read_table(path))
    codes = pq.read_table(folder / meds.code_metadata_filepath)
    meds.CodeMetadataSchema.validate(codes)
    splits = pq.read_table(folder / meds.subject_splits_filepath)
    meds.SubjectSplitSchema.validate(splits)
    about = json.loads((folder / meds.dataset_metadata_filepath).read_text())
    meds.DatasetMetadataSchema.from_dict(about)
    assert datetime.fromisoformat(about["created_at"]).tzinfo is not None
    assert about["dataset_name"] == "a site (made data)" and about["etl_name"] == "zebrawatch"
    rows = rows_of(folder)
    assert rows.num_rows == done.rows
    assert set(rows["code"].to_pylist()) == set(codes["code"].to_pylist())
    assert splits["subject_id"].to_pylist() == [ANNA, BEN]


def test_what_stands_is_exported_and_nothing_else(lake: Lake, tmp_path: Path) -> None:
    done = export_meds(lake, tmp_path / "out", name="s")
    told = [(row["subject_id"], row["code"], row["numeric_value"]) for row in rows_of(done.folder).to_pylist()]
    assert told == [
        (ANNA, "LANGUAGE//de", None),
        (ANNA, "SEX//female", None),
        (ANNA, "MEDS_BIRTH", None),
        (ANNA, "LOINC//718-7", 11.5),
        (ANNA, "FAMILY//SNOMED//38341003", None),
        (ANNA, "ICD10CM//E11", None),
        (ANNA, "LOINC//718-7", 2.0),
        (ANNA, "NOTE//LOINC//11506-3", None),
        (ANNA, "LOINC//2157-6", 12000.0),
        (BEN, "SEX//male", None),
        (BEN, "REFUTED//ICD10CM//I10", None),
        (BEN, "NOTE//LOINC//11506-3", None),
        (BEN, "MEDS_DEATH", None),
    ]
    assert done.notes == 2 and done.left_out == 3  # a row without code; sex and condition of the restricted patient


def test_text_leaves_the_lake_only_when_asked_for(lake: Lake, tmp_path: Path) -> None:
    without = rows_of(export_meds(lake, tmp_path / "a", name="s").folder)
    asked = rows_of(export_meds(lake, tmp_path / "b", name="s", with_text=True).folder)
    assert "made text" not in without["text_value"].to_pylist()
    assert asked["text_value"].to_pylist().count("made text") == 2


def test_a_patient_lies_in_one_shard_in_order_of_time(lake: Lake, tmp_path: Path) -> None:
    done = export_meds(lake, tmp_path / "out", name="s", shard_patients=1)
    assert done.shards == 2
    for path in (done.folder / "data").glob("*.parquet"):
        rows = pq.read_table(path)
        times = [time for time in rows["time"].to_pylist() if time is not None]
        assert len(set(rows["subject_id"].to_pylist())) == 1 and times == sorted(times)


def test_who_opted_out_is_not_in_it(lake: Lake, tmp_path: Path) -> None:
    done = export_meds(lake, tmp_path / "out", name="s", opted_out=frozenset({ANNA}))
    assert set(rows_of(done.folder)["subject_id"].to_pylist()) == {BEN}


def test_codes_have_their_display_and_what_they_stand_for(lake: Lake, tmp_path: Path) -> None:
    done = export_meds(lake, tmp_path / "out", name="s")
    codes = {row["code"]: row for row in pq.read_table(done.folder / meds.code_metadata_filepath).to_pylist()}
    assert codes["LOINC//2157-6"]["description"] == "Creatine kinase"
    assert codes["LOINC//718-7"]["description"] == "Hemoglobin"
    assert codes["FAMILY//SNOMED//38341003"]["parent_codes"] == ["SNOMED//38341003"]


def test_a_folder_in_use_is_left_alone(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ExportError, match="not empty"):
        export_meds(lake, tmp_path, name="s")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_lake_without_nights_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="No night"):
        export_meds(Lake.open(tmp_path / "lake", create=True), tmp_path / "out", name="s")
