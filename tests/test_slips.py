"""Slips of the pen in names: what is mended, what is left, and that places still lead to the note's own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.screen.slips import Slips
from zebrawatch.screen.wording import plain

NAMES = ("facioscapulohumeral", "dystrophy", "porphyria", "adrenoleukodystrophy", "galactosemia")
SLIPS = Slips(NAMES, frozenset({"porphyrin", "galactosemic"}))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("faciosacpulohumeral", "facioscapulohumeral"),  # neighbours swapped
        ("faciscapulohumeral", "facioscapulohumeral"),  # a letter left out
        ("facioscappulohumeral", "facioscapulohumeral"),  # a letter twice
        ("adrenolevkodystrophy", "adrenoleukodystrophy"),  # a letter wrong
        ("porphyria", None),  # written right
        ("porphyrin", None),  # another word
        ("porphyric", None),  # another ending is grammar
        ("borphyria", None),  # the first letter is hardly ever wrong
        ("dystrophies", None),  # a plural, not a slip
        ("adrenomyelodystrophy", None),  # more than one slip
    ],
)
def test_what_a_word_was_meant_to_be(written: str, meant: str | None) -> None:
    assert SLIPS.meant(written) == meant


def test_a_word_that_could_be_two_names_is_left_alone() -> None:
    assert Slips(["trisomyline", "trisonyline"]).meant("trisoxyline") is None


@given(
    st.lists(
        st.sampled_from([*NAMES, "faciosacpulohumeral", "dystropphy", "pophyria", "(", "  ", "?", "Ä"]), max_size=12
    )
)
def test_places_lead_to_what_was_written(words: list[str]) -> None:
    text = " ".join(words)
    mended = SLIPS.mended(plain(text))
    place = 0
    for word in mended.text.split():
        start = mended.text.index(word, place)
        place = start + len(word)
        written = text[mended.place(start) : mended.place(place - 1) + 1]
        assert plain(written).text.strip() == word or SLIPS.meant(written) == word
