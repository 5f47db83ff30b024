"""Findings that a disease carries in its own name: `Microcephaly, seizures, and developmental delay`.

Where a disease is annotated from a single paper, or not at all, its name is often the best account of it there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology

_WORD = re.compile(r"[a-z0-9]+")
_LONGEST = 8  # words of a label that are looked for
_DENIAL = {"without", "absent", "non", "no", "not", "or", "susceptibility", "resistance", "protection", "against"}


def _stem(word: str) -> str:
    """Plural and British spelling taken off, the same for names and labels."""
    word = word.replace("ae", "e").replace("oe", "e")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "is", "us")) else word


def words(text: str) -> tuple[str, ...]:
    """Words of a name or label, in lower case, without plural and British spelling."""
    return tuple(_stem(word) for word in _WORD.findall(text.lower()))


@dataclass(frozen=True)
class NamePhenotypes:
    """HPO labels and exact synonyms by their words."""

    by_words: dict[tuple[str, ...], str]

    @classmethod
    def build(cls, ontology: Ontology) -> NamePhenotypes:
        """Labels win over synonyms; abbreviations and single letters are left out."""
        found: dict[tuple[str, ...], str] = {}
        for label in (True, False):
            for term in sorted(ontology.terms.values(), key=lambda term: term.id):
                if PHENOTYPIC_ABNORMALITY not in ontology.ancestors(term.id) or term.id == PHENOTYPIC_ABNORMALITY:
                    continue
                texts = (
                    [term.name]
                    if label
                    else [
                        synonym.text
                        for synonym in term.synonyms
                        if synonym.scope == "EXACT" and synonym.kind not in ("abbreviation", "obsolete_synonym")
                    ]
                )
                for text in texts:
                    key = words(text)
                    if key and len(key) <= _LONGEST and len("".join(key)) > 4:
                        found.setdefault(key, term.id)
        return cls(found)

    def find(self, names: Iterable[str]) -> list[str]:
        """HPO ids named in any of the names, longest wording first, in order of id; denied ones are left out."""
        found: set[str] = set()
        for name in names:
            text = words(name)
            at = 0
            while at < len(text):
                for length in range(min(_LONGEST, len(text) - at), 0, -1):
                    term = self.by_words.get(text[at : at + length])
                    if term is not None:
                        if at == 0 or text[at - 1] not in _DENIAL:
                            found.add(term)
                        at += length
                        break
                else:
                    at += 1
        return sorted(found)
