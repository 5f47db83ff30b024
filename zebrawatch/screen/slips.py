"""Slips of the pen in names: a long word of a disease's name with one letter wrong, missing, doubled or swapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from zebrawatch.screen.wording import Plain

LONG_WORD = 8
"""From eight letters on, one slip leaves a medical word recognisable; shorter words have too many neighbours."""
_REMEMBERED = 100_000  # words whose answer is kept at hand
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
        self._seen: dict[str, str | None] = {}

    def meant(self, written: str) -> str | None:
        """The name's word that `written` is a slip of; None where it is none, or could be several."""
        if written not in self._seen:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[written] = self._looked_up(written)
        return self._seen[written]

    def _looked_up(self, written: str) -> str | None:
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
        slips = [
            (word.start(), word.end(), meant)
            for word in _WORD.finditer(spelled.text)
            if (meant := self.meant(word.group())) is not None
        ]
        return _replaced(spelled, slips) if slips else spelled


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


def _replaced(spelled: Plain, slips: list[tuple[int, int, str]]) -> Plain:
    """The text with words replaced; a word's first and last letter lead to the first and last of what stood there."""
    parts, moves, done, grown = [], [], 0, 0
    for start, end, meant in slips:
        parts += [spelled.text[done:start], meant]
        longer = len(meant) - (end - start)
        grown += longer
        moves.append((end - 1, grown, longer))
        done = end
    parts.append(spelled.text[done:])
    breaks = [(end, 0, own) for end, own in zip(spelled.ends, _steps(spelled.dropped), strict=True)]
    breaks += [(end, longer, -longer) for end, _, longer in moves]
    ends, dropped, shift, total = [], [], 0, 0
    for place, longer, own in sorted(breaks):
        shift += longer
        total += own
        ends.append(place + shift)
        dropped.append(total)
    return Plain("".join(parts), ends, dropped)


def _steps(dropped: list[int]) -> list[int]:
    return [after - before for before, after in zip([0, *dropped], dropped, strict=False)]
