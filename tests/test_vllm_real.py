"""The arm on real vLLM: its CPU build and a small real model, set up by `make llm`.

SmolLM2 follows the form; its medicine is worthless. What is shown is that the machinery runs: structured output, the
prefix cache, kill and resume, the whole arm. Most of the time is the engine's start: one test shows what it can.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from reasoning_charts import FIRST, RESOLVER, chart, note, scored, settings

from connectors.vllm_batch import LlmError, LlmSettings, TokenCounter, VllmBatch
from connectors.vllm_runner.job import read_lines
from zebrawatch.reasoning.arm import ArmOutcome, run_arm
from zebrawatch.reasoning.profile import ModelProfile, read_profile
from zebrawatch.reasoning.requests import smoke_body
from zebrawatch.reasoning.task import Task, read_task

ROOT = Path(__file__).resolve().parent.parent
PYTHON, WEIGHTS = ROOT / ".venv-vllm/bin/python", ROOT / "var/models/smollm2-135m"

pytestmark = pytest.mark.skipif(
    not (PYTHON.exists() and (WEIGHTS / "config.json").exists()),
    reason="vLLM's environment or the small model is not set up here: run `make llm`",
)

# One thread: two that wait for each other crawl where other tests keep the cores busy.
LLM = LlmSettings(python=PYTHON, weights=WEIGHTS, concurrency=4, environment={"OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def profile() -> ModelProfile:
    return replace(read_profile("smollm2-135m"), context=2048, answer_tokens=160)


@pytest.fixture(scope="module")
def task() -> Task:
    """The task `differential_brief` with room for one disease, so that the test ends in time."""
    whole = read_task("differential_brief")
    schema = json.loads(json.dumps(whole.schema))
    schema["properties"]["differential"]["maxItems"] = 1
    for side in ("for", "against"):
        schema["properties"]["differential"]["items"]["properties"][side]["maxItems"] = 1
    schema["properties"]["differential"]["items"]["properties"]["next_test"]["maxLength"] = 30
    schema["$defs"]["quote"]["properties"]["quote"]["maxLength"] = 60
    return replace(whole, schema=schema)


def test_the_arm_on_real_vllm_is_killed_goes_on_and_repeats_nothing(
    tmp_path: Path, profile: ModelProfile, task: Task
) -> None:
    """Smoke request, structured output, prefix cache, tokens by the model's own tokenizer, kill and resume, judgement.

    The runner is killed, as a machine would, once two of eight charts are answered.
    """
    charts = [scored(chart(k, note(1, f"{FIRST} Visit {k}."))) for k in range(8)]

    def read(door: VllmBatch) -> ArmOutcome:
        with TokenCounter(profile, LLM) as count:
            return run_arm(
                charts, settings(profile=profile, differential=task), chart().night, resolver=RESOLVER,
                count_tokens=count, complete=door,
            )  # fmt: skip

    killer = threading.Thread(target=kill_after_two, args=(tmp_path,), daemon=True)
    killer.start()
    with pytest.raises(LlmError, match="ended with status -9"):
        read(VllmBatch(tmp_path, profile, replace(LLM, concurrency=1), smoke=smoke_body(profile, task)))
    killer.join(10)
    (results,) = tmp_path.rglob("results.jsonl")
    kept = [line["custom_id"] for line in read_lines(results)]
    assert 0 < len(kept) < 8

    made = VllmBatch(tmp_path, profile, LLM, smoke=smoke_body(profile, task))
    outcome = read(made)
    after = [line["custom_id"] for line in read_lines(results)]
    assert after[: len(kept)] == kept
    assert sorted(after) == sorted(q.request.key for q in outcome.asked), "nothing lost, nothing twice"
    told = [r for r in outcome.responses if not r.key.endswith("-again")]
    assert all(r.error is None and r.seconds is not None for r in told)
    verdicts = {answer.verdict for answer in outcome.answers.values()}
    assert verdicts <= {"accepted", "cut off"}, "structured output: what ends, ends as JSON that holds"
    assert outcome.figures["llm_parse_rate"] >= 0.5
    assert sum(r.cached_tokens for r in told if r.key not in kept) > 0, "instructions first: the prefix cache serves"
    assert made.report.versions["vllm"].startswith("0.")
    assert sum(r.prompt_tokens for r in told) <= sum(question.prompt.tokens for question in outcome.asked)
    assert all(set(joined.shown) for joined in outcome.joined.values())


def kill_after_two(folder: Path) -> None:
    """Kill the runner, as a machine would, once two answers are written."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        lines = [line for path in folder.rglob("results.jsonl") for line in read_lines(path)]
        if len(lines) >= 2:
            job = next(folder.rglob("job.json"))
            for pid in runners_of(job):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def runners_of(job: Path) -> list[int]:
    """Processes that were started with this job's file."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(job).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_the_tokenizer_is_the_models_own(profile: ModelProfile) -> None:
    text = "Angiokeratoma, acroparaesthesia and proteinuria."
    code = (
        "import sys; from tokenizers import Tokenizer; "
        "print(len(Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2], add_special_tokens=False).ids))"
    )
    command = [str(PYTHON), "-c", code, str(WEIGHTS / "tokenizer.json"), text]
    expected = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    with TokenCounter(profile, LLM) as count:
        assert count([text]) == [expected]
    assert sys.version_info >= (3, 11)
