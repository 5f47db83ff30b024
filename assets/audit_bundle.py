"""Audit bundles: one folder in the lake with a page and its JSON, for a flag or for a night."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets import reporting
from assets.audit import FlagName, Rebuild, SourceLine, flag_named, night_of_flag, rebuild, with_merged
from assets.night_run import NightRun, Pull
from assets.raw import splits
from connectors.configuration import Configuration
from connectors.lake import Lake, PublishedNight, digest_of
from connectors.mlflow_runs import flatten_identity
from connectors.spark import session
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.percentage import Percentage
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.reports import audit as page
from zebrawatch.reports import figures
from zebrawatch.reports.data import QuarantineReason
from zebrawatch.reports.from_tables import quarantine_reasons
from zebrawatch.reports.statement import statement
from zebrawatch.schemas import CANDIDATES, FINDINGS, FLAGS, LEAD_TIME, QUARANTINE, TABLES
from zebrawatch.timeline.splits import lines_of

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


def verdict_of(made: Rebuild) -> str:
    """What making a flag again showed, in one sentence."""
    rows = sum(one.stored for one in made.compared)
    if made.differs:
        tables = ", ".join(one.table for one in made.compared if one.verdict == "differs")
        why = "the same code and settings" if not made.other_versions else "another state of code or settings (below)"
        return f"The rebuilt flag DIFFERS from the stored one in {tables}; it was made with {why}."
    if not made.whole:
        return "What could be rebuilt equals what is stored; the rest could not be rebuilt (below)."
    return f"The flag was rebuilt from {len(made.lines):,} raw lines, and all {rows:,} rows behind it are the same."


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
        changes=tuple(_change(row) for row in rows),
        checks=tuple(
            page.Check(
                one.table, f"{one.stored:,} rows, {one.stored_digest[:12]}",
                "" if one.rebuilt is None else f"{one.rebuilt:,} rows, {(one.rebuilt_digest or '')[:12]}", one.verdict,
                _differences(one.only_stored, one.only_rebuilt),
            )
            for one in made.compared
        ),
        not_rebuilt=made.not_rebuilt,
        other_versions=made.other_versions,
        lineage=tuple(_lineage(run, flag, rows, {line.version: line for line in made.lines})),
        quarantined=tuple(f"{one['resource_type']}: {one['reason']} ({one['file']}, line {one['line_number']})"
                          for one in made.quarantined),
        decided=known.decided,
        looked=known.looked,
        reviewed=known.there,
        protocol=_protocol(night),
        deviations=tuple(deviations(lake, night)),
        links=tuple(links(configuration, lake, night)),
        identity=flatten_identity(night.identity),
    )  # fmt: skip


def _differences(stored: Sequence[str], rebuilt: Sequence[str]) -> str:
    """The keys of rows that differ, the first few of each side."""
    told = [f"only {where}: {', '.join(rows[:3])}{' …' if len(rows) > 3 else ''}"
            for where, rows in (("stored", stored), ("rebuilt", rebuilt)) if rows]  # fmt: skip
    return "; ".join(told)


def _episode_rows(lake: Lake, flag: FlagName) -> list[dict[str, Any]]:
    rows = lake.arrow(FLAGS, rows=pc.field("subject_id") == flag.subject_id).to_pylist()
    return sorted((row for row in rows if row["episode_id"] == flag.episode_id), key=lambda row: row["night"])


def _change(row: Mapping[str, Any]) -> page.Change:
    shown = tuple(f"{one['rank']}. {one['disease_name']}" for one in row["shown"])
    return page.Change(row["night"], row["action"], row["reason"], row["p_any"], row["threshold"], shown)


def _lineage(
    run: NightRun, flag: FlagName, rows: Sequence[Mapping[str, Any]], lines: Mapping[str, SourceLine]
) -> Iterable[page.Lineage]:
    """Weighed findings of the list shown last, weightiest first, each with its raw line."""
    shown = next(row for row in reversed(rows) if row["action"] != "withdraw")
    ids = {one["disease_id"] for one in shown["shown"]}
    scores = run.lake.arrow(CANDIDATES, rows=pc.field("subject_id") == flag.subject_id).to_pylist()
    known = [row for row in scores if row["night"] <= shown["night"] and row["rank"] > 0]
    last = max((row["night"] for row in known), default=None)
    versions = _versions(run, with_merged(run.lake, flag.subject_id))
    seen: dict[tuple[Any, ...], page.Lineage] = {}
    for score in sorted((row for row in known if row["night"] == last), key=lambda row: row["rank"]):
        for one in score["contributions"] if score["disease_id"] in ids else ():
            if one["source_id"] is None:
                continue
            version = versions.get((one["source_id"], one["hpo_id"], one["start"]), "")
            line = lines.get(version.partition(".")[0])  # `.2`: the same bytes came back, or were completed
            seen.setdefault(
                (one["hpo_id"], one["assertion"], one["source_id"]),
                page.Lineage(
                    one["label"] + (", absent" if one["assertion"] == "negated" else ""), one["log10_lr"],
                    one["quote"] or "", one["source_id"], version, one["known_night"],
                    f"{line.pull}/{line.file}" if line else "", line.line_number if line else 0,
                ),
            )  # fmt: skip
    return sorted(seen.values(), key=lambda one: -abs(one.weight))


def _versions(run: NightRun, subjects: Iterable[int]) -> dict[tuple[str, str, int | None], str]:
    """The version of the source that a finding stands in, by source, term and place; the earliest known where many."""
    columns = ["source_id", "hpo_id", "start", "source_version", "known_night"]
    rows = run.lake.arrow(FINDINGS, columns, rows=pc.field("subject_id").isin(pa.array(sorted(subjects), pa.int64())))
    found: dict[tuple[str, str, int | None], str] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: row["known_night"]):
        found.setdefault((row["source_id"], row["hpo_id"], row["start"]), row["source_version"])
    return found


def _plain_rows(lake: Lake, flag: FlagName, table: str) -> list[dict[str, Any]]:
    rows = lake.arrow(TABLES[table], rows=pc.field("subject_id") == flag.subject_id).to_pylist()
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
    files = tuple(_files(pulls))
    say("Computing content digests again")
    checks = tuple(_digests(configuration, lake, found))
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
        verdict=_night_verdict(whole, checks, len(files), passed),
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
        flags=tuple(_flags_of(lake, night)),
        missed=tuple(_missed(run, night)),
        deviations=tuple(deviations(lake, found)),
        links=tuple(links(configuration, lake, found)),
        identity=flatten_identity(found.identity),
    )
    folder = _folder(lake, f"night-{night}")
    facts = {"statement": statement(audit.provenance), **asdict(audit)}
    return _written(folder, page.night_page(audit), facts, sound, audit.verdict)


def _night_verdict(whole: bool, checks: Sequence[page.Check], files: int, gate: bool | None) -> str:
    differing = [check.what for check in checks if check.state == "differs"]
    if differing:
        return f"The tables {', '.join(differing)} are NOT what was published with this night."
    if not whole:
        return "The raw files are NOT those that were pulled."
    checked = [check for check in checks if check.state == "same"]
    tail = "; the leak gate did not hold" if gate is False else ""
    return (
        f"All {files} raw files are as pulled, and {len(checked)} of {len(checks)} tables were compared and are as "
        f"published{tail}."
    )


def _files(pulls: Iterable[Pull]) -> Iterable[page.PulledFile]:
    for pull in pulls:
        there: Counter[str] = Counter()
        for split in splits(pull) if all((pull.folder / file.name).is_file() for file in pull.manifest.files) else []:
            there[split.name] += sum(1 for _ in lines_of(split))
        for file in pull.manifest.files:
            path = pull.folder / file.name
            intact = path.is_file() and _sha256(path) == file.sha256
            yield page.PulledFile(pull.name, file.name, file.lines, there[file.name], intact)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(configuration: Configuration, lake: Lake, night: PublishedNight) -> Iterable[page.Check]:
    """Digests of what the night's run computed, now and as published; snapshots and pulls hold later runs' rows too."""
    spark = session(configuration.spark, lake.scratch)
    for name, then in sorted(night.digests.items()):
        table, version = TABLES.get(name), night.versions.get(name)
        if table is None or table.partition != "night_range":
            continue
        try:
            nights = str(night.identity["nights"])
            if table.layer == "reasoning":  # written from memory, and digested as such (Lake.write_rows)
                now = digest_of(lake.arrow(table, version=version, rows=pc.field("night_range") == nights), table)
            else:
                now = lake.digest(spark, table, partition=nights, version=version)
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


def _flags_of(lake: Lake, night: date) -> Iterable[page.NightFlag]:
    for row in lake.arrow(FLAGS, rows=pc.field("night") == night).to_pylist():
        subject, _, first = row["episode_id"].rpartition(":")
        name = row["shown"][0]["disease_name"] if row["shown"] else ""
        yield page.NightFlag(f"{int(subject):016x}:{first}", row["action"], row["reason"], name)


def _missed(run: NightRun, night: date) -> Iterable[page.Missed]:
    """Pairs at risk that were suspected by the night without an open alert for them, and their last rank."""
    pairs = [
        row
        for row in run.lake.arrow(LEAD_TIME).to_pylist()
        if row["pair_class"] == "at risk" and not row["prioritised"] and row["suspicion_night"] <= night
    ]
    matcher = Matcher(run.knowledge)
    for row in pairs:
        scores = run.lake.arrow(
            CANDIDATES, ["night", "rank", "disease_id"], rows=pc.field("subject_id") == row["subject_id"]
        ).to_pylist()
        before = [score for score in scores if score["night"] < row["suspicion_night"]]
        last = max((score["night"] for score in before), default=None)
        ranks = [
            score["rank"]
            for score in before
            if score["night"] == last and score["rank"] and matcher.same(row["disease_id"], score["disease_id"])
        ]
        index = run.knowledge.index_of(row["disease_id"])
        yield page.Missed(
            f"{row['subject_id']:016x}",
            run.knowledge.diseases[index].name if index is not None else row["disease_id"],
            row["suspicion_night"],
            f"{min(ranks)} on {last}" if ranks else (f"not listed on {last}" if last else "never scored before"),
            "never listed" if row["best_rank"] is None else str(row["best_rank"]),
            row["match_tier"] or "miss",
        )


# -- both --------------------------------------------------------------------------------------------------------------


def deviations(lake: Lake, night: PublishedNight) -> Iterable[str]:
    """What the night did otherwise than the written protocol, or what else a reader must know of its figures."""
    protocol, policy = Protocol.read(), night.identity.get("policy") or {}
    written = {
        "threshold": protocol.alert.threshold,
        "k": protocol.estimand.k,
        "persistence_nights": protocol.alert.persistence_nights,
    }
    for name, value in written.items():
        if name in policy and policy[name] != value:
            yield f"The alert policy's {name} was {policy[name]}; the protocol says {value}."
    if night.identity.get("protocol") != protocol.digest:
        yield (
            f"The night followed {night.identity.get('protocol')}; the protocol of this release is {protocol.digest}, "
            "and is the one listed here."
        )
    if night.stale:
        yield "The night is stale: an earlier night was made again since."
    gate = _result(lake, night).get("leak_gate") or {}
    if gate.get("leaks"):
        yield f"The leak gate did not hold: {gate['leaks']} namings in scored documents."
    if str(night.identity.get("reasoning", {}).get("arm", "")).startswith("not run"):
        yield "The reasoning arm did not run: the evidence arm screened alone, so there is no model answer to replay."
    if lake.about().get("data_kind") != "real":
        kind = lake.about().get("data_kind")
        yield f"The data are {kind}: they show that the machinery is right, not clinical benefit."


def _protocol(night: PublishedNight) -> dict[str, str]:
    protocol = Protocol.read()
    return {
        "digest, then": str(night.identity.get("protocol")),
        "digest, today": protocol.digest,
        "primary": ", ".join(protocol.estimand.primary),
        "population": protocol.estimand.population,
        "match tier": protocol.estimand.match_tier,
        "diseases shown": str(protocol.estimand.k),
        "threshold": str(protocol.alert.threshold),
        "persistence, nights": str(protocol.alert.persistence_nights),
        "same episode, days": str(protocol.alert.same_episode_days),
    }


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
