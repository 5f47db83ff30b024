"""Quotes marked in place: the text stays the text, whatever stands in it, and marks cover what they say."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from review.marks import KINDS, Span, marked, place_of

TAGS = re.compile(r"</?(?:mark|span)[^>]*>")
TEXTS = st.text(alphabet=st.sampled_from("ab <>&\"'é\n\U0001f600"), max_size=40)
SPANS = st.lists(
    st.tuples(st.integers(-3, 45), st.integers(-3, 45), st.sampled_from(KINDS), st.sampled_from(["x", '"><script>'])),
    max_size=6,
)


def spans_of(drawn: list[tuple[int, int, str, str]]) -> list[Span]:
    return [Span(start, end, kind, title, f"m{n}") for n, (start, end, kind, title) in enumerate(drawn)]


@given(TEXTS, SPANS)
def test_without_its_marks_the_text_is_the_text(text: str, drawn: list[tuple[int, int, str, str]]) -> None:
    made = marked(text, spans_of(drawn))
    assert html.unescape(TAGS.sub("", made)) == text
    assert "<script" not in made


@given(TEXTS, SPANS)
def test_exactly_the_covered_letters_are_marked(text: str, drawn: list[tuple[int, int, str, str]]) -> None:
    made, covered = marked(text, spans_of(drawn)), set()
    for start, end, _, _ in drawn:
        covered |= set(range(max(0, start), min(len(text), end)))
    inside = "".join(re.findall(r"<mark[^>]*>(.*?)</mark>", made, re.DOTALL))
    assert html.unescape(inside) == "".join(letter for n, letter in enumerate(text) if n in covered)
    anchors = re.findall(r'<span id="(m\d+)">', made)
    wanted = {f"m{n}" for n, (s, e, _, _) in enumerate(drawn) if max(0, s) < min(len(text), e)}
    assert sorted(anchors) == sorted(wanted)


def test_where_spans_overlap_the_stronger_one_shows_and_both_are_told() -> None:
    made = marked("large tongue", [Span(0, 12, "mention", "Macroglossia"), Span(6, 12, "for", "Macroglossia: +1.60")])
    assert made == (
        '<mark class="mention" title="Macroglossia">large </mark>'
        '<mark class="for" title="Macroglossia; Macroglossia: +1.60">tongue</mark>'
    )


def test_a_quote_is_found_where_it_was_said_to_be_else_where_it_first_stands() -> None:
    text = "No fever. Fever since Monday."
    assert place_of(text, "Fever", 10) == (10, 15)
    assert place_of(text, "Fever") == (10, 15)
    assert place_of(text, "FEVER", 99) == (3, 8)
    assert place_of(text, "cough") is None
    assert place_of(text, "") is None
