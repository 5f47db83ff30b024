"""From the lake's tables to the two reports: the patient-level one, which stays in the lake, and the summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow.compute as pc

from assets.night_run import NightRun
from assets.reading import readings_of
from connectors.lake import Lake
from connectors.mlflow_runs import flatten_identity
from zebrawatch.nights import NightRange
from zebrawatch.outcome.metrics import metrics_of
from zebrawatch.outcome.percentage import Percentage
from zebrawatch.outcome.summary import Outcome
from zebrawatch.reports import data as page
from zebrawatch.reports.charts import NOTE_COLUMNS, ChartRows, Charts
from zebrawatch.reports.from_outcome import burden_classes, burden_points, case_lines, flow_steps, incidence_points
from zebrawatch.reports.from_tables import LATENESS_COLUMNS, coverage_lines, lateness_lines, quarantine_reasons
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
    percentage = Percentage.from_json(identity.get("percentage"))
    provenance = provenance_of(run, percentage=percentage)
    flat = flatten_identity(identity)
    patients = folder / "patients.html"
    patients.write_text(patient_report(_patient_report(run, provenance, flat, percentage)), encoding="utf-8")
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


def provenance_of(run: NightRun, data_to: date | None = None, percentage: Percentage | None = None) -> Provenance:
    """What the outputs of a run rest on; `percentage` is the site's own calibration, where it has one."""
    checked = percentage.words if percentage else None
    releases = "; ".join(f"{name} {release}" for name, release in sorted(run.knowledge.releases.items()))
    kind = run.lake.about().get("data_kind", "real")
    read = readings_of(run).counts() if run.configuration.reasoning.enabled else None
    if read is None:
        return Provenance(kind, ("evidence",), releases, data_to or run.nights.last, local_validation=checked)
    model = read.model if read.clinical_use else f"{read.model} (for trying out, not clinically useful)"
    return Provenance(kind, ("evidence", "reasoning"), releases, data_to or run.nights.last, model, checked)


# -- the patient-level report ------------------------------------------------------------------------------------------


def _patient_report(
    run: NightRun, provenance: Provenance, identity: Mapping[str, str], percentage: Percentage | None
) -> page.PatientReport:
    flags = _rows(run, FLAGS, "night")
    alerted = sorted({row["subject_id"] for row in flags})
    screened = len({row["subject_id"] for row in _rows(run, PATIENTS, "known_night", columns=["subject_id"])})
    charts = _charts(run, alerted, flags, percentage)
    return page.PatientReport(
        NightRange(run.first_screened, run.nights.last),
        provenance,
        screened,
        run.policy.threshold,
        run.policy.k,
        tuple(charts.patient(subject) for subject in alerted),
        identity,
    )


def alerted_patient(run: NightRun, subject: int, identity: Mapping[str, Any]) -> page.AlertedPatient:
    """One alerted patient as the patient-level report of a run shows them."""
    percentage = Percentage.from_json(identity.get("percentage"))
    return _charts(run, [subject], _rows(run, FLAGS, "night", [subject]), percentage).patient(subject)


def _rows(
    run: NightRun, table: Table, night: str, subjects: Sequence[int] | None = None, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    wanted = pc.field(night) <= pc.scalar(run.nights.last)
    if subjects is not None:
        wanted = wanted & pc.field("subject_id").isin(list(subjects))
    return list(run.lake.arrow(table, columns, rows=wanted).to_pylist())


def _charts(
    run: NightRun, subjects: Sequence[int], flags: Sequence[Mapping[str, Any]], percentage: Percentage | None
) -> Charts:
    rows = ChartRows(
        flags=flags,
        patients=_rows(run, PATIENTS, "known_night", subjects),
        notes=_rows(run, NOTES, "known_night", subjects, list(NOTE_COLUMNS)),
        events=_rows(run, EVENTS, "known_night", subjects),
        findings=_rows(run, FINDINGS, "known_night", subjects),
        candidates=_rows(run, CANDIDATES, "night", subjects),
        suspicions=_rows(run, SUSPICIONS, "known_night", subjects),
    )
    return Charts(rows, readings_of(run, subjects), run.knowledge, run.ontology, run.policy.k, percentage)


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
        cases=case_lines(outcome.lead_time, outcome.figures["label_source"]),
        flow=flow_steps(outcome.figures),
        burden=burden_classes(outcome.classified),
        cumulative=burden_points(outcome),
        rows=tuple(_row_counts(run)),
        quarantine=tuple(quarantine_reasons(run.lake.arrow(QUARANTINE, ["resource_type", "reason"]).to_pylist())),
        lateness=tuple(lateness_of(run.lake)),
        coverage=tuple(coverage_lines(run.naming_set.coverage())),
        duplication_rate=(len(findings) - findings["copied_from"].null_count) / max(1, len(findings)),
        identity=identity,
        seconds=monotonic() - run.begun,
        reading=readings_of(run).counts(),
    )


def _distinct(rows: Any) -> int:
    return int(pc.count_distinct(rows["subject_id"]).as_py())


def _row_counts(run: NightRun) -> Iterable[page.RowCount]:
    for name in ("patients", "notes", "events", "findings", "namings", "candidates", "suspicions", "flags"):
        rows = run.lake.arrow(TABLES[name], ["subject_id"])
        yield page.RowCount(name, len(rows), _distinct(rows))


def lateness_of(lake: Lake, night: date | None = None) -> Iterable[page.Lateness]:
    """How late rows came, by resource type: all, or those that became known on a night."""
    wanted = None if night is None else pc.field("known_night") == pc.scalar(night)
    for table in (NOTES, EVENTS):
        yield from lateness_lines(lake.arrow(table, list(LATENESS_COLUMNS), rows=wanted).to_pandas())
