"""The screen with the reasoning arm on, end to end: a tiny made hospital, and a made server that answers as it is told.

What the model says is made: these tests are about what is asked, kept, counted and shown, not about medicine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from math import ceil
from pathlib import Path
from typing import Any

import mlflow
import pytest
import tiny_hospital
from reasoning_charts import differential, disease

from assets.audit import flag_named, rebuild
from connectors import configuration
from connectors.lake import Lake
from connectors.made_llm_server import MadeLlmServer, made_body
from pipelines.runner import RunFailed
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CANDIDATES, FLAGS, LLM_REQUESTS, LLM_RESPONSES, NIGHTS, TABLES, Table

NIGHTS_OF_STORY = NightRange.parse(f"{tiny_hospital.FIRST}..{tiny_hospital.LAST}")
KEY = b"k" * 32
RISING = "Contractural arachnodactyly, congenital"
MARIA = subject_id_of("maria", KEY)

PROFILE = """
name = "made-model"
weights = ""
revision = "1"
sha256 = ""
license = "none"
context = 4096
quantisation = ""
reasoning_parser = ""
answer_tokens = 512
clinical_use = true
[sampling]
temperature = 0.0
[engine]
max_num_seqs = 8
[size]
parameters = 1e9
layers = 1
kv_heads = 1
head_dim = 1
"""
Screen = Callable[..., Lake]


def reply(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of the chart with the eyes: a disease low on the list with a true quote, one with a false quote, one not listed.

    Every first answer about the eyes as they were on 3 March breaks the schema.
    """
    text = str(body["messages"][1]["content"])
    if "Candidate to judge" in text:
        against = [{"note": "N2", "quote": "No seizures."}] if "ectopia lentis" in text else []
        return made_body(json.dumps({"consistent": "no" if against else "unclear", "probability": 0.2, "for": [],
                                     "against": against, "commoner_explanation": "", "next_test": "echo"}))  # fmt: skip
    if "ectopia lentis" not in text:
        return made_body(differential(none=0.9))
    if "Echo:" not in text and "cannot be used" not in str(body["messages"][-1]["content"]):
        return made_body('{"differential": 3}')
    return made_body(
        differential(
            disease(RISING, ("N3", "Arachnodactyly.")),
            disease("Stickler syndrome", ("N3", "Hearing loss since birth.")),
            disease("Fabry disease", ("N3", "ectopia lentis on both sides")),
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny hospital and the made model's profile."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "made.toml").write_text(PROFILE)
    tiny_hospital.write(folder / "hospital")
    return folder


@pytest.fixture(scope="module")
def screen_read(screen: Screen, place: Path, server: MadeLlmServer) -> Screen:
    """Screen the tiny hospital's nights into a lake of a name, with a model that answers by `reply`."""

    def run(nights: NightRange, lake: str) -> Lake:
        return screen(
            place / "hospital", nights, lake,
            reasoning__enabled="true", reasoning__profile=str(place / "made.toml"), reasoning__backend="server",
            reasoning__base_url=server.base_url, reasoning__repeat_share="1", reasoning__sample_share="0.8",
            policy__threshold="0.01", reasoning__floor="0.003",
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def server() -> Iterator[MadeLlmServer]:
    with MadeLlmServer(reply=reply) as serving:
        yield serving


@pytest.fixture(scope="module")
def read(screen_read: Screen) -> Lake:
    """The story screened as one range, with the model on."""
    return screen_read(NIGHTS_OF_STORY, "range")


def rows(lake: Lake, table: Table, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in lake.arrow(table).to_pylist() if all(row[name] == value for name, value in wanted.items())]


def test_everyone_considered_has_a_reason_and_a_question_where_read(read: Lake) -> None:
    threshold, floor = 0.01, 0.003
    for row in rows(read, LLM_REQUESTS):
        if row["p_any"] >= floor:
            alerted = row["p_any"] >= threshold
            why = "would be alerted by the evidence arm" if alerted else "among the likeliest below the threshold"
            assert (row["read"], row["reason"]) == (True, why)
        else:
            assert row["reason"] == ("random sample of the rest" if row["sampled"] else "below the shortlist's floor")
            assert row["read"] == row["sampled"] == (row["request_key"] is not None)
    assert {row["sampled"] for row in rows(read, LLM_REQUESTS)} == {True, False}, "a sample of the rest is read too"
    assert any(not row["read"] for row in rows(read, LLM_REQUESTS)), "and not all of them"
    scored = {(row["subject_id"], row["night"]) for row in rows(read, CANDIDATES)}
    assert {(row["subject_id"], row["night"]) for row in rows(read, LLM_REQUESTS)} == scored


def test_a_chart_holds_what_stood_that_night_and_no_more(read: Lake) -> None:
    (third,) = rows(read, LLM_REQUESTS, subject_id=MARIA, night=date(2025, 3, 3), task="differential", repeat=0)
    chart = json.loads(third["body"])["messages"][1]["content"]
    assert "ectopia lentis" in chart
    assert "aortic root" not in chart


def test_a_supported_disease_rises_an_unsupported_and_an_unlisted_one_do_not(read: Lake) -> None:
    (raised,) = rows(read, FLAGS, subject_id=MARIA, action="raise")
    places = {row["disease_id"]: row["rank"] for row in rows(read, CANDIDATES, subject_id=MARIA, night=raised["night"])}
    rising = next(row["disease_id"] for row in rows(read, CANDIDATES) if row["disease_name"] == RISING)
    shown = [one["disease_id"] for one in raised["shown"]]
    assert places[rising] > 2
    assert shown.index(rising) + 1 == ceil((places[rising] + 1) / 2), "the mean of its two ranks"
    assert raised["shown"][0]["disease_id"] == tiny_hospital.MARFAN, "the evidence arm's first stays first"
    assert set(shown) <= set(places), "no disease that is not on the evidence arm's list"
    assert raised["p_any"] == rows(read, CANDIDATES, subject_id=MARIA, night=raised["night"])[0]["p_any"]


def test_an_answer_that_did_not_hold_was_asked_once_more(read: Lake) -> None:
    again = rows(read, LLM_RESPONSES, attempt=2)
    assert {row["night"] for row in again} == {date(2025, 3, 3)}
    assert all(row["counts"] and row["struck_quotes"] == 1 for row in again)


def test_the_record_says_who_read_and_holds_figures_without_words(read: Lake) -> None:
    identity = read.nights()[-1].identity["reasoning"]
    assert (identity["arm"], identity["model"], identity["clinical_use"]) == ("server", "made-model", "true")
    state = read.root.with_name(read.root.name + "-state")
    client = mlflow.MlflowClient(f"sqlite:///{state / 'mlflow.db'}")
    found = [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]
    metrics = max((run.data.metrics for run in found), key=len)
    assert metrics["llm_agreement_top1"] == 1.0
    assert 0 < metrics["llm_supported_quote_rate"] < 1
    assert metrics["llm_retries"] > 0
    planted = [b"maria", b"ectopia lentis on both sides", b"Arachnodactyly.", b"Hearing loss since", RISING.encode()]
    written = [path for path in state.rglob("*") if path.is_file()]
    assert [(path.name, word) for path in written for word in planted if word in path.read_bytes()] == []


def test_an_audit_makes_the_flag_again_from_the_stored_answers_and_asks_no_model(
    read: Lake, server: MadeLlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEBRAWATCH_LAKE__FOLDER", str(read.root))
    monkeypatch.setenv("ZEBRAWATCH_SITE__KEY_FILE", str(read.root.parent / "site.key"))
    (raised,) = rows(read, FLAGS, subject_id=MARIA, action="raise")
    before = {name: read.digest(table) for name, table in TABLES.items()}
    server.seen.clear()
    told = rebuild(configuration.load(), read, flag_named(read, raised["episode_id"]), lambda _: None)
    assert {one.table: one.verdict for one in told.compared} == {one.table: "same" for one in told.compared}
    assert (told.not_rebuilt, dict(server.seen)) == ((), {})
    assert {name: read.digest(table) for name, table in TABLES.items()} == before, "an audit changes nothing"


def test_nights_one_by_one_and_a_killed_run_ask_nothing_twice_and_give_the_same(
    screen_read: Screen, read: Lake, server: MadeLlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.seen.clear()
    with monkeypatch.context() as patched, pytest.raises(RunFailed):
        patched.setattr(Lake, "publish", _killed)
        screen_read(NightRange.parse("2025-01-15..2025-03-03"), "by-night")
    assert server.seen
    for nights in ("2025-01-15..2025-03-03", "2025-03-04..2025-03-06"):
        lake = screen_read(NightRange.parse(nights), "by-night")
    charts = {chart: count for chart, count in server.seen.items() if "Sore throat for two days" not in chart}
    repeated = [count for count in charts.values() if count != 2]  # the question and its repeat, each once
    assert repeated == [1] * len([chart for chart in charts if "Candidate to judge" in chart])
    assert [*lake.root.glob("reasoning/*")] == [] or len(lake.nights()) == len(NIGHTS_OF_STORY)
    ours, theirs = (
        {name: each.digest(table) for name, table in TABLES.items() if table is not NIGHTS} for each in (lake, read)
    )
    assert {name for name in ours if ours[name] != theirs[name]} == set()
    server.seen.clear()
    again = screen_read(NightRange.parse("2025-03-04..2025-03-06"), "by-night")
    assert not server.seen, "the same command once more asks nothing"
    said = json.loads((again.reports / "2025-03-04..2025-03-06" / "result.json").read_text())["reasoning"]
    assert said.endswith("this run sent 0 requests to it")
    assert {name for name in theirs if again.digest(TABLES[name]) != theirs[name]} == set()


def _killed(*_: object, **__: object) -> None:
    raise KeyError("killed")
