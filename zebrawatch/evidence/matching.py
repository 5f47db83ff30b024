"""Finding entries of the lexicon among the words of a text, in any word order, in time linear in the text.

Every window of at most `WIDEST` words that stays inside a sentence is a candidate; its key is the sum of its words'
hashes, made one addition at a time. A window ends at the first word the lexicon does not know, so most are short.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import borrowing, compiled, inlined
from zebrawatch.evidence.lexicon import (
    ADJECTIVE,
    CAPITALS,
    CLASS,
    CONTENT,
    FACTS,
    FAMILY_SHIFT,
    FILLER,
    GROUP,
    JOINT,
    KIN,
    LINK,
    LONGEST_BITS,
    LONGEST_SHIFT,
    MARKS,
    MODIFIER,
    ROLE_BITS,
    SIEVE_BITS,
    SIZE,
    STEM,
    TOGETHER_BITS,
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
_TOGETHER = np.uint64((1 << TOGETHER_BITS) - 1)
_EIGHTH, _SEVEN = np.uint64(3), np.uint64(7)
_MOST_FILLERS = 4
WALL = STOP | COLON | SEMICOLON | QUESTION | EMPTY_BOX | EQUALS | DASH | PLUS | DOUBT | MINUS
_SOFT = COMMA | OPEN | CLOSE

Bytes = npt.NDArray[np.uint8]


@inlined
def sifted(key: np.uint64, sieve: Bytes, keys: Hashes, values: Ints) -> int:
    """Entry of a key; the sieve first. -1 where there is none."""
    place = key & _SIEVE
    if not (sieve[place >> np.uint64(3)] >> (place & np.uint64(7))) & 1:
        return -1
    return look_up(key, keys, values)


@inlined
def _fits(mark: int, soft: bool, joint: bool, spelled: bool) -> bool:
    """Whether the marks of an entry allow commas, conjunctions and small letters as they stand in a window."""
    if soft and not mark & WITH_COMMA:
        return False
    if joint and not mark & WITH_JOINT:
        return False
    return spelled or mark & CAPITALS == 0


@compiled
def read_words(word: Ints, rows: Hashes) -> Hashes:
    """Hashes and facts of a text's words, a row for each column of `Index.words`; zeros for unknown words."""
    n = word.size
    out = np.zeros((4, n), np.uint64)
    for k in range(n):
        at = word[k]
        if at >= 0:
            for column in range(4):
                out[column, k] = rows[at, column]
    return out


