"""What reviewers decide: verdicts, assignments, snoozes, second readings, random readings, what goes to the EHR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from review.accounts import Account
from review.audit_trail import PATIENT_RECORD, Deed, record
from review.database import ACCOUNTS, ASSIGNMENTS, OUTBOX, VERDICTS, DatabaseError, reading
from review.episodes import Alert, draw, sample_id, unflagged
from review.records import Snapshot

ANSWERS = ("plausible", "already known", "explained otherwise", "unsure")
CHART, FINAL = "chart", "final"
LONGEST_REASON = 4000


@dataclass(frozen=True)
class Verdict:
    """A verdict as given, with who gave it."""

    id: int
    flag_id: str
    subject_id: int
    disease_id: str | None
    night: date
    stage: str
    verdict: str
    reason: str
    reading: str
    sampling_weight: float | None
    confirmed: bool
    flag_state: str
    account_id: int
    reviewer: str
    created_at: datetime


@dataclass(frozen=True)
class Given:
    """A filled-in form. `seen` is the newest verdict on the flag when the page was opened, None for none."""

    answer: str
    reason: str
    stage: str
    disease_id: str | None = None
    confirmed: bool = False
    seen: int | None = None


@dataclass(frozen=True)
class Kept:
    """What became of a verdict: it was kept, whatever else happened meanwhile, which the sentences tell."""

    id: int
    sentences: tuple[str, ...]


def verdicts_on(engine: sa.Engine, flag_ids: Iterable[str] | None = None, subject: int | None = None) -> list[Verdict]:
    """Verdicts in the order they were given: of some flags, of a patient, or all."""
    query = sa.select(VERDICTS, ACCOUNTS.c.name.label("reviewer")).join(
        ACCOUNTS, ACCOUNTS.c.id == VERDICTS.c.account_id
    )
    if flag_ids is not None:
        query = query.where(VERDICTS.c.flag_id.in_(list(flag_ids)))
    if subject is not None:
        query = query.where(VERDICTS.c.subject_id == subject)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(VERDICTS.c.id)).mappings().all()
    return [Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__}) for row in rows]


def standing(verdicts: Sequence[Verdict]) -> dict[int, Verdict]:
    """The verdict of each reviewer that holds: the last final one, else the one on the chart alone."""
    held: dict[int, Verdict] = {}
    for verdict in verdicts:
        before = held.get(verdict.account_id)
        if before is None or verdict.stage == FINAL or before.stage == CHART:
            held[verdict.account_id] = verdict
    return held


def give(
    engine: sa.Engine, who: Account, address: str, flag: Alert | tuple[str, int, date, float | None], given: Given,
    now: Alert | None,
) -> Kept:  # fmt: skip
    """Keep a verdict on an alert (or on a random reading: id, subject, night, weight).

    `now` is the alert as it stands at this moment. A verdict is kept in any case: where the alert was withdrawn or
    another reviewer answered meanwhile, both are kept, it is said, and nothing goes to the EHR for a withdrawn alert.
    DatabaseError where the answer is none of ours or has no reason.
    """
    _check(given)
    if isinstance(flag, Alert):
        flag_id, subject, night, weight = flag.flag_id, flag.subject_id, flag.read_on, None
        state = "withdrawn" if now is None or now.withdrawn else "standing"
    else:
        flag_id, subject, night, weight = flag
        state = "sample"
    sentences: list[str] = []
    with engine.begin() as connection:
        before = _others(connection, flag_id, who)
        meanwhile = [row for row in before if row["id"] > (given.seen or 0)]
        if meanwhile:
            names = ", ".join(f"{row['name']} ({row['verdict']})" for row in meanwhile)
            sentences.append(f"While you were reading, this alert was also judged by {names}. Both verdicts are kept.")
        kind = "sample" if state == "sample" else "second" if before else "first"
        confirmed = given.confirmed and given.answer == "plausible" and state == "standing" and given.stage == FINAL
        made = connection.execute(
            VERDICTS.insert().values(
                flag_id=flag_id, subject_id=subject, disease_id=given.disease_id, night=night, stage=given.stage,
                verdict=given.answer, reason=given.reason.strip(), reading=kind, sampling_weight=weight,
                confirmed=confirmed, seen_verdict=given.seen, flag_state=state, account_id=who.id,
                created_at=datetime.now(UTC),
            )
        )  # fmt: skip
        if state == "withdrawn" and now is not None and isinstance(flag, Alert) and not flag.withdrawn:
            sentences.append(
                f"The alert was withdrawn on {now.changed} ({now.reason}) after you opened it. Your verdict is kept "
                "and marked so; nothing goes to the EHR."
            )
        elif given.confirmed and not confirmed:
            sentences.append("Nothing goes to the EHR: that takes a standing alert, judged plausible.")
        if isinstance(flag, Alert):
            sentences += _to_outbox(connection, who, flag, given, confirmed)
        facts = {"stage": given.stage, "verdict": given.answer, "reading": kind, "flag_state": state}
        record(connection, who, address, Deed(PATIENT_RECORD, "verdict", "C", (subject,), flag_id, facts))
    key = made.inserted_primary_key
    assert key is not None
    return Kept(int(key[0]), tuple(sentences))


def _check(given: Given) -> None:
    if given.answer not in ANSWERS:
        raise DatabaseError(f"Choose one verdict: {', '.join(ANSWERS)}.")
    if given.stage not in (CHART, FINAL):
        raise DatabaseError("A verdict is on the chart or final.")
    if len(given.reason) > LONGEST_REASON:
        raise DatabaseError(f"A reason has at most {LONGEST_REASON:,} characters.")
    if not given.reason.strip() and given.stage == FINAL:
        raise DatabaseError("Give a reason for the verdict, in a few words.")


def _others(connection: sa.Connection, flag_id: str, who: Account) -> list[Any]:
    query = (
        sa.select(VERDICTS.c.id, VERDICTS.c.verdict, ACCOUNTS.c.name)
        .join(ACCOUNTS, ACCOUNTS.c.id == VERDICTS.c.account_id)
        .where((VERDICTS.c.flag_id == flag_id) & (VERDICTS.c.account_id != who.id))
        .order_by(VERDICTS.c.id)
    )
    return list(connection.execute(query).mappings())


def _to_outbox(connection: sa.Connection, who: Account, flag: Alert, given: Given, confirmed: bool) -> list[str]:
    """Put a confirmed flag into the outbox; take back what the same clinician confirmed before and now does not."""
    newest = sa.select(OUTBOX).where(OUTBOX.c.flag_id == flag.flag_id).order_by(OUTBOX.c.id.desc()).limit(1)
    last = next((dict(row) for row in connection.execute(newest).mappings()), None)
    written = last is not None and last["action"] == "write"
    if confirmed and given.disease_id:
        disease = next((one for one in flag.diseases if one.id == given.disease_id), None)
        if disease is None:
            raise DatabaseError("Choose one of the diseases shown as the one you confirm.")
        if written and last is not None and last["disease_id"] == disease.id:
            return ["This disease is already on its way to the EHR for this alert."]
        if written and last is not None:
            _queue(connection, last, "retract", {**last["payload"], "reason": "another disease was confirmed"})
        payload = {
            "disease": {"id": disease.id, "name": disease.name, "rank": disease.rank, "risk": disease.risk,
                        "log10_lr": round(disease.log10_lr, 2)},
            "night": flag.night.isoformat(), "raised": flag.raised.isoformat(),
            "clinician": {"login": who.login, "name": who.name, "practitioner": who.practitioner},
            "reason": given.reason.strip(), "confirmed_at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        about = {"flag_id": flag.flag_id, "subject_id": flag.subject_id, "disease_id": disease.id, "night": flag.night}
        _queue(connection, about, "write", payload)
        return ["Confirmed: it waits in the outbox to be written to the EHR under your name."]
    mine = written and last is not None and last["payload"]["clinician"]["login"] == who.login
    if mine and last is not None and given.stage == FINAL:
        _queue(connection, last, "retract", {**last["payload"], "reason": f"verdict changed to {given.answer}"})
        return ["You had confirmed this alert: what was written to the EHR will be taken back."]
    return []


def _queue(connection: sa.Connection, row: Mapping[str, Any], action: str, payload: dict[str, Any]) -> None:
    about = {name: row[name] for name in ("flag_id", "subject_id", "disease_id", "night")}
    connection.execute(
        OUTBOX.insert().values(
            **about, action=action, state="waiting", payload=payload, attempts=0, created_at=datetime.now(UTC)
        )
    )


NO_ERROR = ("suspected", "died")
"""Reasons of a withdrawal that leave what was written true: somebody thought of a rare disease, or the patient died."""


def retract_fallen(engine: sa.Engine, alerts: Iterable[Alert]) -> int:
    """Queue the retraction of what was written for alerts that were withdrawn as no longer supported; how many."""
    fallen = {alert.flag_id: alert for alert in alerts if alert.withdrawn and alert.reason not in NO_ERROR}
    count = 0
    with engine.begin() as connection:
        newest: dict[str, dict[str, Any]] = {}
        for each in connection.execute(sa.select(OUTBOX).order_by(OUTBOX.c.id)).mappings():
            newest[each["flag_id"]] = dict(each)
        for flag_id, row in newest.items():
            if row["action"] == "write" and flag_id in fallen:
                reason = f"the alert was withdrawn: {fallen[flag_id].reason}"
                _queue(connection, row, "retract", {**row["payload"], "reason": reason})
                count += 1
    return count


# -- assignments -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assignment:
    """Who is to read a flag, until when it sleeps, or that it was drawn at random."""

    id: int
    flag_id: str
    subject_id: int
    night: date
    kind: str
    account_id: int | None
    name: str | None
    until: date | None
    reason: str
    sampling_weight: float | None


def assignments(engine: sa.Engine, kind: str | None = None) -> list[Assignment]:
    """Assignments, snoozes and random readings that have not ended."""
    query = sa.select(ASSIGNMENTS, ACCOUNTS.c.name).outerjoin(ACCOUNTS, ACCOUNTS.c.id == ASSIGNMENTS.c.account_id)
    query = query.where(ASSIGNMENTS.c.ended_at.is_(None))
    if kind:
        query = query.where(ASSIGNMENTS.c.kind == kind)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(ASSIGNMENTS.c.id)).mappings().all()
    return [Assignment(**{name: row[name] for name in Assignment.__dataclass_fields__}) for row in rows]


def assign(
    engine: sa.Engine, who: Account, address: str, flag: tuple[str, int, date], *, kind: str, account_id: int | None,
    until: date | None = None, reason: str = "",
) -> None:  # fmt: skip
    """Assign a flag to a reviewer (None: to nobody), or let it sleep for who asks until a night."""
    flag_id, subject, night = flag
    now = datetime.now(UTC)
    with engine.begin() as connection:
        if account_id is not None:
            chosen = connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)).mappings().first()
            if chosen is None or chosen["role"] != "reviewer" or chosen["disabled"]:
                raise DatabaseError("Only a reviewer can be assigned a chart.")
        same = (ASSIGNMENTS.c.flag_id == flag_id) & (ASSIGNMENTS.c.kind == kind) & ASSIGNMENTS.c.ended_at.is_(None)
        if kind == "snooze":
            same = same & (ASSIGNMENTS.c.account_id == who.id)
        connection.execute(ASSIGNMENTS.update().where(same).values(ended_at=now))
        if account_id is not None and (kind != "snooze" or until):
            connection.execute(
                ASSIGNMENTS.insert().values(
                    flag_id=flag_id, subject_id=subject, night=night, kind=kind, account_id=account_id,
                    by_account_id=who.id, until=until, reason=reason[:LONGEST_REASON], created_at=now,
                )
            )  # fmt: skip
        facts = {"to": str(account_id or "nobody"), **({"until": until.isoformat()} if until else {})}
        record(connection, who, address, Deed(PATIENT_RECORD, kind, "U", (subject,), flag_id, facts))


def draw_unflagged(
    engine: sa.Engine, snapshot: Snapshot, key: bytes, size: int, opted_out: frozenset[int] = frozenset()
) -> int:
    """Draw this month's random readings among patients without an alert, once a month; how many were drawn.

    Every drawn patient stands for (patients to draw from) / (patients drawn): the sampling weight (Horvitz and
    Thompson 1952, equal probabilities).
    """
    month = f"{snapshot.night:%Y-%m}"
    with engine.begin() as connection:
        nights = connection.execute(sa.select(ASSIGNMENTS.c.night).where(ASSIGNMENTS.c.kind == "sample")).scalars()
        if size == 0 or month in {f"{night:%Y-%m}" for night in nights}:
            return 0
        people = unflagged(snapshot, opted_out)
        drawn = draw(people, key, f"sample:{month}", size)
        for subject in drawn:
            connection.execute(
                ASSIGNMENTS.insert().values(
                    flag_id=sample_id(subject, snapshot.night), subject_id=subject, night=snapshot.night,
                    kind="sample", reason=f"random reading {month}", sampling_weight=len(people) / len(drawn),
                    created_at=datetime.now(UTC),
                )
            )  # fmt: skip
    return len(drawn)


# -- agreement ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """Two readers compared: pairs, pairs that agree, Cohen's kappa with its 95% interval (None: not to be told)."""

    pairs: int
    agree: int
    kappa: float | None
    interval: tuple[float, float] | None
    table: tuple[tuple[int, ...], ...]
    """First reader's answers down, the second's across, in the order of ANSWERS."""


