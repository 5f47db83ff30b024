"""HPO findings in the text of a note.

One pass: words (tokens), sentences, entries of the lexicon in any word order (matching), findings told together (coordination), then what
each mention claims (assertion). All but the making of the result is compiled; time is linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.abbreviations import resolve_senses, with_spelled_out
from zebrawatch.evidence.assertion import FAMILY, NEGATED, RELATIVES, Judge, assertion_of
from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.coordination import find_coordinated
from zebrawatch.evidence.lexicon import BY_CONTEXT, CAPITALS, OPPOSITE, Index, Lexicon
from zebrawatch.evidence.matching import find_hits, keep_longest
from zebrawatch.evidence.sentences import SHORTENED, sentence_bounds, split_sentences
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    Hashes,
    Ints,
    Tokens,
    Words,
    character_tables,
    code_points,
    tokenise_points,
    word_hashes,
)

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


@compiled
def read_text(
    points: npt.NDArray[np.uint32],
    classes: npt.NDArray[np.uint8],
    folds: npt.NDArray[np.uint32],
    word_keys: Hashes,
    word_values: Ints,
    first_compound: int,
    capital_a: int,
    a_hash: np.uint64,
    shortened: Hashes,
    index: Index,
    nested: bool,
) -> tuple[tuple[Ints, Ints, Ints, Ints, Ints, Ints, Hashes], Ints, Ints, Ints, Ints]:
    """Words, sentences and spans (first word, last word, entry) of a text."""
    n, start, end, word, gap, shape, line, hashes = tokenise_points(
        points, classes, folds, word_keys, word_values, first_compound
    )
    start, end, word, gap, shape, line, hashes = start[:n], end[:n], word[:n], gap[:n], shape[:n], line[:n], hashes[:n]
    sentence = split_sentences(gap, shape, line, start, end, hashes, shortened)
    if capital_a >= 0:
        # A capital A that begins no sentence is a name, not an article: type A brachydactyly.
        for i in range(1, n):
            if hashes[i] == a_hash and shape[i] & ALL_CAPITALS and sentence[i] == sentence[i - 1]:
                word[i] = capital_a
    words = Words(word, gap, shape, sentence)
    first, last, entry, level = find_hits(words, index)
    if not nested:
        keep = keep_longest(first, last, level, start, end)
        first, last, entry = first[keep], last[keep], entry[keep]
    more_first, more_last, more_entry, core = find_coordinated(words, index)
    if more_first.size:
        first, last, entry = _merge(first, last, entry, more_first, more_last, more_entry, core)
    return (start, end, word, gap, shape, line, hashes), sentence, first, last, entry


@compiled
def _merge(
    first: Ints, last: Ints, entry: Ints, more_first: Ints, more_last: Ints, more_entry: Ints, core: Ints
) -> tuple[Ints, Ints, Ints]:
    """Add coordinated findings whose borrowing word is in no other finding of more words; by first word, longest first."""
    keep = np.ones(more_first.size, np.bool_)
    for k in range(more_first.size):
        for j in range(first.size):
            inside = first[j] <= core[k] <= last[j] and last[j] > first[j]
            if inside or (first[j] == more_first[k] and last[j] == more_last[k]):
                keep[k] = False
                break
    all_first = np.concatenate((first, more_first[keep]))
    all_last = np.concatenate((last, more_last[keep]))
    all_entry = np.concatenate((entry, more_entry[keep]))
    order = np.argsort(all_first.astype(np.int64) * (1 << 31) - all_last, kind="mergesort")
    return all_first[order], all_last[order], all_entry[order]


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
        tokens, sentence, *read = self._read(text)
        spans = with_spelled_out(text, tokens, (read[0], read[1], read[2]))
        if not spans[0].size:
            return []
        marks = self.lexicon.index.entry_marks[spans[2]]
        terms = self.lexicon.entry_term[spans[2]]
        if np.bitwise_or.reduce(marks) & BY_CONTEXT:
            spans, terms = resolve_senses(text, tokens, spans, self.lexicon)
            marks = self.lexicon.index.entry_marks[spans[2]]
        opposite = marks & OPPOSITE != 0
        first, last = spans[0], spans[1]
        if not self.opposites:
            first, last, terms, opposite = first[~opposite], last[~opposite], terms[~opposite], opposite[~opposite]
        meaning, who = self.judge.meanings(tokens, sentence, first, last)
        meaning ^= opposite * NEGATED
        return self._mentions(tokens, sentence, first, last, terms, meaning, who)

    def _mentions(
        self, tokens: Tokens, sentence: Ints, first: Ints, last: Ints, terms: Ints, meaning: Ints, who: Ints
    ) -> list[Mention]:
        ids = self.lexicon.hpo_ids
        begins, ends = sentence_bounds(sentence, tokens.start, tokens.end)
        at = sentence[first]
        return [
            Mention(
                start, end, ids[term], "text", _ASSERTIONS[bits], "family" if bits & FAMILY else "patient",
                RELATIVES[relative] if bits & FAMILY and relative >= 0 else None, begin, stop,
            )
            for start, end, term, bits, relative, begin, stop in zip(
                tokens.start[first].tolist(), tokens.end[last].tolist(), terms.tolist(), meaning.tolist(), who.tolist(),
                begins[at].tolist(), ends[at].tolist(), strict=True,
            )
        ]  # fmt: skip

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, HPO id) of mentions without judging them; abbreviations stay out."""
        if not text:
            return []
        tokens, _, first, last, entry = self._read(text)
        marks = self.lexicon.index.entry_marks[entry]
        if np.bitwise_or.reduce(marks) & CAPITALS:
            plain = marks & CAPITALS == 0
            first, last, entry = first[plain], last[plain], entry[plain]
        ids = self.lexicon.hpo_ids
        return [
            (start, end, ids[term])
            for start, end, term in zip(
                tokens.start[first].tolist(), tokens.end[last].tolist(), self.lexicon.entry_term[entry].tolist(), strict=True
            )
        ]

    def _read(self, text: str) -> tuple[Tokens, Ints, Ints, Ints, Ints]:
        lexicon = self.lexicon
        classes, folds = character_tables()
        columns, sentence, first, last, entry = read_text(
            code_points(text), classes, folds, lexicon.word_keys, lexicon.word_values, lexicon.first_compound,
            lexicon.capital_a, _A, SHORTENED, lexicon.index, self.nested,
        )  # fmt: skip
        return Tokens(*columns), sentence, first, last, entry
