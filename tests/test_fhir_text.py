"""Plain text of attachments: what a reader of the document would read, from every format, within limits."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from striprtf.striprtf import rtf_to_text

from zebrawatch.fhir.text import TextLimits, UnreadableError, decode_text, plain_text, plain_utf8, rank_of


def text_of(data: str | bytes, kind: str | None = "text/plain", limits: TextLimits | None = None) -> str:
    return plain_text(data.encode() if isinstance(data, str) else data, kind, limits or TextLimits())[0]


# ---- characters ----------------------------------------------------------------------------------------------------

FRENCH = (
    "Fièvre élevée depuis trois jours, céphalées et vomissements répétés ; méningisme à l'examen. Père en bonne santé."
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (FRENCH.encode(), "text/plain"),
        (FRENCH.encode(), "text/plain; charset=iso-8859-1"),  # a wrong label on UTF-8
        (FRENCH.encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        (FRENCH.encode("latin-1"), 'text/plain; charset="windows-1252"'),
        (FRENCH.encode("utf-16"), "text/plain"),
        (FRENCH.encode("utf-16-le"), "text/plain;charset=utf-16le"),
        (b"\xef\xbb\xbf" + FRENCH.encode(), "text/plain; charset=us-ascii"),
        (FRENCH.encode(), "text/plain; charset=no-such-charset"),
    ],
)
def test_charsets_declared_or_not(data: bytes, kind: str) -> None:
    assert text_of(data, kind) == FRENCH


def test_undeclared_windows_text_keeps_its_words() -> None:
    assert "c\u00e9phal\u00e9es" in decode_text(("céphalées " * 3).encode("cp1252"), "cp1252")
    assert text_of("Temp 38°C – né le".encode("cp1252"), "text/plain") == "Temp 38°C – né le"


def test_control_characters_and_line_ends() -> None:
    assert text_of("a\r\nb\rc\x00\x07d\x0ce\tf") == "a\nb\ncd\ne\tf"


@given(st.text(st.characters(exclude_categories=("C",)), min_size=1))
def test_plain_text_comes_back_as_it_was(text: str) -> None:
    if text.isspace() or text.lstrip()[:1] in ("<", "{", "%"):
        return
    assert text_of(text) == text


# ---- HTML ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Has <b>sei</b>zures</p><p>since 2019</p>", "Has seizures\nsince 2019"),
        ("one<br>two<BR/>three", "one\ntwo\nthree"),
        ("<ul><li>ataxia<li>ptosis</ul>", "ataxia\nptosis"),
        ("<table><tr><th>CK</th><td>4 200</td></tr><tr><td>ALT</td> <td>90</td></tr></table>", "CK\t4 200\nALT\t90"),
        ("<div>no<script>alert('fever')</script><style>p{}</style> fever</div>", "no\nfever"),
        ("<html><head><title>Letter</title></head><body>x&nbsp;&lt;&eacute;</body></html>", "x <é"),
        ("<pre>Hb  9\nPlt 80</pre>", "Hb 9\nPlt 80"),
        ("<SPAN class='a>b'>weak</SPAN>ness", "weakness"),
        ("<!-- seen --><p>unclosed <i>tag", "unclosed tag"),
        ("<div xmlns='http://www.w3.org/1999/xhtml'>a &amp; b</div>", "a & b"),
    ],
)
def test_html_as_a_reader_sees_it(markup: str, text: str) -> None:
    assert text_of(markup, "text/html") == text


def test_xhtml_and_html_under_other_names() -> None:
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Ptosis</p></body></html>'
    assert text_of(page, "application/xhtml+xml") == "Ptosis"
    assert text_of(page, "text/plain") == "Ptosis"
    declared = '<html><meta charset="iso-8859-1"><p>Né</p></html>'.encode("latin-1")
    assert text_of(declared, "text/html") == "Né"


@pytest.mark.parametrize(
    "bomb",
    ["<div>" * 60_000, "<b><i>" * 40_000, "<table><td>" * 20_000, "<pre>" * 20_000 + "\n" * 9, "<tr " * 50_000 + ">"],
)
def test_deeply_nested_html_is_bounded(bomb: str) -> None:
    assert text_of(bomb + "ataxia</a>x", "text/html", TextLimits()).endswith("x")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<td>",
                "<b",
                "</",
                "<!--",
                "-->",
                "<pre>",
                "&amp;",
                "&#0;",
                "text",
                "\n",
                "<script>",
                "'",
                '"',
                ">",
            ]
        ),
        max_size=30,
    )
)
def test_any_markup_gives_text_or_none(pieces: list[str]) -> None:
    try:
        text_of("".join(pieces), "text/html")
    except UnreadableError as error:
        assert error.reason == "no text"


# ---- RTF -----------------------------------------------------------------------------------------------------------

RTF = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f1\fnil\fcharset204 Times;}}
{\colortbl;\red0\green0\blue0;}{\info{\author Dr. Who}}{\*\generator Made;}{\header Hospital}
\pard\b Diagnosis:\b0  caf\'e9-au-lait, \u945?-galactosidase low\par
\trowd Hb\cell 9.1\cell\row Line \{brace\} two\line {\f1 \'cf\'f0}{\v hidden}\par
{\field{\*\fldinst HYPERLINK "http://x"}{\fldrslt see link}} {\pict\bin4 }}}}}end \u-10179?\u-8640?}"""


