"""What a mention claims: present, negated, uncertain, hypothetical, historical; of the patient or of a relative.

NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009): trigger phrases act on the findings after or before
them, up to the end of the sentence or a phrase that ends the scope. Added: sections, lists under a headed trigger,
templates (`fever: none`, `seizures (-)`, `? cataract`), relatives as informants, clause-bound scopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zebrawatch.evidence.compiled import borrowing, compiled, inlined
from zebrawatch.evidence.sections import HEADING, Sections, mark_sections, section_kinds
from zebrawatch.evidence.sentences import SHORTENED, split_sentences
from zebrawatch.evidence.tables import rows
from zebrawatch.evidence.tokens import (
    BLANK,
    BULLET,
    CLOSE,
    COLON,
    COMMA,
    DASH,
    DOUBT,
    EMPTY_BOX,
    EQUALS,
    MINUS,
    NEWLINE,
    OPEN,
    PLUS,
    QUESTION,
    SEMICOLON,
    SLASH,
    SPACE,
    STOP,
    Hashes,
    Ints,
    character_tables,
    code_points,
    fenced,
    look_up,
    open_table,
    split_words,
    tokenise_points,
    word_hashes,
)

# What a trigger says, as bits; a mention carries the sum.
NEGATED, UNCERTAIN, HYPOTHETICAL, HISTORICAL, FAMILY = 1, 2, 4, 8, 16
_ENDS, _CLAUSE, _PATIENT, _PSEUDO, _JOINT = 32, 64, 128, 256, 512
_STATE = 1024
"""A state told outright, most often a normal one: "no rash, tone normal" denies the rash and calls the tone normal."""
_OF_WHOM = 2048
"""Goes on about the relative just named: "his sister who has ataxia"."""
_KINDS = {
    "negated": NEGATED, "uncertain": UNCERTAIN, "hypothetical": HYPOTHETICAL, "historical": HISTORICAL,
    "family": FAMILY,
    "stop": _ENDS, "clause": _CLAUSE, "patient": _PATIENT, "pseudo": _PSEUDO, "joint": _JOINT,
    "state": _STATE, "whose": _ENDS | _OF_WHOM,
}  # fmt: skip
_BEFORE, _AFTER = 1, 2
_SIDES = {"before": _BEFORE, "after": _AFTER, "both": _BEFORE | _AFTER, "-": 0}
_MEANINGS = NEGATED | UNCERTAIN | HYPOTHETICAL | HISTORICAL | FAMILY

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_WALL = SEMICOLON | EMPTY_BOX
_ANSWER = COLON | DASH | EQUALS | QUESTION | OPEN | MINUS
_ITEM = COMMA | SEMICOLON | COLON | BULLET | NEWLINE | OPEN
_ENDED = STOP | COMMA | SEMICOLON | NEWLINE | CLOSE | BLANK | DASH | SLASH
_NEAR = 4  # a colon this close after a trigger opens its list: "denies the following: fever"
_LONGEST_AFTER = 12  # words a trigger reaches back
_MOST_ITEMS = 60  # items of a list under a headed trigger

_RELATIVES = {
    "mother": "mother|mum|mom|mam|mummy|mommy", "father": "father|dad|daddy", "parents": "parents|both parents|parent",
    "brother": "brother|brothers|younger brother|older brother|elder brother|half brother|twin brother",
    "sister": "sister|sisters|younger sister|older sister|elder sister|half sister|twin sister",
    "sibling": "sibling|siblings|sib|sibs|twin|co twin|cotwin", "son": "son|sons", "daughter": "daughter|daughters",
    "child": "his children|her children",
    "grandmother": "grandmother|maternal grandmother|paternal grandmother|grandma|mgm|pgm|great grandmother|nan",
    "grandfather": "grandfather|maternal grandfather|paternal grandfather|grandpa|grandad|granddad|mgf|pgf|"
    "great grandfather",
    "grandparents": "grandparent|grandparents|maternal grandparents|paternal grandparents",
    "aunt": "aunt|aunts|maternal aunt|paternal aunt|great aunt|maternal great aunt|paternal great aunt|auntie",
    "uncle": "uncle|uncles|maternal uncle|paternal uncle|great uncle|maternal great uncle|paternal great uncle",
    "cousin": "cousin|cousins|first cousin|maternal cousin|paternal cousin|second cousin|first cousins",
    "nephew": "nephew|nephews", "niece": "niece|nieces",
    "relative": "relative|relatives|family member|family members|maternal side|paternal side|maternal family|"
    "paternal family|other "
    "family members|several family members|mothers side|fathers side|mother side|father side|maternal relatives|"
    "paternal relatives",
}  # fmt: skip
_FAMILY_PHRASES = (
    "family history of|family history|family hx of|family hx|fh of|fhx of|fhx|fh|positive family history of|"
    "strong family history of|"
    "familial history of|runs in the family|family history is positive for|family history positive for|"
    "family history significant for|family history is significant for|family history of a"
)
_NO_FAMILY_PHRASES = (
    "no family history of|no family history|no known family history of|no fh of|no fhx of|"
    "no significant family history of|"
    "no one in the family has|nobody in the family has|negative family history of|negative family history for|"
    "family history is negative for|family history negative for|family history is unremarkable for|no relatives with|"
    "no family members with|nobody else in the family has|no one else in the family has|no one else in the family had|"
    "no other family members have|no other family member has|no other relatives have|no other affected family members|"
    "denies family history of|denies a family history of|denies any family history of"
)
_INFORMING = (
    "reports|reported|states|stated|says|said|notes|noted|noticed|notices|has noticed|had noticed|denies|denied|"
    "feels|felt|thinks|"
    "thought|believes|is concerned|was concerned|are concerned|were concerned|is worried|was worried|are worried|"
    "gives|gave|"
    "describes|described|brought|called|complains|complained|has noted|has reported|observed|saw|recalls|recalled|"
    "has been concerned|"
    "became concerned|became worried|first noticed|also noticed|also reports|did not notice|accompanies|accompanied|"
    "is present|"
    "expressed|mentioned|mentions|worries|witnessed|explains|explained|agrees|wants|requests|have noticed|"
    "have noted|report|state|"
    "notice|note|deny|feel|describe|think|is here|at bedside|at the bedside|lives with|tells|told|also noted|"
    "confirms|confirmed"
)
_BEFORE_INFORMANT = (
    "per|according to|as per|lives with|brought by|brought in by|accompanied by|with his|with her|history from|told|"
    "by his|by her|by"
)
_YES_FAMILY_AFTER = tuple(
    f"in {whose}".strip()
    for whose in (
        "",
        *[
            "his",
            "her",
            "their",
            "my",
            "the",
            "a",
            "an",
            "one",
            "both",
            "two",
            "three",
            "multiple",
            "several",
            "other",
            "some",
        ],
    )
)

_NO_WORDS = ["no", "none", "nil", "negative", "neg", "absent", "denied", "denies", "n", "never", "nad", "nope"]
_YES_WORDS = ["yes", "y", "present", "positive", "pos"]


class Judgement(NamedTuple):
    """What is claimed, of whom; one meaning a mention, the strongest first: negated, hypothetical, uncertain,
    historical."""

    assertion: str
    experiencer: str
    relative: str | None


class Rules(NamedTuple):
    """Triggers as a trie over word hashes."""

    keys: Hashes
    values: Ints
    rule_at: Ints
    """Rule that ends at a node of the trie; -1 where none does."""
    kind: Ints
    side: Ints
    relative: Ints
    """Index in RELATIVES; -1 for the rules that name none."""


RELATIVES = tuple(_RELATIVES)


def _family_rules() -> Iterator[tuple[str, int, int, int]]:
    for phrase in _FAMILY_PHRASES.split("|"):
        yield phrase, FAMILY, _BEFORE, -1
    for phrase in _NO_FAMILY_PHRASES.split("|"):
        yield phrase, FAMILY | NEGATED, _BEFORE, -1
    for index, names in enumerate(_RELATIVES.values()):
        for name in names.split("|"):
            yield name, FAMILY, _BEFORE, index
            for lead in _YES_FAMILY_AFTER:
                yield f"{lead} {name}", FAMILY, _AFTER | _BEFORE, index
            for verb in _INFORMING.split("|"):
                yield f"{name} {verb}", _informant(verb), _BEFORE, -1
            for lead in _BEFORE_INFORMANT.split("|"):
                yield f"{lead} {name}", _PSEUDO, 0, -1
    for verb in _INFORMING.split("|"):  # "his mother, who has noticed ...": what follows is the patient's
        yield f"who {verb}", _ENDS, 0, -1


def _informant(verb: str) -> int:
    """A relative who tells is no patient; who denies, denies for the patient."""
    return NEGATED if verb in ("denies", "denied", "deny", "did not notice") else _PSEUDO


def _listed_rules() -> Iterator[tuple[str, int, int, int]]:
    for row in rows("triggers.tsv"):
        for phrase in row["phrases"].split("|"):
            yield phrase, _KINDS[row["kind"]], _SIDES[row["side"]], -1


@cache
def rules() -> Rules:
    """All triggers. A phrase listed for both sides acts on both; else the first listing holds."""
    found: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for phrase, kind, side, relative in (*_listed_rules(), *_family_rules()):
        words = tuple(split_words(phrase))
        if words not in found:
            found[words] = (kind, side, relative)
        elif found[words][0] == kind:
            found[words] = (kind, found[words][1] | side, found[words][2])
    return _trie(found)


def _trie(found: dict[tuple[str, ...], tuple[int, int, int]]) -> Rules:
    words = sorted({word for phrase in found for word in phrase})
    hashes = dict(zip(words, word_hashes(words), strict=True))
    children: dict[tuple[int, str], int] = {}
    rule_at = [-1]
    kinds: list[int] = []
    sides: list[int] = []
    relatives: list[int] = []
    for phrase, (kind, side, relative) in found.items():
        node = 0
        for word in phrase:
            child = children.setdefault((node, word), len(rule_at))
            if child == len(rule_at):
                rule_at.append(-1)
            node = child
        rule_at[node] = len(kinds)
        kinds.append(kind)
        sides.append(side)
        relatives.append(relative)
    keys = np.array([step(node, np.uint64(hashes[word])) for node, word in children], np.uint64)
    table, values = open_table(keys, list(children.values()))
    as_ints = (np.array(column, np.int32) for column in (rule_at, kinds, sides, relatives))
    return Rules(table, values, *as_ints)


@inlined
def step(node: int, value: np.uint64) -> np.uint64:
    """Key of the step from a node of a trie by a word's hash."""
    mixed = (value + np.uint64(node) * _GOLDEN) * _MIX
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)


