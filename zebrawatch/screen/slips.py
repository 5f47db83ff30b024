"""Slips of the pen in names: a long word of a disease's name with one letter wrong, missing, doubled or swapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from zebrawatch.screen.wording import Places, Plain

LONG_WORD = 8
"""From eight letters on, one slip leaves a medical word recognisable; shorter words have too many neighbours."""
_REMEMBERED = 100_000  # words kept at hand
_WORD = re.compile(r"[a-z]{7,}")


class Slips:
    """Mends miswritten words of names in a text.

    A word is mended where it is neither a name's word nor another known word (`others`), exactly one name's word is one
    slip away (optimal string alignment distance of 1), and first letter and last two letters agree: what differs at the
    end of a word is grammar (porphyria, porphyrin), not a slip. Candidates come from words with one letter left out
    (W. Garbe, SymSpell, 2012).
    """

    def __init__(self, words: Iterable[str], others: frozenset[str] = frozenset()) -> None:
        self._known = {word for word in words if len(word) >= LONG_WORD and word.isalpha() and word.isascii()}
        self._others = others
        self._by_rest: dict[str, list[str]] = {}
        for word in sorted(self._known):
            for rest in _rests(word):
                self._by_rest.setdefault(rest, []).append(word)
        self._sound: set[str] = set()
        """What stood between blanks, was looked up, and holds no slip."""
        self._slipped: dict[str, dict[str, str]] = {}
        """The same where it holds slips, with what is meant."""

    def meant(self, written: str) -> str | None:
        """The name's word that `written` is a slip of; None where it is none, or could be several."""
        if written in self._known or written in self._others:
            return None
        found = {
            word
            for rest in _rests(written)
            for word in self._by_rest.get(rest, ())
            if word[0] == written[0] and word[-2:] == written[-2:] and _one_slip(written, word)
        }
        return found.pop() if len(found) == 1 else None

    def mended(self, spelled: Plain) -> Plain:
        """`spelled` with its slips mended; places still lead to the original text."""
        slips: dict[str, str] = {}
        for token in set(spelled.text.split()) - self._sound:
            slips |= self._slips_in(token)
        return _replaced(spelled, slips) if slips else spelled

    def _slips_in(self, token: str) -> Mapping[str, str]:
        """The slips in what stands between two blanks, and what is meant."""
        if token not in self._slipped:
            if len(self._sound) + len(self._slipped) >= _REMEMBERED:
                self._sound.clear()
                self._slipped.clear()
            found = {word: meant for word in _WORD.findall(token) if (meant := self.meant(word)) is not None}
            if not found:
                self._sound.add(token)
                return found
            self._slipped[token] = found
        return self._slipped[token]


def _rests(word: str) -> Iterator[str]:
    yield word
    for place in range(len(word)):
        yield word[:place] + word[place + 1 :]


def _one_slip(first: str, second: str) -> bool:
    """Whether one letter replaced, left out or added, or two neighbours swapped, turns one word into the other."""
    if len(first) > len(second):
        first, second = second, first
    place = next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), len(first))
    if len(first) < len(second):
        return first[place:] == second[place + 1 :]
    swapped = first[place + 1 : place + 2] + first[place : place + 1] + first[place + 2 :]
    return first[place + 1 :] == second[place + 1 :] or swapped == second[place:]


def _replaced(spelled: Plain, slips: Mapping[str, str]) -> Plain:
    """The text with words replaced; a word's first and last letter lead to the first and last of what stood there."""
    parts: list[str] = []
    places: list[Places] = []
    done = 0
    for word in re.finditer(f"(?<![a-z])(?:{'|'.join(slips)})(?![a-z])", spelled.text):
        start, end, meant = word.start(), word.end(), slips[word.group()]
        within = np.minimum(np.arange(len(meant)), end - start - 1)
        within[-1] = end - start - 1
        parts += [spelled.text[done:start], meant]
        places += [spelled.places[done:start], spelled.places[start + within]]
        done = end
    return Plain("".join([*parts, spelled.text[done:]]), np.concatenate([*places, spelled.places[done:]]))
