"""Marks in a note's text: quotes highlighted in place. Whatever a note holds, it stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

KINDS = ("naming", "mention", "model", "against", "for")
"""From weak to strong: where spans overlap, the strongest says how the stretch looks."""


@dataclass(frozen=True)
class Span:
    """A stretch of a note, `start` to `end` (code points, end exclusive). `anchor` is the id links point to."""

    start: int
    end: int
    kind: str
    title: str
    anchor: str | None = None


def marked(text: str, spans: Iterable[Span]) -> Markup:
    """The text, escaped, with every stretch that a span covers inside a `mark`.

    Spans outside the text are cut to it; empty ones vanish. Overlapping spans are split into stretches that say what
    all of them say.
    """
    inside = [(max(0, span.start), min(len(text), span.end), span) for span in spans]
    inside = [(start, end, span) for start, end, span in inside if start < end]
    cuts = sorted({0, len(text), *(start for start, _, _ in inside), *(end for _, end, _ in inside)})
    anchored: set[str] = set()
    parts = []
    for start, end in pairwise(cuts):
        covering = [span for first, last, span in inside if first <= start and end <= last]
        parts.append(_stretch(text[start:end], covering, anchored) if covering else escape(text[start:end]))
    return Markup("").join(parts)


def _stretch(text: str, spans: Sequence[Span], anchored: set[str]) -> Markup:
    strongest = max(spans, key=lambda span: KINDS.index(span.kind))
    titles = "; ".join(dict.fromkeys(span.title for span in spans))
    new = [anchor for anchor in dict.fromkeys(span.anchor for span in spans) if anchor and anchor not in anchored]
    anchored.update(new)
    places = Markup("").join(Markup('<span id="{}"></span>').format(anchor) for anchor in new)
    return Markup('{}<mark class="{}" title="{}">{}</mark>').format(places, strongest.kind, titles, text)


def place_of(text: str, quote: str, near: int | None = None) -> tuple[int, int] | None:
    """Where a quote stands in a text: at `near` if it does, else its first appearance; None where it does not."""
    if not quote:
        return None
    if near is not None and text[near : near + len(quote)] == quote:
        return near, near + len(quote)
    at = text.find(quote)
    if at < 0 and len(text.lower()) == len(text):
        at = text.lower().find(quote.lower())
    return (at, at + len(quote)) if at >= 0 else None
