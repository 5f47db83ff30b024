"""Notes are untrusted text: what in them could pass for markup or for an instruction is made harmless.

Two things are done. Characters with which a chat template or our own prompt marks its parts are replaced, so that a
note cannot end the chart, open a turn, or invent a note. Sentences that address a reader of instructions are left out
of the prompt and counted; the note itself stays as it is in the lake. A clinician's sentence may be hit now and then:
the evidence arm still reads it.
"""

from __future__ import annotations

import re
import unicodedata

_BRACKETS = str.maketrans({"<": "‹", ">": "›"})  # <|im_end|>, <think>, </chart>: no bracket, no markup
_LABEL = re.compile(r"\[(N\d+)\]")

_TO_A_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.\n]{0,40}"
    r"\b(?:previous|above|prior|earlier|all|any|your|these|system)\b[^.\n]{0,40}"
    r"\b(?:instructions?|rules?|prompts?|guidelines|directions?)\b"
    r"|\b(?:system|developer)\s+(?:prompt|message|override)\b"
    r"|^\s*(?:system|assistant|developer|user)\s*:"
    r"|\byou\s+are\s+(?:now\s+)?(?:an?\s+)?(?:ai|assistant|language\s+model|llm|chatbot|chatgpt|gpt)\b"
    r"|\bas\s+an?\s+(?:ai|language\s+model|llm)\b"
    r"|\b(?:new|updated|important)\s+instructions?\s*(?:for|to)\s+(?:the\s+)?(?:ai|model|assistant|reader|screen|llm)\b"
    r"|\b(?:respond|reply|answer|output|return|print)\b[^.\n]{0,30}\b(?:only|exactly|with|the\s+following)\b[^.\n]{0,40}"
    r"\b(?:json|probability|differential|the\s+word)\b"
    r"|\b(?:no_rare_disease_probability|next_test)\b"
    r"|\bprobability\s*(?:=|:|of|to)\s*(?:1(?:\.0+)?|100\s*%)",
    re.IGNORECASE | re.MULTILINE,
)


def harmless(text: str) -> str:
    """The text with every mark replaced that a template or our prompt uses; as long as before."""
    return _LABEL.sub(r"(\1)", text.translate(_BRACKETS))


_HINTS = (
    *("ignore", "disregard", "forget", "override", "instruction", "system", "assistant", "developer", "user", "model"),
    *("llm", "gpt", "chatbot", "you are", "as a", "json", "probability", "differential", "the word"),
    *("no_rare_disease", "next_test"),
)
"""One of these stands in whatever the pattern finds: looking for them is twenty times faster."""


def may_address_a_model(text: str) -> bool:
    """Whether a text may hold such a sentence; False is certain."""
    low = " ".join(_as_read(text).lower().split())
    return any(hint in low for hint in _HINTS)


def addresses_a_model(sentence: str) -> bool:
    """Whether a sentence speaks to a model that reads it, rather than about a patient."""
    return _TO_A_MODEL.search(_as_read(sentence)) is not None


def _as_read(text: str) -> str:
    """The text as it reads: without characters that show nothing, letters of other widths as plain ones."""
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
