"""Screen: first suspicions, and the flags that the alert policy raises."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from assets.night_run import NightRun
from zebrawatch.engine import flags as engine
from zebrawatch.schemas import CANDIDATES, FLAGS, LLM_REQUESTS, LLM_RESPONSES, NAMINGS, PATIENTS, SUSPICIONS


def suspicions(run: NightRun) -> dict[str, Any]:
    """When suspicion or diagnosis was first documented, by disease and kind."""
    known = run.table(NAMINGS).where(F.col("known_night") <= F.lit(run.nights.last))
    frame = engine.suspicions(known, run.nights, first_run=run.first_run).withColumn(
        "night_range", F.lit(str(run.nights))
    )
    written = run.keep(run.lake.write_nights(frame, SUSPICIONS, run.nights))
    kinds = run.lake.arrow(SUSPICIONS, ["kind"])["kind"]
    return {
        "rows": written.rows,
        "by_kind": {str(item["values"]): item["counts"] for item in pc.value_counts(kinds).to_pylist()},
    }


def facts(run: NightRun) -> DataFrame:
    """What bars patients from being alerted, by the nights from which it was known."""
    opted_out = run.spark.createDataFrame(pa.table({"subject_id": pa.array(sorted(run.opted_out), pa.int64())}))
    return engine.facts(
        run.table(PATIENTS).where(F.col("known_night") <= F.lit(run.nights.last)),
        run.table(SUSPICIONS),
        opted_out,
        run.configuration.site.timezone,
    )


def flags(run: NightRun) -> dict[str, Any]:
    """Alerts and their episodes."""
    until = F.lit(run.nights.last)
    scores = run.table(CANDIDATES).where(F.col("night") <= until)
    before = run.table(FLAGS).where(F.col("night") < F.lit(run.nights.first))
    folding = engine.Folding(
        run.policies, run.nights, run.first_screened, run.configuration.site.timezone, run.raised_elsewhere,
        run.fusion,
    )  # fmt: skip
    frame = engine.flags(scores, facts(run), before, folding, _answers(run)).withColumn(
        "night_range", F.lit(str(run.nights))
    )
    written = run.keep(run.lake.write_nights(frame, FLAGS, run.nights))
    rows = run.lake.arrow(FLAGS, ["action"], rows=pc.field("night_range") == str(run.nights))
    return {
        "rows": written.rows,
        "by_action": {str(item["values"]): item["counts"] for item in pc.value_counts(rows["action"]).to_pylist()},
    }


def _answers(run: NightRun) -> DataFrame | None:
    """What a language model said of the charts it read, where it counts: `subject_id, night, judged, profile`."""
    counted = run.lake.arrow(LLM_RESPONSES, ["request_key"], rows=pc.field("counts"))
    if not counted.num_rows:
        return None
    profile = F.get_json_object("identity", "$['llm.profile']").alias("profile")
    asked = run.table(LLM_REQUESTS).where("request_key is not null and candidate is null and repeat = 0")
    told = run.table(LLM_RESPONSES).where("counts").select("request_key", "judged", profile)
    return (
        asked.where(F.col("night") <= F.lit(run.nights.last))
        .join(told.dropDuplicates(["request_key"]), "request_key")
        .select("subject_id", "night", "judged", "profile")
    )
