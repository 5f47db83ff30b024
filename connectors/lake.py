"""The lake: Delta tables without a jar, published night by night.

Spark writes Parquet files, delta-rs commits them in one transaction a table. A row in the table `nights` publishes a
night and names the version of every table; readers see published nights only. A killed run leaves versions that no
night names: the next writer takes them back (`recover`) before it begins.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.schema import Schema as DeltaSchema
from deltalake.transaction import AddAction, RemoveAction

from zebrawatch.content import content_columns, digest_of
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.schemas import EVENTS, LAKE_SCHEMA_VERSION, NIGHTS, NOTES, PATIENTS, TABLES, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LOCK_NAME = "LOCK"
_PATTERNS = frozenset("[]{}*?\\")  # Hadoop's globs (FileSystem.globStatus), which Spark's reader expands in every path
REPLAYS = "replays"  # below a lake: replays of the past, each a lake of its own
ROW_GROUP = 4 << 20  # bytes; rows come by patient: who reads a few patients passes over the groups of all others
STAGING = "_staging"  # where Spark writes before a commit, in a table's folder


@dataclass(frozen=True)
class Written:
    """What one commit added to a table."""

    table: str
    version: int
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class PublishedNight:
    """The standing generation of one night."""

    night: date
    generation: int
    stale: bool
    versions: Mapping[str, int]
    digests: Mapping[str, str]
    identity: Mapping[str, Any]
    run_id: str = ""


class Lake:
    """A lake in one folder (0700): `tables/`, `raw/`, `knowledge/`, `reports/`, `scratch/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._published: Mapping[str, int] | None = None
        self.tables = root / "tables"
        self.raw = root / "raw"
        self.knowledge = root / "knowledge"
        self.reports = root / "reports"
        self.scratch = root / "scratch"
        self.batches = root / "reasoning"

    @classmethod
    def open(cls, root: Path, *, create: bool = False, published: bool = False, older: bool = False) -> Lake:
        """Open a lake, or make a new one; LakeError where there is none or another release's schema wrote it.

        `published` is for readers: they see every table as the last published night left it, whatever a run has
        written since. `older` lets one in that is to be migrated.
        """
        if strange := sorted(_PATTERNS & set(str(root.absolute()))):
            raise LakeError(
                f"The path of the lake holds {' '.join(strange)}, which Spark takes for a pattern of names: give a "
                "folder without such signs (--lake)."
            )
        lake = cls(root)
        about = root / "lake.json"
        if not about.is_file():
            if not create:
                raise LakeError(f"There is no lake in {root}; `zebrawatch screen` makes one.")
            if root.is_dir() and any(path.name not in ("scratch", REPLAYS, LOCK_NAME) for path in root.iterdir()):
                raise LakeError(f"{root} holds other files and no lake; give an empty or new folder with --lake.")
            for folder in (root, lake.tables, lake.raw, lake.knowledge, lake.reports, lake.scratch):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            root.chmod(0o700)
            _write_json(about, {"schema_version": LAKE_SCHEMA_VERSION})
        written = int(lake.about().get("schema_version", 0))
        if written > LAKE_SCHEMA_VERSION:
            raise LakeError(
                f"The lake in {root} has schema version {written}, this Zebrawatch knows {LAKE_SCHEMA_VERSION}: "
                "upgrade it first."
            )
        if written < LAKE_SCHEMA_VERSION and not older:
            raise LakeError(
                f"The lake in {root} has schema version {written}, this Zebrawatch writes {LAKE_SCHEMA_VERSION}: "
                f"`zebrawatch lake migrate --lake {root}` brings it there, and changes no row."
            )
        if published:
            lake._published = lake.published_versions()
        return lake

    def about(self) -> dict[str, Any]:
        """What the lake says about itself: schema version, data kind, and which source filled it."""
        return cast(dict[str, Any], json.loads((self.root / "lake.json").read_text()))

    def describe(self, **facts: Any) -> None:
        """Add facts to `lake.json`."""
        _write_json(self.root / "lake.json", {**self.about(), **facts})

    # -- one writer -------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, wait_seconds: int = 0) -> Iterator[None]:
        """Hold the lake's lock, a file that names its owner; LakeError names who holds it."""
        lock = self.root / LOCK_NAME
        deadline = time.monotonic() + wait_seconds
        while (held := _take(lock)) is None:
            if time.monotonic() >= deadline:
                raise LakeError(
                    f"Another run is writing to {self.root} ({_owner(lock)}); try again when it has ended, or delete "
                    f"{lock} where its machine is gone."
                )
            time.sleep(0.2)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(held)

    def recover(self) -> list[str]:
        """Take every table back to its last published version; the names of the tables that had strayed."""
        published = self.published_versions()
        dropped, restored = [], []
        for path in sorted(self.tables.iterdir()):
            if path.name == NIGHTS.name:
                continue
            shutil.rmtree(path / STAGING, ignore_errors=True)
            version = published.get(path.name)
            if version is None:
                shutil.rmtree(path)
                dropped.append(path.name)
            elif DeltaTable(path).version() != version:
                DeltaTable(path).restore(version)
                restored.append(path.name)
        if restored:
            self._renumber(restored)
        return sorted([*dropped, *restored])

    def _renumber(self, names: Sequence[str]) -> None:
        """A restored table has a new version number; the last published nights point to it from now on."""
        rows = self._night_rows()
        if not rows:
            if self.taken_over:
                versions = {**self.taken_over["versions"], **{name: self.version(name) for name in names}}
                self.describe(taken_over={**self.taken_over, "versions": versions})
            return
        published = _versions_of(rows)
        renumbered = json.dumps({**published, **{name: self.version(name) for name in names}}, sort_keys=True)
        for row in rows:
            if json.loads(row["versions"]) == published:
                row["versions"] = renumbered
        self._write_nights(rows)

    # -- another lake's rows ----------------------------------------------------------------------------------------

    def take_over(self, other: Lake, names: Sequence[str], **facts: Any) -> None:
        """Begin with another lake's published tables: their files are linked (copied across file systems), not read.

        From then on these versions stand as if published; `facts` are kept beside them (`taken_over`). A table that
        stands here already is made anew. LakeError where the other lake has published nothing.
        """
        published = other.published_versions()
        if not published:
            raise LakeError(f"The lake in {other.root} has no published night; run `zebrawatch screen` on it first.")
        versions = {name: self._take_table(other, TABLES[name], published[name]) for name in names if name in published}
        self.describe(taken_over={**facts, "lake": str(other.root), "versions": versions})

    def take_rows(self, rows: Mapping[Table, pa.Table], **facts: Any) -> None:
        """Begin with rows in memory, as `take_over` does with whole tables."""
        versions = {}
        for table, data in rows.items():
            plain = _plain(data.cast(_plain_schema(table.schema)))
            write_deltalake(self.path(table), plain, mode="overwrite", partition_by=[table.partition])
            versions[table.name] = self.version(table.name)
        self.describe(taken_over={**facts, "versions": versions})

    @property
    def taken_over(self) -> Mapping[str, Any]:
        """What `take_over` kept; empty for a lake that began with a pull."""
        return cast(Mapping[str, Any], self.about().get("taken_over", {}))

    def _take_table(self, other: Lake, table: Table, version: int) -> int:
        shutil.rmtree(self.path(table), ignore_errors=True)
        actions: list[AddAction | RemoveAction] = []
        for file in pa.table(other._delta(table, version).get_add_actions(flatten=True)).to_pylist():
            value = str(file[f"partition.{table.partition}"])
            place = self.path(table) / unquote(file["path"])
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _link(other.path(table) / unquote(file["path"]), place)
            stats = json.dumps({"numRecords": file["num_records"]})
            actions.append(
                AddAction(file["path"], file["size_bytes"], {table.partition: value}, _now_ms(), True, stats)
            )
        schema = DeltaSchema.from_arrow(_plain_schema(table.schema))
        made = DeltaTable.create(self.path(table), schema, partition_by=[table.partition], description=table.about)
        made.create_write_transaction(actions, mode="append", schema=schema, partition_by=[table.partition])
        return self.version(table.name)

    # -- tables -----------------------------------------------------------------------------------------------------

    def path(self, table: Table) -> Path:
        """Folder of a table."""
        return self.tables / table.name

    def exists(self, table: Table) -> bool:
        """Whether a table has been committed (for readers: published)."""
        if self._published is not None and table.name not in (NIGHTS.name, *self._published):
            return False
        return bool(DeltaTable.is_deltatable(str(self.path(table))))

    def version(self, name: str) -> int:
        """Newest committed version of a table, for the writer; readers use the version a night names."""
        return int(DeltaTable(self.tables / name).version())

    def read(self, spark: SparkSession, table: Table, version: int | None = None) -> DataFrame:
        """A table as a Spark DataFrame at a version (default: newest); empty where it was never written."""
        from pyspark.sql.pandas.types import from_arrow_schema

        schema = from_arrow_schema(table.schema, prefer_timestamp_ntz=False)
        # URIs, of which Spark wants the paths; our partition values hold no characters that a folder's name escapes.
        files = [unquote(uri) for uri in self._delta(table, version).file_uris()] if self.exists(table) else []
        if not files:
            return spark.createDataFrame([], schema)
        # Partition values come from the folders.
        frame = spark.read.schema(schema).option("basePath", str(self.path(table))).parquet(*files)
        return frame.select(*[frame[field.name].cast(field.dataType) for field in schema.fields])

    def arrow(
        self, table: Table, columns: Sequence[str] | None = None, version: int | None = None, rows: Any = None
    ) -> pa.Table:
        """A table in memory, for small tables and extracts; `rows` is a pyarrow filter expression."""
        wanted = list(columns) if columns else table.schema.names
        if not self.exists(table):
            return table.schema.empty_table().select(wanted)
        dataset = self._delta(table, version).to_pyarrow_dataset()
        there = [name for name in wanted if name in dataset.schema.names]
        data = dataset.to_table(columns=there, filter=rows)
        for place, name in enumerate(wanted):  # a version from before a column was there
            if name not in there:
                kind = table.schema.field(name).type
                data = data.add_column(place, pa.field(name, kind), pa.nulls(data.num_rows, kind))
        return data.cast(pa.schema([table.schema.field(name).remove_metadata() for name in wanted]))

    def partitions(self, table: Table) -> list[str]:
        """Values of a table's partition column in its newest version."""
        if not self.exists(table):
            return []
        return sorted({str(part[table.partition]) for part in self._delta(table).partitions()})

    def write(self, frame: DataFrame, table: Table, partition: str) -> Written:
        """Replace one partition of a table by a DataFrame, in one transaction.

        For a `night_range` table `partition` is a range of nights: rows of these nights in other partitions go with it.
        """
        return self._commit(table, {partition: frame}, replaced=[partition])

    def write_nights(self, frame: DataFrame, table: Table, nights: NightRange) -> Written:
        """Write what a run computed for a range of nights.

        Rows of these nights from earlier runs go in the same transaction.
        """
        overlapping = [p for p in self.partitions(table) if p != str(nights) and _overlap(NightRange.parse(p), nights)]
        parts = {str(nights): frame}
        if overlapping:
            old = self.read(frame.sparkSession, table)
            for name in overlapping:
                # What the earlier run said of nights before its own (backlog) goes where this one begins no later.
                earlier = old[table.night] < nights.first
                later = old[table.night] > nights.last
                kept = earlier | later if NightRange.parse(name).first < nights.first else later
                parts[name] = old.where((old[table.partition] == name) & kept)
        return self._commit(table, parts, replaced=[str(nights), *overlapping])

    def write_rows(self, data: pa.Table, table: Table, nights: NightRange) -> Written:
        """`write_nights` for rows in memory, without Spark: rows of these nights go in the same transaction."""
        DeltaTable.create(
            self.path(table),
            DeltaSchema.from_arrow(_plain_schema(table.schema)),
            mode="ignore",
            partition_by=[table.partition],
            description=table.about,
        )
        ours = f"{table.night} >= DATE '{nights.first}' AND {table.night} <= DATE '{nights.last}'"
        rows = data.cast(_plain_schema(table.schema))
        write_deltalake(self.path(table), _plain(rows), mode="overwrite", predicate=ours)
        return Written(table.name, self.version(table.name), rows.num_rows, rows.nbytes, digest_of(rows, table))

    def write_snapshot(self, data: pa.Table, table: Table) -> Written:
        """Replace a whole small table."""
        write_deltalake(
            self.path(table), _plain(data.cast(_plain_schema(table.schema))), mode="overwrite", schema_mode="overwrite"
        )
        return Written(table.name, self.version(table.name), data.num_rows, data.nbytes, digest_of(data, table))

    def _delta(self, table: Table, version: int | None = None) -> DeltaTable:
        if version is None and self._published is not None:
            version = self._published.get(table.name)
        return DeltaTable(self.path(table), version=version)

    def _commit(self, table: Table, parts: Mapping[str, DataFrame], replaced: Sequence[str]) -> Written:
        folder = self.path(table)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.exists(table):
            DeltaTable.create(
                folder,
                DeltaSchema.from_arrow(_plain_schema(table.schema)),
                partition_by=[table.partition],
                description=table.about,
            )
        added = [action for value, frame in parts.items() for action in self._files(frame, table, value)]
        old = self._delta(table)
        removed = _removals(old, table.partition, set(replaced))
        old.create_write_transaction(
            [*removed, *added],
            mode="append",
            schema=DeltaSchema.from_arrow(_plain_schema(table.schema)),
            partition_by=[table.partition],
        )
        first = next(iter(parts))
        digest = self.digest(table, partition=first)
        rows = sum(
            json.loads(action.stats)["numRecords"]
            for action in added
            if action.partition_values[table.partition] == first
        )
        return Written(table.name, self.version(table.name), rows, sum(action.size for action in added), digest)

    def _files(self, frame: DataFrame, table: Table, value: str) -> list[AddAction]:
        """Let Spark write a frame, move its files into the partition's folder, describe them for the commit."""
        from pyspark.sql.pandas.types import from_arrow_schema

        schema = from_arrow_schema(table.schema, prefer_timestamp_ntz=False)
        columns = [
            frame[field.name].cast(field.dataType).alias(field.name)
            for field in schema.fields
            if field.name != table.partition
        ]
        staging = self.path(table) / STAGING / uuid.uuid4().hex
        frame.select(*columns).write.option("parquet.block.size", str(ROW_GROUP)).parquet(str(staging))
        target = self.path(table) / f"{table.partition}={value}"
        target.mkdir(parents=True, exist_ok=True)
        actions = []
        for file in sorted(staging.glob("part-*.parquet")):
            rows = pq.read_metadata(file).num_rows
            if rows == 0:
                continue
            place = target / f"{uuid.uuid4().hex}.parquet"
            file.rename(place)
            facts = place.stat()
            actions.append(
                AddAction(
                    str(place.relative_to(self.path(table))), facts.st_size, {table.partition: value},
                    int(facts.st_mtime * 1000), True, json.dumps({"numRecords": rows}),
                )
            )  # fmt: skip
        shutil.rmtree(staging)
        return actions

    def digest(self, table: Table, partition: str | None = None, version: int | None = None) -> str:
        """Content digest (zebrawatch.content) of a table or of one partition, at a version (default: newest)."""
        if not self.exists(table):
            return digest_of(table.schema.empty_table(), table)
        rows = None if partition is None else pc.field(table.partition) == partition
        data = self._delta(table, version).to_pyarrow_dataset()
        there = [name for name in content_columns(table) if name in data.schema.names]
        return digest_of(data.scanner(columns=there, filter=rows).to_reader(), table)

    # -- nights -----------------------------------------------------------------------------------------------------

    def nights(self) -> list[PublishedNight]:
        """The standing generation of every published night, in order."""
        newest: dict[date, dict[str, Any]] = {}
        for row in self._night_rows():
            if row["night"] not in newest or newest[row["night"]]["generation"] < row["generation"]:
                newest[row["night"]] = row
        return [
            PublishedNight(
                row["night"],
                row["generation"],
                row["stale"],
                json.loads(row["versions"]),
                json.loads(row["digests"]),
                json.loads(row["identity"]),
                row["run_id"] or "",
            )
            for _, row in sorted(newest.items())
        ]

    def last_night(self) -> PublishedNight | None:
        """The last published night that is not stale."""
        fresh = [night for night in self.nights() if not night.stale]
        return fresh[-1] if fresh else None

    def last_known_night(self) -> date | None:
        """The last night on which any row of the timeline became known."""
        lasts = [
            pc.max(self.arrow(table, ["known_night"])["known_night"]).as_py() for table in (PATIENTS, NOTES, EVENTS)
        ]
        return max((last for last in lasts if last is not None), default=None)

    def published_versions(self) -> dict[str, int]:
        """Version of every table as the last publication named them, or as they were taken over."""
        return _versions_of(self._night_rows()) or dict(self.taken_over.get("versions", {}))

    def publish(self, nights: NightRange, written: Sequence[Written], identity: Mapping[str, Any], run_id: str) -> None:
        """Publish a range of nights: from here on readers see them. Nights after it that stood before are stale now."""
        rows = self._night_rows()
        generations = {night.night: night.generation for night in self.nights()}
        versions = {**self.published_versions(), **{part.table: part.version for part in written}}
        shared = {
            "stale": False,
            "night_range": str(nights),
            "versions": json.dumps(versions, sort_keys=True),
            "digests": json.dumps({part.table: part.digest for part in written}, sort_keys=True),
            "identity": json.dumps(identity, sort_keys=True),
            "run_id": run_id,
            "published_at": datetime.now(UTC),
            "schema_version": LAKE_SCHEMA_VERSION,
        }
        for row in rows:
            if row["night"] > nights.last:
                row["stale"] = True
        rows += [{"night": night, "generation": generations.get(night, 0) + 1, **shared} for night in nights]
        self._write_nights(rows)

    def _night_rows(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self.arrow(NIGHTS).to_pylist())

    def _write_nights(self, rows: Sequence[Mapping[str, Any]]) -> None:
        write_deltalake(
            self.path(NIGHTS), pa.Table.from_pylist(list(rows), schema=_plain_schema(NIGHTS.schema)), mode="overwrite"
        )

    # -- housekeeping -----------------------------------------------------------------------------------------------

    def compact(self) -> dict[str, int]:
        """Merge small files; the number of files merged by table.

        The last publication names the merged versions from now on. What a killed run left ahead of it goes first: it
        must not be published with them.
        """
        self.recover()
        names = [name for name in self._names() if name != NIGHTS.name]
        merged = {name: int(DeltaTable(self.tables / name).optimize.compact()["numFilesRemoved"]) for name in names}
        self._renumber(names)
        return merged

    def collect_garbage(self, keep_hours: int) -> dict[str, int]:
        """Delete files that no version younger than `keep_hours` and no published night names.

        Returns the number of files deleted by table.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        self._forget_unfinished_pulls(keep_hours)
        self._forget_unfinished_batches(keep_hours)
        kept: dict[str, set[int]] = {}
        for night in self.nights():
            for name, version in night.versions.items():
                kept.setdefault(name, set()).add(version)
        counts = {}
        for name in self._names():
            shutil.rmtree(self.tables / name / STAGING, ignore_errors=True)  # vacuum passes over hidden folders
            table = DeltaTable(self.tables / name)
            gone = table.vacuum(
                retention_hours=keep_hours,
                dry_run=False,
                enforce_retention_duration=False,
                keep_versions=sorted(kept.get(name, set())) or None,
            )
            counts[name] = len(gone)
        return counts

    def _forget_unfinished_pulls(self, keep_hours: int) -> None:
        """Delete pulls that were never finished, and what fetches of them brought, once they are `keep_hours` old.

        A working folder (`.smart-fetch-*`) keeps its finished fetches: they are links to what the pulls hold, and tell
        the next fetch which patients are new and what has gone.
        """
        oldest = time.time() - keep_hours * 3600
        fetches = [fetch for folder in self.raw.glob(".smart-fetch-*") for fetch in folder.iterdir() if fetch.is_dir()]
        unfinished = [fetch for fetch in fetches if not (fetch / ".published").exists()]
        for folder in (*self.raw.glob(".arriving-*"), *self.raw.glob(".*.partial"), *unfinished):
            if folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)

    def _forget_unfinished_batches(self, keep_hours: int) -> None:
        """Delete what a killed batch of the reasoning arm left (charts, answers) `keep_hours` after its last answer.

        A run that asks the same again takes its answers and deletes it; one with other settings never does.
        """
        oldest = time.time() - keep_hours * 3600
        for folder in self.batches.glob("*"):
            if folder.is_dir() and all(file.stat().st_mtime < oldest for file in (folder, *folder.iterdir())):
                shutil.rmtree(folder)

    def migrate(self) -> tuple[int, int]:
        """Bring an older lake to this release's schema; (from, to).

        1 to 2: the table `referred` is new; the next night makes it, from all pulls. 2 to 3: `candidates` has columns
        for the deciding test and the best common explanation, null in what was scored before. Killed in between, it can
        be run again.
        """
        written = int(self.about()["schema_version"])
        if written != LAKE_SCHEMA_VERSION:
            self.recover()
            names = [name for name in self._names() if name != NIGHTS.name]
            self._renumber([name for name in names if self._widened(TABLES[name])])
            self.describe(schema_version=LAKE_SCHEMA_VERSION)
        return written, LAKE_SCHEMA_VERSION

    def _widened(self, table: Table) -> bool:
        """Give a table the columns that its schema has by now; whether it lacked any."""
        delta = DeltaTable(self.path(table))
        there = {field.name for field in delta.schema().fields}
        wanted = DeltaSchema.from_arrow(_plain_schema(table.schema)).fields
        missing = [field for field in wanted if field.name not in there]
        if missing:
            delta.alter.add_columns(missing)
        return bool(missing)

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.tables.iterdir() if path.name in TABLES)


def _versions_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Version of every table as the last publication among the rows of `nights` named them."""
    return dict(json.loads(max(rows, key=lambda row: row["published_at"])["versions"])) if rows else {}


def _overlap(one: NightRange, other: NightRange) -> bool:
    return one.first <= other.last and other.first <= one.last


def _removals(table: DeltaTable, partition: str, values: set[str]) -> list[RemoveAction]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [
        RemoveAction(
            action["path"],
            deletion_timestamp=_now_ms(),
            data_change=True,
            partition_values={partition: action[f"partition.{partition}"]},
            size=action["size_bytes"],
        )
        for action in actions
        if action[f"partition.{partition}"] in values
    ]


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata().with_nullable(True) for field in schema])


def _plain(data: pa.Table) -> pa.Table:
    return data.replace_schema_metadata(None)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where a file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")
    temporary.replace(path)


def _take(lock: Path) -> int | None:
    """Take the lock: its descriptor, to be closed when it is given back; None where another owner holds it.

    Between processes of one machine the system's own lock on the file decides, which ends with its owner however that
    ended; a file that names another machine stands, since that lock need not reach across a shared file system.
    """
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    words = os.read(descriptor, 1000).decode("utf-8", "replace").split()
    elsewhere = len(words) >= 4 and words[3] != socket.gethostname()
    if elsewhere or not _is_still(lock, descriptor):
        os.close(descriptor)
        return None
    owner = f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)
    return descriptor


def _is_still(lock: Path, descriptor: int) -> bool:
    """Whether the opened file is the one that stands there: its last owner may have deleted it in between."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner(lock: Path) -> str:
    try:
        return lock.read_text(encoding="utf-8").strip() or "owner not known"
    except FileNotFoundError:
        return "it ended just now"
