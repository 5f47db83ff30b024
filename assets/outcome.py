"""Outcome: lead time per patient and disease, reports, the run's record, and the publication of the nights."""

from __future__ import annotations

from typing import Any

from assets.night_run import NightRun


def lead_time(run: NightRun) -> dict[str, Any]:
    """Lead time per patient and disease, a snapshot as of the range's last night."""
    return {"rows": 0}


def published(run: NightRun) -> dict[str, Any]:
    """Reports, the MLflow run, and the row in `nights` by which readers see these nights."""
    identity = {"pulls": [pull.name for pull in run.pulls()], "readers": run.readers}
    run.lake.publish(run.nights, list(run.written.values()), identity, run.run_id)
    return {"nights": len(run.nights)}
