"""What parent and runner agree on: the job's file, the append-only results, the signed completion record.

Standard library only, Python 3.10 and later: it is read in both environments.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

KEY_VARIABLE = "ZEBRAWATCH_JOB_KEY"
"""Environment variable with the job's key (hex): made anew for each start, known to parent and runner only."""

OUT_OF_MEMORY = "out of memory"
EXIT_OUT_OF_MEMORY = 75
EXIT_SMOKE = 76
EXIT_WRONG = 77


@dataclass(frozen=True)
class Job:
    """One batch: where requests, results and record lie, and how the engine is started.

    `engine` are keyword arguments of vllm.EngineArgs. `in_flight` requests are in the engine at a time: as one ends,
    the next one enters. `reasoning_parser` names vLLM's parser, or is empty. `smoke` is one request that must give
    reasoning (where there is a parser) and JSON of `smoke_schema` before any patient is read.
    """

    requests: str
    results: str
    record: str
    progress: str
    engine: dict[str, Any]
    in_flight: int = 64
    reasoning_parser: str = ""
    smoke: dict[str, Any] | None = None
    flush_every: int = 16
    identity: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job's file; TypeError or ValueError where it is not one."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write the job's file, for its owner only."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


class Results:
    """An append-only JSONL file of results, a line a request key; a line that a killed run left half is cut off."""

    def __init__(self, path: Path, flush_every: int = 16) -> None:
        self.path = path
        self.done = _mended(path)
        self._every = flush_every
        self._waiting = 0
        path.touch(mode=0o600)
        self._file = path.open("ab")

    def append(self, result: dict[str, Any]) -> None:
        """Add one result; a key that is already there is not added again."""
        key = result["custom_id"]
        if key in self.done:
            return
        self.done.add(key)
        self._file.write(json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()  # a process that is killed loses nothing; a machine that stops, at most flush_every
        self._waiting += 1
        if self._waiting >= self._every:
            self.flush()

    def flush(self) -> None:
        """Bring everything to the disk."""
        os.fsync(self._file.fileno())
        self._waiting = 0

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, whole lines only."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def result_of(key: str, body: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
    """An answer as a line of an OpenAI batch's output; `seconds` is what it took, where that is known."""
    response: dict[str, Any] = {"status_code": 200, "request_id": key, "body": body}
    if seconds is not None:
        response["seconds"] = round(seconds, 4)
    return {"id": f"batch_req_{key}", "custom_id": key, "response": response, "error": None}


def error_of(key: str, code: str, message: str, status: int = 500) -> dict[str, Any]:
    """A failed request as a line of an OpenAI batch's output; `message` holds no patient data."""
    response = {"status_code": status, "request_id": key, "body": None}
    error = {"code": code, "message": message}
    return {"id": f"batch_req_{key}", "custom_id": key, "response": response, "error": error}


def answer_fault(body: Any, asked: dict[str, Any], reasoning_parser: str) -> str | None:
    """What an answer to the smoke request lacks (reasoning where there is a parser, JSON, a member), or None."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        thought = message.get("reasoning") or message.get("reasoning_content") or ""
        content = message["content"] or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        return "no answer"
    if reasoning_parser and not thought.strip():
        return "no reasoning"
    try:
        told = json.loads(content)
    except ValueError:
        return f"no JSON (finish reason {choice.get('finish_reason')})"
    wanted = asked["response_format"]["json_schema"]["schema"].get("required", [])
    missing = [name for name in wanted if not isinstance(told, dict) or name not in told]
    return f"JSON without {missing[0]}" if missing else None


def write_record(path: Path, record: dict[str, Any], key: str) -> None:
    """Write the completion record with its signature: whole or not at all."""
    signed = record | {"signature": signature(record, key)}
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(signed, indent=1, sort_keys=True), encoding="utf-8")
    temporary.replace(path)


def read_record(path: Path, key: str) -> dict[str, Any] | None:
    """The completion record where there is one and this start's key signed it; None otherwise."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        given = str(record.pop("signature"))
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return record if hmac.compare_digest(given, signature(record, key)) else None


def signature(record: dict[str, Any], key: str) -> str:
    """HMAC-SHA-256 over the record in canonical JSON, in hex."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(bytes.fromhex(key), canonical, hashlib.sha256).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _mended(path: Path) -> set[str]:
    """Keys that were answered (one that failed is asked again); what follows the last whole line is cut off."""
    done: set[str] = set()
    if not path.exists():
        return done
    kept = 0
    with path.open("rb") as file:
        for line in file:
            try:
                told = json.loads(line) if line.endswith(b"\n") else {}
                key, failed = told["custom_id"], told.get("error") is not None
            except (ValueError, KeyError, TypeError):
                break
            kept += len(line)
            if not failed:
                done.add(key)
    os.truncate(path, kept)
    return done
