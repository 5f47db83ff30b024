"""Replays: the same engine over the past, in a corner of the lake, from a folder or from a lake's own rows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tiny_hospital
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F  # noqa: N812

from assets import proof, raw
from assets.replay import Corner, corner_of
from connectors import configuration
from connectors.lake import REPLAYS, Lake
from pipelines.commands import replay as command
from zebrawatch.engine.chart import Chart, Demographics, Finding
from zebrawatch.errors import ConfigurationError, LakeError, SourceError
from zebrawatch.nights import LANDMARKS, ReplayPlan, landmark_of
from zebrawatch.outcome.proof import NOT_ASSESSABLE
from zebrawatch.schemas import CANDIDATES, EVENTS, LEAD_TIME, NOTES
from zebrawatch.timeline.rows import decode

BORN = [Demographics(date(2025, 1, 1), "female", date(2012, 5, 4), False, None, False)]


def finding(term: str, night: date) -> Finding:
    return Finding(f"note/{night}", "text", term, "present", "patient", 0, 1, "x", None, night, night, None)


@settings(deadline=None)
@given(st.dates(date(1999, 1, 1), date(2030, 12, 31)))
def test_a_month_is_looked_at_on_its_last_night(night: date) -> None:
    end = landmark_of(night, "monthly")
    assert end >= night
    assert (end.year, end.month) == (night.year, night.month)
    assert (end + timedelta(days=1)).day == 1
    assert landmark_of(night, "note") == landmark_of(night, "nightly") == night


def test_monthly_landmarks_weigh_a_month_at_once() -> None:
    chart = Chart([finding("HP:0001166", date(2025, 3, 4)), finding("HP:0001083", date(2025, 3, 20))], BORN)
    first, last = date(2025, 1, 1), date(2025, 12, 31)
    assert [turn.night for turn in chart.turns(first, last)] == [date(2025, 3, 4), date(2025, 3, 20)]
    assert chart.turns(first, last, "nightly") == chart.turns(first, last)
    assert [turn.night for turn in chart.turns(first, last, "monthly")] == [date(2025, 3, 31)]


def test_a_month_that_the_range_cuts_short_is_not_judged() -> None:
    chart = Chart([finding("HP:0001166", date(2025, 3, 4))], BORN)
    assert chart.turns(date(2025, 1, 1), date(2025, 3, 30), "monthly") == []


def test_nights_are_cut_to_what_the_records_speak_of() -> None:
    known = (date(2025, 1, 15), date(2025, 3, 6))
    assert str(ReplayPlan().nights(*known)) == "2025-01-15..2025-03-06"
    assert str(ReplayPlan(date(2000, 1, 1), date(2025, 2, 1)).nights(*known)) == "2025-01-15..2025-02-01"
    with pytest.raises(LakeError, match="speak of 2025-01-15 to 2025-03-06"):
        ReplayPlan(date(2026, 1, 1)).nights(*known)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"landmarks": "weekly"}, "one of nightly, note, monthly"),
        ({"first": "2025-02-30"}, "--from is a night"),
        ({"first": "2025-03-01", "last": "2025-02-01"}, "lies before"),
    ],
)
def test_wrong_options_are_said_in_a_sentence(options: dict[str, str], said: str) -> None:
    given_options = {"first": None, "last": None, "landmarks": "note", **options}
    with pytest.raises(ConfigurationError, match=said):
        command._plan(**given_options)


def test_a_source_that_is_neither_folder_nor_lake_is_refused(tmp_path: Path) -> None:
    asked = configuration.from_values({"source": {"location": str(tmp_path / "nowhere")}}, "test")
    with pytest.raises(SourceError, match="no folder or lake"):
        corner_of(asked, ReplayPlan())


def test_another_question_has_another_corner(tmp_path: Path) -> None:
    folder = tiny_hospital.write(tmp_path / "fhir")
    asked = configuration.from_values({"source": {"location": str(folder)}, "lake": {"folder": str(tmp_path)}}, "test")
    plans = [ReplayPlan(landmarks=one) for one in LANDMARKS] + [ReplayPlan(first=date(2025, 2, 1))]
    before = [corner_of(asked, plan).folder for plan in plans]
    assert len(set(before)) == len(plans)
    assert before == [corner_of(asked, plan).folder for plan in plans]
    (folder / "labels.csv").write_text(tiny_hospital.LABELS.replace("2025-03-06", "2025-03-05"))
    assert not set(before) & {corner_of(asked, plan).folder for plan in plans}


Run = Callable[..., dict[str, Any]]
"""`zebrawatch replay --json` in this process: the object of its last line."""


@pytest.fixture(scope="module")
def run(spark: Any, place: Path) -> Iterator[Run]:
    del spark
    before = dict(os.environ)
    (place / "site.key").write_bytes(b"k" * 32)

    def replayed(source: Path, capture: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
        os.environ["ZEBRAWATCH_SITE__KEY_FILE"] = str(place / "site.key")
        try:
            nothing = dict.fromkeys(("first", "last", "labels", "lake", "config", "read_suspicions"))
            asked: dict[str, Any] = {
                **nothing,
                "landmarks": "note",
                "prove": 0,
                "sample_suspicions": 0,
                "fit_fusion": False,
                **options,
            }
            command.replay(source=str(source), json_line=True, **asked)
        finally:
            os.environ.clear()
            os.environ.update(before)
        found: dict[str, Any] = json.loads(capture.readouterr().out.splitlines()[-1])
        return found

    yield replayed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_a_folder_is_replayed_and_its_lake_again_by_month(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_hospital.write(place / "fhir")
    told = run(folder, capsys, lake=place / "lake")
    assert set(command.KEYS) <= set(told)
    assert (told["at_risk"], told["prioritised_share"]) == (1, 1.0)
    assert told["leak_gate"]["leaks"] == 0
    assert told["statement"].startswith("Screening aid")
    corner = Path(told["lake"])
    assert corner.parent == place / "lake" / REPLAYS
    report = Path(told["report"])
    assert report.name == "replay.html"
    assert "maria" not in report.read_text()
    assert "TRIPOD-LLM" in report.read_text()

    again = run(folder, capsys, lake=place / "lake", prove=1, sample_suspicions=4)
    assert {name: again[name] for name in told} == told, "a replay that is done says its figures again"
    assert (again["proof"]["differing"], len(again["proof"]["proofs"])) == (0, 1)
    assert again["proof"]["rows"] > 0
    assert again["proof"]["look_ahead"] == NOT_ASSESSABLE
    to_read = Path(again["suspicion_sample"])
    assert to_read.is_relative_to(corner)
    assert (to_read.stat().st_mode & 0o777, to_read.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "ectopia lentis" in to_read.read_text()

    monthly = run(corner, capsys, landmarks="monthly", last="2025-02-28")
    lake = Lake.open(Path(monthly["lake"]))
    assert lake.root.parent == corner / REPLAYS
    assert not (lake.scratch / "decoded").exists(), "rows of a lake are taken over, not read again"
    assert {row["night"] for row in lake.arrow(CANDIDATES, ["night"]).to_pylist()} <= {date(2025, 1, 31)}
    assert (monthly["at_risk"], monthly["problems"]) == (0, {"suspicion after the last night": 1})
    (pair,) = lake.arrow(LEAD_TIME).to_pylist()
    assert pair["exclusion"] == "suspicion after the last night"


def test_a_proof_catches_a_decoder_that_dates_notes_too_early(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay and the night's own run share the fault; the lines are cut by other code, which does not."""
    folder = place / "fhir"
    if not folder.exists():  # written again, it would be another source, and replayed again
        tiny_hospital.write(folder)
    told = run(folder, capsys, lake=place / "lake")
    copy = place / "faulty"
    shutil.copytree(told["lake"], copy)
    lake = Lake.open(copy)
    rows = lake.arrow(NOTES).to_pandas(date_as_object=True)
    rows["known_night"] -= timedelta(days=20)
    rows["available_at"] -= timedelta(days=20)
    write_deltalake(lake.path(NOTES), pa.Table.from_pandas(rows, preserve_index=False), mode="overwrite")

    def early(*asked: Any) -> Any:
        earlier = F.col("note")["available_at"] - F.expr("interval 20 days")
        return decode(*asked).withColumn("note", F.col("note").withField("available_at", earlier))

    values = {"source": {"location": str(folder)}, "site": {"key_file": str(place / "site.key")}}
    corner = Corner(copy, configuration.from_values(values, "test"), ReplayPlan(), None)
    monkeypatch.setattr(proof, "STEPS", ())
    monkeypatch.setattr(raw, "decode", early)
    found = [table for one in proof.prove(corner, 3, lambda _: None) for table in one.tables]
    differing = {table.table for table in found if table.differing}
    assert NOTES.name in differing
    assert EVENTS.name not in differing, "patients follow their first note, events were decoded rightly"
    assert sum(table.rows for table in found) > 0
