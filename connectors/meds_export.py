"""The lake's timeline as a MEDS data set (Medical Event Data Standard 0.4), for other people's models.

What stood at the end of the last published night: the last version of every resource, nothing that was deleted, nobody
who is restricted or opted out, merged patients under the surviving one. Layout and schemas are those of the package
`meds`, whose own check every table passes before it is written:

- `data/<shard>.parquet`: subject_id, time (UTC), code, numeric_value, text_value; beside them `unit`, `status` and
  `available_at`. Each patient lies in one shard, together, rows without a time first, then in order of time;
- `metadata/codes.parquet`: every code with its commonest display;
- `metadata/subject_splits.parquet`: train, tuning, held_out, by the keyed hash that subject_id is;
- `metadata/dataset.json`: where the data set comes from.

Two codes are changed, so that nobody takes them for what the patient has: `FAMILY//` stands before what is said of a
relative, `REFUTED//` before a condition that was refuted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import meds.schema as meds
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.lake import Lake
from zebrawatch.errors import LakeError, ZebrawatchError
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, Table

SHARD_PATIENTS = 10_000
_EXTRA = ("unit", "status", "available_at")


class ExportError(ZebrawatchError):
    """The data set cannot be written."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    patients: int
    rows: int
    notes: int
    codes: int
    shards: int
    left_out: int
    """Rows of patients who are restricted, opted out or unknown, and rows without a code."""


