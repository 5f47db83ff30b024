"""Sessions: a random token in a cookie, its hash in the database, an end after idleness and after a day's work."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from review.accounts import Account, account_of
from review.database import ACCOUNTS, SESSIONS

DRAFTS_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Limits:
    """How long a session lasts: without a click, and in any case."""

    idle: timedelta
    longest: timedelta


@dataclass(frozen=True)
class Session:
    """A session that stands. `draft` is what was written when an earlier one of the same account expired."""

    id: str
    account: Account
    csrf: str
    draft: dict[str, Any] | None


def begin(engine: sa.Engine, account: Account) -> str:
    """Begin a session; its token, to be put into the cookie. A draft kept for the account moves here."""
    token = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        kept = (SESSIONS.c.account_id == account.id) & SESSIONS.c.draft.is_not(None)
        newest = sa.select(SESSIONS.c.draft).where(kept & (SESSIONS.c.seen_at > now - DRAFTS_KEPT))
        draft = connection.scalar(newest.order_by(SESSIONS.c.seen_at.desc()).limit(1))
        connection.execute(SESSIONS.update().where(kept).values(draft=None))
        connection.execute(
            SESSIONS.insert().values(
                id=_id(token), account_id=account.id, csrf=secrets.token_urlsafe(24), created_at=now, seen_at=now,
                draft=draft,
            )
        )  # fmt: skip
    return token


def find(engine: sa.Engine, token: str, limits: Limits) -> Session | None:
    """The session of a token, and that it was used now; None where it is unknown, ended or too old."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = _row(connection, token)
        if row is None or row["ended_at"] or row["disabled"]:
            return None
        if now - row["seen_at"] > limits.idle or now - row["session_created_at"] > limits.longest:
            return None
        if now - row["seen_at"] > timedelta(seconds=20):  # not a write for every picture and style sheet
            connection.execute(SESSIONS.update().where(SESSIONS.c.id == _id(token)).values(seen_at=now))
    return Session(_id(token), account_of(row), row["csrf"], json.loads(row["draft"]) if row["draft"] else None)


def keep_draft(engine: sa.Engine, token: str, draft: dict[str, Any]) -> bool:
    """Keep what was being written for whoever this token's session belonged to; False where it is unknown."""
    with engine.begin() as connection:
        if (row := _row(connection, token)) is None or row["disabled"]:
            return False
        values = {"draft": json.dumps(draft), "seen_at": datetime.now(UTC), "ended_at": datetime.now(UTC)}
        connection.execute(SESSIONS.update().where(SESSIONS.c.id == _id(token)).values(**values))
    return True


def drop_draft(engine: sa.Engine, session: Session) -> None:
    """What was kept has been used."""
    with engine.begin() as connection:
        connection.execute(SESSIONS.update().where(SESSIONS.c.id == session.id).values(draft=None))


def end(engine: sa.Engine, session: Session) -> None:
    """Log out."""
    with engine.begin() as connection:
        values = {"ended_at": datetime.now(UTC), "draft": None}
        connection.execute(SESSIONS.update().where(SESSIONS.c.id == session.id).values(**values))


def _row(connection: sa.Connection, token: str) -> Any:
    columns = [*ACCOUNTS.c, *(c for c in SESSIONS.c if c.name not in ("id", "created_at"))]
    query = (
        sa.select(*columns, SESSIONS.c.created_at.label("session_created_at"))
        .join(ACCOUNTS, ACCOUNTS.c.id == SESSIONS.c.account_id)
        .where(SESSIONS.c.id == _id(token))
    )
    return connection.execute(query).mappings().first()


def _id(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def tell(engine: sa.Engine, session: Session, sentences: Sequence[str], tone: str = "good") -> None:
    """Leave sentences for the next page of the session."""
    if sentences:
        with engine.begin() as connection:
            values = {"notice": json.dumps({"tone": tone, "sentences": list(sentences)})}
            connection.execute(SESSIONS.update().where(SESSIONS.c.id == session.id).values(**values))


def told(engine: sa.Engine, session: Session) -> dict[str, Any] | None:
    """The sentences left for this page, once."""
    with engine.begin() as connection:
        mine = SESSIONS.c.id == session.id
        notice = connection.scalar(sa.select(SESSIONS.c.notice).where(mine))
        if notice:
            connection.execute(SESSIONS.update().where(mine).values(notice=None))
    return dict(json.loads(notice)) if notice else None
