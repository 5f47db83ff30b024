"""HPO findings in the text of a note.

One pass: words (tokens), sentences, entries of the lexicon in any word order (matching), then what each mention claims (assertion). All
but the making of the result is compiled; time is linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zebrawatch.evidence.assertion import FAMILY, NEGATED, RELATIVES, Judge, assertion_of
from zebrawatch.evidence.lexicon import OPPOSITE, Lexicon
from zebrawatch.evidence.matching import keep_longest, match
from zebrawatch.evidence.sentences import sentence_bounds, sentences
from zebrawatch.evidence.tokens import tokenise

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
    judge: Judge = field(default_factory=Judge.make, repr=False, compare=False)

    def find(self, text: str) -> list[Mention]:
        """Mentions in order of their start. Any text will do; the result is bounded by its length."""
        if not text:
            return []
        lexicon = self.lexicon
        tokens = tokenise(text, lexicon.word_keys, lexicon.word_values, lexicon.first_compound)
        sentence = sentences(tokens)
        hits = match(tokens, sentence, lexicon)
        if not hits.first.size:
            return []
        first, last, entry = hits.first, hits.last, hits.entry
        if not self.nested:
            keep = keep_longest(first, last, hits.level, tokens.start, tokens.end)
            first, last, entry = first[keep], last[keep], entry[keep]
        meaning, who = self.judge.meanings(tokens, sentence, first, last)
        opposite = lexicon.entry_marks[entry] & OPPOSITE != 0
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
                tokens.start[first].tolist(), tokens.end[last].tolist(), lexicon.entry_term[entry].tolist(), meaning.tolist(),
                who.tolist(), bounds[0][at].tolist(), bounds[1][at].tolist(), strict=True,
            )
        ]  # fmt: skip