@compiled
def sentences_to_read(gap: Ints, sentence: Ints, span_first: Ints) -> npt.NDArray[np.bool_]:
    """Which sentences may say something about a span: those that hold one, and those whose colon opens a list."""
    wanted = np.zeros(sentence[-1] + 1 if sentence.size else 0, np.bool_)
    for s in range(span_first.size):
        wanted[sentence[span_first[s]]] = True
    for i in range(1, sentence.size):
        if gap[i] & BULLET and gap[i] & COLON and sentence[i] != sentence[i - 1]:
            wanted[sentence[i - 1]] = True
    return wanted


@compiled
def find_rules(
    hashes: Hashes, sentence: Ints, gap: Ints, wanted: npt.NDArray[np.bool_], keys: Hashes, values: Ints, rule_at: Ints
) -> tuple[Ints, Ints, Ints]:
    """Triggers in the sentences wanted: leftmost, longest, without overlap, inside one sentence. First word, last word,
    rule."""
    n = hashes.size
    first, last, rule = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    found = 0
    i = 0
    while i < n:
        if not wanted[sentence[i]]:
            i += 1
            continue
        node = 0
        best = -1
        best_last = i
        j = i
        while j < n and sentence[j] == sentence[i] and (j == i or gap[j] & (COMMA | COLON | SEMICOLON | OPEN) == 0):
            node = look_up(step(node, hashes[j]), keys, values)
            if node < 0:
                break
            if rule_at[node] >= 0:
                best, best_last = rule_at[node], j
            j += 1
        if best >= 0:
            first[found], last[found], rule[found] = i, best_last, best
            found += 1
            i = best_last
        i += 1
    return first[:found], last[:found], rule[:found]


