"""Audit bundles: one folder in the lake with a page and its JSON, for a flag or for a night."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets import reporting
from assets.audit import flag_named, night_of_flag, rebuild, with_merged
from assets.night_run import NightRun
from connectors.configuration import Configuration
from connectors.lake import Lake, PublishedNight
from connectors.mlflow_runs import flatten_identity
from zebrawatch.content import FORM
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.percentage import Percentage
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.rebuilt import FlagName, Rebuild
from zebrawatch.reports import audit as page
from zebrawatch.reports import figures
from zebrawatch.reports.data import QuarantineReason
from zebrawatch.reports.from_audit import (
    SCORE_COLUMNS,
    VERSION_COLUMNS,
    change_of,
    check_of,
    deviations,
    lineage_of,
    missed_by,
    missed_of,
    night_flags,
    night_verdict,
    protocol_words,
    verdict_of,
)
from zebrawatch.reports.from_tables import quarantine_reasons
from zebrawatch.reports.statement import statement
from zebrawatch.schemas import CANDIDATES, FINDINGS, FLAGS, LEAD_TIME, QUARANTINE, TABLES, Table

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reviewed:
    """What the review application knows of a flag; `there` is False where it was never used here."""

    there: bool = False
    decided: tuple[page.Deed, ...] = ()
    looked: tuple[page.Deed, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """Where a bundle lies, and whether what was made or counted again is as stored."""

    folder: Path
    page: Path
    sound: bool
    verdict: str
    facts: Mapping[str, Any]


# -- a flag ------------------------------------------------------------------------------------------------------------


def audit_flag(
    configuration: Configuration, lake: Lake, given: str, reviewed: Callable[[str, int], Reviewed], say: Say
) -> Bundle:
    """Make a flag again, and write its bundle; LakeError where there is no such flag."""
    flag = flag_named(lake, given)
    night = night_of_flag(lake, flag)
    made = rebuild(configuration, lake, flag, say)
    say("Writing the bundle")
    audit = _flag_audit(configuration, lake, flag, night, made, reviewed(flag.episode_id, flag.subject_id))
    folder = _folder(lake, f"flag-{flag.key}-{flag.first_night}")
    facts = {
        "statement": statement(audit.provenance),
        **asdict(audit),
        "rebuild": asdict(made),
        "flags": _plain_rows(lake, flag, "flags"),
        "scores": _plain_rows(lake, flag, "candidates"),
    }
    return _written(folder, page.flag_page(audit), facts, audit.sound, audit.verdict)


def _flag_audit(
    configuration: Configuration, lake: Lake, flag: FlagName, night: PublishedNight, made: Rebuild, known: Reviewed
) -> page.FlagAudit:
    run = _looking(configuration, lake)
    rows = _episode_rows(lake, flag)
    return page.FlagAudit(
        flag_id=flag.episode_id,
        verdict=verdict_of(made),
        sound=not made.differs,
        provenance=reporting.provenance_of(run, percentage=Percentage.from_json(night.identity.get("percentage"))),
        patient=reporting.alerted_patient(run, flag.subject_id, night.identity),
        changes=tuple(change_of(row) for row in rows),
        checks=tuple(check_of(one) for one in made.compared),
        not_rebuilt=made.not_rebuilt,
        other_versions=made.other_versions,
        lineage=tuple(lineage_of(rows, _scores(lake, flag), _findings(lake, flag), made.lines)),
        quarantined=tuple(f"{one['resource_type']}: {one['reason']} ({one['file']}, line {one['line_number']})"
                          for one in made.quarantined),
        decided=known.decided,
        looked=known.looked,
        reviewed=known.there,
        protocol=protocol_words(Protocol.read(), night.identity.get("protocol")),
        deviations=tuple(_deviations(lake, night)),
        links=tuple(links(configuration, lake, night)),
        identity=flatten_identity(night.identity),
    )  # fmt: skip


def _episode_rows(lake: Lake, flag: FlagName) -> list[dict[str, Any]]:
    rows = _rows_of(lake, FLAGS, [flag.subject_id])
    return sorted((row for row in rows if row["episode_id"] == flag.episode_id), key=lambda row: row["night"])


def _scores(lake: Lake, flag: FlagName) -> list[dict[str, Any]]:
    return _rows_of(lake, CANDIDATES, [flag.subject_id])


def _findings(lake: Lake, flag: FlagName) -> list[dict[str, Any]]:
    return _rows_of(lake, FINDINGS, with_merged(lake, flag.subject_id), VERSION_COLUMNS)


def _rows_of(
    lake: Lake, table: Table, subjects: Iterable[int], columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    whose = pc.field("subject_id").isin(pa.array(sorted(subjects), pa.int64()))
    return list(lake.arrow(table, columns, rows=whose).to_pylist())


def _plain_rows(lake: Lake, flag: FlagName, table: str) -> list[dict[str, Any]]:
    rows = _rows_of(lake, TABLES[table], [flag.subject_id])
    return sorted(rows, key=lambda row: (row["night"], row.get("rank", 0)))


# -- a night -----------------------------------------------------------------------------------------------------------


def audit_night(configuration: Configuration, lake: Lake, night: date, say: Say) -> Bundle:
    """Count and compare again what a night rests on, and write its bundle; LakeError where it is not published."""
    found = next((one for one in lake.nights() if one.night == night), None)
    if found is None:
        raise LakeError(f"Night {night} is not published; `zebrawatch lake nights` lists those that are.")
    run = _looking(configuration, lake)
    say("Counting the raw files again")
    pulls = [pull for pull in run.pulls() if pull.name in found.identity.get("pulls", ())]
    files = tuple(
        page.PulledFile(pull.name, file.name, file.lines, there, intact)
        for pull in pulls
        for file, there, intact in pull.counted()
    )
    say("Computing content digests again")
    checks = tuple(_digests(lake, found))
    result = _result(lake, found)
    gate, passed = figures.gate_words(result)
    whole = all(file.intact and file.promised == file.there for file in files) and len(pulls) == len(
        found.identity.get("pulls", ())
    )
    sound = whole and all(check.state != "differs" for check in checks)
    audit = page.NightAudit(
        night=night,
        nights=str(found.identity["nights"]),
        generation=found.generation,
        stale=found.stale,
        verdict=night_verdict(whole, checks, len(files), passed),
        sound=sound,
        provenance=reporting.provenance_of(run, night, Percentage.from_json(found.identity.get("percentage"))),
        checks=checks,
        files=files,
        quarantine=tuple(_quarantine(lake, [pull.name for pull in pulls])),
        gate=gate,
        gate_passed=passed,
        recall=figures.recall_words(result),
        lateness=tuple(reporting.lateness_of(lake, night)),
        drift=tuple(flatten_identity(result.get("drift") or {}).items()),
        flags=tuple(night_flags(lake.arrow(FLAGS, rows=pc.field("night") == night).to_pylist())),
        missed=tuple(_missed(run, night)),
        deviations=tuple(_deviations(lake, found)),
        links=tuple(links(configuration, lake, found)),
        identity=flatten_identity(found.identity),
    )
    folder = _folder(lake, f"night-{night}")
    facts = {"statement": statement(audit.provenance), **asdict(audit)}
    return _written(folder, page.night_page(audit), facts, sound, audit.verdict)


def _digests(lake: Lake, night: PublishedNight) -> Iterable[page.Check]:
    """Digests of what the night's run computed, now and as published; snapshots and pulls hold later runs' rows too."""
    for name, then in sorted(night.digests.items()):
        table, version = TABLES.get(name), night.versions.get(name)
        if table is None or table.partition != "night_range":
            continue
        if not then.startswith(FORM):
            yield page.Check(name, then[:12], "", "not checked", "an earlier release made this digest")
            continue
        try:
            now = lake.digest(table, partition=str(night.identity["nights"]), version=version)
        except Exception as error:  # a version whose files were collected cannot be read any more
            yield page.Check(name, then[:12], "", "not checked", f"version {version} is gone ({type(error).__name__})")
            continue
        yield page.Check(name, then[:12], now[:12], "same" if now == then else "differs")


def _result(lake: Lake, night: PublishedNight) -> dict[str, Any]:
    place = lake.reports / str(night.identity["nights"]) / "result.json"
    return dict(json.loads(place.read_text())) if place.is_file() else {}


def _quarantine(lake: Lake, pulls: Sequence[str]) -> Iterable[QuarantineReason]:
    wanted = pc.field("pull").isin(pa.array(pulls, pa.string()))
    return quarantine_reasons(lake.arrow(QUARANTINE, ["resource_type", "reason"], rows=wanted).to_pylist())


def _missed(run: NightRun, night: date) -> Iterable[page.Missed]:
    matcher = Matcher(run.knowledge)
    for row in missed_by(run.lake.arrow(LEAD_TIME).to_pylist(), night):
        scores = _rows_of(run.lake, CANDIDATES, [row["subject_id"]], SCORE_COLUMNS)
        yield missed_of(row, scores, run.knowledge, matcher)


# -- both --------------------------------------------------------------------------------------------------------------


def _deviations(lake: Lake, night: PublishedNight) -> Iterable[str]:
    kind = str(lake.about().get("data_kind"))
    return deviations(
        night.identity, stale=night.stale, result=_result(lake, night), data_kind=kind, protocol=Protocol.read()
    )


def links(configuration: Configuration, lake: Lake, night: PublishedNight) -> Iterable[page.Link]:
    """Reports, Data Docs, the Dagster run and the MLflow run of a night."""
    reports = lake.reports / str(night.identity["nights"])
    written = {
        "Patients' report": "patients.html", "Summary": "summary.html", "Leak ledger": "leak_ledger.csv",
    }  # fmt: skip
    for name, file in written.items():
        if (reports / file).is_file():
            yield page.Link(name, (reports / file).resolve().as_uri())
    docs = configuration.state_folder / "expectations" / "data_docs" / "index.html"
    if docs.is_file():
        yield page.Link("Data Docs (Great Expectations)", docs.resolve().as_uri())
    run_id = night.run_id
    if run_id:
        yield page.Link("Dagster run", f"http://127.0.0.1:3000/runs/{run_id}", "opens while `dagster dev` runs")
    mlflow = _result(lake, night).get("mlflow")
    if mlflow:
        yield page.Link(
            "MLflow run", f"http://127.0.0.1:5000/#/search?searchFilter=attributes.run_id%3D'{mlflow}'",
            f"run {mlflow}; opens while `mlflow ui --backend-store-uri {configuration.mlflow_uri}` runs",
        )  # fmt: skip


def _looking(configuration: Configuration, lake: Lake) -> NightRun:
    """A run that only looks at what is published."""
    nights = lake.nights()
    if not nights:
        raise LakeError("No night is published yet; `zebrawatch screen` makes some.")
    return NightRun(configuration, lake, "audit", NightRange(nights[0].night, nights[-1].night), lambda _: None)


def _folder(lake: Lake, name: str) -> Path:
    base = lake.root / "audit"
    base.mkdir(exist_ok=True, mode=0o700)
    folder = base / name
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _written(folder: Path, html: str, facts: Mapping[str, Any], sound: bool, verdict: str) -> Bundle:
    place = folder / "index.html"
    place.write_text(html, encoding="utf-8")
    (folder / "bundle.json").write_text(json.dumps(facts, indent=1, default=str, ensure_ascii=False) + "\n")
    for path in (place, folder / "bundle.json"):
        path.chmod(0o600)
    return Bundle(folder, place, sound, verdict, facts)
