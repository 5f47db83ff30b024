"""Findings told together: "cardiac and renal anomalies", "cleft lip and palate", "hypopigmentation of skin or hair".

Two readings. *Shared head*: what stands before the conjunction borrows the words after the last conjunct. *Shared
beginning*: what stands after it borrows the words before the first conjunct. Both may be: "short 4th and 5th
metacarpals". A reading counts only where the conjunct
that borrows is no finding by itself (so "fever and joint pain" gives no "fever pain"), the conjunct beside it makes a
finding in the same way, what borrows a beginning is not itself the beginning of something ("short stature and ear
anomalies" gives no "short ear"), and no finding of its own stands between the two. By a comma alone only a word that
describes borrows a head, and only where nothing stands before it that it may describe: "low-set, posteriorly rotated
ears", not "hair sparse, thin eyebrows".
"""

from __future__ import annotations

import numpy as np

from zebrawatch.evidence.compiled import borrowing, compiled, inlined
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
    NOTHING,
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

_UNKNOWN = 0
_FILLS = 1
_MODIFIES = 2
_COUNTS = 3
_JOINS = 4
_PART_ENDS = WALL | COMMA | SLASH | OPEN | CLOSE


@inlined
def _part(at: int, read: Hashes) -> int:
    """What a word does in its part."""
    role = np.int64(read[FACTS, at]) & ROLE_BITS
    if role == JOINT:
        return _JOINS
    if role == FILLER:
        return _FILLS
    if role in (0, LINK):
        return _UNKNOWN
    return _MODIFIES if role == MODIFIER else _COUNTS


@inlined
def _conjunction(at: int, words: Words, read: Hashes) -> int:
    """The conjunction at a word: 2 and, or, slash; 1 comma; 0 none."""
    gap = words.gap[at]
    if gap & SLASH or np.int64(read[FACTS, at]) & ROLE_BITS == JOINT:
        return 2
    return 1 if gap & COMMA else 0


@inlined
def _describes(at: int, words: Words, read: Hashes) -> bool:
    """Whether a word describes; the end of a hyphenated word does."""
    return bool(words.gap[at] == HYPHEN or np.int64(read[FACTS, at]) & DESCRIBES != 0)


@borrowing
def _entry_of(a1: int, b1: int, a2: int, b2: int, read: Hashes, index: Index) -> int:
    """Entry made of the words a1..b1 and a2..b2 (both ends included; a1 > b1 for none); -1 where there is none."""
    stems = classes = np.uint64(0)
    count = loose = 0
    for begin, end in ((a1, b1), (a2, b2)):
        for at in range(begin, end + 1):
            if _part(at, read) in (_MODIFIES, _COUNTS):
                stems += read[STEM, at]
                classes += read[CLASS, at]
                count += 1
                loose += read[CLASS, at] != np.uint64(0)
    entries = index.entries
    entry = sifted(stems, index.sieve, index.keys, index.values)
    if entry >= 0 and count == entries[entry, SIZE] and not entries[entry, MARKS] & (CAPITALS | NOTHING):
        return entry
    if classes == np.uint64(0):
        return -1
    entry = sifted(classes, index.sieve, index.keys, index.values)
    if entry >= 0 and loose > 1 and entries[entry, KIN] < 0:
        return entry
    return -1


