"""Content digest: what "the same" means for the rows of a table (DESIGN, "The lake")."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

from zebrawatch.schemas import Table


def digest_of(data: pa.Table, table: Table) -> str:
    """Content digest of a small table in memory: rows in key order, canonical JSON, without clock columns."""
    columns = [name for name in table.schema.names if name not in table.clock]
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in data.select(columns).to_pylist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
