"""Alerts as the pages show them: what stood on a night, for whom, since when, with which diseases."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from review.records import Row, Snapshot
from zebrawatch.reports.risk import alert_risk, risk_word

SAMPLE = "sample"


@dataclass(frozen=True)
class Disease:
    """A disease shown with an alert."""

    rank: int
    id: str
    name: str
    posterior: float
    log10_lr: float

    @property
    def risk(self) -> str:
        """A word for the risk; no percentage, since nothing was calibrated here."""
        return risk_word(min(max(self.posterior, 0.0), 1.0))


@dataclass(frozen=True)
class Alert:
    """An alert's episode as it stood at the end of a night. `subject_id` is the patient it was raised for."""

    flag_id: str
    subject_id: int
    raised: date
    changed: date
    withdrawn: date | None
    reason: str
    backlog: bool
    met: date | None
    p_any: float
    diseases: tuple[Disease, ...]
    night: date

    @property
    def state(self) -> str:
        """new (raised this night) / standing / withdrawn."""
        if self.withdrawn:
            return "withdrawn"
        return "new" if self.changed == self.raised == self.night else "standing"

    @property
    def risk(self) -> str:
        """A word for the risk of any listed rare disease."""
        return alert_risk(self.p_any)

    @property
    def read_on(self) -> date:
        """The night as of which the chart is read: the last on which the alert stood."""
        return self.withdrawn - timedelta(days=1) if self.withdrawn and self.withdrawn > self.raised else self.night

    @property
    def stamp(self) -> str:
        """Tells one state of the alert from another: what a form says it was filled in on."""
        return f"{self.changed}:{'withdrawn' if self.withdrawn else 'open'}"


def alert_on(rows: Sequence[Row], night: date) -> Alert | None:
    """The alert of an episode's rows as of a night; None where it was not raised by then."""
    known = [row for row in rows if row["night"] <= night]
    if not known:
        return None
    last = known[-1]
    raised = next(row for row in reversed(known) if row["action"] == "raise")
    shown = next((row for row in reversed(known) if row["action"] != "withdraw"), raised)
    return Alert(
        last["episode_id"],
        last["subject_id"],
        raised["night"],
        last["night"],
        last["night"] if last["action"] == "withdraw" else None,
        last["reason"] or "",
        bool(raised["backlog"]),
        raised["met_night"],
        float(shown["p_any"] or 0.0),
        tuple(
            Disease(one["rank"], one["disease_id"], one["disease_name"], one["posterior"] or 0.0, one["log10_lr"] or 0)
            for one in shown["shown"] or ()
        ),
        night,
    )


def alerts_on(snapshot: Snapshot, night: date) -> list[Alert]:
    """All alerts raised by a night, as they stood on it."""
    found = (alert_on(rows, night) for rows in snapshot.flags.values())
    return [alert for alert in found if alert is not None]


def sample_id(subject_id: int, night: date) -> str:
    """The id under which the reading of a patient without an alert is kept."""
    return f"{SAMPLE}:{subject_id}:{night}"


def sample_of(flag_id: str) -> tuple[int, date] | None:
    """Patient and night of a random reading's id; None where it is no such id."""
    kind, _, rest = flag_id.partition(":")
    subject, _, night = rest.partition(":")
    try:
        return (int(subject), date.fromisoformat(night)) if kind == SAMPLE else None
    except ValueError:
        return None


def read_twice(flag_id: str, key: bytes, share: float) -> bool:
    """Whether a flag is one of those that two reviewers read: a share of all, fixed by a keyed hash of its id."""
    drawn = int.from_bytes(hmac.new(key, b"second:" + flag_id.encode(), hashlib.sha256).digest()[:8], "big")
    return drawn < share * 2**64


def draw(subjects: Sequence[int], key: bytes, label: str, size: int) -> list[int]:
    """A simple random sample without replacement of `size` subjects, the same for the same key and label."""

    def lot(subject: int) -> bytes:
        return hmac.new(key, f"{label}:{subject}".encode(), hashlib.sha256).digest()

    return sorted(subjects, key=lot)[:size]


def unflagged(snapshot: Snapshot, opted_out: frozenset[int] = frozenset()) -> list[int]:
    """Patients from whom random readings are drawn: alive, known, not restricted, without any alert so far."""
    flagged = {rows[0]["subject_id"] for rows in snapshot.flags.values()}
    return sorted(
        subject
        for subject, row in snapshot.patients.items()
        if subject not in flagged | opted_out
        and not (row["deleted"] or row["restricted"] or row["merged_into"] or row["death_time"])
    )


def absence(snapshot: Snapshot, subject_id: int) -> str | None:
    """Why a patient's chart cannot be shown, in one sentence; None where it can."""
    row: Mapping[str, Any] | None = snapshot.patients.get(subject_id)
    if row is None:
        return "The lake no longer knows this patient."
    if row["deleted"]:
        return f"The source deleted this patient's record; known since {row['known_night']}."
    if row["restricted"]:
        return f"This patient's record is restricted since {row['known_night']} and is not shown."
    return None


def survivor(snapshot: Snapshot, subject_id: int) -> int:
    """The patient into whose record this one was merged, however often; itself where it was not."""
    seen = {subject_id}
    while (row := snapshot.patients.get(subject_id)) and row["merged_into"] and row["merged_into"] not in seen:
        subject_id = row["merged_into"]
        seen.add(subject_id)
    return subject_id
