"""Two baselines of `ranking`, both without anything of ours: one row per OMIM or Orphanet id, no merging, no tuning.

*naive*: the rules LIRICAL publishes for observed terms (Robinson et al. 2020). The frequency of the term,
or of its most frequent descendant, over its mean frequency among all diseases; a child of an annotated term shares that
term's frequency with its siblings; else the closest common ancestor counts, at least 1/100.
*exact*: the same without partial matches: a term the disease has not, nor a descendant of it, counts 1/100.
Rows without a frequency count as always present, as LIRICAL does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.likelihoods import Pooled, Profiles, annotation_background, propagate, propagated
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import SOURCES, Knowledge

FloatArray = NDArray[np.float64]
FALSE_POSITIVE = 0.01
RAREST = 1e-4
CERTAIN = 0.9999


@dataclass(frozen=True)
class Baseline:
    """Annotation rows of each source as rows of their own: row 2 · disease + source."""

    knowledge: Knowledge
    share: FloatArray
    row: NDArray[np.int64]
    """Baseline row of every annotation row; -1 where the annotation is ours (names)."""
    profiles: Profiles
    annotated: NDArray[np.bool_]
    background: FloatArray
    children: NDArray[np.int64]
    parent_start: NDArray[np.int64]
    parent: NDArray[np.int32]

    @classmethod
    def build(cls, knowledge: Knowledge, parents: list[list[int]]) -> Baseline:
        """`parents` holds the term indices of each term's parents."""
        source = np.asarray(knowledge.row_source).astype(np.int64)
        given = source < SOURCES.index("name")
        row = np.where(given, np.asarray(knowledge.row_disease).astype(np.int64) * 2 + source, -1)
        share = np.where(np.isnan(knowledge.row_share), 1.0, knowledge.row_share)
        n_terms = len(knowledge.terms)
        pairs, inverse = np.unique(row[given] * n_terms + np.asarray(knowledge.row_term)[given], return_inverse=True)
        mean = np.bincount(inverse, share[given]) / np.bincount(inverse)
        kept = mean > 0
        pooled = Pooled(
            (pairs[kept] // n_terms).astype(np.int32),
            (pairs[kept] % n_terms).astype(np.int32),
            np.minimum(mean[kept], CERTAIN),
        )
        profiles = propagate(knowledge, pooled, RankingParameters(or_weight=0.0))
        annotated = np.zeros(2 * len(knowledge.diseases), np.bool_)
        annotated[pooled.disease] = True
        flat = [(term, parent) for term, each in enumerate(parents) for parent in each]
        counts = np.bincount([term for term, _ in flat], minlength=n_terms)
        return cls(
            knowledge, share, row, profiles, annotated,
            np.maximum(annotation_background(profiles, int(annotated.sum())), RAREST),
            np.maximum(np.bincount([parent for _, parent in flat], minlength=n_terms), 1),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.array([parent for _, parent in flat], np.int32),
        )  # fmt: skip

    def without(
        self, diseases: list[int], dropped: NDArray[np.int64]
    ) -> dict[int, tuple[FloatArray, NDArray[np.bool_]]]:
        """Dense profiles (P per term, own) of the rows of some diseases, with annotation rows left out."""
        knowledge, found = self.knowledge, {}
        gone = set(dropped.tolist())
        for disease in diseases:
            low, high = np.searchsorted(knowledge.row_disease, [disease, disease + 1])
            for row in (2 * disease, 2 * disease + 1):
                left = np.array([r for r in range(low, high) if self.row[r] == row and r not in gone], np.int64)
                dense, own = np.zeros(len(knowledge.terms)), np.zeros(len(knowledge.terms), np.bool_)
                if len(left):
                    terms, inverse = np.unique(np.asarray(knowledge.row_term)[left], return_inverse=True)
                    mean = np.minimum(np.bincount(inverse, self.share[left]) / np.bincount(inverse), CERTAIN)
                    kept = mean > 0
                    _, term, probability, flags = propagated(
                        np.full(int(kept.sum()), row, np.int32), terms[kept].astype(np.int32), mean[kept],
                        knowledge.ancestor_start, knowledge.ancestor, len(knowledge.terms), 0.0,
                    )  # fmt: skip
                    dense[term], own[term] = probability, flags
                found[row] = (dense, own)
        return found

    def scores(
        self, terms: NDArray[np.int32], changed: dict[int, tuple[FloatArray, NDArray[np.bool_]]], *, partial: bool
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """(log ratio, rankable) per baseline row; `partial` gives *naive*, without it *exact*."""
        n, n_terms = 2 * len(self.knowledge.diseases), len(self.knowledge.terms)
        rows = np.array(sorted(changed), np.int64)
        dense = np.zeros((len(rows), n_terms))
        own = np.zeros((len(rows), n_terms), np.bool_)
        rankable = self.annotated.copy()
        for place, row in enumerate(rows.tolist()):
            dense[place], own[place] = changed[row]
            rankable[row] = bool((dense[place] > 0).any())
        total = np.zeros(n)
        _scores(
            terms, partial, self.knowledge.ancestor_start, self.knowledge.ancestor, self.knowledge.phenotypic,
            *self.profiles, self.background, self.children, self.parent_start, self.parent, rows, dense, own, total,
        )  # fmt: skip
        return total, rankable


@numba.njit(cache=True)
def _scores(  # type: ignore[no-untyped-def]
    terms, partial, ancestor_start, ancestor, phenotypic, start, disease, probability, own_flag, background,
    children, parent_start, parent, rows, dense, dense_own, total,
):  # fmt: skip
    n = len(total)
    changed = np.zeros(n, np.bool_)
    for row in rows:
        changed[row] = True
    ratio = np.empty(n)
    level = np.empty(n, np.int64)  # entries of the ancestor that matched: fewer is closer; -1 matched itself
    for term in terms:
        ratio[:] = FALSE_POSITIVE
        level[:] = 1 << 60
        for step in range(3 if partial else 1):
            if step == 0:
                first, last = 0, 1
            elif step == 1:
                first, last = parent_start[term], parent_start[term + 1]
            else:
                first, last = ancestor_start[term], ancestor_start[term + 1]
            for k in range(first, last):
                up = term if step == 0 else (parent[k] if step == 1 else ancestor[k])
                if (step == 2 and up == term) or not phenotypic[up] or (step > 0 and background[up] > 0.9):
                    continue
                rarity = -2 if step == 0 else (-1 if step == 1 else start[up + 1] - start[up])
                for e in range(start[up], start[up + 1]):
                    d = disease[e]
                    if changed[d] or rarity >= level[d] or (step == 1 and not own_flag[e]):
                        continue
                    level[d] = rarity
                    ratio[d] = _rule(step, probability[e], background[term], background[up], children[up])
                for place in range(len(rows)):
                    p, d = dense[place, up], rows[place]
                    if p == 0.0 or rarity >= level[d] or (step == 1 and not dense_own[place, up]):
                        continue
                    level[d] = rarity
                    ratio[d] = _rule(step, p, background[term], background[up], children[up])
        for d in range(n):
            total[d] += np.log(ratio[d])


@numba.njit(cache=True)
def _rule(step, probability, common, common_up, children):  # type: ignore[no-untyped-def]
    if step == 0:
        return max(FALSE_POSITIVE, probability / common)
    if step == 1:
        return max(probability / children, 0.002 * common) / common
    return max(FALSE_POSITIVE, probability / common_up)
