"""Traces of the reasoning arm: figures that can be looked at, and nothing that was written about a patient."""

from __future__ import annotations

from pathlib import Path

from reasoning_charts import NIGHT, RESOLVER, MadeModel, chart, count_words, differential, disease, scored, settings

from connectors.mlflow_runs import MlflowStore, record_run
from connectors.reasoning_traces import trace_sample
from zebrawatch.reasoning.arm import run_arm


def test_a_sample_is_traced_without_a_word_of_text(tmp_path: Path) -> None:
    planted = disease("Fabry disease", ("N1", "Burning pain in hands and feet"))
    model = MadeModel(lambda _: differential(planted))
    outcome = run_arm(
        [scored(chart(n)) for n in range(5)], settings(), NIGHT, resolver=RESOLVER, count_tokens=count_words,
        complete=model,
    )  # fmt: skip
    store = MlflowStore(tmp_path / "mlflow.db", tmp_path / "artifacts", experiment="reasoning")
    run_id = record_run(store, dict(outcome.identity), {}, outcome.figures)
    assert trace_sample(store, run_id, outcome, sample=3) == 3

    import mlflow

    traces = mlflow.search_traces(locations=[mlflow.get_run(run_id).info.experiment_id], return_type="list")
    told = traces[0].data.spans[0].attributes
    assert (told["verdict"], told["quotes"], told["struck_quotes"], told["prompt_tokens"]) == ("accepted", 1, 0, 100)
    assert traces[0].data.spans[0].inputs is None
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [word for word in (b"Burning", b"Fabry", b"Cornea", b"enzymes") if word in content], path.name
