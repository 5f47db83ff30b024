"""Finding entries of the lexicon among the words of a text, in any word order, in time linear in the text.

Every window of at most `WIDEST` words that stays inside a sentence is a candidate; its key is the sum of its words'
hashes, made one addition at a time. A window ends at the first word the lexicon does not know, so most are short.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.lexicon import CAPITALS, FILLER, JOINT, LINK, MODIFIER, SIEVE_BITS, WITH_COMMA, WITH_JOINT, Index
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    CLOSE,
    COLON,
    COMMA,
    DASH,
    DOUBT,
    EMPTY_BOX,
    EQUALS,
    HYPHEN,
    INNER_CAPITAL,
    MINUS,
    OPEN,
    PLUS,
    QUESTION,
    SEMICOLON,
    SLASH,
    SPACE,
    STOP,
    Hashes,
    Ints,
    Words,
    look_up,
)

WIDEST = 16
_SIEVE = np.uint64((1 << SIEVE_BITS) - 1)
_MOST_FILLERS = 4
WALL = STOP | COLON | SEMICOLON | QUESTION | EMPTY_BOX | EQUALS | DASH | PLUS | DOUBT | MINUS
_SOFT = COMMA | OPEN | CLOSE

Bytes = npt.NDArray[np.uint8]


@compiled
def sifted(key: np.uint64, sieve: Bytes, keys: Hashes, values: Ints) -> int:
    """Value of a key; the sieve first."""
    place = key & _SIEVE
    if not (sieve[place >> np.uint64(3)] >> (place & np.uint64(7))) & 1:
        return -1
    return look_up(key, keys, values)


@compiled
def _matches(entry: int, count: int, soft: bool, joint: bool, spelled: bool, index: Index) -> bool:
    if entry < 0 or index.entry_size[entry] != count:
        return False
    mark = index.entry_marks[entry]
    if soft and not mark & WITH_COMMA:
        return False
    if joint and not mark & WITH_JOINT:
        return False
    return spelled or not mark & CAPITALS


@compiled
def find_hits(
    words: Words, index: Index
) -> tuple[Ints, Ints, Ints, Ints]:
    """All windows that hold an entry; one hit a window, the closest reading first."""
    n = words.word.size
    room = 64 + n
    first, last = np.empty(room, np.int32), np.empty(room, np.int32)
    entries, level = np.empty(room, np.int32), np.empty(room, np.int32)
    found = 0
    zero = np.uint64(0)
    for i in range(n):
        at = words.word[i]
        if at < 0 or index.role[at] == 0 or index.role[at] == FILLER or index.role[at] == JOINT or index.role[at] == LINK or index.longest[at] == 0:
            continue
        stems = classes = plain_stems = plain_classes = zero
        count = plain_count = fillers = loose = 0
        soft = joint = linked = False
        limit = np.int64(index.longest[at])
        j = i
        while j < n and j < i + WIDEST:
            at = words.word[j]
            if j > i:
                if words.sentence[j] != words.sentence[i] or words.gap[j] & WALL:
                    break
                soft = soft or words.gap[j] & _SOFT != 0
                joint = joint or words.gap[j] & SLASH != 0
            if at < 0 or index.role[at] == 0:
                break
            kind = index.role[at]
            if kind == JOINT:
                joint = True
                j += 1
                continue
            if kind == FILLER or kind == LINK:
                linked = linked or kind == LINK
                fillers += 1
                if fillers > _MOST_FILLERS:
                    break
                j += 1
                continue
            count += 1
            if index.longest[at] == 0 and kind != MODIFIER:
                break
            stems += index.stem_hash[at]
            classes += index.class_hash[at]
            if kind != MODIFIER or j == i:
                plain_count += 1
                plain_stems += index.stem_hash[at]
                plain_classes += index.class_hash[at]
                limit = min(limit, np.int64(index.longest[at]))
            if index.class_hash[at] != zero:
                loose += 1
            if plain_count > limit:
                break
            spelled = words.shape[j] & (ALL_CAPITALS | INNER_CAPITAL) != 0
            entry = sifted(stems, index.sieve, index.stem_keys, index.stem_values)
            depth = 0
            if not _matches(entry, count, soft, joint, spelled, index):
                entry = -1
                if plain_count < count and kind != MODIFIER:
                    entry = sifted(plain_stems, index.sieve, index.stem_keys, index.stem_values)
                    if not _matches(entry, plain_count, soft, joint, spelled, index):
                        entry = -1
                if entry < 0 and classes != zero and not joint and not linked:
                    depth = 1
                    entry = sifted(classes, index.sieve, index.class_keys, index.class_values)
                    if entry >= 0 and not _same_kind(entry, at, loose, soft, index):
                        entry = -1
                    if entry < 0 and plain_count < count and kind != MODIFIER:
                        entry = sifted(plain_classes, index.sieve, index.class_keys, index.class_values)
                        if entry >= 0 and not _same_kind(entry, at, 2, soft, index):
                            entry = -1
            if entry >= 0 and depth == 1 and j > i and index.adjective[at] and _goes_on(j, words, index):
                entry = -1
            if entry >= 0:
                if found == first.size:
                    first, last = _doubled(first), _doubled(last)
                    entries, level = _doubled(entries), _doubled(level)
                first[found], last[found], entries[found], level[found] = i, j, entry, depth
                found += 1
            j += 1
    return first[:found], last[:found], entries[:found], level[:found]


@compiled
def _goes_on(j: int, words: Words, index: Index) -> bool:
    """Whether a content word, known or not, follows at once."""
    if j + 1 >= words.word.size or words.sentence[j + 1] != words.sentence[j] or words.gap[j + 1] & ~(SPACE | HYPHEN):
        return False
    after = words.word[j + 1]
    return after >= 0 and (index.role[after] == 1 or index.role[after] > LINK)


@compiled
def _same_kind(
    entry: int, word: int, loose: int, soft: bool, index: Index
) -> bool:
    """A single word stands for another only within its family; more words may vary by class."""
    mark = index.entry_marks[entry]
    if soft and not mark & WITH_COMMA:
        return False
    if index.entry_family[entry] >= 0:
        return loose == 1 and index.entry_family[entry] == index.family[word]
    return loose > 1


@compiled
def _doubled(array: Ints) -> Ints:
    out = np.empty(array.size * 2, np.int32)
    out[: array.size] = array
    return out


@compiled
def keep_longest(first: Ints, last: Ints, level: Ints, start: Ints, end: Ints) -> npt.NDArray[np.bool_]:
    """Which hits stay when no two may overlap: the longest (in characters), then the closest reading, then the earliest."""
    n = first.size
    keep = np.zeros(n, np.bool_)
    begin = 0
    while begin < n:
        stop = begin + 1
        reach = last[begin]
        while stop < n and first[stop] <= reach:
            reach = max(reach, last[stop])
            stop += 1
        _keep_in_cluster(begin, stop, first, last, level, start, end, keep)
        begin = stop
    return keep


@compiled
def _keep_in_cluster(
    begin: int, stop: int, first: Ints, last: Ints, level: Ints, start: Ints, end: Ints, keep: npt.NDArray[np.bool_]
) -> None:
    open_ones = np.ones(stop - begin, np.bool_)
    while True:
        best = -1
        best_size = -1
        for k in range(begin, stop):
            if open_ones[k - begin]:
                size = (end[last[k]] - start[first[k]]) * 4 - level[k]
                if size > best_size:
                    best, best_size = k, size
        if best < 0:
            return
        keep[best] = True
        for k in range(begin, stop):
            if first[k] <= last[best] and last[k] >= first[best]:
                open_ones[k - begin] = False
