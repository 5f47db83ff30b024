"""The lexicon: HPO's names and synonyms as sums of word hashes, so that word order does not matter.

An entry is the bag of its content words. The sum of the words' 64-bit hashes is its key; a window of a text with the
same sum holds the same words in any order (a collision among 10^9 windows and 10^5 entries has odds below 10^-5). Each
entry has a key by stem (plural and spelling folded) and one by class of word (`renal, kidney`; `raised, elevated,
increased`), which is only asked where no entry fits by stem.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.tables import raw, rows
from zebrawatch.evidence.tokens import (
    COMMA,
    HYPHEN,
    OPEN,
    SLASH,
    Hashes,
    Ints,
    Tokens,
    fold,
    open_table,
    tokenise,
    word_hashes,
)
from zebrawatch.evidence.variants import british, kin, plurals
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology

WORD_LISTS = (
    "word_classes.tsv",
    "word_roles.tsv",
    "stop_list.tsv",
    "phrases.tsv",
    "abbreviations.tsv",
    "measurements.tsv",
    "triggers.tsv",
    "sections.tsv",
)

# Roles of words.
CONTENT, FILLER, JOINT, MODIFIER, VAGUE, LINK = 1, 2, 3, 4, 5, 6
_ROLES = {"filler": FILLER, "link": LINK, "joint": JOINT, "modifier": MODIFIER, "vague": VAGUE}

# Marks of entries.
CAPITALS = 1  # counts only where written in capitals
WITH_COMMA = 2
WITH_JOINT = 4
OPPOSITE = 8  # names the normal state: its term is negated
BY_CONTEXT = 16  # an abbreviation whose sense must show elsewhere in the text
NOTHING = 32  # reads like a finding and is none: "little finger"
WITH_TWINS = 64  # denies more than one term (Lexicon.twins)

MAX_WORDS = 12
_RANKS = {"EXACT": 1, "RELATED": 3, "NARROW": 4, "BROAD": 5}
_COMPOSED = 6
_SALT = 0x9E3779B97F4A7C15  # golden-ratio increment of SplitMix64 (Steele, Lea, Flood 2014)


class Phrase(NamedTuple):
    """One wording of a term."""

    text: str
    term: int
    rank: int
    marks: int = 0


STEM, CLASS, GROUP, FACTS = 0, 1, 2, 3
"""Columns of `Index.words`."""
ROLE_BITS = 0xFF
ADJECTIVE = 1 << 8
"""A word that wants a noun after it."""
DESCRIBES = 1 << 9
"""A word that may stand with others before one noun: `short, upturned nose`."""
LONGEST_SHIFT, LONGEST_BITS = 16, 0xFFFF
FAMILY_SHIFT = 32
SIZE, MARKS, KIN = 0, 1, 2
"""Columns of `Index.entries`."""


def facts_of(role: int, adjective: bool, describes: bool, longest: int, family: int) -> int:
    """A word's facts as one number.

    Its role, whether it is an adjective, whether it describes, the most content words of any entry it (or one of its
    class) belongs to, and its family (words of one stem; a single word stands for another only within it).
    """
    kind = (ADJECTIVE if adjective else 0) | (DESCRIBES if describes else 0)
    return role | kind | longest << LONGEST_SHIFT | family << FAMILY_SHIFT


class Index(NamedTuple):
    """The arrays matching reads, by word and by entry."""

    words: Hashes
    """A row a word, so that a word costs one look at memory: hash of its stem, of its class, of its group (the class
    even where it says nothing), and its facts (see `facts_of`)."""
    together: npt.NDArray[np.uint8]
    """A bit for the low bits of the sum of two groups' hashes: whether an entry may hold both."""
    sieve: npt.NDArray[np.uint8]
    """A bit for the low bits of each key: most windows hold nothing, and one look says so."""
    keys: Hashes
    values: Ints
    """Open table from keys, by stem and by class (other hashes, so one table serves both), to entries."""
    entries: Ints
    """A row an entry: SIZE (content words), MARKS, KIN (family of its only word; -1 for longer entries)."""


