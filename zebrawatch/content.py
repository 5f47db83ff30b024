"""Content digest: what "the same" means for rows of a table, whoever wrote them, when, and in what order (DESIGN)."""

from __future__ import annotations

import hashlib

import duckdb
import pyarrow as pa

from zebrawatch.schemas import Table

FORM = "c2."
"""What every digest begins with: digests of another form cannot be compared with these."""
_LANES, _DIGITS = 4, 15


def content_columns(table: Table) -> list[str]:
    """The columns a digest is made of: all but those that only say when a row was made."""
    return [name for name in table.schema.names if name not in table.clock]


def digest_of(rows: pa.Table | pa.RecordBatchReader, table: Table) -> str:
    """Content digest of rows of a table; a reader is used up, batch by batch.

    Every row is hashed: sha256 over its values as JSON with their names, columns in the order of the schema, nulls left
    out (so that a column which an older lake lacks changes nothing), instants in UTC to the microsecond. The hashes are
    added up in four lanes of 60 bits (a multiset hash, AdHash: Clarke et al., ASIACRYPT 2003), so that neither order
    nor batches matter, and a row that stands twice counts twice.
    """
    there = [name for name in content_columns(table) if name in rows.schema.names]
    values = ", ".join(f"""'"{name}":' || to_json("{name}")::VARCHAR""" for name in there)  # null with a null column
    lanes = ", ".join(f"sum(('0x' || substr(h, {1 + _DIGITS * lane}, {_DIGITS}))::HUGEINT)" for lane in range(_LANES))
    with duckdb.connect(config={"temp_directory": ""}) as memory:
        memory.execute("SET TimeZone = 'UTC'")
        memory.register("given", rows)
        hashed = f"SELECT sha256(concat_ws(',', {values})) AS h FROM given"
        found = memory.execute(f"SELECT count(*), {lanes} FROM ({hashed})").fetchone()
    return FORM + hashlib.sha256("|".join(map(str, found or ())).encode()).hexdigest()[:32]
