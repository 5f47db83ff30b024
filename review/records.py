"""Published nights of the lake as the application reads them: alerts of all patients, charts one patient at a time.

Every read names the versions that the last publication names, so a night being written is never seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import pyarrow.compute as pc

from connectors import knowledge_files
from connectors.configuration import Configuration
from connectors.lake import Lake
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.outcome.percentage import Percentage
from zebrawatch.schemas import (
    CANDIDATES,
    EVENTS,
    FINDINGS,
    FLAGS,
    NAMINGS,
    NIGHTS,
    NOTES,
    PATIENTS,
    SUSPICIONS,
    TABLES,
    Table,
)

Row = Mapping[str, Any]

PATIENT_COLUMNS = (
    "subject_id", "source_id", "version", "sex", "birth_date", "birth_precision", "death_time", "merged_into",
    "restricted", "deleted", "available_at", "known_night",
)  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """What the last publication published: its night, the version of every table, all rows of `flags` and who is in.

    `patients` holds the standing version of every patient, by subject.
    """

    night: date
    nights: tuple[date, ...]
    versions: Mapping[str, int]
    identity: Mapping[str, Any]
    flags: Mapping[str, tuple[Row, ...]]
    """Rows of every episode, by episode id, in order of time."""
    patients: Mapping[int, Row]

    @property
    def percentage(self) -> Percentage | None:
        """What turns P(any) into a percentage; None until the site has confirmed events enough."""
        return Percentage.from_json(self.identity.get("percentage"))


@dataclass(frozen=True)
class PatientRows:
    """A patient's rows as known on a night, and those of patients merged into them."""

    subject_id: int
    night: date
    patient: Row
    subjects: tuple[int, ...]
    notes: tuple[Row, ...]
    """The standing version of every note, in order of time; deleted ones are left out."""
    events: tuple[Row, ...]
    findings: tuple[Row, ...]
    namings: tuple[Row, ...]
    candidates: tuple[Row, ...]
    """Ranked rows of the last night on which the patient was scored."""
    suspicions: tuple[Row, ...]
    answers: tuple[Row, ...]
    """Answers of the reasoning arm, newest first; empty where it did not run."""


