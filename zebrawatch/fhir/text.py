"""Plain text of an attachment, whatever the hospital stored it as.

Text, HTML, XHTML, RTF, PDF and C-CDA are read by fast parsers; scripts are dropped, external entities never followed.
What the bytes are decides before what they are said to be: systems label RTF and PDF as plain text. Sizes, pages and
seconds are bounded.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

from charset_normalizer import from_bytes


@dataclass(frozen=True)
class TextLimits:
    """Bounds against attachments that would stop a night."""

    input_bytes: int = 64 * 1024 * 1024
    text_chars: int = 8 * 1024 * 1024
    pages: int = 2_000
    seconds: float = 20.0
    depth: int = 256


class UnreadableError(ValueError):
    """An attachment that gives no text: `reason` in fixed words, `detail` for the person who mends it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Deadline:
    """A time limit that a parser asks now and then."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def check(self) -> None:
        """UnreadableError once the time is over."""
        if monotonic() > self._end:
            raise UnreadableError("attachment takes too long")


PLAIN, HTML, RTF, XML, PDF = "text/plain", "text/html", "text/rtf", "text/xml", "application/pdf"

# Media types that are read, best first: the less a format has been laid out, the fewer words are broken on the way.
_FORMATS: dict[str, str] = {
    "text/plain": PLAIN,
    "text/markdown": PLAIN,
    "text/x-markdown": PLAIN,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
    "application/xhtml": HTML,
    "text/rtf": RTF,
    "application/rtf": RTF,
    "application/x-rtf": RTF,
    "text/richtext": RTF,
    "text/xml": XML,
    "application/xml": XML,
    "application/cda+xml": XML,
    "application/hl7-cda+xml": XML,
    "application/hl7-sda+xml": XML,
    "text/x-hl7-text+xml": XML,
    "application/pdf": PDF,
    "application/x-pdf": PDF,
}
_RANK: dict[str, int] = {PLAIN: 0, HTML: 1, RTF: 2, XML: 3, PDF: 4}
_UNTOLD = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})


@lru_cache(maxsize=1024)
def media_type(content_type: str | None) -> tuple[str, str | None]:
    """Media type (lower case) and charset of a Content-Type such as `text/plain; charset=utf-8`."""
    if not content_type:
        return "", None
    if content_type in _FORMATS:
        return content_type, None
    kind, _, parameters = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:+-]+)", parameters, re.IGNORECASE)
    return kind.strip().lower(), charset.group(1) if charset else None


@lru_cache(maxsize=1024)
def rank_of(content_type: str | None) -> int | None:
    """Place of a media type in the order of taking, 0 first; None where no text can come from it."""
    kind = media_type(content_type)[0]
    if kind in _FORMATS:
        return _RANK[_FORMATS[kind]]
    if kind in _UNTOLD or kind.startswith("text/"):
        return 5
    return None


def plain_text(data: bytes, content_type: str | None, limits: TextLimits = TextLimits()) -> tuple[str, str]:
    """Plain text of an attachment's bytes and the media type it was read as; lines end in `\\n`.

    UnreadableError (fixed reasons: `attachment too large`, `attachment takes too long`, `attachment of a type without
    text`, `attachment is damaged`, `no text`) where nothing can be read.
    """
    if len(data) > limits.input_bytes:
        raise UnreadableError("attachment too large", f"{len(data)} bytes")
    kind, charset = media_type(content_type)
    form = _sniff(data) or _FORMATS.get(kind)
    if form is None:
        if not (kind in _UNTOLD or kind.startswith("text/")):
            raise UnreadableError("attachment of a type without text", kind)
        if b"\0" in data[:4096] and charset is None and not _has_mark(data):
            raise UnreadableError("attachment of a type without text", f"{kind or 'no type'}, binary")
        form = PLAIN
    text = _read(form, data, charset, limits)
    if len(text) > limits.text_chars:
        raise UnreadableError("attachment too large", f"{len(text)} characters of text")
    if not text or text.isspace():
        raise UnreadableError("no text", kind)
    return text, form


def plain_utf8(data: bytes, content_type: str, limits: TextLimits) -> str | None:
    """The text of plain UTF-8 that needs no mending, the same as `plain_text` gives; None where it may need some."""
    if media_type(content_type)[1] not in _UTF8 or not 0 < len(data) <= min(limits.input_bytes, limits.text_chars):
        return None
    if data.lstrip()[:1] in _NO_SHORT_WAY or len(data.translate(None, _UNWANTED)) != len(data):
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\ufeff" in text else text


def _read(form: str, data: bytes, charset: str | None, limits: TextLimits) -> str:
    # Each parser is imported when the first attachment of its kind comes: a worker that sees plain text pays for
    # nothing else.
    if form == PLAIN:
        return clean(decode_text(data, charset))
    deadline = Deadline(limits.seconds)
    if form == HTML:
        from zebrawatch.fhir.markup import html_text

        return clean(html_text(_decode_markup(data, charset)))
    if form == RTF:
        from zebrawatch.fhir.rtf import rtf_text

        return clean(rtf_text(data, limits, deadline))
    if form == XML:
        from zebrawatch.fhir.cda import xml_text

        return clean(xml_text(data, charset, limits, deadline))
    from zebrawatch.fhir.pdf import pdf_text

    return clean(pdf_text(data, limits, deadline))


_MARKUP = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|div)\b", re.IGNORECASE | re.DOTALL
)


def _sniff(data: bytes) -> str | None:
    head = data[:1024].removeprefix(codecs.BOM_UTF8).lstrip()
    if head[:1] not in (b"%", b"{", b"<"):
        return None
    if head.startswith(b"%PDF-"):
        return PDF
    if head.startswith(b"{\\rtf"):
        return RTF
    if _MARKUP.match(head):
        return HTML
    if head.startswith((b"<?xml", b"<ClinicalDocument")):
        return XML
    return None


_META = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:+-]+)|<\?xml[^>]{0,100}encoding\s*=\s*[\"']([\w.:+-]+)", re.IGNORECASE
)


def _decode_markup(data: bytes, charset: str | None) -> str:
    if charset is None and not _has_mark(data):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            charset = _charset_of_markup(data)
    return decode_text(data, charset)


def _charset_of_markup(data: bytes) -> str | None:
    found = _META.search(data[:2048])
    return (found.group(1) or found.group(2)).decode("ascii", "replace") if found else None


# Charsets whose bytes can pass for UTF-8 by accident (wide ones, 7-bit ones with shifts): these are believed when
# declared.
_BELIEVED = re.compile(r"utf-?(16|32|7)|ucs-?[24]|iso-?2022|hz", re.IGNORECASE)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _has_mark(data: bytes) -> bool:
    return data.startswith(tuple(mark for mark, _ in _MARKS))


def decode_text(data: bytes, charset: str | None = None) -> str:
    """Characters of `data`: a byte order mark first, then UTF-8 where the bytes are UTF-8, then the declared charset,
    then a guess.

    UTF-8 comes before the declaration because text that decodes as UTF-8 beyond ASCII is UTF-8, whatever the label
    says. Never fails: bytes without a meaning become U+FFFD.
    """
    if data[:1] in (b"\xef", b"\xff", b"\xfe", b"\0"):
        for mark, name in _MARKS:
            if data.startswith(mark):
                return data.decode(name, "replace")
    declared = _codec(charset)
    if declared and _BELIEVED.match(declared):
        return data.decode(declared, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if declared and declared != "utf-8":
        return data.decode(declared, "replace")
    return _guessed(data)


@lru_cache(maxsize=256)
def _codec(charset: str | None) -> str | None:
    if not charset:
        return None
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # codecs such as `hex` are known, and no charsets
    except (LookupError, ValueError):
        return None
    # What the web calls ISO-8859-1 and ASCII is Windows-1252 (https://encoding.spec.whatwg.org/#names-and-labels).
    return "cp1252" if name in ("iso8859-1", "ascii") else name


def _guessed(data: bytes) -> str:
    best = from_bytes(data[:32_768], steps=5, chunk_size=512).best() if len(data) >= 64 else None
    try:
        return data.decode(best.encoding if best else "cp1252", "replace")
    except LookupError:
        return data.decode("cp1252", "replace")


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_CONTROL_BYTES = bytes([*range(9), 11, *range(14, 32), 127])
_UNWANTED = _CONTROL_BYTES + b"\r\f"
_NO_SHORT_WAY = frozenset((b"", b"{", b"%", b"<"))  # blank, or RTF, PDF, markup under a wrong name
_UTF8 = frozenset((None, "utf-8", "UTF-8", "utf8", "us-ascii"))


def clean(text: str) -> str:
    """`text` with `\\n` line ends and without control characters and lone surrogates, which no store takes."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x0c" in text:
        text = text.replace("\x0c", "\n")
    try:  # deleting bytes and comparing lengths is twenty times faster than searching characters
        raw = text.encode()
    except UnicodeEncodeError:
        return _CONTROL.sub("", text)
    if len(raw.translate(None, _CONTROL_BYTES)) == len(raw) and "\ufeff" not in text:
        return text
    return _CONTROL.sub("", text)
