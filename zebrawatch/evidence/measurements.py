"""Values written in text as findings: "CK 12 000", "OFC 3 SD below mean", "height < 3rd centile".

Only sentences that name something measured are read with expressions, in small letters; the names are found by their
word hashes first.
Limits stand in `measurements.tsv` with their sources. A value inside its limits says nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.tables import rows
from zebrawatch.evidence.tokens import (
    DIGITS,
    Hashes,
    Ints,
    Tokens,
    in_small_letters,
    look_up,
    open_table,
    split_words,
    word_hashes,
)

_NUMBER = r"[<>≤≥~]?\s*(\d{1,3}(?:[ ,\u202f\u00a0]\d{3})+|\d{1,6}(?:\.\d{1,3})?)"
_BETWEEN = (
    r"(?:\s+(?:was|is|of|at|level|count|concentration|value|today|measured|came back|result|peaked|score|full scale))*"
)
_UNIT = r"\s*(mmol/l|mg/dl|g/dl|g/l|iu/l|u/l|°\s?c|c\b|°\s?f|f\b|[x×]\s?10|k/[uµμ]l|/[uµμ]l|/mm3|/cumm|%)?"
_ORDINAL = r"(\d{1,2}(?:\.\d)?)\s?(?:st|nd|rd|th)?"
_BELOW = r"(?:<|≤|below|less than|under)"
_ABOVE = r"(?:>|≥|above|over|greater than|more than)"
_GROWTH = re.compile(
    rf"(?P<side>{_BELOW}|{_ABOVE})\s*(?:the\s+)?{_ORDINAL}\s*(?:(?:per)?centile|%\s?t?ile)"
    r"|(?P<bare>\d{1,2}(?:\.\d)?)\s?(?:st|nd|rd|th)\s*(?:(?:per)?centile|%\s?t?ile)"
    r"|(?:sds?|\bz(?:[- ]?scores?)?)\s*(?:of|was|is|at|[:=])?\s*(?P<zsign>[-−–+])\s?(?P<z>\d(?:\.\d{1,2})?)\b"
    rf"|(?P<sign>[-−–+])\s?(?P<sds>\d(?:\.\d{{1,2}})?)\s*(?:sds?|standard deviations?|z)\b"
    rf"|(?P<many>\d(?:\.\d{{1,2}})?)\s*(?:sds?|standard deviations?)\s+(?P<way>{_BELOW}|{_ABOVE})"
)
_RANGE = re.compile(r"(?:st|nd|rd|th)?\s*(?:and|to|[-–])\s*(?:the\s+)?\Z")
_SAME_UNIT = {"k/ul": "x10", "k/µl": "x10", "k/μl": "x10", "/µl": "/ul", "/μl": "/ul", "/mm3": "/ul", "/cumm": "/ul"}
_TOGETHER = re.compile(r"\s*(?:,|/|&|,?\s*and)\s*(?:the\s+)?")
_REACH = 60
"""Characters between the name of a measure and its place on a growth chart."""
_MOST_IN_SENTENCE = 2000


class Value(NamedTuple):
    """A value that is a finding; `text[start:end]` holds name and value."""

    start: int
    end: int
    hpo_id: str


class _Limit(NamedTuple):
    kind: str
    unit: str
    limit: float
    hpo_id: str


@cache
def _limits() -> dict[str, tuple[_Limit, ...]]:
    found: dict[str, list[_Limit]] = defaultdict(list)
    for row in rows("measurements.tsv"):
        for words in row["words"].split("|"):
            found[words].append(_Limit(row["kind"], row["unit"], float(row["limit"] or 0), row["hpo_id"]))
    return {words: tuple(limits) for words, limits in found.items()}


@cache
def _names() -> re.Pattern[str]:
    longest_first = sorted(_limits(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")


@cache
def _value() -> re.Pattern[str]:
    return re.compile(rf"{_BETWEEN}\s*[:=]?\s*{_NUMBER}{_UNIT}")


@cache
def _anchors() -> tuple[Hashes, Ints]:
    words = sorted({split_words(words)[-1] for words in _limits()})
    return open_table(word_hashes(words), range(len(words)))


@compiled
def anchored(hashes: Hashes, shape: Ints, sentence: Ints, start: Ints, end: Ints, keys: Hashes, values: Ints) -> Ints:
    """First character and end of the sentences that hold a word a measure's name ends in, and a number after it."""
    found = np.empty((hashes.size, 2), np.int32)
    n = 0
    first = 0
    unread = 0  # first word of this sentence that was not looked up; names are looked for only where a number follows
    told = False
    for i in range(hashes.size):
        if i and sentence[i] != sentence[i - 1]:
            first = unread = i
            told = False
        if told:
            found[n - 1, 1] = end[i]
        elif shape[i] & DIGITS:
            while unread < i and not told:
                told = look_up(hashes[unread], keys, values) >= 0
                unread += 1
            if told:
                found[n, 0], found[n, 1] = start[first], end[i]
                n += 1
    return found[:n].copy()


