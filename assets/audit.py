"""The audit of a flag: its patient's raw lines through the same steps again, beside what the lake holds."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets import evidence, raw, screen, timeline
from assets.identity import identity_of, kept_settings
from assets.night_run import NightRun
from connectors.configuration import Configuration
from connectors.lake import Lake, PublishedNight
from connectors.manifest import MANIFEST_NAME, Manifest, PulledFile
from connectors.pulls import PULL_FILE, Pull
from connectors.spark import session
from zebrawatch.errors import LakeError
from zebrawatch.evidence.background import Background
from zebrawatch.nights import NightRange
from zebrawatch.outcome.rebuilt import FlagName, Rebuild, SourceLine, compared, flag_meant, other_versions
from zebrawatch.schemas import (
    CANDIDATES,
    EVENTS,
    FINDINGS,
    FLAGS,
    LLM_REQUESTS,
    LLM_RESPONSES,
    NAMINGS,
    NOTES,
    PATIENTS,
    QUARANTINE,
    SUSPICIONS,
    Table,
)
from zebrawatch.timeline.lineage import Delivery, RawLine, lines_about

COMPARED = (PATIENTS, NOTES, EVENTS, FINDINGS, NAMINGS, CANDIDATES, SUSPICIONS, FLAGS)


def flag_named(lake: Lake, given: str) -> FlagName:
    """The flag that a person means (zebrawatch.outcome.rebuilt.flag_meant); LakeError where there is none, or more."""
    rows = lake.arrow(FLAGS, ["episode_id"])["episode_id"].to_pylist()
    return flag_meant({FlagName.parse(episode_id) for episode_id in rows}, given)


def night_of_flag(lake: Lake, flag: FlagName) -> PublishedNight:
    """The standing publication of the last night on which the flag changed."""
    nights = {night.night: night for night in lake.nights()}
    rows = lake.arrow(FLAGS, ["night", "episode_id"], rows=pc.field("subject_id") == flag.subject_id).to_pylist()
    changed = max(row["night"] for row in rows if row["episode_id"] == flag.episode_id)
    if changed not in nights:
        raise LakeError(f"Night {changed} of this flag is not published; run `zebrawatch screen` first.")
    return nights[changed]


# -- made again --------------------------------------------------------------------------------------------------------


@dataclass
class _PatientRun(NightRun):
    """A run over the raw lines of one patient. `turn` is the pull that the timeline takes in now."""

    turn: str = ""

    def new_pulls(self) -> list[Pull]:
        """The pull whose turn it is: pulls came one after the other, and did not know the later ones."""
        return [pull for pull in self.pulls() if pull.name == self.turn]


def rebuild(configuration: Configuration, lake: Lake, flag: FlagName, say: Callable[[str], None]) -> Rebuild:
    """Make a flag again from its patient's raw lines, under the identity of its own night, and compare.

    Every step is the one that the nightly run takes, over all nights from the first screened to the last published.
    Backgrounds are read from the lake: they rest on all patients. What cannot be made again is named, and not compared.
    """
    night = night_of_flag(lake, flag)
    settings = kept_settings(lake, night.identity, configuration)
    not_rebuilt = []
    if settings is None:
        not_rebuilt.append(
            f"The settings of this night ({night.identity.get('configuration')}) were not kept; those that hold now "
            "are used."
        )
        settings = configuration
    published = lake.nights()
    nights = NightRange(published[0].night, published[-1].night)
    subjects = with_merged(lake, flag.subject_id)
    stored = _stored(lake, published[-1], subjects, flag.subject_id)
    names = set(pc.unique(stored["patients"]["source_id"]).to_pylist())
    session(settings.spark, lake.scratch, brief=True)  # before the passing lake: Spark's own files must outlast it
    with _passing_lake(lake) as passing:
        run = _PatientRun(settings, passing, f"audit-{uuid.uuid4().hex[:8]}", nights, say)
        lines = _take_in(run, lake, names)
        faults = _screen_again(run, lake)
        rebuilt = {table.name: _rows(passing, table, subjects, flag.subject_id) for table in COMPARED}
        quarantined = _quarantined(passing, lines)
        other = other_versions(night.identity, identity_of(run))
    not_rebuilt += faults
    skipped = {"candidates", "flags"} if faults else set()
    return Rebuild(
        tuple(lines.values()),
        tuple(
            compared(table, stored[table.name], None if table.name in skipped else rebuilt[table.name])
            for table in COMPARED
        ),
        quarantined,
        tuple(not_rebuilt),
        other,
    )


def with_merged(lake: Lake, subject_id: int) -> frozenset[int]:
    """The patient and every record that was ever merged into theirs."""
    rows = lake.arrow(PATIENTS, ["subject_id"], rows=pc.field("merged_into") == subject_id)
    return frozenset({subject_id, *rows["subject_id"].to_pylist()})


def _stored(lake: Lake, night: PublishedNight, subjects: Iterable[int], subject_id: int) -> dict[str, pa.Table]:
    return {table.name: _rows(lake, table, subjects, subject_id, night.versions.get(table.name)) for table in COMPARED}


def _rows(lake: Lake, table: Table, subjects: Iterable[int], subject_id: int, version: int | None = None) -> pa.Table:
    """A table's rows of the patient; of a merged record's own scores and flags none."""
    whose = [subject_id] if table in (CANDIDATES, FLAGS) else sorted(subjects)
    return lake.arrow(table, version=version, rows=pc.field("subject_id").isin(pa.array(whose, pa.int64())))


@contextmanager
def _passing_lake(lake: Lake) -> Iterator[Lake]:
    """A lake for one patient, in the lake's scratch folder, gone afterwards."""
    root = lake.scratch / f"audit-{uuid.uuid4().hex[:8]}"
    passing = Lake.open(root, create=True)
    passing.describe(**{name: value for name, value in lake.about().items() if name != "schema_version"})
    passing.knowledge = lake.knowledge
    try:
        yield passing
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _take_in(run: _PatientRun, lake: Lake, names: Iterable[str]) -> dict[str, SourceLine]:
    """Timeline rows of the patient, pull by pull; where each version's line stands."""
    found: dict[str, SourceLine] = {}
    pulls = NightRun(run.configuration, lake, run.run_id, None, run.say).pulls()
    about = lines_about({pull.name: _delivery(pull) for pull in pulls}, sorted(names))
    for pull in pulls:
        lines = about[pull.name]
        if not lines:
            continue
        run.say(f"Reading {len(lines):,} raw lines of pull {pull.name} again")
        _copy_pull(pull, lines, run.lake.raw / pull.name)
        for line in lines:
            found.setdefault(line.version, SourceLine(line.version, pull.name, line.file, line.line_number))
        run.turn = pull.name
        for step in (timeline.referred, raw.quarantine, timeline.patients, timeline.notes, timeline.events):
            step(run)
    return found


