"""Words of a text: case, accents, ligatures, typographic hyphens and possessives folded; offsets into the text kept.

One pass over the code points. Whatever stands between two words is kept as a set of flags, because it decides where
sentences, lists and scopes end. Any text works: unknown scripts count as punctuation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import borrowing, compiled, inlined

Ints = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

# What stands in the gap before a word.
SPACE = 1
HYPHEN = 2  # a hyphen that ties two words: low-set
COMMA = 4
SLASH = 8
OPEN = 16
CLOSE = 32
STOP = 64  # full stop or exclamation mark
QUESTION = 128  # a question mark after the word before
COLON = 256
SEMICOLON = 512
NEWLINE = 1024
BLANK = 2048  # an empty line
BULLET = 4096
DOUBT = 8192  # a question mark before the word that follows: ?seizures
PLUS = 16384
EMPTY_BOX = 32768  # [ ]
MINUS = 65536  # (-) after the word before, or a minus before the word that follows
DASH = 131072
EQUALS = 262144
OTHER = 524288

# Classes of characters.
_LETTER, _DIGIT, _IGNORED, _APOSTROPHE, _BLANK_CHAR, _LINE, _HYPHEN_CHAR = 1, 2, 3, 4, 5, 6, 7
_COMMA_CHAR, _SLASH_CHAR, _OPEN_CHAR, _CLOSE_CHAR, _STOP_CHAR, _QUESTION_CHAR = 8, 9, 10, 11, 12, 13
_COLON_CHAR, _SEMICOLON_CHAR, _BULLET_CHAR, _PLUS_CHAR, _EQUALS_CHAR, _DASH_CHAR, _OTHER_CHAR = (
    14,
    15,
    16,
    17,
    18,
    19,
    20,
)

_TABLE = 0x3000  # scripts above are not folded; ligatures follow at the table's end
_LIGATURES = 0xFB00
_N_LIGATURES = 7
_FULL_WIDTH_FIRST, _FULL_WIDTH_LAST, _FULL_WIDTH_SHIFT = 0xFF01, 0xFF5E, 0xFEE0
_BYTE_ORDER_MARK = 0xFEFF

# FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): offset basis and prime.
_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)

_SMALL_A, _SMALL_Z = ord("a"), ord("z")

# Shapes of a word.
CAPITAL = 1  # first letter
ALL_CAPITALS = 2
DIGITS = 4  # has a digit
ALL_DIGITS = 8
INNER_CAPITAL = 16

_CHARACTERS = {
    "'": _APOSTROPHE, "’": _APOSTROPHE, "‘": _APOSTROPHE, "ʼ": _APOSTROPHE, "`": _APOSTROPHE, "´": _APOSTROPHE,
    "\n": _LINE, "\r": _LINE, "\x0b": _LINE, "\x0c": _LINE, "\x85": _LINE, "\u2028": _LINE, "\u2029": _LINE,
    "-": _HYPHEN_CHAR, "‐": _HYPHEN_CHAR, "‑": _HYPHEN_CHAR, "‒": _HYPHEN_CHAR, "–": _HYPHEN_CHAR, "−": _HYPHEN_CHAR,
    "—": _DASH_CHAR, "―": _DASH_CHAR, ",": _COMMA_CHAR, "/": _SLASH_CHAR, "\\": _SLASH_CHAR, "⁄": _SLASH_CHAR,
    "(": _OPEN_CHAR, "[": _OPEN_CHAR, "{": _OPEN_CHAR, ")": _CLOSE_CHAR, "]": _CLOSE_CHAR, "}": _CLOSE_CHAR,
    ".": _STOP_CHAR, "!": _STOP_CHAR, "?": _QUESTION_CHAR, ":": _COLON_CHAR, ";": _SEMICOLON_CHAR,
    "*": _BULLET_CHAR, "•": _BULLET_CHAR, "·": _BULLET_CHAR, "◦": _BULLET_CHAR, "▪": _BULLET_CHAR, "●": _BULLET_CHAR,
    "○": _BULLET_CHAR, "►": _BULLET_CHAR, "‣": _BULLET_CHAR, "|": _DASH_CHAR, "+": _PLUS_CHAR, "=": _EQUALS_CHAR,
    "\u00ad": _IGNORED, "\u200b": _IGNORED, "\u200c": _IGNORED, "\u200d": _IGNORED,
}  # fmt: skip
_FOLDED = {"æ": "ae", "œ": "oe", "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}


class Tokens(NamedTuple):
    """Words of one text, an element a word."""

    start: Ints
    end: Ints
    word: Ints
    """Index in the vocabulary; -1 where unknown."""
    gap: Ints
    """What stands before the word: a sum of flags."""
    shape: Ints
    line: Ints
    """Length of the line that ended before the word; 0 where none ended."""
    hash: Hashes


class Words(NamedTuple):
    """What matching reads of a text."""

    word: Ints
    gap: Ints
    shape: Ints
    sentence: Ints


def _folded(character: str) -> str:
    lower = character.lower()
    if lower in _FOLDED:
        return _FOLDED[lower]
    # some capitals show only once they are taken apart (superscript ᴬ), and so do marks that combine with nothing
    plain = unicodedata.normalize("NFKD", lower).lower()
    return "".join(_FOLDED.get(part, part) for part in plain if _class_of(part) in (_LETTER, _DIGIT))


def _class_of(character: str) -> int:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    kind = unicodedata.category(character)
    if kind in ("Mn", "Cf"):
        return _IGNORED
    if kind == "Nd" or character in "⁰¹²³⁴⁵⁶⁷⁸⁹":
        return _DIGIT
    if kind[0] == "L":
        return _LETTER
    if kind in ("Zs", "Cc"):
        return _BLANK_CHAR
    return _OTHER_CHAR


@cache
def character_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Class of each character, and what it folds to (three rows, 0 where shorter)."""
    size = _TABLE + _N_LIGATURES
    classes = np.empty(size, np.uint8)
    folds = np.zeros((3, size), np.uint32)
    for index in range(size):
        character = chr(index if index < _TABLE else index - _TABLE + _LIGATURES)
        classes[index] = _class_of(character)
        if classes[index] in (_LETTER, _DIGIT):
            parts = _folded(character)[:3]
            if not parts:  # a mark that counts as a letter (U+037A): a word of nothing else would be empty
                classes[index] = _OTHER_CHAR
            for column, part in enumerate(parts):
                folds[column, index] = ord(part)
    return classes, folds


