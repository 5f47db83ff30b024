"""From the lake's tables to the two reports: the patient-level one, which stays in the lake, and the summary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from assets.night_run import NightRun
from assets.reading import Readings
from connectors.lake import Lake
from zebrawatch.nights import NightRange
from zebrawatch.outcome.episodes import Episode as OutcomeEpisode
from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.metrics import metrics_of
from zebrawatch.outcome.summary import Outcome
from zebrawatch.reports import data as page
from zebrawatch.reports.from_outcome import burden_classes, burden_points, case_lines, flow_steps, incidence_points
from zebrawatch.reports.pages import patient_report, summary_report
from zebrawatch.reports.replay_page import replay_report
from zebrawatch.reports.statement import Provenance, statement
from zebrawatch.schemas import (
    CANDIDATES,
    EVENTS,
    FINDINGS,
    FLAGS,
    NOTES,
    PATIENTS,
    QUARANTINE,
    SUSPICIONS,
    TABLES,
    Table,
)

EXPECTED_LISTED = 8  # frequent findings of a disease that are named as absent; more would bury the rest


@dataclass(frozen=True)
class Pages:
    """Where the reports of a run lie."""

    patients: Path
    summary: Path
    aggregates: Path
    statement: str


def write_reports(run: NightRun, outcome: Outcome, identity: Mapping[str, Any], folder: Path) -> Pages:
    """Write both reports and the aggregate figures below `folder` (in the lake)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    provenance = provenance_of(run)
    flat = {key: str(value) for key, value in flat_identity(identity)}
    patients = folder / "patients.html"
    patients.write_text(patient_report(_patient_report(run, provenance, flat)), encoding="utf-8")
    told = _summary(run, outcome, provenance, flat)
    summary = folder / ("replay.html" if run.replay else "summary.html")
    summary.write_text(
        replay_report(page.ReplayReport(told, run.replay.landmarks, incidence_points(outcome)))
        if run.replay
        else summary_report(told),
        encoding="utf-8",
    )
    aggregates = folder / "figures.json"
    aggregates.write_text(
        json.dumps({"statement": statement(provenance), **metrics_of(outcome.figures)}, indent=1) + "\n"
    )
    return Pages(patients, summary, aggregates, statement(provenance))


def provenance_of(run: NightRun, data_to: date | None = None) -> Provenance:
    """What the outputs of a run rest on."""
    releases = "; ".join(f"{name} {release}" for name, release in sorted(run.knowledge.releases.items()))
    kind = run.lake.about().get("data_kind", "real")
    read = Readings(run).counts() if run.configuration.reasoning.enabled else None
    if read is None:
        return Provenance(kind, ("evidence",), releases, data_to or run.nights.last)
    model = read.model if read.clinical_use else f"{read.model} (for trying out, not clinically useful)"
    return Provenance(kind, ("evidence", "reasoning"), releases, data_to or run.nights.last, model)


