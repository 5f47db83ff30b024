"""Answers are judged before they count: schema, finish reason, every quote looked up, every name resolved.

A quote that is not in the cited note is struck, and so is one offered in support that the chart's findings say is
denied or about a relative. A disease without a supporting quote left cannot flag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from zebrawatch.reasoning.chart import ChartFinding, Prompt
from zebrawatch.reasoning.injection import harmless
from zebrawatch.reasoning.names import Resolution, Resolver
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.requests import Response
from zebrawatch.reasoning.task import Task

SHORTEST_QUOTE = 6  # letters; a shorter one is found in any note
_THOUGHT = re.compile(r"^.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Quote:
    """A quote that stands in its note, as cited."""

    note_id: str
    text: str


@dataclass(frozen=True)
class JudgedDisease:
    """One disease of an answer. `may_flag`: it has an id and a supporting quote that stands."""

    rank: int
    name: str
    resolution: Resolution
    probability: float
    supporting: tuple[Quote, ...]
    against: tuple[Quote, ...]
    struck: int
    next_test: str

    @property
    def may_flag(self) -> bool:
        """Whether it may take part in the fusion."""
        return self.resolution.disease_id is not None and bool(self.supporting)


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer after judgement.

    `verdict`: accepted / no answer / cut off / no reasoning / no JSON / schema. `fault` says what was wrong in words
    that can be shown to the model (they hold no patient data). For `confirm`, `consistent` is yes / no / unclear and
    `diseases` holds the candidate alone.
    """

    key: str
    verdict: str
    fault: str | None = None
    no_rare_disease: float | None = None
    diseases: tuple[JudgedDisease, ...] = ()
    consistent: str | None = None
    commoner_explanation: str | None = None
    quotes: int = 0
    struck: int = 0

    @property
    def accepted(self) -> bool:
        """Whether it counts."""
        return self.verdict == "accepted"


def judge(
    response: Response,
    task: Task,
    profile: ModelProfile,
    prompt: Prompt,
    findings: Sequence[ChartFinding],
    resolver: Resolver,
    candidate: tuple[str, str] | None = None,
) -> JudgedAnswer:
    """Judge an answer against the chart it was given. `findings` are the chart's, for denied and family mentions."""
    told, verdict, fault = _read(response, task, profile)
    if verdict != "accepted":
        return JudgedAnswer(response.key, verdict, fault)
    quotes = _Quotes(prompt, findings)
    if task.name == "confirm" or "consistent" in told:
        return _judged_candidate(response.key, told, quotes, candidate)
    diseases = tuple(
        _judged(rank, entry, resolver.resolve(entry["disease"]), quotes)
        for rank, entry in enumerate(told["differential"], start=1)
    )
    none = float(told["no_rare_disease_probability"])
    return JudgedAnswer(response.key, "accepted", None, none, diseases, quotes=quotes.seen, struck=quotes.struck)


def _read(response: Response, task: Task, profile: ModelProfile) -> tuple[dict[str, Any], str, str | None]:
    if response.error is not None:
        return {}, "no answer", response.error
    if response.finish_reason != "stop":
        return {}, "cut off", f"it was cut off (finish reason {response.finish_reason}); be shorter"
    if profile.reasoning_parser and not (response.reasoning or "").strip():
        return {}, "no reasoning", "it holds no reasoning"
    try:
        told = json.loads(_THOUGHT.sub("", response.content or "").strip())
    except ValueError:
        return {}, "no JSON", "it is not one JSON object"
    fault = schema_fault(told, task.schema)
    return (told, "accepted", None) if fault is None else ({}, "schema", fault)


def schema_fault(told: object, schema: Mapping[str, Any]) -> str | None:
    """Where an object breaks a schema: the path and the rule, never the value; None where it holds."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(dict(schema)).iter_errors(told))
    if error is None:
        return None
    path = "/".join(str(part) for part in error.absolute_path) or "the object"
    limit = error.validator_value
    rule = f" {limit}" if isinstance(limit, (int, float, str)) else ""
    return f"{path} breaks the schema's rule '{error.validator}{rule}'"


def _judged(rank: int, entry: Mapping[str, Any], resolution: Resolution, quotes: _Quotes) -> JudgedDisease:
    before = quotes.struck
    supporting = quotes.standing(entry["for"], supporting=True)
    against = quotes.standing(entry["against"], supporting=False)
    name, probability = str(entry["disease"]), float(entry["probability"])
    struck = quotes.struck - before
    return JudgedDisease(
        rank, name, resolution, probability, supporting, against, struck, str(entry["next_test"])
    )  # fmt: skip


def _judged_candidate(
    key: str, told: Mapping[str, Any], quotes: _Quotes, candidate: tuple[str, str] | None
) -> JudgedAnswer:
    if candidate is None:
        raise ValueError("an answer about a candidate needs the candidate it was asked about")
    known = Resolution(candidate[0], candidate[1], "exact", 1.0)
    disease = _judged(1, {**told, "disease": candidate[1]}, known, quotes)
    return JudgedAnswer(
        key, "accepted", None, None, (disease,), str(told["consistent"]), str(told["commoner_explanation"]) or None,
        quotes.seen, quotes.struck,
    )  # fmt: skip


class _Quotes:
    """Looks quotes up in the notes as they were shown, and counts what it strikes."""

    def __init__(self, prompt: Prompt, findings: Sequence[ChartFinding]) -> None:
        self._notes = {label: (source, flat(text)) for label, (source, text) in prompt.shown.items()}
        self._findings = findings
        self.seen = 0
        self.struck = 0

    def standing(self, given: Sequence[Mapping[str, str]], *, supporting: bool) -> tuple[Quote, ...]:
        """The quotes that stand, each once."""
        kept: dict[Quote, None] = {}
        for each in given:
            self.seen += 1
            source, text = self._notes.get(each["note"], ("", ""))
            wanted = flat(each["quote"]).strip(" \"'“”")
            if not self._stands(wanted, text) or (supporting and self._is_denied(wanted, source)):
                self.struck += 1
            else:
                kept[Quote(source, each["quote"].strip())] = None
        return tuple(kept)

    def _stands(self, wanted: str, text: str) -> bool:
        return sum(map(str.isalpha, wanted)) >= SHORTEST_QUOTE and wanted in text

    def _is_denied(self, wanted: str, source: str) -> bool:
        """Whether every finding that the quote holds is denied in that note, or a relative's."""
        held = [f for f in self._findings if f.source_id == source and f.quote and flat(f.quote) in wanted]
        return bool(held) and all(f.assertion == "negated" or f.experiencer != "patient" for f in held)


def flat(text: str) -> str:
    """White space as single blanks, and the marks that a prompt replaces, replaced."""
    return " ".join(harmless(text).split())
