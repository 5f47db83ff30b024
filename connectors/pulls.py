"""Pulls in a lake's `raw/` folder: a manifest, and beside it the clock by which the rows of the pull go."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from connectors.manifest import Manifest, PulledFile, read_manifest
from zebrawatch.timeline.splits import Split, lines_of, splits_of

PULL_FILE = "pull.json"
RETRY = "retry"  # kind of a pull without files, which reads quarantined lines once more


@dataclass(frozen=True)
class Pull:
    """A pull in the lake's `raw/` folder: its manifest and the clock its rows go by.

    A pull of kind `retry` has no files: it reads the quarantined lines of the pulls `again` once more.
    """

    name: str
    folder: Path
    manifest: Manifest
    seen_night: date
    backload: bool
    pulled_at: datetime
    again: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def splits(self) -> list[Split]:
        """Splits of its files."""
        return splits_of(self.folder, [file.name for file in self.manifest.files])

    def counted(self) -> Iterator[tuple[PulledFile, int, bool]]:
        """Every file as the manifest has it, the lines that are there now, and whether its bytes are those pulled."""
        paths = {file.name: self.folder / file.name for file in self.manifest.files}
        there: Counter[str] = Counter()
        for split in self.splits() if all(path.is_file() for path in paths.values()) else []:
            there[split.name] += sum(1 for _ in lines_of(split))
        for file in self.manifest.files:
            path = paths[file.name]
            yield file, there[file.name], path.is_file() and _sha256(path) == file.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_clock(folder: Path, pull: Pull) -> None:
    """Keep the clock of a pull, and what it reads again, in its folder."""
    facts = {
        "seen_night": pull.seen_night.isoformat(),
        "backload": pull.backload,
        "pulled_at": pull.pulled_at.isoformat(),
        **({"again": list(pull.again), "reasons": list(pull.reasons)} if pull.again or pull.reasons else {}),
    }
    (folder / PULL_FILE).write_text(json.dumps(facts) + "\n")


def pulls_of(raw: Path) -> list[Pull]:
    """All pulls of a lake's `raw` folder, in order of their night."""
    found = []
    for folder in sorted(path for path in raw.iterdir() if (path / PULL_FILE).is_file()):
        manifest = read_manifest(folder)
        facts = json.loads((folder / PULL_FILE).read_text())
        if manifest is not None:
            found.append(
                Pull(
                    folder.name,
                    folder,
                    manifest,
                    date.fromisoformat(facts["seen_night"]),
                    facts["backload"],
                    datetime.fromisoformat(facts["pulled_at"]),
                    tuple(facts.get("again", ())),
                    tuple(facts.get("reasons", ())),
                )
            )
    return sorted(found, key=lambda pull: (pull.seen_night, pull.name))
