"""Runs medspaCy's ConText and negspacy over given spans; a process of its own, needs nothing of this project.

One JSON object a line. First out: {"peers": [...]}. In: {"peer", "task", "items": [[text, [[start, end], ...]], ...]}.
Out: {"answers": one list a text of [negated, historical, hypothetical, family] a span, "seconds": float}.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

Peer = Callable[[Any], list[list[bool]]]


def _medspacy(blank: Any) -> Peer:
    from medspacy.context import ConText

    context = ConText(blank, rules="default")

    def judge(document: Any) -> list[list[bool]]:
        context(document)
        return [
            [span._.is_negated, span._.is_historical, span._.is_hypothetical, span._.is_family]
            for span in document.ents
        ]

    return judge


def _negspacy(blank: Any) -> Peer:
    from negspacy.negation import Negex
    from negspacy.termsets import termset

    negex = Negex(
        blank, name="negex", neg_termset=termset("en_clinical").get_patterns(), ent_types=[], extension_name="negex",
        chunk_prefix=[],
    )  # fmt: skip

    def judge(document: Any) -> list[list[bool]]:
        negex(document)
        return [[span._.negex, False, False, False] for span in document.ents]

    return judge


def _marked(blank: Any, text: str, spans: list[list[int]]) -> tuple[Any, list[int]]:
    """A document whose entities are the spans (widened to words, the first of overlapping ones), and which span each
    is."""
    document = blank(text)
    taken: list[tuple[Any, int]] = []
    for index, (start, end) in enumerate(spans):
        span = document.char_span(start, end, label="FINDING", alignment_mode="expand")
        if span is not None and all(span.end <= other.start or other.end <= span.start for other, _ in taken):
            taken.append((span, index))
    taken.sort(key=lambda pair: pair[0].start)
    document.ents = [span for span, _ in taken]
    return document, [index for _, index in taken]


def _round(blank: Any, judge: Peer, items: list[Any]) -> dict[str, Any]:
    began = time.process_time()
    answers = []
    for text, spans in items:
        document, order = _marked(blank, text, spans)
        found = [[False] * 4 for _ in spans]
        for index, flags in zip(order, judge(document), strict=True):
            found[index] = [bool(flag) for flag in flags]
        answers.append(found)
    return {"answers": answers, "seconds": time.process_time() - began}


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    try:
        from loguru import logger

        logger.remove()
    except ImportError:
        pass
    import spacy

    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    peers: dict[str, Peer] = {}
    for name, make in (("medspacy", _medspacy), ("negspacy", _negspacy)):
        try:
            peers[name] = make(blank)
        except ImportError:
            continue
    print(json.dumps({"peers": list(peers)}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_round(blank, peers[asked["peer"]], asked["items"])), flush=True)


if __name__ == "__main__":
    main()
