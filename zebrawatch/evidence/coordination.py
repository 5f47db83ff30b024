"""Findings told together: "cardiac and renal anomalies", "cleft lip and palate", "hypopigmentation of skin or hair".

Two readings. *Shared head*: what stands before the conjunction borrows the words after the last conjunct. *Shared
beginning*: what stands after it borrows the words before the first conjunct. A reading counts only where the conjunct
that borrows is no finding by itself (so "fever and joint pain" gives no "fever pain"), the conjunct beside it makes a
finding in the same way, and what borrows a beginning is not itself the beginning of something ("short stature and ear
anomalies" gives no "short ear").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.lexicon import CAPITALS, FILLER, JOINT, LINK, MODIFIER, Index
from zebrawatch.evidence.matching import WALL, sifted
from zebrawatch.evidence.tokens import CLOSE, COMMA, OPEN, SLASH, Hashes, Ints, Words

_LONGEST_CHAIN = 12
_LONGEST_PART = 3
_LONGEST_HEAD = 4

Bytes = npt.NDArray[np.uint8]

_UNKNOWN = 0
_FILLS = 1
_MODIFIES = 2
_COUNTS = 3
_JOINS = 4
_PART_ENDS = WALL | COMMA | SLASH | OPEN | CLOSE


@compiled
def _gather(words: Words, index: Index) -> tuple[Ints, Ints, Hashes]:
    """What coordination reads of each word: its part, the conjunction at it (2 and, or, slash; 1 comma), running sums.

    The running sums (row 0 stems, 1 classes, 2 words that count, 3 words with a class) make the key of any stretch of
    words one subtraction. Numba counts references for every array handed on inside a tuple, so arrays are taken out
    here.
    """
    word, gap = words.word, words.gap
    role, stem_hash, class_hash = index.role, index.stem_hash, index.class_hash
    n = word.size
    part = np.zeros(n, np.int32)
    joins = np.zeros(n, np.int32)
    sums = np.zeros((4, n + 1), np.uint64)
    one = np.uint64(1)
    for k in range(n):
        at = word[k]
        for row in range(4):
            sums[row, k + 1] = sums[row, k]
        if gap[k] & SLASH:
            joins[k] = 2
        elif gap[k] & COMMA:
            joins[k] = 1
        if at < 0 or role[at] == 0 or role[at] == LINK:
            continue
        if role[at] == JOINT:
            part[k] = _JOINS
            joins[k] = 2
        elif role[at] == FILLER:
            part[k] = _FILLS
        else:
            part[k] = _MODIFIES if role[at] == MODIFIER else _COUNTS
            sums[0, k + 1] += stem_hash[at]
            sums[1, k + 1] += class_hash[at]
            sums[2, k + 1] += one
            if class_hash[at] != np.uint64(0):
                sums[3, k + 1] += one
    return part, joins, sums


@compiled
def _entry_of(
    a1: int, b1: int, a2: int, b2: int, sums: Hashes, stem_keys: Hashes, stem_values: Ints, class_keys: Hashes,
    class_values: Ints,
    sieve: Bytes, sizes: Ints, marks: Ints, families: Ints,
) -> int:  # fmt: skip
    """Entry made of the words a1..b1 and a2..b2 (both ends included; a1 > b1 for none); -1 where there is none."""
    stems = sums[0, b1 + 1] - sums[0, a1] + sums[0, b2 + 1] - sums[0, a2]
    entry = sifted(stems, sieve, stem_keys, stem_values)
    if entry >= 0:
        count = sums[2, b1 + 1] - sums[2, a1] + sums[2, b2 + 1] - sums[2, a2]
        if np.int64(count) == sizes[entry] and not marks[entry] & CAPITALS:
            return entry
    classes = sums[1, b1 + 1] - sums[1, a1] + sums[1, b2 + 1] - sums[1, a2]
    if classes == np.uint64(0):
        return -1
    entry = sifted(classes, sieve, class_keys, class_values)
    if entry >= 0:
        loose = sums[3, b1 + 1] - sums[3, a1] + sums[3, b2 + 1] - sums[3, a2]
        if loose > np.uint64(1) and families[entry] < 0:
            return entry
    return -1


@compiled
def find_coordinated(words: Words, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """First word, last word, entry and borrowing word of each coordinated finding."""
    part, joins, sums = _gather(words, index)
    gap, sentence = words.gap, words.sentence
    stem_keys, stem_values, class_keys, class_values = (
        index.stem_keys,
        index.stem_values,
        index.class_keys,
        index.class_values,
    )
    sieve, sizes, marks, families = index.sieve, index.entry_size, index.entry_marks, index.entry_family
    n = gap.size
    room = 16
    found = 0
    out = np.empty((4, room), np.int32)
    for k in range(1, n):
        if not joins[k] or sentence[k] != sentence[k - 1] or gap[k] & WALL:
            continue
        left, right = k - 1, (k + 1 if part[k] == _JOINS else k)
        while right < n and part[right] == _JOINS:
            right += 1
        if right >= n or sentence[right] != sentence[k] or gap[right] & WALL:
            continue
        if part[left] == _UNKNOWN or part[left] == _JOINS or part[right] == _UNKNOWN:
            continue
        for reading in range(2):
            if reading == 0:
                first, last, entry, core = _shared_head(
                    left, k, right, gap, sentence, part, joins, sums, stem_keys, stem_values, class_keys,
                    class_values, sieve,
                    sizes, marks, families,
                )  # fmt: skip
            else:
                first, last, entry, core = _shared_beginning(
                    left, k, right, gap, sentence, part, joins, sums, stem_keys, stem_values, class_keys,
                    class_values, sieve,
                    sizes, marks, families,
                )  # fmt: skip
            if entry < 0:
                continue
            if found == room:
                room *= 2
                bigger = np.empty((4, room), np.int32)
                bigger[:, :found] = out[:, :found]
                out = bigger
            out[0, found], out[1, found], out[2, found], out[3, found] = first, last, entry, core
            found += 1
    return out[0, :found].copy(), out[1, :found].copy(), out[2, :found].copy(), out[3, :found].copy()


@compiled
def _shared_head(
    left: int, k: int, right: int, gap: Ints, sentence: Ints, part: Ints, joins: Ints, sums: Hashes, stem_keys: Hashes,
    stem_values: Ints, class_keys: Hashes, class_values: Ints, sieve: Bytes, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cardiac and renal anomalies` read as `cardiac anomalies`."""
    n = gap.size
    final = joins[k] == 2
    length = 0
    at = right
    other = right
    while at < n and at < k + _LONGEST_CHAIN and sentence[at] == sentence[k]:
        if at > right:
            if gap[at] & (WALL | OPEN | CLOSE):
                break
            if joins[at]:
                final = final or joins[at] == 2
                length = 0
                while at < n and part[at] == _JOINS:
                    final = True
                    at += 1
                if at >= n or sentence[at] != sentence[k]:
                    break
                other = at
        if part[at] == _UNKNOWN:
            break
        length += 1
        if length > _LONGEST_PART:
            break
        if final:
            best = _borrow_head(
                left, other, at + 1, k, gap, sentence, part, sums, stem_keys, stem_values, class_keys, class_values,
                sieve,
                sizes, marks, families,
            )  # fmt: skip
            if best[2] >= 0:
                return best
        at += 1
    return -1, -1, -1, -1


