"""The door to vLLM: servers with faults, killed and resumed batches, and records that cannot be forged."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from reasoning_charts import NIGHT, RESOLVER, chart, count_words, differential, disease, note, scored, settings

from connectors.made_llm_server import FAULTS, MadeLlmServer, made_body
from connectors.vllm_batch import (
    Launch,
    LlmError,
    LlmSettings,
    TokenCounter,
    VllmBatch,
    check_ready,
    forget_batches,
    kept_answers,
)
from connectors.vllm_pipes import pipes_launcher
from connectors.vllm_runner.job import (
    EXIT_OUT_OF_MEMORY,
    EXIT_SMOKE,
    KEY_VARIABLE,
    Job,
    Results,
    read_lines,
    read_record,
    result_of,
    sha256_of,
    write_record,
)  # fmt: skip
from connectors.vllm_runner.main import ParentGoneError, run, smoke_fault
from zebrawatch.reasoning.arm import run_arm
from zebrawatch.reasoning.profile import ModelProfile, read_profile
from zebrawatch.reasoning.requests import Request, smoke_body
from zebrawatch.reasoning.task import read_task

SMALL, THINKS = read_profile("smollm2-135m"), read_profile("radar-32b")
GOOD = differential(disease("Fabry disease", ("N1", "Burning pain in hands and feet")))


def request(n: int) -> Request:
    return Request(f"key{n}", n, {"model": "made", "messages": [{"role": "user", "content": f"chart {n}"}]})


def door(folder: Path, server: MadeLlmServer, profile: ModelProfile = SMALL, **changed: Any) -> VllmBatch:
    smoke = changed.pop("smoke", None)
    given: dict[str, Any] = {"base_url": server.base_url, "timeout_seconds": 5.0, "wait_seconds": 0.0, "concurrency": 8}
    return VllmBatch(folder / "batches", profile, LlmSettings("server", **(given | changed)), smoke=smoke)


def number_of(body: Mapping[str, Any]) -> int:
    return int(str(body["messages"][0]["content"]).split()[1])


def test_a_server_answers_a_batch_each_request_once(tmp_path: Path) -> None:
    with MadeLlmServer(reply=lambda body: made_body(str(number_of(body)))) as server:
        asked = [request(n) for n in range(200)]
        told = door(tmp_path, server)(asked)
        assert {response.key: response.content for response in told} == {f"key{n}": str(n) for n in range(200)}
        assert (server.served, told[0].cached_tokens, told[0].error) == (200, 400, None)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("hang", "400")])
def test_a_fault_that_passes_is_tried_again(tmp_path: Path, fault: str) -> None:
    def once(body: Mapping[str, Any], time: int) -> str | None:
        return fault if time == 1 and number_of(body) % 3 == 0 else None

    with MadeLlmServer(fault=once) as server:
        made = door(tmp_path, server)
        told = made([request(n) for n in range(9)])
        assert [response.error for response in told] == [None] * 9
        assert made.report.retries == 3


@pytest.mark.parametrize(
    ("fault", "code", "tries"),
    [
        ("500", "server", 3),
        ("cut", "cut off", 3),
        ("no json", "malformed", 3),
        ("hang", "timeout", 3),
        ("400", "refused", 1),
    ],
)
def test_a_fault_that_stays_is_given_up_and_asked_again_by_the_next_run(
    tmp_path: Path, fault: str, code: str, tries: int
) -> None:
    with MadeLlmServer(fault=lambda body, _: fault if number_of(body) == 2 else None) as server:
        made = door(tmp_path, server, timeout_seconds=0.3, tries=3)
        told = {response.key: response.error for response in made([request(n) for n in range(4)])}
        assert told == {"key0": None, "key1": None, "key2": code, "key3": None}
        assert server.seen[json.dumps(request(2).body["messages"])] == tries
        assert made.report.errors == 1
    with MadeLlmServer() as mended:
        again = door(tmp_path, mended)
        assert all(response.error is None for response in again([request(n) for n in range(4)]))
        assert mended.served == 1, "what was answered is not asked again"
        assert again.report.resumed == 3


def test_a_server_that_goes_away_is_a_failure_and_what_it_answered_is_kept(tmp_path: Path) -> None:
    with MadeLlmServer() as server:
        gone = server.base_url
        door(tmp_path, server)([request(1)])
    made = VllmBatch(tmp_path / "b", SMALL, LlmSettings("server", base_url=gone, tries=2, wait_seconds=0.0))
    with pytest.raises(LlmError, match="cannot be reached; run the night again"):
        made([request(n) for n in range(9)])
    ends: list[MadeLlmServer] = []

    def third_ends_it(body: Mapping[str, Any]) -> dict[str, Any]:
        if number_of(body) == 2:
            ends[0].close()
        return made_body("{}")

    with MadeLlmServer(reply=third_ends_it) as server:
        ends.append(server)
        with pytest.raises(LlmError, match="cannot be reached"):
            door(tmp_path, server, concurrency=1, tries=2)([request(n) for n in range(9)])
    kept = kept_answers(tmp_path / "batches", {f"key{n}" for n in range(9)})
    assert {"key0", "key1"} <= kept.keys() < {f"key{n}" for n in range(9)}


@pytest.mark.parametrize(
    ("content", "reasoning", "fault"),
    [
        (GOOD, None, "no reasoning"),
        (GOOD, "  ", "no reasoning"),
        ("I think", "I think", "no JSON"),
        ('{"differential": []}', "so", "JSON without no_rare_disease_probability"),
        (GOOD, "so", None),
    ],
)
def test_a_reasoning_model_is_asked_one_smoke_request_first(
    tmp_path: Path, content: str, reasoning: str | None, fault: str | None
) -> None:
    smoke = smoke_body(THINKS, read_task("differential"))
    with MadeLlmServer(reply=lambda _: made_body(content, reasoning)) as server:
        made = door(tmp_path, server, THINKS, smoke=smoke)
        if fault is None:
            assert len(made([request(1)])) == 1
        else:
            with pytest.raises(LlmError, match=f"failed its smoke request .{fault}"):
                made([request(1)])
            assert server.served == 1, "no chart was given to it"


def test_the_whole_arm_through_a_server(tmp_path: Path) -> None:
    """Wrong JSON first, right on the retry; one chart's answer stays empty and becomes a dead letter."""

    def reply(body: Mapping[str, Any]) -> dict[str, Any]:
        text = json.dumps(body["messages"])
        if "Nothing else." in text:
            return made_body("")
        return made_body(GOOD if "cannot be used" in text else '{"differential": 3}')

    charts = [scored(chart(1)), scored(chart(2, note(1, "Nothing else.")))]
    with MadeLlmServer(reply=reply) as server:
        made = door(tmp_path, server)
        outcome = run_arm(charts, settings(), chart().night, resolver=RESOLVER, count_tokens=count_words, complete=made)
    assert outcome.joined[1, NIGHT].shown[1].supported
    assert len(outcome.dead_letters) == 1
    assert outcome.figures["llm_retries"] == 2
    assert made.report.answered == 4


