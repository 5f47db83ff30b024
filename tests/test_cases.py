"""Published cases: every form a user may have them in, and a clear sentence where they are broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from zebrawatch.benchmarks.cases import CaseError, read_phenopackets, years
from zebrawatch.benchmarks.ranking import MISSED, intervals, rank_of

PACKET = {
    "id": "one",
    "subject": {"id": "1", "sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P3Y6M"}}},
    "phenotypicFeatures": [{"type": {"id": "HP:0001250"}}, {"type": {"id": "HP:0001252"}, "excluded": True}],
    "interpretations": [{"diagnosis": {"disease": {"id": "OMIM:1"}}}],
    "metaData": {"externalReferences": [{"id": "PMID:1"}]},
}


def test_lines_gzip_single_list_and_folder_are_read(tmp_path: Path) -> None:
    text = json.dumps(PACKET)
    (tmp_path / "a.jsonl").write_text(text + "\n\n" + text + "\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((text + "\n").encode()))
    (tmp_path / "c.json").write_text(json.dumps(PACKET, indent=2))
    (tmp_path / "d.json").write_text(json.dumps([PACKET, PACKET, PACKET]))
    sizes = [len(read_phenopackets(tmp_path / name)) for name in ("a.jsonl", "b.jsonl.gz", "c.json", "d.json")]
    assert sizes == [2, 1, 1, 3]
    assert len(read_phenopackets(tmp_path)) == 7
    case = read_phenopackets(tmp_path / "c.json")[0]
    assert (case.present, case.excluded, case.diseases) == (("HP:0001250",), ("HP:0001252",), ("OMIM:1",))
    assert (case.sex, case.age, case.papers) == ("female", 3.5, frozenset({"PMID:1"}))


@pytest.mark.parametrize(
    ("content", "says"), [("{", "broken in line 1"), ("", "no phenopacket"), ('{"a": 1}', "is no phenopacket")]
)
def test_broken_files_are_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(CaseError, match=says):
        read_phenopackets(tmp_path / "x.jsonl")
    with pytest.raises(CaseError, match="cannot be read"):
        read_phenopackets(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("text", "value"), [("P1Y", 1), ("P6M", 0.5), ("P0D", 0), (None, None), ("P", None), ("x", None)]
)
def test_ages(text: str | None, value: float | None) -> None:
    assert years(text) == value


def test_ties_take_their_mean_rank() -> None:
    everything = np.ones(4, np.bool_)
    assert rank_of(np.array([5.0, 3.0, 3.0, 1.0]), everything, [1]) == 2.5
    assert rank_of(np.array([5.0, 3.0, 3.0, 1.0]), everything, [0, 1]) == 1
    assert rank_of(np.array([5.0, 3.0]), np.array([True, False]), [1]) == MISSED


def test_intervals_resample_diseases() -> None:
    value = np.repeat([1.0, 0.0], 500)
    by_disease = intervals({"top1": value}, np.repeat([0, 1], 500), 7)["top1"]
    by_case = intervals({"top1": value}, np.arange(1000), 7)["top1"]
    assert by_disease == [0.0, 1.0]
    assert by_case[1] - by_case[0] < 0.1
