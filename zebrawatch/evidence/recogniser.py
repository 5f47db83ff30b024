"""HPO findings in the text of a note.

One pass: words (tokens), sentences, entries of the lexicon in any word order (matching), findings told together
(coordination), then what each mention claims (assertion). All but the making of the result is compiled; time is
linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from zebrawatch.evidence.abbreviations import resolve_senses, with_spelled_out
from zebrawatch.evidence.assertion import FAMILY, NEGATED, RELATIVES, Judge, assertion_of
from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.coordination import find_coordinated
from zebrawatch.evidence.lexicon import BY_CONTEXT, CAPITALS, OPPOSITE, Lexicon
from zebrawatch.evidence.matching import find_hits, keep_longest
from zebrawatch.evidence.measurements import Value, find_values
from zebrawatch.evidence.sentences import sentence_bounds, sentences
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    Hashes,
    Ints,
    Tokens,
    Words,
    tokenise,
    word_hashes,
)

_A = word_hashes(["a"])[0]
_FAR = 64  # words; no finding is longer
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
def _merge(
    first: Ints, last: Ints, entry: Ints, more_first: Ints, more_last: Ints, more_entry: Ints, core: Ints
) -> tuple[Ints, Ints, Ints]:
    """Add coordinated findings whose borrowing word is in no other finding of more words; by first word, longest
    first."""
    keep = np.ones(more_first.size, np.bool_)
    for k in range(more_first.size):
        for j in range(np.searchsorted(first, core[k] - _FAR), first.size):
            if first[j] > max(core[k], more_first[k]):
                break
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
        values = find_values(text, tokens, sentence)
        measured = self._measured(tokens, sentence, values) if values else []
        if not spans[0].size:
            return measured
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
        found = self._mentions(tokens, sentence, first, last, terms, meaning, who)
        if not measured:
            return found
        # "height below the 3rd centile" may be a name and a value at once: it is one mention
        named = {(one.start, one.end, one.hpo_id) for one in found}
        values_only = [one for one in measured if (one.start, one.end, one.hpo_id) not in named]
        return sorted([*found, *values_only], key=lambda one: (one.start, -one.end, one.hpo_id))

    def _measured(self, tokens: Tokens, sentence: Ints, values: list[Value]) -> list[Mention]:
        known = self._terms
        kept = [value for value in values if value.hpo_id in known]
        first = np.searchsorted(tokens.end, [value.start for value in kept], side="right").astype(np.int32)
        last = (np.searchsorted(tokens.start, [value.end for value in kept], side="left") - 1).astype(np.int32)
        meaning, who = self.judge.meanings(tokens, sentence, first, last)
        meaning &= ~NEGATED  # a value that is written down was measured
        terms = np.array([known[value.hpo_id] for value in kept], np.int32)
        found = self._mentions(tokens, sentence, first, last, terms, meaning, who)
        return [
            mention._replace(start=value.start, end=value.end, origin="measurement")
            for mention, value in zip(found, kept, strict=True)
        ]

    @cached_property
    def _terms(self) -> dict[str, int]:
        return {term_id: index for index, term_id in enumerate(self.lexicon.hpo_ids)}

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
                tokens.start[first].tolist(),
                tokens.end[last].tolist(),
                self.lexicon.entry_term[entry].tolist(),
                strict=True,
            )
        ]

    def _read(self, text: str) -> tuple[Tokens, Ints, Ints, Ints, Ints]:
        """Words, sentence of each word, and first word, last word and entry of each mention in order."""
        lexicon = self.lexicon
        tokens = tokenise(text, lexicon.word_keys, lexicon.word_values, lexicon.first_compound)
        sentence = sentences(tokens)
        words = Words(tokens.word, tokens.gap, tokens.shape, sentence)
        mark_capital_a(words, tokens.hash, _A, lexicon.capital_a)
        first, last, entry, level = find_hits(words, lexicon.index)
        if not self.nested:
            keep = keep_longest(first, last, level, tokens.start, tokens.end)
            first, last, entry = first[keep], last[keep], entry[keep]
        more = find_coordinated(words, lexicon.index)
        if more[0].size:
            first, last, entry = _merge(first, last, entry, *more)
        return tokens, sentence, first, last, entry


@compiled
def mark_capital_a(words: Words, hashes: Hashes, a_hash: np.uint64, capital_a: int) -> None:
    """A capital A that begins no sentence is a name, not an article: type A brachydactyly."""
    if capital_a < 0:
        return
    word, shape, sentence = words.word, words.shape, words.sentence
    for i in range(1, hashes.size):
        if hashes[i] == a_hash and shape[i] & ALL_CAPITALS and sentence[i] == sentence[i - 1]:
            word[i] = capital_a
