"""The outbox: confirmed flags on their way to the EHR, and back out of it. A dead server loses nothing.

Rows wait until the server has taken them. Each attempt is counted and kept, with a growing pause; what the server
refuses for good is kept as failed, with the reason. Sending twice writes once: what was written is looked for first,
and every create is conditional.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from connectors.ehr import EhrError, UnreachableError
from review.database import OUTBOX, reading
from review.records import Records, Snapshot
from zebrawatch.fhir.writeback import ConfirmedFlag, WriteBackError, retract_bundle, where, write_bundle, written_under
from zebrawatch.reports.statement import Provenance, statement

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
WAITING, DONE, FAILED = "waiting", "done", "failed"


class Server(Protocol):
    """What the outbox needs of a server (connectors.ehr.EhrServer)."""

    def transact(self, bundle: Mapping[str, Any]) -> None: ...

    def find(self, kind: str, query: str) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Letter:
    """A row of the outbox. `key` names what is written, for good: flag, disease, and the row that wrote it."""

    id: int
    flag_id: str
    subject_id: int
    disease_id: str
    night: date
    action: str
    payload: Mapping[str, Any]
    attempts: int
    due: datetime
    writes: int

    @property
    def key(self) -> str:
        """The name under which it is written and found again."""
        subject, _, first = self.flag_id.rpartition(":")
        return f"{int(subject):016x}.{first}.{self.disease_id.replace(':', '-')}.{self.writes}"


@dataclass(frozen=True)
class Sent:
    """What became of the letters: done, still waiting, refused for good, and one line each."""

    done: int = 0
    waiting: int = 0
    failed: int = 0
    lines: tuple[str, ...] = ()


def waiting(engine: sa.Engine, *, failed_too: bool = False) -> list[Letter]:
    """The letters that wait, in the order they were put in; those that failed too where asked."""
    with reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(sa.select(OUTBOX).order_by(OUTBOX.c.id)).mappings()]
    states = (WAITING, FAILED) if failed_too else (WAITING,)
    return [_letter(row, rows) for row in rows if row["state"] in states]


def _letter(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Letter:
    """A retraction takes back the write before it, and so goes by that one's name."""
    writes = [
        one["id"]
        for one in rows
        if one["action"] == "write" and one["flag_id"] == row["flag_id"] and one["disease_id"] == row["disease_id"]
        and one["id"] <= row["id"]
    ]  # fmt: skip
    due = (row["payload"].get("sending") or {}).get("next_attempt")
    return Letter(
        row["id"], row["flag_id"], row["subject_id"], row["disease_id"], row["night"], row["action"], row["payload"],
        row["attempts"], datetime.fromisoformat(due) if due else row["created_at"], max(writes, default=row["id"]),
    )  # fmt: skip


def bundle_of(letter: Letter, records: Records, snapshot: Snapshot, *, to_portals: bool) -> dict[str, Any]:
    """The transaction that a letter to write is; WriteBackError in one sentence where it cannot be written any more."""
    patient = snapshot.patients.get(letter.subject_id)
    if patient is None or patient["deleted"]:
        raise WriteBackError("The patient's record was deleted since the flag was confirmed; nothing is written.")
    if patient["restricted"]:
        raise WriteBackError("The patient's record was restricted since the flag was confirmed; nothing is written.")
    if patient["merged_into"] is not None:
        raise WriteBackError("The patient's record was merged into another since; confirm the flag there.")
    payload = letter.payload
    clinician, disease = payload.get("clinician") or {}, payload.get("disease") or {}
    identity = snapshot.identity
    return write_bundle(
        ConfirmedFlag(
            key=letter.key,
            patient_id=patient["source_id"],
            night=letter.night,
            confirmed_at=datetime.fromisoformat(payload["confirmed_at"]),
            disease_id=letter.disease_id,
            disease_name=disease.get("name") or letter.disease_id,
            risk=disease.get("risk") or "",
            log10_lr=float(disease.get("log10_lr") or 0.0),
            clinician=clinician.get("name") or "",
            practitioner=clinician.get("practitioner"),
            sources=_sources(letter, records, snapshot),
            method=f"{identity.get('code')}, knowledge {(identity.get('knowledge') or {}).get('version')}, "
            f"{identity.get('protocol')}",
            model=str((identity.get("reasoning") or {}).get("model") or "none"),
            statement=_statement(records, snapshot),
            to_portals=to_portals,
            **_calibrated(letter, records, snapshot),
        )
    )


def _calibrated(letter: Letter, records: Records, snapshot: Snapshot) -> dict[str, Any]:
    """The percentage of the score that stood on the letter's night, where the site may show one."""
    scores = records.patient(snapshot, letter.subject_id, letter.night).candidates
    if snapshot.percentage is None or not scores:
        return {}
    return {
        "percentage": snapshot.percentage.of(scores[0]["p_any"], letter.night),
        "checked_on": snapshot.percentage.words,
    }


