"""Order-free matching against a slow plain reading of the same rules: bags of words, no hashes, no pruning."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zebrawatch.benchmarks.corpora import packaged_ontology
from zebrawatch.evidence.lexicon import (
    CAPITALS,
    CONTENT,
    FILLER,
    JOINT,
    LINK,
    MODIFIER,
    VAGUE,
    WITH_COMMA,
    WITH_JOINT,
    Lexicon,
    _Builder,
    _compounds,
    _is_adjective,
    _tokenised,
)
from zebrawatch.evidence.matching import WALL, find_hits, keep_longest, read_words
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.evidence.sentences import sentences
from zebrawatch.evidence.tokens import (
    ALL_CAPITALS,
    CLOSE,
    COMMA,
    HYPHEN,
    INNER_CAPITAL,
    OPEN,
    SLASH,
    SPACE,
    Tokens,
    Words,
    open_table,
    tokenise,
    word_hashes,
)

ROOTS = ("HP:0000598", "HP:0001507", "HP:0001627", "HP:0001250")  # ear, growth, heart, seizure
WIDEST, MOST_FILLERS = 16, 4
Bag = frozenset[tuple[str, int]]


def bag_of(words: list[str]) -> Bag:
    return frozenset(Counter(words).items())


class Entry(NamedTuple):
    term: int
    size: int
    marks: int
    kin: str | None
    """Family of its only word."""


class PlainMatcher:
    """The rules of matching read off the word lists themselves."""

    def __init__(self) -> None:
        made = _Builder(packaged_ontology(), ROOTS)
        texts = [phrase.text for phrase in made.phrases]
        first = list(_tokenised(texts, *open_table(word_hashes([]), []), 0))
        natural = sorted({word for words in first for word, _ in words} | set(made.roles) | made._listed())
        split = list(_tokenised(texts, *open_table(word_hashes(natural), range(len(natural))), len(natural)))
        self.lexicon = made.build()  # groups the words, too
        compounds = sorted({joined for words in split for joined in _compounds(words)} - set(natural))
        self.words, _ = made._surfaces(natural, compounds)
        self.roles, self.stems, self.classes, self.families = made.roles, made.stems, made.classes, made.families
        entries = made._entries(split)
        self.by_stems: dict[Bag, Entry] = {}
        self.by_classes: dict[Bag, Entry] = {}
        self.longest: dict[str, int] = defaultdict(int)
        ranked = sorted(range(len(entries)), key=lambda at: (entries[at][1].rank, entries[at][1].term, at))
        for at in ranked:
            words, phrase, marks = entries[at]
            loose = [word for word in words if self.roles.get(word) != VAGUE]
            kin = self.families.of(loose[0]) if len(loose) == 1 else None
            entry = Entry(phrase.term, len(words), marks, kin)
            stems = bag_of([made.stems.of(w) for w in words])
            known = stems in self.by_stems
            bags = made._class_bags(words, marks)
            fresh = [key for bag in bags if (key := bag_of([made.classes.of(w) for w in bag])) not in self.by_classes]
            self.by_classes |= dict.fromkeys(fresh, entry)
            if not known:
                self.by_stems[stems] = entry
            if not known or fresh:
                for word in {*words, *(word for bag in bags for word in bag)}:
                    self.longest[made.classes.of(word)] = max(self.longest[made.classes.of(word)], len(words))

    def role(self, word: str | None) -> int:
        return 0 if word is None else self.roles.get(word, CONTENT)

    def hits(self, words: list[str | None], tokens: Tokens, sentence: list[int]) -> set[tuple[int, int, int, int]]:
        """(first word, last word, term, 0 by stem or 1 by class) of every window that holds an entry."""
        found = set()
        for i, begin in enumerate(words):
            if begin is None or self.role(begin) in (FILLER, JOINT, LINK) or not self.longest[self.classes.of(begin)]:
                continue
            for j in range(i, min(i + WIDEST, len(words))):
                window = range(i, j + 1)
                if self._ends(window, words, tokens, sentence):
                    break
                if self.role(words[j]) in (FILLER, JOINT, LINK):
                    continue
                read = self._read(window, words, tokens, sentence)
                if read is not None:
                    found.add((i, j, read[0].term, read[1]))
        return found

    def _ends(self, window: range, words: list[str | None], tokens: Tokens, sentence: list[int]) -> bool:
        j = window[-1]
        word = words[j]
        if j > window[0] and (sentence[j] != sentence[window[0]] or tokens.gap[j] & WALL):
            return True
        if word is None or self.role(word) == 0:
            return True
        if sum(self.role(words[k]) in (FILLER, LINK) for k in window) > MOST_FILLERS:
            return True
        counted = [words[k] for k in window if self.role(words[k]) not in (FILLER, LINK, JOINT)]
        if self.role(word) not in (FILLER, LINK, JOINT, MODIFIER) and not self.longest[self.classes.of(word)]:
            return True
        plain = [w for n, w in enumerate(counted) if w is not None and (n == 0 or self.role(w) != MODIFIER)]
        return len(plain) > min(self.longest[self.classes.of(w)] for w in plain)

    def _read(
        self, window: range, words: list[str | None], tokens: Tokens, sentence: list[int]
    ) -> tuple[Entry, int] | None:
        i, j = window[0], window[-1]
        counted = [w for k in window if (w := words[k]) is not None and self.role(w) not in (FILLER, LINK, JOINT)]
        plain = [w for n, w in enumerate(counted) if n == 0 or self.role(w) != MODIFIER]
        inner = [int(tokens.gap[k]) for k in window if k > i]
        soft = any(gap & (COMMA | OPEN | CLOSE) for gap in inner)
        joint = any(gap & SLASH for gap in inner) or any(self.role(words[k]) == JOINT for k in window)
        spelled = bool(tokens.shape[j] & (ALL_CAPITALS | INNER_CAPITAL))
        without = len(plain) < len(counted) and self.role(words[j]) != MODIFIER
        for bag in [counted, plain] if without else [counted]:
            entry = self.by_stems.get(bag_of([self.stems.of(w) for w in bag]))
            if entry and entry.size == len(bag) and self._allowed(entry, soft, joint, spelled):
                return entry, 0
        if joint or any(self.role(words[k]) == LINK for k in window):
            return None
        for bag in [counted, plain] if without else [counted]:
            loose = [w for w in bag if self.role(w) != VAGUE]
            entry = self.by_classes.get(bag_of([self.classes.of(w) for w in loose])) if loose else None
            if entry is None or (soft and not entry.marks & WITH_COMMA):
                continue
            # With words left out, a single word never stands for another.
            alone = bag is counted and len(loose) == 1 and entry.kin == self.families.of(words[j] or "")
            if alone if entry.kin is not None else (bag is plain or len(loose) > 1):
                goes_on = (
                    j + 1 < len(words) and sentence[j + 1] == sentence[j] and not tokens.gap[j + 1] & ~(SPACE | HYPHEN)
                )
                if j > i and _is_adjective(words[j] or "") and goes_on and self.role(words[j + 1]) == CONTENT:
                    return None
                return entry, 1
        return None

    @staticmethod
    def _allowed(entry: Entry, soft: bool, joint: bool, spelled: bool) -> bool:
        return (
            (not soft or bool(entry.marks & WITH_COMMA))
            and (not joint or bool(entry.marks & WITH_JOINT))
            and (spelled or not entry.marks & CAPITALS)
        )


@cache
def plain() -> PlainMatcher:
    return PlainMatcher()


def matched(text: str) -> tuple[set[tuple[int, int, int, int]], set[tuple[int, int, int, int]]]:
    """(what the compiled matcher finds, what the plain one finds)."""
    lexicon = plain().lexicon
    tokens = tokenise(text, lexicon.word_keys, lexicon.word_values, lexicon.first_compound)
    sentence = sentences(tokens)
    read = read_words(tokens.word, lexicon.index.words)
    first, last, entry, level = find_hits(Words(tokens.word, tokens.gap, tokens.shape, sentence), read, lexicon.index)
    fast = set(zip(first.tolist(), last.tolist(), lexicon.entry_term[entry].tolist(), level.tolist(), strict=True))
    words = [plain().words[number] if number >= 0 else None for number in tokens.word.tolist()]
    return fast, plain().hits(words, tokens, sentence.tolist())


def vocabulary() -> list[str]:
    """Words of wordings, whole wordings, and what stands between words."""
    ontology = packaged_ontology()
    wordings = sorted({ontology.label(term) for root in ROOTS for term in ontology.descendants(root)})
    single = sorted({word for text in wordings for word in text.split()})
    between = [",", ".", "and", "or", "/", "(", ")", "of the", "with", "left", "severe", "unknownword", ":", "-", "no"]
    return [*wordings[::7], *single[::3], *(between * 12)]


@given(st.lists(st.sampled_from(vocabulary()), max_size=25).map(" ".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("hearing loss, severe and progressive sensorineural loss of the hearing")
@example("stature short; short (disproportionate) stature")
@example("Ventricular septal defect / atrial septal defects of heart")
def test_the_compiled_matcher_finds_what_the_plain_one_finds(text: str) -> None:
    fast, slow = matched(text)
    assert fast == slow


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.integers(0, 1)), max_size=14)


@given(SPANS)
def test_the_longest_of_overlapping_mentions_stay(spans: list[tuple[int, int, int]]) -> None:
    ordered = sorted((first, first + more, level) for first, more, level in spans)
    first, last, level = (
        np.array(column, np.int32) for column in (zip(*ordered, strict=True) if ordered else ([], [], []))
    )
    start, end = np.arange(0, 400, 10, dtype=np.int32), np.arange(8, 408, 10, dtype=np.int32)
    kept = keep_longest(first, last, level, start, end)
    left = list(range(len(ordered)))
    expected: set[int] = set()
    while left:
        best = max(left, key=lambda at: ((end[ordered[at][1]] - start[ordered[at][0]]) * 4 - ordered[at][2], -at))
        expected.add(best)
        left = [at for at in left if ordered[at][0] > ordered[best][1] or ordered[at][1] < ordered[best][0]]
    assert set(np.flatnonzero(kept).tolist()) == expected


def test_a_recogniser_of_few_terms_finds_only_these() -> None:
    lexicon: Lexicon = plain().lexicon
    assert {one.hpo_id for one in Recogniser(lexicon).find("Seizures, hearing loss, hepatomegaly.")} == {
        "HP:0001250",
        "HP:0000365",
    }
