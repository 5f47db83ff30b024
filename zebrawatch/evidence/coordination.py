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
from zebrawatch.evidence.lexicon import CAPITALS, FILLER, JOINT, LINK, MODIFIER, Lexicon
from zebrawatch.evidence.matching import WALL
from zebrawatch.evidence.tokens import CLOSE, COMMA, OPEN, SLASH, Hashes, Ints, Tokens, look_up

_LONGEST_CHAIN = 12
_LONGEST_PART = 3
_LONGEST_HEAD = 4

Bytes = npt.NDArray[np.uint8]


@compiled
def _joins(k: int, word: Ints, gap: Ints, role: Bytes) -> int:
    """Whether a word is, or a gap before it holds, a conjunction: 2 for and, or, slash; 1 for a comma; 0 for none."""
    at = word[k]
    if at >= 0 and role[at] == JOINT:
        return 2
    if gap[k] & SLASH:
        return 2
    return 1 if gap[k] & COMMA else 0


@compiled
def _usable(k: int, word: Ints, role: Bytes) -> bool:
    at = word[k]
    return at >= 0 and role[at] != 0 and role[at] != JOINT and role[at] != LINK


@compiled
def _entry_of(
    a1: int, b1: int, a2: int, b2: int, word: Ints, role: Bytes, stem_hash: Hashes, class_hash: Hashes,
    stem_keys: Hashes, stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints,
    families: Ints,
) -> int:  # fmt: skip
    """Entry made of the words a1..b1 and a2..b2 (both ends included; a1 > b1 for none); -1 where there is none."""
    stems = classes = np.uint64(0)
    count = loose = 0
    for part in range(2):
        low, high = (a1, b1) if part == 0 else (a2, b2)
        for k in range(low, high + 1):
            at = word[k]
            if role[at] == FILLER:
                continue
            count += 1
            stems += stem_hash[at]
            classes += class_hash[at]
            if class_hash[at] != np.uint64(0):
                loose += 1
    entry = look_up(stems, stem_keys, stem_values)
    if entry >= 0 and sizes[entry] == count and not marks[entry] & CAPITALS:
        return entry
    if classes == np.uint64(0):
        return -1
    entry = look_up(classes, class_keys, class_values)
    if entry >= 0 and loose > 1 and families[entry] < 0:
        return entry
    return -1


