"""Accounts and log-in: local passwords (argon2id), roles, and how often a wrong password may be tried."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from review.database import ACCOUNTS, ATTEMPTS, SESSIONS, DatabaseError, reading

ROLES = ("reviewer", "auditor", "dashboard", "admin")
SHORTEST_PASSWORD = 12  # NIST SP 800-63B asks for 8 at least; length is the only rule
TRIES = {"login": 5, "address": 30}
TRIES_WINDOW = timedelta(minutes=15)

_HASHER = PasswordHasher()  # argon2id with the library's defaults (RFC 9106, low-memory profile)
_NOBODY = _HASHER.hash(secrets.token_urlsafe())  # an unknown log-in name takes as long as a wrong password


@dataclass(frozen=True)
class Account:
    """Who is logged in. `practitioner` is the FHIR reference under which the EHR knows them, where given."""

    id: int
    login: str
    name: str
    role: str
    practitioner: str | None = None


class TooManyTriesError(Exception):
    """Too many wrong passwords for this name or from this address; `minutes` until the next try."""

    def __init__(self, minutes: int) -> None:
        super().__init__(f"try again in {minutes} minutes")
        self.minutes = minutes


def create_account(
    engine: sa.Engine, login: str, name: str, role: str, password: str | None = None, practitioner: str | None = None
) -> Account:
    """Make an account. DatabaseError, worded for the admin, where the name is taken or a value is not allowed."""
    login = login.strip().lower()
    if not login or len(login) > 120 or any(letter.isspace() for letter in login):
        raise DatabaseError("A log-in name has 1 to 120 letters and no space.")
    if role not in ROLES:
        raise DatabaseError(f"A role is one of {', '.join(ROLES)}.")
    check_password(password)
    row = {
        "login": login, "name": name.strip()[:200] or login, "role": role, "practitioner": practitioner or None,
        "password_hash": _HASHER.hash(password) if password else None, "created_at": datetime.now(UTC),
    }  # fmt: skip
    try:
        with engine.begin() as connection:
            made = connection.execute(ACCOUNTS.insert().values(**row))
    except sa.exc.IntegrityError:
        raise DatabaseError(f"There is already an account '{login}'.") from None
    key = made.inserted_primary_key
    assert key is not None
    return Account(int(key[0]), login, str(row["name"]), role, practitioner)


def check_password(password: str | None) -> None:
    """DatabaseError where a password is too short."""
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise DatabaseError(f"A password has at least {SHORTEST_PASSWORD} characters.")


def set_password(engine: sa.Engine, account_id: int, password: str) -> None:
    """Change a password and end the account's sessions."""
    check_password(password)
    with engine.begin() as connection:
        connection.execute(
            ACCOUNTS.update().where(ACCOUNTS.c.id == account_id).values(password_hash=_HASHER.hash(password))
        )
        _end_sessions(connection, account_id)


def disable(engine: sa.Engine, account_id: int, disabled: bool) -> None:
    """Shut an account out (and end its sessions), or let it in again. What it decided stays."""
    with engine.begin() as connection:
        connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == account_id).values(disabled=disabled))
        if disabled:
            _end_sessions(connection, account_id)


def _end_sessions(connection: sa.Connection, account_id: int) -> None:
    open_ones = (SESSIONS.c.account_id == account_id) & SESSIONS.c.ended_at.is_(None)
    connection.execute(SESSIONS.update().where(open_ones).values(ended_at=datetime.now(UTC)))


def list_accounts(engine: sa.Engine) -> list[dict[str, Any]]:
    """All accounts, without their hashes."""
    shown = [c for c in ACCOUNTS.c if c.name != "password_hash"]
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(sa.select(*shown).order_by(ACCOUNTS.c.login)).mappings()]


