"""Splits of NDJSON files: every line exactly once, whole, with its number, however the file is cut."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.timeline import splits
from zebrawatch.timeline.splits import lines_of, splits_of

# Lines as files hold them: of any length, blank, with bytes that are no UTF-8 and carriage returns inside.
LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=40)
ENDINGS = st.sampled_from([b"\n", b"\r\n"])


def read(folder: Path, split_bytes: int, chunk_bytes: int = 1 << 20) -> list[tuple[int, bytes]]:
    with patch.object(splits, "CHUNK_BYTES", chunk_bytes):
        cut = splits_of(folder, ["Note.ndjson"], split_bytes)
    return [line for split in cut for line in lines_of(split)]


def expected(content: bytes) -> list[tuple[int, bytes]]:
    lines = content.split(b"\n")
    return [(number, line.rstrip(b"\r")) for number, line in enumerate(lines, 1) if line.strip()]


@given(LINES, ENDINGS, st.booleans(), st.booleans(), st.integers(1, 300), st.integers(1, 64))
def test_every_line_exactly_once_with_its_number(
    lines: list[bytes], ending: bytes, final: bool, zipped: bool, split_bytes: int, chunk_bytes: int
) -> None:
    content = ending.join(lines) + (ending if final else b"")
    if content.startswith(b"\x1f\x8b"):
        content = b" " + content
    with TemporaryDirectory() as name:
        (Path(name) / "Note.ndjson").write_bytes(gzip.compress(content) if zipped else content)
        assert read(Path(name), split_bytes, chunk_bytes) == expected(content)


def test_a_large_file_is_cut_at_ends_of_lines_and_a_small_one_is_not(tmp_path: Path) -> None:
    content = b"".join(b"%d " % number + b"x" * 2000 + b"\n" for number in range(2000))
    (tmp_path / "Note.ndjson").write_bytes(content)
    cut = splits_of(tmp_path, ["Note.ndjson"], 1 << 20)
    assert len(cut) > 2
    assert [split.start for split in cut[1:]] == [split.end for split in cut[:-1]]
    assert all(content[split.end - 1 : split.end] == b"\n" for split in cut)
    assert read(tmp_path, 1 << 20) == expected(content)
    assert len(splits_of(tmp_path, ["Note.ndjson"], len(content))) == 1


def test_gzip_of_several_members_is_one_split(tmp_path: Path) -> None:
    members = [b'{"id": "1"}\n{"id"', b': "2"}\r\n', b'{"id": "3"}']
    (tmp_path / "Note.ndjson").write_bytes(b"".join(gzip.compress(member) for member in members))
    assert len(splits_of(tmp_path, ["Note.ndjson"], 1)) == 1
    assert read(tmp_path, 1) == [(1, b'{"id": "1"}'), (2, b'{"id": "2"}'), (3, b'{"id": "3"}')]


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n"])
def test_a_file_without_a_line_gives_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "Note.ndjson").write_bytes(content)
    assert read(tmp_path, 8) == []


def test_lines_keep_the_name_they_came_under(tmp_path: Path) -> None:
    for name in ("Note.ndjson", "Patient.ndjson"):
        (tmp_path / name).write_bytes(b"{}\n")
    assert [split.name for split in splits_of(tmp_path, ["Patient.ndjson", "Note.ndjson"])] == [
        "Patient.ndjson",
        "Note.ndjson",
    ]
