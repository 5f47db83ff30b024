"""The runner: start the engine, ask the smoke request, keep the engine full, append results, sign the record.

It tells counts only. A process that ends before it has signed its record has failed, whatever its exit status.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from .job import (
    EXIT_OUT_OF_MEMORY,
    EXIT_SMOKE,
    EXIT_WRONG,
    KEY_VARIABLE,
    OUT_OF_MEMORY,
    Job,
    Results,
    answer_fault,
    error_of,
    read_lines,
    result_of,
    sha256_of,
    write_record,
)

PROGRESS_EVERY = 2.0  # seconds
PIPES = "DAGSTER_PIPES_CONTEXT"


class ParentGoneError(RuntimeError):
    """The process that started this one is gone."""


class RunsRequests(Protocol):
    """What the loop needs of an engine."""

    def add(self, key: str, body: dict[str, Any]) -> None: ...
    def step(self) -> list[tuple[str, dict[str, Any]]]: ...
    def busy(self) -> bool: ...
    def figures(self) -> dict[str, float]: ...


def main(arguments: list[str]) -> int:
    """Run the job whose file is the first argument; the exit status says how it ended."""
    job = Job.read(Path(arguments[0]))
    key = os.environ.pop(KEY_VARIABLE)
    from . import engine as vllm_engine

    begun = time.monotonic()
    try:
        engine: RunsRequests = vllm_engine.Engine(job.engine, job.reasoning_parser)
        ready = time.monotonic()
        if (fault := smoke_fault(engine, job)) is not None:
            _tell(job, {"state": "smoke request failed", "fault": fault})
            return EXIT_SMOKE
        figures = run(engine, job)
    except Exception as error:
        if not vllm_engine.is_out_of_memory(error):
            raise
        _tell(job, {"state": OUT_OF_MEMORY})
        return EXIT_OUT_OF_MEMORY
    figures |= {"seconds_to_start": ready - begun, "seconds": time.monotonic() - ready}
    return _complete(job, key, figures, vllm_engine.versions())


def run(engine: RunsRequests, job: Job) -> dict[str, float]:
    """Keep `in_flight` requests in the engine until all are answered; figures are sums over this start's requests."""
    results = Results(Path(job.results), job.flush_every)
    requests = list(read_lines(Path(job.requests)))
    waiting = deque(each for each in requests if each["custom_id"] not in results.done)
    figures: dict[str, float] = {
        "requests": len(requests), "resumed": len(requests) - len(waiting), "answered": 0, "refused": 0,
        "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0,
    }  # fmt: skip
    in_flight, told, parent = 0, time.monotonic(), os.getppid()
    entered: dict[str, float] = {}
    try:
        while waiting or in_flight:
            if os.getppid() != parent:  # who started us was killed: the next run starts a runner of its own
                raise ParentGoneError
            while waiting and in_flight < job.in_flight:
                entered[waiting[0]["custom_id"]] = time.monotonic()
                in_flight += _enter(engine, results, waiting.popleft(), figures)
            for key, body in engine.step() if in_flight else ():
                in_flight -= 1
                _count(figures, body)
                results.append(result_of(key, body, time.monotonic() - entered.pop(key)))
            if time.monotonic() - told > PROGRESS_EVERY:
                told = time.monotonic()
                _tell(job, {"state": "running", **figures})
    finally:
        results.close()
    return figures | engine.figures()


def smoke_fault(engine: RunsRequests, job: Job) -> str | None:
    """Ask the smoke request: None where reasoning (if it must) and JSON both arrive, else what was missing."""
    if job.smoke is None:
        return None
    engine.add("smoke", job.smoke)
    ended: list[tuple[str, dict[str, Any]]] = []
    while not ended and engine.busy():
        ended = engine.step()
    if not ended:
        return "no answer"
    return answer_fault(ended[0][1], job.smoke, job.reasoning_parser)


def _enter(engine: RunsRequests, results: Results, request: dict[str, Any], figures: dict[str, float]) -> int:
    """Add one request: 1 where it is in the engine; a request that does not fit is answered with an error."""
    try:
        engine.add(request["custom_id"], request["body"])
    except ValueError:
        figures["refused"] += 1
        message = "the prompt does not fit the model's context, or the engine refuses a setting"
        results.append(error_of(request["custom_id"], "refused", message, status=400))
        return 0
    return 1


def _count(figures: dict[str, float], body: dict[str, Any]) -> None:
    usage = body["usage"]
    figures["answered"] += 1
    figures["prompt_tokens"] += usage["prompt_tokens"]
    figures["completion_tokens"] += usage["completion_tokens"]
    figures["cached_tokens"] += usage["prompt_tokens_details"]["cached_tokens"]


def _complete(job: Job, key: str, figures: dict[str, float], versions: dict[str, str]) -> int:
    keys = {each["custom_id"] for each in read_lines(Path(job.requests))}
    done = {each["custom_id"] for each in read_lines(Path(job.results))}
    if not keys <= done:
        _tell(job, {"state": "incomplete", "missing": len(keys - done)})
        return EXIT_WRONG
    record = {
        "requests": len(keys),
        "requests_sha256": sha256_of(Path(job.requests)),
        "results_sha256": sha256_of(Path(job.results)),
        "figures": figures,
        "versions": versions,
        "identity": job.identity,
    }
    write_record(Path(job.record), record, key)
    _tell(job, {"state": "complete", **figures})
    return 0


def _tell(job: Job, told: dict[str, Any]) -> None:
    """Progress for the parent: one JSON object a line, counts only; to Dagster too where it started this process."""
    with Path(job.progress).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    if PIPES in os.environ:
        from dagster_pipes import PipesContext

        PipesContext.get().log.info(json.dumps(told))


def start() -> None:
    """What run.py calls: the job, inside a Dagster Pipes session where Dagster started this process."""
    with ExitStack() as stack:
        if PIPES in os.environ:
            from dagster_pipes import open_dagster_pipes

            stack.enter_context(open_dagster_pipes())
        status = main(sys.argv[1:])
    sys.exit(status)