_FENCE = "\n\nX"


def fenced(text: str) -> str:
    """The text with a word of its own after it where it ends in a sign: signs are read before a word, and
    "nystagmus (-)" may be all there is."""
    return text + _FENCE if text[-9:].rstrip(" \r\n.").endswith((")", "?", "-")) else text


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The text as code points; lone surrogates, which JSON can carry, are kept."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@inlined
def _place(point: int) -> int:
    """Row of a character in the tables; -1 where it has none."""
    if point < _TABLE:
        return point
    if _LIGATURES <= point < _LIGATURES + _N_LIGATURES:
        return _TABLE + point - _LIGATURES
    if _FULL_WIDTH_FIRST <= point <= _FULL_WIDTH_LAST:
        return point - _FULL_WIDTH_SHIFT
    return -1


@inlined
def _class_at(points: npt.NDArray[np.uint32], at: int, classes: npt.NDArray[np.uint8]) -> int:
    if at < 0 or at >= points.size:
        return _BLANK_CHAR
    point: Any = np.int64(points[at])
    if point < _TABLE:
        return np.int64(classes[point])  # type: ignore[return-value]
    row = _place(point)
    if row >= 0:
        return np.int64(classes[row])  # type: ignore[return-value]
    return _IGNORED if point == _BYTE_ORDER_MARK else _OTHER_CHAR


@inlined
def look_up(key: np.uint64, keys: Hashes, values: Ints) -> int:
    """Value of a key in an open table whose size is a power of two; -1 where absent. Key 0 marks an empty place."""
    mask = np.uint64(keys.size - 1)
    at = key & mask
    while keys[at] != np.uint64(0):
        if keys[at] == key:
            return np.int64(values[at])  # type: ignore[return-value]
        at = (at + np.uint64(1)) & mask
    return -1


