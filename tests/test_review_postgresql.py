"""The review database on PostgreSQL: the same tables, the same refusals, the same chain."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from connectors.configuration import from_values
from connectors.review_database import read_verdicts
from review import accounts, audit_trail, readings, sessions
from review.database import AUDIT_TRAIL, VERDICTS, open_database
from review.readings import Given
from review.web import Limits

pytestmark = pytest.mark.skipif(shutil.which("initdb") is None, reason="no PostgreSQL server on this machine")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of its own on a socket, run by an ordinary user (it refuses root)."""
    folder = Path(tempfile.mkdtemp(prefix="zw-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    name = user or pwd.getpwuid(os.geteuid()).pw_name

    def run(*command: str) -> None:
        subprocess.run(command, user=user, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("initdb", "-D", str(folder / "data"), "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses='' -c fsync=off -k {folder}"
    run("pg_ctl", "-D", str(folder / "data"), "-w", "-o", options, "-l", str(folder / "log"), "start")
    yield f"postgresql://{name}@/postgres?host={folder}"
    run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_keeps_what_sqlite_keeps(url: str) -> None:
    settings = from_values({"review": {"database": url}}, "test")
    engine = open_database(settings.review_database)
    engine = open_database(settings.review_database)  # a second start finds everything made
    ada = accounts.create_account(engine, "ada", "Ada", "reviewer", "a long enough password")
    limits = Limits(timedelta(minutes=5), timedelta(hours=1))
    found = sessions.find(engine, sessions.begin(engine, ada), limits)
    assert found is not None and found.account == ada
    subject = 2**62 + 7
    given = Given("plausible", "words", "chart")
    readings.give(
        engine, ada, "127.0.0.1", (f"sample:{subject}:2025-06-30", subject, date(2025, 6, 30), 2.5), given, None
    )
    assert [(one.subject_id, one.sampling_weight) for one in readings.verdicts_on(engine)] == [(subject, 2.5)]
    for table in (VERDICTS, AUDIT_TRAIL):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(table.delete())
    assert audit_trail.check(engine) == (1, None)
    made = read_verdicts(settings.review_database, ZoneInfo("UTC"))
    assert made is not None
    assert made.to_pylist()[0]["subject_id"] == subject
    engine.dispose()
