"""Abbreviations: those a note spells out itself, and those whose sense other words of the note make clear.

Spelled out: "atrial septal defect (ASD)" or "ASD (atrial septal defect)", after Schwartz and Hearst, Pac Symp Biocomput
2003:451-462: the short form stands in brackets beside the long one and begins with the first letter of one of its
words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.lexicon import BY_CONTEXT, MARKS, Lexicon
from zebrawatch.evidence.tokens import ALL_CAPITALS, CLOSE, INNER_CAPITAL, OPEN, Ints, Tokens, in_small_letters

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
    first, last, entry = spans
    for span, short in in_brackets(first, last, tokens.gap, tokens.shape).tolist():
        if _stands_for(text, tokens, short, first[span], last[span]):
            yield short, int(entry[span])


@compiled
def in_brackets(first: Ints, last: Ints, gap: Ints, shape: Ints) -> Ints:
    """Rows of (span, word in capitals beside it), of which one stands in brackets: the word, or the span after it."""
    out = np.empty((first.size, 2), np.int32)
    n = 0
    for k in range(first.size):
        after = last[k] + 1
        short = -1
        if after < gap.size and gap[after] & OPEN and (after + 1 == gap.size or gap[after + 1] & CLOSE):
            short = after
        elif first[k] and gap[first[k]] & OPEN and (after == gap.size or gap[after] & CLOSE):
            short = first[k] - 1
        if short >= 0 and shape[short] & (ALL_CAPITALS | INNER_CAPITAL):
            out[n, 0], out[n, 1] = k, short
            n += 1
    return out[:n]


def _stands_for(text: str, tokens: Tokens, short: int, first: int, last: int) -> bool:
    written = text[tokens.start[short] : tokens.end[short]]
    if not 2 <= len(written) <= _LONGEST:
        return False
    initials = {text[tokens.start[at]].lower() for at in range(first, last + 1)}
    return written[0].lower() in initials


def _singular(written: str) -> str:
    return written[:-1] if len(written) > 2 and written[-1] == "s" and written[:-1].isupper() else written


def _votes(plain: str, beginnings: str) -> int:
    """How many words begin in one of these ways."""
    return len({place for beginning in beginnings.split("|") for place in _words_in(plain, beginning)})


def _words_in(plain: str, beginning: str) -> Iterator[int]:
    place = plain.find(beginning)
    while place >= 0:
        if not place or not (plain[place - 1].isalnum() or plain[place - 1] == "_"):
            yield place
        place = plain.find(beginning, place + 1)


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
    plain = in_small_letters(text)
    for place in np.flatnonzero(unclear).tolist():
        written = _singular(text[tokens.start[first[place]] : tokens.end[last[place]]])
        if written not in chosen:
            senses = lexicon.abbreviations.get(written, ())
            votes = [(_votes(plain, context), -rank, term) for rank, (term, context) in enumerate(senses)]
            most = max(votes, default=(0, 0, -1))
            chosen[written] = most[2] if most[0] else -1
        keep[place] = chosen[written] >= 0
        terms[place] = max(chosen[written], 0)
    return (first[keep], last[keep], entry[keep]), terms[keep]
