"""The sample of notes that a person reads to check the suspicion detector: written, and read back. Patient data."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from connectors.lake import Lake
from zebrawatch.errors import SourceError
from zebrawatch.outcome.suspicion_sample import KEY_COLUMNS, SAMPLE_COLUMNS, Note, read_back, sample_notes
from zebrawatch.schemas import NAMINGS, NOTES

FOLDER, KEY_FILE, SEED = "suspicion_sample", "key.csv", 7


def write_sample(lake: Lake, n: int) -> Path:
    """Write `n` notes to read into the lake (0700), with their key beside them; the file to fill in.

    A file that stands there already is kept, since somebody may have begun to fill it: SourceError.
    """
    last = lake.nights()[-1].night
    detected = {
        (row["source_id"], row["source_version"])
        for row in lake.arrow(NAMINGS, ["source_id", "source_version", "kind", "phenotype_name"]).to_pylist()
        if row["kind"] != "family" and not row["phenotype_name"]
    }
    columns = ["note_id", "version", "text", "type_display", "known_night", "deleted", "restricted"]
    notes = [
        Note(
            row["note_id"], str(row["known_night"]), row["type_display"] or "", row["text"],
            (row["note_id"], row["version"]) in detected,
        )
        for row in lake.arrow(NOTES, columns).to_pylist()
        if row["text"] and not row["deleted"] and not row["restricted"] and row["known_night"] <= last
    ]  # fmt: skip
    sample = sample_notes(notes, n, SEED)
    folder = lake.root / FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / f"read_{len(sample.rows)}_notes.csv"
    if file.exists():
        raise SourceError(f"The sample {file} exists already; move it away to draw it again.")
    _write(file, SAMPLE_COLUMNS, sample.rows)
    _write(folder / KEY_FILE, KEY_COLUMNS, sample.key)
    return file


def read_sample(file: Path) -> dict[str, Any]:
    """Recall by a filled file, which must lie beside its key."""
    key = file.with_name(KEY_FILE)
    for path in (file, key):
        if not path.is_file():
            raise SourceError(f"There is no file {path}.")
    return read_back(_read(file), _read(key))


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", newline="", encoding="utf-8-sig") as file:  # spreadsheets want the mark
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))
