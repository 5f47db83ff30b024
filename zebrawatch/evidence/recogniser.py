"""HPO findings in the text of a note.

One pass: words (tokens), sentences, entries of the lexicon in any word order (matching), then what each mention claims (assertion). All
but the making of the result is compiled; time is linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zebrawatch.evidence.abbreviations import in_order, resolve_senses, with_spelled_out
from zebrawatch.evidence.assertion import FAMILY, NEGATED, RELATIVES, Judge, assertion_of
from zebrawatch.evidence.coordination import coordinated
from zebrawatch.evidence.lexicon import OPPOSITE, Lexicon
from zebrawatch.evidence.matching import keep_longest, match
from zebrawatch.evidence.sentences import sentence_bounds, sentences
from zebrawatch.evidence.tokens import ALL_CAPITALS, Ints, Tokens, tokenise, word_hashes

_A = word_hashes(["a"])[0]
_ASSERTIONS = tuple(assertion_of(bits) for bits in range(32))


class Mention(NamedTuple):
    """A finding as written. `text[start:end]` is the quote; offsets count code points."""

    start: int
    end: int
    hpo_id: str
    origin: str
    """text, or measurement (a value written in the text)."""
    assertion: str
    """present, negated, uncertain, hypothetical, historical."""
    experiencer: str
    """patient, family."""
    relative: str | None
    """Which relative, where the text says; null otherwise."""
    sentence_start: int
    sentence_end: int


@dataclass(frozen=True)
class Recogniser:
    """Finds HPO terms in text. It pickles; `nested` also reports mentions inside longer ones."""

    lexicon: Lexicon
    nested: bool = False
    opposites: bool = True
    """Report normal states as denied findings: "normal tone" denies hypotonia."""
    judge: Judge = field(default_factory=Judge.make, repr=False, compare=False)

    def find(self, text: str) -> list[Mention]:
        """Mentions in order of their start. Any text will do; the result is bounded by its length."""
        if not text:
            return []
        lexicon = self.lexicon
        tokens = tokenise(text, lexicon.word_keys, lexicon.word_values, lexicon.first_compound)
        sentence = sentences(tokens)
        _mark_capital_a(tokens, sentence, lexicon)
        spans = with_spelled_out(text, tokens, self._spans(tokens, sentence))
        (first, last, entry), terms = resolve_senses(text, tokens, spans, lexicon)
        if not first.size:
            return []
        opposite = lexicon.entry_marks[entry] & OPPOSITE != 0
        if not self.opposites:
            first, last, entry, terms = (column[~opposite] for column in (first, last, entry, terms))
            opposite = opposite[~opposite]
        meaning, who = self.judge.meanings(tokens, sentence, first, last)
        meaning = np.where(opposite, meaning ^ NEGATED, meaning)
        bounds = sentence_bounds(sentence, tokens.start, tokens.end, len(text))
        at = sentence[first]
        ids = lexicon.hpo_ids
        return [
            Mention(
                start, end, ids[term], "text", _ASSERTIONS[bits], "family" if bits & FAMILY else "patient",
                RELATIVES[relative] if bits & FAMILY and relative >= 0 else None, sentence_start, sentence_end,
            )
            for start, end, term, bits, relative, sentence_start, sentence_end in zip(
                tokens.start[first].tolist(), tokens.end[last].tolist(), terms.tolist(), meaning.tolist(),
                who.tolist(), bounds[0][at].tolist(), bounds[1][at].tolist(), strict=True,
            )
        ]  # fmt: skip

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, HPO id) of mentions without judging them; abbreviations stay out."""
        if not text:
            return []
        lexicon = self.lexicon
        tokens = tokenise(text, lexicon.word_keys, lexicon.word_values, lexicon.first_compound)
        sentence = sentences(tokens)
        _mark_capital_a(tokens, sentence, lexicon)
        first, last, entry = self._spans(tokens, sentence)
        ids = lexicon.hpo_ids
        return [
            (start, end, ids[term])
            for start, end, term in zip(
                tokens.start[first].tolist(),
                tokens.end[last].tolist(),
                lexicon.entry_term[entry].tolist(),
                strict=True,
            )
        ]

    def _spans(self, tokens: Tokens, sentence: Ints) -> tuple[Ints, Ints, Ints]:
        """First word, last word and entry of each mention, in order."""
        hits = match(tokens, sentence, self.lexicon)
        first, last, entry = hits.first, hits.last, hits.entry
        if not self.nested:
            keep = keep_longest(first, last, hits.level, tokens.start, tokens.end)
            first, last, entry = first[keep], last[keep], entry[keep]
        more = coordinated(tokens, sentence, self.lexicon)
        if more[0].size:
            first, last, entry = _with_coordinated(first, last, entry, more)
        return first, last, entry


def _mark_capital_a(tokens: Tokens, sentence: Ints, lexicon: Lexicon) -> None:
    """A capital A that begins no sentence is a name, not an article: type A brachydactyly."""
    if lexicon.capital_a < 0:
        return
    capital = (tokens.end - tokens.start == 1) & (tokens.shape & ALL_CAPITALS != 0) & (tokens.hash == _A)
    if capital.any():
        inside = np.flatnonzero(capital[1:] & (sentence[1:] == sentence[:-1])) + 1
        tokens.word[inside] = lexicon.capital_a


def _with_coordinated(
    first: Ints, last: Ints, entry: Ints, more: tuple[Ints, Ints, Ints, Ints]
) -> tuple[Ints, Ints, Ints]:
    """Add coordinated findings whose borrowing word is in no other finding."""
    taken = [
        bool(np.any((first <= core) & (core <= last) & (last > first))) or bool(np.any((first == begin) & (last == end)))
        for begin, end, core in zip(more[0], more[1], more[3], strict=True)
    ]
    keep = ~np.array(taken)
    return in_order(
        np.concatenate([first, more[0][keep]]),
        np.concatenate([last, more[1][keep]]),
        np.concatenate([entry, more[2][keep]]),
    )