@compiled
def find_coordinated(words: Words, read: Hashes, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """First word, last word, entry and borrowing word of each coordinated finding."""
    n = words.gap.size
    conjunctions = 0
    for k in range(1, n):
        conjunctions += _conjunction(k, words, read) > 0
    out = np.empty((4, 2 * conjunctions), np.int32)  # two readings of each
    found = _coordinated(words, read, index, out)
    return out[0, :found], out[1, :found], out[2, :found], out[3, :found]


@borrowing
def _coordinated(words: Words, read: Hashes, index: Index, out: Ints) -> int:
    """Fill the columns of `out`; how many."""
    gap, sentence = words.gap, words.sentence
    n = gap.size
    found = 0
    for k in range(1, n):
        if not _conjunction(k, words, read) or sentence[k] != sentence[k - 1] or gap[k] & WALL:
            continue
        left, right = k - 1, (k + 1 if _part(k, read) == _JOINS else k)
        if _part(left, read) in (_UNKNOWN, _JOINS):
            continue
        while right < n and _part(right, read) == _JOINS:
            right += 1
        if right >= n or sentence[right] != sentence[k] or gap[right] & WALL or _part(right, read) == _UNKNOWN:
            continue
        for reading in range(2):
            if reading == 0:
                first, last, entry, core = _shared_head(left, k, right, words, read, index)
            else:
                first, last, entry, core = _shared_beginning(left, k, right, words, read, index)
            if entry < 0:
                continue
            out[0, found], out[1, found], out[2, found], out[3, found] = first, last, entry, core
            found += 1
    return found


@borrowing
def _shared_head(left: int, k: int, right: int, words: Words, read: Hashes, index: Index) -> tuple[int, int, int, int]:
    """`cardiac and renal anomalies` read as `cardiac anomalies`, `low-set, rotated ears` as `low-set ears`."""
    n = words.gap.size
    final = _conjunction(k, words, read) == 2
    describes = _conjunction(k, words, read) == 1 and _describes(left, words, read)
    length = 0
    at = right
    other = right
    while at < n and at < k + _LONGEST_CHAIN and words.sentence[at] == words.sentence[k]:
        if at > right:
            if words.gap[at] & (WALL | OPEN | CLOSE):
                break
            if _conjunction(at, words, read):
                final = final or _conjunction(at, words, read) == 2
                length = 0
                while at < n and _part(at, read) == _JOINS:
                    final = True
                    at += 1
                if at >= n or words.sentence[at] != words.sentence[k]:
                    break
                other = at
        if _part(at, read) == _UNKNOWN:
            break
        length += 1
        if length > _LONGEST_PART:
            break
        if final or describes:
            best = _borrow_head(left, other, at + 1, k, not final, words, read, index)
            if best[2] >= 0:
                return best
        at += 1
    return -1, -1, -1, -1


@borrowing
def _borrow_head(
    left: int, other: int, head: int, k: int, at_its_begin: bool, words: Words, read: Hashes, index: Index
) -> tuple[int, int, int, int]:
    """`at_its_begin`: the words that borrow must be the first of their part."""
    n = words.gap.size
    best_first = best_last = best_entry = -1
    for last in range(head, min(head + _LONGEST_HEAD, n)):
        if (
            words.sentence[last] != words.sentence[k]
            or words.gap[last] & _PART_ENDS
            or _part(last, read) == _UNKNOWN
            or _part(last, read) == _JOINS
        ):
            break
        if _part(last, read) == _FILLS:
            continue
        beside = _entry_of(other, last, 1, 0, read, index)
        for size in range(1 if beside >= 0 else 2, _LONGEST_PART + 1):
            first = left - size + 1
            if (
                first < 0
                or words.sentence[first] != words.sentence[k]
                or _part(first, read) == _UNKNOWN
                or _part(first, read) == _JOINS
            ):
                break
            if size > 1 and words.gap[first + 1] & _PART_ENDS:
                break
            if _part(first, read) == _FILLS or (at_its_begin and _goes_before(first, words, read)):
                continue
            entry = _entry_of(first, left, head, last, read, index)
            if entry < 0 or (beside < 0 and not _shares_beginning(first, left, other, last, read, index)):
                continue
            alone = _entry_of(first, left, 1, 0, read, index)
            if alone < 0 or _part(head, read) == _FILLS:
                best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, left


@borrowing
def _shares_beginning(first: int, left: int, other: int, last: int, read: Hashes, index: Index) -> bool:
    """Whether the other conjunct is a finding with the beginning of this one: "short 4th and 5th metacarpals"."""
    found = False
    for at in range(first + 1, left + 1):
        found = found or _entry_of(first, at - 1, other, last, read, index) >= 0
    return found


@borrowing
def _shares_head(first: int, dropped: int, right: int, last: int, read: Hashes, index: Index) -> bool:
    """Whether the conjunct before is a finding with the last words of the one after it."""
    found = False
    for at in range(right + 1, last + 1):
        found = found or _entry_of(first, dropped, at, last, read, index) >= 0
    return found


@borrowing
def _goes_before(first: int, words: Words, read: Hashes) -> bool:
    """Whether a word that counts stands before this one in the same part."""
    return (
        first > 0
        and words.sentence[first - 1] == words.sentence[first]
        and not words.gap[first] & _PART_ENDS
        and _part(first - 1, read) == _COUNTS
    )


@borrowing
def _shared_beginning(
    left: int, k: int, right: int, words: Words, read: Hashes, index: Index
) -> tuple[int, int, int, int]:
    """`cleft lip and palate` read as `cleft palate`."""
    n = words.gap.size
    best_first = best_last = best_entry = -1
    if _conjunction(k, words, read) == 1 and not _ends_in_joint(right, words, read):
        return -1, -1, -1, -1
    for last in range(right, min(right + _LONGEST_PART, n)):
        if words.sentence[last] != words.sentence[k] or _part(last, read) == _UNKNOWN or _part(last, read) == _JOINS:
            break
        if last > right and words.gap[last] & _PART_ENDS:
            break
        if _part(last, read) == _FILLS:
            continue
        after = last + 1
        if (
            after < n
            and words.sentence[after] == words.sentence[k]
            and not words.gap[after] & _PART_ENDS
            and _part(after, read) in (_MODIFIES, _COUNTS)
        ):
            continue
        first, entry = _borrow_beginning(left, right, last, k, words, read, index)
        if entry < 0:
            continue
        alone = _entry_of(right, last, 1, 0, read, index)
        if alone < 0:
            best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, right


@borrowing
def _borrow_beginning(
    left: int, right: int, last: int, k: int, words: Words, read: Hashes, index: Index
) -> tuple[int, int]:
    at = left
    dropped = left
    length = 0
    while at > 0 and at > k - _LONGEST_CHAIN and words.sentence[at] == words.sentence[k]:
        joins = _part(at, read) == _JOINS
        if (joins or words.gap[at] & (COMMA | SLASH)) and _entry_of(at, dropped, 1, 0, read, index) >= 0:
            break  # a finding of its own stands between: "thumb duplication, short stature, broad nose"
        if joins:
            at -= 1
            length = 0
            dropped = at
            continue
        if _part(at, read) == _UNKNOWN:
            break
        length += _part(at, read) != _FILLS
        if length > _LONGEST_PART or words.gap[at] & (WALL | OPEN | CLOSE):
            break
        if words.gap[at] & (COMMA | SLASH):
            length = 0
            dropped = at - 1
            at -= 1
            continue
        # Words before `at` are the beginning that is shared; `at` begins the conjunct that is left out.
        best_first = best_entry = -1
        for size in range(1, _LONGEST_PART + 2):
            first = at - size
            if (
                first < 0
                or words.sentence[first] != words.sentence[k]
                or _part(first, read) == _UNKNOWN
                or _part(first, read) == _JOINS
            ):
                break
            if size > 1 and words.gap[first + 1] & _PART_ENDS:
                break
            if _part(first, read) != _COUNTS:
                continue
            entry = _entry_of(first, at - 1, right, last, read, index)
            if entry < 0:
                continue
            if _entry_of(first, dropped, 1, 0, read, index) >= 0 or _shares_head(
                first, dropped, right, last, read, index
            ):
                best_first, best_entry = first, entry
        if best_entry >= 0:
            return best_first, best_entry
        at -= 1
    return -1, -1


@borrowing
def _ends_in_joint(right: int, words: Words, read: Hashes) -> bool:
    """Whether a list that goes on by commas comes to an `and` or `or`."""
    for at in range(right + 1, min(right + _LONGEST_CHAIN, words.gap.size)):
        if words.sentence[at] != words.sentence[right] or words.gap[at] & (WALL | OPEN | CLOSE):
            return False
        if _conjunction(at, words, read) == 2:
            return True
        if _part(at, read) == _UNKNOWN:
            return False
    return False
