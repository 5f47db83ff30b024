"""The proof's own parts: what differs, which nights are drawn, what edits look ahead; the sample a person reads."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake_rows import arrow

from assets.suspicion_sample import read_sample
from zebrawatch.errors import SourceError
from zebrawatch.outcome.proof import EDIT_COLUMNS, difference, draws, measured_look_ahead
from zebrawatch.outcome.suspicion_sample import Note, read_back, sample_notes
from zebrawatch.schemas import FLAGS

DAY0 = date(2025, 1, 1)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def flag(subject: int, n: int, p: float = 0.5, run: str = "a") -> dict[str, Any]:
    return {"subject_id": subject, "night": night(n), "action": "raise", "p_any": p, "shown": [], "night_range": run}


def flags(*rows: dict[str, Any]) -> pa.Table:
    return arrow(FLAGS, rows)


def test_a_replay_may_know_later_nights_but_not_say_other_things_of_earlier_ones() -> None:
    replay = flags(flag(1, 3), flag(2, 5), flag(3, 9))
    same = difference(replay, flags(flag(2, 5, run="b"), flag(1, 3, run="b")), FLAGS, night(5))
    assert (same.rows, same.on_the_night, same.differing) == (2, 1, 0)
    looked_ahead = difference(replay, flags(flag(1, 3), flag(2, 5, p=0.4)), FLAGS, night(5))
    assert (looked_ahead.only_in_replay, looked_ahead.only_in_nightly) == (1, 1)
    assert difference(replay, flags(flag(1, 3)), FLAGS, night(5)).only_in_replay == 1


def test_a_row_told_twice_is_not_a_row_told_once() -> None:
    assert difference(flags(flag(1, 3), flag(1, 3)), flags(flag(1, 3)), FLAGS, night(5)).only_in_replay == 1


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(1, 200), st.lists(st.integers(0, 90).map(night), min_size=1), min_size=1),
    st.integers(1, 8),
    st.integers(0, 5),
)
def test_proofs_are_held_on_nights_with_something_before_and_after(
    known: dict[int, list[date]], n: int, seed: int
) -> None:
    found = draws(known, n, seed, most_patients=7)
    assert found == draws(known, n, seed, most_patients=7)
    for draw in found:
        assert 1 <= len(draw.subjects) <= 7
        nights = {one for subject in draw.subjects for one in known[subject]}
        assert draw.night in nights
        assert min(nights) < draw.night < max(nights)


def versions(*rows: tuple[str, str, int]) -> pd.DataFrame:
    made = [(name, version, "Condition", "Condition.recordedDate", night(n)) for name, version, n in rows]
    return pd.DataFrame(made, columns=list(EDIT_COLUMNS))


def test_look_ahead_from_edits_is_counted_by_resource_and_rule() -> None:
    archive = versions(("a", "1", 5), ("b", "1", 5), ("c", "1", 5), ("d", "1", 5))
    export = versions(("a", "1", 5), ("b", "1", 2), ("c", "2", 4), ("late", "1", 60))
    (told,) = measured_look_ahead(archive, export, night(30))
    assert told == {
        "resource_type": "Condition",
        "rule": "Condition.recordedDate",
        "rows": 3,
        "ahead": 1,
        "edited": 1,
        "overwritten": 2,
        "days_median": 3.0,
    }


def notes(found: int, silent: int) -> list[Note]:
    made = [Note(f"found/{n}", "2025-01-01", "note", f"?Fabry {n}", True) for n in range(found)]
    return made + [Note(f"silent/{n}", "2025-01-01", "note", f"well {n}", False) for n in range(silent)]


def filled(rows: list[dict[str, Any]], answer: dict[str, str]) -> list[dict[str, str]]:
    return [{**row, "suspicion_written": answer[str(row["note_id"]).split("/")[0]]} for row in rows]


def test_a_sample_is_half_and_half_and_does_not_tell_which() -> None:
    sample = sample_notes(notes(30, 300), 20, seed=3)
    kinds = [row["detected"] for row in sample.key]
    assert (kinds.count("yes"), kinds.count("no")) == (10, 10)
    assert "detected" not in sample.rows[0]
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))
    assert len(sample_notes(notes(2, 300), 20, seed=3).rows) == 20, "what one half lacks the other gives"
    with pytest.raises(SourceError):
        sample_notes([], 5, 1)


def test_recall_weighs_each_half_by_what_it_stands_for() -> None:
    """30 notes found, all true; of 300 silent ones a tenth of those read holds one: 30 / (30 + 30)."""
    sample = sample_notes(notes(30, 300), 20, seed=3)
    key = [{name: str(value) for name, value in row.items()} for row in sample.key]
    rows = filled(sample.rows, {"found": "yes", "silent": "no"})
    assert read_back(rows, key)["recall"] == 1.0
    missed = next(row for row in rows if row["note_id"].startswith("silent"))
    missed["suspicion_written"] = " YES "
    told = read_back(rows, key)
    assert told["recall"] == pytest.approx(0.5)
    low, high = told["ci95"]["recall"]
    assert low < 0.5 < high
    rows[0]["suspicion_written"] = ""
    assert (read_back(rows, key)["read"], read_back(rows, key)["blank"]) == (19, 1)


def test_an_answer_that_is_none_names_its_row(tmp_path: Path) -> None:
    sample = sample_notes(notes(2, 2), 4, seed=1)
    key = [{name: str(value) for name, value in row.items()} for row in sample.key]
    rows = filled(sample.rows, {"found": "maybe", "silent": "no"})
    with pytest.raises(SourceError, match="must be yes or no"):
        read_back(rows, key)
    with pytest.raises(SourceError, match="not of this sample"):
        read_back([{"number": "99", "suspicion_written": "yes"}], key)
    with pytest.raises(SourceError, match="no file"):
        read_sample(tmp_path / "none.csv")
