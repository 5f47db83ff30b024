"""The door to vLLM: a batch of requests answered by our runner, by `vllm run-batch`, or by an OpenAI-compatible server.

All three read the same OpenAI-batch lines and append to the same results, a line a request key, so that a killed night
goes on where it stopped, with any of them. Nothing of a prompt or an answer is logged: progress holds counts, and what
a subprocess prints goes to a file beside the requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from connectors import own_session
from connectors.vllm_runner.job import (
    EXIT_OUT_OF_MEMORY,
    EXIT_SMOKE,
    KEY_VARIABLE,
    OUT_OF_MEMORY,
    Job,
    Results,
    answer_fault,
    error_of,
    read_lines,
    read_record,
    result_of,
    sha256_of,
)
from zebrawatch.errors import ZebrawatchError
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.requests import PATH, Request, Response

RUNNER = Path(__file__).resolve().parent / "vllm_runner"
BACKENDS = ("runner", "run-batch", "server")
MEMORY_TRIES = 3
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
SMOKE = "smoke"  # key of the smoke request
GONE = "connection"  # nothing listens at the server's address
BYTES_A_TOKEN = 3  # English has about four bytes a token: an estimate on the safe side
LONGEST_WAIT = 30.0  # seconds between two tries, whatever Retry-After says

Progress = Callable[[Mapping[str, Any]], None]
Launch = Callable[[Sequence[str], Mapping[str, str]], int]
"""Starts a command with these variables added to the environment, waits for it, and returns its exit status."""


class LlmError(ZebrawatchError):
    """The batch could not be run to its end; what was answered is kept, and the next run goes on from there."""


@dataclass(frozen=True)
class LlmSettings:
    """How requests are answered.

    `backend`: `runner` (ours, in vLLM's environment), `run-batch` (vLLM's own), `server` (OpenAI-compatible, at
    `base_url`, such as http://127.0.0.1:8000). `python`: vLLM's environment. `weights`: the model's folder.
    `batch_invariant`: ask vLLM for answers that do not depend on what else is in the batch, where the card has it
    (compute capability 9.0); the run identity says so.
    `concurrency`: requests in the engine or on the way to the server at a time. `timeout_seconds` and `tries`: for
    one request to a server. `environment`: variables for the subprocess. `api_key_file`: a file with the server's key.
    """

    backend: str = "runner"
    python: Path = Path(".venv-vllm/bin/python")
    weights: Path | None = None
    base_url: str = ""
    api_key_file: Path | None = None
    concurrency: int = 64
    timeout_seconds: float = 900.0
    tries: int = 4
    wait_seconds: float = 0.5
    batch_invariant: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise LlmError(f"the backend of the reasoning arm must be one of {', '.join(BACKENDS)}.")
        if self.backend == "server" and not self.base_url.startswith(("http://", "https://")):
            raise LlmError("the backend `server` of the reasoning arm needs a base URL (http:// or https://).")


@dataclass
class BatchReport:
    """What a door did so far: sums over its calls, for metadata and the run's record."""

    requests: int = 0
    resumed: int = 0
    answered: int = 0
    errors: int = 0
    retries: int = 0
    out_of_memory: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    seconds_to_start: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """The numbers, by names for the run's record."""
        told = {name: float(value) for name, value in vars(self).items() if isinstance(value, (int, float))}
        return {f"llm_batch_{name}": value for name, value in told.items()}


class VllmBatch:
    """Answers requests (zebrawatch.reasoning.arm.Complete). `folder` keeps a folder a batch, named by its keys.

    `smoke` is the body of the request that a model must pass first (zebrawatch.reasoning.requests.smoke_body). `launch`
    starts the subprocess in another way, such as by Dagster Pipes (connectors.vllm_pipes).
    """

    def __init__(
        self,
        folder: Path,
        profile: ModelProfile,
        settings: LlmSettings,
        *,
        smoke: Mapping[str, Any] | None = None,
        progress: Progress = lambda _: None,
        launch: Launch | None = None,
    ) -> None:
        self.folder = folder
        self.profile = profile
        self.settings = settings
        self.smoke = dict(smoke) if smoke is not None else None
        self.progress = progress
        self.launch = launch
        self.report = BatchReport()

    def __call__(self, requests: Sequence[Request]) -> list[Response]:
        """Answer all requests, those of an earlier, killed call from its results. LlmError where the door fails."""
        batch = _Batch.make(self.folder, requests)
        done = Results(batch.results)
        done.close()
        self.report.requests += len(requests)
        self.report.resumed += len(done.done & batch.keys)
        begun = time.monotonic()
        try:
            if not batch.keys <= done.done:
                _ANSWER[self.settings.backend](self, batch)
        finally:
            self.report.seconds += time.monotonic() - begun
        told = {line["custom_id"]: line for line in read_lines(batch.results)}  # of a key asked again, the last line
        responses = [Response.from_line(line) for key, line in told.items() if key in batch.keys]
        if missing := len(batch.keys) - len(responses):
            raise LlmError(f"{missing} of {len(batch.keys)} requests were not answered; run the night again to go on.")
        self._count(responses)
        return responses

    def _count(self, responses: Sequence[Response]) -> None:
        failed = sum(response.error is not None for response in responses)
        self.report.errors += failed
        self.report.answered += len(responses) - failed
        self.report.prompt_tokens += sum(response.prompt_tokens for response in responses)
        self.report.cached_tokens += sum(response.cached_tokens for response in responses)
        self.report.completion_tokens += sum(response.completion_tokens for response in responses)


@dataclass(frozen=True)
class _Batch:
    """A batch's folder and files."""

    folder: Path
    asked: Mapping[str, Request]

    @classmethod
    def make(cls, root: Path, requests: Sequence[Request]) -> _Batch:
        asked = {request.key: request for request in requests}
        if len(asked) != len(requests):
            raise ValueError("two requests of a batch have the same key")
        folder = root / sha256("\n".join(sorted(asked)).encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        batch = cls(folder, asked)
        part = batch.requests.with_suffix(".part")
        part.touch(mode=0o600)
        with part.open("wb") as file:
            for request in requests:
                file.write(orjson.dumps(request.line()) + b"\n")
        part.replace(batch.requests)
        return batch

    @property
    def keys(self) -> Set[str]:
        return self.asked.keys()

    @property
    def requests(self) -> Path:
        return self.folder / "requests.jsonl"

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / own_session.LOG


def kept_answers(root: Path, keys: Set[str]) -> dict[str, Response]:
    """Answers to these requests that stand in the batches below `root`: what a killed run had come to."""
    found: dict[str, Response] = {}
    for results in sorted(root.glob("*/results.jsonl")):
        for line in read_lines(results):
            if line.get("custom_id") in keys and line.get("error") is None:
                found[line["custom_id"]] = Response.from_line(line)
    return found


def forget_batches(root: Path, answered_keys: Set[str]) -> None:
    """Delete the batches below `root` of which every answer is kept elsewhere: they hold patient data twice."""
    for requests in root.glob("*/requests.jsonl"):
        if {line["custom_id"] for line in read_lines(requests)} <= answered_keys:
            shutil.rmtree(requests.parent)


# -- our runner ----------------------------------------------------------------------------------------------------


def _by_runner(door: VllmBatch, batch: _Batch) -> None:
    """Start the runner; where memory runs out, start it again with half as many charts at a time."""
    in_flight = door.settings.concurrency
    for _ in range(MEMORY_TRIES):
        job = _job(door, batch, in_flight)
        status, key = _run(door, batch, job)
        record = read_record(Path(job.record), key)
        if status == 0 and record is not None and _is_about(record, batch):
            _note_figures(door.report, record)
            return
        told = _last_told(Path(job.progress))  # a launcher may know of no exit status but 0 and 1
        if status == EXIT_SMOKE or "fault" in told:
            raise LlmError(_smoke_sentence(door.profile, told.get("fault", "no answer")))
        if status != EXIT_OUT_OF_MEMORY and told.get("state") != OUT_OF_MEMORY:
            break
        door.report.out_of_memory += 1
        in_flight = max(1, in_flight // 2)
    else:
        raise LlmError(f"{door.profile.name} runs out of memory even with {in_flight} charts at a time.")
    how = "without a signed record" if status == 0 else f"with status {status}"
    raise LlmError(f"the vLLM process ended {how} before its batch was complete; its log is {batch.log}.")


def _job(door: VllmBatch, batch: _Batch, in_flight: int) -> Job:
    engine = door.profile.engine_arguments(_weights(door))
    engine["max_num_seqs"] = min(int(engine.get("max_num_seqs", in_flight)), in_flight)
    return Job(
        str(batch.requests), str(batch.results), str(batch.folder / "record.json"),
        str(batch.folder / "progress.jsonl"), engine, in_flight, door.profile.reasoning_parser, door.smoke,
        identity={"model": door.profile.name, "profile": door.profile.digest},
    )  # fmt: skip


def _run(door: VllmBatch, batch: _Batch, job: Job) -> tuple[int, str]:
    """Start one runner and wait for it; its whole process group ends with it, and its memory with that."""
    Path(job.record).unlink(missing_ok=True)
    Path(job.progress).unlink(missing_ok=True)
    job.write(batch.folder / "job.json")
    key = secrets.token_hex(32)
    command = [_python(door.settings), "-P", str(RUNNER / "run.py"), str(batch.folder / "job.json")]
    status = _watched(command, door, batch, {KEY_VARIABLE: key}, lambda: _last_told(Path(job.progress)))
    return status, key


def _watched(
    command: list[str],
    door: VllmBatch,
    batch: _Batch,
    variables: Mapping[str, str],
    told: Callable[[], dict[str, Any]],
) -> int:
    invariant = door.settings.batch_invariant and has_batch_invariance()
    door.report.versions["batch_invariant"] = "yes" if invariant else "no"
    chosen = {"VLLM_BATCH_INVARIANT": "1"} if invariant else {}
    added = {**_quiet(), **chosen, **door.settings.environment, **variables}
    batch.log.touch(mode=0o600)
    if door.launch is not None:
        pid = batch.folder / own_session.PID
        pid.unlink(missing_ok=True)
        try:
            with _told_meanwhile(door, told):
                return door.launch(own_session.command_of(batch.folder, command), added)
        finally:
            if pid.exists():
                _end_group(int(pid.read_text()))
    with batch.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **added},
            start_new_session=True,
        )
        last: dict[str, Any] = {}
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if (now := told()) and now != last:
                    last = now
                    door.progress(now)
        finally:
            _end_group(process.pid)
    return process.wait()


@contextmanager
def _told_meanwhile(door: VllmBatch, told: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Hand on the runner's progress while another launcher waits for it."""
    ended = threading.Event()

    def watch() -> None:
        last: dict[str, Any] = {}
        while not ended.wait(0.5):
            if (now := told()) and now != last:
                last = now
                door.progress(now)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _end_group(leader: int) -> None:
    """End what is left of the process group: a runner that was killed may leave workers that hold the card's memory."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _is_about(record: Mapping[str, Any], batch: _Batch) -> bool:
    sums = (record["requests_sha256"], record["results_sha256"])
    return sums == (sha256_of(batch.requests), sha256_of(batch.results))


def _note_figures(report: BatchReport, record: Mapping[str, Any]) -> None:
    figures = record["figures"]
    report.preemptions += int(figures.get("preemptions", 0))
    report.seconds_to_start += float(figures.get("seconds_to_start", 0.0))
    report.versions |= {name: str(value) for name, value in record["versions"].items()}


def _last_told(progress: Path) -> dict[str, Any]:
    return deque(read_lines(progress), maxlen=1).pop() if progress.exists() and progress.stat().st_size else {}


def _quiet() -> dict[str, str]:
    """Variables for a vLLM process: no telemetry, no hub, no chatter; on a CPU one process and a small cache."""
    told = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if shutil.which("nvidia-smi") is None:
        told |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
        told |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "KMP_BLOCKTIME": "0"}
    return told


def has_batch_invariance() -> bool:
    """Whether every card of this machine has compute capability 9.0: vLLM's batch-invariant mode needs it."""
    if (program := shutil.which("nvidia-smi")) is None:
        return False
    command = [program, "--query-gpu=compute_cap", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return bool(told) and all(each.replace(".", "", 1).isdigit() and float(each) >= 9.0 for each in told)


def check_ready(profile: ModelProfile, settings: LlmSettings) -> None:
    """LlmError in one sentence where vLLM's environment or the model's weights are not on this machine.

    A server needs neither.
    """
    if settings.backend != "server":
        _python(settings)
        _weights_of(profile, settings)
    if settings.backend == "runner" and int(profile.engine.get("data_parallel_size", 1)) > 1:
        raise LlmError(
            f"{profile.name} asks for data_parallel_size {profile.engine['data_parallel_size']}, which our runner has "
            "not: start `vllm serve` with it and use the backend `server`."
        )


def _python(settings: LlmSettings) -> str:
    python = settings.python.absolute()
    if not python.exists():
        raise LlmError(f"there is no vLLM environment at {python}: `make llm` sets it up for this machine.")
    return str(python)


def _weights(door: VllmBatch) -> Path:
    return _weights_of(door.profile, door.settings)


def _weights_of(profile: ModelProfile, settings: LlmSettings) -> Path:
    weights = settings.weights or Path(profile.weights or ".")
    if not (weights / "config.json").is_file():
        small = " (`make llm` makes the small model's)" if not profile.clinical_use else ""
        raise LlmError(
            f"the weights of {profile.name} are not at '{weights}': set the folder they were fetched to{small}."
        )
    return weights


def _smoke_sentence(profile: ModelProfile, fault: str, so: str = "no chart was given to it") -> str:
    return f"{profile.name} failed its smoke request ({fault}), so {so}."


# -- vllm run-batch ------------------------------------------------------------------------------------------------


def _by_run_batch(door: VllmBatch, batch: _Batch) -> None:
    """vLLM's own batch entry point. It writes nothing before it ends, so that a killed run begins its part anew.

    The smoke request is the first line of its batch; where it fails, no other answer is kept.
    """
    results = Results(batch.results)
    results.close()
    waiting = [line for line in read_lines(batch.requests) if line["custom_id"] not in results.done]
    smoke = [Request(SMOKE, 0, door.smoke).line()] if door.smoke is not None else []
    given, taken = batch.folder / "given.jsonl", batch.folder / "taken.jsonl"
    given.write_text("".join(json.dumps(line) + "\n" for line in [*smoke, *waiting]), encoding="utf-8")
    taken.unlink(missing_ok=True)
    command = [_python(door.settings), "-m", "vllm.entrypoints.openai.run_batch", "-i", str(given), "-o", str(taken)]
    command += _flags(door.profile.engine_arguments(_weights(door)) | {"enable_prompt_tokens_details": True})
    if door.profile.reasoning_parser:
        command += ["--reasoning-parser", door.profile.reasoning_parser]
    status = _watched(command, door, batch, {}, dict)
    if status != 0:
        raise LlmError(f"`vllm run-batch` ended with status {status}; its log is {batch.log}.")
    lines = {line["custom_id"]: line for line in read_lines(taken)}
    first = lines.pop(SMOKE, None)
    if door.smoke is not None and (fault := _fault_of(first, door.smoke, door.profile)) is not None:
        raise LlmError(_smoke_sentence(door.profile, fault, "none of its answers is taken"))
    results = Results(batch.results)
    for line in lines.values():
        results.append(line)
    results.close()


def _fault_of(line: Mapping[str, Any] | None, asked: Mapping[str, Any], profile: ModelProfile) -> str | None:
    """What the result line of the smoke request lacks, or None."""
    if line is None:
        return "no answer"
    if line.get("error") is not None:
        return f"no answer: {line['error'].get('code', 'error')}"
    return answer_fault((line.get("response") or {}).get("body"), dict(asked), profile.reasoning_parser)


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    flags: list[str] = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif value is not False and value is not None:
            flags += [flag, json.dumps(value) if isinstance(value, (dict, list)) else str(value)]
    return flags


# -- a server ------------------------------------------------------------------------------------------------------


def _by_server(door: VllmBatch, batch: _Batch) -> None:
    results = Results(batch.results, flush_every=64)
    try:
        asyncio.run(_serve(door, batch, results))
    finally:
        results.close()


async def _serve(door: VllmBatch, batch: _Batch, results: Results) -> None:
    """Keep `concurrency` requests on the way until all are answered or given up; LlmError where the server is gone."""
    settings = door.settings
    timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds, connect=min(10.0, settings.timeout_seconds))
    connector = aiohttp.TCPConnector(limit=settings.concurrency + 4)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=_headers(settings)) as session:
        client = _Client(session, door)
        if door.smoke is not None and (fault := await client.smoke_fault(door.smoke)) is not None:
            raise LlmError(_smoke_sentence(door.profile, fault))
        waiting = deque(request for key, request in batch.asked.items() if key not in results.done)
        total, gone = len(waiting), False

        async def work() -> None:
            nonlocal gone
            while waiting and not gone:
                line = await client.answer(waiting.popleft())
                if line["error"] is not None and line["error"]["code"] == GONE:
                    gone = True
                    return
                results.append(line)
                if (total - len(waiting)) % 100 == 0:
                    door.progress({"state": "running", "requests": total, "sent": total - len(waiting)})

        async with asyncio.TaskGroup() as group:
            for _ in range(min(settings.concurrency, total)):
                group.create_task(work())
    if gone:  # as a process of ours that dies early: a failure, not a night of charts without an answer
        raise LlmError(f"the LLM server at {settings.base_url} cannot be reached; run the night again to go on.")


_JSON = {"Content-Type": "application/json"}


class _Client:
    """Asks one request until it is answered, refused, or given up."""

    def __init__(self, session: aiohttp.ClientSession, door: VllmBatch) -> None:
        self._session = session
        self._settings = door.settings
        self._report = door.report
        self._profile = door.profile
        self._url = door.settings.base_url.rstrip("/") + PATH

    async def answer(self, request: Request) -> dict[str, Any]:
        """The result line of a request: an answer, or an error whose code says what went wrong last."""
        key, code, content = request.key, "server", orjson.dumps(request.body)
        for attempt in range(self._settings.tries):
            if attempt:
                self._report.retries += 1
            begun = time.monotonic()
            body, code, wait = await self._post(content)
            if body is not None:
                return result_of(key, body, time.monotonic() - begun)
            if code == "refused":
                break
            if attempt + 1 < self._settings.tries:
                await asyncio.sleep(min(LONGEST_WAIT, max(wait, self._settings.wait_seconds * 2**attempt)))
        return error_of(key, code, "the server gave no usable answer")

    async def smoke_fault(self, body: Mapping[str, Any]) -> str | None:
        """What the smoke request's answer lacks, or None."""
        return _fault_of(await self.answer(Request(SMOKE, 0, body)), body, self._profile)

    async def _post(self, content: bytes) -> tuple[dict[str, Any] | None, str, float]:
        """(body, "", 0) or (None, code, seconds that the server asks to wait)."""
        try:
            async with self._session.post(self._url, data=content, headers=_JSON) as reply:
                if reply.status != 200:
                    code = "server" if reply.status in RETRIED else "refused"
                    return None, code, _retry_after(reply.headers.get("Retry-After"))
                told = orjson.loads(await reply.read())
        except TimeoutError:
            return None, "timeout", 0.0
        except aiohttp.ClientConnectorError:
            return None, GONE, 0.0
        except (aiohttp.ClientError, OSError):
            return None, "cut off", 0.0
        except ValueError:
            return None, "malformed", 0.0
        usable = isinstance(told, dict) and isinstance(told.get("choices"), list) and told["choices"]
        return (told, "", 0.0) if usable else (None, "malformed", 0.0)


def _headers(settings: LlmSettings) -> dict[str, str]:
    if settings.api_key_file is None:
        return {}
    try:
        key = settings.api_key_file.read_text(encoding="utf-8").strip()
    except OSError:
        raise LlmError(f"the key of the LLM server cannot be read from {settings.api_key_file}.") from None
    return {"Authorization": f"Bearer {key}"}


def _retry_after(told: str | None) -> float:
    return float(told) if told is not None and told.replace(".", "", 1).isdigit() else 0.0


_ANSWER: dict[str, Callable[[VllmBatch, _Batch], None]] = {
    "runner": _by_runner, "run-batch": _by_run_batch, "server": _by_server,
}  # fmt: skip


# -- tokens --------------------------------------------------------------------------------------------------------


class TokenCounter:
    """Counts tokens by the model's own tokenizer (zebrawatch.reasoning.chart.CountTokens).

    Where the model's folder is on this machine, a small process of vLLM's environment counts; otherwise the server's
    /tokenize does. Other servers have none: then lengths are estimated, and `estimates` says so. Use as a context
    manager: the process ends with it.
    """

    def __init__(self, profile: ModelProfile, settings: LlmSettings) -> None:
        self._profile = profile
        self._settings = settings
        self._weights = settings.weights or Path(profile.weights or ".")
        self._process: subprocess.Popen[str] | None = None
        self._known: dict[str, int] = {}
        self.estimates = False
        """Whether the server counts no tokens, so that lengths are estimates (on the safe side)."""

    def __enter__(self) -> TokenCounter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; a text seen before is not counted again."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            counts = self._here(new) if (self._weights / "tokenizer.json").is_file() else self._there(new)
            self._known |= dict(zip(new, counts, strict=True))
        return [self._known[text] for text in texts]

    def _here(self, texts: Sequence[str]) -> list[int]:
        if self._process is None:
            command = [_python(self._settings), "-P", str(RUNNER / "count.py"), str(self._weights.absolute())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                encoding="utf-8", env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(texts)) + "\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise LlmError(f"the tokenizer of {self._profile.name} in {self._weights} cannot be read.")
        return list(json.loads(told))

    def _there(self, texts: Sequence[str]) -> list[int]:
        if self._settings.backend != "server":
            raise LlmError(f"the tokenizer of {self._profile.name} is not at '{self._weights}'.")
        counted = None if self.estimates else asyncio.run(_tokenize(self._profile, self._settings, texts))
        self.estimates = counted is None
        return [len(text.encode()) // BYTES_A_TOKEN + 1 for text in texts] if counted is None else counted


async def _tokenize(profile: ModelProfile, settings: LlmSettings, texts: Sequence[str]) -> list[int] | None:
    """Tokens of each text by the server; None where it has no such service (only vLLM's own does)."""
    counts: dict[int, int] = {}
    waiting = deque(enumerate(texts))
    url = settings.base_url.rstrip("/") + "/tokenize"
    async with aiohttp.ClientSession(headers=_headers(settings)) as session:

        async def work() -> None:
            while waiting:
                place, text = waiting.popleft()
                asked = {"model": profile.name, "prompt": text, "add_special_tokens": False}
                async with session.post(url, json=asked) as reply:
                    if reply.status in (404, 405, 501):
                        return
                    counts[place] = int((await reply.json())["count"])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(settings.concurrency, len(texts))):
                    group.create_task(work())
        except* (aiohttp.ClientError, OSError, ValueError, KeyError, TimeoutError):
            raise LlmError(f"the LLM server at {settings.base_url} does not count tokens (/tokenize).") from None
    return [counts[place] for place in range(len(texts))] if len(counts) == len(texts) else None
