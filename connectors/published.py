"""The door to dashboards: aggregate tables as Parquet and as one DuckDB file, with their data dictionary, and a page.

They hold no row about one person, so they lie outside the lake, where BI tools may open them.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from zebrawatch.reports.dashboard import dashboard_page
from zebrawatch.reports.published import DICTIONARY, Published

DATABASE = "published.duckdb"
PAGE = "dashboard.html"


def write_published(published: Published, folder: Path) -> Path:
    """Write tables, dictionary and page into `folder`, in place of what was there; whole or not at all.

    Returns the folder. The newest publication is the only one: two of them, a night apart, would tell by subtraction
    what one hides.
    """
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    tables = {**published.tables, DICTIONARY: published.dictionary}
    for name, table in tables.items():
        pq.write_table(table, partial / f"{name}.parquet")
    _database(tables, partial / DATABASE)
    (partial / PAGE).write_text(dashboard_page(published), encoding="utf-8")
    aside = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    partial.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def _database(tables: dict[str, pa.Table], path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        for name, table in tables.items():
            connection.register("given", table)
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
            connection.unregister("given")
            for column in table.schema:
                about = (column.metadata or {}).get(b"about", b"").decode().replace("'", "''")
                if about:
                    connection.execute(f'COMMENT ON COLUMN "{name}"."{column.name}" IS \'{about}\'')