@compiled
def apply_rules(
    gap: Ints,
    sentence: Ints,
    section: Ints,
    hashes: Hashes,
    trigger_first: Ints,
    trigger_last: Ints,
    kind: Ints,
    side: Ints,
    relative: Ints,
    span_first: Ints,
    span_last: Ints,
    no_words: Hashes,
    yes_words: Hashes,
) -> tuple[Ints, Ints]:
    """Meaning (a sum of bits) and relative (-1 for none) of each span; spans in order of their first word."""
    n_spans = span_first.size
    meaning = np.zeros(n_spans, np.int32)
    who = np.full(n_spans, -1, np.int32)
    low = 0
    for t in range(trigger_first.size):
        bits = kind[t] & _MEANINGS
        if not bits or section[trigger_first[t]] & section[trigger_last[t]] & HEADING:
            continue
        here = sentence[trigger_first[t]]
        while low < n_spans and sentence[span_first[low]] < here:
            low += 1
        if side[t] & _BEFORE and not _answers(trigger_first[t], trigger_last[t], gap, hashes, no_words):
            _act_forward(
                t,
                bits,
                here,
                low,
                gap,
                sentence,
                trigger_first,
                trigger_last,
                kind,
                relative,
                span_first,
                span_last,
                meaning,
                who,
            )
        # "normal power, absent ankle jerks": what begins an item of a list says nothing about the item before
        begins = side[t] & _BEFORE and bits == NEGATED and gap[trigger_first[t]] & COMMA
        if side[t] & _AFTER and not begins:
            _act_backward(
                t,
                bits,
                here,
                low,
                gap,
                sentence,
                trigger_first,
                trigger_last,
                kind,
                relative,
                span_first,
                span_last,
                meaning,
                who,
            )
    for s in range(n_spans):
        _act_around(s, gap, sentence, section, hashes, span_first, span_last, no_words, yes_words, meaning)
    return meaning, who


