"""Traces of a sample of the reasoning arm's requests in MLflow: tokens, time and verdicts, never a word of text.

A trace has no inputs and no outputs: only numbers and short words of a fixed set, and the request's key, by which those
who may can find prompt and answer in the lake.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

from connectors.mlflow_runs import MlflowStore
from zebrawatch.reasoning.arm import ArmOutcome, Asked
from zebrawatch.reasoning.requests import Response

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow  # after the settings that connectors.mlflow_runs and this module make


def trace_sample(store: MlflowStore, run_id: str, outcome: ArmOutcome, sample: int = 20) -> int:
    """Trace `sample` of the answered requests under a recorded run; returns how many were traced.

    The sample is drawn by a hash of the keys, so that the same nights trace the same requests.
    """
    responses = {response.key: response for response in outcome.responses if response.error is None}
    drawn = sorted((q for q in outcome.asked if q.request.key in responses), key=_lot)[:sample]
    mlflow.set_tracking_uri(store.uri)
    experiment = mlflow.MlflowClient(store.uri).get_run(run_id).info.experiment_id
    for question in drawn:
        _trace(experiment, run_id, question, responses[question.request.key], outcome)
    return len(drawn)


def _lot(question: Asked) -> str:
    return hashlib.sha256(question.request.key.encode()).hexdigest()


def _trace(experiment: str, run_id: str, question: Asked, response: Response, outcome: ArmOutcome) -> None:
    night = question.prompt.night
    answer = outcome.answers[question.request.key]
    told: dict[str, Any] = {
        "key": question.request.key,
        "task": question.task,
        "model": outcome.identity.get("llm.model"),
        "finish_reason": response.finish_reason,
        "verdict": answer.verdict,
        "prompt_tokens": response.prompt_tokens,
        "cached_tokens": response.cached_tokens,
        "completion_tokens": response.completion_tokens,
        "diseases": len(answer.diseases),
        "may_flag": sum(disease.may_flag for disease in answer.diseases),
        "quotes": answer.quotes,
        "struck_quotes": answer.struck,
        "repeat": question.repeat,
    }
    attributes = {name: value for name, value in told.items() if value is not None}
    begun = int(datetime(night.year, night.month, night.day, tzinfo=UTC).timestamp() * 1e9)
    span = mlflow.start_span_no_context(
        f"reasoning.{question.task}",
        span_type="LLM",
        attributes=attributes,
        metadata={"mlflow.sourceRun": run_id},
        tags={"night": night.isoformat()},
        experiment_id=experiment,
        start_time_ns=begun,
    )
    span.end(end_time_ns=begun + int((response.seconds or 0.0) * 1e9))