def find_values(text: str, tokens: Tokens, sentence: Ints) -> list[Value]:
    """Values beyond their limits, in order."""
    found: list[Value] = []
    for begin, end in anchored(tokens.hash, tokens.shape, sentence, tokens.start, tokens.end, *_anchors()).tolist():
        read = in_small_letters(text[begin : min(end + 1, begin + _MOST_IN_SENTENCE)])
        found.extend(Value(begin + one.start, begin + one.end, one.hpo_id) for one in _in_sentence(read))
    return found


def _in_sentence(text: str) -> Iterator[Value]:
    """Values of one sentence in small letters."""
    names = list(_names().finditer(text))
    together: list[re.Match[str]] = []  # "height and weight below the 3rd centile": one place for both
    for name, after in zip(names, [*names[1:], None], strict=False):
        limits = _limits()[name.group(1)]
        stop = after.start() if after else len(text)
        if limits[0].kind.startswith("growth"):
            together.append(name)
            if after and _TOGETHER.fullmatch(text, name.end(), after.start()):
                continue
            place, side = _on_chart(text, name.end(), min(stop, name.end() + _REACH))
            if place and side:
                yield from (Value(one.start(), place.end(), _growth_term(one, side)) for one in together)
            together = []
            continue
        together = []
        value = _value().match(text, name.end(), stop)
        if value:
            term = _beyond(float(re.sub(r"[^\d.]", "", value.group(1))), value.group(2) or "", limits)
            if term:
                yield Value(name.start(), value.end(2) if value.group(2) else value.end(1), term)


def _growth_term(name: re.Match[str], side: str) -> str:
    return next(one.hpo_id for one in _limits()[name.group(1)] if one.kind.endswith(side))


def _on_chart(text: str, begin: int, end: int) -> tuple[re.Match[str] | None, str]:
    """The first place on a growth chart that is told, and its side; a centile between others is passed over."""
    for place in _GROWTH.finditer(text, begin, end):
        side = _side(place)
        if side == "above" and place.group("bare") and _RANGE.search(text, begin, place.start()):
            continue  # "between the 2nd and 98th centile" is a range, not a place
        if side or not place.group("bare"):
            return place, side
    return None, ""


def _side(place: re.Match[str]) -> str:
    """`below` or `above` where the place on the chart is beyond two SD or the 3rd or 97th centile."""
    if place.group("bare"):
        on = float(place.group("bare"))  # on the 3rd centile itself is not below it
        return "below" if on < 3 else "above" if on > 97 else ""
    if place.group("side"):
        centile = float(place.group(2))
        below = re.match(_BELOW, place.group("side")) is not None
        return "below" if below and centile <= 3 else "above" if not below and centile >= 97 else ""
    deviations = float(place.group("sds") or place.group("z") or place.group("many"))
    if deviations < 2:
        return ""
    sign = place.group("sign") or place.group("zsign")
    if sign:
        return "above" if sign == "+" else "below"
    return "below" if re.match(_BELOW, place.group("way")) else "above"


def _beyond(value: float, unit: str, limits: tuple[_Limit, ...]) -> str | None:
    unit = unit.replace("°", "").replace(" ", "").replace("×", "x")
    unit = _SAME_UNIT.get(unit, unit)
    fitting = [one for one in limits if one.unit == unit] or [one for one in limits if not one.unit]
    if not fitting and not unit:
        # Without a unit the scale is told by the size: haemoglobin 8.1 is g/dL, 81 g/L; temperature is in Celsius.
        fitting = [one for one in limits if one.limit / 5 <= value <= one.limit * 3 and len(limits) == 1]
        fitting = fitting or [min(limits, key=lambda one: abs(np.log(max(value, 0.1) / one.limit)))]
    for one in fitting:
        if (one.kind == "above" and value > one.limit) or (one.kind == "below" and value < one.limit):
            return one.hpo_id
    return None
