"""The arithmetic of a ranking: sums over matches, the first diseases, what each finding gives them. Compiled.

Numbers and arrays only; ranking.py says what they mean, docs/ranking.md has the formulas.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.compiled import borrowing, compiled, inlined

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PRESENT, IMPLIED, DENIED = 1, 2, 4


@borrowing
def keep_independent(
    terms: IntArray, n_present: int, ancestor_start: IntArray, ancestor: IntArray, marks: NDArray[np.uint8],
    keep: BoolArray,
) -> None:  # fmt: skip
    """Which terms count by themselves; the first `n_present` are present, the others denied.

    A present finding implies its ancestors; a denied one that a present finding contradicts is dropped, and so is one
    whose ancestor is denied too. `marks`, a byte for every term of the ontology, are 0 before and after.
    """
    for i in range(n_present):
        marks[terms[i]] |= PRESENT
        for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
            if ancestor[k] != terms[i]:
                marks[ancestor[k]] |= IMPLIED
    for i in range(n_present, len(terms)):
        if not marks[terms[i]] & (PRESENT | IMPLIED):
            marks[terms[i]] |= DENIED
    for i in range(len(terms)):
        if i < n_present:
            keep[i] = not marks[terms[i]] & IMPLIED
            continue
        keep[i] = marks[terms[i]] & DENIED
        for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
            if ancestor[k] != terms[i] and marks[ancestor[k]] & DENIED:
                keep[i] = False
    for i in range(len(terms)):
        marks[terms[i]] = 0
        for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
            marks[ancestor[k]] = 0


@borrowing
def add_up(
    terms: IntArray, present: BoolArray, level: LongArray, counted: BoolArray,
    sex: FloatArray, onset_low: FloatArray, latest_onset: float, early: float, n: int,
    start: LongArray, disease: IntArray, matched: IntArray, gains: FloatArray, apart: FloatArray, floors: FloatArray,
    most: FloatArray, belief: float, background: FloatArray,
    p_start: LongArray, p_disease: IntArray, probability: FloatArray,
    temperature: float, log_prior: FloatArray, total: FloatArray, weight: FloatArray, earned: FloatArray,
) -> None:  # fmt: skip
    """Fill `total` (natural log ratios) and `weight` (tempered, with the prior).

    `sex` has a log ratio for every rare disease, or none; those that begin later than `latest_onset` get `early`.
    `earned` gets what the best ranked rare disease and the best common condition earn above the floor, and what all
    findings could earn together.
    """
    total[:] = 0.0
    could = 0.0
    for i in range(len(terms)):
        term, row = terms[i], level[i]
        if not present[i]:
            for e in range(p_start[term], p_start[term + 1]):
                total[p_disease[e]] += _denial(probability[e], background[term], belief)
            continue
        could += most[row, term]
        if len(counted) == 0:
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += gains[row, e]
        elif counted[term]:  # then for all it could match through, too
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += apart[row, e]
        else:
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += apart[row, e] if counted[matched[e]] else gains[row, e]
    if len(sex):
        for d in range(n):
            total[d] += sex[d] + (early if onset_low[d] > latest_onset else 0.0)
    elif latest_onset < np.inf:
        for d in range(n):
            total[d] += early if onset_low[d] > latest_onset else 0.0
    rare = common = 0.0
    for d in range(n):
        if total[d] > rare and log_prior[d] > -np.inf:
            rare = total[d]
    for d in range(n, len(total)):
        common = max(common, total[d])
    earned[0], earned[1], earned[2] = rare, common, could
    for row in range(len(floors)):
        count = 0.0
        for i in range(len(terms)):
            count += 1.0 if present[i] and level[i] == row else 0.0
        if count > 0.0:
            for d in range(len(total)):
                total[d] += count * floors[row, d]
    for d in range(len(total)):
        weight[d] = temperature * total[d] + log_prior[d]


@borrowing
def largest(values: FloatArray, chosen: LongArray, kept: FloatArray) -> None:
    """Fill `chosen` with the places of the largest values, largest first, ties by place; `kept` with the values."""
    n = len(chosen)
    chosen[:] = 0
    kept[:] = -np.inf
    for i in range(len(values)):
        if n and values[i] > kept[n - 1]:
            place = n - 1
            while place > 0 and values[i] > kept[place - 1]:
                kept[place] = kept[place - 1]
                chosen[place] = chosen[place - 1]
                place -= 1
            kept[place] = values[i]
            chosen[place] = i


@borrowing
def contribute(
    terms: IntArray, present: BoolArray, level: LongArray, counted: BoolArray, diseases: LongArray,
    start: LongArray, disease: IntArray, matched: IntArray, gains: FloatArray, apart: FloatArray, floors: FloatArray,
    belief: float, background: FloatArray, p_start: LongArray, p_disease: IntArray, probability: FloatArray,
    out: FloatArray, out_matched: IntArray,
) -> None:  # fmt: skip
    """What every finding gives each of the diseases, and the term it matches (-1 where it matches none).

    `out` and `out_matched` are (diseases, findings).
    """
    for i in range(len(terms)):
        for j in range(len(diseases)):
            d = diseases[j]
            out_matched[j, i] = -1
            if present[i]:
                out[j, i] = floors[level[i], d]
                e = _place(start, disease, terms[i], d)
                if e >= 0:
                    left_out = len(counted) > 0 and counted[matched[e]]
                    out[j, i] += apart[level[i], e] if left_out else gains[level[i], e]
                    out_matched[j, i] = matched[e]
            else:
                out[j, i] = 0.0
                e = _place(p_start, p_disease, terms[i], d)
                if e >= 0:
                    out[j, i] = _denial(probability[e], background[terms[i]], belief)
                    out_matched[j, i] = terms[i]


@inlined
def _denial(probability: float, common: float, belief: float) -> float:
    return min(0.0, np.log((1.0 - belief * probability) / (1.0 - belief * common)))  # type: ignore[no-any-return]


@inlined
def _place(start: LongArray, disease: IntArray, term: int, wanted: int) -> int:
    low = start[term]
    left = start[term + 1] - low
    while left > 0:  # without a branch that depends on what is read: such a branch is guessed wrong every other time
        half = left // 2
        below = disease[low + half] < wanted
        low = low + half + 1 if below else low
        left = left - half - 1 if below else half
    return low if low < start[term + 1] and disease[low] == wanted else -1


class Expected(NamedTuple):
    """The terms frequent in each disease, most frequent first, and what a test for each would tell; CSR over diseases.

    Natural logarithms. Where a test tells nothing (the term is as common in the background), its worth is 0.
    """

    start: LongArray
    term: IntArray
    if_present: FloatArray
    """What the term's presence would add to the log ratio."""
    if_absent: FloatArray
    """What its absence would take, were the test certain."""
    worth: FloatArray
    """How much the log ratio moves on average if the disease is the right one: each weighted by its probability."""


