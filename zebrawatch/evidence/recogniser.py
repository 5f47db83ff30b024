"""HPO findings in the text of a note.

One pass: words (tokens), sentences, entries of the lexicon in any word order (matching), findings told together
(coordination), then what each mention claims (assertion). All but the making of the result is compiled; time is
linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.abbreviations import Spans, in_order, resolve_senses, with_spelled_out
from zebrawatch.evidence.assertion import FAMILY, NEGATED, RELATIVES, Judge, Rules, assertion_of, judge_spans
from zebrawatch.evidence.compiled import compiled
from zebrawatch.evidence.coordination import find_coordinated
from zebrawatch.evidence.lexicon import BY_CONTEXT, CAPITALS, MARKS, NOTHING, OPPOSITE, WITH_TWINS, Index, Lexicon
from zebrawatch.evidence.matching import find_hits, keep_longest, read_words
from zebrawatch.evidence.measurements import Value, find_values
from zebrawatch.evidence.sentences import SHORTENED, bounds_of, split_sentences
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    Hashes,
    Ints,
    Tokens,
    Words,
    character_tables,
    code_points,
    fenced,
    tokenise_points,
    word_hashes,
)

_A = word_hashes(["a"])[0]
_MEASURED = -1
_FAR = 64  # words; no finding is longer
_ASSERTIONS = tuple(assertion_of(bits) for bits in range(32))
_EXPERIENCERS = tuple("family" if bits & FAMILY else "patient" for bits in range(32))
_RELATIVES = (*RELATIVES, None)  # so that -1 stands for none


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


_mention_of = partial(tuple.__new__, Mention)
"""Mention._make without its check of the length: these rows are made of nine columns."""


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
        text = fenced(text)
        tokens, sentence, spans, marks = self._read(text)
        spans = with_spelled_out(text, tokens, spans)
        values = find_values(text, tokens, sentence)
        measured = self._measured(tokens, sentence, values) if values else []
        if not spans[0].size:
            return measured
        if marks & WITH_TWINS:
            spans = self._with_twins(spans)
        terms = self.lexicon.entry_term[spans[2]]
        if marks & BY_CONTEXT:
            spans, terms = resolve_senses(text, tokens, spans, self.lexicon)
        if marks & OPPOSITE and not self.opposites:
            plain = self.lexicon.index.entries[spans[2], MARKS] & OPPOSITE == 0
            spans, terms = (spans[0][plain], spans[1][plain], spans[2][plain]), terms[plain]
        named = self._mentions(tokens, sentence, spans, terms)
        if not measured:
            return named
        # "height below the 3rd centile" may be a name and a value at once: it is one mention
        places = {(one.start, one.end, one.hpo_id) for one in named}
        values_only = [one for one in measured if (one.start, one.end, one.hpo_id) not in places]
        return sorted([*named, *values_only], key=lambda one: (one.start, -one.end, one.hpo_id))

    def _with_twins(self, spans: Spans) -> Spans:
        """A normal state once for every term that it denies."""
        twins, read = self.lexicon.twins, zip(*(column.tolist() for column in spans), strict=True)
        more = [(first, last, twin) for first, last, entry in read for twin in twins.get(entry, ())]
        if not more:
            return spans
        added = np.array(more, np.int32).T
        return in_order(*(np.concatenate(pair) for pair in zip(spans, added, strict=True)))

    def _measured(self, tokens: Tokens, sentence: Ints, values: list[Value]) -> list[Mention]:
        known = self._terms
        kept = [value for value in values if value.hpo_id in known]
        first = np.searchsorted(tokens.end, [value.start for value in kept], side="right").astype(np.int32)
        last = (np.searchsorted(tokens.start, [value.end for value in kept], side="left") - 1).astype(np.int32)
        terms = np.array([known[value.hpo_id] for value in kept], np.int32)
        found = self._mentions(tokens, sentence, (first, last, np.full_like(terms, _MEASURED)), terms)
        return [
            mention._replace(start=value.start, end=value.end, origin="measurement")
            for mention, value in zip(found, kept, strict=True)
        ]

    @cached_property
    def _terms(self) -> dict[str, int]:
        return {term_id: index for index, term_id in enumerate(self.lexicon.hpo_ids)}

    def _mentions(self, tokens: Tokens, sentence: Ints, spans: Spans, terms: Ints) -> list[Mention]:
        judge = self.judge
        start, end, begins, ends, bits, relative = judge_mentions(
            tokens.start, tokens.end, tokens.gap, tokens.hash, sentence, *spans, self.lexicon.index.entries,
            judge.sections.keys, judge.sections.values, judge.rules, judge.no_words, judge.yes_words,
        ).tolist()  # fmt: skip
        ids = self.lexicon.hpo_ids
        columns = zip(
            start, end, [ids[term] for term in terms.tolist()], repeat("text"), [_ASSERTIONS[bit] for bit in bits],
            [_EXPERIENCERS[bit] for bit in bits], [_RELATIVES[index] for index in relative], begins, ends, strict=False,
        )  # fmt: skip
        return list(map(_mention_of, columns))

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, HPO id) of mentions without judging them; abbreviations stay out."""
        if not text:
            return []
        tokens, _, spans, _ = self._read(text)
        ids, known = self.lexicon.hpo_ids, self.lexicon.index.entries
        start, end, terms = places_of(tokens.start, tokens.end, *spans, known, self.lexicon.entry_term).tolist()
        return [(begin, stop, ids[term]) for begin, stop, term in zip(start, end, terms, strict=True)]

    def _read(self, text: str) -> tuple[Tokens, Ints, Spans, int]:
        """Words, sentence of each word, first word, last word and entry of each mention in order, and the marks that
        any entry has."""
        lexicon = self.lexicon
        start, end, word, gap, shape, line, hashes, sentence, first, last, entry, marks = read_note(
            code_points(text), *character_tables(), lexicon.word_keys, lexicon.word_values, lexicon.first_compound,
            SHORTENED, _A, lexicon.capital_a, lexicon.index, self.nested,
        )  # fmt: skip
        return Tokens(start, end, word, gap, shape, line, hashes), sentence, (first, last, entry), marks


