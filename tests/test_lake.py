"""The lake: nights published whole, taken back whole, made again without a trace of the old."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from lake_rows import arrow, frame
from pyspark.sql import SparkSession

from connectors.lake import LOCK_NAME, Lake, Written
from zebrawatch.content import digest_of
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.schemas import (
    CANDIDATES,
    FLAGS,
    LAKE_SCHEMA_VERSION,
    LLM_LEDGER,
    NOTES,
    QUARANTINE,
    SUSPICIONS,
)

DAY0 = date(2025, 1, 1)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def nights(first: int, last: int) -> NightRange:
    return NightRange(night(first), night(last))


def flag(subject: int, n: int, action: str = "raise", **more: Any) -> dict[str, Any]:
    return {"subject_id": subject, "night": night(n), "action": action, "episode_id": f"{subject}:{night(n)}", **more}


def note(subject: int, text: str, pull: str, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject,
        "note_id": f"Composition/{subject}",
        "version": "v",
        "text": text,
        "pull": pull,
        **more,
    }


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake", create=True)


def write_flags(lake: Lake, spark: SparkSession, over: NightRange, *rows: Mapping[str, Any]) -> Written:
    return lake.write_nights(frame(spark, FLAGS, [{**row, "night_range": str(over)} for row in rows]), FLAGS, over)


def flags_in(lake: Lake) -> list[tuple[int, int]]:
    rows = lake.arrow(FLAGS).to_pylist()
    return sorted((row["subject_id"], (row["night"] - DAY0).days) for row in rows)


# -- opening -----------------------------------------------------------------------------------------------------------


def test_only_its_owner_may_look_into_a_lake(lake: Lake) -> None:
    assert stat.S_IMODE(lake.root.stat().st_mode) == 0o700


def test_a_folder_without_a_lake_is_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no lake in"):
        Lake.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(LakeError, match="other files"):
        Lake.open(tmp_path / "photos", create=True)


def test_older_code_refuses_a_newer_lake(lake: Lake) -> None:
    lake.describe(schema_version=LAKE_SCHEMA_VERSION + 1)
    with pytest.raises(LakeError, match="upgrade"):
        Lake.open(lake.root)


def test_a_table_that_was_never_written_is_empty(lake: Lake, spark: SparkSession) -> None:
    assert lake.read(spark, NOTES).count() == 0
    assert lake.arrow(NOTES, ["note_id"]).num_rows == 0
    assert lake.partitions(NOTES) == []


# -- writing -----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_and_a_partition_is_replaced_whole(lake: Lake, spark: SparkSession) -> None:
    at = datetime(2025, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
    rows = [note(1, "seen", "2025-01-01-a", event_time=at, known_night=DAY0, deleted=False, alternatives=2)]
    assert lake.write(frame(spark, NOTES, rows), NOTES, "2025-01-01-a").rows == 1
    lake.write(frame(spark, NOTES, [note(2, "other", "2025-01-02")]), NOTES, "2025-01-02")
    assert lake.partitions(NOTES) == ["2025-01-01-a", "2025-01-02"]
    (read,) = lake.read(spark, NOTES).where("subject_id = 1").toArrow().to_pylist()
    assert read == arrow(NOTES, rows).to_pylist()[0]

    again = lake.write(frame(spark, NOTES, [note(3, "new", "2025-01-01-a")]), NOTES, "2025-01-01-a")
    assert again.rows == 1
    assert sorted(row["text"] for row in lake.arrow(NOTES).to_pylist()) == ["new", "other"]


def test_a_partition_may_become_empty(lake: Lake, spark: SparkSession) -> None:
    first = lake.write(frame(spark, NOTES, [note(1, "x", "p")]), NOTES, "p")
    assert lake.write(frame(spark, NOTES, []), NOTES, "p").rows == 0
    assert lake.arrow(NOTES).num_rows == 0
    assert lake.arrow(NOTES, version=first.version).num_rows == 1


def test_a_range_takes_the_place_of_what_earlier_ranges_said_of_its_nights(lake: Lake, spark: SparkSession) -> None:
    write_flags(lake, spark, nights(0, 9), flag(1, 0), flag(1, 5), flag(1, 9))
    write_flags(lake, spark, nights(10, 10), flag(1, 10))
    write_flags(lake, spark, nights(5, 10), flag(2, 5), flag(2, 7))
    assert flags_in(lake) == [(1, 0), (2, 5), (2, 7)]
    write_flags(lake, spark, nights(0, 20))
    assert flags_in(lake) == []


def test_backlog_of_a_first_run_is_not_kept_twice_when_its_nights_are_made_again(
    lake: Lake, spark: SparkSession
) -> None:
    """A first run's suspicions reach back before its nights; a longer first run brings them again."""
    old = {"subject_id": 1, "kind": "general", "known_night": night(-400)}
    for over in (nights(0, 5), nights(0, 9)):
        lake.write_nights(frame(spark, SUSPICIONS, [{**old, "night_range": str(over)}]), SUSPICIONS, over)
    assert lake.arrow(SUSPICIONS).num_rows == 1
    later = nights(3, 9)
    lake.write_nights(frame(spark, SUSPICIONS, []), SUSPICIONS, later)
    assert lake.arrow(SUSPICIONS).num_rows == 1  # a later start leaves the backlog where it is


