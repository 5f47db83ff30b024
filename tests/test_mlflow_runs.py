"""The door to MLflow: what a run's record holds, and what can never get into it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from connectors.mlflow_runs import (
    DataSetUsed,
    MlflowStore,
    RegisteredObject,
    RunRecordError,
    flatten_identity,
    model_versions,
    record_run,
)

NIGHT = date(2025, 6, 1)
IDENTITY = {
    "nights": "2025-06-01..2025-06-03",
    "code": "0.1.0",
    "knowledge": "9f2c",
    "background": "background@2025-06",
}
SERIES = {"alerts": [(NIGHT + timedelta(days=n), float(n)) for n in range(3)]}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database: making one takes seconds, so that each test starts from a copy."""
    folder = tmp_path_factory.mktemp("mlflow")
    store = MlflowStore(folder / "mlflow.db", folder / "artifacts", experiment="unused")
    record_run(store, {"run": "first"}, {}, {})
    return folder / "mlflow.db"


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> MlflowStore:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "mlflow.db").write_bytes(empty_store.read_bytes())
    return MlflowStore(tmp_path / "var" / "mlflow.db", tmp_path / "var" / "artifacts")


def rows(store: MlflowStore, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(store.database) as connection:
        return connection.execute(query).fetchall()


def test_a_run_holds_identity_nights_and_figures(store: MlflowStore) -> None:
    run_id = record_run(store, IDENTITY, SERIES, {"patients": 240.0}, name="2025-06-01..2025-06-03")
    assert dict(rows(store, f"select key, value from params where run_uuid='{run_id}'")) == IDENTITY
    metrics = rows(store, f"select key, step, value from metrics where run_uuid='{run_id}' order by key, step")
    assert metrics == [
        ("alerts", 20250601, 0.0),
        ("alerts", 20250602, 1.0),
        ("alerts", 20250603, 2.0),
        ("patients", 20250603, 240.0),
    ]
    assert rows(store, f"select status, name from runs where run_uuid='{run_id}'") == [
        ("FINISHED", "2025-06-01..2025-06-03")
    ]


def test_two_thousand_nights_in_one_run(store: MlflowStore) -> None:
    nights = [date(2019, 1, 1) + timedelta(days=n) for n in range(2000)]
    series = {f"figure_{k}": [(night, float(k)) for night in nights] for k in range(10)}
    run_id = record_run(store, IDENTITY, series, {})
    assert rows(store, f"select count(*), count(distinct step) from metrics where run_uuid='{run_id}'") == [
        (20000, 2000)
    ]


def test_the_same_identity_is_recorded_once(store: MlflowStore) -> None:
    first = record_run(store, IDENTITY, SERIES, {})
    assert record_run(store, IDENTITY, SERIES, {"patients": 1.0}) == first
    other = record_run(store, IDENTITY | {"code": "0.2.0"}, SERIES, {})
    assert other != first
    assert rows(store, "select count(*) from metrics where key='patients'") == [(0,)]


def test_a_killed_recording_is_made_again(store: MlflowStore) -> None:
    first = record_run(store, IDENTITY, SERIES, {})
    with sqlite3.connect(store.database) as connection:
        connection.execute("update runs set status='RUNNING' where run_uuid=?", (first,))
    second = record_run(store, IDENTITY, SERIES, {})
    assert second != first
    assert rows(store, f"select status from runs where run_uuid='{first}'") == [("FAILED",)]


def test_artifacts_models_and_data_sets(store: MlflowStore, tmp_path: Path) -> None:
    report = tmp_path / "summary.html"
    report.write_text("<p>4 alerts</p>")
    model = RegisteredObject(
        "background", "background@2025-06", "ab12", fitted_through=date(2025, 5, 31), figures={"patients": 240}
    )
    used = DataSetUsed("notes", "f" * 64, figures={"rows": 1215})
    run_id = record_run(store, IDENTITY, SERIES, {}, [report], [model], data_sets=[used])
    assert [p.read_text() for p in store.artifacts.rglob("summary.html")] == ["<p>4 alerts</p>"]
    about = json.loads(next(store.artifacts.rglob("about.json")).read_text())
    assert about == {
        "version": "background@2025-06",
        "digest": "ab12",
        "fitted_through": "2025-05-31",
        "patients": "240",
    }
    assert model_versions(store, "background") == [(1, "background@2025-06", ("current",))]
    assert rows(store, "select name, digest from datasets") == [("notes", "f" * 36)]
    assert rows(store, "select count(*) from inputs")[0][0] == 1
    assert run_id


def test_a_model_version_is_made_once_and_the_alias_moves(store: MlflowStore) -> None:
    may = RegisteredObject("background", "background@2025-05", "aa")
    june = RegisteredObject("background", "background@2025-06", "bb")
    for n, model in enumerate((may, june, june, may)):
        record_run(store, IDENTITY | {"n": str(n)}, {}, {}, models=[model])
    assert model_versions(store, "background") == [
        (2, "background@2025-06", ()),
        (1, "background@2025-05", ("current",)),
    ]


PROSE = "pt seen in clinic today with mother who reports that he has been falling a lot since march"


@pytest.mark.parametrize(
    "record",
    [
        lambda s: record_run(s, IDENTITY | {"why": PROSE}, {}, {}),
        lambda s: record_run(s, IDENTITY | {"why": "x" * 201}, {}, {}),
        lambda s: record_run(s, IDENTITY | {"why": "Ann\nLee"}, {}, {}),
        lambda s: record_run(s, IDENTITY, {"alerts": [(NIGHT, "Ann Lee")]}, {}),
        lambda s: record_run(s, IDENTITY, {}, {"alerts for 'Ann Lee'": 1.0}),
        lambda s: record_run(s, IDENTITY, {}, {}, models=[RegisteredObject("m", "1", "d", facts={"note": PROSE})]),
        lambda s: record_run(s, IDENTITY, {}, {}, data_sets=[DataSetUsed("notes", "d", source=PROSE)]),
        lambda s: record_run(s, {}, {}, {}),
    ],
)
def test_free_text_is_refused_before_anything_is_written(
    store: MlflowStore, record: Callable[[MlflowStore], str]
) -> None:
    before = store.database.read_bytes()
    with pytest.raises(RunRecordError) as refused:
        record(store)
    assert "Ann" not in str(refused.value)
    assert "mother" not in str(refused.value)
    assert store.database.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("flags.csv", "subject_id,night\n12,2025-06-01\n"),
        ("flags.json", '{"rows": [{"quote": "floppy baby"}]}'),
        ("notes.ndjson", "{}"),
        ("patients.delta", ""),
    ],
)
def test_files_with_rows_of_patients_are_refused(store: MlflowStore, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunRecordError, match="stays in the lake"):
        record_run(store, IDENTITY, {}, {}, [tmp_path / name])
    assert not list(store.artifacts.rglob(name))


def test_a_broken_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RunRecordError, match=r"could not be recorded in .*mlflow\.db"):
        record_run(MlflowStore(tmp_path / "mlflow.db", tmp_path / "artifacts"), IDENTITY, {}, {})


def test_identity_is_flattened_in_dots() -> None:
    nested = {"code": "1", "models": {"weights": "ab", "seed": 7}, "knowledge": None, "types": ["A", "B"]}
    assert flatten_identity(nested) == {
        "code": "1", "models.weights": "ab", "models.seed": "7", "knowledge": "none", "types": "A,B",
    }  # fmt: skip


def test_telemetry_is_off() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
