"""`zebrawatch quarantine list|show`: counted by reason, shown whole, of published nights only. Made lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.lake import Lake, Written
from pipelines.commands import quarantine
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.schemas import QUARANTINE

NIGHT = NightRange.parse("2025-06-02")


def row(number: int, reason: str) -> dict[str, Any]:
    line = b'{"id": "line-%d"' % number
    return {
        "file": "Observation.ndjson", "line_number": number, "line": line, "resource_type": "Observation",
        "reason": reason, "detail": "made", "pull": "pull-1",
    }  # fmt: skip


def write(lake: Lake, *rows: dict[str, Any]) -> Written:
    return lake.write_snapshot(pa.Table.from_pylist(list(rows), schema=QUARANTINE.schema), QUARANTINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake with two reasons published, and a third that a run has written since."""
    monkeypatch.setenv("ZEBRAWATCH_LAKE__FOLDER", str(tmp_path / "lake"))
    lake = Lake.open(tmp_path / "lake", create=True)
    published = [row(1, "no time"), row(2, "no time"), row(3, "no subject")]
    lake.publish(NIGHT, [write(lake, *published)], {"nights": str(NIGHT)}, "run")
    write(lake, *published, row(4, "no id"))
    return lake.root


def test_lines_are_counted_by_reason_as_the_last_night_left_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quarantine.list_(lake=folder, json_line=True)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {"lines": 3, "by_reason": {"no time": 2, "no subject": 1}}
    quarantine.list_(reason=["no subject"], lake=folder, json_line=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["lines"] == 1


def test_lines_are_shown_whole_by_reason_or_by_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quarantine.show(None, None, reason=["no time"], most=1, lake=folder)
    said = capsys.readouterr().out
    assert '{"id": "line-1"' in said
    assert "1 more" in said
    quarantine.show("Observation.ndjson", 3, most=10, lake=folder)
    assert "no subject" in capsys.readouterr().out


def test_a_reason_or_line_that_is_not_there_is_one_sentence(folder: Path) -> None:
    with pytest.raises(LakeError, match="No line has the reason 'typo'; reasons are no subject, no time"):
        quarantine.list_(reason=["typo"], lake=folder)
    with pytest.raises(LakeError, match="No line 9 of Observation"):
        quarantine.show("Observation.ndjson", 9, most=10, lake=folder)
