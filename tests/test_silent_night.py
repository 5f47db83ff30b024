"""A night on which little or nothing became known: what is not looked at, made again or started. Made rows."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from lake_rows import arrow

from assets import evidence, night_run
from assets.night_run import BRIEF_LINES, NightRun
from connectors.configuration import Configuration
from connectors.knowledge_files import kept
from connectors.lake import Lake
from zebrawatch.nights import NightRange, ReplayPlan
from zebrawatch.schemas import NOTES, PATIENTS

NOTE = {"subject_id": 1, "note_id": "DocumentReference/1", "version": "a", "pull": "p", "known_night": date(2025, 3, 4)}


class LookedError(Exception):
    """Somebody's rows were looked at."""


def run_on(lake: Lake, night: str) -> NightRun:
    run = SimpleNamespace(lake=lake, nights=NightRange.parse(night), first_run=False, table=lambda _: None)
    return cast(NightRun, run)


def test_where_nothing_became_known_nobody_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: Any) -> None:
        raise LookedError

    monkeypatch.setattr(evidence, "_known", lambda _: ())
    monkeypatch.setattr(evidence, "touched", look)
    lake = Lake.open(tmp_path, create=True)
    lake.take_rows({NOTES: arrow(NOTES, [NOTE])})
    nobody = evidence.near_patients(run_on(lake, "2025-03-05"))
    assert nobody is not None and nobody.num_rows == 0
    with pytest.raises(LookedError):
        evidence.near_patients(run_on(lake, "2025-03-03..2025-03-04"))
    lake.take_rows({PATIENTS: arrow(PATIENTS, [{"subject_id": 2, "pull": "p", "known_night": date(2025, 3, 5)}])})
    with pytest.raises(LookedError):
        evidence.near_patients(run_on(lake, "2025-03-05"))


def test_where_there_is_no_text_no_reader_is_built(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        raise LookedError

    monkeypatch.setattr(evidence, "read_texts", read)
    notes = spark.createDataFrame(arrow(NOTES, [NOTE | {"text": "Fever.", "deleted": False, "restricted": False}]))
    run: Any = SimpleNamespace(
        lake=SimpleNamespace(scratch=tmp_path), readers="r", table=lambda _: notes, say=lambda _: None, spark=spark,
        configuration=SimpleNamespace(spark=SimpleNamespace(partitions=1)), lexicon=None, naming_set=None,
    )  # fmt: skip
    assert evidence._read(run, cast(Any, SimpleNamespace(name="another"))).count() == 0
    with pytest.raises(LookedError):
        evidence._read(run, cast(Any, SimpleNamespace(name="p")))


@pytest.mark.parametrize(
    ("lines", "replay", "brief"),
    [((1, 2), None, True), ((BRIEF_LINES, 1), None, False), ((), ReplayPlan(None, None, "note"), False)],
)
def test_java_is_started_for_what_there_is_to_do(
    lines: tuple[int, ...], replay: ReplayPlan | None, brief: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls = [SimpleNamespace(manifest=SimpleNamespace(lines=count)) for count in lines]
    told: list[bool] = []
    monkeypatch.setattr(NightRun, "pulls_to_read", lambda *_: pulls)
    monkeypatch.setattr(night_run, "session", lambda *_, brief: told.append(brief))
    lake = Lake.open(tmp_path, create=True)
    NightRun(Configuration(), lake, "run", NightRange.parse("2025-03-05"), replay=replay).start_spark()
    assert told == [brief]


def test_what_takes_long_to_make_is_made_once_for_a_digest(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> pa.Table:
        made.append("")
        return pa.table({"n": [len(made)]})

    found = [kept(tmp_path, "lists", digest, make)["n"].to_pylist() for digest in ("a", "a", "b", "a")]
    assert found == [[1], [1], [2], [3]]
    (place,) = tmp_path.iterdir()
    assert place.name == "lists-a.pickle"
    place.write_bytes(place.read_bytes()[:40])
    assert kept(tmp_path, "lists", "a", make)["n"].to_pylist() == [4], "cut short, it is made again"


def test_word_lists_are_made_anew_when_a_word_list_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = night_run._digest_of_makers()
    assert before == night_run._digest_of_makers()
    (tmp_path / "__init__.py").touch()
    (tmp_path / "stop_list.tsv").write_text("one\n")
    monkeypatch.setattr(night_run, "evidence", SimpleNamespace(__file__=str(tmp_path / "__init__.py")))
    one = night_run._digest_of_makers()
    (tmp_path / "stop_list.tsv").write_text("two\n")
    assert len({before, one, night_run._digest_of_makers()}) == 3


def test_workers_that_fold_alerts_do_not_load_what_only_a_fit_needs() -> None:
    told = "import sys, zebrawatch.engine.flags, zebrawatch.outcome.summary; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sklearn", "statsmodels", "scipy.stats"} & set(loaded)
