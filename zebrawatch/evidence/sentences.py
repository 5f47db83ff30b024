"""Sentences of a note: by full stops, empty lines, bullets, and line ends that are no mere wrapping.

A line end is wrapping where the line was long, or where the next line goes on in lower case; lists and headed lines
(`Chest: clear`) are sentences of their own.
"""

from __future__ import annotations

import numpy as np

from zebrawatch.evidence.compiled import compiled, inlined
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    ALL_DIGITS,
    BLANK,
    BULLET,
    CAPITAL,
    CLOSE,
    COLON,
    EMPTY_BOX,
    NEWLINE,
    QUESTION,
    SPACE,
    STOP,
    Hashes,
    Ints,
    Tokens,
    word_hashes,
)

_WRAPPED_AT = 55
"""Lines at least this long are taken as wrapped where nothing else ends them."""
_LOOK_AHEAD = 5
LONGEST_SENTENCE = 400
"""Words; what goes on longer is no sentence, and is cut, so that reading stays linear in a text without any stop."""
_MAY_BREAK = BLANK | BULLET | EMPTY_BOX | STOP | QUESTION | NEWLINE

# Words whose full stop ends no sentence.
_SHORTENED = [
    "dr",
    "mr",
    "mrs",
    "ms",
    "miss",
    "prof",
    "st",
    "vs",
    "approx",
    "eg",
    "ie",
    "cf",
    "ca",
    "fig",
    "figs",
    "pt",
    "pts",
    "hx",
    "rx",
    "dx",
    "tx",
    "sx",
    "yr",
    "yrs",
    "mo",
    "mos",
    "wk",
    "wks",
    "max",
    "min",
    "temp",
    "resp",
    "inc",
    "dept",
    "ext",
    "ref",
    "refs",
    "al",
    "etc",
    "lab",
    "labs",
    "est",
    "wt",
    "ht",
    "hr",
    "hrs",
    "jr",
    "sr",
    "rev",
]
SHORTENED = np.sort(word_hashes(_SHORTENED))


@compiled
def split_sentences(
    gap: Ints, shape: Ints, line: Ints, start: Ints, end: Ints, hashes: Hashes, shortened: Hashes
) -> Ints:
    """Number of the sentence each word stands in, from 0."""
    n = gap.size
    sentence = np.empty(n, np.int32)
    number = 0
    began = 0
    for i in range(n):
        ended = i - began >= LONGEST_SENTENCE
        if i and not ended and gap[i] & _MAY_BREAK:
            ended = _breaks(i, gap, shape, line, start, end, hashes, shortened)
        if ended:
            number += 1
            began = i
        sentence[i] = number
    return sentence


@inlined
def _breaks(
    i: int, gap: Ints, shape: Ints, line: Ints, start: Ints, end: Ints, hashes: Hashes, shortened: Hashes
) -> bool:
    before = gap[i]
    if before & (BLANK | BULLET | EMPTY_BOX):
        return bool(before & (NEWLINE | BLANK | EMPTY_BOX))
    if before & (STOP | QUESTION) and before & (SPACE | NEWLINE | CLOSE):
        if before & NEWLINE or before & QUESTION:
            return True
        size = end[i - 1] - start[i - 1]
        if size == 1 and shape[i - 1] & (ALL_CAPITALS | ALL_DIGITS) == 0:
            return False
        place = np.searchsorted(shortened, hashes[i - 1])
        return bool(not (place < shortened.size and shortened[place] == hashes[i - 1]))
    if not before & NEWLINE:
        return False
    if before & COLON:
        return False
    if shape[i] & ALL_DIGITS and i + 1 < gap.size and gap[i + 1] & (STOP | CLOSE):
        return True
    for ahead in range(i + 1, min(i + 1 + _LOOK_AHEAD, gap.size)):
        if gap[ahead] & NEWLINE:
            break
        if gap[ahead] & COLON:
            return True
    if shape[i] & (CAPITAL | ALL_CAPITALS) == 0:
        return False
    return bool(line[i] < _WRAPPED_AT)


@compiled
def bounds_of(numbers: Ints, sentence: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """First and last character of the sentences with these numbers: from its first word to the end of its last."""
    first, last = np.empty(numbers.size, np.int32), np.empty(numbers.size, np.int32)
    for k in range(numbers.size):
        first[k] = start[np.searchsorted(sentence, numbers[k])]
        last[k] = end[np.searchsorted(sentence, numbers[k], side="right") - 1]
    return first, last


def sentences(tokens: Tokens) -> Ints:
    """Number of the sentence each word stands in, from 0."""
    return split_sentences(tokens.gap, tokens.shape, tokens.line, tokens.start, tokens.end, tokens.hash, SHORTENED)
