"""Jobs: the screen of one night or a range of live nights, and the screen of the past as one range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

SCREEN = "screen"
SCREEN_PAST = "screen_past"


def jobs_of(
    live: Sequence[dg.AssetsDefinition], past: Sequence[dg.AssetsDefinition], partitions: dg.PartitionsDefinition[str]
) -> tuple[Any, Any]:
    """(`screen`, partitioned by night; `screen_past`, one range named by the tag zebrawatch/nights).

    Both run in one process, since every process would start a Spark of its own.
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
    )