def test_tokens_are_counted_by_the_server_where_the_model_is_there(tmp_path: Path) -> None:
    with MadeLlmServer() as server:
        told = LlmSettings("server", base_url=server.base_url, weights=tmp_path)
        with TokenCounter(SMALL, told) as count:
            assert count(["one two", "three", "one two"]) == [2, 1, 2]
    with TokenCounter(SMALL, LlmSettings(weights=tmp_path)) as count, pytest.raises(LlmError, match="tokenizer"):
        count(["one"])


def test_what_is_written_is_for_its_owner_only(tmp_path: Path) -> None:
    with MadeLlmServer() as server:
        door(tmp_path, server)([request(1)])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"requests.jsonl", "results.jsonl"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in written)


# -- the runner's own parts, with a made engine --------------------------------------------------------------------


class MadeEngine:
    """Ends one request a step; refuses prompts that say so; stops the process's work after so many steps."""

    def __init__(self, dies_after: int = 1_000_000) -> None:
        self.inside: list[str] = []
        self.asked: list[str] = []
        self.most = 0
        self.left = dies_after

    def add(self, key: str, body: dict[str, Any]) -> None:
        if "too long" in str(body):
            raise ValueError("prompt with the patient's words")
        self.inside.append(key)
        self.asked.append(key)
        self.most = max(self.most, len(self.inside))

    def step(self) -> list[tuple[str, dict[str, Any]]]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return [(self.inside.pop(0), made_body(GOOD))]

    def busy(self) -> bool:
        return bool(self.inside)

    def figures(self) -> dict[str, float]:
        return {"preemptions": 0.0}