def test_ranges_in_any_order_leave_what_was_last_said_of_each_night(lake: Lake, spark: SparkSession) -> None:
    draw = random.Random(7)
    standing: dict[int, int] = {}
    for run in range(1, 5):
        first = draw.randint(0, 8)
        over = nights(first, draw.randint(first, 9))
        write_flags(lake, spark, over, *(flag(run, (each - DAY0).days) for each in over))
        standing |= {(each - DAY0).days: run for each in over}
    assert flags_in(lake) == sorted((run, n) for n, run in standing.items())


def test_a_folder_with_spaces_and_umlauts_holds_a_lake(tmp_path: Path, spark: SparkSession) -> None:
    lake = Lake.open(tmp_path / "Klinik Süd 100%", create=True)
    lake.write(frame(spark, NOTES, [note(1, "x", "p")]), NOTES, "p")
    assert lake.read(spark, NOTES).count() == 1
    assert lake.arrow(NOTES).num_rows == 1


# -- digests -----------------------------------------------------------------------------------------------------------


def test_a_digest_goes_by_content_not_by_order_files_or_clock(lake: Lake, spark: SparkSession) -> None:
    rows = [note(n, f"text {n}", "p", known_night=night(n % 3)) for n in range(20)]
    first = lake.write(frame(spark, NOTES, rows).repartition(3), NOTES, "p").digest
    later = [{**row, "seen_night": night(50), "pull": "q"} for row in reversed(rows)]
    assert lake.write(frame(spark, NOTES, later).coalesce(1), NOTES, "q").digest == first
    assert lake.digest(NOTES, partition="p") == first