@borrowing
def _answers(first: int, last: int, gap: Ints, hashes: Hashes, no_words: Hashes) -> bool:
    """Whether a trigger is the answer of a list ("fever no, cough yes"): a single word before a comma, which says
    nothing about what follows."""
    if first != last or last + 1 >= gap.size or gap[last + 1] & COMMA == 0:
        return False
    found = False
    for word in no_words:  # no array may be made here (see compiled.py)
        found = found or hashes[last] == word
    return found


@borrowing
def _reach_forward(
    t: int, bits: int, here: int, gap: Ints, sentence: Ints, trigger_first: Ints, trigger_last: Ints, kind: Ints
) -> tuple[int, bool]:
    """Last word a trigger reaches to its right, and whether a finding that goes on beyond it lies outside."""
    n = sentence.size
    at = trigger_last[t] + 1
    next_trigger = t + 1
    listed = aside = False
    denies = bits & NEGATED and bits & FAMILY == 0
    while at < n and sentence[at] == here:
        if gap[at] & _WALL:
            break
        if gap[at] & COLON and at - trigger_last[t] > _NEAR:
            break
        if gap[at] & (COMMA | SLASH):
            listed = listed or not aside
            aside = False
        while next_trigger < trigger_first.size and trigger_first[next_trigger] < at:
            next_trigger += 1
        if next_trigger < trigger_first.size and trigger_first[next_trigger] == at:
            other = kind[next_trigger]
            if other & _JOINT:
                listed = True
            if bits & FAMILY and other & _OF_WHOM:  # "his brother, who is six, has ...": between commas, no list
                aside, listed = gap[at] & COMMA != 0, False
            elif other & _ENDS:
                break
            # "no rash, tone normal", "no clonus, reflexes absent": the list of what is denied has ended with the item
            # before; "no rash or absent reflexes" goes on.
            joined = _follows_joint(next_trigger, trigger_first, trigger_last, kind)
            if denies and listed and (other & _STATE or (other & NEGATED and not joined)):
                return int(at - 1), True
            if other & _CLAUSE and listed and not bits & HYPOTHETICAL:
                break
            if other & _PATIENT and bits & FAMILY:
                break
            if bits & FAMILY == 0 and other & FAMILY and listed:
                break
            if denies and other & (HYPOTHETICAL | HISTORICAL) and listed:
                break
        at += 1
    return int(at - 1), False