def job(folder: Path, n: int = 10, **changed: Any) -> Job:
    lines = (json.dumps(request(k).line()) for k in range(n))
    (folder / "requests.jsonl").write_text("".join(f"{line}\n" for line in lines))
    paths = [str(folder / name) for name in ("requests.jsonl", "results.jsonl", "record.json", "progress.jsonl")]
    return Job(*paths, engine={}, in_flight=3, **changed)


def keys(folder: Path) -> list[str]:
    return [line["custom_id"] for line in read_lines(folder / "results.jsonl")]


def test_the_runner_keeps_the_engine_full_and_answers_all(tmp_path: Path) -> None:
    engine = MadeEngine()
    figures = run(engine, job(tmp_path))
    assert sorted(keys(tmp_path)) == sorted(f"key{n}" for n in range(10))
    assert (engine.most, figures["answered"], figures["cached_tokens"]) == (3, 10, 4000)


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_killed_runner_goes_on_and_repeats_nothing(tmp_path: Path, cut: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(MadeEngine(dies_after=4), job(tmp_path))
    results = tmp_path / "results.jsonl"
    os.truncate(results, results.stat().st_size - cut)  # as if the machine died within a line
    kept = set(keys(tmp_path))
    engine = MadeEngine()
    figures = run(engine, job(tmp_path))
    assert sorted(keys(tmp_path)) == sorted(f"key{n}" for n in range(10)), "nothing lost, nothing twice"
    assert not kept & set(engine.asked)
    assert figures["resumed"] == len(kept) > 2


def test_a_runner_whose_parent_was_killed_ends_and_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would go on writing beside the runner of the next run."""
    parents = iter([7, 7, 7, 7])
    monkeypatch.setattr("connectors.vllm_runner.main.os.getppid", lambda: next(parents, 1))
    with pytest.raises(ParentGoneError):
        run(MadeEngine(), job(tmp_path))
    assert 0 < len(keys(tmp_path)) < 10


def test_a_prompt_that_does_not_fit_is_refused_without_its_words(tmp_path: Path) -> None:
    told = job(tmp_path, 1)
    long = Request("long", 1, {"messages": [{"role": "user", "content": "too long"}]})
    Path(told.requests).write_text(json.dumps(long.line()) + "\n")
    assert run(MadeEngine(), told)["refused"] == 1
    assert "patient" not in (tmp_path / "results.jsonl").read_text()


def test_the_smoke_request_is_judged(tmp_path: Path) -> None:
    smoke = smoke_body(THINKS, read_task("differential"))
    assert smoke_fault(MadeEngine(), job(tmp_path, smoke=smoke)) is None
    assert smoke_fault(MadeEngine(), job(tmp_path, smoke=smoke, reasoning_parser="deepseek_r1")) == "no reasoning"


def test_a_record_holds_only_with_the_key_of_its_start(tmp_path: Path) -> None:
    path, key = tmp_path / "record.json", "ab" * 32
    write_record(path, {"requests": 3}, key)
    assert read_record(path, key) == {"requests": 3}
    assert read_record(path, "cd" * 32) is None
    path.write_text(path.read_text().replace("3", "4"))
    assert read_record(path, key) is None
    assert read_record(tmp_path / "none", key) is None


# -- the parent, with a made runner in place of vLLM's python ------------------------------------------------------

RUNNER = """#!{python}
import json, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from connectors.vllm_runner.job import Job, Results, KEY_VARIABLE, read_lines, result_of, sha256_of, write_record
job, key = Job.read(Path(sys.argv[-1])), os.environ[KEY_VARIABLE]
with open({log!r}, "a") as log: log.write(str(job.in_flight) + "\\n")
results = Results(Path(job.results))
for n, line in enumerate(read_lines(Path(job.requests))):
    {before}
    results.append(result_of(line["custom_id"], {body}))
results.close()
record = {{"requests_sha256": sha256_of(Path(job.requests)), "results_sha256": sha256_of(Path(job.results)),
           "figures": {{"preemptions": 2, "seconds_to_start": 1.0}}, "versions": {{"vllm": "made"}}}}
write_record(Path(job.record), record, {key})
sys.exit({status})
"""


def made_python(folder: Path, *, before: str = "pass", key: str = "key", status: str = "0") -> LlmSettings:
    """An executable that stands in for vLLM's python and its runner."""
    script = folder / "python"
    root = str(Path(__file__).resolve().parent.parent)
    text = RUNNER.format(
        python=sys.executable,
        root=root,
        log=str(folder / "starts"),
        before=before,
        body=made_body(GOOD),
        key=key,
        status=status,
    )
    script.write_text(text)
    script.chmod(0o700)
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "config.json").write_text("{}")
    return LlmSettings("runner", python=script, weights=weights, concurrency=8)