@dataclass(frozen=True)
class Lexicon:
    """Arrays the matcher reads. It pickles; a worker unpacks it in a few milliseconds."""

    version: str
    """Digest over the ontology's wordings and the word lists."""
    hpo_ids: tuple[str, ...]
    labels: tuple[str, ...]
    word_keys: Hashes
    word_values: Ints
    n_words: int
    first_compound: int
    """Words from here on are hyphenated words written as one (lowset): the tokeniser does not join hyphens into
    them."""
    index: Index
    capital_a: int
    """Word that stands for a capital A inside a phrase; -1 where no phrase has one."""
    entry_term: Ints
    abbreviations: dict[str, tuple[tuple[int, str], ...]]
    """Abbreviations with more than one sense: (term, pattern of words that make it clear)."""
    twins: dict[int, tuple[int, ...]]
    """Further entries of a normal state that denies more than one term: "normal tone", hypotonia and spasticity."""

    @classmethod
    def build(cls, ontology: Ontology, *, roots: Sequence[str] = (PHENOTYPIC_ABNORMALITY,)) -> Lexicon:
        """From the terms at and below `roots` (by default phenotypic abnormalities: no onsets, modifiers,
        inheritance)."""
        return _Builder(ontology, roots).build()


def _splitmix(value: int) -> int:
    mask = (1 << 64) - 1
    value = (value + _SALT) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return (value ^ (value >> 31)) or 1