@borrowing
def _follows_joint(trigger: int, trigger_first: Ints, trigger_last: Ints, kind: Ints) -> bool:
    """Whether an "and" or "or" stands right before a trigger."""
    before = trigger - 1
    return bool(before >= 0 and trigger_last[before] == trigger_first[trigger] - 1 and kind[before] & _JOINT)


@borrowing
def _act_forward(
    t: int, bits: int, here: int, low: int, gap: Ints, sentence: Ints, trigger_first: Ints, trigger_last: Ints,
    kind: Ints,
    relative: Ints, span_first: Ints, span_last: Ints, meaning: Ints, who: Ints,
) -> None:  # fmt: skip
    reach, whole = _reach_forward(t, bits, here, gap, sentence, trigger_first, trigger_last, kind)
    s = low
    while s < span_first.size and sentence[span_first[s]] == here:
        within = span_last[s] <= reach if whole else span_first[s] <= reach
        if within and span_first[s] > trigger_first[t] and span_last[s] > trigger_last[t]:
            meaning[s] |= bits
            if relative[t] >= 0:
                who[s] = relative[t]  # the relative named last before a finding is the nearest
        s += 1
    # A headed list: the trigger closes its line with a colon and bullets follow.
    at = trigger_last[t] + 1
    if at >= sentence.size or sentence[at] == here or gap[at] & COLON == 0:
        return
    until = at
    items = 0
    while until < sentence.size and gap[until] & BULLET and items < _MOST_ITEMS:
        bullet = sentence[until]
        items += 1
        while until < sentence.size and sentence[until] == bullet:
            until += 1
    while s < span_first.size and span_first[s] < until:
        meaning[s] |= bits
        s += 1


@borrowing
def _act_backward(
    t: int, bits: int, here: int, low: int, gap: Ints, sentence: Ints, trigger_first: Ints, trigger_last: Ints,
    kind: Ints,
    relative: Ints, span_first: Ints, span_last: Ints, meaning: Ints, who: Ints,
) -> None:  # fmt: skip
    at = trigger_first[t]
    floor = max(0, at - _LONGEST_AFTER)
    previous = t - 1
    while at > floor and sentence[at - 1] == here:
        if gap[at] & _WALL:
            break
        at -= 1
        while previous >= 0 and trigger_last[previous] > at:
            previous -= 1
        ends = _ENDS | FAMILY if bits & FAMILY else _ENDS  # "epilepsy in his mother and ataxia in his sister"
        if previous >= 0 and trigger_last[previous] == at and kind[previous] & ends:
            at += 1
            break
    s = low
    while s < span_first.size and sentence[span_first[s]] == here:
        if span_last[s] < trigger_first[t] and span_first[s] >= at:
            meaning[s] |= bits
            if relative[t] >= 0:
                who[s] = relative[t]
        s += 1