def _delivery(pull: Pull) -> Delivery:
    return Delivery(tuple(pull.splits()), frozenset(file.name for file in pull.manifest.files if file.deleted))


def _copy_pull(pull: Pull, lines: Sequence[RawLine], folder: Path) -> None:
    by_file: dict[str, list[bytes]] = {}
    for line in lines:
        by_file.setdefault(line.file, []).append(line.line)
    files = []
    for file in pull.manifest.files:
        if file.name not in by_file:
            continue
        name = file.name.removesuffix(".gz")
        content = b"\n".join(by_file[file.name]) + b"\n"
        (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / name).write_bytes(content)
        files.append(
            PulledFile(name, file.resource_type, len(by_file[file.name]), len(content), file.sha256, file.deleted)
        )
    manifest: Manifest = replace(pull.manifest, files=tuple(files))
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    shutil.copy(pull.folder / PULL_FILE, folder / PULL_FILE)


def _screen_again(run: _PatientRun, lake: Lake) -> list[str]:
    """Findings to flags; what could not be made again, in words."""
    run.say("Reading texts, scoring and folding again")
    evidence.findings(run)
    evidence.namings(run)
    screen.suspicions(run)
    backgrounds = {
        path.stem.partition("@")[2]: Background.load(path)
        for path in sorted((lake.root / "background").glob("background@*.json"))
    }
    others = {one.knowledge for one in backgrounds.values()} - {run.knowledge.version}
    if others or not backgrounds:
        kept = ", ".join(sorted(others)) or "no background is kept"
        fault = f"the knowledge they rest on ({kept}) is not the one installed ({run.knowledge.version})"
        return [f"Scores and flags cannot be made again: {fault}."]
    run.backgrounds = backgrounds
    try:
        evidence.candidates(run)
    except KeyError:
        return ["Scores and flags cannot be made again: a month's background is missing from the lake."]
    for table in (LLM_REQUESTS, LLM_RESPONSES):  # what a language model said is not asked again: its answers stand
        subjects = pc.unique(run.lake.arrow(PATIENTS, ["subject_id"])["subject_id"])
        version = lake.published_versions().get(table.name)
        answers = lake.arrow(table, version=version, rows=pc.field("subject_id").isin(subjects))
        run.lake.write_rows(answers, table, run.nights)
    run.raised_elsewhere = _raised_elsewhere(run, lake)
    screen.flags(run)
    return []


def _raised_elsewhere(run: _PatientRun, lake: Lake) -> dict[date, list[tuple[float, int]]]:
    """New alerts of all other patients, as stored: a budget was shared with them."""
    found: dict[date, list[tuple[float, int]]] = {}
    if not run.policies.has_budget(run.nights):
        return found
    ours = set(run.lake.arrow(PATIENTS, ["subject_id"])["subject_id"].to_pylist())
    columns = ["subject_id", "episode_id", "night", "action", "p_any"]
    for row in lake.arrow(FLAGS, columns, rows=pc.field("action") == "raise").to_pylist():
        if row["subject_id"] not in ours and row["episode_id"].endswith(f":{row['night']}"):
            found.setdefault(row["night"], []).append((-row["p_any"], row["subject_id"]))
    return found


def _quarantined(passing: Lake, lines: Mapping[str, SourceLine]) -> tuple[dict[str, Any], ...]:
    """Lines of the patient that could not be used: reason and place, not the line."""
    rows = passing.arrow(QUARANTINE, ["line", "resource_type", "reason"]).to_pylist()
    return tuple(
        {"resource_type": row["resource_type"], "reason": row["reason"], **asdict(lines[version])}
        for row in rows
        if (version := RawLine("", 0, row["line"]).version) in lines
    )