class _Groups:
    """Union-find over words; a group's name is its first word in the alphabet, so builds are repeatable."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def of(self, word: str) -> str:
        root = word
        while (parent := self._parent.get(root, root)) != root:
            root = parent
        self._parent[word] = root
        return root

    def join(self, first: str, second: str) -> None:
        low, high = sorted((self.of(first), self.of(second)))
        if low != high:
            self._parent[high] = low


def _phrases(ontology: Ontology, roots: Sequence[str]) -> tuple[list[str], list[Phrase]]:
    ids = sorted(set().union(*(ontology.descendants(root) for root in roots if root in ontology.terms)))
    place = {term_id: index for index, term_id in enumerate(ids)}
    stopped, stopped_for, nothing = _stop_list(ontology)
    senses = _senses(ontology)
    found = [Phrase(text, 0, -1, NOTHING) for text in nothing]  # of no term; before any wording of the same words
    for term_id in ids:
        term = ontology.terms[term_id]
        wordings = [(term.name, 0)] + [(s.text, _RANKS[s.scope] + (s.kind == "layperson")) for s in term.synonyms]
        for text, rank in wordings:
            low = text.lower()
            short = _is_abbreviation(text)
            if low in stopped or (low, term_id) in stopped_for or (short and (text in senses or len(text) <= 4)):
                continue
            found.append(Phrase(text, place[term_id], rank, CAPITALS if short else 0))
    for text, meanings in senses.items():
        held = [(term_id, context) for term_id, context in meanings if term_id in place]
        if held:
            marks = CAPITALS | (BY_CONTEXT if held[0][1] else 0)
            found.append(Phrase(text, place[held[0][0]], 1, marks))
    for row in rows("phrases.tsv"):
        live = ontology.resolve(row["hpo_id"])
        if live in place:
            marks = OPPOSITE if row["kind"] == "opposite" else 0
            found.extend(Phrase(text.strip(), place[live], 1, marks) for text in row["phrases"].split("|"))
    return ids, found


def _stop_list(ontology: Ontology) -> tuple[set[str], set[tuple[str, str]], list[str]]:
    """Wordings stopped for every term, wordings stopped for one, and phrases that are no finding."""
    everywhere, for_term, nothing = set(), set(), []
    for row in rows("stop_list.tsv"):
        if row["hpo_id"] == "*":
            everywhere.add(row["phrase"])
        elif row["hpo_id"] == "-":
            nothing.append(row["phrase"])
        else:
            for_term.add((row["phrase"], ontology.resolve(row["hpo_id"]) or row["hpo_id"]))
    return everywhere, for_term, nothing


def _is_abbreviation(text: str) -> bool:
    capitals = sum(character.isupper() for character in text)
    if " " in text or len(text) > 7:
        return False
    with_digit = len(text) <= 4 and capitals >= 1 and any(character.isdigit() for character in text)
    return with_digit or (capitals >= 2 and capitals * 2 >= len(text.replace("-", "")))


CAPITAL_A = "aacapitala"
"""Stands for a capital A inside a phrase (`type A brachydactyly`, `vitamin A deficiency`), which is no article."""


OF_FORM = ("morphology", "anomaly", "malformation", "malformed", "defect", "defective", "deformity", "deformed")
"""An entry with one of these tells of form: a disease or a problem of the organ is not meant by it."""
INBORN = "congenital"
"""May be left out of what is written, but is not understood where it is not: "hip problems" are not inborn."""


def _is_adjective(word: str) -> bool:
    return len(word) > 4 and word.endswith(("al", "ic", "ar", "ous", "ary", "ing", "ive"))


_DESCRIBING = frozenset({
    "short", "long", "small", "large", "big", "broad", "wide", "narrow", "thin", "thick", "high", "low", "flat", "deep",
    "full", "dry", "coarse", "fine", "sparse", "smooth", "round", "square", "pale", "dark", "soft", "stiff", "loose",
    "tight", "sharp", "blunt", "curly", "woolly", "brittle", "bulbous", "bushy", "prominent",
    "lowset", "deepset", "wideset", "closeset",
})  # fmt: skip
_NOT_DESCRIBING = frozenset({"hearing"})  # a sense, and no part of the noun that follows


def _describes(word: str) -> bool:
    return word in _DESCRIBING or (
        len(word) > 4
        and word.endswith(("al", "ic", "iac", "ar", "ous", "ary", "ing", "ive", "ed"))
        and word not in _NOT_DESCRIBING
    )


def _tokenised(
    texts: Sequence[str], keys: Hashes, values: Ints, first_compound: int
) -> Iterator[list[tuple[str, int]]]:
    """(folded word, gap before it) of each text; hyphens joined where the joined word is in the vocabulary."""
    for text in texts:
        found: Tokens = tokenise(text, keys, values, first_compound)
        yield [
            (CAPITAL_A if text[start:end] == "A" and start else fold(text[start:end].replace("-", "")), gap)
            for start, end, gap in zip(found.start.tolist(), found.end.tolist(), found.gap.tolist(), strict=True)
        ]


class _Builder:
    def __init__(self, ontology: Ontology, roots: Sequence[str]) -> None:
        self.ids, self.phrases = _phrases(ontology, roots)
        self.labels = tuple(ontology.label(term_id) for term_id in self.ids)
        self.roles = {row["word"]: _ROLES[row["role"]] for row in rows("word_roles.tsv")}
        self.stems, self.families, self.classes = _Groups(), _Groups(), _Groups()
        place = {term_id: index for index, term_id in enumerate(self.ids)}
        self.abbreviations = {
            word: tuple((place[term_id], context) for term_id, context in meanings if term_id in place and context)
            for word, meanings in _senses(ontology).items()
        }
        self.parents = [
            [place[parent] for parent in ontology.terms[term_id].parents if parent in place] for term_id in self.ids
        ]

    def build(self) -> Lexicon:
        texts = [phrase.text for phrase in self.phrases]
        bare = open_table(word_hashes([]), [])
        first = list(_tokenised(texts, *bare, 0))
        natural = sorted({word for words in first for word, _ in words} | set(self.roles) | self._listed())
        table = open_table(word_hashes(natural), range(len(natural)))
        split = list(_tokenised(texts, *table, len(natural)))
        compounds = sorted({joined for words in split for joined in _compounds(words)} - set(natural))
        self._group([*natural, *compounds])
        words, surfaces = self._surfaces(natural, compounds)
        return self._pack(words, len(words) - len(compounds), surfaces, split)

    def _listed(self) -> set[str]:
        return {word for row in rows("word_classes.tsv") for word in row["words"].split()}

    def _group(self, vocabulary: Sequence[str]) -> None:
        known = set(vocabulary)
        for word in vocabulary:
            for form in (*plurals(word), *_spellings(word)):
                if form in known and form not in self.roles:
                    self.stems.join(word, form)
        for word in vocabulary:
            self.families.join(word, self.stems.of(word))
            for form in kin(word):
                if form in known and form not in self.roles and word not in self.roles:
                    self.families.join(word, form)
        for word in vocabulary:
            self.classes.join(word, self.families.of(word))
            for form in kin(word, loose=True):
                if form in known and form not in self.roles and word not in self.roles:
                    self.classes.join(word, form)
        for row in rows("word_classes.tsv"):
            first, *others = row["words"].split()
            for other in others:
                self.classes.join(first, other)

    def _surfaces(self, natural: Sequence[str], compounds: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """All words (natural, then those made by morphology, then compounds) and other spellings of them."""
        known = {*natural, *compounds}
        spelled: dict[str, str] = {}
        for word in (*natural, *compounds):
            for form in _all_forms(word):
                if form not in known:
                    spelled.setdefault(form, word)
        made: dict[str, str] = {}
        for loose in (False, True):
            for word in natural:
                if word in self.roles:
                    continue
                for form in kin(word, loose=loose):
                    for surface in (form, *british(form)):
                        if surface not in known and surface not in spelled and surface not in made:
                            made[surface] = word
                            self.classes.join(surface, word)
                            if not loose:
                                self.families.join(surface, word)
        return [*natural, *sorted(made), *compounds], spelled

    def _pack(
        self,
        words: Sequence[str],
        first_compound: int,
        spelled: dict[str, str],
        split: Sequence[Sequence[tuple[str, int]]],
    ) -> Lexicon:
        place = {word: index for index, word in enumerate(words)}
        hashes = dict(zip(words, word_hashes(words).tolist(), strict=True))
        self.stem_hashes = {word: self._hash(word, self.stems, (FILLER, LINK, JOINT), hashes, 0) for word in words}
        self.class_hashes = {
            word: self._hash(word, self.classes, (FILLER, LINK, JOINT, VAGUE), hashes, _SALT) for word in words
        }
        entries = self._entries(split)
        longest: dict[str, int] = defaultdict(int)
        stems: dict[int, int] = {}
        classes: dict[int, int] = {}
        twins: dict[int, tuple[int, ...]] = {}
        terms: list[int] = []
        sizes: list[int] = []
        marks: list[int] = []
        families: list[int] = []
        order = sorted(range(len(entries)), key=lambda index: (entries[index][1].rank, entries[index][1].term, index))
        for index in order:
            bag, phrase, mark = entries[index]
            entry = len(terms)
            key = sum(self.stem_hashes[word] for word in bag) & ((1 << 64) - 1)
            known = stems.setdefault(key, entry)
            twin = known != entry and bool(mark & marks[known] & OPPOSITE)
            twin = twin and all(terms[each] != phrase.term for each in (known, *twins.get(known, ())))
            if twin:
                twins[known] = (*twins.get(known, ()), entry)
                marks[known] |= WITH_TWINS
            bags = self._class_bags(bag, mark)
            fresh_class = False
            for class_bag in bags:
                class_key = sum(self.class_hashes[word] for word in class_bag) & ((1 << 64) - 1)
                fresh_class |= classes.setdefault(class_key, entry) == entry
            if known != entry and not fresh_class and not twin:
                continue
            terms.append(phrase.term)
            sizes.append(len(bag))
            marks.append(mark)
            loose = self._loose(bag)
            families.append(place[self.families.of(loose[0])] if len(loose) == 1 else -1)
            for word in {*bag, *chain.from_iterable(bags)}:
                group = self.classes.of(word)
                longest[group] = max(longest[group], len(bag))
        surfaces = [*words, *spelled]
        values = [*range(len(words)), *(place[word] for word in spelled.values())]
        word_keys, word_values = open_table(word_hashes(surfaces), values)
        return Lexicon(
            version=self._version(),
            hpo_ids=tuple(self.ids),
            labels=self.labels,
            word_keys=word_keys,
            word_values=word_values,
            n_words=len(words),
            first_compound=first_compound,
            index=Index(
                np.array([self._row(word, place, longest, hashes) for word in words], np.uint64),
                bit_table(self._together(entries, hashes), TOGETHER_BITS),
                bit_table([*stems, *classes], SIEVE_BITS),
                *open_table(np.array([*stems, *classes], np.uint64), [*stems.values(), *classes.values()]),
                np.array([sizes, marks, families], np.int32).T.copy(),
            ),
            capital_a=place.get(CAPITAL_A, -1),
            entry_term=np.array(terms, np.int32),
            abbreviations=self.abbreviations,
            twins=twins,
        )

    def _loose(self, bag: Sequence[str]) -> list[str]:
        return [word for word in bag if self.roles.get(word) != VAGUE]

    def _class_bags(self, bag: Sequence[str], mark: int) -> list[list[str]]:
        """The words by whose classes an entry may be found: its own without vague ones.

        One of an abnormality in general or of function is found by words of form and of function alike.
        """
        loose = self._loose(bag)
        if mark & (CAPITALS | NOTHING) or INBORN in bag or not (len(loose) > 1 or len(bag) == len(loose) == 1):
            return []
        stems = {self.stems.of(word) for word in bag}
        if len(loose) == 1 or any(self.stems.of(word) in stems for word in OF_FORM):
            return [loose]
        other = {self.classes.of("abnormality"): "disorder", self.classes.of("disorder"): "abnormality"}
        also = [other.get(self.classes.of(word), word) for word in loose]
        return [loose] if also == loose else [loose, also]

    def _row(
        self, word: str, place: dict[str, int], longest: dict[str, int], hashes: dict[str, int]
    ) -> tuple[int, int, int, int]:
        facts = facts_of(
            self.roles.get(word, CONTENT),
            _is_adjective(word),
            _describes(word),
            longest[self.classes.of(word)],
            place[self.families.of(word)],
        )
        return self.stem_hashes[word], self.class_hashes[word], self._group_hash(word, hashes), facts

    def _group_hash(self, word: str, hashes: dict[str, int]) -> int:
        return self._hash(word, self.classes, (), hashes, _SALT >> 1)

    def _together(self, entries: Sequence[tuple[list[str], Phrase, int]], hashes: dict[str, int]) -> set[int]:
        """Sums of the groups' hashes of any two words that stand in one entry."""
        bags = [each for bag, _, mark in entries for each in (bag, *self._class_bags(bag, mark)[1:])]
        group = {word: self._group_hash(word, hashes) for bag in bags for word in bag}
        pairs = {pair for bag in bags for pair in combinations(sorted({group[w] for w in bag}), 2)}
        twice = {(group[w], group[w]) for bag in bags if len(set(map(group.get, bag))) < len(bag) for w in bag}
        return {(one + other) & ((1 << 64) - 1) for one, other in pairs | twice}

    def _hash(self, word: str, groups: _Groups, none: tuple[int, ...], hashes: dict[str, int], salt: int) -> int:
        return 0 if self.roles.get(word) in none else _splitmix(hashes[groups.of(word)] ^ salt)

    def _entries(self, split: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[list[str], Phrase, int]]:
        """(content words, phrase, marks) of every phrase and of its compound spelling."""
        found = []
        for phrase, tokens in zip(self.phrases, split, strict=True):
            for words in dict.fromkeys((tuple(word for word, _ in tokens), _with_compounds(tokens))):
                bag = [word for word in words if self.roles.get(word) not in (FILLER, LINK, JOINT)]
                mark = phrase.marks
                if any(gap & (COMMA | OPEN) for _, gap in tokens[1:]):
                    mark |= WITH_COMMA
                if any(self.roles.get(word) == JOINT for word in words) or any(gap & SLASH for _, gap in tokens[1:]):
                    mark |= WITH_JOINT
                if bag and len(bag) <= MAX_WORDS:
                    found.append((bag, phrase, mark))
        return found + self._composed(found)

    def _composed(self, entries: Sequence[tuple[list[str], Phrase, int]]) -> list[tuple[list[str], Phrase, int]]:
        """Wordings of a parent put in place of its name inside a child's name.

        `Bilateral cryptorchidism` under `Cryptorchidism`, which is also called `undescended testes`, gives
        `bilateral undescended testes`.
        """
        bags: dict[int, list[list[str]]] = defaultdict(list)
        names: dict[int, list[str]] = {}
        for bag, phrase, mark in entries:
            if phrase.rank <= _RANKS["EXACT"] + 1 and not mark:
                bags[phrase.term].append([self.stems.of(word) for word in bag])
                if phrase.rank == 0:
                    names.setdefault(phrase.term, [self.stems.of(word) for word in bag])
        found: list[tuple[list[str], Phrase, int]] = []
        for child, parents in enumerate(self.parents):
            for parent in parents:
                rest = _without(names.get(child, []), names.get(parent, []))
                found.extend(
                    ([*rest, *bag], Phrase("", child, _COMPOSED), 0)
                    for bag in (bags[parent] if rest else ())
                    if bag != names[parent] and len(rest) + len(bag) <= MAX_WORDS
                )
        return found

    def _version(self) -> str:
        digest = hashlib.sha256()
        for phrase in self.phrases:
            digest.update(f"{self.ids[phrase.term]}\t{phrase.text}\t{phrase.rank}\t{phrase.marks}\n".encode())
        for name in WORD_LISTS:
            digest.update(raw(name).encode())
        return digest.hexdigest()[:16]