def test_the_parent_takes_a_signed_record(tmp_path: Path) -> None:
    made = VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path))
    assert len(made([request(n) for n in range(5)])) == 5
    assert (made.report.preemptions, made.report.versions["vllm"]) == (2, "made")
    made([request(n) for n in range(5)])
    assert (tmp_path / "starts").read_text() == "8\n", "a complete batch starts no engine"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"before": "if n == 2: os._exit(0)"}, "without a signed record"),
        ({"before": "if n == 2: os.kill(os.getpid(), 9)"}, "with status -9"),
        ({"key": "'00' * 32"}, "without a signed record"),
        ({"status": "3"}, "with status 3"),
    ],
)
def test_a_runner_that_ends_early_is_a_failure_never_a_success(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    made = VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path, **changed))
    with pytest.raises(LlmError, match=message):
        made([request(n) for n in range(5)])


def launched(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Start a command as Dagster Pipes does: in our own process group."""
    return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode


@pytest.mark.parametrize("launch", [None, launched])
@pytest.mark.parametrize("end", ["None", "n == 2 and os.kill(os.getpid(), 9)"])
def test_what_a_runner_leaves_behind_ends_with_it(tmp_path: Path, launch: Launch | None, end: str) -> None:
    """A worker that outlived its runner would hold the card's memory."""
    worker = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid"
    before = f"import subprocess; Path({str(tmp_path / 'worker')!r}).write_text(str({worker})) if n == 0 else {end}"
    made = VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path, before=before), launch=launch)
    with contextlib.nullcontext() if end == "None" else pytest.raises(LlmError, match="with status -9"):
        made([request(n) for n in range(5)])
    pid = int((tmp_path / "worker").read_text())
    until = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process does something: one that nobody waits for stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("cards", "invariant"), [("9.0", "yes"), ("9.0 8.0", "no"), ("[N/A]", "no"), ("", "no")])
def test_batch_invariance_is_asked_for_where_every_card_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards: str, invariant: str
) -> None:
    (tmp_path / "bin").mkdir()
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.write_text("#!/bin/sh\n" + "".join(f"echo '{card}'\n" for card in cards.split()))
    smi.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    check = f"assert os.environ.get('VLLM_BATCH_INVARIANT') == {'1' if invariant == 'yes' else None!r}"
    made = VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path, before=check))
    made([request(1)])
    assert made.report.versions["batch_invariant"] == invariant


def test_out_of_memory_is_counted_and_tried_with_half(tmp_path: Path) -> None:
    before = f"job.in_flight > 2 and sys.exit({EXIT_OUT_OF_MEMORY})"
    made = VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path, before=before))
    assert len(made([request(1)])) == 1
    assert made.report.out_of_memory == 2
    assert (tmp_path / "starts").read_text().split() == ["8", "4", "2"]
    never = VllmBatch(tmp_path / "c", SMALL, made_python(tmp_path, before=f"sys.exit({EXIT_OUT_OF_MEMORY})"))
    with pytest.raises(LlmError, match="out of memory even with"):
        never([request(1)])


def test_a_failed_smoke_request_names_what_was_missing(tmp_path: Path) -> None:
    told = 'Path(job.progress).write_text(json.dumps({"fault": "no reasoning"}) + chr(10))'
    before = f"{told}; sys.exit({EXIT_SMOKE})"
    with pytest.raises(LlmError, match=r"smoke request .no reasoning"):
        VllmBatch(tmp_path / "b", SMALL, made_python(tmp_path, before=before))([request(1)])


