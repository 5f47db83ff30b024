"""Forms of a word: plurals, British and American spelling, noun, adjective and verb of one stem.

Forms are made from the vocabulary when the lexicon is built and looked up as they stand, so that reading a note
needs no stemmer. Rules: Quirk, Greenbaum, Leech, Svartvik, A Comprehensive Grammar of the English Language (1985),
5.80-5.103 (plurals, Latin and Greek ones included); Oxford Guide to Canadian and American spelling pairs; medical
pairs as in HPO's own `uk_spelling` synonyms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_IRREGULAR_PLURALS = {
    "foot": "feet", "tooth": "teeth", "child": "children", "man": "men", "woman": "women", "phalanx": "phalanges",
    "larynx": "larynges", "pharynx": "pharynges", "corpus": "corpora", "viscus": "viscera", "genus": "genera",
    "meninx": "meninges", "os": "ossa", "testis": "testes", "penis": "penises", "femur": "femora", "iris": "irides",
    "naris": "nares", "crus": "crura", "pelvis": "pelves", "epiphysis": "epiphyses", "lens": "lenses", "calf": "calves",
    "half": "halves", "knife": "knives", "mouse": "mice", "ganglion": "ganglia", "criterion": "criteria",
    "mitochondrion": "mitochondria", "phenomenon": "phenomena", "glans": "glandes", "forceps": "forceps",
}  # fmt: skip

_BRITISH = [
    (r"hem(?=[ao])(?!ap)", "haem"), (r"emi(?=a|c)", "aemi"), (r"esoph", "oesoph"), (r"edema", "oedema"),
    (r"pediatr", "paediatr"), (r"fet(?=us|al)", "foet"), (r"rrhe(?=a|ic)", "rrhoe"), (r"pne(?=a|ic)", "pnoe"),
    (r"cec(?=um|al)", "caec"), (r"fec(?=al|es)", "faec"), (r"celiac", "coeliac"), (r"esthe(?=s|t)", "aesthe"),
    (r"estro", "oestro"), (r"etiolog", "aetiolog"), (r"orthoped", "orthopaed"), (r"leuko(?=c|p)", "leuco"),
    (r"gynec", "gynaec"), (r"cesar", "caesar"), (r"(?<=tum|col|hum|lab)or(?=s?$|ed|les)", "our"), (r"odor", "odour"),
    (r"behavior", "behaviour"), (r"ize(?=d?s?$)", "ise"), (r"izing$", "ising"), (r"ization", "isation"),
    (r"yze(?=d?s?$)", "yse"), (r"fiber", "fibre"), (r"center", "centre"), (r"caliber", "calibre"), (r"sulf", "sulph"),
    (r"goiter", "goitre"), (r"^gray", "grey"), (r"homeo", "homoeo"), (r"maneuv", "manoeuv"), (r"ameb", "amoeb"),
    (r"neven", "naeven"), (r"^nev(?=us|i$|oid)", "naev"), (r"pyrexi", "pyrexi"), (r"rigor", "rigour"),
    (r"labeled", "labelled"), (r"disk", "disc"), (r"^oid", "oid"), (r"hypercapnea", "hypercapnoea"),
    (r"pheo", "phaeo"), (r"cerulo", "caerulo"), (r"cele(?=s?$)", "coele"), (r"peni(?=a|c)", "paeni"),
    (r"aluminum", "aluminium"), (r"^mold", "mould"), (r"program$", "programme"), (r"molt", "moult"),
]  # fmt: skip
_ANY_BRITISH = re.compile("|".join(pattern for pattern, _ in _BRITISH))
_BRITISH_RULES = [(re.compile(pattern), change) for pattern, change in _BRITISH]

# Endings that belong to one stem: `hypotonia, hypotonic`; the stem keeps at least five letters.
_FAMILIES = [
    ("ia", "ic"), ("ism", "ic"), ("y", "ic"), ("osis", "otic"), ("ysis", "ytic"), ("asis", "atic"), ("esis", "etic"),
    ("bility", "ble"), ("ency", "ent"), ("ancy", "ant"), ("ence", "ent"), ("ance", "ant"), ("itis", "itic"),
    ("ism", "ist"), ("alysis", "alyzed"), ("alysis", "alysed"), ("lasia", "lastic"), ("rophy", "rophic"),
    ("rophy", "rophied"), ("plegia", "plegic"), ("paresis", "paretic"), ("phaly", "phalic"), ("tropia", "tropic"),
    ("pia", "pic"), ("emia", "emic"), ("uria", "uric"), ("iasis", "iatic"), ("gue", "gued"), ("iness", "y"), ("ness",
    ""),
    ("cy", "t"), ("ism", "al"), ("oid", "oidal"),
]  # fmt: skip
# The same, for words inside longer phrases, where a wrong guess has to fit all other words too.
_LOOSE_FAMILIES = [
    ("ed", "ing"), ("", "ed"), ("", "ing"), ("e", "ed"), ("e", "ing"),
    ("osis", "osed"), ("ation", "ated"), ("ation", "ate"), ("ation", "ating"), ("ion", "ed"), ("ion", "ing"), ("ion",
    ""),
    ("ion", "e"), ("ment", ""), ("ment", "ed"), ("ement", "ed"), ("ity", ""), ("ity", "e"), ("y", "ied"),
    ("oma", "omatous"), ("us", "al"), ("um", "al"), ("a", "al"), ("ly", ""), ("ally", ""), ("sion", "sive"),
    ("ure", "ured"), ("spasm", "spastic"), ("genesis", "genetic"), ("a", "ic"), ("ion", "ive"), ("otonia", "otone"),
    ("le", "ling"), ("e", "y"), ("", "y"), ("ection", "exed"), ("ance", "ed"), ("al", ""), ("ous", ""), ("ar", "a"),
    ("aph", "aphy"), ("ility", "ile"), ("ia", "ics"),
]  # fmt: skip
_NO_KIN = frozenset({"affect", "affects", "affected", "affecting", "collect", "collecting", "collection",
                     "involve", "involved", "involves", "involving", "involvement",
                     "extreme", "extremely", "extremity"})  # fmt: skip
_SHORTEST_STEM = 5
_SHORTEST_STEM_OF_LONG_ENDINGS = 4


def _by_ending(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for first, second in pairs:
        found.setdefault(first, []).append(second)
        found.setdefault(second, []).append(first)
    return found


_CLOSE = _by_ending(_FAMILIES)
_LOOSE = _by_ending(_LOOSE_FAMILIES)


def plurals(word: str) -> Iterator[str]:
    """Plural forms a writer may use for a singular (wrong ones do no harm: nobody writes them)."""
    if len(word) < 3 or not word.isalpha():
        return
    if word in _IRREGULAR_PLURALS:
        yield _IRREGULAR_PLURALS[word]
    if word.endswith("y") and word[-2] not in "aeiou":
        yield word[:-1] + "ies"
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        yield word + "es"
    else:
        yield word + "s"
        if word.endswith("o"):
            yield word + "es"
    yield from _classical_plurals(word)


def _classical_plurals(word: str) -> Iterator[str]:
    if len(word) < 5:
        return
    if word.endswith("sis"):
        yield word[:-2] + "es"
    if word.endswith("us"):
        yield word[:-2] + "i"
    if word.endswith("um"):
        yield word[:-2] + "a"
    if word.endswith("ma"):
        yield word + "ta"
    if word.endswith("a"):
        yield word + "e"
    if word.endswith(("ix", "ex")):
        yield word[:-2] + "ices"
    if word.endswith("itis"):
        yield word[:-1] + "des"


@lru_cache(maxsize=1 << 18)
def british(word: str) -> tuple[str, ...]:
    """British spellings of an American word: each rule alone, and all together."""
    if not _ANY_BRITISH.search(word):
        return ()
    found: list[str] = []
    together = word
    for pattern, change in _BRITISH_RULES:
        changed = pattern.sub(change, word)
        if changed != word:
            found.append(changed)
            together = pattern.sub(change, together)
    return tuple(dict.fromkeys([*found, together]))


@lru_cache(maxsize=1 << 18)
def kin(word: str, *, loose: bool = False) -> tuple[str, ...]:
    """Words of the same stem in another part of speech; `loose` ones only serve inside longer phrases."""
    if word in _NO_KIN:
        return ()
    endings = _LOOSE if loose else _CLOSE
    found: list[str] = []
    for size in range(max(map(len, endings)) + 1):
        stem, ending = word[: len(word) - size], word[len(word) - size :]
        if len(stem) < _SHORTEST_STEM_OF_LONG_ENDINGS or not stem.isalpha():
            break
        for make in endings.get(ending, ()):
            if len(stem) < _SHORTEST_STEM and min(len(make), len(ending)) < 2:
                continue
            found.append(stem + make)
            if not size and make in ("ed", "ing") and stem[-1] in "bdglmnprt":
                found.append(stem + stem[-1] + make)
    return tuple(found)
