"""Whom a naming is about, and how it is asserted, from the words around it.

Any assertion counts as suspicion (OUTCOMES), so the assertion is for the reader; whether it is about the patient or
about their family decides whether it counts at all.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

_BREAK = re.compile(r"[.;!?](?=\s|\Z)|\n\s*\n|\n(?=\s*(?:[-*•]|[A-Z][\w /&]{2,40}:))")
_HEAD = re.compile(
    r"^[ \t]*(?:#+[ \t]*([A-Za-z][^\n:]{1,48})|\*{0,2}([A-Za-z][A-Za-z /&'-]{1,48}?)[ \t]*:|"
    r"\*{0,2}((?:family|social|past|medical|surgical|birth|developmental|history|assessment|impression|plan|diagnos[ei]s|"
    r"problems?|medications?|allergies|exam\w*|physical|review|investigations?|results?|labs?|fhx?|pmhx?|shx?)"
    r"\b[A-Za-z /&]{0,30}?)\*{0,2}[ \t]*$)",
    re.MULTILINE | re.IGNORECASE,
)
_FAMILY_HEAD = re.compile(r"\b(?:family (?:history|hx|medical history)|fhx?|fmh|family)\b", re.IGNORECASE)
_KIN = (
    r"(?:mother|father|mum|mom|dad|brother|sister|sibling|siblings|son|daughter|aunt|uncle|cousin|nephew|niece|"
    r"grand(?:mother|father|parent|parents|son|daughter|child)|half[- ](?:brother|sister)|relative|relatives|parent|"
    r"maternal|paternal|family member|family members|wife|husband|great[- ]grand\w+)s?"
)
_FAMILY = re.compile(
    rf"\b(?:family history|family hx|fhx|fh|{_KIN})\b[^.;\n]*\Z|\bruns in (?:the|his|her|their) family\b", re.IGNORECASE
)
_FAMILY_AFTER = re.compile(
    rf"\A[^.;\n]{{0,40}}\b(?:in|of|on|affecting) (?:the |his |her |their |a )?(?:{_KIN}|family)\b", re.IGNORECASE
)
_PATIENT_AGAIN = re.compile(r"\b(?:patient|pt|he|she|they|index|proband)\b(?![' ]s (?:mother|father))", re.IGNORECASE)
_POSSESSIVE_KIN = re.compile(rf"\b(?:patient'?s?|pt'?s?|his|her|their)\W+(?:{_KIN})\b", re.IGNORECASE)
_ASK = re.compile(
    r"\b(?:mother|father|parents?|mum|dad|family|wife|husband|daughter|son)\s+"
    r"(?:asks?|asked|(?:is|are|was|were) (?:here|present|worried|concerned|anxious|asking|convinced|told)|"
    r"reports?|reported|says?|said|worr\w+|wonder\w*|read|brought|wants?|requests?|"
    r"notes?|noted|concern\w*|states?|stated|agree\w*|declin\w*|consent\w*|express\w*)\b"
    r"(?!\s+(?:diagnosed|affected|a carrier|known))",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:no|not|without|denies|denied|negative for|ruled out|excluded|unlikely|never|free of|absence of)\b[^.;\n]*\Z",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    r"(?:\?|\b(?:possible|possibly|probable|probably|suspected|suspicion of|suspect|consider\w*|query|r/o|rule out|"
    r"exclude|evaluate for|concern(?:ing|ed)? for|differential|ddx|may have|might|could|likely|versus|vs)\b)[^.;\n]*\Z",
    re.IGNORECASE,
)


class Context:
    """The sentences and section heads of one note, found once."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _BREAK.finditer(self._text))]

    @cached_property
    def _heads(self) -> tuple[list[int], list[bool]]:
        matches = list(_HEAD.finditer(self._text))
        return [match.start() for match in matches], [bool(_FAMILY_HEAD.search(match.group())) for match in matches]

    def before(self, start: int) -> str:
        """The sentence up to `start`, at most 200 characters."""
        opening = self._starts[bisect_right(self._starts, start) - 1]
        return self._text[max(opening, start - 200) : start]

    def after(self, end: int) -> str:
        """Up to 80 characters that follow."""
        return self._text[end : end + 80]

    def in_family_section(self, start: int) -> bool:
        """Whether the last section head before `start` is the family history's."""
        starts, family = self._heads
        place = bisect_right(starts, start) - 1
        return place >= 0 and family[place]


def patient_or_family(context: Context, start: int, end: int) -> tuple[str, str]:
    """(`patient` or `family`, assertion) of a hit at [start, end)."""
    before = context.before(start)
    assertion = "negated" if _NEGATED.search(before) else "uncertain" if _UNCERTAIN.search(before) else "present"
    about = "family" if _about_family(context, before, start, end) else "patient"
    return about, assertion


def _about_family(context: Context, before: str, start: int, end: int) -> bool:
    kin = _FAMILY.search(before)
    if kin is not None:
        # "mother asks about X", "father had CAD; he is worried": words about who speaks are not about who is ill.
        tail = before[kin.start() :]
        if _ASK.match(tail):
            return False
        return _PATIENT_AGAIN.search(_POSSESSIVE_KIN.sub("", tail)) is None
    return _FAMILY_AFTER.search(context.after(end)) is not None or context.in_family_section(start)