def first_accounts(engine: sa.Engine, *, demo: bool) -> list[tuple[str, str, str]]:
    """Accounts to begin with, as (log-in name, role, password), each with a random password that is told only now.

    On made data one of each role, with new passwords at every start; else one admin where there is no account yet.
    """
    known = {row["login"]: row for row in list_accounts(engine)}
    if not demo and known:
        return []
    told = []
    for role in ROLES if demo else ("admin",):
        login, password = (f"demo-{role}" if demo else role), secrets.token_urlsafe(12)
        if login in known:
            set_password(engine, known[login]["id"], password)
        else:
            create_account(engine, login, f"Demo {role}" if demo else "Administrator", role, password)
        told.append((login, role, password))
    return told


def authenticate(engine: sa.Engine, login: str, password: str, address: str) -> Account | None:
    """The account, or None where name or password is wrong, or the account is shut out.

    TooManyTriesError after 5 failures for a name or 30 from an address within 15 minutes, whether or not the name
    exists.
    """
    login = login.strip().lower()
    keys = {"login": _hashed("login", login), "address": _hashed("address", address)}
    since = datetime.now(UTC) - TRIES_WINDOW
    with engine.begin() as connection:
        connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.at < since))
        for kind, key in keys.items():
            tries = connection.execute(sa.select(ATTEMPTS.c.at).where(ATTEMPTS.c.what == key)).scalars().all()
            if len(tries) >= TRIES[kind]:
                wait = min(tries) + TRIES_WINDOW - datetime.now(UTC)
                raise TooManyTriesError(max(1, -(-int(wait.total_seconds()) // 60)))
        row = connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.login == login)).mappings().first()
        # counted before the slow check, so that tries at the same time cannot slip past the limit
        connection.execute(ATTEMPTS.insert(), [{"what": key, "at": datetime.now(UTC)} for key in keys.values()])
    if not _verified(row["password_hash"] if row else None, password) or row is None or row["disabled"]:
        return None
    with engine.begin() as connection:
        connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.what == keys["login"]))
    return account_of(row)


def _verified(stored: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def _hashed(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()[:32]}"


def account_of(row: Any) -> Account:
    """The account of a row."""
    return Account(row["id"], row["login"], row["name"], row["role"], row["practitioner"])


def account_of_issuer(engine: sa.Engine, issuer: str, claims: dict[str, Any], role_claim: str) -> Account | None:
    """The account of someone whom OpenID Connect let in: found by issuer and subject, made or changed by the claims.

    None where the account is shut out or no claimed role is one of ours (`reviewer`, or `zebrawatch-reviewer`). Where
    several are claimed, the one that sees least of patients holds.
    """
    claimed = claims.get(role_claim) or ()
    named = {str(role).removeprefix("zebrawatch-") for role in ([claimed] if isinstance(claimed, str) else claimed)}
    role = next((role for role in ("dashboard", "admin", "auditor", "reviewer") if role in named), None)
    subject = str(claims["sub"])
    with engine.begin() as connection:
        mine = (ACCOUNTS.c.issuer == issuer) & (ACCOUNTS.c.subject == subject)
        row = connection.execute(sa.select(ACCOUNTS).where(mine)).mappings().first()
        if role is None or (row is not None and row["disabled"]):
            return None
        facts = {
            "name": str(claims.get("name") or claims.get("preferred_username") or subject)[:200],
            "role": role,
            "practitioner": claims.get("fhirUser"),  # SMART App Launch: the clinician's FHIR resource
        }
        if row is None:
            login = f"{claims.get('preferred_username') or 'user'}@oidc-{_hashed('', issuer + subject)[1:9]}".lower()
            connection.execute(
                ACCOUNTS.insert().values(
                    login=login[:120], issuer=issuer, subject=subject, created_at=datetime.now(UTC), **facts
                )
            )
        else:
            connection.execute(ACCOUNTS.update().where(mine).values(**facts))
        return account_of(connection.execute(sa.select(ACCOUNTS).where(mine)).mappings().one())