@compiled
def find_hits(words: Words, read: Hashes, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """All windows that hold an entry, by their first word: first word, last word, entry and level (0 by stem, 1 by
    class)."""
    hits = np.empty((4, WIDEST + words.gap.size), np.int32)
    at, found = _hits_from(0, 0, hits, words, read, index)
    while at < words.gap.size:
        hits = doubled(hits)
        at, found = _hits_from(at, found, hits, words, read, index)
    return hits[0, :found], hits[1, :found], hits[2, :found], hits[3, :found]


@compiled
def doubled(rows: Ints) -> Ints:
    """The same rows with twice the room."""
    out = np.empty((rows.shape[0], rows.shape[1] * 2), np.int32)
    out[:, : rows.shape[1]] = rows
    return out


@borrowing
def _hits_from(begin: int, found: int, hits: Ints, words: Words, read: Hashes, index: Index) -> tuple[int, int]:
    """Add the hits of the windows that start at `begin` or later. The first word not read (for want of room) and the
    number of hits.

    It never makes room itself: an array that a loop may replace is counted, by atomic steps, on every turn of the loop;
    this took three quarters of the search.
    """
    gap, shape, sentence = words.gap, words.shape, words.sentence
    stem, kind_of, group, facts = read[STEM], read[CLASS], read[GROUP], read[FACTS]
    together, sieve, keys, values, listed = index.together, index.sieve, index.keys, index.values, index.entries
    n = gap.size
    zero = np.uint64(0)
    for i in range(begin, n):
        if found + WIDEST > hits.shape[1]:
            return i, found
        begun = np.int64(facts[i])
        opens = begun & ROLE_BITS
        limit = (begun >> LONGEST_SHIFT) & LONGEST_BITS
        if limit == 0 or opens in (0, FILLER, JOINT, LINK):
            continue
        stems = classes = plain_stems = plain_classes = zero
        count = plain_count = fillers = loose = 0
        soft = joint = linked = False
        j = i
        while j < n and j < i + WIDEST:
            if j > i:
                if sentence[j] != sentence[i] or gap[j] & WALL:
                    break
                soft = soft or gap[j] & _SOFT != 0
                joint = joint or gap[j] & SLASH != 0
            here = np.int64(facts[j])
            kind = here & ROLE_BITS
            if kind == 0:
                break
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
            reach = (here >> LONGEST_SHIFT) & LONGEST_BITS
            if reach == 0 and kind != MODIFIER:
                break
            if j > i and kind == CONTENT and opens == CONTENT:
                place = (group[i] + group[j]) & _TOGETHER
                if not (together[place >> _EIGHTH] >> (place & _SEVEN)) & 1:
                    break  # no entry holds both, so no longer window does
            stems += stem[j]
            classes += kind_of[j]
            if kind != MODIFIER or j == i:
                plain_count += 1
                plain_stems += stem[j]
                plain_classes += kind_of[j]
                limit = min(limit, reach)
            if kind_of[j] != zero:
                loose += 1
            if plain_count > limit:
                break
            spelled = shape[j] & (ALL_CAPITALS | INNER_CAPITAL) != 0
            depth = 0
            entry = -1
            place = stems & _SIEVE
            if (sieve[place >> _EIGHTH] >> (place & _SEVEN)) & 1:
                entry = look_up(stems, keys, values)
                if entry >= 0 and (
                    listed[entry, SIZE] != count or not _fits(listed[entry, MARKS], soft, joint, spelled)
                ):
                    entry = -1
            plain = plain_count < count and kind != MODIFIER
            if entry < 0 and plain:
                entry = sifted(plain_stems, sieve, keys, values)
                if entry >= 0 and (
                    listed[entry, SIZE] != plain_count or not _fits(listed[entry, MARKS], soft, joint, spelled)
                ):
                    entry = -1
            if entry < 0 and classes != zero and not joint and not linked:
                depth = 1
                place = classes & _SIEVE
                if (sieve[place >> _EIGHTH] >> (place & _SEVEN)) & 1:
                    entry = look_up(classes, keys, values)
                    if entry >= 0 and not _same_kind(
                        listed[entry, MARKS], listed[entry, KIN], int(here >> FAMILY_SHIFT), loose, soft
                    ):
                        entry = -1
                if entry < 0 and plain:
                    entry = sifted(plain_classes, sieve, keys, values)
                    if entry >= 0 and not _same_kind(
                        listed[entry, MARKS], listed[entry, KIN], int(here >> FAMILY_SHIFT), 2, soft
                    ):
                        entry = -1
            if entry >= 0 and depth == 1 and j > i and here & ADJECTIVE and _goes_on(j, facts, gap, sentence):
                entry = -1
            if entry >= 0:
                hits[0, found], hits[1, found], hits[2, found], hits[3, found] = i, j, entry, depth
                found += 1
            j += 1
    return n, found


@inlined
def _goes_on(j: int, facts: Hashes, gap: Ints, sentence: Ints) -> bool:
    """Whether a content word follows at once."""
    if j + 1 >= gap.size or sentence[j + 1] != sentence[j] or gap[j + 1] & ~(SPACE | HYPHEN):
        return False
    return bool(np.int64(facts[j + 1]) & ROLE_BITS == CONTENT)


@inlined
def _same_kind(mark: int, kin: int, family: int, loose: int, soft: bool) -> bool:
    """A single word stands for another only within its family; more words may vary by class."""
    if soft and not mark & WITH_COMMA:
        return False
    if kin >= 0:
        return loose == 1 and kin == family
    return loose > 1


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
        if stop == begin + 1:
            keep[begin] = True
        else:
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
