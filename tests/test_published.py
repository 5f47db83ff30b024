"""Published tables: what is counted, what is hidden, and that an attacker who subtracts learns no small count."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.published import write_published
from zebrawatch.reports.published import DIMENSIONS, WITHIN, NightCount, Population, age_band, publish

DAY0 = date(2025, 1, 1)
FLOOR = 11
Row = dict[str, Any]


def person(number: int, **facts: Any) -> Row:
    plain = dict.fromkeys(DIMENSIONS, "unknown")
    counts = {"screened": True, "alerted": False, "reviewed": None, "confirmed": False, "false_alerted": False}
    rest = {"cases": False, "prioritised": False, "disease": None, "lead_days": None}
    return {"subject_id": 987_654_321_000 + number, **plain, **counts, **rest, **facts}


def alerted(number: int, **facts: Any) -> Row:
    return person(number, **{"alerted": True, "disease": "OMIM:1", **facts})


def tables(rows: list[Row], nights: list[NightCount] | None = None, kind: str = "real") -> dict[str, list[Row]]:
    found = publish(Population(pd.DataFrame(rows), nights or [], {"OMIM:1": "Wilson disease"}), "Said.", kind, DAY0)
    return {name: table.to_pylist() for name, table in found.tables.items()}


def group(rows: list[Row], dimension: str, name: str) -> Row:
    return next(row for row in rows if (row["dimension"], row["group"]) == (dimension, name))


def test_large_counts_are_shown_and_a_small_group_is_hidden_with_another() -> None:
    people = [person(n, sex="female") for n in range(40)] + [person(100 + n, sex="male") for n in range(30)]
    people += [person(200 + n, sex="unknown") for n in range(4)]
    found = tables(people)["groups"]
    assert group(found, "all", "all")["screened"] == 74
    assert group(found, "sex", "female")["screened"] == 40
    assert group(found, "sex", "unknown")["screened"] is None
    assert group(found, "sex", "male")["screened"] is None  # else the four would follow from the total
    assert group(found, "sex", "unknown")["hidden"] == ["screened"]


def test_made_data_are_shown_whole() -> None:
    found = tables([alerted(1), person(2)], kind="made")
    assert group(found["groups"], "all", "all")["alerted"] == 1
    assert [row["disease"] for row in found["diseases"]] == ["all diseases", "Wilson disease"]


def test_rare_alerts_are_put_together() -> None:
    people = [alerted(n) for n in range(20)] + [alerted(50 + n, disease=f"OMIM:{n + 2}") for n in range(12)]
    rows = {row["disease_id"]: row["alerted"] for row in tables(people)["diseases"]}
    assert rows == {"all": 32, "OMIM:1": 20, "other": 12}


def test_nights_hide_small_counts_and_what_would_tell_them() -> None:
    counts = [12, 15, 3, 0, 20]
    rows = tables([person(1)], [NightCount(DAY0 + timedelta(days=n), 50, c) for n, c in enumerate(counts)])["nights"]
    shown = [row["raised"] for row in rows if row["span"] == "night"]
    assert shown == [None, 15, None, 0, 20]
    assert [row["raised"] for row in rows if row["span"] != "night"] == [50, 50]


def test_lead_is_told_only_of_enough_cases_and_in_months() -> None:
    few = [person(n) for n in range(50)] + [
        alerted(60 + n, cases=True, prioritised=True, lead_days=100) for n in range(5)
    ]
    assert group(tables(few)["groups"], "all", "all")["lead_days_mean"] is None
    many = [person(n) for n in range(50)]
    many += [alerted(60 + n, cases=True, prioritised=True, lead_days=100) for n in range(15)]
    many += [person(90 + n, cases=True, lead_days=0) for n in range(15)]
    row = group(tables(many)["groups"], "all", "all")
    assert (row["lead_days_mean"], row["lead_days_median"]) == (60, 90)


@pytest.mark.parametrize(
    ("born", "band"), [(date(2024, 1, 2), "0-1"), (date(1960, 1, 1), "65 and over"), (None, "unknown")]
)
def test_ages_fall_into_bands(born: date | None, band: str) -> None:
    assert age_band(born, DAY0) == band


def test_files_hold_no_row_about_one_person_and_open_in_duckdb(tmp_path: Path) -> None:
    people = [alerted(n, sex="female", unit="Neurology") for n in range(30)]
    published = publish(Population(pd.DataFrame(people), []), "Said.", "real", DAY0)
    for _ in range(2):  # the second writes in the first one's place
        folder = write_published(published, tmp_path / "published")
    assert not [path for path in tmp_path.iterdir() if path != folder]
    for path in folder.iterdir():
        assert b"987654321" not in path.read_bytes()
        assert b"subject_id" not in path.read_bytes()
    with duckdb.connect(str(folder / "published.duckdb"), read_only=True) as database:
        assert database.sql("select alerted from groups where dimension = 'all'").fetchall() == [(30,)]
        told = database.sql("select count(*) from data_dictionary where holds is null or holds = ''").fetchall()
        assert told == [(0,)]
        listed = set(database.sql('select "table", "column" from data_dictionary').fetchall())
        there = database.sql("select table_name, column_name, comment from duckdb_columns() where not internal")
        columns = there.fetchall()
        assert listed == {(table, column) for table, column, _ in columns}
        assert all(comment for _, _, comment in columns)
    assert pq.read_table(folder / "groups.parquet").num_rows > 2
    assert "Screening dashboard" in (folder / "dashboard.html").read_text()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 14)), min_size=1, max_size=12, unique_by=lambda x: x[0]))
def test_no_hidden_night_follows_from_the_months_and_their_total(raised: list[tuple[int, int]]) -> None:
    """Nights add up to months and months to all: whoever solves for the hidden ones finds no small one."""
    nights = [NightCount(DAY0 + timedelta(days=day), 100, count) for day, count in sorted(raised)]
    table = publish(Population(pd.DataFrame([person(0)]), nights), "Said.", "real", DAY0).tables["nights"].to_pylist()
    shown = {(row["span"], row["begins"]): row["raised"] for row in table}
    truth = {("night", one.night): one.raised for one in nights}
    months: dict[date, list[tuple[str, date]]] = {}
    for one in nights:
        months.setdefault(one.night.replace(day=1), []).append(("night", one.night))
    for month, parts in months.items():
        truth["month", month] = sum(truth[part] for part in parts)
    (everything,) = (cell for cell in shown if cell[0] == "all")
    truth[everything] = sum(one.raised for one in nights)
    assert all(value is None or value == truth[cell] for cell, value in shown.items())
    unknown = [cell for cell, value in shown.items() if value is None]
    place_of = {cell: n for n, cell in enumerate(unknown)}
    sums = [(("month", month), parts) for month, parts in months.items()]
    sums.append((everything, [("month", month) for month in months]))
    matrix = np.zeros((len(sums), len(unknown)))
    for line, (total, parts) in zip(matrix, sums, strict=True):
        for cell, sign in [(total, -1), *((part, 1) for part in parts)]:
            if cell in place_of:
                line[place_of[cell]] += sign
    rank = np.linalg.matrix_rank(matrix) if unknown else 0
    for cell in unknown:
        unit = np.zeros(len(unknown))
        unit[place_of[cell]] = 1
        solved = np.linalg.matrix_rank(np.vstack([matrix, unit])) == rank
        assert not (solved and 0 < truth[cell] < 11), cell


@st.composite
def populations(draw: st.DrawFn) -> list[Row]:
    people: list[Row] = []
    for sex, unit, disease, state, size in draw(
        st.lists(
            st.tuples(
                st.sampled_from(["female", "male"]),
                st.sampled_from(["a", "b", "c"]),
                st.sampled_from(["OMIM:1", "OMIM:2", "OMIM:3"]),
                st.integers(0, 3),
                st.integers(1, 25),
            ),
            max_size=10,
        )
    ):
        facts = {"sex": sex, "unit": unit}
        if state:
            facts |= {"alerted": True, "disease": disease, "confirmed": state == 2, "false_alerted": state == 3}
        people += [person(len(people) + n, **facts) for n in range(size)]
    return people or [person(0)]


@settings(max_examples=40, deadline=None)
@given(populations())
def test_no_hidden_count_follows_from_the_published_ones(people: list[Row]) -> None:
    """An attacker sets up every equation that the tables' meaning gives, and solves for what is hidden."""
    found = tables(people)
    shown: dict[tuple[str, str, str], int | None] = {}
    for row in found["groups"]:
        shown |= {
            (row["dimension"], row["group"], m): row[m] for m in ("screened", "alerted", "confirmed", "false_alerted")
        }
    for row in found["diseases"]:
        place = ("all", "all") if row["disease_id"] == "all" else ("disease", row["disease_id"])
        assert place[0] == "disease" or shown.get((*place, "alerted")) == row["alerted"]
        shown |= {(*place, m): row[m] for m in ("alerted", "confirmed", "false_alerted")}
    unknown = [cell for cell, value in shown.items() if value is None]
    rests = [(d, g, m) for d, g, m in shown if m in WITHIN and (d, g, WITHIN[m]) in shown]
    unknown += [(d, g, f"not {m}") for d, g, m in rests]
    place_of = {cell: n for n, cell in enumerate(unknown)}
    rows, right = [], []

    def equation(total: tuple[str, str, str], parts: list[tuple[str, str, str]]) -> None:
        line, known = np.zeros(len(unknown)), 0
        for cell, sign in [(total, -1), *((part, 1) for part in parts)]:
            if cell in place_of:
                line[place_of[cell]] += sign
            else:
                known -= sign * (shown[cell] or 0)
        rows.append(line)
        right.append(known)

    for d, g, m in rests:
        equation((d, g, WITHIN[m]), [(d, g, m), (d, g, f"not {m}")])
    for dimension in ("sex", "unit", "disease"):
        for m in {cell[2] for cell in (*shown, *unknown)}:
            parts = [cell for cell in (*shown, *unknown) if cell[0] == dimension and cell[2] == m]
            if parts and (("all", "all", m) in shown or ("all", "all", m) in place_of):
                equation(("all", "all", m), list(dict.fromkeys(parts)))
    matrix = np.array(rows).reshape(len(rows), len(unknown))
    truth = np.array([_truth(people, cell, found) for cell in unknown], float)
    assert np.allclose(matrix @ truth, right)
    rank = np.linalg.matrix_rank(matrix) if unknown else 0
    for cell, count in zip(unknown, truth, strict=True):
        pinned = np.vstack([matrix, np.eye(len(unknown))[place_of[cell]]])
        if np.linalg.matrix_rank(pinned) == rank:  # it follows: then it must not be small
            assert not 0 < count < FLOOR, cell


def _truth(people: list[Row], cell: tuple[str, str, str], found: dict[str, list[Row]]) -> int:
    dimension, name, measure = cell
    alone = {row["disease_id"] for row in found["diseases"]}

    def inside(row: Row) -> bool:
        if dimension == "disease":
            return (row["disease"] if row["disease"] in alone else row["disease"] and "other") == name
        return dimension == "all" or row[dimension] == name

    if measure.startswith("not "):
        part = measure.removeprefix("not ")
        return sum(inside(row) and bool(row[WITHIN[part]]) and not row[part] for row in people)
    return sum(inside(row) and bool(row[measure]) for row in people)