def flat_identity(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested values under dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat_identity(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# -- the patient-level report ------------------------------------------------------------------------------------------


def _patient_report(run: NightRun, provenance: Provenance, identity: Mapping[str, str]) -> page.PatientReport:
    flags = _rows(run, FLAGS, "night")
    alerted = sorted({row["subject_id"] for row in flags})
    screened = len({row["subject_id"] for row in _rows(run, PATIENTS, "known_night", columns=["subject_id"])})
    charts = _Charts(run, alerted, flags)
    return page.PatientReport(
        NightRange(run.first_screened, run.nights.last),
        provenance,
        screened,
        run.policy.threshold,
        run.policy.k,
        tuple(charts.patient(subject) for subject in alerted),
        identity,
    )


def alerted_patient(run: NightRun, subject: int) -> page.AlertedPatient:
    """One alerted patient as the patient-level report shows them."""
    return _Charts(run, [subject], _rows(run, FLAGS, "night", [subject])).patient(subject)


def _rows(
    run: NightRun, table: Table, night: str, subjects: Sequence[int] | None = None, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    wanted = pc.field(night) <= pc.scalar(run.nights.last)
    if subjects is not None:
        wanted = wanted & pc.field("subject_id").isin(list(subjects))
    return list(run.lake.arrow(table, columns, rows=wanted).to_pylist())


class _Charts:
    """What the report shows of the alerted patients, read once."""

    def __init__(self, run: NightRun, subjects: Sequence[int], flags: Sequence[Mapping[str, Any]]) -> None:
        self.run = run
        self.flags = _by_subject(flags)
        self.patients = _by_subject(_rows(run, PATIENTS, "known_night", subjects))
        columns = [
            "subject_id",
            "note_id",
            "text",
            "type_display",
            "author_role",
            "event_time",
            "known_night",
            "deleted",
            "resource_type",
        ]
        self.notes = _by_subject(_rows(run, NOTES, "known_night", subjects, columns))
        self.events = _by_subject(_rows(run, EVENTS, "known_night", subjects))
        self.findings = _by_subject(_rows(run, FINDINGS, "known_night", subjects))
        self.candidates = _by_subject(_rows(run, CANDIDATES, "night", subjects))
        self.suspicions = _by_subject(_rows(run, SUSPICIONS, "known_night", subjects))
        self.readings = Readings(run, subjects)
        episodes: dict[int, list[OutcomeEpisode]] = {}
        for episode in episodes_of(pd.DataFrame(list(flags))):
            episodes.setdefault(episode.subject_id, []).append(episode)

    def patient(self, subject: int) -> page.AlertedPatient:
        """One alerted patient."""
        version = max(self.patients[subject], key=lambda row: row["known_night"])
        notes, events = self.notes.get(subject, []), self.events.get(subject, [])
        nights = [row["known_night"] for rows in (notes, events, self.patients[subject]) for row in rows]
        sources = self._sources(notes, events)
        findings = self._findings(subject, sources)
        night, scores = self._last_shown(subject)
        return page.AlertedPatient(
            key=f"{subject:016x}",
            sex=version["sex"],
            birth_date=version["birth_date"],
            entry_night=min(nights),
            last_night=max(nights),
            episodes=self._episodes(subject),
            diseases=self._diseases(subject, scores, findings),
            reading=self.readings.of(subject, night, scores, sources) if night else None,
            findings=tuple(findings.values()),
            encounters=tuple(self._encounters(events)),
            notes=tuple(self._notes(notes)),
            labs=tuple(self._labs(events)),
            suspicions=tuple(
                page.SuspicionMark(
                    row["known_night"], row["kind"], self._name(row["disease_id"]), row["evidence_class"], row["quote"]
                )
                for row in self.suspicions.get(subject, [])
            ),
            death=version["death_time"].date() if version["death_time"] else None,
        )

    def _name(self, disease_id: str | None) -> str | None:
        index = self.run.knowledge.index_of(disease_id) if disease_id else None
        return self.run.knowledge.diseases[index].name if index is not None else disease_id

    def _episodes(self, subject: int) -> tuple[page.Episode, ...]:
        raised: dict[str, dict[str, Any]] = {}
        for row in sorted(self.flags[subject], key=lambda row: (row["night"], row["action"])):
            episode = raised.setdefault(
                row["episode_id"],
                {
                    "raised": row["night"],
                    "withdrawn": None,
                    "reason": None,
                    "met": row["met_night"],
                    "backlog": row["backlog"],
                    "changes": [],
                },
            )
            match row["action"]:
                case "withdraw":
                    episode |= {"withdrawn": row["night"], "reason": row["reason"]}
                case "raise":
                    episode |= {"withdrawn": None, "reason": None}
                case _:
                    episode["changes"].append(row["night"])
        return tuple(
            page.Episode(
                one["raised"], one["withdrawn"], one["reason"], one["met"], bool(one["backlog"]), tuple(one["changes"])
            )
            for one in raised.values()
        )

    def _sources(
        self, notes: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
    ) -> dict[str, page.Source]:
        kinds = {
            "Observation": "Laboratory",
            "Condition": "Problem list",
            "ServiceRequest": "Order",
            "FamilyMemberHistory": "Family history",
        }
        found = {
            row["event_id"]: page.Source(
                row["event_id"], kinds.get(row["resource_type"], row["resource_type"]), _day(row["event_time"])
            )
            for row in events
        }
        for row in notes:
            found[row["note_id"]] = page.Source(
                row["note_id"], row["type_display"] or row["resource_type"], _day(row["event_time"]), row["author_role"]
            )
        return found

    def _findings(self, subject: int, sources: Mapping[str, page.Source]) -> dict[tuple[str, str], page.Finding]:
        """First appearance of each finding of the patient and of the family, by term and assertion."""
        rows = sorted(
            self.findings.get(subject, []),
            key=lambda row: (row["known_night"], str(row["event_time"]), row["source_id"], row["start"] or 0),
        )
        texts = {row["note_id"]: row["text"] for row in self.notes.get(subject, [])}
        first: dict[tuple[str, str], Mapping[str, Any]] = {}
        mentions: Counter[tuple[str, str]] = Counter()
        for row in rows:
            key = (row["hpo_id"], row["assertion"] if row["experiencer"] == "patient" else "family")
            first.setdefault(key, row)
            mentions[key] += 1
        return {key: self._finding(row, key[1], mentions[key], sources, texts) for key, row in first.items()}

    def _finding(
        self,
        row: Mapping[str, Any],
        assertion: str,
        mentions: int,
        sources: Mapping[str, page.Source],
        texts: Mapping[str, str | None],
    ) -> page.Finding:
        sentence, start, end = row["sentence"] or row["quote"] or "", 0, len(row["quote"] or "")
        text = texts.get(row["source_id"])
        if text is not None and row["start"] is not None and row["sentence"]:
            begun = text.rfind(row["sentence"], 0, row["start"] + len(row["sentence"]))
            start, end = (row["start"] - begun, row["end"] - begun) if 0 <= begun <= row["start"] else (0, 0)
        return page.Finding(
            row["hpo_id"],
            self._label(row["hpo_id"]),
            assertion,
            row["origin"],
            row["known_night"],
            sources.get(row["source_id"], page.Source(row["source_id"], "source", None)),
            sentence,
            max(0, start),
            min(len(sentence), max(0, end)),
            mentions,
        )

    def _label(self, hpo_id: str) -> str:
        return self.run.ontology.label(hpo_id) if hpo_id in self.run.ontology.terms else hpo_id

    def _last_shown(self, subject: int) -> tuple[date | None, list[Mapping[str, Any]]]:
        """The night of the score that the list last shown comes from, and that night's scores by rank."""
        shown = max((row for row in self.flags[subject] if row["action"] != "withdraw"), key=lambda row: row["night"])
        names = {one["disease_id"] for one in shown["shown"]}
        scores = [row for row in self.candidates.get(subject, []) if row["night"] <= shown["night"]]
        night = max((row["night"] for row in scores if row["disease_id"] in names), default=None)
        ranked = sorted((row for row in scores if row["night"] == night), key=lambda row: row["rank"])
        return night, [row for row in ranked if row["rank"] > 0]

    def _diseases(
        self,
        subject: int,
        scores: Sequence[Mapping[str, Any]],
        findings: Mapping[tuple[str, str], page.Finding],
    ) -> tuple[page.RankedDisease, ...]:
        """The diseases of the list last shown, in its order, as scored on that night."""
        shown = max((row for row in self.flags[subject] if row["action"] != "withdraw"), key=lambda row: row["night"])
        places = {one["disease_id"]: place for place, one in enumerate(shown["shown"], start=1)}
        ranked = sorted(
            (row for row in scores if row["disease_id"] in places), key=lambda row: places[row["disease_id"]]
        )
        return tuple(
            page.RankedDisease(
                places[row["disease_id"]],
                row["disease_id"],
                row["disease_name"],
                row["log10_lr"],
                row["posterior"],
                tuple(
                    page.Contribution(
                        one["label"],
                        one["log10_lr"],
                        findings.get((one["hpo_id"], one["assertion"])) or findings.get((one["hpo_id"], "historical")),
                        one["matched_label"] if one["matched_id"] != one["hpo_id"] else None,
                    )
                    for one in row["contributions"]
                ),
                tuple(
                    page.ExpectedFinding(hpo_id, self._label(hpo_id), None, findings.get((hpo_id, "negated")))
                    for hpo_id in row["expected_absent"][:EXPECTED_LISTED]
                ),
                evidence_rank=row["rank"],
            )
            for row in ranked[: self.run.policy.k]
        )

    def _encounters(self, events: Sequence[Mapping[str, Any]]) -> Iterable[page.Encounter]:
        seen = set()
        for row in events:
            start = _day(row["event_time"])
            if row["resource_type"] == "Encounter" and start and row["event_id"].split("#")[0] not in seen:
                seen.add(row["event_id"].split("#")[0])
                yield page.Encounter(start, None, row["category"] or "visit")

    def _notes(self, notes: Sequence[Mapping[str, Any]]) -> Iterable[page.NoteMark]:
        for row in notes:
            day = _day(row["event_time"])
            if day:
                yield page.NoteMark(day, row["type_display"] or row["resource_type"], not row["deleted"])

    def _labs(self, events: Sequence[Mapping[str, Any]]) -> Iterable[page.LabMark]:
        for row in events:
            day = _day(row["event_time"])
            if (
                row["resource_type"] == "Observation"
                and day
                and row["numeric_value"] is not None
                and row["interpretation"] not in (None, "N")
            ):
                yield page.LabMark(
                    day,
                    row["display"] or row["code"],
                    f"{row['numeric_value']:g} {row['unit'] or ''}".strip(),
                    row["interpretation"],
                )


def _by_subject(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["subject_id"], []).append(row)
    return grouped


def _day(instant: Any) -> date | None:
    return instant.date() if instant else None


# -- the summary -------------------------------------------------------------------------------------------------------


def _summary(
    run: NightRun, outcome: Outcome, provenance: Provenance, identity: Mapping[str, str]
) -> page.SummaryReport:
    flags = run.lake.arrow(FLAGS, ["subject_id"], rows=pc.field("night") <= pc.scalar(run.nights.last))
    patients = run.lake.arrow(PATIENTS, ["subject_id"])
    findings = run.lake.arrow(FINDINGS, ["copied_from"])
    return page.SummaryReport(
        nights=NightRange(run.first_screened, run.nights.last),
        provenance=provenance,
        patients=_distinct(patients),
        alerted=_distinct(flags),
        threshold=run.policy.threshold,
        shown_k=run.policy.k,
        outcome=outcome.figures,
        cases=case_lines(outcome.lead_time, _label_source(outcome)),
        flow=flow_steps(outcome.figures),
        burden=burden_classes(outcome.classified),
        cumulative=burden_points(outcome),
        rows=tuple(_row_counts(run)),
        quarantine=tuple(_quarantine(run)),
        lateness=tuple(lateness_of(run.lake)),
        coverage=tuple(_coverage(run)),
        duplication_rate=(len(findings) - findings["copied_from"].null_count) / max(1, len(findings)),
        identity=identity,
        seconds=_seconds(run),
        reading=Readings(run).counts(),
    )


def _seconds(run: NightRun) -> float:
    return monotonic() - run.begun


def _distinct(rows: Any) -> int:
    return int(pc.count_distinct(rows["subject_id"]).as_py())


def _label_source(outcome: Outcome) -> str:
    """Where the diagnoses come from: the label file where there is one, else the records."""
    return "labels" if (outcome.lead_time["label_source"] == "labels").any() else "records"


def _row_counts(run: NightRun) -> Iterable[page.RowCount]:
    for name in ("patients", "notes", "events", "findings", "namings", "candidates", "suspicions", "flags"):
        rows = run.lake.arrow(TABLES[name], ["subject_id"])
        yield page.RowCount(name, len(rows), _distinct(rows))


def _quarantine(run: NightRun) -> Iterable[page.QuarantineReason]:
    rows = Counter(
        (row["resource_type"] or "unknown", row["reason"])
        for row in run.lake.arrow(QUARANTINE, ["resource_type", "reason"]).to_pylist()
    )
    return (page.QuarantineReason(kind, reason, lines) for (kind, reason), lines in sorted(rows.items()))


def lateness_of(lake: Lake, night: date | None = None) -> Iterable[page.Lateness]:
    """How late rows came, by resource type: all, or those that became known on a night."""
    wanted = None if night is None else pc.field("known_night") == pc.scalar(night)
    for table in (NOTES, EVENTS):
        columns = ["resource_type", "event_time", "available_at", "available_grade"]
        rows = lake.arrow(table, columns, rows=wanted).to_pandas()
        rows["days"] = (rows["available_at"] - rows["event_time"]).dt.total_seconds() / 86_400
        for kind, group in rows.groupby("resource_type"):
            late = group["days"].dropna()
            if len(late):
                yield page.Lateness(
                    str(kind),
                    len(group),
                    float(late.median()),
                    float(late.quantile(0.9)),
                    {str(k): int(v) for k, v in group["available_grade"].value_counts().items()},
                )


def _coverage(run: NightRun) -> Iterable[page.Coverage]:
    for name, diseases in run.naming_set.coverage().items():
        count = diseases if isinstance(diseases, int) else None
        yield page.Coverage(name, count, count)
