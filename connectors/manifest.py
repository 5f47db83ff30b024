"""The manifest of a pull: what a source delivered, file by file.

A pull is a folder of NDJSON files as they came, published by rename together with `manifest.json`. A folder without
that file is no pull.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from zebrawatch.errors import SourceError

MANIFEST_NAME = "manifest.json"
DATA_KINDS = ("real", "made", "rendered")


@dataclass(frozen=True)
class PulledFile:
    """One file of a pull.

    `name` is its path below the pull's folder, `lines` counts lines that hold more than white space (after unpacking),
    `bytes` and `sha256` are of the file as stored. `deleted` marks tombstones (Bundles of DELETE entries).
    """

    name: str
    resource_type: str
    lines: int
    bytes: int
    sha256: str
    deleted: bool = False


@dataclass(frozen=True)
class Manifest:
    """What one pull delivered. `source` is a folder or an address without credentials.

    `kind` is folder, bulk or crawl; `transaction_time` is the server's own, from which the next pull asks for changes;
    `notices` are faults the source reported and the night can live with, counted by kind and without patient data;
    `source_state` is `fingerprint_folder` at the time of the pull (folders only).
    """

    source: str
    kind: str
    data_kind: str
    transaction_time: datetime | None
    files: tuple[PulledFile, ...]
    fingerprint: str
    notices: tuple[str, ...] = ()
    source_state: str = ""

    @property
    def lines(self) -> int:
        """Lines of all files together."""
        return sum(file.lines for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all files together, as stored."""
        return sum(file.bytes for file in self.files)

    def lines_by_type(self, *, deleted: bool = False) -> dict[str, int]:
        """Lines per resource type, of the tombstones or of all else."""
        counts: dict[str, int] = {}
        for file in self.files:
            if file.deleted == deleted:
                counts[file.resource_type] = counts.get(file.resource_type, 0) + file.lines
        return counts

    def to_json(self) -> str:
        """The manifest as JSON text; `from_json` reads it back."""
        fields = asdict(self)
        fields["transaction_time"] = self.transaction_time.isoformat() if self.transaction_time else None
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError where the text is something else."""
        fields: dict[str, Any] = json.loads(text)
        files = tuple(PulledFile(**file) for file in fields.pop("files"))
        instant = fields.pop("transaction_time")
        notices = tuple(fields.pop("notices"))
        time = datetime.fromisoformat(instant) if instant else None
        return cls(transaction_time=time, files=files, notices=notices, **fields)


def fingerprint_of(files: Iterable[PulledFile]) -> str:
    """sha256 over name, content and role of the files, by name: equal exactly where the delivered bytes are."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f"{file.name}\t{file.sha256}\t{int(file.deleted)}\n".encode())
    return digest.hexdigest()


def read_manifest(pull: Path) -> Manifest | None:
    """The manifest of a published pull, None where `pull` is no published pull; SourceError where it can't be read."""
    try:
        text = (pull / MANIFEST_NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Manifest.from_json(text)
    except (ValueError, KeyError, TypeError):
        raise SourceError(f"{pull / MANIFEST_NAME} is not a manifest of a pull; move that folder away.") from None


def publish(partial: Path, destination: Path, manifest: Manifest) -> None:
    """Write the manifest into `partial` and give the folder its final name: a pull is there whole or not at all."""
    path = partial / MANIFEST_NAME
    with path.open("w", encoding="utf-8") as out:
        out.write(manifest.to_json())
        out.flush()
        os.fsync(out.fileno())
    sync_folder(partial)
    partial.rename(destination)
    sync_folder(destination.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def partial_of(destination: Path) -> Path:
    """Where a pull grows before it has its final name: hidden, beside the destination, on the same file system."""
    return destination.with_name(f".{destination.name}.partial")


def fresh_partial(destination: Path) -> Path:
    """An empty folder for a pull to grow in; what a killed run left there is removed."""
    partial = partial_of(destination)
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir(mode=0o700)
    return partial