@compiled
def _borrow_head(
    left: int, other: int, head: int, k: int, gap: Ints, sentence: Ints, part: Ints, sums: Hashes, stem_keys: Hashes,
    stem_values: Ints, class_keys: Hashes, class_values: Ints, sieve: Bytes, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    n = gap.size
    best_first = best_last = best_entry = -1
    for last in range(head, min(head + _LONGEST_HEAD, n)):
        if sentence[last] != sentence[k] or gap[last] & _PART_ENDS or part[last] == _UNKNOWN or part[last] == _JOINS:
            break
        if part[last] == _FILLS:
            continue
        beside = _entry_of(
            other, last, 1, 0, sums, stem_keys, stem_values, class_keys, class_values, sieve, sizes, marks, families
        )
        if beside < 0:
            continue
        for size in range(1, _LONGEST_PART + 1):
            first = left - size + 1
            if first < 0 or sentence[first] != sentence[k] or part[first] == _UNKNOWN or part[first] == _JOINS:
                break
            if size > 1 and gap[first + 1] & _PART_ENDS:
                break
            if part[first] == _FILLS:
                continue
            entry = _entry_of(
                first,
                left,
                head,
                last,
                sums,
                stem_keys,
                stem_values,
                class_keys,
                class_values,
                sieve,
                sizes,
                marks,
                families,
            )
            if entry < 0:
                continue
            alone = _entry_of(
                first, left, 1, 0, sums, stem_keys, stem_values, class_keys, class_values, sieve, sizes, marks, families
            )
            if alone < 0 or part[head] == _FILLS:
                best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, left


@compiled
def _shared_beginning(
    left: int, k: int, right: int, gap: Ints, sentence: Ints, part: Ints, joins: Ints, sums: Hashes, stem_keys: Hashes,
    stem_values: Ints, class_keys: Hashes, class_values: Ints, sieve: Bytes, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cleft lip and palate` read as `cleft palate`."""
    n = gap.size
    best_first = best_last = best_entry = -1
    if joins[k] == 1 and not _ends_in_joint(right, gap, sentence, part, joins):
        return -1, -1, -1, -1
    for last in range(right, min(right + _LONGEST_PART, n)):
        if sentence[last] != sentence[k] or part[last] == _UNKNOWN or part[last] == _JOINS:
            break
        if last > right and gap[last] & _PART_ENDS:
            break
        if part[last] == _FILLS:
            continue
        after = last + 1
        if (
            after < n
            and sentence[after] == sentence[k]
            and not gap[after] & _PART_ENDS
            and part[after] in (_MODIFIES, _COUNTS)
        ):
            continue
        first, entry = _borrow_beginning(
            left, right, last, k, gap, sentence, part, sums, stem_keys, stem_values, class_keys, class_values, sieve,
            sizes,
            marks, families,
        )  # fmt: skip
        if entry < 0:
            continue
        alone = _entry_of(
            right, last, 1, 0, sums, stem_keys, stem_values, class_keys, class_values, sieve, sizes, marks, families
        )
        if alone < 0:
            best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, right


@compiled
def _borrow_beginning(
    left: int, right: int, last: int, k: int, gap: Ints, sentence: Ints, part: Ints, sums: Hashes, stem_keys: Hashes,
    stem_values: Ints, class_keys: Hashes, class_values: Ints, sieve: Bytes, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int]:  # fmt: skip
    at = left
    dropped = left
    length = 0
    while at > 0 and at > k - _LONGEST_CHAIN and sentence[at] == sentence[k]:
        if part[at] == _JOINS:
            at -= 1
            length = 0
            dropped = at
            continue
        if part[at] == _UNKNOWN:
            break
        length += part[at] != _FILLS
        if length > _LONGEST_PART or gap[at] & (WALL | OPEN | CLOSE):
            break
        if gap[at] & (COMMA | SLASH):
            length = 0
            dropped = at - 1
            at -= 1
            continue
        # Words before `at` are the beginning that is shared; `at` begins the conjunct that is left out.
        for size in range(1, _LONGEST_PART + 2):
            first = at - size
            if first < 0 or sentence[first] != sentence[k] or part[first] == _UNKNOWN or part[first] == _JOINS:
                break
            if size > 1 and gap[first + 1] & _PART_ENDS:
                break
            if part[first] != _COUNTS:
                continue
            entry = _entry_of(
                first,
                at - 1,
                right,
                last,
                sums,
                stem_keys,
                stem_values,
                class_keys,
                class_values,
                sieve,
                sizes,
                marks,
                families,
            )
            if entry < 0:
                continue
            beside = _entry_of(
                first,
                dropped,
                1,
                0,
                sums,
                stem_keys,
                stem_values,
                class_keys,
                class_values,
                sieve,
                sizes,
                marks,
                families,
            )
            if beside >= 0:
                return first, entry
        at -= 1
    return -1, -1


@compiled
def _ends_in_joint(right: int, gap: Ints, sentence: Ints, part: Ints, joins: Ints) -> bool:
    """Whether a list that goes on by commas comes to an `and` or `or`."""
    for at in range(right + 1, min(right + _LONGEST_CHAIN, gap.size)):
        if sentence[at] != sentence[right] or gap[at] & (WALL | OPEN | CLOSE):
            return False
        if joins[at] == 2:
            return True
        if part[at] == _UNKNOWN:
            return False
    return False
