"""Runs beside each other: what is recorded, the paired comparison, and the gate a challenger must pass."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.lake import Lake
from connectors.mlflow_runs import MlflowStore, RegisteredObject, model_versions, promote, record_run, recorded_runs
from pipelines.commands.runs import RunsError, _lead_time
from zebrawatch.outcome.metrics import LONGEST_NAME, curves_of, metrics_of
from zebrawatch.outcome.promotion import promotion_gate
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import MonthlyCount, Outcome
from zebrawatch.outcome.time_to_event import aalen_johansen

FROZEN = date(2024, 6, 30)


def lead_rows(*leads: int, first: date = date(2024, 7, 1)) -> pd.DataFrame:
    """At-risk pairs, a patient each, suspected on the nights from `first` on."""
    rows = [
        {
            "subject_id": n, "disease_id": "OMIM:154700", "pair_class": "at risk", "prioritised": lead > 0,
            "lead_days": lead, "suspicion_night": first + timedelta(days=n),
        }
        for n, lead in enumerate(leads)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_challenger_that_finds_more_and_earlier_passes() -> None:
    champion, challenger = lead_rows(*[0] * 30, *[20] * 10), lead_rows(*[90] * 30, *[120] * 10)
    verdict = promotion_gate(champion, challenger, FROZEN, Protocol.read())
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.compared["pairs"] == 40
    assert verdict.compared["prioritised"]["difference"] == pytest.approx(0.75)


def test_nights_from_before_the_challenger_was_frozen_do_not_count() -> None:
    before = date(2023, 1, 1)
    champion, challenger = lead_rows(*[0] * 40, first=before), lead_rows(*[90] * 40, first=before)
    verdict = promotion_gate(champion, challenger, FROZEN, Protocol.read())
    assert not verdict.passed
    assert verdict.compared == {}


def test_an_equal_challenger_or_too_few_pairs_do_not_pass() -> None:
    same = lead_rows(*[30] * 40)
    assert not promotion_gate(same, same, FROZEN, Protocol.read()).passed
    few = promotion_gate(lead_rows(*[0] * 12), lead_rows(*[90] * 12), FROZEN, Protocol.read())
    assert few.reasons == ("12 pairs are fewer than 30",)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=150)


@settings(deadline=None)
@given(
    st.recursive(st.floats() | st.integers(-9, 9) | st.text(max_size=3), lambda inner: st.dictionaries(names, inner))
)
def test_names_of_metrics_are_ones_that_mlflow_takes(figures: Any) -> None:
    for name, value in metrics_of({"x": figures}).items():
        assert len(name) <= LONGEST_NAME
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
        assert abs(value) < float("inf")


def test_figures_keep_their_place_in_their_names() -> None:
    told = metrics_of(
        {"at_risk": 6, "ci95": {"share": [0.1, 0.4]}, "by_disease": {"OMIM:1": {"n": 12}}, "gate": {"passed": True}}
    )
    assert told == {"at_risk": 6.0, "ci95.share.low": 0.1, "ci95.share.high": 0.4, "gate.passed": 1.0}


def test_curves_are_steps_by_month_and_by_threshold() -> None:
    outcome = Outcome(
        {"by_threshold": [{"threshold": 0.01, "prioritised_share": 0.5, "false_alerts_per_1000_12m": None}]},
        pd.DataFrame(), pd.DataFrame(), {}, (), pd.DataFrame(),
        {"alert": aalen_johansen([100, 400], [1, 0], 1)}, (MonthlyCount(0, 0.0, 0.0, 0.0), MonthlyCount(1, 2.5, 1, 4)),
    )  # fmt: skip
    curves = curves_of(outcome)
    assert curves["curve.false_alerts_per_1000.by_month"] == [(0, 0.0), (1, 2.5)]
    assert curves["curve.incidence.alert.by_month"][3:5] == [(3, 0.0), (4, 0.5)]
    assert curves["curve.prioritised_share.by_threshold"] == [(10, 0.5)]
    assert "curve.false_alerts_per_1000_12m.by_threshold" not in curves


def test_runs_are_listed_and_a_promoted_run_gives_its_models_the_alias(tmp_path: Path) -> None:
    nights = MlflowStore(tmp_path / "mlflow.db", tmp_path / "artifacts", experiment="nights")
    replays = MlflowStore(tmp_path / "mlflow.db", tmp_path / "artifacts", experiment="replays")
    assert recorded_runs(nights, ["nights"]) == []
    model = RegisteredObject("background", "background@2025-06", "d1")
    record_run(nights, {"run": "1"}, {}, {"at_risk": 4.0}, name="night")
    second = record_run(
        replays, {"run": "2"}, {}, {"at_risk": 6.0}, models=[model], name="replay", lake=tmp_path / "lake",
        curves={"curve.by_month": [(0, 0.0), (12, 3.5)]},
    )  # fmt: skip
    found = recorded_runs(nights, ["nights", "replays"])
    assert [(run.experiment, run.name, run.figures["at_risk"]) for run in found] == [
        ("replays", "replay", 6.0),
        ("nights", "night", 4.0),
    ]
    assert found[0].lake == tmp_path / "lake"
    assert found[0].figures["curve.by_month"] == 3.5, "the last step of a curve stands as its figure"
    assert promote(nights, second, "champion") == ["background"]
    assert model_versions(nights, "background")[0][2] == ("champion", "current")
    with pytest.raises(RunsError, match="no run and no lake"):
        _lead_time(nights, "ffff")
    with pytest.raises(RunsError, match="is gone"):
        _lead_time(nights, second[:8])


def test_a_lake_can_be_named_by_its_folder(tmp_path: Path) -> None:
    Lake.open(tmp_path / "lake", create=True)
    store = MlflowStore(tmp_path / "mlflow.db", tmp_path / "artifacts")
    with pytest.raises(Exception, match="no published night"):
        _lead_time(store, str(tmp_path / "lake"))
    assert json.loads((tmp_path / "lake" / "lake.json").read_text())["schema_version"]
