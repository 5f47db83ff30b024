"""Findings told together: "cardiac and renal anomalies", "cleft lip and palate", "hypopigmentation of skin or hair".

Two readings. *Shared head*: what stands before the conjunction borrows the words after the last conjunct. *Shared
beginning*: what stands after it borrows the words before the first conjunct. A reading counts only where the conjunct
that borrows is no finding by itself (so "fever and joint pain" gives no "fever pain"), the conjunct beside it makes a
finding in the same way, and what borrows a beginning is not itself the beginning of something ("short stature and ear
anomalies" gives no "short ear").
"""

from __future__ import annotations

import numpy as np

from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.lexicon import CAPITALS, FILLER, JOINT, LINK, MODIFIER, Index
from zebrawatch.evidence.matching import WALL, sifted
from zebrawatch.evidence.tokens import CLOSE, COMMA, OPEN, SLASH, Ints, Words

_LONGEST_CHAIN = 12
_LONGEST_PART = 3
_LONGEST_HEAD = 4



@compiled
def _joins(k: int, words: Words, index: Index) -> int:
    """Whether a word is, or a gap before it holds, a conjunction: 2 for and, or, slash; 1 for a comma; 0 for none."""
    at = words.word[k]
    if at >= 0 and index.role[at] == JOINT:
        return 2
    if words.gap[k] & SLASH:
        return 2
    return 1 if words.gap[k] & COMMA else 0


@compiled
def _usable(k: int, words: Words, index: Index) -> bool:
    at = words.word[k]
    return at >= 0 and index.role[at] != 0 and index.role[at] != JOINT and index.role[at] != LINK


@compiled
def _entry_of(
    a1: int, b1: int, a2: int, b2: int, words: Words, index: Index) -> int:
    """Entry made of the words a1..b1 and a2..b2 (both ends included; a1 > b1 for none); -1 where there is none."""
    stems = classes = np.uint64(0)
    count = loose = 0
    for part in range(2):
        low, high = (a1, b1) if part == 0 else (a2, b2)
        for k in range(low, high + 1):
            at = words.word[k]
            if index.role[at] == FILLER:
                continue
            count += 1
            stems += index.stem_hash[at]
            classes += index.class_hash[at]
            if index.class_hash[at] != np.uint64(0):
                loose += 1
    entry = sifted(stems, index.sieve, index.stem_keys, index.stem_values)
    if entry >= 0 and index.entry_size[entry] == count and not index.entry_marks[entry] & CAPITALS:
        return entry
    if classes == np.uint64(0):
        return -1
    entry = sifted(classes, index.sieve, index.class_keys, index.class_values)
    if entry >= 0 and loose > 1 and index.entry_family[entry] < 0:
        return entry
    return -1


