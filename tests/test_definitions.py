"""What Dagster sees: the graph by layer, one set by night and one for the past, the nightly schedule, the checks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.graph import STEPS
from connectors import configuration
from pipelines.definitions import definitions_of
from pipelines.jobs import SCREEN, SCREEN_PAST
from pipelines.runner import instance_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def definitions() -> Any:
    settings = configuration.from_values(
        {"site": {"timezone": "Europe/Berlin", "first_live_night": "2025-03-01"}}, "test"
    )
    return definitions_of(settings)


def test_live_assets_are_nights_in_groups_by_layer(definitions: Any) -> None:
    graph = definitions.resolve_asset_graph()
    groups = {step.name: graph.get(dg.AssetKey(step.name)).group_name for step in STEPS}
    assert groups == {step.name: step.group for step in STEPS}
    partitions = graph.get(dg.AssetKey("candidates")).partitions_def
    assert partitions.get_first_partition_key() == "2025-03-01"


def test_every_step_stands_in_the_past_too_without_partitions(definitions: Any) -> None:
    graph = definitions.resolve_asset_graph()
    for step in STEPS:
        assert graph.get(dg.AssetKey(["past", step.name])).partitions_def is None


def test_both_jobs_can_be_resolved(definitions: Any) -> None:
    for name in (SCREEN, SCREEN_PAST):
        assert definitions.resolve_job_def(name).name == name


def test_night_d_is_screened_at_two_local_time_on_the_next_day(definitions: Any) -> None:
    schedule = definitions.resolve_schedule_def("nightly")
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"
    at = datetime(2025, 3, 5, 1, 0, tzinfo=UTC)  # 02:00 in Berlin
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=definitions.get_repository_def())
    requests = schedule.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == ["2025-03-04"]


def test_tables_are_guarded_by_checks_that_can_stop_the_night(definitions: Any) -> None:
    graph = definitions.resolve_asset_graph()
    guarded = {key.asset_key.path[-1] for key in graph.asset_check_keys}
    assert {"patients", "notes", "events", "findings", "candidates", "suspicions", "flags", "lead_time"} <= guarded


def test_the_shipped_instance_opens_and_runs_one_night_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    settings = configuration.from_values({}, "test")
    with instance_of(settings) as instance:
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert not instance.telemetry_enabled
    assert (tmp_path / "var" / "dagster").is_dir()