@compiled
def read_note(
    points: npt.NDArray[np.uint32],
    classes: npt.NDArray[np.uint8],
    folds: npt.NDArray[np.uint32],
    word_keys: Hashes,
    word_values: Ints,
    first_compound: int,
    shortened: Hashes,
    a_hash: np.uint64,
    capital_a: int,
    index: Index,
    nested: bool,
) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints, Hashes, Ints, Ints, Ints, Ints, int]:
    """Columns of the words (as in Tokens), sentence of each, first word, last word and entry of each mention, and the
    marks of all entries together.

    One compiled call: handing the steps' arrays to Python and back took as long as the steps.
    """
    n, start, end, word, gap, shape, line, hashes = tokenise_points(
        points, classes, folds, word_keys, word_values, first_compound
    )
    start, end, word, gap, shape, line, hashes = start[:n], end[:n], word[:n], gap[:n], shape[:n], line[:n], hashes[:n]
    sentence = split_sentences(gap, shape, line, start, end, hashes, shortened)
    words = Words(word, gap, shape, sentence)
    mark_capital_a(words, hashes, a_hash, capital_a)
    read = read_words(word, index.words)
    first, last, entry, level = find_hits(words, read, index)
    keep = np.ones(first.size, np.bool_) if nested else keep_longest(first, last, level, start, end)
    for k in range(keep.size):
        keep[k] = keep[k] and not index.entries[entry[k], MARKS] & NOTHING
    first, last, entry = first[keep], last[keep], entry[keep]
    more_first, more_last, more_entry, core = find_coordinated(words, read, index)
    if core.size:
        first, last, entry = _merge(first, last, entry, more_first, more_last, more_entry, core)
    marks = 0
    for one in entry:
        marks |= index.entries[one, MARKS]
    return start, end, word, gap, shape, line, hashes, sentence, first, last, entry, marks


@compiled
def places_of(start: Ints, end: Ints, first: Ints, last: Ints, entry: Ints, entries: Ints, terms: Ints) -> Ints:
    """Rows of the spans that are no abbreviations: first and last character, and term."""
    out = np.empty((3, first.size), np.int32)
    n = 0
    for k in range(first.size):
        if not entries[entry[k], MARKS] & CAPITALS:
            out[0, n], out[1, n], out[2, n] = start[first[k]], end[last[k]], terms[entry[k]]
            n += 1
    return out[:, :n]


@compiled
def judge_mentions(
    start: Ints, end: Ints, gap: Ints, hashes: Hashes, sentence: Ints, first: Ints, last: Ints, entry: Ints,
    entries: Ints, heading_keys: Hashes, heading_values: Ints, rules: Rules, no_words: Hashes, yes_words: Hashes,
) -> Ints:  # fmt: skip
    """Rows of what a mention holds in numbers: first and last character, those of its sentence, meaning, and relative
    (-1 where it is not of the family, or none is told).

    An entry of `_MEASURED` is a value that is written down: it was measured, so it is not denied.
    """
    meaning, who = judge_spans(
        hashes, gap, sentence, first, last, heading_keys, heading_values, rules, no_words, yes_words
    )
    out = np.empty((6, first.size), np.int32)
    out[2], out[3] = bounds_of(sentence[first], sentence, start, end)
    for k in range(first.size):
        bits = meaning[k]
        if entry[k] == _MEASURED:
            bits &= ~NEGATED
        elif entries[entry[k], MARKS] & OPPOSITE:
            bits ^= NEGATED
        out[0, k], out[1, k] = start[first[k]], end[last[k]]
        out[4, k], out[5, k] = bits, who[k] if bits & FAMILY else -1
    return out


@compiled
def mark_capital_a(words: Words, hashes: Hashes, a_hash: np.uint64, capital_a: int) -> None:
    """A capital A that begins no sentence is a name, not an article: type A brachydactyly."""
    if capital_a < 0:
        return
    word, shape, sentence = words.word, words.shape, words.sentence
    for i in range(1, hashes.size):
        if hashes[i] == a_hash and shape[i] & ALL_CAPITALS and sentence[i] == sentence[i - 1]:
            word[i] = capital_a