@pytest.mark.parametrize(
    "change",
    [
        {"text": "text 1!"},
        {"text": None, "status": "text 1"},
        {"known_night": None},
        {"event_time": datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
    ],
)
def test_a_digest_sees_every_change(lake: Lake, spark: SparkSession, change: dict[str, Any]) -> None:
    row = note(1, "text 1", "p", known_night=DAY0, event_time=datetime(2025, 1, 1, tzinfo=UTC))
    first = lake.write(frame(spark, NOTES, [row]), NOTES, "p").digest
    assert lake.write(frame(spark, NOTES, [{**row, **change}]), NOTES, "p").digest != first


def test_a_row_held_twice_changes_the_digest(lake: Lake, spark: SparkSession) -> None:
    row = note(1, "text", "p")
    first = lake.write(frame(spark, NOTES, [row]), NOTES, "p").digest
    assert lake.write(frame(spark, NOTES, [row, row]), NOTES, "p").digest != first


def any_rows(draw: random.Random) -> list[dict[str, Any]]:
    """Scores with all kinds of values a table can hold."""
    words = ["", 'é\u0000\n"\\', "a" * 300, "\U0001f9ec", None]
    part = {"hpo_id": "HP:0001166", "label": words[1], "log10_lr": 1 / 3, "known_night": night(3)}
    return [
        {
            "subject_id": draw.choice([n, -n, 2**62 + n]),
            "night": draw.choice([night(n % 4), date(1700, 2, 28)]),
            "disease_name": draw.choice(words),
            "log10_lr": draw.choice([0.1 + 0.2, -0.0, 1e-300, 1e22, float("inf"), None]),
            "contributions": draw.choice([[part] * draw.randint(1, 3), [], None]),
            "expected_absent": draw.choice([["HP:0000316", None], [], None]),
        }
        for n in range(draw.randint(0, 30))
    ]


@pytest.mark.parametrize("seed", range(4))
def test_rows_have_one_digest_whoever_wrote_them(tmp_path: Path, spark: SparkSession, seed: int) -> None:
    draw = random.Random(seed)
    rows = any_rows(draw)
    mixed = arrow(CANDIDATES, draw.sample(rows, len(rows)))
    theirs, ours = (Lake.open(tmp_path / name, create=True) for name in ("spark", "memory"))
    span = nights(-200_000, 3)
    found = {
        digest_of(arrow(CANDIDATES, rows), CANDIDATES),
        digest_of(mixed.to_reader(max_chunksize=3), CANDIDATES),
        theirs.write_nights(frame(spark, CANDIDATES, rows).repartition(3), CANDIDATES, span).digest,
        theirs.digest(CANDIDATES),
        ours.write_rows(mixed, CANDIDATES, span).digest,
        ours.digest(CANDIDATES),
    }
    assert len(found) == 1
    if rows:
        assert digest_of(arrow(CANDIDATES, rows[1:]), CANDIDATES) not in found


def test_neither_bytes_nor_instants_are_cut_in_a_digest() -> None:
    now = datetime(2025, 3, 30, 2, 30, tzinfo=UTC)
    lines = [b"a", b"\\x61", b"\x00", None]
    rows = [{"line": line, "line_number": 1} for line in lines]
    assert len({digest_of(arrow(QUARANTINE, [row]), QUARANTINE) for row in rows}) == len(rows)
    times = [{"event_time": now + timedelta(microseconds=n)} for n in range(3)]
    assert len({digest_of(arrow(NOTES, [row]), NOTES) for row in times}) == len(times)


# -- publishing --------------------------------------------------------------------------------------------------------


def publish(lake: Lake, over: NightRange, *written: Written) -> None:
    lake.publish(over, list(written), {"nights": str(over)}, "run")


def standing(lake: Lake) -> list[tuple[int, int, bool]]:
    return [((one.night - DAY0).days, one.generation, one.stale) for one in lake.nights()]


def test_a_night_made_again_is_a_new_generation_and_those_after_it_are_stale(lake: Lake, spark: SparkSession) -> None:
    publish(lake, nights(0, 2), write_flags(lake, spark, nights(0, 2), flag(1, 1)))
    assert standing(lake) == [(0, 1, False), (1, 1, False), (2, 1, False)]
    publish(lake, nights(1, 1), write_flags(lake, spark, nights(1, 1)))
    assert standing(lake) == [(0, 1, False), (1, 2, False), (2, 1, True)]
    last = lake.last_night()
    assert last is not None
    assert last.night == night(1)
    publish(lake, nights(2, 3))
    assert standing(lake) == [(0, 1, False), (1, 2, False), (2, 2, False), (3, 1, False)]


def test_a_killed_run_leaves_no_night_and_is_taken_back(lake: Lake, spark: SparkSession) -> None:
    publish(lake, nights(0, 0), write_flags(lake, spark, nights(0, 0), flag(1, 0)))
    write_flags(lake, spark, nights(1, 1), flag(1, 1))  # ... and then it was killed
    lake.write(frame(spark, NOTES, [note(1, "x", "p")]), NOTES, "p")
    (lake.path(FLAGS) / "_staging" / "left").mkdir(parents=True)
    (lake.path(FLAGS) / "_staging" / "left" / "part-0.parquet").touch()
    assert lake.nights()[-1].night == night(0)

    assert lake.recover() == ["flags", "notes"]
    assert flags_in(lake) == [(1, 0)]
    assert not lake.exists(NOTES)
    assert not list(lake.path(FLAGS).glob("_staging/*"))
    assert lake.recover() == []
    published = lake.nights()[-1].versions["flags"]
    assert lake.version("flags") == published
    assert lake.arrow(FLAGS, version=published).num_rows == 1


def test_the_run_after_a_killed_one_comes_to_the_same_digest(tmp_path: Path, spark: SparkSession) -> None:
    whole, killed = (Lake.open(tmp_path / name, create=True) for name in ("whole", "killed"))
    for lake in (whole, killed):
        publish(lake, nights(0, 0), write_flags(lake, spark, nights(0, 0), flag(1, 0)))
    write_flags(killed, spark, nights(1, 1), flag(9, 1))
    killed.recover()
    for lake in (whole, killed):
        publish(lake, nights(1, 1), write_flags(lake, spark, nights(1, 1), flag(2, 1)))
    assert killed.digest(FLAGS) == whole.digest(FLAGS)


def test_a_lake_whose_first_run_was_killed_starts_over(lake: Lake, spark: SparkSession) -> None:
    write_flags(lake, spark, nights(0, 0), flag(1, 0))
    assert lake.recover() == ["flags"]
    assert lake.nights() == []
    assert lake.last_night() is None
    assert not lake.exists(FLAGS)


# -- housekeeping ------------------------------------------------------------------------------------------------------


def test_compaction_merges_files_and_every_night_stays_readable(lake: Lake, spark: SparkSession) -> None:
    for n in range(3):
        rows = [note(10 * n + m, f"{n} {m}", "p") for m in range(4)]
        publish(lake, nights(n, n), lake.write(frame(spark, NOTES, rows).repartition(3), NOTES, "p"))
    before = lake.digest(NOTES)
    assert lake.compact()["notes"] > 1
    assert lake.digest(NOTES) == before
    assert lake.recover() == []
    for n, one in enumerate(lake.nights()):
        texts = lake.arrow(NOTES, ["text"], version=one.versions["notes"])["text"].to_pylist()
        assert sorted(texts) == [f"{n} {m}" for m in range(4)]
        assert lake.read(spark, NOTES, one.versions["notes"]).count() == 4


def test_garbage_collection_keeps_what_published_nights_name(lake: Lake, spark: SparkSession) -> None:
    for n in range(2):
        publish(lake, nights(n, n), lake.write(frame(spark, NOTES, [note(n, "x", "p")]), NOTES, "p"))
        lake.write(frame(spark, NOTES, [note(7, "never published", "p")]), NOTES, "p")
    (lake.scratch / "left").mkdir()
    (lake.path(NOTES) / "_staging" / "left").mkdir(parents=True)
    assert lake.collect_garbage(0)["notes"] == 1  # of the two versions no night names, the newest is still the newest
    for n, one in enumerate(lake.nights()):
        assert lake.arrow(NOTES, ["subject_id"], version=one.versions["notes"])["subject_id"].to_pylist() == [n]
    assert not list(lake.scratch.iterdir())
    assert not (lake.path(NOTES) / "_staging").exists()


def test_compaction_does_not_publish_what_a_killed_run_left(lake: Lake, spark: SparkSession) -> None:
    publish(lake, nights(0, 0), write_flags(lake, spark, nights(0, 0), flag(1, 0)))
    write_flags(lake, spark, nights(1, 1), flag(2, 1))
    lake.compact()
    assert flags_in(Lake.open(lake.root, published=True)) == [(1, 0)]


def test_thousands_of_nights_are_compacted_in_one_reading(
    lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lake, nights(0, 3000), write_flags(lake, spark, nights(0, 3000), flag(1, 0)))
    readings = []
    whole = Lake._night_rows

    def counted(self: Lake) -> list[dict[str, Any]]:
        readings.append(self)
        return whole(self)

    monkeypatch.setattr(Lake, "_night_rows", counted)
    lake.compact()
    assert len(readings) < 5
    assert len(lake.nights()) == 3001


def test_migration_brings_an_older_lake_here_once(lake: Lake, spark: SparkSession) -> None:
    """A table without today's last columns: read as nulls at its old version, written to after the migration."""
    score = {"subject_id": 1, "night": night(0), "rank": 1, "disease_id": "OMIM:1", "night_range": str(nights(0, 0))}
    whole = arrow(CANDIDATES, [score])
    lake.write_rows(whole, CANDIDATES, nights(0, 0))
    old = whole.drop_columns(["next_test", "common_explanation"])
    write_deltalake(lake.path(CANDIDATES), old, mode="overwrite", schema_mode="overwrite")
    version = lake.version("candidates")
    publish(lake, nights(0, 0), Written("candidates", version, 1, 1, lake.digest(CANDIDATES)))
    lake.describe(schema_version=2)
    with pytest.raises(LakeError, match="zebrawatch lake migrate"):
        Lake.open(lake.root)
    older = Lake.open(lake.root, older=True, published=True)
    assert older.migrate() == (2, LAKE_SCHEMA_VERSION)
    assert older.migrate() == (LAKE_SCHEMA_VERSION, LAKE_SCHEMA_VERSION)
    lake = Lake.open(lake.root)
    assert lake.nights()[0].versions == {"candidates": lake.version("candidates")}
    for read in (lake.arrow(CANDIDATES), lake.arrow(CANDIDATES, version=version)):
        assert read.drop_columns(["next_test"]).to_pylist() == whole.drop_columns(["next_test"]).to_pylist()
    assert lake.digest(CANDIDATES) == lake.nights()[0].digests["candidates"]
    added = frame(spark, CANDIDATES, [{**score, "night": night(1), "next_test": "HP:1"}])
    lake.write_nights(added.drop("night_range").selectExpr("*", "'x' as night_range"), CANDIDATES, nights(1, 1))
    assert sorted(map(str, lake.arrow(CANDIDATES)["next_test"].to_pylist())) == ["HP:1", "None"]


# -- other readers -----------------------------------------------------------------------------------------------------


def test_any_delta_reader_can_read_the_tables(lake: Lake, spark: SparkSession) -> None:
    shown = [{"rank": 1, "disease_id": "OMIM:1", "disease_name": "One", "posterior": 0.5, "log10_lr": 2.0}]
    write_flags(lake, spark, nights(0, 1), flag(1, 0, p_any=0.75, shown=shown), flag(2, 1, p_any=0.5, shown=[]))
    table = DeltaTable(lake.path(FLAGS))
    assert table.to_pyarrow_table().num_rows == 2
    data = table.to_pyarrow_dataset()  # noqa: F841  (DuckDB finds it by its name)
    found = duckdb.sql("select sum(p_any), max(len(shown)) from data")
    assert found is not None
    assert found.fetchall() == [(1.25, 1)]
    assert table.metadata().partition_columns == ["night_range"]


def test_candidates_keep_their_explanations(lake: Lake, spark: SparkSession) -> None:
    contribution = {
        "hpo_id": "HP:0001744",
        "log10_lr": 1.5,
        "start": 3,
        "end": 9,
        "quote": "spleen",
        "known_night": DAY0,
    }
    row = {
        "subject_id": 1,
        "night": DAY0,
        "rank": 1,
        "contributions": [contribution],
        "expected_absent": ["HP:0000001"],
    }
    lake.write_nights(frame(spark, CANDIDATES, [row]), CANDIDATES, nights(0, 0))
    (read,) = lake.arrow(CANDIDATES).to_pylist()
    assert read["contributions"][0] | contribution == read["contributions"][0]
    assert read["expected_absent"] == ["HP:0000001"]


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_the_lock_names_its_owner_and_is_given_back(lake: Lake) -> None:
    with lake.writing():
        with pytest.raises(LakeError, match=f"process {os.getpid()} on {socket.gethostname()}"), lake.writing():
            pass
        assert stat.S_IMODE((lake.root / LOCK_NAME).stat().st_mode) == 0o600
    with lake.writing():
        pass


def test_the_lock_is_given_back_after_an_error(lake: Lake) -> None:
    with pytest.raises(RuntimeError), lake.writing():
        raise RuntimeError
    with lake.writing():
        pass


HOLD = """
import sys
from pathlib import Path
from connectors.lake import Lake
with Lake.open(Path(sys.argv[1])).writing():
    print("holding", flush=True)
    sys.stdin.readline()
"""


def test_the_lock_of_a_process_stands_while_it_lives_and_is_taken_when_it_is_killed(lake: Lake) -> None:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", HOLD, str(lake.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holding\n"
        with pytest.raises(LakeError, match=f"process {other.pid} on"), lake.writing():
            pass
        other.kill()
    assert (lake.root / LOCK_NAME).exists()
    with lake.writing():
        assert f"process {os.getpid()} " in (lake.root / LOCK_NAME).read_text()


def test_one_of_many_that_find_a_dead_lock_gets_it(lake: Lake) -> None:
    """All of them see the dead owner; taking its lock away must not take away that of the first to come."""
    (lake.root / LOCK_NAME).write_text(f"process 999999999 on {socket.gethostname()} since 2025-01-01 00:00 UTC\n")
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with lake.writing(wait_seconds=60):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8
    assert not (lake.root / LOCK_NAME).exists()


def test_the_lock_of_another_machine_stands(lake: Lake) -> None:
    (lake.root / LOCK_NAME).write_text("process 1 on elsewhere.example since 2025-01-01 00:00 UTC\n")
    with pytest.raises(LakeError, match=r"elsewhere\.example"), lake.writing():
        pass


def test_facts_of_a_lake_are_added_to_and_kept(lake: Lake) -> None:
    lake.describe(data_kind="made")
    lake.describe(site="here")
    assert Lake.open(lake.root).about() == {"schema_version": LAKE_SCHEMA_VERSION, "data_kind": "made", "site": "here"}
    assert json.loads((lake.root / "lake.json").read_text())["site"] == "here"


# Readers and housekeeping


def test_readers_see_what_the_last_night_left_whatever_a_run_has_written_since(lake: Lake, spark: SparkSession) -> None:
    publish(lake, nights(1, 1), write_flags(lake, spark, nights(1, 1), flag(1, 1)))
    write_flags(lake, spark, nights(2, 2), flag(2, 2))
    reader = Lake.open(lake.root, published=True)
    assert flags_in(reader) == [(1, 1)]
    assert reader.read(spark, FLAGS).count() == 1
    assert reader.digest(FLAGS) != lake.digest(FLAGS)
    assert flags_in(lake) == [(1, 1), (2, 2)]


def test_readers_of_a_lake_without_a_night_see_nothing(lake: Lake, spark: SparkSession) -> None:
    write_flags(lake, spark, nights(1, 1), flag(1, 1))
    reader = Lake.open(lake.root, published=True)
    assert not reader.exists(FLAGS)
    assert flags_in(reader) == []


@pytest.mark.parametrize("name", ["lake [old]", "{a,b}", "lake*", "why?"])
def test_a_path_that_spark_would_take_for_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match="takes for a pattern"):
        Lake.open(tmp_path / name / "lake", create=True)
    assert not (tmp_path / name).exists()