RUN_BATCH = """#!{python}
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from connectors.vllm_runner.job import error_of, read_lines, result_of
asked = [line["custom_id"] for line in read_lines(Path(sys.argv[sys.argv.index("-i") + 1]))]
assert sys.argv[sys.argv.index("--generation-config") + 1] == "vllm", "sampling is the profile's alone"
assert "--enable-prompt-tokens-details" in sys.argv
with open({log!r}, "a") as log: log.write(" ".join(asked) + "\\n")
lines = [error_of(key, "400", "x") if key == {refused!r} else result_of(key, {body}) for key in asked]
Path(sys.argv[sys.argv.index("-o") + 1]).write_text("".join(json.dumps(line) + "\\n" for line in lines))
sys.exit({status})
"""


def made_run_batch(folder: Path, *, refused: str = "", body: object = None, status: int = 0) -> LlmSettings:
    """An executable that stands in for vLLM's python and its run_batch."""
    settings = replace(made_python(folder), backend="run-batch")
    root, log = str(Path(__file__).resolve().parent.parent), str(folder / "starts")
    text = RUN_BATCH.format(
        python=sys.executable, root=root, log=log, refused=refused, body=body or made_body(GOOD), status=status
    )
    settings.python.write_text(text)
    return settings


def test_run_batch_answers_by_the_same_lines_and_an_error_is_asked_again(tmp_path: Path) -> None:
    smoke, asked = smoke_body(SMALL, read_task("differential")), [request(n) for n in range(3)]
    told = VllmBatch(tmp_path / "b", SMALL, made_run_batch(tmp_path, refused="key1"), smoke=smoke)(asked)
    assert {response.key: response.error for response in told} == {"key0": None, "key1": "400", "key2": None}
    again = VllmBatch(tmp_path / "b", SMALL, made_run_batch(tmp_path), smoke=smoke)(asked)
    assert {response.error for response in again} == {None}
    assert (tmp_path / "starts").read_text() == "smoke key0 key1 key2\nsmoke key1\n"


def test_run_batch_keeps_nothing_of_a_model_that_fails_its_smoke_request_or_ends_early(tmp_path: Path) -> None:
    smoke, asked = smoke_body(SMALL, read_task("differential")), [request(1)]
    silent = made_run_batch(tmp_path, body=made_body("I think"))
    with pytest.raises(LlmError, match=r"smoke request .no JSON .* none of its answers is taken"):
        VllmBatch(tmp_path / "b", SMALL, silent, smoke=smoke)(asked)
    refusing = made_run_batch(tmp_path, refused="smoke")
    with pytest.raises(LlmError, match=r"smoke request .no answer: 400"):
        VllmBatch(tmp_path / "b", SMALL, refusing, smoke=smoke)(asked)
    dying = made_run_batch(tmp_path, status=3)
    with pytest.raises(LlmError, match="ended with status 3"):
        VllmBatch(tmp_path / "b", SMALL, dying, smoke=smoke)(asked)
    assert kept_answers(tmp_path / "b", {"key1"}) == {}


def test_a_missing_environment_or_model_is_one_sentence(tmp_path: Path) -> None:
    sound = made_python(tmp_path)
    with pytest.raises(LlmError, match="make llm"):
        VllmBatch(tmp_path, SMALL, LlmSettings(python=tmp_path / "nothing", weights=sound.weights))([request(1)])
    with pytest.raises(LlmError, match="weights of smollm2-135m are not at"):
        VllmBatch(tmp_path, SMALL, LlmSettings(python=sound.python, weights=tmp_path))([request(2)])
    with pytest.raises(LlmError, match="needs a base URL"):
        LlmSettings("server")
    with pytest.raises(LlmError, match="must be one of"):
        LlmSettings("magic")


def test_answers_of_a_killed_run_are_found_whatever_else_is_asked_and_forgotten_once_kept(tmp_path: Path) -> None:
    with MadeLlmServer(fault=lambda body, _: "400" if number_of(body) == 1 else None) as server:
        door(tmp_path, server)([request(0), request(1)])
    batches = tmp_path / "batches"
    assert list(kept_answers(batches, {"key0", "key1", "key9"})) == ["key0"], "an error is no answer"
    forget_batches(batches, {"key0"})
    assert [*batches.iterdir()], "not all of it is kept elsewhere"
    forget_batches(batches, {"key0", "key1", "key2"})
    assert not [*batches.iterdir()]


def test_a_server_that_counts_no_tokens_gives_estimates_on_the_safe_side(tmp_path: Path) -> None:
    with MadeLlmServer(counts_tokens=False) as server:
        told = LlmSettings("server", base_url=server.base_url, weights=tmp_path)
        with TokenCounter(SMALL, told) as count:
            assert count(["Burning pain in hands and feet."])[0] >= 8
            assert count.estimates


