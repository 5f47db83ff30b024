"""Relatives of a disease: others whose names, genes, series and parents resemble its own.

A disease known from one paper is seldom alone: `Spastic paraplegia 92` has ninety relatives. Likeness is the cosine of
TF-IDF vectors over words and pairs of words of all names, causal genes, numbered series and Orphanet parents. Findings
never enter, so that leaving out a disease's annotations changes none of its relatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zebrawatch.knowledge.name_phenotypes import words

if TYPE_CHECKING:
    from zebrawatch.knowledge.diseases import Disease

MOST = 20
"""Relatives kept for a disease."""
LEAST_LIKENESS = 0.1
_PLAIN_WORDS = (
    "with and of the or without type due to in by an syndrome disease disorder form related associated "
    "susceptibility familial congenital autosomal recessive dominant linked deficiency iii vii viii xii xiii"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())
"""Words in so many names that they say little: they count a third."""


def _features(disease: Disease) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in disease.names:
        kept = [word for word in words(name.text) if len(word) > 2 and not word.isdigit()]
        for word in kept:
            found[word] = 0.3 if word in _PLAIN else 1.0
        for first, second in pairwise(kept):
            found[f"{first} {second}"] = 0.5
    found.update({f"gene {gene}": 2.0 for gene in disease.genes})
    if disease.series:
        found[f"series {disease.series}"] = 1.0
    found.update({f"parent {parent}": 1.0 for parent in (*disease.parents, disease.id)})
    return found


def _vectors(diseases: Sequence[Disease]) -> Any:
    """Rows of unit length, diseases by features that at least two diseases have."""
    vocabulary: dict[str, int] = {}
    rows, columns, values = [], [], []
    for number, disease in enumerate(diseases):
        for feature, value in _features(disease).items():
            rows.append(number)
            columns.append(vocabulary.setdefault(feature, len(vocabulary)))
            values.append(value)
    shape = (len(diseases), len(vocabulary))
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=shape)
    carriers = np.bincount(matrix.indices, minlength=shape[1])
    shared = carriers > 1
    weighted = matrix[:, shared] @ sparse.diags(np.log(len(diseases) / carriers[shared]))
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.maximum(length, 1e-9)) @ weighted)


def relatives(diseases: Sequence[Disease]) -> dict[str, Any]:
    """The `MOST` nearest annotated diseases of each disease, as CSR arrays.

    `relative_start` (diseases + 1), `relative` (disease indices), `relative_weight` (squared likeness, adding up to 1
    for a disease), `likeness` (of the nearest one; 0 where there is none).
    """
    vectors = _vectors(diseases)
    annotated = np.array([disease.annotated for disease in diseases], np.bool_)
    likeness = np.zeros(len(diseases))
    start = np.zeros(len(diseases) + 1, np.int64)
    found: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float64]] = []
    block = 1000  # rows of the likeness matrix held at a time
    for first in range(0, len(diseases), block):
        product = sparse.csr_matrix(vectors[first : first + block] @ vectors.T)
        product.sort_indices()
        for row in range(product.shape[0]):
            near = product.indices[product.indptr[row] : product.indptr[row + 1]]
            value = np.round(product.data[product.indptr[row] : product.indptr[row + 1]], 9)
            usable = annotated[near] & (near != first + row) & (value > LEAST_LIKENESS)
            near, value = near[usable], value[usable]
            chosen = np.lexsort((near, -value))[:MOST]
            squared = value[chosen] ** 2
            if len(chosen):
                likeness[first + row] = value[chosen[0]]
                weights.append(squared / squared.sum())
                found.append(near[chosen].astype(np.int32))
            start[first + row + 1] = start[first + row] + len(chosen)
    return {
        "relative_start": start,
        "relative": np.concatenate(found) if found else np.zeros(0, np.int32),
        "relative_weight": np.concatenate(weights) if weights else np.zeros(0),
        "likeness": likeness,
    }
