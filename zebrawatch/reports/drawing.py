"""Drawing: marks and lines as inline SVG, the parts of which pictures are made.

Horizontal places are percentages and vertical ones pixels, so one picture fits any width and its text keeps its size.
Colours come from the page's style sheet by class, which is what makes them follow light, dark and print. All text
passes through markupsafe: nothing a note says can become markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

LEFT, RIGHT = 1.5, 97.5
SHORT_LABEL = 26


@dataclass(frozen=True)
class Scale:
    """A linear scale from `low`..`high` to `left`..`right` per cent of the picture's width."""

    low: float
    high: float
    left: float = LEFT
    right: float = RIGHT

    def at(self, value: float) -> float:
        """Per cent for a value, held inside the picture."""
        span = (self.high - self.low) or 1.0
        place = self.left + (value - self.low) / span * (self.right - self.left)
        return min(max(place, self.left), self.right)


def percent(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, percent(x1), y1, percent(x2), y2)


def dot(x: float, y: float, radius: float, kind: str, title: str = "") -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>').format(
        kind, percent(x), y, radius, _title(title)
    )


def box(x1: float, x2: float, y: float, height: float, kind: str, title: str = "") -> Markup:
    """A rectangle between two places, never thinner than a hair."""
    width = max(x2 - x1, 0.15)
    inside = Markup(">{}</rect>").format(_title(title)) if title else Markup("/>")
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"{}').format(
        kind, percent(x1), y, percent(width), height, inside
    )


def words(x: float, y: float, text: str, kind: str, anchor: str = "start", shift: float = 0) -> Markup:
    beside = Markup(' dx="{:g}"').format(shift) if shift else ""
    end = Markup(' text-anchor="{}"').format(anchor) if anchor != "start" else ""
    return Markup('<text class="{}" x="{}" y="{:g}"{}{}>{}</text>').format(kind, percent(x), y, beside, end, text)


def beside(x: float, y: float, text: str, kind: str, short: str | None = None) -> Markup:
    """A label on the roomier side of a mark; a long one is also given short, for narrow pages."""
    anchor, step = ("start", 8.0) if x < 50 else ("end", -8.0)
    if len(text) <= SHORT_LABEL:
        return words(x, y, text, kind, anchor, step)
    cut = short or text[: SHORT_LABEL - 1].rstrip() + "…"
    return words(x, y, text, f"{kind} wide", anchor, step) + words(x, y, cut, f"{kind} narrow", anchor, step)


def picture(parts: Iterable[Markup], height: float, title: str, description: str, key: str) -> Markup:
    """One SVG with a name and a description for those who do not see it; `key` makes their ids unique on the page."""
    return Markup(
        '<svg class="picture" role="img" width="100%" height="{h}" aria-labelledby="{k}-t {k}-d">'
        '<title id="{k}-t">{t}</title><desc id="{k}-d">{d}</desc>{body}</svg>'
    ).format(h=height, k=key, t=title, d=description, body=Markup("").join(parts))


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")