def agreement(verdicts: Sequence[Verdict]) -> Agreement:
    """Agreement between the first two readers of a flag, each by the first verdict they gave on it.

    That one was given on the chart alone, before ranking or any other verdict was shown. Kappa and its standard error
    after Cohen 1960 and Fleiss, Cohen and Everitt 1969 (statsmodels.cohens_kappa); None with fewer than two pairs or
    where chance alone explains all (only one answer was ever given).
    """
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    by_flag: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_flag.setdefault(verdict.flag_id, []).append(verdict)
    counts = np.zeros((len(ANSWERS), len(ANSWERS)), dtype=int)
    for given in by_flag.values():
        firsts: dict[int, str] = {}
        for verdict in given:
            firsts.setdefault(verdict.account_id, verdict.verdict)
        if len(firsts) >= 2:
            one, other, *_ = firsts.values()
            counts[ANSWERS.index(one), ANSWERS.index(other)] += 1
    pairs, agree = int(counts.sum()), int(np.trace(counts))
    table = tuple(tuple(int(n) for n in row) for row in counts)
    expected = float((counts.sum(0) * counts.sum(1)).sum()) / pairs**2 if pairs else 1.0
    if pairs < 2 or expected > 1 - 1e-12:
        return Agreement(pairs, agree, None, None, table)
    result = cohens_kappa(counts)
    low, high = float(result.kappa_low), float(result.kappa_upp)
    interval = (max(low, -1.0), min(high, 1.0)) if np.isfinite(low) and np.isfinite(high) else None
    return Agreement(pairs, agree, float(result.kappa), interval, table)
