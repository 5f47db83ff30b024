"""Made rows for the lake's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zebrawatch.schemas import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def arrow(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of a table in memory; what a row leaves out is null."""
    schema = pa.schema([field.remove_metadata() for field in table.schema])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def frame(spark: SparkSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Rows of a table under Spark."""
    from pyspark.sql.pandas.types import from_arrow_schema

    made = arrow(table, rows)
    if not rows:
        return spark.createDataFrame([], from_arrow_schema(made.schema, prefer_timestamp_ntz=False))
    return spark.createDataFrame(made)
