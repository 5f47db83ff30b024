"""Which cells of connected tables may be shown: none that is hidden may follow from those that are, by any subtraction.

Primary suppression hides counts of 1 to floor - 1 patients; complementary suppression hides more until the published
sums leave every hidden cell open (L. Willenborg, T. de Waal, Elements of Statistical Disclosure Control, Springer 2001,
chapter 4). `zebrawatch.reports.suppression` does the same for one list with one total.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zebrawatch.reports.suppression import shown_count


@dataclass(frozen=True)
class Sum:
    """A published relation: the cell `total` is the sum of the cells `parts`."""

    total: Hashable
    parts: tuple[Hashable, ...]

    @property
    def cells(self) -> tuple[Hashable, ...]:
        """Total and parts."""
        return (self.total, *self.parts)


def hidden_cells(counts: Mapping[Any, int], sums: Sequence[Sum], floor: int) -> frozenset[Any]:
    """The cells to hide, so that no cell of 1 to floor - 1 can be worked out.

    `counts` gives every cell that is published or follows from published ones (such as those *not* alerted); `sums` all
    relations between them. ValueError where a relation does not add up.
    """
    _check(counts, sums)
    hidden = {cell for cell, count in counts.items() if shown_count(count, floor) is None}
    if not hidden:
        return frozenset()
    while True:
        exposed = [*_too_open(counts, sums, hidden, floor), *derivable(sums, hidden)]
        more = {cell for one in exposed if (cell := _next(one, counts, sums, hidden)) is not None}
        if not more:
            return frozenset(hidden)
        hidden |= more


def derivable(sums: Sequence[Sum], hidden: set[Any] | frozenset[Any]) -> list[Any]:
    """Hidden cells that the shown ones determine: those that no change of the hidden cells can leave all sums true.

    A hidden cell is open exactly where the null space of the relations, taken over hidden cells only, moves it.
    """
    cells = sorted(hidden, key=repr)
    place = {cell: n for n, cell in enumerate(cells)}
    rows = [[(place[cell], -1.0 if cell == one.total else 1.0) for cell in one.cells if cell in place] for one in sums]
    matrix = np.zeros((max(1, len(rows)), len(cells)))
    for number, row in enumerate(rows):
        for column, sign in row:
            matrix[number, column] += sign
    moves = _null_space(matrix)
    return [cell for cell in cells if not np.any(np.abs(moves[place[cell]]) > 1e-8)]


def _null_space(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal basis of {x: matrix x = 0}, one vector a column."""
    _, values, right = np.linalg.svd(matrix, full_matrices=True)
    rank = int((values > 1e-9 * max(1.0, float(values.max(initial=0.0)))).sum())
    return np.asarray(right[rank:].T)


def _too_open(counts: Mapping[Any, int], sums: Sequence[Sum], hidden: set[Any], floor: int) -> list[Any]:
    """A hidden part of every relation whose hidden parts together are known to be fewer than `floor`."""
    found = []
    for one in sums:
        parts = [part for part in one.parts if part in hidden]
        if parts and one.total not in hidden and sum(counts[part] for part in parts) < floor:
            found.append(parts[0])
    return found


def _next(exposed: Any, counts: Mapping[Any, int], sums: Sequence[Sum], hidden: set[Any]) -> Any | None:
    """The smallest shown cell, other than zero, that stands in a relation with an exposed one; parts before totals."""
    shown = [
        (cell == one.total, counts[cell], repr(cell), cell)
        for one in sums
        if exposed in one.cells
        for cell in one.cells
        if cell not in hidden and counts[cell] > 0
    ]
    return min(shown)[3] if shown else None


def _check(counts: Mapping[Any, int], sums: Sequence[Sum]) -> None:
    for one in sums:
        if counts[one.total] != sum(counts[part] for part in one.parts):
            raise ValueError(f"{one.total!r} is not the sum of its parts")