@compiled
def find_coordinated(
    word: Ints, gap: Ints, sentence: Ints, role: Bytes, stem_hash: Hashes, class_hash: Hashes, longest: Ints, stem_keys: Hashes,
    stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """First word, last word, entry and borrowing word of each coordinated finding."""
    n = word.size
    room = 16
    found = 0
    out = np.empty((4, room), np.int32)
    for k in range(1, n):
        if not _joins(k, word, gap, role) or sentence[k] != sentence[k - 1] or gap[k] & WALL:
            continue
        spoken = word[k] >= 0 and role[word[k]] == JOINT
        left, right = k - 1, (k + 1 if spoken else k)
        while right < n and word[right] >= 0 and role[word[right]] == JOINT:
            right += 1
        if right >= n or sentence[right] != sentence[k] or not _usable(left, word, role) or not _usable(right, word, role):
            continue
        if gap[right] & WALL:
            continue
        for reading in range(2):
            if reading == 0:
                first, last, entry, core = _shared_head(
                    left, k, right, word, gap, sentence, role, stem_hash, class_hash, stem_keys, stem_values, class_keys,
                    class_values, sizes, marks, families,
                )  # fmt: skip
            else:
                first, last, entry, core = _shared_beginning(
                    left, k, right, word, gap, sentence, role, stem_hash, class_hash, stem_keys, stem_values, class_keys,
                    class_values, sizes, marks, families,
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
    return out[0, :found], out[1, :found], out[2, :found], out[3, :found]


@compiled
def _shared_head(
    left: int, k: int, right: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes, stem_hash: Hashes, class_hash: Hashes,
    stem_keys: Hashes, stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cardiac and renal anomalies` read as `cardiac anomalies`."""
    n = word.size
    final = _joins(k, word, gap, role) == 2
    part = 0
    at = right
    part_first = right
    while at < n and at < k + _LONGEST_CHAIN and sentence[at] == sentence[k]:
        if at > right:
            if gap[at] & (WALL | OPEN | CLOSE):
                break
            kind = _joins(at, word, gap, role)
            if kind:
                final = final or kind == 2
                part = 0
                while at < n and word[at] >= 0 and role[word[at]] == JOINT:
                    final = True
                    at += 1
                if at >= n or sentence[at] != sentence[k]:
                    break
                part_first = at
        if not _usable(at, word, role):
            break
        part += 1
        if part > _LONGEST_PART:
            break
        if final:
            best = _borrow_head(
                left, part_first, at + 1, k, word, gap, sentence, role, stem_hash, class_hash, stem_keys, stem_values, class_keys,
                class_values, sizes, marks, families,
            )  # fmt: skip
            if best[2] >= 0:
                return best
        at += 1
    return -1, -1, -1, -1


@compiled
def _borrow_head(
    left: int, other: int, head: int, k: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes, stem_hash: Hashes, class_hash: Hashes,
    stem_keys: Hashes, stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    n = word.size
    best_first = best_last = best_entry = -1
    for size in range(1, _LONGEST_PART + 1):
        first = left - size + 1
        if first < 0 or sentence[first] != sentence[k] or not _usable(first, word, role):
            break
        if size > 1 and gap[first + 1] & (WALL | COMMA | SLASH | OPEN | CLOSE):
            break
        if role[word[first]] == FILLER:
            continue
        alone = _entry_of(
            first, left, 1, 0, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys, class_values, sizes,
            marks, families,
        )  # fmt: skip
        for last in range(head, min(head + _LONGEST_HEAD, n)):
            if sentence[last] != sentence[k] or gap[last] & (WALL | COMMA | SLASH | OPEN | CLOSE):
                break
            if not _usable(last, word, role):
                break
            if role[word[last]] == FILLER:
                continue
            if alone >= 0 and role[word[head]] != FILLER:
                break
            beside = _entry_of(
                other, last, 1, 0, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys, class_values, sizes,
                marks, families,
            )  # fmt: skip
            if beside < 0:
                continue
            entry = _entry_of(
                first, left, head, last, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys, class_values,
                sizes, marks, families,
            )  # fmt: skip
            if entry >= 0:
                best_first, best_last, best_entry = first, last, entry
    return best_first, best_last, best_entry, left


@compiled
def _shared_beginning(
    left: int, k: int, right: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes, stem_hash: Hashes, class_hash: Hashes,
    stem_keys: Hashes, stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints, families: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`cleft lip and palate` read as `cleft palate`."""
    n = word.size
    if _joins(k, word, gap, role) == 1 and not _ends_in_joint(right, word, gap, sentence, role):
        return -1, -1, -1, -1
    last = right
    best_first = best_last = best_entry = -1
    while last < n and last < right + _LONGEST_PART and sentence[last] == sentence[k] and _usable(last, word, role):
        if last > right and gap[last] & (WALL | COMMA | SLASH | OPEN | CLOSE):
            break
        after = last + 1
        open_end = (
            after < n
            and sentence[after] == sentence[k]
            and gap[after] & (WALL | COMMA | SLASH | OPEN | CLOSE) == 0
            and _usable(after, word, role)
            and role[word[after]] != FILLER
        )
        if role[word[last]] != FILLER and not open_end:
            alone = _entry_of(
                right, last, 1, 0, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys, class_values, sizes,
                marks, families,
            )  # fmt: skip
            if alone < 0:
                first, entry = _borrow_beginning(
                    left, right, last, k, word, gap, sentence, role, stem_hash, class_hash, stem_keys, stem_values,
                    class_keys, class_values, sizes, marks, families,
                )  # fmt: skip
                if entry >= 0:
                    best_first, best_last, best_entry = first, last, entry
        last += 1
    return best_first, best_last, best_entry, right


@compiled
def _borrow_beginning(
    left: int, right: int, last: int, k: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes, stem_hash: Hashes,
    class_hash: Hashes, stem_keys: Hashes, stem_values: Ints, class_keys: Hashes, class_values: Ints, sizes: Ints, marks: Ints,
    families: Ints,
) -> tuple[int, int]:  # fmt: skip
    at = left
    dropped = left
    part = 0
    while at > 0 and at > k - _LONGEST_CHAIN and sentence[at] == sentence[k]:
        if not _usable(at, word, role):
            if word[at] >= 0 and role[word[at]] == JOINT:
                at -= 1
                part = 0
                dropped = at
                continue
            break
        part += role[word[at]] != FILLER
        if part > _LONGEST_PART:
            break
        # Words before `at` are the beginning that is shared; `at` begins the conjunct that is left out.
        if gap[at] & (WALL | OPEN | CLOSE):
            break
        if gap[at] & (COMMA | SLASH) == 0:
            for size in range(1, _LONGEST_PART + 2):
                first = at - size
                if first < 0 or sentence[first] != sentence[k] or not _usable(first, word, role):
                    break
                if size > 1 and gap[first + 1] & (WALL | COMMA | SLASH | OPEN | CLOSE):
                    break
                if role[word[first]] == FILLER or role[word[first]] == MODIFIER:
                    continue
                beside = _entry_of(
                    first, dropped, 1, 0, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys, class_values,
                    sizes, marks, families,
                )  # fmt: skip
                if beside < 0:
                    continue
                entry = _entry_of(
                    first, at - 1, right, last, word, role, stem_hash, class_hash, stem_keys, stem_values, class_keys,
                    class_values, sizes, marks, families,
                )  # fmt: skip
                if entry >= 0:
                    return first, entry
        else:
            part = 0
            dropped = at - 1
        at -= 1
    return -1, -1


@compiled
def _ends_in_joint(right: int, word: Ints, gap: Ints, sentence: Ints, role: Bytes) -> bool:
    """Whether a list that goes on by commas comes to an `and` or `or`."""
    for at in range(right + 1, min(right + _LONGEST_CHAIN, word.size)):
        if sentence[at] != sentence[right] or gap[at] & (WALL | OPEN | CLOSE):
            return False
        if _joins(at, word, gap, role) == 2:
            return True
        if not _usable(at, word, role):
            return False
    return False


def coordinated(tokens: Tokens, sentence: Ints, lexicon: Lexicon) -> tuple[Ints, Ints, Ints, Ints]:
    """First word, last word, entry and borrowing word of each coordinated finding of a text."""
    found: tuple[Ints, Ints, Ints, Ints] = find_coordinated(
        tokens.word, tokens.gap, sentence, lexicon.role, lexicon.stem_hash, lexicon.class_hash, lexicon.longest,
        lexicon.stem_keys, lexicon.stem_values, lexicon.class_keys, lexicon.class_values, lexicon.entry_size,
        lexicon.entry_marks, lexicon.entry_family,
    )  # fmt: skip
    return found
