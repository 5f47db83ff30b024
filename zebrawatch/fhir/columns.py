"""The columns decoded rows come in, and how lists of row tuples become Arrow batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from zebrawatch.schemas import EVENTS, INSTANT, NOTES, PATIENTS, QUARANTINE

_SPARK_FILLS = frozenset({"seen_night", "known_night"})
_LAST_UPDATED = pa.field(
    "last_updated", INSTANT, metadata={"about": "meta.lastUpdated: from when the status fields hold"}
)
_AVAILABLE = [
    PATIENTS.schema.field(name) for name in ("available_at", "available_rule", "available_grade", "single_version")
]


def _without_nights(schema: pa.Schema, *more: pa.Field) -> list[pa.Field]:
    return [field for field in schema if field.name not in _SPARK_FILLS] + list(more)


def _field(name: str, kind: pa.DataType, about: str) -> pa.Field:
    return pa.field(name, kind, metadata={"about": about})


_SUBJECT = PATIENTS.schema.field("subject_id")
_VERSION = PATIENTS.schema.field("version")
_RESTRICTED, _DELETED, _PULL = (PATIENTS.schema.field(name) for name in ("restricted", "deleted", "pull"))

KINDS: dict[str, list[pa.Field]] = {
    "patient": _without_nights(PATIENTS.schema, _LAST_UPDATED),
    "note": _without_nights(
        NOTES.schema,
        _field("binary_id", pa.string(), "id of the Binary that holds the text; null where text is here"),
        _LAST_UPDATED,
    ),
    "event": _without_nights(
        EVENTS.schema,
        _field("medication_id", pa.string(), "id of a Medication that holds the code, where only referred to"),
        _LAST_UPDATED,
    ),
    "encounter": [
        _SUBJECT,
        _field("encounter_id", pa.string(), "id of the Encounter"),
        _VERSION,
        _field("start", INSTANT, "period.start"),
        _field("end", INSTANT, "period.end; null while it lasts"),
        _field("status", pa.string(), "status"),
        _RESTRICTED,
        _DELETED,
        *_AVAILABLE,
        _LAST_UPDATED,
        _PULL,
    ],
    "binary": [
        _field("binary_id", pa.string(), "id of the Binary"),
        _VERSION,
        _field("text", pa.string(), "plain text"),
        _field("text_sha256", pa.string(), "sha256 of the plain text (UTF-8)"),
        _field("content_type", pa.string(), "media type the text came from"),
        _RESTRICTED,
        _DELETED,
        _LAST_UPDATED,
        _PULL,
    ],
    "coverage": [
        _SUBJECT,
        _field("coverage_id", pa.string(), "id of the Coverage"),
        _VERSION,
        _field("payer", pa.string(), "type of the coverage, else the payer's display"),
        _field("status", pa.string(), "status"),
        _field("start", INSTANT, "period.start"),
        _field("end", INSTANT, "period.end"),
        _RESTRICTED,
        _DELETED,
        *_AVAILABLE,
        _LAST_UPDATED,
        _PULL,
    ],
    "medication": [
        _field("medication_id", pa.string(), "id of the Medication"),
        _VERSION,
        _field("code", pa.string(), "MEDS code"),
        _field("code_system", pa.string(), "code system URI as sent"),
        _field("display", pa.string(), "display of the code, else its text"),
        _RESTRICTED,
        _DELETED,
        _LAST_UPDATED,
        _PULL,
    ],
    "quarantine": list(QUARANTINE.schema),
    "skipped": [
        _field("file", pa.string(), "file of the pull"),
        _field("resource_type", pa.string(), "resource type; null for empty lines"),
        _field("reason", pa.string(), "why nothing was read, in fixed words"),
        _PULL,
    ],
}
"""Columns of each kind of row. Notes, events and patients are the lake's tables without what Spark fills in."""

_STRUCTS: dict[str, pa.DataType] = {kind: pa.struct(fields) for kind, fields in KINDS.items()}

DECODED_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(
            "kind", pa.string(), nullable=False, metadata={"about": "which struct is filled: " + ", ".join(KINDS)}
        ),
        pa.field(
            "lines",
            pa.int32(),
            nullable=False,
            metadata={"about": "input lines this row stands for: 1 on a line's first row, 0 on others"},
        ),
        *(pa.field(kind, struct) for kind, struct in _STRUCTS.items()),
    ]
)
"""One row per decoded row; `sum(lines)` over all rows of a file equals its lines."""


@lru_cache(maxsize=16)
def _empty(kind: str, rows: int) -> pa.Array:
    return pa.nulls(rows, _STRUCTS[kind])


def _empties(kind: str, rows: int) -> pa.Array:
    size = 4096 if rows <= 4096 else 1 << (rows - 1).bit_length()
    return _empty(kind, size).slice(0, rows)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == INSTANT:
        return pa.array(values, pa.int64()).view(INSTANT)
    return pa.array(values, kind)


def batch_of(
    kind: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]], constants: dict[str, Any]
) -> pa.RecordBatch:
    """A batch of one kind from row tuples.

    `names` say what each place of a tuple holds, `lines` first; instants are microseconds since the epoch. `constants`
    fill columns that are the same in all rows.
    """
    count = len(rows)
    by_name: dict[str, Any] = dict(zip(names, zip(*rows, strict=True), strict=True))
    built: dict[str, pa.Array] = {}
    children = []
    for field in KINDS[kind]:
        source = "event_time" if field.name == "time" and kind == "event" else field.name
        if source not in built:
            built[source] = (
                pa.repeat(pa.scalar(constants[source], field.type), count)
                if source in constants
                else _array(by_name[source], field.type)
            )
        children.append(built[source])
    struct = pa.StructArray.from_arrays(children, fields=KINDS[kind])
    columns = [struct if name == kind else _empties(name, count) for name in KINDS]
    lines = pa.array(by_name["lines"], pa.int32())
    return pa.RecordBatch.from_arrays([pa.repeat(pa.scalar(kind), count), lines, *columns], schema=DECODED_SCHEMA)
