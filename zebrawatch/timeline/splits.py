"""Cutting NDJSON files into splits that workers read by themselves.

Spark's own text reader would replace broken bytes and knows no line numbers; quarantine needs both untouched.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLIT_BYTES = 8 << 20  # about a second of decoding
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Split:
    """Bytes [start, end) of a file, beginning at line `first_line`; end -1 reads to the end (always so for gzip)."""

    path: str
    name: str
    start: int
    end: int
    first_line: int


def splits_of(folder: Path, names: Sequence[str], split_bytes: int = SPLIT_BYTES) -> list[Split]:
    """Splits of the named files of a folder; gzip files cannot be cut and are one split each."""
    return [split for name in names for split in _splits_of_file(folder / name, name, split_bytes)]


def lines_of(split: Split) -> Iterator[tuple[int, bytes]]:
    """(line number, line without its end) of a split; blank lines are passed over."""
    remaining = split.end - split.start if split.end >= 0 else None
    with gzip.open(split.path) if _is_gzip(Path(split.path)) else Path(split.path).open("rb") as file:
        file.seek(split.start)
        for number, line in enumerate(file, split.first_line):
            if line.strip():
                yield number, line.rstrip(b"\r\n")
            if remaining is not None:
                remaining -= len(line)
                if remaining <= 0:
                    return


def _splits_of_file(path: Path, name: str, split_bytes: int) -> Iterator[Split]:
    if _is_gzip(path) or path.stat().st_size <= split_bytes:
        yield Split(str(path), name, 0, -1, 1)
        return
    start, line, position = 0, 1, 0
    begun = line
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            position += len(chunk)
            if position - start >= split_bytes and not chunk.endswith(b"\n"):
                rest = file.readline()
                chunk += rest
                position += len(rest)
            line += chunk.count(b"\n")
            if position - start >= split_bytes:
                yield Split(str(path), name, start, position, begun)
                start, begun = position, line
    if position > start:
        yield Split(str(path), name, start, position, begun)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