@borrowing
def _gap_flag(
    kind: int, at: int, points: npt.NDArray[np.uint32], classes: npt.NDArray[np.uint8], fresh_line: bool, gap: int
) -> int:
    """Flag of one character between words."""
    before = _class_at(points, at - 1, classes)
    after = _class_at(points, at + 1, classes)
    wordy_before = before in (_LETTER, _DIGIT)
    wordy_after = after in (_LETTER, _DIGIT)
    if kind == _HYPHEN_CHAR:
        if wordy_before and (wordy_after or after == _LINE):
            return HYPHEN
        if before == _OPEN_CHAR and after == _CLOSE_CHAR:
            return BULLET | MINUS if fresh_line else MINUS
        if fresh_line and not wordy_after:
            return BULLET
        if fresh_line:
            return BULLET | MINUS
        return MINUS if wordy_after else DASH
    if kind == _BULLET_CHAR:
        return BULLET if fresh_line else OTHER
    if kind == _QUESTION_CHAR:
        if wordy_after and not wordy_before:
            return DOUBT
        # "? scoliosis" at the beginning of a line or after a mark; "seizures ? No" asks of what stands before
        begins = fresh_line or gap & (STOP | COMMA | COLON | SEMICOLON | OPEN) != 0
        follows = after == _BLANK_CHAR and _class_at(points, at + 2, classes) in (_LETTER, _DIGIT)
        return DOUBT if begins and follows and not wordy_before else QUESTION
    if kind == _CLOSE_CHAR:
        blank_box = before in (_BLANK_CHAR, _OPEN_CHAR) and gap & OPEN
        return (CLOSE | EMPTY_BOX) if blank_box and points[at] == 93 else CLOSE
    return 0


@compiled
def tokenise_points(
    points: npt.NDArray[np.uint32],
    classes: npt.NDArray[np.uint8],
    folds: npt.NDArray[np.uint32],
    keys: Hashes,
    values: Ints,
    first_compound: int,
) -> tuple[int, Ints, Ints, Ints, Ints, Ints, Ints, Hashes]:
    size = points.size
    room = size // 2 + 2
    start, end = np.empty(room, np.int32), np.empty(room, np.int32)
    word, gap_before = np.empty(room, np.int32), np.empty(room, np.int32)
    shape, line = np.empty(room, np.int32), np.empty(room, np.int32)
    hashes = np.empty(room, np.uint64)
    plain = np.zeros(32, np.int64)
    plain[_BLANK_CHAR] = SPACE
    plain[_COMMA_CHAR] = COMMA
    plain[_SLASH_CHAR] = SLASH
    plain[_OPEN_CHAR] = OPEN
    plain[_STOP_CHAR] = STOP
    plain[_COLON_CHAR] = COLON
    plain[_SEMICOLON_CHAR] = SEMICOLON
    plain[_PLUS_CHAR] = PLUS
    plain[_EQUALS_CHAR] = EQUALS
    plain[_DASH_CHAR] = DASH
    plain[_OTHER_CHAR] = OTHER
    n = 0
    at = 0
    gap = 0
    lines = 1  # line ends since the last word; the text's start counts as one
    line_start = 0
    ended = 0
    fresh = True  # nothing but blanks since the line began
    while at < size:
        kind = _class_at(points, at, classes)
        if kind > _DIGIT:
            if kind == _LINE:
                if not (points[at] == 10 and at and points[at - 1] == 13):
                    lines += 1
                    if lines == 1:
                        ended = at - line_start
                    gap |= NEWLINE if lines == 1 else NEWLINE | BLANK
                line_start = at + 1
                fresh = True
            elif plain[kind]:
                gap |= plain[kind]
                fresh = fresh and kind in (_BLANK_CHAR, _OPEN_CHAR)
            elif kind != _IGNORED:
                gap |= _gap_flag(kind, at, points, classes, fresh, gap)
                fresh = False
            at += 1
            continue
        fresh = False
        value = _FNV_BASIS
        tied = gap == HYPHEN or gap == HYPHEN | NEWLINE
        tied = tied and n > 0
        joined = hashes[n - 1] if tied else _FNV_BASIS
        start[n] = at
        stop = at
        capitals = 0
        letters = 0
        digits = 0
        first_capital = False
        while at < size:
            point: Any = np.int64(points[at])
            if _SMALL_A <= point <= _SMALL_Z:  # most characters; they fold to themselves
                value = (value ^ np.uint64(point)) * _FNV_PRIME
                if tied:
                    joined = (joined ^ np.uint64(point)) * _FNV_PRIME
                letters += 1
                at += 1
                stop = at
                continue
            row: Any = point
            if point < _TABLE:
                kind = np.int64(classes[point])  # type: ignore[assignment]
            else:
                kind = _class_at(points, at, classes)
                row = _place(point)
            if kind <= _DIGIT:
                low = folds[0, row]
                value = (value ^ np.uint64(low)) * _FNV_PRIME
                if tied:
                    joined = (joined ^ np.uint64(low)) * _FNV_PRIME
                if row >= 128:
                    for column in range(1, 3):
                        more = folds[column, row]
                        if more == 0:
                            break
                        value = (value ^ np.uint64(more)) * _FNV_PRIME
                        joined = (joined ^ np.uint64(more)) * _FNV_PRIME
                if kind == _DIGIT:
                    digits += 1
                else:
                    letters += 1
                    if low != point and (point < 128 or 0xC0 <= point <= 0xDE):
                        capitals += 1
                        if stop == start[n]:
                            first_capital = True
                at += 1
                stop = at
            elif kind == _IGNORED:
                at += 1
            elif kind == _APOSTROPHE:
                after = _class_at(points, at + 1, classes)
                if after != _LETTER:
                    break
                letter = points[at + 1]
                if (letter == 115 or letter == 83) and _class_at(points, at + 2, classes) > _IGNORED:
                    at += 2
                    break
                at += 1
            else:
                break
        form = 0
        if first_capital:
            form |= CAPITAL
        if capitals and capitals == letters:
            form |= ALL_CAPITALS
        elif capitals > 1 or (capitals and not first_capital):
            form |= INNER_CAPITAL
        if digits:
            form |= DIGITS
            if not letters:
                form |= ALL_DIGITS
        if tied:
            known = look_up(joined, keys, values)
            if 0 <= known < first_compound:
                end[n - 1] = stop
                hashes[n - 1] = joined
                shape[n - 1] = (shape[n - 1] & form) | (shape[n - 1] & CAPITAL)
                gap = 0
                lines = 0
                continue
        end[n] = stop
        hashes[n] = value
        gap_before[n] = gap if n else gap | NEWLINE
        shape[n] = form
        line[n] = ended if lines else 0
        n += 1
        gap = 0
        lines = 0
        ended = 0
    for k in range(n):  # apart from the reading of characters, so that the waits for memory overlap
        word[k] = look_up(hashes[k], keys, values)
    return n, start, end, word, gap_before, shape, line, hashes


