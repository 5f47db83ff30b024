"""Replays of the past: where each lies, what it begins with. The steps themselves are those of every night."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import zebrawatch
from assets.night_run import code_digest
from connectors import knowledge_files
from connectors.configuration import Configuration, replaced
from connectors.folder import fingerprint_folder
from connectors.lake import REPLAYS, Lake
from connectors.manifest import MANIFEST_NAME, read_manifest
from connectors.pulls import PULL_FILE
from zebrawatch.errors import LakeError, SourceError
from zebrawatch.nights import LANDMARKS, ReplayPlan
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.schemas import EVENTS, FINDINGS, NAMINGS, NOTES, PATIENTS, QUARANTINE, REFERRED

TAKEN_OVER = tuple(table.name for table in (QUARANTINE, REFERRED, PATIENTS, NOTES, EVENTS, FINDINGS, NAMINGS))
LAKE_FILE = "lake.json"


@dataclass(frozen=True)
class Corner:
    """One replay: its own folder below the lake, its settings, its plan, and the lake it begins with (if any)."""

    folder: Path
    configuration: Configuration
    plan: ReplayPlan
    source_lake: Path | None

    def open(self) -> Lake:
        """The replay's lake, made and filled with the source lake's rows where it is new."""
        lake = Lake.open(self.folder, create=True)
        if self.source_lake is not None and not lake.taken_over:
            _begin_with(lake, Lake.open(self.source_lake))
        return lake


def is_lake(folder: Path) -> bool:
    """Whether a folder is a lake rather than a folder of FHIR files."""
    return (folder / LAKE_FILE).is_file()


def corner_of(configuration: Configuration, plan: ReplayPlan) -> Corner:
    """Where the replay of the configured source lies: the same question has the same corner, so it can go on.

    The source is a folder of NDJSON or a lake; SourceError where it is neither. LakeError for unknown landmarks.
    """
    if plan.landmarks not in LANDMARKS:
        raise SourceError(f"'{plan.landmarks}' are no landmarks; give one of {', '.join(LANDMARKS)}.")
    if configuration.source_is_server:
        raise SourceError("A replay needs records that are already here: give a folder or a lake with --source.")
    source = Path(configuration.source.location).absolute()
    if not source.is_dir():
        raise SourceError(f"There is no folder or lake {source} to replay.")
    if not is_lake(source):
        return Corner(_folder(configuration, plan, fingerprint_folder(source)), configuration, plan, None)
    lake = Lake.open(source)
    configuration = replaced(configuration, "source", location=str(lake.about().get("source", "")))
    state = json.dumps([str(source), lake.published_versions()], sort_keys=True)
    return Corner(_folder(configuration, plan, state), configuration, plan, source)


def _folder(configuration: Configuration, plan: ReplayPlan, state: str) -> Path:
    labels = _label_bytes(configuration)
    opted_out = Path(configuration.policy.opt_out_file)
    parts = [
        state.encode(),
        labels,
        configuration.digest().encode(),
        opted_out.read_bytes() if configuration.policy.opt_out_file and opted_out.is_file() else b"",
        Protocol.read().digest.encode(),
        code_digest(zebrawatch).encode(),
        knowledge_files.checksum(knowledge_files.knowledge_files(configuration.knowledge.folder)).encode(),
    ]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:10]
    name = f"{_bound(plan.first, 'first')}..{_bound(plan.last, 'last')}-{plan.landmarks}-{digest}"
    return configuration.lake_folder / REPLAYS / name


def _bound(night: date | None, otherwise: str) -> str:
    return otherwise if night is None else night.isoformat()


def _label_bytes(configuration: Configuration) -> bytes:
    """The label file's content, so that other labels are another replay."""
    named = configuration.source.labels
    path = Path(named) if named else Path(configuration.source.location) / "labels.csv"
    return path.read_bytes() if path.is_file() else b""


def _begin_with(lake: Lake, source: Lake) -> None:
    """Take over the rows of the source's timeline and of its readers, and the manifests of its pulls."""
    nights = source.nights()
    if not nights:
        raise LakeError(f"The lake in {source.root} has no published night; run `zebrawatch screen` on it first.")
    identity = nights[-1].identity
    copy_manifests(source, lake, identity.get("pulls", ()))
    about = source.about()
    lake.describe(**{name: about[name] for name in ("data_kind", "source", "site") if name in about})
    lake.take_over(source, TAKEN_OVER, pulls=list(identity.get("pulls", ())), readers=identity.get("readers"))


def copy_manifests(source: Lake, target: Lake, pulls: Sequence[str]) -> None:
    """Of each pull its manifest and clock, without its lines."""
    for folder in (source.raw / name for name in pulls):
        if read_manifest(folder) is not None:
            (target.raw / folder.name).mkdir(exist_ok=True, mode=0o700)
            for name in (MANIFEST_NAME, PULL_FILE):
                (target.raw / folder.name / name).write_bytes((folder / name).read_bytes())
