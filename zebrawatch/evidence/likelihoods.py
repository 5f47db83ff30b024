"""Likelihood ratios of every HPO term for every disease, compiled from annotation rows.

P(term | disease) comes from the pooled rows with shrinkage, goes up to the ancestors, and is filled up from relatives;
a term that the disease lacks is matched by the most telling ancestor they share. docs/ranking.md has the
formulas. The compiled arrays are CSR over terms: entries of term t stand at `start[t]:start[t + 1]`, in ascending
order of disease.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import SOURCES, Knowledge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Pooled(NamedTuple):
    """One frequency for each annotated pair, sorted by disease, then term."""

    disease: IntArray
    term: IntArray
    probability: FloatArray


class Profiles(NamedTuple):
    """P(term or a descendant | disease), CSR over terms."""

    start: LongArray
    disease: IntArray
    probability: FloatArray
    own: BoolArray
    """Whether the disease is annotated with this very term, not only with descendants or through relatives."""


class Matches(NamedTuple):
    """How much likelier a present term is in a disease than in the background, CSR over terms.

    A pair that is not listed matches nowhere. Not yet a likelihood ratio: RankingParameters' floor comes on top.
    """

    start: LongArray
    disease: IntArray
    matched: IntArray
    """Term index of the match: the term itself, or the ancestor through which it matches."""
    strength: FloatArray
    """P(matched | disease) / P(matched), times the weight of a partial match."""


def row_weights(knowledge: Knowledge, parameters: RankingParameters) -> tuple[FloatArray, FloatArray]:
    """(share, people) of every annotation row.

    Rows that count people keep their count; a class or percentage stands for `class_size` people; a row without a
    frequency for `bare_size` people at `bare_share`; a finding in the disease's name for `name_size` at `name_share`.
    """
    share = np.asarray(knowledge.row_share)
    size = np.asarray(knowledge.row_size)
    bare = np.isnan(share)
    named = np.asarray(knowledge.row_source) == SOURCES.index("name")
    people = np.where(size > 0, np.minimum(size, parameters.largest_count), parameters.class_size)
    people = np.where(named, parameters.name_size, np.where(bare, parameters.bare_size, people))
    return np.where(named, parameters.name_share, np.where(bare, parameters.bare_share, share)), people


def pool_rows(
    knowledge: Knowledge, parameters: RankingParameters, rows: LongArray | None = None, keep: FloatArray | None = None
) -> Pooled:
    """One frequency for each pair of disease and term: shares weighted by people, shrunk toward `prior_share`.

    The prior has the weight of `prior_size` people (mean and size of a Beta). `rows` restricts to some rows; `keep`
    gives how much of each of them is left (0 to 1). Pairs whose every row denies the finding are left out.
    """
    share, people = row_weights(knowledge, parameters)
    disease, term = np.asarray(knowledge.row_disease), np.asarray(knowledge.row_term)
    if rows is not None:
        share, people, disease, term = share[rows], people[rows], disease[rows], term[rows]
    if keep is not None:
        people = people * keep
    used = people > 0
    n_terms = len(knowledge.terms)
    key = disease[used].astype(np.int64) * n_terms + term[used]
    pairs, inverse = np.unique(key, return_inverse=True)
    hits = np.bincount(inverse, (share * people)[used], minlength=len(pairs))
    seen = np.bincount(inverse, people[used], minlength=len(pairs))
    probability = (hits + parameters.prior_share * parameters.prior_size) / (seen + parameters.prior_size)
    present = hits > 0
    pairs, probability = pairs[present], np.minimum(probability[present], parameters.largest_share)
    return Pooled((pairs // n_terms).astype(np.int32), (pairs % n_terms).astype(np.int32), probability)


def propagate(knowledge: Knowledge, pooled: Pooled, parameters: RankingParameters) -> Profiles:
    """P(term or a descendant | disease) from the pooled frequencies.

    The most frequent annotation below a term counts whole; the others add as if independent, with `or_weight` as
    exponent, since descendants of one term tend to come together.
    """
    disease, term, probability, own = propagated(
        *pooled, knowledge.ancestor_start, knowledge.ancestor, len(knowledge.terms), parameters.or_weight
    )
    order = np.lexsort((disease, term))
    start = np.zeros(len(knowledge.terms) + 1, np.int64)
    np.cumsum(np.bincount(term, minlength=len(knowledge.terms)), out=start[1:])
    return Profiles(start, disease[order], probability[order], own[order])


@numba.njit(cache=True)
def propagated(disease, term, probability, ancestor_start, ancestor, n_terms, or_weight):  # type: ignore[no-untyped-def]
    """(disease, term, probability, own) of every annotated term and ancestor, grouped by disease."""
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


def mass(pooled: Pooled, n_diseases: int) -> FloatArray:
    """Findings a patient with each disease is expected to show: the sum of its pooled frequencies."""
    return np.bincount(pooled.disease, pooled.probability, minlength=n_diseases).astype(np.float64)


def relative_share(knowledge: Knowledge, masses: FloatArray, parameters: RankingParameters) -> FloatArray:
    """How much of its relatives' profile counts for each disease: much where it is hardly annotated itself.

    `relative_weight · n / (n + mass)` with n = `relative_size · likeness of the nearest relative`.
    """
    n = parameters.relative_size * np.asarray(knowledge.likeness)
    return np.asarray(parameters.relative_weight * n / (n + masses + 1e-9))


def papers_behind(
    knowledge: Knowledge, without: frozenset[str] = frozenset(), rows: LongArray | None = None
) -> LongArray:
    """Papers (PMIDs) each disease's annotation rows rest on, but for those in `without`; of `rows` only if given."""
    chosen = slice(None) if rows is None else rows
    n = len(knowledge.references)
    pairs = np.unique(np.asarray(knowledge.row_disease)[chosen].astype(np.int64) * n + knowledge.row_reference[chosen])
    found: set[tuple[int, str]] = {
        (disease, paper)
        for disease, reference in zip((pairs // n).tolist(), (pairs % n).tolist(), strict=True)
        for paper in knowledge.references[reference]
        if paper.startswith("PMID:") and paper not in without
    }
    disease = np.array([each for each, _ in found], np.int64)
    return np.bincount(disease, minlength=len(knowledge.diseases)).astype(np.int64)


def prior_weight(prevalence: FloatArray, papers: LongArray, parameters: RankingParameters) -> FloatArray:
    """Weight of each disease before any finding: `prevalence ** prevalence_weight · (1 + papers) ** papers_weight`.

    Papers stand for published patients, Orphanet's prevalence for all others. Both powers are small and chosen on
    published cases (docs/ranking.md): they are to part diseases that the findings leave alike.
    """
    known = np.where(np.isnan(prevalence), parameters.default_prevalence, prevalence)
    return np.asarray(known**parameters.prevalence_weight * (1.0 + papers) ** parameters.papers_weight)


def relative_matrix(knowledge: Knowledge) -> sparse.csr_matrix:
    """Diseases by diseases: weights of relatives, rows adding up to 1."""
    n = len(knowledge.diseases)
    arrays = (knowledge.relative_weight, knowledge.relative, knowledge.relative_start)
    return sparse.csr_matrix(arrays, shape=(n, n))


def borrow(knowledge: Knowledge, own: Profiles, share: FloatArray, parameters: RankingParameters) -> Profiles:
    """Profiles filled up from relatives: the larger of a disease's own P(term) and its share of their mean.

    What would come to less than `least_borrowed` is left out.
    """
    n, n_terms = len(knowledge.diseases), len(knowledge.terms)
    annotated = sparse.csc_matrix((own.probability, own.disease, own.start), shape=(n, n_terms))
    lent = sparse.csr_matrix(sparse.diags(share) @ (relative_matrix(knowledge) @ annotated.tocsr()))
    lent.data[lent.data < parameters.least_borrowed] = 0.0
    lent.eliminate_zeros()
    both = sparse.csc_matrix(annotated.maximum(lent.tocsc()))
    both.sort_indices()
    start = both.indptr.astype(np.int64)
    disease = both.indices.astype(np.int32)
    flags = _own_flags(start, disease, own.start, own.disease, own.own)
    return Profiles(start, disease, np.asarray(both.data, np.float64), flags)


@numba.njit(cache=True)
def _own_flags(start, disease, own_start, own_disease, own):  # type: ignore[no-untyped-def]
    flags = np.zeros(len(disease), np.bool_)
    for term in range(len(start) - 1):
        k = own_start[term]
        for e in range(start[term], start[term + 1]):
            while k < own_start[term + 1] and own_disease[k] < disease[e]:
                k += 1
            if k < own_start[term + 1] and own_disease[k] == disease[e]:
                flags[e] = own[k]
    return flags


def matches(
    knowledge: Knowledge,
    profiles: Profiles,
    background: FloatArray,
    parameters: RankingParameters,
    n_diseases: int,
    chosen: NDArray[np.bool_],
) -> Matches:
    """Matches of the chosen terms: P(term | disease) / P(term), or the best over shared ancestors, discounted.

    An ancestor the disease is itself annotated with keeps `ancestor_weight` of its strength (the annotation may simply
    be less exact), one shared with a sibling `sibling_weight`. Ancestors more common than `commonest_ancestor` don't
    count, nor partial matches that come to no more than 1.
    """
    return Matches(
        *_matches(
            knowledge.ancestor_start, knowledge.ancestor, chosen,
            profiles.start, profiles.disease, profiles.probability, profiles.own,
            background, n_diseases,
            parameters.ancestor_weight, parameters.sibling_weight, parameters.commonest_ancestor,
        )
    )  # fmt: skip


@numba.njit(cache=True)
def _matches(  # type: ignore[no-untyped-def]
    ancestor_start, ancestor, chosen, start, disease, probability, own, background, n_diseases,
    ancestor_weight, sibling_weight, commonest,
):  # fmt: skip
    n_terms = len(start) - 1
    best = np.zeros(n_diseases)
    where = np.zeros(n_diseases, np.int32)
    out_start = np.zeros(n_terms + 1, np.int64)
    room = 1 << 20
    out_disease = np.empty(room, np.int32)
    out_matched = np.empty(room, np.int32)
    out_strength = np.empty(room, np.float64)
    touched = np.empty(n_diseases, np.int32)
    n_out = 0
    for term in range(n_terms):
        n_touched = 0
        if chosen[term]:
            for k in range(ancestor_start[term], ancestor_start[term + 1]):
                up = ancestor[k]
                if up != term and background[up] > commonest:
                    continue
                for e in range(start[up], start[up + 1]):
                    strength = probability[e] / background[up]
                    if up != term:
                        strength *= ancestor_weight if own[e] else sibling_weight
                        if strength <= 1.0:
                            continue
                    d = disease[e]
                    if best[d] == 0.0:
                        touched[n_touched] = d
                        n_touched += 1
                    if strength > best[d] or (strength == best[d] and up < where[d]):
                        best[d] = strength
                        where[d] = up
            if n_out + n_touched > room:
                room = max(2 * room, n_out + n_touched)
                grown_disease = np.empty(room, np.int32)
                grown_disease[:n_out] = out_disease[:n_out]
                out_disease = grown_disease
                grown_matched = np.empty(room, np.int32)
                grown_matched[:n_out] = out_matched[:n_out]
                out_matched = grown_matched
                grown_strength = np.empty(room, np.float64)
                grown_strength[:n_out] = out_strength[:n_out]
                out_strength = grown_strength
            for d in np.sort(touched[:n_touched]):
                out_disease[n_out] = d
                out_matched[n_out] = where[d]
                out_strength[n_out] = best[d]
                n_out += 1
                best[d] = 0.0
                where[d] = 0
        out_start[term + 1] = n_out
    return out_start, out_disease[:n_out].copy(), out_matched[:n_out].copy(), out_strength[:n_out].copy()


def crowding(masses: FloatArray, parameters: RankingParameters) -> FloatArray:
    """Denominator of every ratio of a disease: `mass ** mass_power + smoothing`.

    A disease with many annotations explains any finding a little; it must not win by that. With power 1 this is the
    Dirichlet-smoothed unigram model (Zhai and Lafferty, ACM TOIS 2004).
    """
    return np.asarray(np.maximum(masses, 0.1) ** parameters.mass_power + parameters.smoothing)