@borrowing
def _act_around(
    s: int, gap: Ints, sentence: Ints, section: Ints, hashes: Hashes, span_first: Ints, span_last: Ints,
    no_words: Hashes, yes_words: Hashes, meaning: Ints,
) -> None:  # fmt: skip
    """Section, templates and signs that touch the span."""
    first, after = span_first[s], span_last[s] + 1
    meaning[s] |= section[first] & ~HEADING
    if gap[first] & DOUBT:
        meaning[s] |= UNCERTAIN
    if gap[first] & EMPTY_BOX:
        meaning[s] |= HYPOTHETICAL
    minus = gap[first] & MINUS or (gap[first] & DASH and gap[first] & COMMA)
    if minus and gap[first] & (PLUS | STOP) == 0 and _signs_stand_before(first, gap, sentence):
        meaning[s] |= NEGATED
    if after >= gap.size:
        return
    between = gap[after]
    if _signed_away(between, after, gap, sentence):
        meaning[s] |= NEGATED
    if between & QUESTION and (between & OPEN or gap[first] & _ITEM or sentence[first - 1] != sentence[first]):
        meaning[s] |= UNCERTAIN  # "Hypotonia?" alone asks; an answer after it is read below
    ends = after + 1 >= gap.size or gap[after + 1] & _ENDED
    if ends and between & _ANSWER:
        for word in no_words:
            if hashes[after] == word:
                meaning[s] = (meaning[s] | NEGATED) & ~UNCERTAIN
        for word in yes_words:
            if hashes[after] == word:
                meaning[s] &= ~(NEGATED | HYPOTHETICAL | UNCERTAIN)
    elif ends and between == SPACE:  # "fever no, cough yes"
        if hashes[after] == no_words[0]:
            meaning[s] |= NEGATED
        elif hashes[after] == yes_words[0]:
            meaning[s] &= ~(NEGATED | HYPOTHETICAL)


@borrowing
def _signed_away(between: int, after: int, gap: Ints, sentence: Ints) -> bool:
    """Whether a minus after a finding denies it: "seizures (-)", or "vomiting +, fever -," in a line that has both
    signs."""
    if between & MINUS and between & OPEN:
        return between & BULLET == 0 and not _signs_stand_before(after - 1, gap, sentence)
    if between & DASH == 0 or between & (COMMA | SEMICOLON | STOP) == 0:
        return False
    at = after - 1
    while at > 0 and sentence[at] == sentence[after - 1]:
        if gap[at] & PLUS and gap[at] & (COMMA | SEMICOLON):
            return True
        at -= 1
    return False


@inlined
def _opens_line(gap: int) -> bool:
    """Whether a sign in the gap before a sentence belongs to it, and not to the end of the sentence before."""
    return bool(gap & STOP == 0 and (gap & NEWLINE == 0 or gap & BULLET or gap & OPEN == 0))


@borrowing
def _signs_stand_before(word: int, gap: Ints, sentence: Ints) -> bool:
    """Whether the signs of a word's sentence stand before the findings ("(+) headache, (-) photophobia"; "+fever,
    -cough"): the first sign opens the sentence or follows a colon. Hyphens alone may be bullets, so a plus or a
    bracket has to be among them."""
    begin = word
    while begin > 0 and sentence[begin - 1] == sentence[word]:
        begin -= 1
    opened = False
    at = begin
    while at < gap.size and sentence[at] == sentence[word]:
        sign = gap[at] & (PLUS | MINUS)
        if sign and (gap[at] & COLON or at == 0 or (at == begin and _opens_line(gap[at]))):
            opened = True
        if opened and sign and gap[at] & (PLUS | OPEN):
            return True
        at += 1
    return False


