"""The arm's rows for the lake: `llm_requests`, `llm_responses`, and the ledger of what was kept from the model.

Prompts and answers are patient data: they stay in the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from zebrawatch.reasoning.arm import ArmOutcome
from zebrawatch.reasoning.requests import Response
from zebrawatch.schemas import Table


def _column(name: str, kind: pa.DataType, about: str) -> pa.Field:
    return pa.field(name, kind, metadata={"about": about})


LLM_REQUESTS = Table(
    "llm_requests", "reasoning", "what the reasoning arm asked, a row a request key and night",
    pa.schema([
        _column("subject_id", pa.int64(), "patient"),
        _column("night", pa.date32(), "night of the chart"),
        _column("key", pa.string(), "digest of model, task and chart, with -rN for a repeat: an answer is made once"),
        _column("task", pa.string(), "differential / confirm"),
        _column("candidate", pa.string(), "disease asked about (confirm)"),
        _column("prompt_tokens", pa.int32(), "estimated length of the prompt"),
        _column("dropped_sentences", pa.int32(), "sentences that did not fit the context"),
        _column("copied_sentences", pa.int32(), "sentences told at their first appearance only"),
        _column("evidence", pa.string(), "sha256 of patient and text"),
        _column("body", pa.string(), "OpenAI chat completion request, JSON (patient data)"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ]),
    ("key", "night"), "night_range", clock=("night_range",),
)  # fmt: skip

LLM_RESPONSES = Table(
    "llm_responses", "reasoning", "answers as they came, a row a request key; a retry has the key's suffix -again",
    pa.schema([
        _column("subject_id", pa.int64(), "patient"),
        _column("night", pa.date32(), "night on which it was made"),
        _column("key", pa.string(), "request key"),
        _column("content", pa.string(), "the answer (patient data)"),
        _column("reasoning", pa.string(), "the model's reasoning (patient data)"),
        _column("finish_reason", pa.string(), "stop / length / ..."),
        _column("error", pa.string(), "why there is no answer: timeout / server / connection / refused / ..."),
        _column("verdict", pa.string(), "judgement of the question: accepted / cut off / no JSON / schema / ..."),
        _column("quotes", pa.int32(), "quotes given"),
        _column("struck_quotes", pa.int32(), "quotes that did not stand"),
        _column("prompt_tokens", pa.int32(), "tokens read"),
        _column("cached_tokens", pa.int32(), "of which from the prefix cache"),
        _column("completion_tokens", pa.int32(), "tokens written"),
        _column("seconds", pa.float64(), "time taken, where the door tells it"),
        _column("identity", pa.string(), "JSON: the arm's part of the run identity"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ]),
    ("key",), "night_range", clock=("night_range", "seconds"),
)  # fmt: skip

LLM_LEDGER = Table(
    "llm_ledger", "reasoning", "documents and sentences kept from the model, for which disease, and why",
    pa.schema([
        _column("subject_id", pa.int64(), "patient"),
        _column("night", pa.date32(), "night of the chart"),
        _column("task", pa.string(), "differential / confirm"),
        _column("source_id", pa.string(), "note or event"),
        _column("reason", pa.string(), "names a rare disease / ... in a relative / sentence addresses a model"),
        _column("disease_id", pa.string(), "disease named"),
        _column("night_range", pa.string(), "the run's range of nights"),
    ]),
    ("subject_id", "night", "task", "source_id", "reason", "disease_id"), "night_range", clock=("night_range",),
)  # fmt: skip


def rows_of(outcome: ArmOutcome, night: date, night_range: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of a night, by table name, in key order."""
    requests = [
        {
            "subject_id": question.request.subject_id, "night": night, "key": question.request.key,
            "task": question.task, "candidate": question.candidate[0] if question.candidate else None,
            "prompt_tokens": question.prompt.tokens, "dropped_sentences": question.prompt.dropped,
            "copied_sentences": question.prompt.copied, "evidence": question.prompt.evidence,
            "body": json.dumps(dict(question.request.body), ensure_ascii=False), "night_range": night_range,
        }
        for question in sorted(outcome.asked, key=lambda q: q.request.key)
    ]  # fmt: skip
    ledger = [{**line._asdict(), "night_range": night_range} for line in sorted(outcome.ledger, key=str)]
    return {"llm_requests": requests, "llm_responses": _responses(outcome, night, night_range), "llm_ledger": ledger}


def _responses(outcome: ArmOutcome, night: date, night_range: str) -> list[dict[str, Any]]:
    subjects = {question.request.key: question.request.subject_id for question in outcome.asked}
    identity = json.dumps(dict(outcome.identity), sort_keys=True)
    rows = []
    for response in sorted(outcome.responses, key=lambda r: r.key):
        key = response.key.removesuffix("-again")
        answer = outcome.answers[key]
        told = {
            name: getattr(response, name)
            for name in (
                "key", "content", "reasoning", "finish_reason", "error", "prompt_tokens", "cached_tokens",
                "completion_tokens", "seconds",
            )
        }  # fmt: skip
        rows.append(
            told | {
                "subject_id": subjects[key], "night": night, "verdict": answer.verdict, "quotes": answer.quotes,
                "struck_quotes": answer.struck, "identity": identity, "night_range": night_range,
            }
        )  # fmt: skip
    return rows


def answered(rows: Iterable[Mapping[str, Any]]) -> dict[str, Response]:
    """Stored rows of `llm_responses` as run_arm's `answered`; of a key stored twice, the later row."""
    return {
        str(row["key"]): Response(
            str(row["key"]),
            row["content"],
            row["reasoning"],
            row["finish_reason"],
            int(row["prompt_tokens"] or 0),
            int(row["completion_tokens"] or 0),
            int(row["cached_tokens"] or 0),
            row["seconds"],
            row["error"],
        )
        for row in rows
    }
