"""Abbreviations: those a note spells out itself, and those whose sense other words of the note make clear.

Spelled out: "atrial septal defect (ASD)" or "ASD (atrial septal defect)", after Schwartz and Hearst, Pac Symp Biocomput
2003:451-462: the short form stands in brackets beside the long one and begins with the first letter of one of its
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.lexicon import BY_CONTEXT, MARKS, Lexicon
from zebrawatch.evidence.tokens import ALL_CAPITALS, CLOSE, INNER_CAPITAL, OPEN, Ints, Tokens

_LONGEST = 8
Spans = tuple[Ints, Ints, Ints]


def with_spelled_out(text: str, tokens: Tokens, spans: Spans) -> Spans:
    """Add every use of an abbreviation that the text itself spells out beside a finding."""
    if "(" not in text or not spans[0].size:
        return spans
    meant: dict[str, int] = {}
    for place, term in _definitions(text, tokens, spans):
        meant.setdefault(_singular(text[tokens.start[place] : tokens.end[place]]), term)
    if not meant:
        return spans
    covered = np.zeros(tokens.start.size + 1, np.int32)
    np.add.at(covered, spans[0], 1)
    np.add.at(covered, spans[1] + 1, -1)
    covered = np.cumsum(covered)
    capital = np.flatnonzero(tokens.shape & (ALL_CAPITALS | INNER_CAPITAL))
    found = [
        (at, meant[written])
        for at in capital.tolist()
        if not covered[at] and (written := _singular(text[tokens.start[at] : tokens.end[at]])) in meant
    ]
    if not found:
        return spans
    at = np.array([place for place, _ in found], np.int32)
    return in_order(
        np.concatenate([spans[0], at]),
        np.concatenate([spans[1], at]),
        np.concatenate([spans[2], np.array([term for _, term in found], np.int32)]),
    )


def in_order(first: Ints, last: Ints, entry: Ints) -> Spans:
    """By first word, longest first."""
    order = np.lexsort((entry, -last, first))
    return first[order], last[order], entry[order]


def _definitions(text: str, tokens: Tokens, spans: Spans) -> Iterator[tuple[int, int]]:
    """(word that is an abbreviation, entry it stands for)."""
    count = tokens.start.size
    for first, last, entry in zip(*(column.tolist() for column in spans), strict=True):
        after = last + 1
        if after < count and tokens.gap[after] & OPEN and (after + 1 == count or tokens.gap[after + 1] & CLOSE):
            if _stands_for(text, tokens, after, first, last):
                yield after, entry
            continue
        closed = first and tokens.gap[first] & OPEN and (after == count or tokens.gap[after] & CLOSE)
        if closed and _stands_for(text, tokens, first - 1, first, last):
            yield first - 1, entry


def _stands_for(text: str, tokens: Tokens, short: int, first: int, last: int) -> bool:
    written = text[tokens.start[short] : tokens.end[short]]
    if not 2 <= len(written) <= _LONGEST or not tokens.shape[short] & (ALL_CAPITALS | INNER_CAPITAL):
        return False
    initials = {text[tokens.start[at]].lower() for at in range(first, last + 1)}
    return written[0].lower() in initials


def _singular(written: str) -> str:
    return written[:-1] if len(written) > 2 and written[-1] == "s" and written[:-1].isupper() else written


@lru_cache(maxsize=512)
def _context(beginnings: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{beginnings})", re.IGNORECASE)


def _plain(text: str) -> str:
    """In small letters, so that whatever an expression without regard to case finds stands in it as written."""
    return text.replace("\u0130", "i").replace("\u0131", "i").replace("\u017f", "s").lower()


def _votes(text: str, plain: str, beginnings: str) -> int:
    """How often a word begins in one of these ways; expressions are slow, so only for what stands in the text."""
    told = "|".join(one for one in beginnings.split("|") if one in plain)
    return len(_context(told).findall(text)) if told else 0


def resolve_senses(text: str, tokens: Tokens, spans: Spans, lexicon: Lexicon) -> tuple[Spans, Ints]:
    """Spans whose sense is clear, and the term of each: that of its entry, or of the sense the note's words speak
    for."""
    first, last, entry = spans
    terms = lexicon.entry_term[entry]
    unclear: npt.NDArray[np.bool_] = lexicon.index.entries[entry, MARKS] & BY_CONTEXT != 0
    if not unclear.any():
        return spans, terms
    keep = ~unclear
    terms = terms.copy()
    chosen: dict[str, int] = {}
    plain = _plain(text)
    for place in np.flatnonzero(unclear).tolist():
        written = _singular(text[tokens.start[first[place]] : tokens.end[last[place]]])
        if written not in chosen:
            senses = lexicon.abbreviations.get(written, ())
            votes = [(_votes(text, plain, context), -rank, term) for rank, (term, context) in enumerate(senses)]
            most = max(votes, default=(0, 0, -1))
            chosen[written] = most[2] if most[0] else -1
        keep[place] = chosen[written] >= 0
        terms[place] = max(chosen[written], 0)
    return (first[keep], last[keep], entry[keep]), terms[keep]