@compiled
def find_coordinated(
    words: Words, index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """First word, last word, entry and borrowing word of each coordinated finding."""
    n = words.word.size
    room = 16
    found = 0
    out = np.empty((4, room), np.int32)
    for k in range(1, n):
        if not _joins(k, words, index) or words.sentence[k] != words.sentence[k - 1] or words.gap[k] & WALL:
            continue
        spoken = words.word[k] >= 0 and index.role[words.word[k]] == JOINT
        left, right = k - 1, (k + 1 if spoken else k)
        while right < n and words.word[right] >= 0 and index.role[words.word[right]] == JOINT:
            right += 1
        if right >= n or words.sentence[right] != words.sentence[k] or not _usable(left, words, index) or not _usable(right, words, index):
            continue
        if words.gap[right] & WALL:
            continue
        for reading in range(2):
            if reading == 0:
                first, last, entry, core = _shared_head(
                    left, k, right, words, index)
            else:
                first, last, entry, core = _shared_beginning(
                    left, k, right, words, index)
            if entry < 0:
                continue
            if found == room:
                room *= 2
                bigger = np.empty((4, room), np.int32)
                bigger[:, :found] = out[:, :found]
                out = bigger
            out[0, found], out[1, found], out[2, found], out[3, found] = first, last, entry, core
            found += 1
    return out[0, :found], out[1, :found], out[2, :found], out[3, :found]


@compiled
def _shared_head(
    left: int, k: int, right: int, words: Words, index: Index) -> tuple[int, int, int, int]:
    """`cardiac and renal anomalies` read as `cardiac anomalies`."""
    n = words.word.size
    final = _joins(k, words, index) == 2
    part = 0
    at = right
    part_first = right
    while at < n and at < k + _LONGEST_CHAIN and words.sentence[at] == words.sentence[k]:
        if at > right:
            if words.gap[at] & (WALL | OPEN | CLOSE):
                break
            kind = _joins(at, words, index)
            if kind:
                final = final or kind == 2
                part = 0
                while at < n and words.word[at] >= 0 and index.role[words.word[at]] == JOINT:
                    final = True
                    at += 1
                if at >= n or words.sentence[at] != words.sentence[k]:
                    break
                part_first = at
        if not _usable(at, words, index):
            break
        part += 1
        if part > _LONGEST_PART:
            break
        if final:
            best = _borrow_head(
                left, part_first, at + 1, k, words, index)
            if best[2] >= 0:
                return best
        at += 1
    return -1, -1, -1, -1


@compiled
def _borrow_head(
    left: int, other: int, head: int, k: int, words: Words, index: Index) -> tuple[int, int, int, int]:
    n = words.word.size
    best_first = best_last = best_entry = -1
    for size in range(1, _LONGEST_PART + 1):
        first = left - size + 1
        if first < 0 or words.sentence[first] != words.sentence[k] or not _usable(first, words, index):
            break
        if size > 1 and words.gap[first + 1] & (WALL | COMMA | SLASH | OPEN | CLOSE):
            break
        if index.role[words.word[first]] == FILLER:
            continue
        alone = _entry_of(
            first, left, 1, 0, words, index)
        for last in range(head, min(head + _LONGEST_HEAD, n)):
            if words.sentence[last] != words.sentence[k] or words.gap[last] & (WALL | COMMA | SLASH | OPEN | CLOSE):
                break
            if not _usable(last, words, index):
                break
            if index.role[words.word[last]] == FILLER:
                continue
            if alone >= 0 and index.role[words.word[head]] != FILLER:
                break
            beside = _entry_of(
                other, last, 1, 0, words, index)
            if beside < 0:
                continue
            entry = _entry_of(
                first, left, head, last, words, index)
            if entry >= 0:
                best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, left


@compiled
def _shared_beginning(
    left: int, k: int, right: int, words: Words, index: Index) -> tuple[int, int, int, int]:
    """`cleft lip and palate` read as `cleft palate`."""
    n = words.word.size
    if _joins(k, words, index) == 1 and not _ends_in_joint(right, words, index):
        return -1, -1, -1, -1
    last = right
    best_first = best_last = best_entry = -1
    while last < n and last < right + _LONGEST_PART and words.sentence[last] == words.sentence[k] and _usable(last, words, index):
        if last > right and words.gap[last] & (WALL | COMMA | SLASH | OPEN | CLOSE):
            break
        after = last + 1
        open_end = (
            after < n
            and words.sentence[after] == words.sentence[k]
            and words.gap[after] & (WALL | COMMA | SLASH | OPEN | CLOSE) == 0
            and _usable(after, words, index)
            and index.role[words.word[after]] != FILLER
        )
        if index.role[words.word[last]] != FILLER and not open_end:
            alone = _entry_of(
                right, last, 1, 0, words, index)
            if alone < 0:
                first, entry = _borrow_beginning(
                    left, right, last, k, words, index)
                if entry >= 0:
                    best_first, best_last, best_entry = first, last, entry
        last += 1
    return best_first, best_last, best_entry, right


@compiled
def _borrow_beginning(
    left: int, right: int, last: int, k: int, words: Words, index: Index) -> tuple[int, int]:
    at = left
    dropped = left
    part = 0
    while at > 0 and at > k - _LONGEST_CHAIN and words.sentence[at] == words.sentence[k]:
        if not _usable(at, words, index):
            if words.word[at] >= 0 and index.role[words.word[at]] == JOINT:
                at -= 1
                part = 0
                dropped = at
                continue
            break
        part += index.role[words.word[at]] != FILLER
        if part > _LONGEST_PART:
            break
        # Words before `at` are the beginning that is shared; `at` begins the conjunct that is left out.
        if words.gap[at] & (WALL | OPEN | CLOSE):
            break
        if words.gap[at] & (COMMA | SLASH) == 0:
            for size in range(1, _LONGEST_PART + 2):
                first = at - size
                if first < 0 or words.sentence[first] != words.sentence[k] or not _usable(first, words, index):
                    break
                if size > 1 and words.gap[first + 1] & (WALL | COMMA | SLASH | OPEN | CLOSE):
                    break
                if index.role[words.word[first]] == FILLER or index.role[words.word[first]] == MODIFIER:
                    continue
                beside = _entry_of(
                    first, dropped, 1, 0, words, index)
                if beside < 0:
                    continue
                entry = _entry_of(
                    first, at - 1, right, last, words, index)
                if entry >= 0:
                    return first, entry
        else:
            part = 0
            dropped = at - 1
        at -= 1
    return -1, -1


@compiled
def _ends_in_joint(right: int, words: Words, index: Index) -> bool:
    """Whether a list that goes on by commas comes to an `and` or `or`."""
    for at in range(right + 1, min(right + _LONGEST_CHAIN, words.word.size)):
        if words.sentence[at] != words.sentence[right] or words.gap[at] & (WALL | OPEN | CLOSE):
            return False
        if _joins(at, words, index) == 2:
            return True
        if not _usable(at, words, index):
            return False
    return False
