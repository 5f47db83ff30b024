"""Disease names as a model writes them, resolved to ids: exactly, by a synonym, or by likeness with a stated margin.

Likeness is Dice's coefficient over the character trigrams of two normalised names. A name counts as like another only
at LEAST or more, at least MARGIN ahead of every other disease, and only where numbers, type letters and Roman numerals
are the same: `type 1` is not `type 2`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from zebrawatch.knowledge.diseases import Knowledge

LEAST = 0.80
MARGIN = 0.05

_WORD = re.compile(r"[a-z0-9]+")
_TYPE = re.compile(r"\b(?:\d+[a-z]?|[a-z]|[ivx]+[ab])\b")
_NOISE = frozenset(["the", "of", "and", "with", "due", "to", "a", "an", "syndrome", "disease", "disorder"])
_ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_ROMAN = {roman: str(number) for number, roman in enumerate(_ROMANS, start=1)}


@dataclass(frozen=True)
class DiseaseName:
    """A name of a disease, as the knowledge gives it: `kind` is `label` or `synonym`."""

    disease_id: str
    text: str
    kind: str = "label"


def disease_names(knowledge: Knowledge) -> list[DiseaseName]:
    """Every name of the knowledge, under its disease's first id."""
    return [
        DiseaseName(disease.id, text, kind)
        for disease in knowledge.diseases
        for text, kind in [(disease.name, "label"), *((name.text, name.kind) for name in disease.names)]
    ]


@dataclass(frozen=True)
class Resolution:
    """What a name resolved to. `how`: exact, synonym, fuzzy, unresolved (then no id). `score` is the likeness."""

    disease_id: str | None
    name: str | None
    how: str
    score: float


class Resolver:
    """Resolves names to disease ids; built once from all names of the knowledge (a second or two for 60,000)."""

    def __init__(self, names: Iterable[DiseaseName]) -> None:
        self._names = sorted(set(names), key=lambda n: (n.kind != "label", n.disease_id, n.text))
        self._exact: dict[str, list[DiseaseName]] = {}
        for name in self._names:
            self._exact.setdefault(normalised(name.text), []).append(name)
        self._texts = [normalised(name.text) for name in self._names]
        self._types = [_types(text) for text in self._texts]
        self._column: dict[str, int] = {}
        self._matrix = self._grams(self._texts, grow=True)
        self._sizes = np.asarray(self._matrix.sum(axis=1)).ravel()
        self._resolve = lru_cache(maxsize=100_000)(self._look_up)

    def resolve(self, name: str) -> Resolution:
        """The disease a name stands for. Ids that a model wrote beside a name are not trusted; the name is."""
        return self._resolve(normalised(name))

    def _look_up(self, text: str) -> Resolution:
        for found in self._exact.get(text, ())[:1]:
            if len({name.disease_id for name in self._exact[text] if name.kind == found.kind}) > 1:
                return Resolution(None, None, "unresolved", 1.0)  # one name of several diseases
            return Resolution(found.disease_id, found.text, "exact" if found.kind == "label" else "synonym", 1.0)
        return self._alike(text)

    def _alike(self, text: str) -> Resolution:
        asked = self._grams([text], grow=False)
        size = len(_trigrams(text))
        if not size or not self._names:
            return Resolution(None, None, "unresolved", 0.0)
        score = 2 * np.asarray((self._matrix @ asked.T).todense()).ravel() / (self._sizes + size)
        best: dict[str, tuple[float, str]] = {}
        for index in np.argsort(-score, kind="stable")[:50]:
            name = self._names[index]
            if self._types[index] == _types(text):
                best.setdefault(name.disease_id, (float(score[index]), name.text))
        ranked = sorted(best.items(), key=lambda item: -item[1][0])
        if not ranked or ranked[0][1][0] < LEAST:
            return Resolution(None, None, "unresolved", ranked[0][1][0] if ranked else 0.0)
        if len(ranked) > 1 and ranked[0][1][0] - ranked[1][1][0] < MARGIN:
            return Resolution(None, None, "unresolved", ranked[0][1][0])
        disease_id, (top, found_text) = ranked[0]
        return Resolution(disease_id, found_text, "fuzzy", top)

    def _grams(self, texts: list[str], *, grow: bool) -> sparse.csr_matrix:
        rows, columns = [], []
        for row, text in enumerate(texts):
            for gram in _trigrams(text):
                column = self._column.setdefault(gram, len(self._column)) if grow else self._column.get(gram)
                if column is not None:
                    rows.append(row)
                    columns.append(column)
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, columns)), shape=(len(texts), max(1, len(self._column))))


def normalised(name: str) -> str:
    """A name in lower case without accents, punctuation, possessives and bracketed ids; Roman numerals as numbers."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"\((?:omim|orpha|mondo|orphanet)[^)]*\)|\b(?:omim|orpha|mondo)[:\s]*\d+\b|#\d{6}", " ", plain)
    words = _WORD.findall(re.sub(r"['’]s?\b", "", plain))
    return " ".join(_ROMAN.get(word, word) for word in words)


def _types(text: str) -> frozenset[str]:
    return frozenset(found.group(0) for found in _TYPE.finditer(text))


def _trigrams(text: str) -> set[str]:
    words = [word for word in text.split() if word not in _NOISE] or text.split()
    padded = f"  {' '.join(words)}  "
    return {padded[n : n + 3] for n in range(len(padded) - 2)}
