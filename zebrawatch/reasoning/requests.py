"""Requests and responses as plain records, and the key by which an answer is never made twice.

The key is a digest of model profile, task (prompt, schema, version) and chart: an unchanged chart costs nothing.
Requests are lines of an OpenAI batch file, so that any OpenAI-compatible engine reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from zebrawatch.reasoning.chart import Prompt
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.task import Task

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Request:
    """One question: `key` names it for ever, `body` is a chat completion request."""

    key: str
    subject_id: int
    body: Mapping[str, Any]

    def line(self) -> dict[str, Any]:
        """The request as a line of an OpenAI batch file."""
        return {"custom_id": self.key, "method": "POST", "url": PATH, "body": dict(self.body)}


@dataclass(frozen=True)
class Response:
    """One answer as it came: `error` is None, or a code (`timeout`, `server`, `refused`, ...) where none came."""

    key: str
    content: str | None
    reasoning: str | None
    finish_reason: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    seconds: float | None = None
    error: str | None = None

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Response:
        """Read a line of an OpenAI batch's output; a body of another shape gives the error `malformed`."""
        key = str(line["custom_id"])
        if line.get("error"):
            return cls(key, None, None, None, error=str(line["error"].get("code", "error")))
        body: Any = (line.get("response") or {}).get("body")
        try:
            choice, usage = body["choices"][0], body.get("usage") or {}
            message = choice["message"]
            thought = message.get("reasoning") or message.get("reasoning_content")
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            return cls(
                key, message.get("content"), thought, choice.get("finish_reason"),
                int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), int(cached),
                (line.get("response") or {}).get("seconds"),
            )  # fmt: skip
        except (TypeError, KeyError, IndexError, AttributeError):
            return cls(key, None, None, None, error="malformed")


def request_of(profile: ModelProfile, task: Task, prompt: Prompt, *, repeat: int = 0) -> Request:
    """The request of a prompt. `repeat` > 0 asks the same again with another seed, to measure agreement."""
    sampling = dict(profile.sampling)
    sampling["seed"] = int(sampling.get("seed", 0)) + repeat
    body = {
        "model": profile.name,
        "messages": prompt.messages(),
        "max_tokens": profile.answer_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": task.name, "strict": True, "schema": dict(task.schema)},
        },
        **sampling,
    }
    return Request(request_key(profile, task, prompt.evidence, repeat), prompt.subject_id, body)


def retry_of(request: Request, answer: str | None, error: str) -> Request:
    """The request once more, with the answer that did not hold and the error shown."""
    messages = [
        *request.body["messages"],
        {"role": "assistant", "content": (answer or "")[:4000]},
        {"role": "user", "content": f"That answer cannot be used: {error}. Answer again with one JSON object only."},
    ]
    return Request(f"{request.key}-again", request.subject_id, {**request.body, "messages": messages})


def request_key(profile: ModelProfile, task: Task, evidence: str, repeat: int = 0) -> str:
    """48 hex digits over model, task and chart, and the number of the repeat."""
    told = json.dumps([profile.digest, task.digest, evidence])
    return hashlib.sha256(told.encode()).hexdigest()[:48] + (f"-r{repeat}" if repeat else "")


def smoke_body(profile: ModelProfile, task: Task) -> dict[str, Any]:
    """The smoke request of a model: a made chart of two lines, asked like any other."""
    chart = "<chart>\n[N1] 2020-01-01, age 40 years, note\nSore throat for two days. No fever.\n</chart>\nSex: female."
    prompt = Prompt(0, date(2020, 1, 1), task.instructions, chart, {}, 0, "smoke", 0, 0)
    return dict(request_of(profile, task, prompt).body)