@compiled
def weigh_tests(
    disease: IntArray, term: IntArray, share: FloatArray, background: FloatArray,
    noise: float, gain: float, smoothing: float, crowding: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """`if_present`, `if_absent` and `worth` of Expected, of pairs of disease and term with their P(term | disease)."""
    if_present, if_absent, worth = np.zeros(len(term)), np.zeros(len(term)), np.zeros(len(term))
    for i in range(len(term)):
        p, common = share[i], background[term[i]]
        if common < p:
            strength = gain * p / common + smoothing
            if_present[i] = np.log(noise + (1.0 - noise) * strength / crowding[disease[i]])
            if_absent[i] = np.log((1.0 - p) / (1.0 - common))
            worth[i] = p * if_present[i] - (1.0 - p) * if_absent[i]
    return if_present, if_absent, worth


@borrowing
def miss(
    terms: IntArray, present: BoolArray, diseases: LongArray, ancestor_start: IntArray, ancestor: IntArray,
    start: LongArray, frequent: IntArray, if_present: FloatArray, if_absent: FloatArray, worth: FloatArray,
    marks: NDArray[np.uint8], expected: IntArray, test: IntArray, test_present: FloatArray, test_absent: FloatArray,
) -> None:  # fmt: skip
    """Frequent terms of each disease that are neither found nor implied, and the most telling test among them.

    That is the term of the greatest worth; of equal ones the first in the ontology's order. A term that is denied, or
    whose ancestor is, is expected but needs no test. `expected` is (diseases, how many are shown), -1 fills it; so does
    a `test` of -1. `marks` are 0 before and after.
    """
    any_denied = False
    for i in range(len(terms)):
        if present[i]:
            for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
                marks[ancestor[k]] |= IMPLIED
        else:
            marks[terms[i]] |= DENIED
            any_denied = True
    for j in range(len(diseases)):
        shown, best, most = 0, -1, 0.0
        expected[j, :] = -1
        for e in range(start[diseases[j]], start[diseases[j] + 1]):
            term = frequent[e]
            if marks[term] & IMPLIED:
                continue
            if shown < expected.shape[1]:
                expected[j, shown] = term
                shown += 1
            if worth[e] > most or (worth[e] == most and most > 0.0 and term < frequent[best]):
                if any_denied and _denied_above(term, ancestor_start, ancestor, marks):
                    continue
                most, best = worth[e], e
        test[j] = frequent[best] if best >= 0 else -1
        test_present[j] = if_present[best] if best >= 0 else 0.0
        test_absent[j] = if_absent[best] if best >= 0 else 0.0
    for i in range(len(terms)):
        marks[terms[i]] = 0
        for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
            marks[ancestor[k]] = 0


@inlined
def _denied_above(term: int, ancestor_start: IntArray, ancestor: IntArray, marks: NDArray[np.uint8]) -> bool:
    found = False
    for k in range(ancestor_start[term], ancestor_start[term + 1]):
        found = found or marks[ancestor[k]] & DENIED != 0
    return found


@compiled
def most_of(start: LongArray, gain: FloatArray) -> FloatArray:
    """Largest gain among the entries of each term; 0 where it has none."""
    most = np.zeros(len(start) - 1)
    for term in range(len(most)):
        for e in range(start[term], start[term + 1]):
            most[term] = max(most[term], gain[e])
    return most
