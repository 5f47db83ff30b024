"""Running a job in this process: the same Dagster job, instance and history as under `dagster dev`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from assets import graph
from connectors.configuration import Configuration
from zebrawatch.errors import ZebrawatchError
from zebrawatch.nights import NightRange, ReplayPlan

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


_AS_DESCRIBED: dict[str, Any] = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
}
"""What `dagster.yaml` says, for state folders other than its own."""


class RunFailed(ZebrawatchError):  # noqa: N818
    """A step failed; the text is what it said, or where to look."""


@contextmanager
def instance_of(configuration: Configuration) -> Iterator[DagsterInstance]:
    """Dagster's instance.

    It is the one `dagster.yaml` here describes for the default state folder, else one in the state folder.
    """
    base = configuration.state_folder / "dagster"
    base.mkdir(parents=True, exist_ok=True)
    described = configuration.state_folder == Path("var").absolute() and Path("dagster.yaml").is_file()
    overrides = {} if described else _AS_DESCRIBED
    reference = InstanceRef.from_dir(str(base), config_dir=str(Path.cwd() if described else base), overrides=overrides)
    with DagsterInstance.from_ref(reference) as instance:
        yield instance


def run_nights(configuration: Configuration, nights: NightRange | None, say: Callable[[str], None]) -> list[str]:
    """Screen a range of nights (None: all that the records speak of); the ids of the Dagster runs.

    Nights before the site's first live night run as one range of the past, those from it on as partitions.
    RunFailed in one sentence where a step failed.
    """
    live = configuration.site.first_live_night
    runs: list[tuple[str, dict[str, str]]] = []
    if nights is None:
        runs.append((graph.PAST, {graph.NIGHTS_TAG: graph.ALL_NIGHTS}))
    else:
        if nights.first < live:
            past = NightRange(nights.first, min(nights.last, live.fromordinal(live.toordinal() - 1)))
            runs.append((graph.PAST, {graph.NIGHTS_TAG: str(past)}))
        if nights.last >= live:
            ours = NightRange(max(nights.first, live), nights.last)
            runs.append(
                (
                    "live",
                    {
                        "dagster/asset_partition_range_start": str(ours.first),
                        "dagster/asset_partition_range_end": str(ours.last),
                    },
                )
            )
    with _telling(say), instance_of(configuration) as instance:
        return [_execute(kind, tags, instance, configuration) for kind, tags in runs]


def run_replay(configuration: Configuration, plan: ReplayPlan, say: Callable[[str], None]) -> str:
    """Replay the configured source in its own corner of the lake; the id of the Dagster run.

    RunFailed in one sentence where a step failed.
    """
    asked = {
        "first": plan.first.isoformat() if plan.first else "",
        "last": plan.last.isoformat() if plan.last else "",
        "landmarks": plan.landmarks,
    }
    with _telling(say), instance_of(configuration) as instance:
        return _execute(graph.REPLAY, {}, instance, configuration, {"resources": {"replay_run": {"config": asked}}})


@contextmanager
def _telling(say: Callable[[str], None]) -> Iterator[None]:
    graph.PROGRESS = say
    try:
        yield
    finally:
        graph.PROGRESS = None


def _execute(
    kind: str,
    tags: Mapping[str, str],
    instance: DagsterInstance,
    configuration: Configuration,
    resources: Mapping[str, Any] | None = None,
) -> str:
    from pipelines.definitions import definitions_of
    from pipelines.jobs import REPLAY, SCREEN, SCREEN_PAST

    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")
    name = {graph.PAST: SCREEN_PAST, graph.REPLAY: REPLAY}.get(kind, SCREEN)
    job = definitions_of(configuration).resolve_job_def(name)
    asked = {**QUIET, **(resources or {})}
    result = job.execute_in_process(instance=instance, tags=dict(tags), run_config=asked, raise_on_error=False)
    if not result.success:
        raise RunFailed(_what_failed(result))
    return str(result.run_id)


def _what_failed(result: Any) -> str:
    """The sentence of the first failure that a person can act on."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            said = event.step_failure_data.user_failure_data
            if said and said.description:
                return str(said.description)
            error = event.step_failure_data.error
            name = error.cause.cls_name if error and error.cause else (error.cls_name if error else "an unknown error")
            return (
                f"Step {event.step_key} failed with {name}; the run's log in `dagster dev` has the details "
                f"(run {result.run_id[:8]})."
            )
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION and not event.event_specific_data.passed:
            data = event.event_specific_data
            if data.severity != dg.AssetCheckSeverity.ERROR:
                continue
            failed, docs = (data.metadata[name].value for name in ("failed", "data_docs"))
            return f"The night was stopped: {data.asset_key.path[-1]} fails {failed} (Data Docs: {docs})."
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        if error is not None:
            return str((error.cause or error).message.strip().splitlines()[-1])
    return f"The run failed; see run {result.run_id[:8]} in `dagster dev`."
