"""The door to MLflow: one run a night or range of nights, in a SQLite store on this machine.

A run holds the run identity as parameters, the nights' figures as metrics (step = the night), the summary report and
aggregate tables as artifacts, the digests of what was read as data sets, and the learnt objects (evidence parameters,
backgrounds, fusion weights) as model versions with aliases. No patient data belongs here: names and texts are
checked on the way in, and the files to attach are named by the caller, who may only name aggregates.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from numbers import Real
from pathlib import Path
from typing import Any

# MLflow reads these when it is imported: nothing may leave the machine, and no thread may be started to send it.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

import pyarrow.parquet as parquet
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from zebrawatch.errors import ZebrawatchError

logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

IDENTITY_TAG = "zebrawatch.identity"
LAKE_TAG = "zebrawatch.lake"
METRICS_A_BATCH = 1000  # MLflow's own limit (mlflow.utils.validation.MAX_METRICS_PER_BATCH)
PARAMS_A_BATCH = 100  # MAX_PARAMS_TAGS_PER_BATCH
LONGEST_VALUE = 200  # an identity is a version, a digest, a setting: never prose
LONGEST_DIGEST = 36  # MAX_DATASET_DIGEST_SIZE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/@ ]{0,119}")
_WORDS = re.compile(r"[^\W\d_]{2,}")
MOST_WORDS = 12
# Columns of the lake that say who, or what was written: a table that has one of them is no aggregate.
PATIENT_COLUMNS = frozenset(
    [
        "subject_id",
        "source_id",
        "note_id",
        "event_id",
        "encounter_id",
        "text",
        "text_value",
        "quote",
        "sentence",
        "birth_date",
        "death_time",
        "line",
        "body",
        "content",
        "reasoning",
        "judged",
    ]
)
_AGGREGATE_SUFFIXES = frozenset({".html", ".json", ".csv", ".parquet", ".svg", ".png", ".toml", ".txt"})


class RunRecordError(ZebrawatchError):
    """A run cannot be recorded as asked."""


@dataclass(frozen=True)
class MlflowStore:
    """Where runs are kept: a SQLite file and a folder of artifacts, both on this machine."""

    database: Path
    artifacts: Path
    experiment: str = "screen"

    @property
    def uri(self) -> str:
        """The tracking URI, as `mlflow ui --backend-store-uri` takes it."""
        return f"sqlite:///{self.database.resolve()}"


@dataclass(frozen=True)
class RegisteredObject:
    """A learnt object of the run: `name` such as `background`, `version` such as `background@2025-06`.

    `digest` identifies its content: the same name and digest make no second model version. `figures` are numbers that
    describe it (patients, terms), `facts` short identity strings. `aliases` move to this version. `path` is a file or
    folder of aggregates to keep beside it, or None.
    """

    name: str
    version: str
    digest: str
    fitted_through: date | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ("current",)
    path: Path | None = None


@dataclass(frozen=True)
class DataSetUsed:
    """A table or source that the run read, by digest: `name` such as `notes`, `digest` its content digest."""

    name: str
    digest: str
    source: str = "lake"
    figures: Mapping[str, float] = field(default_factory=dict)
    context: str = "input"


def record_run(
    store: MlflowStore,
    identity: Mapping[str, str],
    series: Mapping[str, Sequence[tuple[date, float]]],
    figures: Mapping[str, float],
    artifacts: Sequence[Path] = (),
    models: Sequence[RegisteredObject] = (),
    *,
    data_sets: Sequence[DataSetUsed] = (),
    curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    name: str | None = None,
    lake: Path | None = None,
) -> str:
    """Record one run and return its MLflow id.

    The same identity is recorded once: a second call returns the first run's id, and changes nothing. A run whose
    recording was cut short is made again under a new id, the broken one marked FAILED.

    `identity`: run identity, flat (see flatten_identity), values of at most LONGEST_VALUE characters. `series`: metric
    name to (night, value) pairs, logged with step YYYYMMDD and the night's midnight (UTC) as time; values that are not
    finite are left out. `figures`: figures of the whole run, logged at the last night. `artifacts`: aggregate files
    (folders are taken whole). `curves`: metric name to (step, value) pairs that are no nights, such as months. `lake`
    is where the rows behind the figures lie, for comparisons. RunRecordError in one sentence where a name, value or
    file looks like patient data, or the store fails.
    """
    parameters = _checked_identity(identity)
    _check_names({**series, **dict.fromkeys(curves or {}, ())}, figures, models, data_sets)
    files = [_checked_file(path) for path in artifacts]
    key = identity_digest(parameters)
    try:
        client, experiment = _client(store)
        known = _recorded(client, experiment, key)
        if known is not None:
            return known
        run_id = _start(client, experiment, key, name, lake)
        try:
            _log(client, run_id, parameters, [*_metrics(series, figures), *_points(curves or {})], data_sets)
            for path in files:
                _attach(client, run_id, path, None)
            for model in models:
                _register(client, run_id, model)
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
    except (MlflowException, SQLAlchemyError) as error:
        raise RunRecordError(f"the run could not be recorded in {store.database}: {_first_line(error)}") from error
    return run_id


def identity_digest(identity: Mapping[str, str]) -> str:
    """The digest by which a run is recognised: SHA-256 over the identity in key order."""
    canonical = json.dumps(sorted(identity.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def flatten_identity(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a nested identity to dotted names and strings; None becomes `none`, lists are joined by commas."""
    flat: dict[str, str] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten_identity(value, f"{name}.")
        elif isinstance(value, (list, tuple, set, frozenset)):
            parts = [str(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
            flat[name] = ",".join(parts)
        else:
            flat[name] = "none" if value is None else str(value)
    return flat


def model_versions(store: MlflowStore, name: str) -> list[tuple[int, str, tuple[str, ...]]]:
    """Registered versions of `name`, newest first: (MLflow's number, our version string, aliases)."""
    client, _ = _client(store)
    found = client.search_model_versions(f"name = '{_quoted(name)}'")
    rows = [(int(v.version), str(v.tags.get("version", "")), _aliases_of(client, name, int(v.version))) for v in found]
    return sorted(rows, reverse=True)


def tag_run(store: MlflowStore, run_id: str, name: str, value: str) -> None:
    """Put a short tag on a recorded run, such as where an audit of it lies; a run that is gone is passed over."""
    _check_name(name, "tags")
    try:
        client, _ = _client(store)
        client.set_tag(run_id, name, value)
    except MlflowException:
        return  # the store was emptied since: there is nothing to link from
    except SQLAlchemyError as error:
        raise RunRecordError(f"the run could not be tagged in {store.database}: {_first_line(error)}") from error


@dataclass(frozen=True)
class RecordedRun:
    """A finished run as MLflow holds it; `lake` is where its rows lie, None for a run recorded without."""

    run_id: str
    experiment: str
    name: str
    began: datetime
    figures: Mapping[str, float]
    lake: Path | None


def recorded_runs(store: MlflowStore, experiments: Sequence[str]) -> list[RecordedRun]:
    """Finished runs of these experiments, newest first; empty where nothing was recorded."""
    if not store.database.is_file():
        return []
    client = MlflowClient(store.uri, store.uri)
    known = [found for name in experiments if (found := client.get_experiment_by_name(name)) is not None]
    names = {found.experiment_id: found.name for found in known}
    if not names:
        return []
    runs = client.search_runs(list(names), "attributes.status = 'FINISHED'", order_by=["start_time DESC"])
    return [
        RecordedRun(
            str(run.info.run_id), names[run.info.experiment_id], str(run.info.run_name),
            datetime.fromtimestamp(run.info.start_time / 1000, UTC), dict(run.data.metrics),
            Path(run.data.tags[LAKE_TAG]) if LAKE_TAG in run.data.tags else None,
        )
        for run in runs
    ]  # fmt: skip


def promote(store: MlflowStore, run_id: str, alias: str) -> list[str]:
    """Move `alias` to the model versions that a run registered; their names."""
    client = MlflowClient(store.uri, store.uri)
    moved = []
    for version in client.search_model_versions(f"run_id = '{_quoted(run_id)}'"):
        client.set_registered_model_alias(version.name, alias, version.version)
        moved.append(str(version.name))
    return sorted(moved)


# -- what may come in ----------------------------------------------------------------------------------------------


def _checked_identity(identity: Mapping[str, str]) -> dict[str, str]:
    if not identity:
        raise RunRecordError("a run without an identity cannot be recorded.")
    checked = {}
    for key, value in identity.items():
        _check_name(key, "identity")
        checked[key] = _checked_value(key, value)
    return checked


def _checked_value(key: str, value: object) -> str:
    """A version, digest or setting: short, on one line, no prose. The error does not repeat a refused value."""
    if not isinstance(value, str):
        raise RunRecordError(f"identity '{key}' must be a string, not {type(value).__name__}.")
    if len(value) > LONGEST_VALUE:
        raise RunRecordError(f"identity '{key}' is longer than {LONGEST_VALUE} characters, which only free text is.")
    if any(character < " " for character in value):
        raise RunRecordError(f"identity '{key}' holds a line break or control character, which only free text does.")
    if len(_WORDS.findall(value)) > MOST_WORDS and " " in value:
        raise RunRecordError(f"identity '{key}' holds more than {MOST_WORDS} words: free text is kept out of MLflow.")
    return value


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise RunRecordError(f"a name of the {what} is not made of letters, digits and _ . - / @ (at most 120).")


def _check_names(
    series: Mapping[str, Sequence[tuple[date, float]]],
    figures: Mapping[str, float],
    models: Sequence[RegisteredObject],
    data_sets: Sequence[DataSetUsed],
) -> None:
    for name in (*series, *figures):
        _check_name(name, "metrics")
    if both := sorted(set(series) & set(figures)):
        raise RunRecordError(f"'{both[0]}' is both a nightly series and a figure of the run.")
    nightly = [(name, value) for name, pairs in series.items() for _, value in pairs]
    for name, number in [*nightly, *figures.items()]:
        if not isinstance(number, Real):
            raise RunRecordError(f"metric '{name}' holds something that is not a number.")
    for model in models:
        _check_name(model.name, "models")
        for key, value in (("version", model.version), ("digest", model.digest), *model.facts.items()):
            _check_name(key, "models")
            _checked_value(key, value)
        for name in (*model.figures, *model.aliases):
            _check_name(name, "models")
    for used in data_sets:
        _check_name(used.name, "data sets")
        for key, value in (("digest", used.digest), ("source", used.source), ("context", used.context)):
            _checked_value(key, value)


def _checked_file(path: Path) -> Path:
    if not path.exists():
        raise RunRecordError(f"the artifact {path.name} does not exist.")
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file.suffix.lower() not in _AGGREGATE_SUFFIXES:
            raise RunRecordError(f"{file.name} is no report, table or picture of aggregates: it stays in the lake.")
        if held := _columns(file) & PATIENT_COLUMNS:
            raise RunRecordError(f"{file.name} has a column of patient data ({min(held)}): it stays in the lake.")
    return path


def _columns(file: Path) -> set[str]:
    """Column names of a table, keys of a JSON document; empty for other files."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return set(parquet.read_schema(file).names)
    if suffix == ".csv":
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return {name.strip() for name in next(csv.reader(lines), [])}
    if suffix == ".json":
        return set(_keys(json.loads(file.read_bytes())))
    return set()


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)


# -- the store -----------------------------------------------------------------------------------------------------


def _client(store: MlflowStore) -> tuple[MlflowClient, str]:
    store.database.parent.mkdir(parents=True, exist_ok=True)
    store.artifacts.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(store.uri, store.uri)
    known = client.get_experiment_by_name(store.experiment)
    if known is not None:
        return client, known.experiment_id
    folder = (store.artifacts / store.experiment).resolve().as_uri()
    return client, client.create_experiment(store.experiment, artifact_location=folder)


def _recorded(client: MlflowClient, experiment: str, key: str) -> str | None:
    """The finished run of this identity; a run left RUNNING by a killed process is closed as failed."""
    found = client.search_runs([experiment], f"tags.`{IDENTITY_TAG}` = '{key}'")
    for run in found:
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "FAILED")
    return None


def _start(client: MlflowClient, experiment: str, key: str, name: str | None, lake: Path | None) -> str:
    tags = {IDENTITY_TAG: key, "mlflow.user": "zebrawatch", "mlflow.source.name": "zebrawatch"}
    tags |= {LAKE_TAG: str(lake)} if lake else {}
    run = client.create_run(experiment, tags=tags, run_name=name)
    return str(run.info.run_id)


def _log(
    client: MlflowClient,
    run_id: str,
    parameters: Mapping[str, str],
    metrics: Sequence[Metric],
    data_sets: Sequence[DataSetUsed],
) -> None:
    for batch in _batches([Param(key, value) for key, value in parameters.items()], PARAMS_A_BATCH):
        client.log_batch(run_id, params=batch)
    for batch in _batches(metrics, METRICS_A_BATCH):
        client.log_batch(run_id, metrics=batch)
    if data_sets:
        client.log_inputs(run_id, [_data_set(used) for used in data_sets])


def _metrics(series: Mapping[str, Sequence[tuple[date, float]]], figures: Mapping[str, float]) -> list[Metric]:
    points = [
        Metric(name, float(value), _instant(night), _step(night))
        for name, pairs in series.items()
        for night, value in pairs
        if math.isfinite(value)
    ]
    last = max((night for pairs in series.values() for night, _ in pairs), default=None)
    instant, step = (_instant(last), _step(last)) if last else (0, 0)
    return points + [Metric(name, float(v), instant, step) for name, v in figures.items() if math.isfinite(v)]


def _points(curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[Metric]:
    """Curves over something else than nights; their time is that of recording."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    return [
        Metric(name, float(value), now, step)
        for name, steps in curves.items()
        for step, value in steps
        if math.isfinite(value)
    ]


def _step(night: date) -> int:
    """YYYYMMDD: in order, and a person can read it in the chart's tooltip (choose `Time` for a true axis)."""
    return night.year * 10_000 + night.month * 100 + night.day


def _instant(night: date) -> int:
    """Milliseconds since 1970 of the night's midnight in UTC; earlier nights get 0: MLflow takes no negative time."""
    return max(0, int(datetime(night.year, night.month, night.day, tzinfo=UTC).timestamp() * 1000))


def _data_set(used: DataSetUsed) -> DatasetInput:
    profile = json.dumps(dict(used.figures), sort_keys=True) if used.figures else None
    source = json.dumps({"source": used.source, "digest": used.digest})
    kept = Dataset(used.name, used.digest[:LONGEST_DIGEST], "zebrawatch", source, None, profile)
    return DatasetInput(kept, [InputTag("mlflow.data.context", used.context)])


def _attach(client: MlflowClient, run_id: str, path: Path, folder: str | None) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or path.name)
    else:
        client.log_artifact(run_id, str(path), folder)


