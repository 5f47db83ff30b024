"""Text of HTML, XHTML and FHIR narratives."""

from __future__ import annotations

import re
from html import unescape

from selectolax.lexbor import LexborHTMLParser

# Elements that stand within a line (https://html.spec.whatwg.org/multipage/text-level-semantics.html and older ones):
# their tags are taken out before parsing, so that each piece of text the parser then gives is a line of its own. Tag
# names are matched in small letters, after capitals were made small: a pattern without regard to case is eight times
# slower.
_INLINE = re.compile(
    r"</?(?:[abiqsu]|abbr|acronym|bdi|bdo|big|cite|code|del|dfn|em|font|ins|kbd|label|mark|nobr|samp|small|span|strike|strong"
    r"|sub|sup|tt|var|wbr)(?:[\s/](?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)?>"
)
_CAPITALS = re.compile(r"</?[A-Z][A-Za-z]*")
_NEXT_CELL = re.compile(r"<(?=/t[dh]\s*>\s*<t[dh][\s>])")
_KEPT = re.compile(r"<pre[\s>].*?(?:</pre|\Z)", re.DOTALL)
_HAS_UNSEEN = re.compile(r"<(?:script|style|template|iframe|object|svg|math|title)[\s/>]")
_UNSEEN = ["script", "style", "template", "iframe", "object", "svg", "math", "title"]
_SIMPLE = re.compile(r"\s*<div[^<>]*>([^<]*)</div>\s*\Z")
_RUN = re.compile("  +")

_MOST_TAGS = (
    20_000  # the parser's time grows with the square of the depth: beyond this, tags are taken out without a tree
)
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|template|iframe|object|svg|math|title)[\s/>].*?(?:</\1|\Z)", re.DOTALL
)
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>?")

_LINE, _CELL, _KEPT_LINE = "\x1e", "\x02", "\x03"  # marks of what the layout will be; no text holds them


def html_text(markup: str) -> str:
    """Visible text of `markup`: blocks on lines of their own, table cells set apart by tabs, scripts and styles
    dropped.
    """
    simple = _SIMPLE.match(markup)
    if simple:
        return " ".join(unescape(simple.group(1)).split())
    if _CAPITALS.search(markup):
        markup = _CAPITALS.sub(lambda tag: tag[0].lower(), markup)
    if markup.count("<") > _MOST_TAGS:
        return _laid_out(unescape(_TAG.sub(_LINE, _HIDDEN.sub("", _marked(markup)))))
    tree = LexborHTMLParser(_marked(markup))
    if _HAS_UNSEEN.search(markup):
        tree.strip_tags(_UNSEEN)
    body = tree.body
    return "" if body is None else _laid_out(body.text(separator=_LINE, strip=True, skip_empty=True))


def _marked(markup: str) -> str:
    if "<pre" in markup:
        markup = _KEPT.sub(lambda block: block[0].replace("\r\n", "\n").replace("\n", _KEPT_LINE), markup)
    markup = _INLINE.sub("", markup)
    return _NEXT_CELL.sub(_CELL + "<", markup) if "</t" in markup else markup


def _laid_out(text: str) -> str:
    for space in "\n\t\r\f\xa0":
        if space in text:
            text = text.replace(space, " ")
    text = _RUN.sub(" ", text)
    if _CELL in text:
        text = text.replace(_CELL + _LINE, "\t").replace(_LINE + _CELL, "\t").replace(_CELL, "\t")
    if _KEPT_LINE in text:
        text = text.replace(_KEPT_LINE, "\n")
    return "\n".join(filter(None, map(str.strip, text.split(_LINE))))
