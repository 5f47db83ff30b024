"""The first-appearance clock: a sentence copied forward is evidence from the note it first stood in.

A sentence of six words or more, nine tenths of whose tokens are the same, with the same assertion, that stood in an
earlier note of the same patient is a copy; a changed number is a new observation (DESIGN, "Time"). Sentence-level reuse
is the commonest form of redundancy in notes (Wrenn et al., JAMIA 2010;17:49-53; Steinkamp et al., JAMA Netw Open 2022).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

LEAST_WORDS = 6
LEAST_SHARE = 0.9
_TOKEN = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class Sentence:
    """A finding's sentence: which finding in which assertion (`group`), in which source, in what order."""

    group: Hashable
    source_id: str
    text: str


def first_appearances(sentences: Iterable[Sentence]) -> list[int | None]:
    """For each sentence, in order of time, the index of the earlier one it copies; None where it is new.

    A copy of a copy points to the first of them.
    """
    seen: dict[Hashable, list[tuple[int, str, Counter[str], tuple[str, ...]]]] = {}
    found: list[int | None] = []
    for index, sentence in enumerate(sentences):
        tokens = Counter(_TOKEN.findall(sentence.text.casefold()))
        numbers = tuple(_NUMBER.findall(sentence.text))
        origin = None
        if tokens.total() >= LEAST_WORDS:
            originals = seen.setdefault(sentence.group, [])
            origin = next(
                (
                    earlier
                    for earlier, source, known, values in originals
                    if source != sentence.source_id and values == numbers and same_share(known, tokens) >= LEAST_SHARE
                ),
                None,
            )
            if origin is None:
                originals.append((index, sentence.source_id, tokens, numbers))
        found.append(origin)
    return found


def same_share(one: Counter[str], other: Counter[str]) -> float:
    """Share of tokens two sentences have in common, of the longer one (0 to 1)."""
    longer = max(one.total(), other.total())
    return (one & other).total() / longer if longer else 1.0
