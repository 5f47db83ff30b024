"""The screen from end to end, on real Spark, Dagster, MLflow and Great Expectations, over a tiny made hospital."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pytest
import tiny_hospital
from spark_cluster import standalone

from connectors import configuration
from connectors.lake import Lake
from pipelines.commands import quarantine
from pipelines.commands.screen import result
from pipelines.runner import RunFailed
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CANDIDATES, FINDINGS, FLAGS, LEAD_TIME, NIGHTS, NOTES, QUARANTINE, SUSPICIONS, TABLES

NIGHTS_OF_STORY = NightRange.parse(f"{tiny_hospital.FIRST}..{tiny_hospital.LAST}")
KEY = b"k" * 32

Screen = Callable[..., Lake]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_hospital.write(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def screened(screen: Screen, hospital: Path) -> Lake:
    """The story screened as one range."""
    return screen(hospital, NIGHTS_OF_STORY, "range")


def digests(lake: Lake) -> dict[str, str]:
    return {name: lake.digest(table) for name, table in TABLES.items() if table is not NIGHTS and lake.exists(table)}


def test_the_girl_is_flagged_before_anyone_writes_marfan(screened: Lake) -> None:
    maria = subject_id_of("maria", KEY)
    raised = [row for row in screened.arrow(FLAGS).to_pylist() if row["action"] == "raise"]
    assert {row["subject_id"] for row in raised} == {maria}
    assert raised[0]["night"] in (date(2025, 3, 3), date(2025, 3, 4))
    assert tiny_hospital.MARFAN in [shown["disease_id"] for shown in raised[0]["shown"]]


def test_suspicion_withdraws_the_flag_and_gives_the_lead(screened: Lake) -> None:
    withdrawn = [row for row in screened.arrow(FLAGS).to_pylist() if row["action"] == "withdraw"]
    assert [(row["night"], row["reason"]) for row in withdrawn] == [(date(2025, 3, 6), "suspected")]
    (pair,) = screened.arrow(LEAD_TIME).to_pylist()
    assert pair["suspicion_night"] == date(2025, 3, 6)
    assert pair["match_tier"] == "exact"
    assert pair["lead_days"] == (date(2025, 3, 6) - pair["sustained_raise_night"]).days


def test_no_score_knows_more_than_its_night(screened: Lake) -> None:
    for row in screened.arrow(CANDIDATES).to_pylist():
        assert all(one["known_night"] is None or one["known_night"] <= row["night"] for one in row["contributions"])


def test_the_note_that_names_the_disease_does_not_count_for_it(screened: Lake) -> None:
    marfan = [row for row in screened.arrow(CANDIDATES).to_pylist() if row["disease_id"] == tiny_hospital.MARFAN]
    quoted = {one["source_id"] for row in marfan for one in row["contributions"]}
    assert "DocumentReference/m4" not in quoted
    assert any(row["disease_id"] == tiny_hospital.MARFAN for row in screened.arrow(SUSPICIONS).to_pylist())


def test_a_range_equals_its_nights_one_by_one(screen: Screen, screened: Lake, hospital: Path) -> None:
    for nights in ("2025-01-15..2025-03-02", "2025-03-03", "2025-03-04", "2025-03-05..2025-03-06"):
        lake = screen(hospital, NightRange.parse(nights), "by-night", site__first_live_night="2025-03-04")
    ours, theirs = digests(lake), digests(screened)
    assert {name for name in ours if ours[name] != theirs[name]} == set()


def test_a_killed_run_publishes_nothing_and_the_next_completes_it(
    screen: Screen, screened: Lake, hospital: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "publish", _killed)
        with pytest.raises(RunFailed):
            screen(hospital, NIGHTS_OF_STORY, "killed")
    lake_folder = screened.root.parent / "killed"
    assert Lake.open(lake_folder).nights() == []
    lake = screen(hospital, NIGHTS_OF_STORY, "killed")
    assert len(lake.nights()) == len(NIGHTS_OF_STORY)
    assert digests(lake) == digests(screened)


def test_a_cluster_of_two_workers_gives_the_same_tables(screened: Lake, hospital: Path, tmp_path: Path) -> None:
    """The command line in a process of its own: this one's Spark is local already."""
    with standalone(tmp_path) as master:
        environment = {
            "ZEBRAWATCH_SPARK__MASTER": master,
            "ZEBRAWATCH_SITE__KEY_FILE": str(screened.root.parent / "site.key"),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        command = ["screen", "--source", str(hospital), "--nights", str(NIGHTS_OF_STORY), "--lake"]
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.commands.main", *command, str(tmp_path / "lake")],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("worker*/app-*/*/stderr"))) >= 2, "both workers had a part"
    assert digests(Lake.open(tmp_path / "lake")) == digests(screened)


def _killed(*_: object, **__: object) -> None:
    raise KeyError("killed")


def test_a_night_made_again_is_a_new_generation_and_marks_later_ones_stale(screen: Screen, hospital: Path) -> None:
    lake = screen(hospital, NightRange.parse("2025-03-04"), "killed")
    standing = {night.night.isoformat(): (night.generation, night.stale) for night in lake.nights()}
    assert standing["2025-03-03"] == (1, False)
    assert standing["2025-03-04"] == (2, False)
    assert standing["2025-03-05"] == (1, True)


FAULTS = (
    (b'{"resourceType": "DocumentReference", "id": "half", "status"\n', "half a line of JSON"),
    (
        json.dumps(tiny_hospital.note("bare", "maria", "2025-03-02", "x") | {"content": []}).encode() + b"\n",
        "a note without text",
    ),
    (
        json.dumps(tiny_hospital.note("late", "maria", "2199-03-02", "Seizures.")).encode() + b"\n",
        "a note dated in the future",
    ),
    (
        json.dumps(tiny_hospital.note("stray", "nobody", "2025-03-02", "Ataxia.")).encode() + b"\n",
        "a note of an unknown patient",
    ),
    (
        json.dumps(
            {k: v for k, v in tiny_hospital.note("lost", "maria", "2025-03-02", "x").items() if k != "subject"}
        ).encode()
        + b"\n",
        "no patient",
    ),
    (
        json.dumps(
            {k: v for k, v in tiny_hospital.note("undated", "otto", "2025-03-02", "Ataxia.").items() if k != "date"}
            | {"context": {"period": {"start": "2025-03-05"}}}
        ).encode()
        + b"\n",
        "a time where the configuration does not look",
    ),
)


@pytest.fixture(scope="module")
def faulty(screen: Screen, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lines = b"".join(line for line, _ in FAULTS)
    first = json.dumps(tiny_hospital.note("twice", "carla", "2025-03-02", "Rash on both arms.")).encode() + b"\n"
    second = (
        json.dumps(tiny_hospital.note("twice", "carla", "2025-03-03", "No rash after all, only dry skin.")).encode()
        + b"\n"
    )
    folder = tiny_hospital.write(tmp_path_factory.mktemp("faulty"), DocumentReference=lines + first + second)
    return screen(folder, NIGHTS_OF_STORY, "faulty")


def test_what_cannot_be_used_is_kept_whole_with_its_reason(faulty: Lake) -> None:
    kept = {row["line"]: row["reason"] for row in faulty.arrow(QUARANTINE).to_pylist()}
    for line, why in FAULTS:
        assert line.rstrip(b"\n") in kept, why
    assert len(kept) == len(FAULTS)
    assert len(faulty.nights()) == len(NIGHTS_OF_STORY)


def test_of_two_versions_of_a_note_the_later_stands(faulty: Lake) -> None:
    notes = [row for row in faulty.arrow(TABLES["notes"]).to_pylist() if row["note_id"] == "DocumentReference/twice"]
    assert [row["known_night"].day for row in sorted(notes, key=lambda row: row["known_night"])] == [2, 3]


def test_after_a_fix_of_the_configuration_a_retry_uses_what_it_can(
    faulty: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mended.toml").write_text(
        '[availability]\nDocumentReference = ["date", "context.period.start", "meta.lastUpdated"]\n'
    )
    for name, value in (
        ("CONFIG", tmp_path / "mended.toml"),
        ("LAKE__FOLDER", faulty.root),
        ("SITE__KEY_FILE", faulty.root.parent / "site.key"),
    ):
        monkeypatch.setenv(f"ZEBRAWATCH_{name}", str(value))
    raw = {path: path.read_bytes() for path in faulty.raw.rglob("*.ndjson")}
    quarantine.retry(reason=["no time", "no subject"], lake=faulty.root, json_line=True)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {"tried": 2, "used": 1, "stay": len(FAULTS) - 1, "nights": "2025-03-05..2025-03-06"}
    (note,) = faulty.arrow(NOTES, rows=pc.field("note_id") == "DocumentReference/undated").to_pylist()
    assert (note["text"], note["known_night"]) == ("Ataxia.", date(2025, 3, 5))
    assert {night.generation for night in faulty.nights() if night.night >= date(2025, 3, 5)} == {2}
    assert {path: path.read_bytes() for path in faulty.raw.rglob("*.ndjson")} == raw
    findings = faulty.arrow(FINDINGS, ["source_id", "hpo_id"]).to_pylist()
    assert {"source_id": "DocumentReference/undated", "hpo_id": "HP:0001251"} in findings


def test_the_result_has_every_key_it_promises(screened: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEBRAWATCH_LAKE__FOLDER", str(screened.root))
    said = result(configuration.load())
    promised = (
        "nights",
        "patients",
        "notes",
        "findings",
        "quarantined",
        "alerts",
        "at_risk",
        "prioritised_share",
        "lead_days_median",
        "lead_days_mean_unconditional",
        "false_alerts_per_1000_12m",
        "nulls",
        "leak_gate",
        "report",
        "summary",
        "lake",
        "mlflow",
    )
    assert set(promised) <= set(said)
    assert said["nights"] == len(NIGHTS_OF_STORY)
    assert said["leak_gate"]["leaks"] == 0
    assert "maria" not in Path(said["summary"]).read_text()
    assert "ectopia lentis" in Path(said["report"]).read_text()


def audit_of(lake: Lake, *words: str) -> tuple[int, Path]:
    """`zebrawatch audit` over a lake: its status, and the folder of its bundle."""
    from typer.testing import CliRunner

    from pipelines.commands.main import app

    settings = {
        "ZEBRAWATCH_LAKE__FOLDER": str(lake.root),
        "ZEBRAWATCH_SITE__KEY_FILE": str(lake.root.parent / "site.key"),
    }
    before = dict(os.environ)
    try:
        said = CliRunner().invoke(app, ["audit", *words, "--lake", str(lake.root), "--json"], env=settings)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert said.exit_code in (0, 1), said.output
    return said.exit_code, Path(json.loads(said.stdout.splitlines()[-1])["bundle"])


@pytest.fixture(scope="module")
def audited(screened: Lake) -> Callable[..., tuple[int, str]]:
    """`zebrawatch audit` over the screened story: its status, and the page it wrote."""

    def audit(*words: str) -> tuple[int, str]:
        status, bundle = audit_of(screened, *words)
        return status, (bundle / "index.html").read_text()

    return audit


def test_a_flag_is_made_again_from_its_raw_lines(screened: Lake, audited: Callable[..., tuple[int, str]]) -> None:
    maria = subject_id_of("maria", KEY)
    status, page = audited(f"{maria:016x}"[:10])
    assert status == 0
    assert "are the same" in page
    assert "DocumentReference.ndjson, line 3" in page  # the eyes' note, whence the lens
    (bundle,) = (screened.root / "audit").glob("flag-*/bundle.json")
    told = json.loads(bundle.read_text())
    assert {one["table"]: one["verdict"] for one in told["rebuild"]["compared"]} == dict.fromkeys(
        ("patients", "notes", "events", "findings", "namings", "candidates", "suspicions", "flags"), "same"
    )
    assert bundle.stat().st_mode & 0o077 == 0
    assert "Screening aid, not a diagnosis" in told["statement"]


BUDGET = """[[policy]]
from = 2025-01-15
by = "Dr. Ada Okafor"
why = "One new alert a night."
threshold = 0.008
budget = 1
"""


def test_a_flag_that_waited_for_its_budget_is_made_again_beside_the_others(screen: Screen, tmp_path: Path) -> None:
    """Of three girls with one story one is told a night; which waits for whom is only known from the others' flags."""
    girls = ("maria", "nora", "olga")
    story = tiny_hospital.resources()
    told = json.dumps([row for row in story if "maria" in json.dumps(row)])
    twins = [json.loads(told.replace("maria", girl).replace('"id": "', f'"id": "{girl}-')) for girl in girls[1:]]
    rows = story + [row for twin in twins for row in twin]
    for row in rows:
        row["id"] = row["id"].replace("nora-nora", "nora").replace("olga-olga", "olga")
    (tmp_path / "policy.toml").write_text(BUDGET)
    lake = screen(
        tiny_hospital.write(tmp_path / "hospital", rows), NIGHTS_OF_STORY, "crowded",
        policy__file=str(tmp_path / "policy.toml"),
    )  # fmt: skip
    raised = [row for row in lake.arrow(FLAGS).to_pylist() if row["action"] == "raise"]
    raised.sort(key=lambda row: row["night"])
    assert len({row["subject_id"] for row in raised}) == len(raised) >= 2
    assert len({row["night"] for row in raised}) == len(raised)
    assert [row["reason"] for row in raised] == ["threshold"] + ["budget"] * (len(raised) - 1)
    for row in raised:
        status, bundle = audit_of(lake, row["episode_id"])
        told = json.loads((bundle / "bundle.json").read_text())
        assert {one["table"]: one["verdict"] for one in told["rebuild"]["compared"]}["flags"] == "same"
        assert (status, told["changes"][0]["reason"]) == (0, row["reason"])


def test_a_row_that_differs_is_named_by_its_key(screened: Lake) -> None:
    from zebrawatch.outcome.rebuilt import compared

    stored = screened.arrow(FLAGS)
    place = stored.schema.get_field_index("threshold")
    changed = stored.set_column(place, "threshold", [[0.5] * stored.num_rows]).cast(stored.schema)
    assert compared(FLAGS, stored, stored).verdict == "same"
    told = compared(FLAGS, stored, changed)
    assert told.verdict == "differs"
    assert len(told.only_stored) == stored.num_rows
    assert any(" raise" in row for row in told.only_rebuilt)


def test_a_night_is_looked_over_whole(audited: Callable[..., tuple[int, str]]) -> None:
    status, page = audited("night", "2025-03-04")
    assert status == 0
    assert "raw files are as pulled" in page
    assert "maria" not in page
    assert f"{subject_id_of('maria', KEY):016x}" in page or "No alert was raised" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody"], "There is no flag nobody"),
        (["night", "soon"], "not a date"),
        (["night", "1999-01-01"], "not published"),
    ],
)
def test_what_cannot_be_audited_is_said_in_one_sentence(screened: Lake, words: list[str], sentence: str) -> None:
    from typer.testing import CliRunner

    from pipelines.commands.main import app
    from zebrawatch.errors import ZebrawatchError

    said = CliRunner().invoke(app, ["audit", *words, "--lake", str(screened.root)])
    assert isinstance(said.exception, ZebrawatchError)
    assert sentence in str(said.exception)


def test_no_patient_data_leave_the_lake(screened: Lake) -> None:
    """Names of patients and words of notes are searched in everything written beside the lake."""
    state = screened.root.with_name(screened.root.name + "-state")
    planted = [b"maria", b"ectopia lentis on both sides", b"Straight leg raise", b"Mother asks about headache"]
    assert {"dashboard.html", "published.duckdb", "groups.parquet"} <= {path.name for path in state.glob("published/*")}
    written = [path for path in state.rglob("*") if path.is_file()]
    assert written
    leaks = [(path.name, word) for path in written for word in planted if word in path.read_bytes()]
    assert leaks == []
