"""`benchmark reasoning`: figures on cases with known diseases, through a made server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from reasoning_charts import FABRY, GAUCHER, NAMES, POMPE, differential, disease

from connectors.made_llm_server import MadeLlmServer, made_body
from connectors.vllm_batch import LlmSettings
from pipelines.commands import reasoning_benchmark
from zebrawatch.errors import SourceError

SAME = {FABRY: 0, "ORPHA:324": 0, POMPE: 1, GAUCHER: 2}


@pytest.fixture
def small_knowledge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three diseases in place of twelve thousand."""
    knowledge = SimpleNamespace(index_of=SAME.get)
    monkeypatch.setattr(reasoning_benchmark, "compiled", lambda *_: (knowledge, None))
    monkeypatch.setattr(reasoning_benchmark, "disease_names", lambda _: NAMES)


def cases(folder: Path) -> Path:
    told = [
        {"id": "a", "text": "Burning pain in hands. Case a.", "disease_id": "ORPHA:324"},
        {"id": "b", "text": "Burning pain in hands. Case b.", "disease_id": POMPE},
        {"id": "c", "text": "Burning pain in hands. Case c.", "disease_id": "OMIM:999999"},
        {"id": "d", "text": "Burning pain in hands. Case d.", "disease_id": GAUCHER},
    ]
    (folder / "some_cases.jsonl").write_text("".join(json.dumps(each) + "\n" for each in told))
    return folder / "some_cases.jsonl"


def reply(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fabry first with a true quote, Pompe second with a false one; case d gets no JSON."""
    if "Case d" in str(body["messages"]):
        return made_body("no")
    fabry, pompe = (
        disease("Fabry disease", ("N1", "Burning pain in hands")),
        disease("Pompe disease", ("N1", "never said")),
    )
    return made_body(differential(fabry, pompe))


@pytest.mark.usefixtures("small_knowledge")
def test_figures_by_hand(tmp_path: Path) -> None:
    with MadeLlmServer(reply=reply) as server:
        settings = LlmSettings("server", base_url=server.base_url, weights=tmp_path)
        told = reasoning_benchmark.run(
            data=tmp_path, files=[cases(tmp_path)], settings=settings, folder=tmp_path / "kept"
        )["some_cases"]
    assert (told["n"], told["top1"], told["top3"], told["top10"]) == (4, 0.25, 0.5, 0.5)
    assert (told["parse_rate"], told["supported_quote_rate"], told["not_in_knowledge"]) == (0.75, 0.5, 1)
    assert told["tokens_per_patient"] == 1200 * 5 / 4, "the retry counts"
    assert told["ci95"]["top1"][0] <= 0.25 <= told["ci95"]["top1"][1]
    assert told["patients_per_hour"] > 0


def test_bad_cases_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--cases FILE"):
        reasoning_benchmark.run(data=tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "text": "x", "disease_id": "y"}\n{"id": 2}\n')
    with pytest.raises(SourceError, match=r"line 2 of bad\.jsonl is no case"):
        reasoning_benchmark.read_cases(tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SourceError, match="holds no case"):
        reasoning_benchmark.read_cases(tmp_path / "empty.jsonl")
    with pytest.raises(SourceError, match="cannot be read"):
        reasoning_benchmark.read_cases(tmp_path / "nothing.jsonl")


def test_the_overhead_is_measured_against_a_server_of_its_own() -> None:
    told = reasoning_benchmark.overhead(requests=40, rate=200, slots=20, rounds=1)
    assert told["n"] == 40
    assert told["seconds"] >= told["ideal_seconds"]
