"""Likelihood ratios of every HPO term for every disease, compiled from annotation rows.

P(term | disease) comes from the pooled rows with shrinkage and goes up to the ancestors; the ratio for a term that a
disease lacks comes from the most telling ancestor they share. docs/ranking.md has the formulas. The compiled arrays are
CSR over terms: entries of term t stand at `start[t]:start[t + 1]`, in ascending order of disease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import SOURCES, Knowledge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]


@dataclass(frozen=True)
class Profiles:
    """P(term or a descendant | disease), CSR over terms."""

    start: LongArray
    disease: IntArray
    probability: FloatArray
    own: NDArray[np.bool_]
    """Whether the disease is annotated with this very term, not only with descendants."""


@dataclass(frozen=True)
class Ratios:
    """Likelihood ratios of one present term, in ascending order of disease; a disease not listed matches nowhere."""

    disease: IntArray
    matched: IntArray
    """Term index of the match: the term itself, or the ancestor through which it matches."""
    ratio: FloatArray


def pool_rows(
    knowledge: Knowledge, parameters: RankingParameters, keep: NDArray[np.bool_] | None = None
) -> tuple[IntArray, IntArray, FloatArray]:
    """One frequency for each pair of disease and term: (disease, term, probability), sorted by disease, then term.

    Rows that count people give hits and sizes; a class or percentage counts as `class_size` people; a row without a
    frequency as `bare_size` people at `bare_share`; a finding in the disease's name as `name_size` at `name_share`.
    The sum is shrunk toward `prior_share` with the weight of `prior_size` people (a Beta prior's mean and size).
    `keep` leaves out rows (bool, one a row).
    """
    share = np.asarray(knowledge.row_share)
    size = np.asarray(knowledge.row_size).copy()
    bare = np.isnan(share)
    named = np.asarray(knowledge.row_source) == SOURCES.index("name")
    share = np.where(named, parameters.name_share, np.where(bare, parameters.bare_share, share))
    weight = np.where(size > 0, np.minimum(size, parameters.largest_count), parameters.class_size)
    weight = np.where(bare, parameters.bare_size, weight)
    weight = np.where(named, parameters.name_size, weight)
    used = weight > 0 if keep is None else keep & (weight > 0)
    n_terms = len(knowledge.terms)
    key = np.asarray(knowledge.row_disease)[used].astype(np.int64) * n_terms + np.asarray(knowledge.row_term)[used]
    pairs, inverse = np.unique(key, return_inverse=True)
    hits = np.bincount(inverse, (share * weight)[used], minlength=len(pairs))
    seen = np.bincount(inverse, weight[used], minlength=len(pairs))
    probability = (hits + parameters.prior_share * parameters.prior_size) / (seen + parameters.prior_size)
    present = hits > 0
    pairs, probability = pairs[present], np.minimum(probability[present], parameters.largest_share)
    return (pairs // n_terms).astype(np.int32), (pairs % n_terms).astype(np.int32), probability


def propagate(
    knowledge: Knowledge, pooled: tuple[IntArray, IntArray, FloatArray], parameters: RankingParameters
) -> Profiles:
    """P(term or a descendant | disease) from the pooled frequencies.

    The most frequent annotation below a term counts whole; the others add as if independent, with weight
    `or_weight` in the exponent, since descendants of one term tend to come together.
    """
    disease, term, probability = pooled
    out_disease, out_term, out_probability, out_own = _propagate(
        disease,
        term,
        probability,
        knowledge.ancestor_start,
        knowledge.ancestor,
        len(knowledge.terms),
        parameters.or_weight,
    )
    order = np.lexsort((out_disease, out_term))
    start = np.zeros(len(knowledge.terms) + 1, np.int64)
    np.cumsum(np.bincount(out_term, minlength=len(knowledge.terms)), out=start[1:])
    return Profiles(start, out_disease[order], out_probability[order], out_own[order])


@numba.njit(cache=True)
def _propagate(disease, term, probability, ancestor_start, ancestor, n_terms, or_weight):  # type: ignore[no-untyped-def]
    total = 0
    for i in range(len(term)):
        total += ancestor_start[term[i] + 1] - ancestor_start[term[i]]
    out_disease = np.empty(total, np.int32)
    out_term = np.empty(total, np.int32)
    out_probability = np.empty(total, np.float64)
    out_own = np.zeros(total, np.bool_)
    largest = np.zeros(n_terms)
    silent = np.ones(n_terms)
    own = np.zeros(n_terms, np.bool_)
    touched = np.empty(n_terms, np.int32)
    n_out = 0
    i = 0
    while i < len(term):
        current = disease[i]
        n_touched = 0
        while i < len(term) and disease[i] == current:
            own[term[i]] = True
            for k in range(ancestor_start[term[i]], ancestor_start[term[i] + 1]):
                up = ancestor[k]
                if largest[up] == 0.0:
                    touched[n_touched] = up
                    n_touched += 1
                largest[up] = max(largest[up], probability[i])
                silent[up] *= 1.0 - probability[i]
            i += 1
        for k in range(n_touched):
            up = touched[k]
            others = silent[up] / (1.0 - largest[up])
            out_disease[n_out] = current
            out_term[n_out] = up
            out_probability[n_out] = 1.0 - (1.0 - largest[up]) * others**or_weight
            out_own[n_out] = own[up]
            n_out += 1
            largest[up] = 0.0
            silent[up] = 1.0
            own[up] = False
    return out_disease[:n_out], out_term[:n_out], out_probability[:n_out], out_own[:n_out]


def annotation_background(profiles: Profiles, n_diseases: int) -> FloatArray:
    """P(term) if every annotated disease were as likely as any other: the default where a hospital knows little."""
    total = np.zeros(len(profiles.start) - 1)
    np.add.at(total, np.repeat(np.arange(len(total)), np.diff(profiles.start)), profiles.probability)
    return np.asarray((total + 0.5) / (n_diseases + 1.0))


def likelihood_ratios(
    knowledge: Knowledge, profiles: Profiles, background: FloatArray, parameters: RankingParameters, term: int
) -> Ratios:
    """Ratios of one term: P(term | disease) / P(term | background), or the best over shared ancestors, discounted.

    An ancestor the disease is itself annotated with keeps `ancestor_weight` of its ratio (the annotation may simply be
    less exact), one shared with a sibling keeps `sibling_weight`. Ancestors more common than `commonest_ancestor` do
    not count. A background changes every month and a hospital uses a tenth of the terms: so one term at a time.
    """
    return Ratios(
        *_ratios(
            term,
            knowledge.ancestors(term),
            profiles.start,
            profiles.disease,
            profiles.probability,
            profiles.own,
            background,
            len(knowledge.diseases),
            parameters.ancestor_weight,
            parameters.sibling_weight,
            parameters.commonest_ancestor,
        )
    )


@numba.njit(cache=True)
def _ratios(  # type: ignore[no-untyped-def]
    term, ancestors, start, disease, probability, own, background, n_diseases, ancestor_weight, sibling_weight, commonest,
):  # fmt: skip
    best = np.zeros(n_diseases)
    where = np.zeros(n_diseases, np.int32)
    for up in ancestors:
        if up != term and background[up] > commonest:
            continue
        for e in range(start[up], start[up + 1]):
            ratio = probability[e] / background[up]
            if up != term:
                ratio *= ancestor_weight if own[e] else sibling_weight
            if ratio <= 1.0 and up != term:
                continue
            d = disease[e]
            if ratio > best[d] or (ratio == best[d] and up < where[d]):
                best[d] = ratio
                where[d] = up
    matched = np.flatnonzero(best).astype(np.int32)
    return matched, where[matched], best[matched]


def entry(array_start: LongArray, array_disease: IntArray, term: int, disease: int) -> int | None:
    """Place of one (term, disease) pair in a CSR, or None."""
    low, high = int(array_start[term]), int(array_start[term + 1])
    place = low + int(np.searchsorted(array_disease[low:high], disease))
    return place if place < high and array_disease[place] == disease else None