def tokenise(text: str, keys: Hashes, values: Ints, first_compound: int) -> Tokens:
    """Words of a text, looked up in a vocabulary (an open table of word hashes).

    Two words tied by a hyphen are one where the vocabulary has the joined word below `first_compound`.
    """
    classes, folds = character_tables()
    n, start, end, word, gap, shape, line, hashes = tokenise_points(
        code_points(text), classes, folds, keys, values, first_compound
    )
    return Tokens(start[:n], end[:n], word[:n], gap[:n], shape[:n], line[:n], hashes[:n])


_NO_KEYS = np.zeros(2, np.uint64)
_NO_VALUES = np.zeros(2, np.int32)


def split_words(text: str) -> list[str]:
    """Folded words of a phrase, hyphens split: the form vocabularies are made of."""
    found = tokenise(text, _NO_KEYS, _NO_VALUES, 0)
    return [fold(text[a:b]) for a, b in zip(found.start.tolist(), found.end.tolist(), strict=True)]


def fold(word: str) -> str:
    """A word without case, accents, ligatures, apostrophes and invisible characters."""
    if word.isascii():
        return word.lower().replace("'", "").replace("`", "")
    return "".join(_folded(part) for part in word if _class_of(part) in (_LETTER, _DIGIT))


def in_small_letters(text: str) -> str:
    """The text in small letters, character by character, as an expression without regard to case reads it: places in
    the one are places in the other."""
    return text.replace("\u0130", "i").replace("\u0131", "i").replace("\u017f", "s").lower()


def word_hashes(words: Sequence[str]) -> Hashes:
    """FNV-1a of folded words, over code points, as the tokeniser makes them. ValueError where one is not a single
    word."""
    classes, folds = character_tables()
    n, _, _, _, _, _, _, hashes = tokenise_points(
        code_points("\n".join(words)), classes, folds, _NO_KEYS, _NO_VALUES, 0
    )
    if n != len(words):
        raise ValueError("a vocabulary holds single words only")
    return hashes[:n].copy()


def open_table(keys: Hashes, values: Sequence[int] | Ints) -> tuple[Hashes, Ints]:
    """An open-addressing table, at most half full; the first of equal keys stays."""
    size = 1 << max(4, (2 * len(keys)).bit_length())
    table, stored = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
    _fill(table, stored, np.ascontiguousarray(keys, np.uint64), np.asarray(values, np.int32))
    return table, stored


@compiled
def _fill(table: Hashes, stored: Ints, keys: Hashes, values: Ints) -> None:
    mask = np.uint64(table.size - 1)
    for index in range(keys.size):
        at = keys[index] & mask
        while table[at] != np.uint64(0) and table[at] != keys[index]:
            at = (at + np.uint64(1)) & mask
        if table[at] == np.uint64(0):
            table[at] = keys[index]
            stored[at] = values[index]