def export_meds(
    lake: Lake,
    out: Path,
    *,
    name: str,
    with_text: bool = False,
    opted_out: frozenset[int] = frozenset(),
    shard_patients: int = SHARD_PATIENTS,
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the data set into `out`, a new or empty folder: whole or not at all.

    Notes are rows with the code of their type; `with_text` puts their text into text_value. LakeError where no night is
    published, ExportError where `out` is taken. All rows but texts are held in memory at once.
    """
    last = lake.last_night()
    if last is None:
        raise LakeError("No night is published yet: there is nothing to export.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} is there already and not empty; give a new folder.")
    progress(f"Reading the timeline as of night {last.night}")
    work = _tables(lake, with_text, opted_out)
    out.parent.mkdir(parents=True, exist_ok=True)
    arriving = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))  # mode 0700: it holds patient data
    patients = [row[0] for row in work.sql("select distinct subject_id from rows order by 1").fetchall()]
    shards = [patients[start : start + shard_patients] for start in range(0, len(patients), shard_patients)]
    rows = sum(_write_shard(work, arriving, number, shard) for number, shard in enumerate(shards))
    progress(f"{rows:,} rows of {len(patients):,} patients")
    codes = _write_codes(work, arriving)
    _write_splits(arriving, patients)
    _write_about(arriving, _named(name, lake), f"{last.night} (generation {last.generation})")
    if out.is_dir():
        out.rmdir()
    arriving.rename(out)
    read, notes = (_number(work, f"select count(*) from {source}") for source in ("every_row", "rows where is_note"))
    return Exported(out, len(patients), rows, notes, codes, len(shards), read - rows)


# -- rows --------------------------------------------------------------------------------------------------------------

_STANDING = """
create table standing_{table} as
select * from (
    select *, row_number() over (partition by {key} order by known_night desc, available_at desc, version desc) as nth
    from (select * from {table})
) where nth = 1 and not coalesce(deleted, false)
"""

# A resource has a row for every component and code: its last version is found once, for all of them.
_STANDING_EVENTS = """
create table standing_events as
with based as (select *, regexp_replace(event_id, '#.*$', '') as base from events),
versions as (
    select base, version, max(known_night) as known_night, max(available_at) as available_at
    from based group by base, version
),
last as (
    select base, version from (
        select *, row_number() over (
            partition by base order by known_night desc, available_at desc, version desc
        ) as nth
        from versions
    ) where nth = 1
)
select based.* from based join last using (base, version) where not coalesce(deleted, false)
"""

_ROWS = """
create table every_row as
with people as (select * from standing_patients where merged_into is null)
select subject_id, birth as time, '{birth}' as code, null::float as numeric_value, null::varchar as text_value,
    null::varchar as unit, null::varchar as status, available_at, false as is_note, 'Date of birth' as display
    from people where birth is not null
union all by name
select subject_id, death_time as time, '{death}' as code, available_at, false as is_note, 'Death' as display
    from people where death_time is not null
union all by name
select subject_id, null::timestamp as time, kind || '//' || value as code, available_at, false as is_note,
    value as display
    from (unpivot (
        select subject_id, available_at, sex as "SEX", race as "RACE", ethnicity as "ETHNICITY", language as "LANGUAGE"
        from people
    ) on "SEX", "RACE", "ETHNICITY", "LANGUAGE" into name kind value value)
union all by name
select subject_id, time, numeric_value::float as numeric_value, text_value, unit, status, available_at,
    false as is_note, display,
    case when relationship is not null then 'FAMILY//' when status = 'refuted' then 'REFUTED//' else '' end
        || code as code
    from standing_events where not coalesce(restricted, false)
union all by name
select subject_id, event_time as time, 'NOTE//' || coalesce('LOINC//' || type_code, resource_type) as code,
    text as text_value, status, available_at, true as is_note, type_display as display
    from standing_notes where not coalesce(restricted, false)
"""

_KEPT = """
create table rows as
with kept as (
    select subject_id, coalesce(merged_into, subject_id) as survivor from standing_patients
    where not coalesce(restricted, false) and subject_id not in (select subject_id from opted_out)
)
select every_row.* replace (kept.survivor as subject_id)
from every_row join kept using (subject_id) join kept as reached on reached.subject_id = kept.survivor
where every_row.code is not null
"""


def _tables(lake: Lake, with_text: bool, opted_out: frozenset[int]) -> duckdb.DuckDBPyConnection:
    """An in-memory database with `every_row` and, of patients who may be exported, `rows`."""
    work = duckdb.connect()
    common = ("subject_id", "version", "restricted", "deleted", "available_at", "known_night")
    patients = ("sex", "birth_date", "death_time", "race", "ethnicity", "language", "merged_into")
    events = ("time", "code", "numeric_value", "text_value", "event_id", "display", "unit", "status", "relationship")
    notes = (
        "note_id",
        "resource_type",
        "type_code",
        "type_display",
        "status",
        "event_time",
        *(["text"] if with_text else []),
    )
    for table, columns in ((PATIENTS, patients), (EVENTS, events), (NOTES, notes)):
        work.register(f"{table.name}_read", _naive(_published(lake, table, (*common, *columns))))
    work.register("opted_out", pa.table({"subject_id": pa.array(sorted(opted_out), pa.int64())}))
    work.execute("create table patients as select *, birth_date::timestamp as birth from patients_read")
    work.execute("create table events as select * from events_read")
    work.execute(f"create table notes as select *{'' if with_text else ', null::varchar as text'} from notes_read")
    work.execute(_STANDING.format(table="patients", key="subject_id"))
    work.execute(_STANDING.format(table="notes", key="note_id"))
    work.execute(_STANDING_EVENTS)
    work.execute(_ROWS.format(birth=meds.birth_code, death=meds.death_code))
    work.execute(_KEPT)
    return work


def _published(lake: Lake, table: Table, columns: tuple[str, ...]) -> pa.Table:
    """A table as the last publication names it."""
    return lake.arrow(table, columns, version=lake.published_versions().get(table.name))


def _naive(data: pa.Table) -> pa.Table:
    """Instants without their zone, which is UTC: MEDS has none."""
    for place, field in enumerate(data.schema):
        if pa.types.is_timestamp(field.type):
            data = data.set_column(place, field.name, pc.cast(data[field.name], pa.timestamp("us")))
    return data


def _number(work: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(work.sql(query).fetchall()[0][0])


# -- files -------------------------------------------------------------------------------------------------------------


def _write_shard(work: duckdb.DuckDBPyConnection, folder: Path, number: int, patients: list[int]) -> int:
    query = f"""
        select subject_id, time, code, numeric_value, text_value, {", ".join(_EXTRA)} from rows
        where subject_id between {patients[0]} and {patients[-1]}
        order by subject_id, time nulls first, code, numeric_value, text_value
    """
    data = meds.DataSchema.align(work.sql(query).to_arrow_table())
    _write(data, folder / meds.data_subdirectory / f"{number}.parquet")
    return int(data.num_rows)


def _write_codes(work: duckdb.DuckDBPyConnection, folder: Path) -> int:
    query = """
        select code, arg_min(display, (-n, display)) as description from (
            select code, display, case when display is null then 0 else count(*) end as n
            from rows group by code, display
        ) group by code order by code
    """
    codes = work.sql(query).to_arrow_table()
    parents = pa.array([_parents(code) for code in codes["code"].to_pylist()], pa.list_(pa.string()))
    _write(
        meds.CodeMetadataSchema.align(codes.append_column("parent_codes", parents)),
        folder / meds.code_metadata_filepath,
    )
    return int(codes.num_rows)


def _parents(code: str) -> list[str]:
    """The code that a changed one stands for."""
    head, _, rest = code.partition("//")
    return [rest] if head in ("FAMILY", "REFUTED") or (head == "NOTE" and "//" in rest) else []


def _write_splits(folder: Path, patients: list[int]) -> None:
    splits = [_split(patient) for patient in patients]
    table = pa.table({"subject_id": pa.array(patients, pa.int64()), "split": pa.array(splits, pa.string())})
    _write(meds.SubjectSplitSchema.align(table), folder / meds.subject_splits_filepath)


def _split(subject_id: int) -> str:
    """80 / 10 / 10; subject_id is a keyed hash, so its last digit is as good as a draw and never changes."""
    digit = subject_id % 10
    return str(meds.train_split if digit < 8 else meds.tuning_split if digit == 8 else meds.held_out_split)


def _write_about(folder: Path, name: str, dataset_version: str) -> None:
    about = meds.DatasetMetadataSchema(
        dataset_name=name,
        dataset_version=dataset_version,
        etl_name="zebrawatch",
        etl_version=version("zebrawatch"),
        meds_version=version("meds"),
        created_at=datetime.now(UTC),
        code_modifier_columns=["unit"],
        other_extension_columns=["status", "available_at"],
    )
    target = folder / meds.dataset_metadata_filepath
    target.write_text(json.dumps(about.to_dict(), indent=1, default=_iso) + "\n")


def _named(name: str, lake: Lake) -> str:
    """The site's name; made and rendered data are called so."""
    kind = lake.about().get("data_kind") or "real"
    return name if kind == "real" else f"{name} ({kind} data)"


def _iso(value: datetime) -> str:
    return value.isoformat()


def _write(data: pa.Table, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(data, path, compression="zstd")
