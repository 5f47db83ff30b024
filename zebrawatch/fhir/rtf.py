"""Text of RTF documents, in one pass over the bytes.

After the Rich Text Format (RTF) Specification, version 1.9.1 (Microsoft, 2008): groups, destinations, character sets
by code page and font, `\\u` with its fallback characters, `\\bin`, hidden text. Of HTML kept inside RTF ([MS-OXRTFEX])
the RTF rendering is read, the tags in `\\*\\htmltag` are not.
"""

from __future__ import annotations

import codecs
import re

from zebrawatch.fhir.text import Deadline, TextLimits, UnreadableError

# Control word with its number, hex byte, control symbol, brace, plain run. Line ends in the file mean nothing.
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n\0]+|([^\\{}\r\n\0]+)|\\"
)

_BREAKS = {
    b"par": "\n",
    b"line": "\n",
    b"sect": "\n",
    b"page": "\n",
    b"column": "\n",
    b"row": "\n",
    b"nestrow": "\n",
    b"tab": "\t",
    b"cell": "\t",
    b"nestcell": "\t",
    b"emdash": "—",
    b"endash": "–",
    b"emspace": " ",
    b"enspace": " ",
    b"qmspace": " ",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
}
_SYMBOLS = {b"~": "\xa0", b"_": "-", b"-": "", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n", b"\t": "\t"}

# Destinations that hold no text of the document itself (specification, "Destination control words").
_UNSEEN = frozenset(
    b"""author background bkmkend bkmkstart blipuid buptim category colorschememapping colortbl comment company creatim
    datafield datastore defchp defpap do doccomm docvar dptxbxtext ebcend ebcstart factoidname falt fchars ffdeftext
    ffentrymcr ffexitmcr ffformat ffhelptext ffl ffname ffstattext file filetbl fldinst fldtype fname fontemb fontfile
    fonttbl footer footerf footerl footerr formfield ftncn ftnsep ftnsepc generator gridtbl header headerf headerl
    headerr hl hlfr hlinkbase hlloc hlsrc hsv info keycode keywords latentstyles levelnumbers leveltext list listlevel
    listname listoverride listoverridetable listpicture liststylename listtable lsdlockedexcept manager mhtmltag
    mmathPr nesttableprops nextfile nonesttables objalias objclass objdata object objname objsect objtime oldcprops
    oldpprops oldsprops oldtprops oleclsid operator panose password passwordhash pgp pgptbl picprop pict pn pnseclvl
    private propname protusertbl pxe revtbl revtim rsidtbl rxe sn sp staticval stylesheet subject svb tc template
    themedata title txe ud userprops wgrffmtfilter windowcaption writereservation writereservhash xe xform xmlattrname
    xmlattrvalue xmlclose xmlname xmlnstbl xmlopen""".split()
)

_STATE = frozenset((b"uc", b"f", b"plain", b"v", b"deleted"))

# \fcharset of a font to its code page (specification, "Font Table").
_CHARSETS = {
    b"77": "mac_roman", b"128": "cp932", b"129": "cp949", b"134": "gbk", b"136": "cp950", b"161": "cp1253",
    b"162": "cp1254", b"163": "cp1258", b"177": "cp1255", b"178": "cp1256", b"186": "cp1257", b"204": "cp1251",
    b"222": "cp874", b"238": "cp1250",
}  # fmt: skip
_FONT = re.compile(rb"\\f([0-9]{1,6})(?![0-9])[^{};]{0,200}?\\fcharset([0-9]{1,3})")


def rtf_text(data: bytes, limits: TextLimits, deadline: Deadline) -> str:
    """Text of the document's body: paragraphs on lines, table cells set apart by tabs.

    Headers, footers, pictures and fields' codes are left out. A document that is cut short gives the text up to there.
    UnreadableError beyond the limits.
    """
    reader = _Reader(data, limits.depth * 16)
    act = reader.act
    at = 0
    while at < len(data):
        jump = 0
        for count, token in enumerate(_TOKEN.finditer(data, at), 1):
            if not count & 0x1FFF:
                deadline.check()
            jump = act(token)
            if jump:
                break
        if not jump:
            break
        at = jump
    return _joined(reader.end())


class _Reader:
    """What a reader of RTF remembers: the group's state, and bytes that wait to be decoded together."""

    def __init__(self, data: bytes, depth: int) -> None:
        self._data = data
        self._depth = depth
        self._page = self._encoding = _code_page(data)
        self._fonts = {font: _CHARSETS[charset] for font, charset in _FONT.findall(data) if charset in _CHARSETS}
        self._out: list[str] = []
        self._pending = bytearray()  # of one character set; a character may take two bytes
        self._shown = True  # the text of this group is read
        self._hidden = False
        self._skip = 1  # characters that stand for a \u in readers that do not know it
        self._fallback = 0  # of these, how many are still to come
        self._stack: list[tuple[bool, bool, int, str]] = []

    def act(self, token: re.Match[bytes]) -> int:
        """Take one token; gives where to go on where bytes must be passed over, else 0."""
        kind = token.lastindex
        if kind == 6:
            if self._shown:
                self._run(token[6])
        elif kind == 1 or kind == 2:
            word = token[1]
            if word == b"bin":
                return token.end() + int(token[2] or b"0") if token[2] and token[2] > b"0" else 0
            self._word(word, token[2])
        elif kind == 3:
            if self._fallback:
                self._fallback -= 1
            elif self._shown:
                self._pending.append(int(token[3], 16))
        elif kind == 5:
            self._brace(token[5])
        elif kind == 4:
            self._symbol(token[4], token.end())
        return 0

    def end(self) -> list[str]:
        """The pieces of text."""
        self._settle()
        return self._out

    def _settle(self) -> None:
        if self._pending:
            self._out.append(self._pending.decode(self._encoding, "replace"))
            self._pending.clear()

    def _run(self, run: bytes) -> None:
        if self._fallback:
            run, self._fallback = run[self._fallback :], max(self._fallback - len(run), 0)
        self._pending += run

    def _word(self, word: bytes, number: bytes | None) -> None:
        shown = self._shown
        if word == b"u" and number is not None:
            if shown:
                self._settle()
                self._out.append(chr(int(number) & 0xFFFF))
            self._fallback = self._skip
            return
        self._fallback = 0
        if not shown and word not in _STATE:
            return
        if word in _BREAKS:
            self._settle()
            self._out.append(_BREAKS[word])
        elif word in _UNSEEN:
            self._settle()
            self._shown = False
        elif word in _STATE:
            self._settle()
            self._set(word, number)

    def _set(self, word: bytes, number: bytes | None) -> None:
        if word == b"uc":
            self._skip = min(int(number or b"1"), 32)
        elif word == b"f":
            self._encoding = self._fonts.get(number or b"", self._page)
        elif word == b"plain":
            self._encoding = self._page
            self._hide(False)
        else:  # \v is hidden text, \deleted is text struck out under tracked changes
            self._hide(number != b"0")

    def _hide(self, hidden: bool) -> None:
        if hidden and self._shown:
            self._shown, self._hidden = False, True
        elif not hidden and self._hidden:
            self._shown, self._hidden = True, False

    def _brace(self, brace: bytes) -> None:
        self._settle()
        self._fallback = 0
        if brace == b"{":
            self._stack.append((self._shown, self._hidden, self._skip, self._encoding))
            if len(self._stack) > self._depth:
                raise UnreadableError("attachment too large", "RTF groups nested too deeply")
        elif self._stack:
            self._shown, self._hidden, self._skip, self._encoding = self._stack.pop()

    def _symbol(self, symbol: bytes, at: int) -> None:
        if symbol == b"*":
            # "Pass over this destination if its name is not known." Text boxes (\shpinst) hold words a reader sees.
            if not self._data.startswith((b"\\shpinst", b"\\shptxt"), at):
                self._settle()
                self._shown, self._hidden = False, False
        elif self._fallback:
            self._fallback -= 1
        elif self._shown and symbol in _SYMBOLS:
            self._settle()
            self._out.append(_SYMBOLS[symbol])


def _code_page(data: bytes) -> str:
    found = re.search(rb"\\ansicpg([0-9]{1,5})", data[:4096])
    if found:
        known = {b"65001": "utf-8", b"10000": "mac_roman", b"936": "gbk", b"0": "cp1252"}
        name = known.get(found[1], f"cp{found[1].decode()}")
        try:
            codecs.lookup(name)
            return name
        except LookupError:
            return "cp1252"
    if re.match(rb"\s*\{\\rtf[0-9]*\s*\\mac\b", data):
        return "mac_roman"
    return "cp437" if re.match(rb"\s*\{\\rtf[0-9]*\s*\\pc\b", data) else "cp1252"


def _joined(out: list[str]) -> str:
    text = "".join(out)
    if any("\ud800" <= piece <= "\udfff" for piece in out if len(piece) == 1):
        text = text.encode("utf-16-le", "surrogatepass").decode(
            "utf-16-le", "replace"
        )  # pairs of \u make one character
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()
