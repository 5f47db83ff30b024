"""The door to the review application's database, for reading only: its one writer is the application."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import night_of
from zebrawatch.schemas import VERDICTS

_QUERY = """
SELECT v.id, v.flag_id, v.subject_id, v.disease_id, v.night, v.stage, v.verdict, v.reason, v.reading,
       v.sampling_weight, v.confirmed, v.flag_state, a.login, v.created_at
FROM verdicts v JOIN accounts a ON a.id = v.account_id ORDER BY v.id
"""


def read_verdicts(url: str, zone: ZoneInfo) -> pa.Table | None:
    """All verdicts given so far as rows of schemas.VERDICTS; None where no application has run yet.

    ConfigurationError where the database cannot be read.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            return None
        engine = sa.create_engine(parsed)
        try:
            with engine.connect() as connection:
                if not sa.inspect(connection).has_table("verdicts"):
                    return None
                rows = [_row(dict(row), zone) for row in connection.execute(sa.text(_QUERY)).mappings()]
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise ConfigurationError(
            f"The review database cannot be read ({type(error).__name__}); check review.database and that it runs."
        ) from None
    return pa.Table.from_pylist(rows, schema=pa.schema([field.remove_metadata() for field in VERDICTS.schema]))


def _row(row: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """One verdict; SQLite gives days and instants as text and yes or no as 1 or 0."""
    given, night = _instant(row["created_at"]), row["night"]
    told = {
        **row,
        "verdict_id": row["id"],
        "night": date.fromisoformat(night) if isinstance(night, str) else night,
        "confirmed": bool(row["confirmed"]),
        "reviewer": row["login"],
        "given_at": given,
        "known_night": night_of(given, zone),
    }
    return {name: told[name] for name in VERDICTS.schema.names}


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
