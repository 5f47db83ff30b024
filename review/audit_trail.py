"""The audit trail: who looked at whom and what they did, as FHIR R4 AuditEvents in an append-only table.

Every row carries a hash over itself and the row before (a hash chain), so that a row changed or taken out behind the
application's back shows (`check`). Events hold pseudonymous keys, never record numbers or text of the chart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from review.accounts import Account
from review.database import AUDIT_TRAIL, reading

DICOM = "http://dicom.nema.org/resources/ontology/DCM"
OURS = "urn:zebrawatch:review"

LOG_IN = ("110114", "User Authentication")
SECURITY = ("110113", "Security Alert")
PATIENT_RECORD = ("110110", "Patient Record")
QUERY = ("110112", "Query")
EXPORT = ("110106", "Export")
"""Types of audit events: DICOM PS3.16, context group 400."""


@dataclass(frozen=True)
class Deed:
    """What was done: `type` one of the above, `subtype` in our words (`look`, `verdict`, `log in`), `action` as in FHIR
    (C create, R read, U update, E execute). `facts` are told in the event; they must hold nothing of the chart.
    """

    type: tuple[str, str]
    subtype: str
    action: str
    subjects: Sequence[int] = ()
    flag_id: str | None = None
    facts: Mapping[str, str] | None = None
    refused: bool = False


def record(connection: sa.Connection, who: Account | str, address: str, deed: Deed) -> None:
    """Append an event, within the transaction of what it tells of."""
    now = datetime.now(UTC)
    if connection.dialect.name == "postgresql":  # one writer of the chain at a time; SQLite has only one anyway
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7)")
    previous = connection.scalar(sa.select(AUDIT_TRAIL.c.hash).order_by(AUDIT_TRAIL.c.id.desc()).limit(1)) or ""
    login, role = (who.login, who.role) if isinstance(who, Account) else (who[:120], "")
    event = json.dumps(_event(login, role, address, deed, now), sort_keys=True)
    connection.execute(
        AUDIT_TRAIL.insert().values(
            recorded=now, type=deed.type[0], subtype=deed.subtype, action=deed.action,
            outcome="8" if deed.refused else "0", agent=login, role=role,
            subject_id=deed.subjects[0] if len(deed.subjects) == 1 else None, flag_id=deed.flag_id, event=event,
            previous=previous, hash=_hash(previous, event),
        )
    )  # fmt: skip


def _event(login: str, role: str, address: str, deed: Deed, now: datetime) -> dict[str, Any]:
    entities: list[dict[str, Any]] = [
        {
            "what": {"identifier": {"system": "urn:zebrawatch:subject", "value": f"{subject:016x}"}},
            "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"},
            "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"},
        }
        for subject in deed.subjects
    ]
    if deed.flag_id:
        entities.append(
            {
                "what": {"identifier": {"system": "urn:zebrawatch:flag", "value": deed.flag_id}},
                "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2"},
                "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "3"},
            }
        )
    if deed.facts:
        details = [{"type": name, "valueString": value} for name, value in deed.facts.items()]
        entities.append({"description": deed.subtype, "detail": details})
    agent: dict[str, Any] = {"who": {"identifier": {"system": OURS, "value": login}}, "requestor": True}
    if role:
        agent["role"] = [{"coding": [{"system": OURS, "code": role}]}]
    if address:
        agent["network"] = {"address": address, "type": "2"}
    return {
        "resourceType": "AuditEvent",
        "type": {"system": DICOM, "code": deed.type[0], "display": deed.type[1]},
        "subtype": [{"system": OURS, "code": deed.subtype.replace(" ", "-"), "display": deed.subtype}],
        "action": deed.action,
        "recorded": now.isoformat(),
        "outcome": "8" if deed.refused else "0",
        "agent": [agent],
        "source": {"observer": {"display": "zebrawatch review"}},
        **({"entity": entities} if entities else {}),
    }


def check(engine: sa.Engine) -> tuple[int, int | None]:
    """Number of rows, and the id of the first that does not follow from the one before (None: the chain is whole)."""
    previous, count = "", 0
    with reading(engine) as connection:
        for row in connection.execute(sa.select(AUDIT_TRAIL).order_by(AUDIT_TRAIL.c.id)).mappings():
            count += 1
            if row["previous"] != previous or row["hash"] != _hash(previous, row["event"]):
                return count, int(row["id"])
            previous = row["hash"]
    return count, None


def _hash(previous: str, event: str) -> str:
    return hashlib.sha256(f"{previous}\n{event}".encode()).hexdigest()
