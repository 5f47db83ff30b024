"""The order in which contributions are told, strongest first, for the diseases of many patients in one compiled call.

Diseases come in blocks: those of one patient that the same findings count for. A block has columns: first sex and age,
then the findings. What sex or age leaves as it was is not told; every finding is.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray


class Blocks(NamedTuple):
    """Contributions of all blocks, one block after the other; natural logarithms."""

    diseases: NDArray[np.int64]
    """(blocks,): diseases of each block."""
    people: NDArray[np.int64]
    """(blocks,): its columns for sex and age."""
    findings: NDArray[np.int64]
    """(blocks,): its findings."""
    person: NDArray[np.float64]
    """Of each block (people, diseases): what sex and age add."""
    contribution: NDArray[np.float64]
    """Of each block (diseases, findings): what the findings add."""
    matched: NDArray[np.int32]
    """The same, with the term matched; -1 where the disease does not explain the finding."""


class Told(NamedTuple):
    """The contributions in the order they are told, of one disease after the other."""

    counts: NDArray[np.int64]
    """(diseases,): contributions of each."""
    column: NDArray[np.int64]
    """(contributions,): its column, counted on from block to block."""
    value: NDArray[np.float64]
    matched: NDArray[np.int32]
    """-1 where there is no match."""


def strongest_first(blocks: Blocks) -> Told:
    """Contributions of every disease, strongest first; those that are equal in the order of their columns."""
    room = int((blocks.diseases * (blocks.people + blocks.findings)).sum())
    told = Told(
        np.zeros(int(blocks.diseases.sum()), np.int64),
        np.empty(room, np.int64),
        np.empty(room),
        np.empty(room, np.int32),
    )
    n = _tell(*blocks, *told)
    return Told(told.counts, told.column[:n], told.value[:n], told.matched[:n])


@numba.njit(cache=True)
def _tell(  # type: ignore[no-untyped-def]
    diseases, people, findings, person, contribution, matched, told_counts, told_column, told_value, told_matched
):
    """Fill the arrays of Told; how many contributions there are."""
    row = n = first_column = at_person = at = 0
    for b in range(len(diseases)):
        n_people, n_findings = people[b], findings[b]
        kept = np.empty(n_people + n_findings, np.int64)
        values = np.empty(n_people + n_findings)
        for j in range(diseases[b]):
            n_kept = 0
            for c in range(n_people):
                value = person[at_person + c * diseases[b] + j]
                if value != 0.0:
                    kept[n_kept], values[n_kept] = c, value
                    n_kept += 1
            for i in range(n_findings):
                kept[n_kept], values[n_kept] = n_people + i, contribution[at + i]
                n_kept += 1
            for place in np.argsort(-values[:n_kept], kind="mergesort"):  # stable
                column = kept[place]
                told_column[n] = first_column + column
                told_value[n] = values[place]
                told_matched[n] = matched[at + column - n_people] if column >= n_people else -1
                n += 1
            told_counts[row] = n_kept
            row += 1
            at += n_findings
        at_person += n_people * diseases[b]
        first_column += n_people + n_findings
    return n
