"""The door to Great Expectations: suites that follow the schemas, outcomes without values, pages without a network."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from connectors.expectations import (
    TEXT_COLUMNS,
    ExpectationError,
    ExpectationStore,
    columns_needed,
    tables_with_suites,
    validate,
)
from zebrawatch.schemas import TABLES

PLANTED = "Wilhelmina Featherstonehaugh"
NIGHT = date(2025, 6, 1)
SUITES = ExpectationStore(Path("unused"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ExpectationStore:
    """One store for all: making a context takes seconds."""
    return ExpectationStore(tmp_path_factory.mktemp("checks") / "expectations")


def notes(n: int = 4, **changed: Any) -> pd.DataFrame:
    columns = {
        "subject_id": list(range(n)),
        "note_id": [f"DocumentReference/{k}" for k in range(n)],
        "version": ["0" * 16] * n,
        "resource_type": ["DocumentReference"] * n,
        "text": [f"{PLANTED} seen today"] * n,
        "text_sha256": ["a" * 64] * n,
        "alternatives": [0] * n,
        "restricted": [False] * n,
        "deleted": [False] * n,
        "available_at": [datetime(2025, 6, 1, 12, tzinfo=UTC)] * n,
        "available_rule": ["DocumentReference.date"] * n,
        "available_grade": ["filed"] * n,
        "seen_night": [NIGHT] * n,
        "known_night": [NIGHT] * n,
    }
    return pd.DataFrame(columns | changed)


def flags(**changed: Any) -> pd.DataFrame:
    row = {
        "subject_id": 7, "episode_id": "7-2025-06-01", "night": NIGHT, "action": "raise", "reason": "threshold",
        "met_night": NIGHT, "p_any": 0.61, "threshold": 0.5,
    }  # fmt: skip
    return pd.DataFrame([row | changed])


def test_every_suite_names_columns_of_its_table_and_checks_its_key() -> None:
    assert tables_with_suites(SUITES) == (
        "candidates", "events", "findings", "flags", "lead_time", "notes", "patients", "suspicions",
    )  # fmt: skip
    for table in tables_with_suites(SUITES):
        suite = json.loads((SUITES.suites / f"{table}.json").read_text())
        assert set(columns_needed(table, SUITES)) <= set(TABLES[table].schema.names), table
        assert not set(columns_needed(table, SUITES)) & TEXT_COLUMNS
        keys = [e["kwargs"].get("column_list", [e["kwargs"].get("column")]) for e in suite["expectations"]]
        assert list(TABLES[table].key) in keys, table
        assert any(e["meta"]["stops_the_night"] for e in suite["expectations"]), table


def test_a_sound_extract_passes(store: ExpectationStore) -> None:
    outcome = validate("notes", notes(), store, "2025-06-01")
    assert outcome.success
    assert not outcome.stops_the_night
    assert outcome.failed == ()
    assert outcome.statistics["rows"] == 4
    assert outcome.statistics["success_percent"] == 100.0
    assert "must never be null" in outcome.docs.read_text()


@pytest.mark.parametrize("night", ["2024-06-24..2024-06-30", "2019-01-01..2024-06-23", "2024-06-30"])
def test_any_range_of_nights_names_a_result(store: ExpectationStore, night: str) -> None:
    assert validate("flags", flags(), store, night).docs.is_file()


def test_an_empty_night_passes(store: ExpectationStore) -> None:
    assert validate("notes", notes(0), store, "2025-06-02").success
    assert validate("flags", flags().iloc[:0], store, "2025-06-02").success


def test_a_broken_key_stops_the_night_and_a_strange_word_does_not(store: ExpectationStore) -> None:
    doubled = validate("notes", notes(note_id=["DocumentReference/1"] * 4), store, "2025-06-03")
    assert doubled.stopping == ("compound_columns_to_be_unique(note_id, version)",)
    strange = validate("notes", notes(resource_type="Binary"), store, "2025-06-04")
    assert (strange.success, strange.stops_the_night) == (False, False)
    assert strange.failed == ("be_in_set(resource_type)",)


@pytest.mark.parametrize(
    ("changed", "stopping"),
    [
        ({"p_any": 1.2}, "be_between(p_any)"),
        ({"action": "shout"}, "be_in_set(action)"),
        ({"night": None}, "not_be_null(night)"),
        ({"met_night": date(2025, 6, 2)}, "pair_values_a_to_be_greater_than_b(night, met_night)"),
    ],
)
def test_what_stops_a_night_of_flags(store: ExpectationStore, changed: dict[str, Any], stopping: str) -> None:
    assert stopping in validate("flags", flags(**changed), store, "2025-06-05").stopping


def test_a_missing_column_is_a_failure_not_a_crash(store: ExpectationStore) -> None:
    outcome = validate("notes", notes().drop(columns="known_night"), store, "2025-06-06")
    assert "not_be_null(known_night)" in outcome.stopping


def test_nothing_written_holds_a_value(store: ExpectationStore, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """Values planted in every column, of the right type and the wrong one, are found nowhere."""
    frame = notes(4)
    for column in frame.columns:
        if frame[column].dtype == object and column != "known_night":
            frame[column] = [f"{PLANTED} {column}"] * 4
    outcome = validate(
        "notes", frame.astype({"alternatives": object}).assign(alternatives=PLANTED), store, "2025-06-07"
    )
    assert not outcome.success
    said = str(outcome) + caplog.text + "".join(capfd.readouterr())
    written = [path for path in store.folder.rglob("*") if path.is_file()]
    assert len(written) > 5
    for word in PLANTED.split():
        assert word not in said
        assert not [path for path in written if word.encode() in path.read_bytes()]


def test_pages_ask_nothing_of_the_network(store: ExpectationStore) -> None:
    validate("notes", notes(), store, "2025-06-08")
    pages = list(store.docs.parent.rglob("*.html"))
    assert store.docs in [page.resolve() for page in pages]
    for page in pages:
        asked = re.findall(r"(?:src=|url\(|<link[^>]*href=)['\"]?(?:https?:)?//[^'\" >]*", page.read_text())
        assert asked == [], page.name


def test_the_first_page_leads_to_every_result(store: ExpectationStore) -> None:
    validate("flags", flags(p_any=2.0), store, "2025-06-09")
    validate("notes", notes(), store, "2025-06-09")
    links = re.findall(r'<a href="([^"]+)">(\w+)</a>', store.docs.read_text())
    assert (links[0][1], links[1][1]) == ("STOPS", "holds")
    assert all((store.docs.parent / link).is_file() for link, _ in links)


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("{", "cannot be read"),
        ('{"name": "t", "meta": {}, "expectations": [{"type": "x", "kwargs": {}, "meta": {}}]}', "cannot be read"),
        (
            '{"expectations": [{"type": "x", "kwargs": {"column": "text"}, "meta": {"stops_the_night": true}}]}',
            "may hold patient data",
        ),
    ],
)
def test_a_bad_suite_is_one_sentence(tmp_path: Path, suite: str, message: str) -> None:
    (tmp_path / "t.json").write_text(suite)
    with pytest.raises(ExpectationError, match=message):
        validate("t", pd.DataFrame(), ExpectationStore(tmp_path / "out", tmp_path), "2025-06-01")


def test_an_unknown_table_and_a_strange_night_are_refused(store: ExpectationStore) -> None:
    with pytest.raises(ExpectationError, match="no expectation suite"):
        validate("nothing", notes(), store, "2025-06-01")
    with pytest.raises(ExpectationError, match="digits"):
        validate("notes", notes(), store, "../../etc")
