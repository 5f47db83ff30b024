"""Text of HTML, XHTML and FHIR narratives."""

from __future__ import annotations

import re
from html import unescape

from selectolax.lexbor import LexborHTMLParser

# Elements that begin and end on a line of their own
# (https://html.spec.whatwg.org/multipage/rendering.html#flow-content-3).
_BLOCKS = (
    "address,article,aside,blockquote,br,caption,dd,div,dl,dt,fieldset,figcaption,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,"
    "main,nav,ol,option,p,pre,section,summary,table,tr,ul"
)
_CELLS = "td,th"
_UNSEEN = ["script", "style", "head", "template", "noscript", "iframe", "object", "svg", "math"]

_BREAK, _CELL, _KEPT_LINE = "\x1e", "\x1f", "\x1d"
_SPACES = re.compile(r"[ \t\n\r\f\xa0]+")
_BREAKS = re.compile(r" ?(?:[\x1f ]*\x1e[\x1f ]*)+")
_CELLS_RUN = re.compile(r" ?\x1f[\x1f ]*")
_SIMPLE = re.compile(r"\s*<div[^<>]*>([^<]*)</div>\s*\Z")


def html_text(markup: str) -> str:
    """Visible text of `markup`: blocks on lines of their own, table cells set apart by tabs, scripts and styles
    dropped.
    """
    simple = _SIMPLE.match(markup)
    if simple:
        return _SPACES.sub(" ", unescape(simple.group(1))).strip()
    tree = LexborHTMLParser(markup)
    tree.strip_tags(_UNSEEN)
    body = tree.body
    if body is None:
        return ""
    if "<pre" in markup or "<PRE" in markup:
        _keep_lines(tree)
    for block in tree.css(_BLOCKS):
        block.insert_before(_BREAK)
        block.insert_after(_BREAK)
    for cell in tree.css(_CELLS):
        cell.insert_before(_CELL)
    return _laid_out(body.text(deep=True, separator=""))


def _keep_lines(tree: LexborHTMLParser) -> None:
    for block in tree.css("pre"):
        for node in block.traverse(include_text=True):
            if node.is_text_node and node.text_content and "\n" in node.text_content:
                node.replace_with(node.text_content.replace("\n", _KEPT_LINE))


def _laid_out(text: str) -> str:
    text = _SPACES.sub(" ", text)
    text = _BREAKS.sub("\n", text)
    text = _CELLS_RUN.sub("\t", text)
    return text.replace(_KEPT_LINE, "\n").replace("\n ", "\n").strip()