def test_rtf_as_a_reader_sees_it() -> None:
    assert text_of(RTF, "application/rtf").split("\n") == [
        "Diagnosis: café-au-lait, α-galactosidase low",
        "Hb\t9.1",
        "Line {brace} two",
        "Пр",
        "see link end 🙀",
    ]
    assert plain_text(RTF, "text/plain")[1] == "text/rtf"  # what it is decides, not what it is called


@pytest.mark.parametrize(
    "body",
    [
        r"\pard Seizures since age 2\par No fever\par",
        r"\b bold\b0  and \i italic\i0 text\line next",
        r"{\b grouped} words {\fs20 in} groups",
        r"tab\tab here \'e9\'e8 \u233?",
        r"a \endash  b \bullet  c \rquote s",
    ],
)
def test_rtf_says_what_striprtf_says(body: str) -> None:
    document = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}" + body + "}"
    assert text_of(document, "text/rtf").split() == rtf_to_text(document).split()


def test_html_in_rtf_is_read_once() -> None:
    body = rb"{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Ataxia\htmlrtf\par}\htmlrtf0 {\*\htmltag72 </p>}"
    mail = rb"{\rtf1\ansi\fromhtml1 " + body + b"}"
    assert text_of(mail, "text/rtf") == "Ataxia"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(RTF)), st.integers(0, 20))
def test_damaged_rtf_gives_text_or_a_reason(noise: bytes, at: int, gone: int) -> None:
    try:
        text_of(b"{\\rtf1" + RTF[:at] + noise + RTF[at + gone :], "text/rtf")
    except UnreadableError as error:
        assert error.reason in ("no text", "attachment too large")


# ---- C-CDA ---------------------------------------------------------------------------------------------------------


def cda(body: str, doctype: str = "") -> str:
    return f"""<?xml version="1.0"?>{doctype}<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget>
    <patientRole><patient><name>Jane Roe</name></patient></patientRole></recordTarget>
    <component>{body}</component></ClinicalDocument>"""


SECTION = """<structuredBody><component><section><title>HPI</title>
<text>Has <content styleCode="Bold">sei</content>zures<br/>
since 2<list><item>ataxia</item><item>ptosis</item></list>
<table><tr><th>CK</th><td>4200</td></tr></table></text>
<component><section><title>Family</title><text>Mother well</text></section></component>
</section></component></structuredBody>"""


