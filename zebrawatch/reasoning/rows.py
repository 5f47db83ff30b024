"""The arm's rows for the lake: `llm_requests`, `llm_responses`, and the ledger of what was kept from the model.

Prompts and answers are patient data: they stay in the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, Quote
from zebrawatch.reasoning.arm import ArmOutcome, Asked, NightPlan
from zebrawatch.reasoning.names import Resolution
from zebrawatch.reasoning.requests import Response
from zebrawatch.reasoning.shortlist import SPENT, Choice, Scored

AGAIN = "-again"


def request_rows(plans: Sequence[NightPlan], night_range: str) -> list[dict[str, Any]]:
    """Rows of `llm_requests`: one a question, and one for everybody who was considered and not read."""
    rows = []
    for plan in plans:
        asked: dict[int, list[Asked | None]] = {}
        for question in plan.asked:
            asked.setdefault(question.request.subject_id, []).append(question)
        rows += [
            {**_of_choice(choice), **_of_question(question), "night_range": night_range}
            for choice in sorted(plan.choices, key=lambda c: c.subject_id)
            for question in asked.get(choice.subject_id, [None])
        ]
    return rows


def _of_choice(choice: Choice) -> dict[str, Any]:
    return {name: getattr(choice, name) for name in ("subject_id", "night", "read", "reason", "sampled", "p_any")}


def _of_question(question: Asked | None) -> dict[str, Any]:
    if question is None:
        return {}
    return {
        "task": question.task, "candidate": question.candidate[0] if question.candidate else None,
        "repeat": question.repeat, "request_key": question.request.key, "prompt_tokens": question.prompt.tokens,
        "dropped_sentences": question.prompt.dropped, "copied_sentences": question.prompt.copied,
        "evidence": question.prompt.evidence, "body": json.dumps(dict(question.request.body), ensure_ascii=False),
    }  # fmt: skip


def ledger_rows(plans: Sequence[NightPlan], night_range: str) -> list[dict[str, Any]]:
    """Rows of `llm_ledger`, in the order of the nights."""
    return [{**line._asdict(), "night_range": night_range} for plan in plans for line in sorted(plan.ledger, key=str)]


def response_rows(outcome: ArmOutcome, night_range: str) -> list[dict[str, Any]]:
    """Rows of `llm_responses`, in the order of their keys: what was made now."""
    first: dict[str, Asked] = {}
    for question in outcome.asked:
        first.setdefault(question.request.key, question)
    clinical = outcome.identity.get("llm.clinical_use") == "true"
    identity = json.dumps(dict(outcome.identity), sort_keys=True)
    retried = {r.key.removesuffix(AGAIN) for r in outcome.responses if r.key.endswith(AGAIN)}
    rows = []
    for response in sorted(outcome.responses, key=lambda r: r.key):
        key = response.key.removesuffix(AGAIN)
        answer, attempt = outcome.answers[key], 2 if response.key != key else 1
        # The first answer of a request that was asked again had not held.
        counted = answer if answer.accepted and (attempt == 2 or key not in retried) else None
        told = {
            name: getattr(response, name)
            for name in (
                "content", "reasoning", "finish_reason", "error", "prompt_tokens", "cached_tokens",
                "completion_tokens", "seconds",
            )
        }  # fmt: skip
        rows.append(
            told | {
                "subject_id": first[key].request.subject_id, "night": first[key].prompt.night, "request_key": key,
                "attempt": attempt, "verdict": answer.verdict, "counts": counted is not None and clinical,
                "judged": None if counted is None else json.dumps(asdict(counted), ensure_ascii=False),
                "quotes": 0 if counted is None else counted.quotes,
                "struck_quotes": 0 if counted is None else counted.struck,
                "identity": identity, "night_range": night_range,
            }
        )  # fmt: skip
    return rows


def answered(rows: Iterable[Mapping[str, Any]]) -> dict[str, Response]:
    """Stored rows of `llm_responses` as `read`'s `answered`; of a key stored twice, the later row."""
    return {
        response.key: response
        for row in rows
        for response in [
            Response(
                str(row["request_key"]) + (AGAIN if row["attempt"] == 2 else ""),
                row["content"],
                row["reasoning"],
                row["finish_reason"],
                int(row["prompt_tokens"] or 0),
                int(row["completion_tokens"] or 0),
                int(row["cached_tokens"] or 0),
                row["seconds"],
                row["error"],
            )
        ]
    }


def waiting_of(rows: Iterable[Mapping[str, Any]], last_scored: Mapping[int, date]) -> list[Scored]:
    """Who waits after the nights of these rows of `llm_requests`: not read since their last score, for want of a place.

    `last_scored`: by patient, the night of the last score, which may lie on a night on which the arm was off.
    """
    last: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        if row["subject_id"] not in last or last[row["subject_id"]]["night"] < row["night"]:
            last[row["subject_id"]] = row
    return [
        Scored(subject, row["p_any"], since=row["night"])
        for subject, row in sorted(last.items())
        if row["reason"] == SPENT and last_scored.get(subject) == row["night"]
    ]


def judged_of(text: str) -> JudgedAnswer:
    """A judged answer as `llm_responses.judged` holds it."""
    told = json.loads(text)
    return JudgedAnswer(**{**told, "diseases": tuple(_disease(each) for each in told["diseases"])})


def _disease(told: Mapping[str, Any]) -> JudgedDisease:
    return JudgedDisease(
        **{
            **told,
            "resolution": Resolution(**told["resolution"]),
            "supporting": tuple(Quote(**quote) for quote in told["supporting"]),
            "against": tuple(Quote(**quote) for quote in told["against"]),
        }
    )