def _register(client: MlflowClient, run_id: str, model: RegisteredObject) -> None:
    """Register a model version unless one of the same digest stands, then move the aliases to it."""
    version = _version_of(client, model)
    if version is None:
        version = _new_version(client, run_id, model)
    for alias in model.aliases:
        client.set_registered_model_alias(model.name, alias, version)


def _version_of(client: MlflowClient, model: RegisteredObject) -> str | None:
    query = f"name = '{_quoted(model.name)}' and tags.digest = '{_quoted(model.digest)}'"
    found = client.search_model_versions(query)
    return str(found[0].version) if found else None


def _new_version(client: MlflowClient, run_id: str, model: RegisteredObject) -> str:
    if not client.search_registered_models(f"name = '{_quoted(model.name)}'"):
        client.create_registered_model(model.name)
    folder = f"models/{model.name}"
    described = {
        "version": model.version,
        "digest": model.digest,
        "fitted_through": model.fitted_through.isoformat() if model.fitted_through else "",
        **{key: f"{value:g}" for key, value in model.figures.items()},
        **model.facts,
    }
    client.log_dict(run_id, described, f"{folder}/about.json")
    if model.path is not None:
        _attach(client, run_id, _checked_file(model.path), folder)
    source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
    tags = {key: value for key, value in described.items() if value}
    return str(client.create_model_version(model.name, source, run_id, tags=tags).version)


def _aliases_of(client: MlflowClient, name: str, version: int) -> tuple[str, ...]:
    return tuple(sorted(client.get_model_version(name, str(version)).aliases))


def _quoted(text: str) -> str:
    return text.replace("'", "")


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    return (list(items[n : n + size]) for n in range(0, len(items), size))


def _first_line(error: Iterable[str] | Exception) -> str:
    return str(error).splitlines()[0][:200]