def test_garbage_collection_takes_what_fetches_left_unfinished(lake: Lake) -> None:
    fetches = lake.raw / ".smart-fetch-1"
    for folder in (fetches / "001.done", fetches / "002.broken", fetches / "003.now", lake.raw / ".arriving-1"):
        folder.mkdir(parents=True)
    (fetches / "001.done" / ".published").touch()
    pull = lake.raw / "2025-01-01-abc"
    pull.mkdir()
    for folder in (fetches / "001.done", fetches / "002.broken", lake.raw / ".arriving-1", pull):
        os.utime(folder, (0, 0))
    lake.collect_garbage(keep_hours=1)
    assert sorted(path.name for path in fetches.iterdir()) == ["001.done", "003.now"]
    assert sorted(path.name for path in lake.raw.iterdir()) == [".smart-fetch-1", "2025-01-01-abc"]


def test_garbage_collection_takes_batches_that_were_killed_and_never_asked_again(lake: Lake) -> None:
    long_ago, still_answering = lake.batches / "long-ago", lake.batches / "still-answering"
    for batch in (long_ago, still_answering):
        batch.mkdir(parents=True)
        (batch / "requests.jsonl").write_text("a chart")
        (batch / "answers.jsonl").write_text("an answer")
        for path in (batch / "requests.jsonl", batch / "answers.jsonl", batch):
            os.utime(path, (0, 0))
    os.utime(still_answering / "answers.jsonl")
    lake.collect_garbage(keep_hours=1)
    assert [path.name for path in lake.batches.iterdir()] == ["still-answering"]


