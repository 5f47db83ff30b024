"""Finding entries of the lexicon among the words of a text, in any word order, in time linear in the text.

Every window of at most `WIDEST` words that stays inside a sentence is a candidate; its key is the sum of its words'
hashes, made one addition at a time. A window ends at the first word the lexicon does not know, so most are short.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import compiled, inlined
from zebrawatch.evidence.lexicon import (
    CAPITALS,
    CONTENT,
    FILLER,
    JOINT,
    LINK,
    MODIFIER,
    SIEVE_BITS,
    WITH_COMMA,
    WITH_JOINT,
    Index,
)
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


@inlined
def sifted(key: np.uint64, sieve: Bytes, keys: Hashes, values: Ints) -> int:
    """Value of a key; the sieve first."""
    place = key & _SIEVE
    if not (sieve[place >> np.uint64(3)] >> (place & np.uint64(7))) & 1:
        return -1
    return look_up(key, keys, values)


@inlined
def _matches(entry: int, count: int, soft: bool, joint: bool, spelled: bool, sizes: Ints, marks: Ints) -> bool:
    if entry < 0 or sizes[entry] != count:
        return False
    mark = marks[entry]
    if soft and not mark & WITH_COMMA:
        return False
    if joint and not mark & WITH_JOINT:
        return False
    return spelled or not mark & CAPITALS


@compiled
def find_hits(words: Words, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """All windows that hold an entry; one hit a window, the closest reading first."""
    word, gap, shape, sentence = words.word, words.gap, words.shape, words.sentence
    role, stem_hash, class_hash, family = index.role, index.stem_hash, index.class_hash, index.family
    adjective, longest, sieve = index.adjective, index.longest, index.sieve
    stem_keys, stem_values, class_keys, class_values = (
        index.stem_keys,
        index.stem_values,
        index.class_keys,
        index.class_values,
    )
    sizes, marks, families = index.entry_size, index.entry_marks, index.entry_family
    n = word.size
    room = 64 + n
    first, last = np.empty(room, np.int32), np.empty(room, np.int32)
    entries, level = np.empty(room, np.int32), np.empty(room, np.int32)
    found = 0
    zero = np.uint64(0)
    for i in range(n):
        at = word[i]
        if at < 0 or role[at] == 0 or role[at] == FILLER or role[at] == JOINT or role[at] == LINK or longest[at] == 0:
            continue
        stems = classes = plain_stems = plain_classes = zero
        count = plain_count = fillers = loose = 0
        soft = joint = linked = False
        limit = np.int64(longest[at])
        j = i
        while j < n and j < i + WIDEST:
            at = word[j]
            if j > i:
                if sentence[j] != sentence[i] or gap[j] & WALL:
                    break
                soft = soft or gap[j] & _SOFT != 0
                joint = joint or gap[j] & SLASH != 0
            if at < 0 or role[at] == 0:
                break
            kind = role[at]
            if kind == JOINT:
                joint = True
                j += 1
                continue
            if kind in (FILLER, LINK):
                linked = linked or kind == LINK
                fillers += 1
                if fillers > _MOST_FILLERS:
                    break
                j += 1
                continue
            count += 1
            if longest[at] == 0 and kind != MODIFIER:
                break
            stems += stem_hash[at]
            classes += class_hash[at]
            if kind != MODIFIER or j == i:
                plain_count += 1
                plain_stems += stem_hash[at]
                plain_classes += class_hash[at]
                limit = min(limit, np.int64(longest[at]))
            if class_hash[at] != zero:
                loose += 1
            if plain_count > limit:
                break
            spelled = shape[j] & (ALL_CAPITALS | INNER_CAPITAL) != 0
            entry = sifted(stems, sieve, stem_keys, stem_values)
            depth = 0
            if not _matches(entry, count, soft, joint, spelled, sizes, marks):
                entry = -1
                if plain_count < count and kind != MODIFIER:
                    entry = sifted(plain_stems, sieve, stem_keys, stem_values)
                    if not _matches(entry, plain_count, soft, joint, spelled, sizes, marks):
                        entry = -1
                if entry < 0 and classes != zero and not joint and not linked:
                    depth = 1
                    entry = sifted(classes, sieve, class_keys, class_values)
                    if entry >= 0 and not _same_kind(entry, at, loose, soft, family, marks, families):
                        entry = -1
                    if entry < 0 and plain_count < count and kind != MODIFIER:
                        entry = sifted(plain_classes, sieve, class_keys, class_values)
                        if entry >= 0 and not _same_kind(entry, at, 2, soft, family, marks, families):
                            entry = -1
            if entry >= 0 and depth == 1 and j > i and adjective[at] and _goes_on(j, word, gap, sentence, role):
                entry = -1
            if entry >= 0:
                if found == first.size:
                    first, last = _doubled(first), _doubled(last)
                    entries, level = _doubled(entries), _doubled(level)
                first[found], last[found], entries[found], level[found] = i, j, entry, depth
                found += 1
            j += 1
    return first[:found], last[:found], entries[:found], level[:found]


@inlined
def _goes_on(j: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes) -> bool:
    """Whether a content word, known or not, follows at once."""
    if j + 1 >= word.size or sentence[j + 1] != sentence[j] or gap[j + 1] & ~(SPACE | HYPHEN):
        return False
    after = word[j + 1]
    return bool(after >= 0 and (role[after] == CONTENT or role[after] > LINK))


@inlined
def _same_kind(entry: int, word: int, loose: int, soft: bool, family: Ints, marks: Ints, families: Ints) -> bool:
    """A single word stands for another only within its family; more words may vary by class."""
    mark = marks[entry]
    if soft and not mark & WITH_COMMA:
        return False
    if families[entry] >= 0:
        return loose == 1 and families[entry] == family[word]
    return loose > 1


@compiled
def _doubled(array: Ints) -> Ints:
    out = np.empty(array.size * 2, np.int32)
    out[: array.size] = array
    return out


@compiled
def keep_longest(first: Ints, last: Ints, level: Ints, start: Ints, end: Ints) -> npt.NDArray[np.bool_]:
    """Which hits stay when no two may overlap: the longest (in characters), then the closest reading, then the
    earliest."""
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
