"""One spelling for names and notes: how a name may be written, and the text a name is looked for in.

Every character of a note becomes exactly one character, so that places can be traced back; runs of blanks are then
closed up, with their places kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.uint32]
Places = NDArray[np.intp]

_KEPT_MARK = "?"
_RUN = re.compile(r" {2,}")
_BRITISH = (
    ("haema", "hema"), ("haemo", "hemo"), ("haemangi", "hemangi"), ("aemia", "emia"),
    ("oedema", "edema"), ("oesoph", "esoph"), ("paediat", "pediat"), ("anaesth", "anesth"),
    ("gynaec", "gynec"), ("leukaem", "leukem"), ("coeliac", "celiac"), ("tumour", "tumor"),
    ("diarrhoea", "diarrhea"), ("orthopaed", "orthoped"), ("aetiol", "etiol"), ("caerulo", "cerulo"),
    ("fibre", "fiber"), ("colourblind", "colorblind"), ("sulph", "sulf"), ("naevus", "nevus"),
    ("faecal", "fecal"), ("caecal", "cecal"),
)  # fmt: skip
_SPELT_TWO_WAYS = re.compile("|".join(sorted({spelling for pair in _BRITISH for spelling in pair})))
_ROMAN = {
    "i": "1",
    "ii": "2",
    "iii": "3",
    "iv": "4",
    "v": "5",
    "vi": "6",
    "vii": "7",
    "viii": "8",
    "ix": "9",
    "x": "10",
}
_ARABIC = {arabic: roman for roman, arabic in _ROMAN.items()}
_TYPED = re.compile(r"\b(?:type |grade |stage )(i|ii|iii|iv|v|vi|vii|viii|ix|x|\d{1,2})\b")
_EPONYM = re.compile(r"^([a-z]{4,}) (?:s )?(disease|syndrome|sign|anomaly|anemia|contracture|ataxia|chorea)\b")


class Plain(NamedTuple):
    """A text in one spelling, and where its characters stood."""

    text: str
    places: Places
    """The place in the original of every character."""

    def place(self, index: int) -> int:
        """The place in the original of the character at `index`."""
        return int(self.places[index])


_FOLDED_TO = 0x2600
"""Characters from here on stay as they are."""


@cache
def _table() -> dict[int, str]:
    """One character for one: marks become blanks, accents fall, case falls; what is not Latin stays."""
    table = {}
    for code in range(_FOLDED_TO):
        char = chr(code)
        base = unicodedata.normalize("NFKD", char)[:1]
        if base.isalnum():
            table[code] = base.lower() if len(base.lower()) == 1 else base
        elif char != _KEPT_MARK and not unicodedata.combining(char):
            table[code] = " "
    return table


@cache
def _folds() -> Points:
    """The same as an array, by code point."""
    table = _table()
    return np.array([ord(table.get(code, chr(code))) for code in range(_FOLDED_TO)], np.uint32)


def plain(text: str) -> Plain:
    """`text` in one spelling, with places kept; for whole notes. `key` is the same for a name, without places."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    folded = _folds()[np.minimum(points, _FOLDED_TO - 1)]
    if not text.isascii():
        folded = np.where(points < _FOLDED_TO, folded, points)
    blank = folded == ord(" ")
    kept = np.ones(len(points), np.bool_)
    np.logical_not(blank[1:] & blank[:-1], out=kept[1:])
    return Plain(folded[kept].tobytes().decode("utf-32-le", "surrogatepass"), np.flatnonzero(kept))


def key(name: str) -> str:
    """A name in the spelling of `plain`, without blanks at its ends."""
    return _RUN.sub(" ", name.translate(_table())).strip()


def wordings(name: str) -> Iterator[str]:
    """The ways in which a name is written, in the spelling of `plain`; the name itself first.

    Comma inversion ("cardiomyopathy, dilated, 1A" is dilated cardiomyopathy 1A), possessive eponyms, British spelling,
    Roman and Arabic numbers, and the qualifiers that databases add ("susceptibility to", "included").
    """
    seen: set[str] = set()
    for part in _parts(name):
        for number in _numbers(part):
            for eponym in _eponyms(number):
                for spelling in _spellings(eponym):
                    if spelling and spelling not in seen:
                        seen.add(spelling)
                        yield spelling


_TURNED = re.compile(r"([a-z]{4,}(?: [a-z]{4,}){0,2}) (disease|syndrome)\Z")


_DYSTROPHY = re.compile(r"\b((?!muscular\b)[a-z]{6,}) dystrophy\b")
"""Databases write facioscapulohumeral dystrophy, clinicians facioscapulohumeral muscular dystrophy."""


def _parts(name: str) -> Iterator[str]:
    bare = re.sub(r"\s*\((?:disease|disorder|included|formerly)\)", "", name, flags=re.IGNORECASE)
    yield key(bare)
    pieces = [piece.strip() for piece in bare.split(",") if piece.strip()]
    if 2 <= len(pieces) <= 3 and not re.search(r"\b(and|with|without|or)\b", bare):
        head, *rest = pieces
        numbers = [piece for piece in rest if re.fullmatch(r"(type )?[0-9ivxIVX]{1,4}[A-Za-z]?\d?", piece)]
        words = [piece for piece in rest if piece not in numbers]
        if words and len(words) == 1:
            yield key(" ".join([words[0], head, *numbers]))


def _numbers(name: str) -> Iterator[str]:
    yield name
    typed = _TYPED.search(name)
    if typed:
        number = typed.group(1)
        other = _ROMAN.get(number) or _ARABIC.get(number)
        if other:
            yield f"{name[: typed.start(1)]}{other}{name[typed.end(1) :]}"


def _eponyms(name: str) -> Iterator[str]:
    yield name
    if _DYSTROPHY.search(name):
        yield _DYSTROPHY.sub(r"\1 muscular dystrophy", name)
    turned = _TURNED.match(name)
    if turned:
        yield f"{turned.group(2)} of {turned.group(1)}"
    match = _EPONYM.match(name)
    if match:
        stem, tail = match.group(1), name[match.start(2) :]
        yield f"{stem} {tail}"
        yield f"{stem} s {tail}"
        yield f"{stem}s {tail}" if not stem.endswith("s") else f"{stem} {tail}"


def _spellings(name: str) -> Iterator[str]:
    yield name
    if _SPELT_TWO_WAYS.search(name) is None:
        return
    yield american(name)
    british = name
    for old, new in _BRITISH:
        british = british.replace(new, old) if old not in british else british
    yield british


def american(name: str) -> str:
    """`name` in American spelling: anaemia becomes anemia."""
    if _SPELT_TWO_WAYS.search(name) is not None:
        for british, own in _BRITISH:
            name = name.replace(british, own)
    return name


def eponym_of(name: str) -> str | None:
    """`fabry` for Fabry disease: what a clinician writes after a question mark; None where the name is no eponym."""
    found = re.fullmatch(r"([A-Z][a-z]{3,})(?:'s)? (?:disease|syndrome)", name)
    return found.group(1).lower() if found else None


def surnames_of(name: str) -> str | None:
    """`bardet biedl` for Bardet-Biedl syndrome: two surnames together name it alone; None where there are not two."""
    found = re.fullmatch(r"([A-Z][^\W\d_]{2,}(?:[-–][A-Z][^\W\d_]{2,})+)(?:'s)? (?:disease|syndrome)", name)
    return key(found.group(1)) if found and "like" not in key(name).split() else None