@dataclass
class Records:
    """The lake, read on behalf of the pages. Safe to share between threads."""

    configuration: Configuration
    lake: Lake
    _snapshot: Snapshot | None = None
    _published: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot | None:
        """What is published now; None where no night is published yet."""
        if not self.lake.exists(NIGHTS):
            return None
        with self._lock:
            published = self.lake.version(NIGHTS.name)
            if self._snapshot is None or published != self._published:
                self._snapshot, self._published = self._read(), published
            return self._snapshot

    def _read(self) -> Snapshot | None:
        standing = self.lake.nights()
        last = next((night for night in reversed(standing) if not night.stale), None)
        if last is None:
            return None
        versions = self.lake.published_versions()
        episodes: dict[str, list[Row]] = {}
        for row in sorted(self._rows(FLAGS, versions), key=lambda row: (row["night"], row["action"] == "withdraw")):
            episodes.setdefault(row["episode_id"], []).append(row)
        patients: dict[int, Row] = {}
        for row in sorted(self._rows(PATIENTS, versions, columns=PATIENT_COLUMNS), key=_order):
            patients[row["subject_id"]] = row
        return Snapshot(
            last.night,
            tuple(night.night for night in standing),
            versions,
            last.identity,
            {name: tuple(rows) for name, rows in episodes.items()},
            patients,
        )

    @cached_property
    def data_kind(self) -> str:
        """real / made / rendered."""
        return str(self.lake.about().get("data_kind", "real"))

    @cached_property
    def knowledge(self) -> Knowledge:
        """Diseases and what is known of them; about a second the first time."""
        files = knowledge_files.knowledge_files(self.configuration.knowledge.folder)
        return knowledge_files.compiled(files, self.lake.knowledge)[0]

    @cached_property
    def ontology(self) -> Ontology:
        """The Human Phenotype Ontology."""
        return knowledge_files.ontology_of(knowledge_files.knowledge_files(self.configuration.knowledge.folder))

    def label(self, hpo_id: str) -> str:
        """An HPO term's label, or its id where this release does not know it."""
        return self.ontology.label(hpo_id) if hpo_id in self.ontology.terms else hpo_id

    def disease_name(self, disease_id: str | None) -> str:
        """A disease's name, or its id."""
        index = self.knowledge.index_of(disease_id) if disease_id else None
        return self.knowledge.diseases[index].name if index is not None else disease_id or ""

    def answers(self, snapshot: Snapshot, subjects: Sequence[int], night: date) -> dict[int, list[Row]]:
        """Answers of the reasoning arm up to a night by patient, newest first; empty where it never ran."""
        found: dict[int, list[Row]] = {}
        for row in self._answers(snapshot, subjects, night):
            found.setdefault(row["subject_id"], []).append(row)
        return found

    # -- one patient ------------------------------------------------------------------------------------------------

    def patient(self, snapshot: Snapshot, subject_id: int, night: date) -> PatientRows:
        """A patient's rows as known at the end of `night`; KeyError where there is no such patient.

        Rows of patients whose record was merged into this one count too.
        """
        patient = snapshot.patients[subject_id]
        merged = sorted(subject for subject, row in snapshot.patients.items() if row["merged_into"] == subject_id)
        subjects = (subject_id, *merged)

        def read(table: Table, by: str, columns: Sequence[str] | None = None) -> list[Row]:
            return self._rows(table, snapshot.versions, subjects, by, night, columns)

        notes = _standing(read(NOTES, "known_night"), "note_id")
        events = _standing(read(EVENTS, "known_night"), "event_id")
        there = {(row["note_id"], row["version"]) for row in notes}
        there |= {(row["event_id"], row["version"]) for row in events}

        def standing(rows: Iterable[Row]) -> tuple[Row, ...]:
            kept = (row for row in rows if (row["source_id"], row["source_version"]) in there)
            return tuple(sorted(kept, key=lambda row: (row["known_night"], row["source_id"], row["start"] or 0)))

        scores = [row for row in read(CANDIDATES, "night") if row["subject_id"] == subject_id]
        last = max((row["night"] for row in scores), default=None)
        return PatientRows(
            subject_id=subject_id,
            night=night,
            patient=patient,
            subjects=subjects,
            notes=tuple(sorted(notes, key=lambda row: (str(row["event_time"]), row["note_id"]))),
            events=tuple(sorted(events, key=lambda row: (str(row["event_time"]), row["event_id"]))),
            findings=standing(read(FINDINGS, "known_night")),
            namings=standing(read(NAMINGS, "known_night")),
            candidates=tuple(sorted((r for r in scores if r["night"] == last and r["rank"]), key=lambda r: r["rank"])),
            suspicions=tuple(sorted(read(SUSPICIONS, "known_night"), key=lambda row: row["known_night"])),
            answers=self._answers(snapshot, subjects, night),
        )

    def _answers(self, snapshot: Snapshot, subjects: Sequence[int], night: date) -> tuple[Row, ...]:
        table = TABLES.get("llm_responses")
        if table is None or table.name not in snapshot.versions:
            return ()
        rows = self._rows(table, snapshot.versions, subjects, "night", night)
        return tuple(sorted(rows, key=lambda row: row["night"], reverse=True))

    def _rows(
        self,
        table: Table,
        versions: Mapping[str, int],
        subjects: Sequence[int] | None = None,
        by: str = "",
        night: date | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Row]:
        if table.name not in versions:
            return []
        wanted = pc.field("subject_id").isin(list(subjects)) if subjects is not None else None
        if wanted is not None and night is not None:
            wanted = wanted & (pc.field(by) <= pc.scalar(night))
        rows: list[Row] = self.lake.arrow(table, columns, versions[table.name], wanted).to_pylist()
        return rows


def _order(row: Row) -> tuple[Any, ...]:
    """Order in which versions of a resource follow each other (zebrawatch.timeline.asof)."""
    return row["known_night"], str(row["available_at"]), row["version"]


def _standing(rows: Iterable[Row], key: str) -> list[Row]:
    """The last version of every resource, less those deleted or restricted."""
    newest: dict[str, list[Row]] = {}
    for row in sorted(rows, key=_order):
        base = row[key].partition("#")[0]
        if base in newest and newest[base][0]["version"] == row["version"]:
            newest[base].append(row)
        else:
            newest[base] = [row]
    return [row for group in newest.values() for row in group if not row["deleted"] and not row["restricted"]]
