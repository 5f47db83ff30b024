"""Suppressed cells: whatever is published, no small count can be worked out by subtraction."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.reports.cells import Sum, derivable, hidden_cells

FLOOR = 11


def test_a_lone_small_part_takes_the_next_smallest_with_it() -> None:
    counts = {"all": 100, "women": 60, "men": 37, "unknown": 3}
    hidden = hidden_cells(counts, [Sum("all", ("women", "men", "unknown"))], FLOOR)
    assert hidden == {"unknown", "men"}


def test_nothing_is_hidden_where_nothing_is_small() -> None:
    assert hidden_cells({"all": 40, "a": 20, "b": 20}, [Sum("all", ("a", "b"))], FLOOR) == frozenset()
    assert hidden_cells({"all": 20, "a": 20, "b": 0}, [Sum("all", ("a", "b"))], FLOOR) == frozenset()


def test_two_hidden_parts_that_are_few_together_take_a_third() -> None:
    counts = {"all": 50, "a": 2, "b": 3, "c": 20, "d": 25}
    assert hidden_cells(counts, [Sum("all", ("a", "b", "c", "d"))], FLOOR) == {"a", "b", "c"}


def test_where_all_else_is_zero_the_total_goes_too() -> None:
    assert hidden_cells({"all": 5, "a": 5, "b": 0}, [Sum("all", ("a", "b"))], FLOOR) == {"all", "a"}


def test_a_small_rest_hides_the_group_it_would_follow_from() -> None:
    """Of 40 women 35 were alerted: the five who were not must not follow."""
    hidden = hidden_cells({"women": 40, "alerted": 35, "not": 5}, [Sum("women", ("alerted", "not"))], FLOOR)
    assert "not" in hidden
    assert hidden & {"women", "alerted"}


def test_a_relation_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="not the sum"):
        hidden_cells({"all": 5, "a": 4}, [Sum("all", ("a",))], FLOOR)


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[dict[Any, int], list[Sum]]:
    """People counted by two ways of grouping that share their totals, screened and alerted, as `published/` does."""
    people = draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), st.integers(1, 30)), max_size=14)
    )
    counts: dict[Any, int] = {}
    groups = [("all", None), *(("sex", n) for n in range(3)), *(("age", n) for n in range(4))]
    for group, measure in product(groups, ("screened", "alerted", "not")):
        kind, value = group
        counts[group, measure] = sum(
            size
            for sex, age, alerted, size in people
            if (kind == "all" or (sex if kind == "sex" else age) == value)
            and (measure == "screened" or alerted == (measure == "alerted"))
        )
    sums = [Sum((group, "screened"), ((group, "alerted"), (group, "not"))) for group in groups]
    sums += [
        Sum((("all", None), measure), tuple((g, measure) for g in groups if g[0] == kind))
        for kind, measure in product(("sex", "age"), ("screened", "alerted", "not"))
    ]
    return counts, sums


@settings(max_examples=80, deadline=None)
@given(two_tables())
def test_no_hidden_cell_follows_from_what_is_shown(made: tuple[dict[Any, int], list[Sum]]) -> None:
    """Solve for the hidden cells as an attacker would: least squares, twice, from two starting points."""
    counts, sums = made
    hidden = hidden_cells(counts, sums, FLOOR)
    assert all(cell in hidden for cell, count in counts.items() if 0 < count < FLOOR)
    cells = sorted(hidden, key=repr)
    if not cells:
        return
    rows, known = [], []
    for one in sums:
        signs = {one.total: -1.0, **dict.fromkeys(one.parts, 1.0)}
        rows.append([signs.get(cell, 0.0) for cell in cells])
        known.append(-sum(sign * counts[cell] for cell, sign in signs.items() if cell not in hidden))
    matrix, right = np.array(rows), np.array(known, float)
    rank = np.linalg.matrix_rank(matrix)
    for number, cell in enumerate(cells):
        pinned = np.vstack([matrix, np.eye(len(cells))[number]])
        assert np.linalg.matrix_rank(pinned) == rank + 1, f"{cell} = {counts[cell]} follows"
    guess = np.linalg.lstsq(matrix, right, rcond=None)[0]
    assert np.allclose(matrix @ guess, right)
    assert derivable(sums, hidden) == []


@settings(max_examples=80, deadline=None)
@given(two_tables())
def test_hidden_parts_of_a_shown_total_are_never_known_to_be_few(made: tuple[dict[Any, int], list[Sum]]) -> None:
    counts, sums = made
    hidden = hidden_cells(counts, sums, FLOOR)
    for one in sums:
        parts = [part for part in one.parts if part in hidden]
        if parts and one.total not in hidden:
            assert sum(counts[part] for part in parts) >= FLOOR
