"""Schedules: night D is screened at 02:00 local time on D+1."""

from __future__ import annotations

from typing import Any

import dagster as dg


def nightly_schedule(job: Any) -> Any:
    """The nightly run, for the last partition that has ended, in the time zone of the partitions (the site's)."""
    return dg.build_schedule_from_partitioned_job(job, name="nightly", hour_of_day=2, minute_of_hour=0)
