"""The auditor's two pages, rendered from plain data: one for a flag, one for a night. Both may hold patient data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from zebrawatch.reports import pages
from zebrawatch.reports.data import AlertedPatient, Lateness, QuarantineReason
from zebrawatch.reports.risk import MEANING
from zebrawatch.reports.statement import Provenance, statement

LIGHT = 0.005


@dataclass(frozen=True)
class Check:
    """Something that was made again or counted again. `state` is same / differs / not checked."""

    what: str
    stored: str
    again: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class Lineage:
    """From a finding that was weighed to its raw line. `file` is empty where the raw line is not there any more."""

    finding: str
    weight: float
    quote: str
    source_id: str
    version: str
    known_night: date | None
    file: str
    line_number: int


@dataclass(frozen=True)
class Change:
    """A row of `flags`: what happened to the alert on a night, and the list it showed."""

    night: date
    action: str
    reason: str
    score: float
    threshold: float
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Deed:
    """Somebody looked at the patient or decided something."""

    when: str
    who: str
    what: str
    reason: str = ""


@dataclass(frozen=True)
class Link:
    """Where more is kept: an address or path, and the command that opens it."""

    name: str
    target: str
    how: str = ""


@dataclass(frozen=True)
class FlagAudit:
    """Everything about one flag. `verdict` says in one sentence whether it could be made again."""

    flag_id: str
    verdict: str
    sound: bool
    provenance: Provenance
    patient: AlertedPatient
    changes: tuple[Change, ...]
    checks: tuple[Check, ...]
    not_rebuilt: tuple[str, ...]
    other_versions: Mapping[str, tuple[str, str]]
    lineage: tuple[Lineage, ...]
    quarantined: tuple[str, ...]
    decided: tuple[Deed, ...]
    looked: tuple[Deed, ...]
    reviewed: bool
    protocol: Mapping[str, str]
    deviations: tuple[str, ...]
    links: tuple[Link, ...]
    identity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PulledFile:
    """A file of a pull: lines promised by the manifest and lines that are there; whether its bytes are those pulled."""

    pull: str
    name: str
    promised: int
    there: int
    intact: bool


@dataclass(frozen=True)
class Missed:
    """A patient-disease pair at risk that was never prioritised, with the rank it had at last."""

    key: str
    disease: str
    suspicion: date | None
    last_rank: str
    best_rank: str
    tier: str


@dataclass(frozen=True)
class NightFlag:
    """An alert that changed on the night."""

    flag_id: str
    action: str
    reason: str
    first_disease: str


@dataclass(frozen=True)
class NightAudit:
    """Everything about one night."""

    night: date
    nights: str
    generation: int
    stale: bool
    verdict: str
    sound: bool
    provenance: Provenance
    checks: tuple[Check, ...]
    files: tuple[PulledFile, ...]
    quarantine: tuple[QuarantineReason, ...]
    gate: str
    gate_passed: bool | None
    recall: str
    lateness: tuple[Lateness, ...]
    drift: tuple[tuple[str, str], ...]
    flags: tuple[NightFlag, ...]
    missed: tuple[Missed, ...]
    deviations: tuple[str, ...]
    links: tuple[Link, ...]
    identity: Mapping[str, str] = field(default_factory=dict)


def flag_page(audit: FlagAudit) -> str:
    """The page of a flag, self-contained. Holds patient data: write it into the lake only."""
    view = pages.view_of(audit.patient)
    return pages.render(
        "audit_flag.html",
        audit=audit,
        view=view,
        views=[view],
        weighty=_weighty,
        statement=statement(audit.provenance),
        risk_meaning=MEANING,
    )


def _weighty(rows: Sequence[Lineage]) -> tuple[list[Lineage], list[Lineage]]:
    """Rows that weigh something, and those whose weight rounds to 0.00."""
    return [row for row in rows if abs(row.weight) >= LIGHT], [row for row in rows if abs(row.weight) < LIGHT]


def night_page(audit: NightAudit) -> str:
    """The page of a night, self-contained. Holds pseudonymous keys: write it into the lake only."""
    return pages.render("audit_night.html", audit=audit, statement=statement(audit.provenance))
