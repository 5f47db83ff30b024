"""Made charts and a made model for the tests of the reasoning arm. None of this is about a person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from zebrawatch.reasoning.arm import ArmSettings, ScoredChart
from zebrawatch.reasoning.chart import ChartFinding, ChartNote, Naming, PatientChart
from zebrawatch.reasoning.fusion import Listed
from zebrawatch.reasoning.names import DiseaseName, Resolver
from zebrawatch.reasoning.profile import read_profile
from zebrawatch.reasoning.requests import Request, Response
from zebrawatch.reasoning.shortlist import Budget
from zebrawatch.reasoning.task import read_task

NIGHT = date(2024, 5, 20)
FABRY, POMPE, GAUCHER = "OMIM:301500", "OMIM:232300", "OMIM:230800"

NAMES = [
    DiseaseName(FABRY, "Fabry disease"),
    DiseaseName(FABRY, "Alpha-galactosidase A deficiency", "synonym"),
    DiseaseName(POMPE, "Glycogen storage disease II"),
    DiseaseName(POMPE, "Pompe disease", "synonym"),
    DiseaseName("OMIM:232600", "Glycogen storage disease V"),
    DiseaseName(GAUCHER, "Gaucher disease, type I"),
    DiseaseName("OMIM:230900", "Gaucher disease, type II"),
]
RESOLVER = Resolver(NAMES)

FIRST = "Burning pain in hands and feet since childhood, worse with fever. No seizures."
SECOND = (
    "Burning pain in hands and feet since childhood, worse with fever. Urine protein 1.2 g per day. Cornea whorled."
)


def count_words(texts: Sequence[str]) -> list[int]:
    """A tokenizer for tests: a word or mark a token."""
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def note(n: int, text: str, days: int = 100, namings: tuple[Naming, ...] = ()) -> ChartNote:
    """A note that became known so many days before the night."""
    return ChartNote(f"DocumentReference/{n}", NIGHT - timedelta(days=days), text, None, "Progress note", namings)


def finding(source: int, text: str, quote: str, *, assertion: str = "present", weight: float = 1.0) -> ChartFinding:
    """A finding at the quote's place in the text."""
    start = text.index(quote)
    return ChartFinding(
        f"DocumentReference/{source}", NIGHT - timedelta(days=1), quote, assertion, "patient", start,
        start + len(quote), quote, weight,
    )  # fmt: skip


def chart(subject: int = 1, *notes: ChartNote, findings: tuple[ChartFinding, ...] = ()) -> PatientChart:
    """A chart of the notes given, or of two notes about burning pain."""
    told = notes or (note(1, FIRST, 200), note(2, SECOND, 100))
    return PatientChart(subject, NIGHT, told, findings, "female", date(1990, 2, 1))


def scored(each: PatientChart, p_any: float = 0.6) -> ScoredChart:
    """A chart with the evidence arm's list: Pompe, Fabry, Gaucher."""
    listed = (
        Listed(POMPE, "Glycogen storage disease II", 0.3, 2.0),
        Listed(FABRY, "Fabry disease", 0.2, 1.8),
        Listed(GAUCHER, "Gaucher disease, type I", 0.1, 1.0),
    )
    return ScoredChart(each, p_any, listed)


def settings(**changed: Any) -> ArmSettings:
    """The arm with the small model's profile, a budget of ten patients, and no confirmation."""
    given: dict[str, Any] = {
        "profile": read_profile("smollm2-135m"), "differential": read_task("differential"),
        "budget": Budget(patients=10), "threshold": 0.5, "floor": 0.1,
    }  # fmt: skip
    return ArmSettings(**(given | changed))


def differential(*diseases: dict[str, Any], none: float = 0.1) -> str:
    """An answer of the task `differential` as JSON text."""
    return json.dumps({"no_rare_disease_probability": none, "differential": list(diseases)})


def disease(name: str, *quotes: tuple[str, str], against: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """One disease of a differential, with (note, quote) pairs."""

    def told(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"note": label, "quote": quote} for label, quote in pairs]

    return {
        "disease": name, "probability": 0.4, "for": told(quotes), "against": told(against), "next_test": "enzymes",
    }  # fmt: skip


def answer(content: str | None, key: str = "k", **changed: Any) -> Response:
    """A response that ended of its own accord."""
    given: dict[str, Any] = {
        "reasoning": None, "finish_reason": "stop", "prompt_tokens": 100, "completion_tokens": 20, "seconds": 0.5,
    }  # fmt: skip
    return Response(key, content, **(given | changed))


class MadeModel:
    """Answers requests by a function of the chart's text, and remembers what it was asked."""

    def __init__(self, reply: Callable[[Request], str | None]) -> None:
        self.reply = reply
        self.asked: list[Request] = []

    def __call__(self, requests: Sequence[Request]) -> list[Response]:
        """Answer each request."""
        self.asked += requests
        return [answer(self.reply(request), request.key) for request in requests]
