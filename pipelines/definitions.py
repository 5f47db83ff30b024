"""Dagster's entry point: what `dagster dev`, `dg` and the command line load."""

from __future__ import annotations

import os

os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")

import dagster as dg

from assets.graph import PAST, REPLAY, ReplayRun, ScreenRun, assets_of, night_partitions
from connectors import configuration
from connectors.configuration import Configuration
from pipelines.jobs import jobs_of
from pipelines.schedules import nightly_schedule


def definitions_of(settings: Configuration) -> dg.Definitions:
    """Everything Dagster needs to know for one configuration."""
    partitions = night_partitions(settings.site.first_live_night.isoformat(), settings.site.timezone)
    live, past, replayed = assets_of(partitions), assets_of(None, PAST), assets_of(None, REPLAY)
    screen, screen_past, replay = jobs_of(live, past, replayed, partitions)
    return dg.Definitions(
        assets=[*live, *past, *replayed],
        jobs=[screen, screen_past, replay],
        schedules=[nightly_schedule(screen)],
        resources={"screen_run": ScreenRun(), "replay_run": ReplayRun()},
        executor=dg.in_process_executor,
    )


defs = definitions_of(configuration.load())
