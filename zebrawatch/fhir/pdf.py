"""Text of PDF documents."""

from __future__ import annotations

import pypdfium2

from zebrawatch.fhir.text import Deadline, TextLimits, UnreadableError


def pdf_text(data: bytes, limits: TextLimits, deadline: Deadline) -> str:
    """Text of each page in reading order as PDFium gives it, pages set apart by an empty line.

    UnreadableError where the file is damaged, needs a password, or passes the limits; a scan without text gives an
    empty string.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise UnreadableError("attachment is damaged", f"PDF: {error}") from None
    try:
        return "\n\n".join(_pages(document, limits, deadline))
    finally:
        document.close()


def _pages(document: pypdfium2.PdfDocument, limits: TextLimits, deadline: Deadline) -> list[str]:
    count = len(document)
    if count > limits.pages:
        raise UnreadableError("attachment too large", f"PDF of {count} pages")
    pages: list[str] = []
    length = 0
    for number in range(count):
        deadline.check()
        try:
            page = document[number]
        except pypdfium2.PdfiumError as error:
            raise UnreadableError("attachment is damaged", f"PDF page {number + 1}: {error}") from None
        words = page.get_textpage()
        text = words.get_text_range().strip()
        words.close()
        page.close()
        length += len(text)
        if length > limits.text_chars:
            raise UnreadableError("attachment too large", f"more than {limits.text_chars} characters of text")
        if text:
            pages.append(text)
    return pages
