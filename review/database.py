"""The application's database: accounts, sessions, verdicts, assignments, the audit trail and the outbox.

`review` is its only writer. SQLite under the state folder by default (mode 0600), PostgreSQL by URL. Verdicts and the
audit trail are append-only, which triggers hold: a change of mind is a new row. Instants are UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Date, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, Text, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from zebrawatch.errors import ZebrawatchError

SCHEMA_VERSION = 1

METADATA = MetaData()


class DatabaseError(ZebrawatchError):
    """The application's database cannot be used as asked."""


class Instant(sa.TypeDecorator[datetime]):
    """An instant in UTC; SQLite keeps no time zones, so they are put back when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC."""
        return value.astimezone(UTC) if value and dialect.name != "sqlite" else _naive(value)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """With its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _naive(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC).replace(tzinfo=None) if value else None


BIG = sa.BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up by itself only in an INTEGER key

META = Table("meta", METADATA, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))

ACCOUNTS = Table(
    "accounts", METADATA,
    Column("id", Integer, primary_key=True),
    Column("login", String(120), nullable=False, unique=True),
    Column("name", String(200), nullable=False),  # as others see it, and as the EHR is told
    Column("role", String(20), nullable=False),  # reviewer / auditor / dashboard / admin
    Column("password_hash", Text),  # argon2id; null where only OpenID Connect lets in
    Column("issuer", Text),  # OpenID Connect issuer and subject
    Column("subject", Text),
    Column("practitioner", Text),  # FHIR reference of the clinician, such as Practitioner/12
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_at", Instant, nullable=False),
    sa.UniqueConstraint("issuer", "subject"),
)  # fmt: skip

SESSIONS = Table(
    "sessions", METADATA,
    Column("id", String(64), primary_key=True),  # sha256 of the cookie's token, which is stored nowhere
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("notice", Text),  # JSON: sentences for the next page
    Column("draft", Text),  # JSON: what was written when an earlier session expired, to be looked at again
)  # fmt: skip

ATTEMPTS = Table(
    "attempts", METADATA,
    Column("id", BIG, primary_key=True),
    Column("what", String(200), nullable=False, index=True),  # log-in name or address, hashed
    Column("at", Instant, nullable=False),
)  # fmt: skip

VERDICTS = Table(
    "verdicts", METADATA,
    Column("id", BIG, primary_key=True),
    Column("flag_id", String(80), nullable=False, index=True),  # episode_id, or sample:<subject>:<night>
    Column("subject_id", sa.BigInteger, nullable=False, index=True),
    Column("disease_id", String(60)),  # of the diseases shown, where the verdict is about one
    Column("night", Date, nullable=False),  # the chart was read as it stood on this night
    Column("stage", String(10), nullable=False),  # chart (before the ranking was shown) / final
    Column("verdict", String(30), nullable=False),  # plausible / already known / explained otherwise / unsure
    Column("reason", Text, nullable=False),
    Column("reading", String(10), nullable=False),  # first / second / sample
    Column("sampling_weight", Float),  # of a random reading: patients it stands for
    Column("confirmed", Boolean, nullable=False, default=False),  # a named clinician lets it go to the EHR
    Column("seen_verdict", BIG),  # newest verdict on this flag when the page was opened
    Column("flag_state", String(20), nullable=False),  # standing / withdrawn / sample, when the verdict was given
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("created_at", Instant, nullable=False),
)  # fmt: skip

ASSIGNMENTS = Table(
    "assignments", METADATA,
    Column("id", BIG, primary_key=True),
    Column("flag_id", String(80), nullable=False, index=True),
    Column("subject_id", sa.BigInteger, nullable=False),
    Column("night", Date, nullable=False),
    Column("kind", String(10), nullable=False),  # assign / snooze / sample
    Column("account_id", ForeignKey("accounts.id")),  # who is to read, or for whom it sleeps
    Column("by_account_id", ForeignKey("accounts.id")),
    Column("until", Date),  # snooze: until this night
    Column("reason", Text, nullable=False, default=""),
    Column("sampling_weight", Float),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)  # fmt: skip

AUDIT_TRAIL = Table(
    "audit_trail", METADATA,
    Column("id", BIG, primary_key=True),
    Column("recorded", Instant, nullable=False, index=True),  # AuditEvent.recorded
    Column("type", String(40), nullable=False),  # AuditEvent.type.code
    Column("subtype", String(40), nullable=False),  # AuditEvent.subtype.code
    Column("action", String(1), nullable=False),  # AuditEvent.action: C R U D E
    Column("outcome", String(2), nullable=False),  # AuditEvent.outcome: 0 4 8 12
    Column("agent", String(120), nullable=False),  # AuditEvent.agent.who: log-in name
    Column("role", String(20), nullable=False),
    Column("subject_id", sa.BigInteger, index=True),  # AuditEvent.entity.what: the patient, by pseudonymous key
    Column("flag_id", String(80), index=True),
    Column("event", Text, nullable=False),  # the whole FHIR R4 AuditEvent, JSON
    Column("previous", String(64), nullable=False),  # hash of the row before
    Column("hash", String(64), nullable=False),  # sha256 of `previous` and `event`
)  # fmt: skip

OUTBOX = Table(
    "outbox", METADATA,
    Column("id", BIG, primary_key=True),
    Column("flag_id", String(80), nullable=False, index=True),
    Column("subject_id", sa.BigInteger, nullable=False),
    Column("disease_id", String(60), nullable=False),
    Column("night", Date, nullable=False),
    Column("action", String(10), nullable=False),  # write / retract
    Column("state", String(10), nullable=False),  # waiting / done / failed
    Column("payload", sa.JSON, nullable=False),  # what the FHIR resources are made of (review.outbox)
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    Column("created_at", Instant, nullable=False),
)  # fmt: skip

APPEND_ONLY = (VERDICTS, AUDIT_TRAIL)


def open_database(url: str) -> sa.Engine:
    """Open the database, and make what is missing in it.

    DatabaseError, in one sentence, where it cannot be reached or a newer release wrote it.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _private_file(Path(parsed.database))
        engine = sa.create_engine(parsed, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise DatabaseError(f"review.database cannot be opened ({type(error).__name__}); check its URL.") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings)
        event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            METADATA.create_all(connection)
            _append_only(connection)
            _check_version(connection)
    except OperationalError as error:
        raise DatabaseError(
            f"The review database at {parsed.render_as_string(hide_password=True)} cannot be reached "
            f"({type(error.orig).__name__}); check review.database and that its server runs."
        ) from None
    return engine