def test_ccda_sections_without_the_header() -> None:
    assert (
        text_of(cda(SECTION), "text/xml")
        == "HPI:\nHas seizures\nsince 2\nataxia\nptosis\nCK\t4200\n\nFamily:\nMother well"
    )


def test_ccda_opens_nothing_and_expands_nothing() -> None:
    entities = '<!ENTITY a "SECRET"><!ENTITY b SYSTEM "file:///etc/hostname"><!ENTITY c "&a;&a;&a;&a;">'
    doctype = f"<!DOCTYPE x [{entities}]>"
    text = text_of(cda(SECTION.replace("Mother well", "Mother &a; &b; &c; well"), doctype), "text/xml")
    assert "SECRET" not in text and text.endswith("well")


def test_a_document_inside_ccda() -> None:
    inner = base64.b64encode(b"{\\rtf1 Ptosis}").decode()
    body = f'<nonXMLBody><text mediaType="text/rtf" representation="B64">{inner}</text></nonXMLBody>'
    assert text_of(cda(body), "application/hl7-cda+xml") == "Ptosis"
    twice = base64.b64encode(cda(SECTION).encode()).decode()
    with pytest.raises(UnreadableError, match="damaged"):
        text_of(cda(body.replace(inner, twice)), "text/xml")


def test_damaged_xml_is_mended_or_refused() -> None:
    assert "Has seizures" in text_of(cda(SECTION).replace("</list>", ""), "text/xml")
    with pytest.raises(UnreadableError):
        text_of("<?xml version='1.0'?>", "text/xml")
    with pytest.raises(UnreadableError, match="too large"):
        text_of("<?xml version='1.0'?>" + "<a>" * 250 + "x" + "</a>" * 250, "text/xml", TextLimits(depth=100))


# ---- PDF -----------------------------------------------------------------------------------------------------------


def pdf(*pages: str) -> bytes:
    """A small PDF with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for page in pages:
        stream = f"BT /F1 12 Tf 50 700 Td ({page}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    return out + f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()


def test_pdf_page_by_page() -> None:
    assert text_of(pdf("Muscle weakness", "Ptosis"), "application/pdf") == "Muscle weakness\n\nPtosis"
    assert text_of(pdf("Ptosis"), "application/octet-stream") == "Ptosis"


def test_pdf_without_text_damaged_or_too_long() -> None:
    with pytest.raises(UnreadableError, match="no text"):
        text_of(pdf(""), "application/pdf")
    with pytest.raises(UnreadableError, match="damaged"):
        text_of(b"%PDF-1.4 nothing", "application/pdf")
    with pytest.raises(UnreadableError, match="too large"):
        text_of(pdf("a", "b", "c"), "application/pdf", TextLimits(pages=2))


# ---- limits and types ----------------------------------------------------------------------------------------------


def test_limits_are_kept() -> None:
    with pytest.raises(UnreadableError, match="too large"):
        text_of("x" * 100, limits=TextLimits(input_bytes=99))
    with pytest.raises(UnreadableError, match="too large"):
        text_of("x" * 100, limits=TextLimits(text_chars=99))
    with pytest.raises(UnreadableError, match="takes too long"):
        text_of(b"{\\rtf1 " + b"\\par x" * 20_000 + b"}", limits=TextLimits(seconds=-1))


@pytest.mark.parametrize("kind", ["image/png", "application/dicom", "audio/wav", "application/zip"])
def test_types_without_text(kind: str) -> None:
    assert rank_of(kind) is None
    with pytest.raises(UnreadableError, match="without text"):
        text_of("abc", kind)


def test_untold_types_are_looked_at() -> None:
    assert text_of("plain words", None) == "plain words"
    with pytest.raises(UnreadableError, match="without text"):
        text_of(b"\x00\x01\x02\x03", "application/octet-stream")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_the_short_way_for_plain_text_gives_what_the_long_way_gives(data: bytes) -> None:
    short = plain_utf8(data, "text/plain", TextLimits())
    if short is not None:
        assert short == plain_text(data, "text/plain")[0]
