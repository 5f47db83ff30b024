"""Sections of a note: the heading a word stands under, and what that says about findings.

A heading is a known phrase at the start of a line or sentence that a colon ends, or that is alone on its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import borrowing, compiled, inlined
from zebrawatch.evidence.tables import rows
from zebrawatch.evidence.tokens import (
    BLANK,
    COLON,
    DASH,
    NEWLINE,
    Hashes,
    Ints,
    Tokens,
    look_up,
    open_table,
    split_words,
    word_hashes,
)

_MEANINGS = {"none": 0, "hypothetical": 4, "historical": 8, "family": 16}  # as in zebrawatch.evidence.assertion
HEADING = 1 << 12
"""The bit of a word of a heading, beside those of a meaning: headings say where findings stand, and trigger nothing."""
_LONGEST_HEADING = 6
_NOTHING = word_hashes(["nil", "none", "unremarkable", "noncontributory", "nad", "nothing"])
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Sections:
    """Known headings as an open table of ordered word hashes."""

    keys: Hashes
    values: Ints

    def of(self, tokens: Tokens, sentence: Ints) -> Ints:
        """What each word's section says, as bits of a meaning."""
        return mark_sections(tokens.hash, tokens.gap, sentence, self.keys, self.values) & ~HEADING


@inlined
def _chained(before: np.uint64, value: np.uint64) -> np.uint64:
    mixed = (before ^ value) * _MIX
    return mixed ^ (mixed >> np.uint64(29))


@borrowing
def _heading_at(i: int, hashes: Hashes, gap: Ints, keys: Hashes, values: Ints) -> tuple[int, int]:
    """(words, meaning) of the heading that begins at a word; no words where there is none."""
    n = hashes.size
    chain = np.uint64(1)
    for size in range(1, _LONGEST_HEADING + 1):
        at = i + size
        if at > n:
            break
        chain = _chained(chain, hashes[at - 1])
        closed = at == n or gap[at] & (COLON | NEWLINE | BLANK) != 0 or (gap[at] & DASH != 0 and gap[i] & NEWLINE != 0)
        if closed:
            alone = at == n or gap[at] & COLON == 0
            if alone and gap[i] & NEWLINE == 0:
                return 0, 0
            found = look_up(chain, keys, values)
            return (size, found) if found >= 0 else (0, 0)
    return 0, 0


@borrowing
def _nothing_under(heading: int, after: int, hashes: Hashes, sentence: Ints) -> int:
    """The sentence of a heading that is answered with nothing; -1 where something may follow. Alone on its line a
    heading is a sentence of its own, and the next line answers."""
    if after < hashes.size and sentence[after] - sentence[heading] <= 1:
        for word in _NOTHING:
            if hashes[after] == word:
                return int(sentence[after])
    return -1


@compiled
def mark_sections(hashes: Hashes, gap: Ints, sentence: Ints, keys: Hashes, values: Ints) -> Ints:
    """Meaning of the section each word stands in; heading words themselves are marked and say nothing."""
    n = hashes.size
    meaning = np.zeros(n, np.int32)
    current = 0
    heading_until = -1
    answered = -1  # the sentence that says there is nothing under its heading: "FH: nil of note."
    for i in range(n):
        fresh = i == 0 or sentence[i] != sentence[i - 1] or gap[i] & NEWLINE != 0
        if answered >= 0 and sentence[i] != answered:
            current, answered = 0, -1
        if fresh and i > heading_until:
            size, found = _heading_at(i, hashes, gap, keys, values)
            if size:
                current = found
                heading_until = i + size - 1
                answered = _nothing_under(i, i + size, hashes, sentence)
        meaning[i] = HEADING if i <= heading_until else current
    return meaning


@cache
def section_kinds() -> Sections:
    """The known headings."""
    keys: list[int] = []
    values: list[int] = []
    for row in rows("sections.tsv"):
        for heading in row["headings"].split("|"):
            chain = np.uint64(1)
            for value in word_hashes(split_words(heading)):
                chain = np.uint64(_chained(chain, np.uint64(value)))
            keys.append(int(chain))
            values.append(_MEANINGS[row["meaning"]])
    return Sections(*open_table(np.array(keys, np.uint64), np.array(values, np.int32)))


def sections(tokens: Tokens, sentence: Ints) -> npt.NDArray[np.int32]:
    """Meaning of the section of each word."""
    return section_kinds().of(tokens, sentence)
