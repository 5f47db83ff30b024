"""Text of C-CDA documents and of other XML.

HL7 CDA Release 2, section 4.3.5 (narrative block): sections with titles, paragraphs, lists, tables, captions. Entities
are not resolved, nothing outside the document is opened, the header with names and numbers is not read.
"""

from __future__ import annotations

import re
from typing import Any

import pybase64
from lxml import etree

from zebrawatch.fhir.text import Deadline, TextLimits, UnreadableError

_LINES = """
    paragraph br item list table tr caption title section text thead tbody tfoot p div li ul ol h1 h2 h3 h4 h5 h6
"""
_ENDS_LINE = frozenset(_LINES.split())
_CELLS = frozenset(("td", "th"))
_UNSEEN = frozenset(("script", "style", "renderMultiMedia", "observationMedia"))
_ENCODED = re.compile(rb"\A(\s*<\?xml[^>]*?)\s+encoding\s*=\s*[\"'][^\"']*[\"']")


def xml_text(data: bytes, charset: str | None, limits: TextLimits, deadline: Deadline) -> str:
    """Narrative text of a C-CDA document, section by section; the whole text of any other XML.

    UnreadableError where the XML is damaged beyond repair or nested too deeply.
    """
    root = _parsed(data, charset)
    _bounded(root, limits)
    if _name(root) != "ClinicalDocument":
        return _narrative(root, deadline)
    component = next((child for child in root if _name(child) == "component"), None)
    body = None if component is None else next(iter(child for child in component if isinstance(child.tag, str)), None)
    if body is None:
        return ""
    if _name(body) == "nonXMLBody":
        return _other_body(body, limits)
    parts: list[str] = []
    _sections(body, parts, deadline, 0)
    return "\n\n".join(parts)


def _parsed(data: bytes, charset: str | None) -> Any:
    for recover in (False, True):
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
            recover=recover, remove_comments=True, remove_pis=True, encoding=charset if recover and charset else None,
        )  # fmt: skip
        try:
            root = etree.fromstring(data if not recover else _ENCODED.sub(rb"\1", data), parser)
        except (etree.XMLSyntaxError, ValueError, LookupError) as error:
            failure = type(error).__name__
            continue
        if root is not None:
            return root
        failure = "no root element"
    raise UnreadableError("attachment is damaged", f"XML: {failure}")


def _bounded(root: Any, limits: TextLimits) -> None:
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > limits.depth:
            raise UnreadableError("attachment too large", f"XML nested deeper than {limits.depth}")


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _sections(element: Any, parts: list[str], deadline: Deadline, depth: int) -> None:
    deadline.check()
    for child in element:
        name = _name(child)
        if name == "section":
            _section(child, parts, deadline)
        if name in ("component", "section") and depth < 64:
            _sections(child, parts, deadline, depth + 1)


def _section(section: Any, parts: list[str], deadline: Deadline) -> None:
    title = next((_narrative(child, deadline) for child in section if _name(child) == "title"), "")
    text = next((_narrative(child, deadline) for child in section if _name(child) == "text"), "")
    if text:
        parts.append(f"{title}:\n{text}" if title else text)


def _other_body(body: Any, limits: TextLimits) -> str:
    from zebrawatch.fhir.text import plain_text

    text = next((child for child in body if _name(child) == "text"), None)
    if text is None:
        return ""
    content = "".join(text.itertext())
    if (text.get("representation") or "").upper() != "B64":
        return content
    try:
        inner = pybase64.b64decode("".join(content.split()), validate=True)
    except ValueError:
        raise UnreadableError("attachment is damaged", "base64 in nonXMLBody") from None
    media = text.get("mediaType")
    if inner.lstrip()[:1] == b"<" and b"ClinicalDocument" in inner[:2048]:
        raise UnreadableError("attachment is damaged", "a document inside a document")
    return plain_text(inner, media, limits)[0]


_SPACES = re.compile(r"[ \t\r\n\xa0]+")
_AROUND_BREAK = re.compile(r"[ \t]*\x1e[\x1e \t]*")
_AROUND_CELL = re.compile(r" *\t[ \t]*")


def _narrative(element: Any, deadline: Deadline) -> str:
    pieces: list[str] = []
    _gather(element, pieces)
    deadline.check()
    text = _SPACES.sub(" ", "".join(pieces)).replace("\x1f", "\t")
    return _AROUND_CELL.sub("\t", _AROUND_BREAK.sub("\n", text)).strip()


def _gather(element: Any, pieces: list[str]) -> None:
    for event, node in etree.iterwalk(element, events=("start", "end")):
        name = _name(node)
        if event == "start":
            if name in _ENDS_LINE:
                pieces.append("\x1e")
            elif name in _CELLS:
                pieces.append("\x1f")
            if node.text and name and name not in _UNSEEN:
                pieces.append(node.text)
        else:
            if name in _ENDS_LINE:
                pieces.append("\x1e")
            if node is not element and node.tail:
                pieces.append(node.tail)