def _private_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)


def _sqlite_settings(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, so that a writer takes its lock at once
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=10000", "synchronous=FULL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    """A writer takes SQLite's lock at once, so that what it read first still holds when it writes."""
    looking = connection.get_execution_options().get("looking")
    connection.exec_driver_sql("BEGIN" if looking else "BEGIN IMMEDIATE")


def _append_only(connection: sa.Connection) -> None:
    """Triggers that refuse to change or delete rows of the append-only tables."""
    for table in APPEND_ONLY:
        if connection.dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                    f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
                )
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION zebrawatch_append_only() RETURNS trigger AS "
                "$$ BEGIN RAISE EXCEPTION 'append-only'; END $$ LANGUAGE plpgsql"
            )
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table.name}_append_only ON {table.name}")
            connection.exec_driver_sql(
                f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
                "FOR EACH STATEMENT EXECUTE FUNCTION zebrawatch_append_only()"
            )


def _check_version(connection: sa.Connection) -> None:
    found = connection.scalar(sa.select(META.c.value).where(META.c.key == "schema_version"))
    if found is None:
        connection.execute(META.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
    elif int(found) > SCHEMA_VERSION:
        raise DatabaseError(
            f"The review database has schema version {found}, this Zebrawatch knows {SCHEMA_VERSION}: upgrade it first."
        )


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for looking only."""
    with engine.connect().execution_options(looking=True) as connection:
        yield connection
