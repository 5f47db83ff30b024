"""Dagster's entry point: what `dagster dev`, `dg` and the command line load."""

from __future__ import annotations

import os

os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")

import dagster as dg

from assets.graph import ScreenRun, assets_of, night_partitions
from connectors import configuration
from pipelines.jobs import jobs_of
from pipelines.schedules import nightly_schedule

SETTINGS = configuration.load()
PARTITIONS = night_partitions(SETTINGS.site.first_live_night.isoformat(), SETTINGS.site.timezone)
LIVE = assets_of(PARTITIONS)
PAST_ASSETS = assets_of(None)
JOBS = jobs_of(LIVE, PAST_ASSETS, PARTITIONS)

defs = dg.Definitions(
    assets=[*LIVE, *PAST_ASSETS],
    jobs=list(JOBS),
    schedules=[nightly_schedule(JOBS[0], SETTINGS.site.timezone)],
    resources={"screen_run": ScreenRun()},
    executor=dg.in_process_executor,
)