@compiled
def judge_spans(
    hashes: Hashes, gap: Ints, sentence: Ints, first: Ints, last: Ints, heading_keys: Hashes, heading_values: Ints,
    rules: Rules,
    no_words: Hashes, yes_words: Hashes,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Meaning (a sum of bits) and relative (-1 for none) of each span."""
    wanted = sentences_to_read(gap, sentence, first)
    trigger_first, trigger_last, rule = find_rules(
        hashes, sentence, gap, wanted, rules.keys, rules.values, rules.rule_at
    )
    section = mark_sections(hashes, gap, sentence, heading_keys, heading_values)
    return apply_rules(
        gap, sentence, section, hashes, trigger_first, trigger_last, rules.kind[rule], rules.side[rule],
        rules.relative[rule],
        first, last, no_words, yes_words,
    )  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """Judges spans of a text; holds the compiled triggers."""

    rules: Rules
    sections: Sections
    no_words: Hashes
    yes_words: Hashes

    @classmethod
    def make(cls) -> Judge:
        return cls(rules(), section_kinds(), word_hashes(_NO_WORDS), word_hashes(_YES_WORDS))

    def judge(self, text: str, spans: Sequence[tuple[int, int]]) -> list[Judgement]:
        """Judge spans (start, end in code points) of a text; a span without a word counts as present."""
        found, meanings, relatives = self.judge_bits(text, spans)
        out = [Judgement("present", "patient", None)] * len(spans)
        for index, bits, relative in zip(found, meanings, relatives, strict=True):
            out[index] = judgement(bits, relative)
        return out

    def judge_bits(self, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
        """(index of span, sum of meanings, relative) for every span that holds a word."""
        places = np.array(spans, np.int32).reshape(-1, 2)
        kept, meaning, who = judge_text(
            code_points(fenced(text)), *character_tables(), _EMPTY_KEYS, _EMPTY_VALUES, SHORTENED, places,
            self.sections.keys, self.sections.values, self.rules, self.no_words, self.yes_words,
        )  # fmt: skip
        return kept.tolist(), meaning.tolist(), who.tolist()


_EMPTY_KEYS, _EMPTY_VALUES = np.zeros(2, np.uint64), np.full(2, -1, np.int32)


@compiled
def judge_text(
    points: npt.NDArray[np.uint32],
    classes: npt.NDArray[np.uint8],
    folds: npt.NDArray[np.uint32],
    word_keys: Hashes,
    word_values: Ints,
    shortened: Hashes,
    places: Ints,
    heading_keys: Hashes,
    heading_values: Ints,
    rules: Rules,
    no_words: Hashes,
    yes_words: Hashes,
) -> tuple[npt.NDArray[np.int64], Ints, Ints]:
    """Which spans (rows of start and end in code points) hold a word, in order of their first; meaning and relative of
    each."""
    n, start, end, _, gap, shape, line, hashes = tokenise_points(points, classes, folds, word_keys, word_values, 0)
    start, end, gap, shape, line, hashes = start[:n], end[:n], gap[:n], shape[:n], line[:n], hashes[:n]
    sentence = split_sentences(gap, shape, line, start, end, hashes, shortened)
    first = np.searchsorted(end, places[:, 0], side="right").astype(np.int32)
    last = (np.searchsorted(start, places[:, 1], side="left") - 1).astype(np.int32)
    order = np.argsort(first.astype(np.int64) * (1 << 31) + last, kind="mergesort")
    kept = order[first[order] <= last[order]]
    meaning, who = judge_spans(
        hashes, gap, sentence, first[kept], last[kept], heading_keys, heading_values, rules, no_words, yes_words
    )
    return kept, meaning, who


def judgement(bits: int, relative: int) -> Judgement:
    """The one meaning a mention is stored with."""
    family = bool(bits & FAMILY)
    return Judgement(
        assertion_of(bits), "family" if family else "patient", RELATIVES[relative] if family and relative >= 0 else None
    )


def assertion_of(bits: int) -> str:
    """The strongest of several meanings: negated, hypothetical, uncertain, historical."""
    if bits & NEGATED:
        return "negated"
    if bits & HYPOTHETICAL:
        return "hypothetical"
    if bits & UNCERTAIN:
        return "uncertain"
    return "historical" if bits & HISTORICAL else "present"