SIEVE_BITS = 21
TOGETHER_BITS = 22


def bit_table(keys: Iterable[int], size: int) -> npt.NDArray[np.uint8]:
    """A bit for the low `size` bits of each key."""
    places = np.array(list(keys), np.uint64) & np.uint64((1 << size) - 1)
    bits = np.zeros(1 << size, np.bool_)
    bits[places] = True
    return np.packbits(bits, bitorder="little")


def _without(bag: Sequence[str], part: Sequence[str]) -> list[str]:
    """What a bag holds besides a part; empty where it does not hold the whole part."""
    rest = list(bag)
    for word in part:
        if word not in rest:
            return []
        rest.remove(word)
    return rest if part else []


def _spellings(word: str) -> Iterator[str]:
    yield from british(word)


def _all_forms(word: str) -> Iterable[str]:
    yield from plurals(word)
    for form in british(word):
        yield form
        yield from plurals(form)
    for form in plurals(word):
        yield from british(form)


def _compounds(words: Sequence[tuple[str, int]]) -> Iterator[str]:
    for (first, _), (second, gap) in pairwise(words):
        if gap == HYPHEN and len(first) > 1 and len(second) > 2:
            yield first + second


def _with_compounds(words: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    found: list[str] = []
    joined = False
    for word, gap in words:
        if found and gap == HYPHEN and not joined and len(found[-1]) > 1 and len(word) > 2:
            found[-1] += word
            joined = True
        else:
            found.append(word)
            joined = False
    return tuple(found)


def _senses(ontology: Ontology) -> dict[str, list[tuple[str, str]]]:
    """(HPO id, words that make it clear) by abbreviation."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows("abbreviations.tsv"):
        live = ontology.resolve(row["hpo_id"])
        if live:
            found[row["abbreviation"]].append((live, row["context"]))
    return found
