"""Jobs: the screen of one night or a range of live nights, the screen of the past as one range, and replays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

SCREEN = "screen"
SCREEN_PAST = "screen_past"
REPLAY = "replay"


def jobs_of(
    live: Sequence[dg.AssetsDefinition],
    past: Sequence[dg.AssetsDefinition],
    replayed: Sequence[dg.AssetsDefinition],
    partitions: dg.PartitionsDefinition[str],
) -> tuple[Any, Any, Any]:
    """(`screen`, partitioned by night; `screen_past`, one range named by the tag zebrawatch/nights; `replay`).

    All run in one process, since every process would start a Spark of its own.
    """
    return (
        dg.define_asset_job(
            SCREEN,
            selection=dg.AssetSelection.assets(*live),
            partitions_def=partitions,
            executor_def=dg.in_process_executor,
            description="Screen one night, or a range of nights as one run.",
        ),
        dg.define_asset_job(
            SCREEN_PAST,
            selection=dg.AssetSelection.assets(*past),
            executor_def=dg.in_process_executor,
            description="Screen the past before the first live night as one range: "
            "tag the run zebrawatch/nights: A..B, or all.",
        ),
        dg.define_asset_job(
            REPLAY,
            selection=dg.AssetSelection.assets(*replayed),
            executor_def=dg.in_process_executor,
            description="Replay the past of the configured source in a lake of its own: nights and landmarks are the "
            "configuration of the resource `replay_run`.",
        ),
    )
