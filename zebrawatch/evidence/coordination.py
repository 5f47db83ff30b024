"""Findings told together: "cardiac and renal anomalies", "cleft lip and palate", "hypopigmentation of skin or hair".

Two readings. *Shared head*: what stands before the conjunction borrows the words after the last conjunct. *Shared
beginning*: what stands after it borrows the words before the first conjunct. A reading counts only where the conjunct
that borrows is no finding by itself (so "fever and joint pain" gives no "fever pain"), the conjunct beside it makes a
finding in the same way, and what borrows a beginning is not itself the beginning of something ("short stature and ear
anomalies" gives no "short ear"). By a comma alone only a word that describes borrows a head, and only where nothing
stands before it that it may describe: "low-set, posteriorly rotated ears", not "hair sparse, thin eyebrows".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import borrowing, compiled
from zebrawatch.evidence.lexicon import (
    CAPITALS,
    CLASS,
    DESCRIBES,
    FACTS,
    FILLER,
    JOINT,
    KIN,
    LINK,
    MARKS,
    MODIFIER,
    ROLE_BITS,
    SIZE,
    STEM,
    Index,
)
from zebrawatch.evidence.matching import WALL, sifted
from zebrawatch.evidence.tokens import CLOSE, COMMA, HYPHEN, OPEN, SLASH, Hashes, Ints, Words

_LONGEST_CHAIN = 12
_LONGEST_PART = 3
_LONGEST_HEAD = 4

Bytes = npt.NDArray[np.uint8]

_GAP, _SENTENCE, _PART, _CONJUNCTION, _DESCRIBES = 0, 1, 2, 3, 4

_UNKNOWN = 0
_FILLS = 1
_MODIFIES = 2
_COUNTS = 3
_JOINS = 4
_PART_ENDS = WALL | COMMA | SLASH | OPEN | CLOSE


@compiled
def _gather(words: Words, read: Hashes) -> tuple[Ints, Hashes]:
    """What coordination reads of each word: rows, and running sums.

    A row each for the gap before it, its sentence, its part, the conjunction at it (2 and, or, slash; 1 comma), and
    whether it describes (the end of a hyphenated word does).

    The running sums (row 0 stems, 1 classes, 2 words that count, 3 words with a class) make the key of any stretch of
    words one subtraction. Rows of one array, because Numba counts references for every array a call hands on.
    """
    stem, kind_of, facts = read[STEM], read[CLASS], read[FACTS]
    gaps, sentence = words.gap, words.sentence
    n = gaps.size
    state = np.zeros((5, n), np.int32)
    sums = np.zeros((4, n + 1), np.uint64)
    zero, one = np.uint64(0), np.uint64(1)
    stems = classes = counted = classed = zero
    for k in range(n):
        gap = gaps[k]
        state[_GAP, k], state[_SENTENCE, k] = gap, sentence[k]
        if gap & SLASH:
            state[_CONJUNCTION, k] = 2
        elif gap & COMMA:
            state[_CONJUNCTION, k] = 1
        if np.int64(facts[k]) & DESCRIBES or gap == HYPHEN:
            state[_DESCRIBES, k] = 1
        role = np.int64(facts[k]) & ROLE_BITS
        if role == JOINT:
            state[_PART, k] = _JOINS
            state[_CONJUNCTION, k] = 2
        elif role == FILLER:
            state[_PART, k] = _FILLS
        elif role != 0 and role != LINK:
            state[_PART, k] = _MODIFIES if role == MODIFIER else _COUNTS
            stems += stem[k]
            classes += kind_of[k]
            counted += one
            if kind_of[k] != zero:
                classed += one
        sums[0, k + 1], sums[1, k + 1], sums[2, k + 1], sums[3, k + 1] = stems, classes, counted, classed
    return state, sums


@borrowing
def _entry_of(
    a1: int, b1: int, a2: int, b2: int, sums: Hashes, sieve: Bytes, keys: Hashes,
    values: Ints, entries: Ints,
) -> int:  # fmt: skip
    """Entry made of the words a1..b1 and a2..b2 (both ends included; a1 > b1 for none); -1 where there is none."""
    stems = sums[0, b1 + 1] - sums[0, a1] + sums[0, b2 + 1] - sums[0, a2]
    entry = sifted(stems, sieve, keys, values)
    if entry >= 0:
        count = sums[2, b1 + 1] - sums[2, a1] + sums[2, b2 + 1] - sums[2, a2]
        if np.int64(count) == entries[entry, SIZE] and not entries[entry, MARKS] & CAPITALS:
            return entry
    classes = sums[1, b1 + 1] - sums[1, a1] + sums[1, b2 + 1] - sums[1, a2]
    if classes == np.uint64(0):
        return -1
    entry = sifted(classes, sieve, keys, values)
    if entry >= 0:
        loose = sums[3, b1 + 1] - sums[3, a1] + sums[3, b2 + 1] - sums[3, a2]
        if loose > np.uint64(1) and entries[entry, KIN] < 0:
            return entry
    return -1


@compiled
def find_coordinated(words: Words, read: Hashes, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """First word, last word, entry and borrowing word of each coordinated finding."""
    state, sums = _gather(words, read)
    sieve, keys, values, entries = index.sieve, index.keys, index.values, index.entries
    n = state.shape[1]
    found = 0
    out = np.empty((4, 2 * np.count_nonzero(state[_CONJUNCTION])), np.int32)  # two readings of each conjunction
    for k in range(1, n):
        if not state[_CONJUNCTION, k] or state[_SENTENCE, k] != state[_SENTENCE, k - 1] or state[_GAP, k] & WALL:
            continue
        left, right = k - 1, (k + 1 if state[_PART, k] == _JOINS else k)
        if state[_PART, left] == _UNKNOWN or state[_PART, left] == _JOINS:
            continue
        while right < n and state[_PART, right] == _JOINS:
            right += 1
        if right >= n or state[_SENTENCE, right] != state[_SENTENCE, k] or state[_GAP, right] & WALL:
            continue
        if state[_PART, right] == _UNKNOWN:
            continue
        for reading in range(2):
            if reading == 0:
                first, last, entry, core = _shared_head(
                    left, k, right, state, sums, sieve, keys, values, entries,
                )  # fmt: skip
            else:
                first, last, entry, core = _shared_beginning(
                    left, k, right, state, sums, sieve, keys, values, entries,
                )  # fmt: skip
            if entry < 0:
                continue
            out[0, found], out[1, found], out[2, found], out[3, found] = first, last, entry, core
            found += 1
    return out[0, :found], out[1, :found], out[2, :found], out[3, :found]


@borrowing
def _shared_head(
    left: int, k: int, right: int, state: Ints, sums: Hashes, sieve: Bytes, keys: Hashes,
    values: Ints, entries: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cardiac and renal anomalies` read as `cardiac anomalies`, `low-set, rotated ears` as `low-set ears`."""
    n = state.shape[1]
    final = state[_CONJUNCTION, k] == 2
    describes = state[_CONJUNCTION, k] == 1 and state[_DESCRIBES, left] == 1
    length = 0
    at = right
    other = right
    while at < n and at < k + _LONGEST_CHAIN and state[_SENTENCE, at] == state[_SENTENCE, k]:
        if at > right:
            if state[_GAP, at] & (WALL | OPEN | CLOSE):
                break
            if state[_CONJUNCTION, at]:
                final = final or state[_CONJUNCTION, at] == 2
                length = 0
                while at < n and state[_PART, at] == _JOINS:
                    final = True
                    at += 1
                if at >= n or state[_SENTENCE, at] != state[_SENTENCE, k]:
                    break
                other = at
        if state[_PART, at] == _UNKNOWN:
            break
        length += 1
        if length > _LONGEST_PART:
            break
        if final or describes:
            best = _borrow_head(
                left, other, at + 1, k, not final, state, sums, sieve, keys, values, entries,
            )  # fmt: skip
            if best[2] >= 0:
                return best
        at += 1
    return -1, -1, -1, -1