def test_what_our_runner_has_not_is_said_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    told = LlmSettings(python=Path(sys.executable), weights=tmp_path)
    check_ready(THINKS, told)
    with pytest.raises(LlmError, match="data_parallel_size 2"):
        check_ready(replace(THINKS, engine={**THINKS.engine, "data_parallel_size": 2}), told)


def test_two_requests_of_one_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same key"):
        VllmBatch(tmp_path, SMALL, LlmSettings())([request(1), request(1)])
    assert KEY_VARIABLE not in os.environ
    assert result_of("k", {})["custom_id"] == "k"
    assert Results(tmp_path / "r.jsonl").done == set()
    assert len(sha256_of(tmp_path / "r.jsonl")) == 64


MADE_ENGINE = """#!{python}
import sys, types
sys.path.insert(0, {root!r})
import connectors.vllm_runner as package
made = types.ModuleType("connectors.vllm_runner.engine")
class Engine:
    def __init__(self, arguments, parser): self.inside = []
    def add(self, key, body): self.inside.append(key)
    def step(self):
        {step}
        return [(self.inside.pop(0), {body})]
    def busy(self): return bool(self.inside)
    def figures(self): return {{"preemptions": 0.0}}
made.Engine, made.is_out_of_memory = Engine, lambda error: isinstance(error, MemoryError)
made.versions = lambda: {{"vllm": "made"}}
package.engine = sys.modules["connectors.vllm_runner.engine"] = made
sys.argv = sys.argv[-2:]
from connectors.vllm_runner.main import start
start()
"""


def made_engine(folder: Path, step: str = "pass") -> LlmSettings:
    """An executable that runs the real runner on a made engine."""
    settings = made_python(folder)
    root = str(Path(__file__).resolve().parent.parent)
    settings.python.write_text(MADE_ENGINE.format(python=sys.executable, root=root, step=step, body=made_body(GOOD)))
    return settings


def test_the_runner_from_its_start_to_its_signed_record(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    smoke = smoke_body(SMALL, read_task("differential"))
    made = VllmBatch(tmp_path / "b", SMALL, made_engine(tmp_path), smoke=smoke, progress=told.append)
    assert len(made([request(n) for n in range(5)])) == 5
    assert made.report.versions["vllm"] == "made"
    assert made.report.seconds_to_start > 0
    small = VllmBatch(tmp_path / "c", SMALL, made_engine(tmp_path, "raise MemoryError('chart of Ann Lee')"))
    with pytest.raises(LlmError, match="out of memory even with 1 charts"):
        small([request(1)])
    wrong = VllmBatch(tmp_path / "d", SMALL, made_engine(tmp_path, "raise OSError('chart of Ann Lee')"))
    with pytest.raises(LlmError, match="ended with status 1") as refused:
        wrong([request(1)])
    assert "Ann" not in str(refused.value)


def test_dagster_pipes_starts_the_runner_and_shows_its_figures(tmp_path: Path) -> None:
    answered: list[int] = []

    @dg.asset
    def llm_responses(context, pipes: dg.PipesSubprocessClient) -> dg.MaterializeResult:  # type: ignore[no-untyped-def, type-arg]
        door = VllmBatch(tmp_path / "b", SMALL, made_engine(tmp_path), launch=pipes_launcher(context, pipes))
        answered.append(len(door([request(n) for n in range(5)])))
        for step, message in (
            ("sys.exit(0)", "without a signed record"),
            ("import os; os.kill(os.getpid(), 9)", "with status 1"),
            ("raise MemoryError", "out of memory even with 1 charts"),
        ):
            failing = VllmBatch(
                tmp_path / "c", SMALL, made_engine(tmp_path, step), launch=pipes_launcher(context, pipes)
            )
            with pytest.raises(LlmError, match=message):
                failing([request(1)])
        assert failing.report.out_of_memory == 3
        return dg.MaterializeResult(metadata=door.report.figures())

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([llm_responses], instance=instance, resources={"pipes": dg.PipesSubprocessClient()})
        logged = [entry.user_message for entry in instance.all_logs(result.run_id) if "complete" in entry.user_message]
    assert answered == [5]
    assert any('"answered": 5' in message for message in logged)