def _sources(letter: Letter, records: Records, snapshot: Snapshot) -> tuple[str, ...]:
    """Notes and results that speak for the disease in the score that stood on the letter's night, weightiest first."""
    rows = records.patient(snapshot, letter.subject_id, letter.night).candidates
    parts = [
        part
        for row in rows
        if row["disease_id"] == letter.disease_id
        for part in row["contributions"]
        if part["source_id"]
    ]
    weighty = sorted((part for part in parts if part["log10_lr"] > 0), key=lambda part: -part["log10_lr"])
    return tuple(dict.fromkeys(part["source_id"].partition("#")[0] for part in weighty))


def _statement(records: Records, snapshot: Snapshot) -> str:
    knowledge = {k: v for k, v in (snapshot.identity.get("knowledge") or {}).items() if k != "version"}
    model = (snapshot.identity.get("reasoning") or {}).get("model")
    arms = ("evidence", "reasoning") if model else ("evidence",)
    releases = "; ".join(f"{name} {release}" for name, release in sorted(knowledge.items()))
    checked = snapshot.percentage.words if snapshot.percentage else None
    return statement(Provenance(records.data_kind, arms, releases, snapshot.night, model, checked))


def send(
    engine: sa.Engine,
    server: Server,
    compose: Callable[[Letter], dict[str, Any]],
    *,
    now: datetime | None = None,
    at_once: bool = False,
    failed_too: bool = False,
) -> Sent:
    """Send what is due, in order; stop at the first sign that the server is not there.

    `compose` gives the transaction of a letter to write. `at_once` does not wait for pauses to end. A flag whose
    earlier letter did not go through waits behind it.
    """
    moment = now or datetime.now(UTC)
    done, failed, lines = 0, 0, []
    held: set[str] = set()
    letters = waiting(engine, failed_too=failed_too)
    dead = False
    for letter in letters:
        due = at_once or letter.due <= moment
        if dead or not due or letter.flag_id in held:
            if not due:
                tried = f"tried {letter.attempts} times, waits until {letter.due:%Y-%m-%d %H:%M} UTC"
                lines.append(f"{letter.key}: {tried}")
            held.add(letter.flag_id)
            continue
        try:
            word = _deliver(letter, server, compose, moment)
        except UnreachableError as error:
            dead = True
            held.add(letter.flag_id)
            _put_off(engine, letter, str(error), moment)
            lines.append(f"{letter.key}: {error}")
        except (WriteBackError, EhrError) as error:
            failed += 1
            held.add(letter.flag_id)
            _close(engine, letter, FAILED, str(error))
            lines.append(f"{letter.key}: {error}")
        else:
            done += 1
            _close(engine, letter, DONE, None)
            lines.append(f"{letter.key}: {word}")
    return Sent(done, len(letters) - done - failed, failed, tuple(lines))


def _deliver(letter: Letter, server: Server, compose: Callable[[Letter], dict[str, Any]], now: datetime) -> str:
    if letter.action == "retract":
        stored = [
            one
            for kind in ("RiskAssessment", "Task")
            for one in written_under(letter.key, server.find(kind, where(letter.key)))
        ]
        bundle = retract_bundle(stored, letter.key, str(letter.payload.get("reason") or "the flag fell"), now)
        if bundle is None:
            return "nothing of it stands in the EHR"
        server.transact(bundle)
        return "taken back"
    bundle = compose(letter)
    if written_under(letter.key, server.find("RiskAssessment", where(letter.key))):
        return "was written before"  # an earlier attempt went through, and its answer was lost
    server.transact(bundle)
    return "written"


def _close(engine: sa.Engine, letter: Letter, state: str, error: str | None) -> None:
    values: dict[str, Any] = {"state": state, "last_error": error, "attempts": OUTBOX.c.attempts + 1}
    with engine.begin() as connection:
        connection.execute(OUTBOX.update().where(OUTBOX.c.id == letter.id).values(**values))


def _put_off(engine: sa.Engine, letter: Letter, error: str, now: datetime) -> None:
    """Count the attempt, and pause: one minute, two, four, up to six hours."""
    pause = min(FIRST_PAUSE * 2 ** min(letter.attempts, 12), LONGEST_PAUSE)
    payload = {**letter.payload, "sending": {"next_attempt": (now + pause).isoformat()}}
    with engine.begin() as connection:
        connection.execute(
            OUTBOX.update()
            .where(OUTBOX.c.id == letter.id)
            .values(state=WAITING, last_error=error, attempts=OUTBOX.c.attempts + 1, payload=payload)
        )
