"""`zebrawatch benchmark reasoning`: any model profile on free-text cases with known diseases.

Cases are JSONL, `{id, text, disease_id}` a line. Each is read as a chart of one note, without masking: what is measured
is the model on a text, not the screen. `overhead` measures what our own side costs, against a made server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from connectors.knowledge_files import compiled, knowledge_files
from connectors.vllm_batch import LlmSettings, TokenCounter, VllmBatch, check_ready
from zebrawatch.benchmarks.bootstrap import Floats, interval
from zebrawatch.benchmarks.results import Results
from zebrawatch.errors import ConfigurationError, SourceError
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.reasoning.arm import ArmOutcome, ArmSettings, ScoredChart, run_arm
from zebrawatch.reasoning.chart import ChartNote, PatientChart
from zebrawatch.reasoning.names import Resolver, disease_names
from zebrawatch.reasoning.profile import ModelProfile, read_profile
from zebrawatch.reasoning.requests import PATH, Request, smoke_body
from zebrawatch.reasoning.shortlist import Budget
from zebrawatch.reasoning.task import read_task

NIGHT = date(2000, 1, 1)  # cases have no dates


@dataclass(frozen=True)
class Case:
    """A free-text case and its disease."""

    id: str
    text: str
    disease_id: str


def run(
    *,
    data: Path,
    files: Sequence[Path] = (),
    seed: int = 7,
    progress: Callable[[str], None] = lambda _: None,
    model: str | Path = "smollm2-135m",
    served_as: str = "",
    settings: LlmSettings | None = None,
    folder: Path | None = None,
    limit: int | None = None,
) -> Results:
    """Top-1/3/10, parse rate, supported quotes, tokens a patient and patients an hour, for each file of cases.

    `data` holds the knowledge; `served_as` is the model's name on a server, where it is not the profile's; `folder`
    keeps requests and results (a killed run goes on there). Ids are matched over all exact-match ids of a disease; a
    case whose disease is not in the knowledge is a miss, and counted.
    """
    if not files:
        raise SourceError("the reasoning benchmark needs cases: --cases FILE (JSONL with id, text, disease_id).")
    profile = read_profile(model)
    profile = replace(profile, name=served_as) if served_as else profile
    check_ready(profile, settings or LlmSettings())
    read = [(file.stem, read_cases(file)[:limit]) for file in files]
    here = data / "knowledge"
    knowledge, _ = compiled(knowledge_files(str(here) if here.is_dir() else ""), Path("var/knowledge"))
    resolver = Resolver(disease_names(knowledge))
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        door = settings or LlmSettings()
        return {stem: _one(cases, knowledge, resolver, profile, door, place, seed, progress) for stem, cases in read}


def settings_of(
    url: str, api_key_file: Path | None, weights: Path | None, python: Path, backend: str = ""
) -> LlmSettings:
    """How requests are answered: by `backend` where it is named, else by a server where there is a URL, or our runner.

    ConfigurationError where a backend that asks no server is given a URL.
    """
    chosen = backend or ("server" if url else "runner")
    if url and chosen != "server":
        raise ConfigurationError(f"--url is a server's address, and the backend {chosen} asks no server: give one.")
    return LlmSettings(chosen, python=python, weights=weights, base_url=url, api_key_file=api_key_file)


def read_cases(file: Path) -> list[Case]:
    """The cases of a JSONL file; SourceError with the line's number where one cannot be read."""
    cases = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SourceError(f"the cases in {file} cannot be read.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            cases.append(Case(str(told["id"]), str(told["text"]), str(told["disease_id"])))
        except (ValueError, KeyError, TypeError):
            raise SourceError(f"line {number} of {file.name} is no case: {{id, text, disease_id}}.") from None
    if not cases:
        raise SourceError(f"{file.name} holds no case.")
    return cases


def _one(
    cases: Sequence[Case],
    knowledge: Knowledge,
    resolver: Resolver,
    profile: ModelProfile,
    settings: LlmSettings,
    folder: Path,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    task = read_task("differential" if profile.clinical_use else "differential_brief")
    if not profile.clinical_use:
        progress(f"{profile.name} is for trying out only: its answers are not clinically useful.")
    arm = ArmSettings(profile, task, Budget(), threshold=0.5, floor=0.0, seed=seed)
    door = VllmBatch(
        folder, profile, settings, smoke=smoke_body(profile, task), progress=lambda told: progress(_words(told))
    )
    charts = [
        ScoredChart(PatientChart(n, NIGHT, (ChartNote(case.id, NIGHT, case.text),)), 1.0, ())
        for n, case in enumerate(cases)
    ]
    begun = time.monotonic()
    with TokenCounter(profile, settings) as count:
        outcome = run_arm(charts, arm, NIGHT, resolver=resolver, count_tokens=count, complete=door)
    seconds = time.monotonic() - begun
    return _figures(cases, outcome, knowledge, seconds, seed)


def _figures(
    cases: Sequence[Case], outcome: ArmOutcome, knowledge: Knowledge, seconds: float, seed: int
) -> dict[str, Any]:
    places = {
        q.request.subject_id: _place(cases[q.request.subject_id], q.request.key, outcome, knowledge)
        for q in outcome.asked
    }
    ranks = [places[n] for n in range(len(cases))]
    told: dict[str, Any] = {"n": len(cases)}
    intervals: dict[str, list[float]] = {}
    for k in (1, 3, 10):
        hits = [float(rank is not None and rank <= k) for rank in ranks]
        told[f"top{k}"] = sum(hits) / len(hits)
        intervals[f"top{k}"] = list(interval(_by_disease(cases, hits), _share, seed=seed))
    figures = outcome.figures
    tokens = figures["llm_prompt_tokens"] + figures["llm_completion_tokens"]
    return told | {
        "not_in_knowledge": sum(knowledge.index_of(case.disease_id) is None for case in cases),
        "parse_rate": figures.get("llm_parse_rate", 0.0),
        "supported_quote_rate": figures.get("llm_supported_quote_rate"),
        "tokens_per_patient": tokens / len(cases),
        "patients_per_hour": 3600 * len(cases) / seconds,
        "ci95": intervals,
        "seconds": seconds,
        "model": str(outcome.identity["llm.model"]),
        "profile": str(outcome.identity["llm.profile"])[:16],
        "task": str(outcome.identity["llm.differential"]),
        "clinical_use": "yes" if outcome.identity["llm.clinical_use"] == "true" else "no: answers are worthless",
    }


def _by_disease(cases: Sequence[Case], hits: Sequence[float]) -> Floats:
    """Hits and cases a disease, a row each: intervals resample diseases."""
    rows: dict[str, list[float]] = {}
    for case, hit in zip(cases, hits, strict=True):
        row = rows.setdefault(case.disease_id, [0.0, 0.0])
        row[0] += hit
        row[1] += 1
    return np.array(list(rows.values()))


def _share(counts: Floats) -> Floats:
    return np.asarray(counts[..., 0] / counts[..., 1])


def _place(case: Case, key: str, outcome: ArmOutcome, knowledge: Knowledge) -> int | None:
    wanted = knowledge.index_of(case.disease_id)
    answer = outcome.answers[key]
    for disease in answer.diseases:
        found = disease.resolution.disease_id
        if wanted is not None and found is not None and knowledge.index_of(found) == wanted:
            return disease.rank
    return None


def _words(told: Mapping[str, Any]) -> str:
    return f"{told.get('state', '')}: {told.get('answered', told.get('sent', 0))} of {told.get('requests', 0)}"


def overhead(requests: int = 1600, rate: int = 200, slots: int = 64, rounds: int = 5) -> dict[str, float]:
    """What our side costs at `rate` requests a second: the door's time over that of a bare client, least of `rounds`.

    The made server works on `slots` requests at a time, each for slots / rate seconds, in a process of its own. The
    bare client posts the same bytes with as many on the way and keeps nothing. Both take turns.
    """
    seconds = slots / rate
    command = [sys.executable, "-m", "connectors.made_llm_server", str(slots), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    text = "Burning pain in hands and feet since childhood, worse with fever. " * 200
    asked = [
        Request(f"k{n}", n, {"model": "made", "messages": [{"role": "user", "content": f"{n} {text}"}]})
        for n in range(requests)
    ]
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        settings = LlmSettings("server", base_url=url, concurrency=slots * 3 // 2)
        ours, bare, cpu = [], [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                begun, used = time.monotonic(), time.process_time()
                VllmBatch(Path(folder), read_profile("smollm2-135m"), settings)(asked)
                ours.append(time.monotonic() - begun)
                cpu.append(time.process_time() - used)
            begun = time.monotonic()
            asyncio.run(_bare_client(url + PATH, [json.dumps(dict(each.body)).encode() for each in asked], settings))
            bare.append(time.monotonic() - begun)
    finally:
        process.communicate()
    return {
        "n": requests, "requests_per_second": requests / min(ours), "seconds": min(ours), "bare_seconds": min(bare),
        "ideal_seconds": requests / rate, "overhead": min(ours) / min(bare) - 1,
        "cpu_ms_per_request": 1000 * min(cpu) / requests,
    }  # fmt: skip


async def _bare_client(url: str, bodies: Sequence[bytes], settings: LlmSettings) -> None:
    waiting = deque(bodies)
    connector = aiohttp.TCPConnector(limit=settings.concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            while waiting:
                async with session.post(url, data=waiting.popleft()) as reply:
                    await reply.read()

        await asyncio.gather(*(work() for _ in range(settings.concurrency)))