def test_rows_in_memory_replace_their_nights_wherever_these_stand(tmp_path: Path) -> None:
    """No Spark needed: what the reasoning arm writes, and nothing on most nights."""
    lake = Lake.open(tmp_path / "lake", create=True)

    def ledger(*days: int) -> pa.Table:
        rows = [{"subject_id": day, "night": date(2025, 1, day), "task": "confirm", "night_range": "x"} for day in days]
        return pa.Table.from_pylist(rows, schema=LLM_LEDGER.schema)

    assert lake.write_rows(ledger(), LLM_LEDGER, NightRange.parse("2025-01-01..2025-01-02")).rows == 0
    first = lake.write_rows(ledger(3, 4, 5), LLM_LEDGER, NightRange.parse("2025-01-03..2025-01-05"))
    assert lake.write_rows(ledger(4), LLM_LEDGER, NightRange.parse("2025-01-04")).rows == 1
    assert sorted(lake.arrow(LLM_LEDGER, ["subject_id"])["subject_id"].to_pylist()) == [3, 4, 5]
    lake.write_rows(ledger(), LLM_LEDGER, NightRange.parse("2025-01-03..2025-01-04"))
    assert lake.arrow(LLM_LEDGER, ["subject_id"])["subject_id"].to_pylist() == [5]
    assert lake.arrow(LLM_LEDGER, ["subject_id"], version=first.version).num_rows == 3, "readers keep their version"