@borrowing
def _borrow_head(
    left: int, other: int, head: int, k: int, at_its_begin: bool, state: Ints, sums: Hashes, sieve: Bytes, keys: Hashes,
    values: Ints, entries: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`at_its_begin`: the words that borrow must be the first of their part."""
    n = state.shape[1]
    best_first = best_last = best_entry = -1
    for last in range(head, min(head + _LONGEST_HEAD, n)):
        if (
            state[_SENTENCE, last] != state[_SENTENCE, k]
            or state[_GAP, last] & _PART_ENDS
            or state[_PART, last] == _UNKNOWN
            or state[_PART, last] == _JOINS
        ):
            break
        if state[_PART, last] == _FILLS:
            continue
        beside = _entry_of(other, last, 1, 0, sums, sieve, keys, values, entries)
        if beside < 0:
            continue
        for size in range(1, _LONGEST_PART + 1):
            first = left - size + 1
            if (
                first < 0
                or state[_SENTENCE, first] != state[_SENTENCE, k]
                or state[_PART, first] == _UNKNOWN
                or state[_PART, first] == _JOINS
            ):
                break
            if size > 1 and state[_GAP, first + 1] & _PART_ENDS:
                break
            if state[_PART, first] == _FILLS or (at_its_begin and _goes_before(first, state)):
                continue
            entry = _entry_of(
                first,
                left,
                head,
                last,
                sums,
                sieve,
                keys,
                values,
                entries,
            )
            if entry < 0:
                continue
            alone = _entry_of(first, left, 1, 0, sums, sieve, keys, values, entries)
            if alone < 0 or state[_PART, head] == _FILLS:
                best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, left


@borrowing
def _goes_before(first: int, state: Ints) -> bool:
    """Whether a word that counts stands before this one in the same part."""
    return (
        first > 0
        and state[_SENTENCE, first - 1] == state[_SENTENCE, first]
        and not state[_GAP, first] & _PART_ENDS
        and state[_PART, first - 1] == _COUNTS
    )


@borrowing
def _shared_beginning(
    left: int, k: int, right: int, state: Ints, sums: Hashes, sieve: Bytes, keys: Hashes,
    values: Ints, entries: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cleft lip and palate` read as `cleft palate`."""
    n = state.shape[1]
    best_first = best_last = best_entry = -1
    if state[_CONJUNCTION, k] == 1 and not _ends_in_joint(right, state):
        return -1, -1, -1, -1
    for last in range(right, min(right + _LONGEST_PART, n)):
        if (
            state[_SENTENCE, last] != state[_SENTENCE, k]
            or state[_PART, last] == _UNKNOWN
            or state[_PART, last] == _JOINS
        ):
            break
        if last > right and state[_GAP, last] & _PART_ENDS:
            break
        if state[_PART, last] == _FILLS:
            continue
        after = last + 1
        if (
            after < n
            and state[_SENTENCE, after] == state[_SENTENCE, k]
            and not state[_GAP, after] & _PART_ENDS
            and state[_PART, after] in (_MODIFIES, _COUNTS)
        ):
            continue
        first, entry = _borrow_beginning(
            left, right, last, k, state, sums, sieve, keys, values, entries,
        )  # fmt: skip
        if entry < 0:
            continue
        alone = _entry_of(right, last, 1, 0, sums, sieve, keys, values, entries)
        if alone < 0:
            best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, right


@borrowing
def _borrow_beginning(
    left: int, right: int, last: int, k: int, state: Ints, sums: Hashes, sieve: Bytes, keys: Hashes,
    values: Ints, entries: Ints,
) -> tuple[int, int]:  # fmt: skip
    at = left
    dropped = left
    length = 0
    while at > 0 and at > k - _LONGEST_CHAIN and state[_SENTENCE, at] == state[_SENTENCE, k]:
        if state[_PART, at] == _JOINS:
            at -= 1
            length = 0
            dropped = at
            continue
        if state[_PART, at] == _UNKNOWN:
            break
        length += state[_PART, at] != _FILLS
        if length > _LONGEST_PART or state[_GAP, at] & (WALL | OPEN | CLOSE):
            break
        if state[_GAP, at] & (COMMA | SLASH):
            length = 0
            dropped = at - 1
            at -= 1
            continue
        # Words before `at` are the beginning that is shared; `at` begins the conjunct that is left out.
        for size in range(1, _LONGEST_PART + 2):
            first = at - size
            if (
                first < 0
                or state[_SENTENCE, first] != state[_SENTENCE, k]
                or state[_PART, first] == _UNKNOWN
                or state[_PART, first] == _JOINS
            ):
                break
            if size > 1 and state[_GAP, first + 1] & _PART_ENDS:
                break
            if state[_PART, first] != _COUNTS:
                continue
            entry = _entry_of(
                first,
                at - 1,
                right,
                last,
                sums,
                sieve,
                keys,
                values,
                entries,
            )
            if entry < 0:
                continue
            beside = _entry_of(
                first,
                dropped,
                1,
                0,
                sums,
                sieve,
                keys,
                values,
                entries,
            )
            if beside >= 0:
                return first, entry
        at -= 1
    return -1, -1


@borrowing
def _ends_in_joint(right: int, state: Ints) -> bool:
    """Whether a list that goes on by commas comes to an `and` or `or`."""
    for at in range(right + 1, min(right + _LONGEST_CHAIN, state.shape[1])):
        if state[_SENTENCE, at] != state[_SENTENCE, right] or state[_GAP, at] & (WALL | OPEN | CLOSE):
            return False
        if state[_CONJUNCTION, at] == 2:
            return True
        if state[_PART, at] == _UNKNOWN:
            return False
    return False
