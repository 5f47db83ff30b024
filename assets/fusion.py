"""The fitted fusion of the two arms: learnt from a finished replay with labels, and kept in its lake."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc

from assets.replay import Corner
from connectors import knowledge_files
from connectors.lake import Lake
from zebrawatch.outcome.matching import Matcher
from zebrawatch.reasoning.fusion import FittedFusion, FusionError
from zebrawatch.reasoning.labelled import LIST_COLUMNS, PAIR_COLUMNS, Reading, labelled_pairs
from zebrawatch.schemas import CANDIDATES, LEAD_TIME, LLM_REQUESTS, LLM_RESPONSES

FOLDER = "fusion"


def fit(corner: Corner) -> tuple[FittedFusion, Path]:
    """Fit on a finished replay's labelled pairs, and keep the fusion in the replay's lake.

    FusionError where no model's answers count in the replay, where several models answered, or with too few pairs.
    """
    lake = Lake.open(corner.folder)
    counted = lake.arrow(LLM_RESPONSES, ["request_key", "judged", "identity"], rows=pc.field("counts")).to_pylist()
    profiles = {json.loads(row["identity"])["llm.profile"] for row in counted}
    if len(profiles) != 1:
        raise FusionError(
            "A fusion is fitted to what one model read, and in this replay "
            + (f"{len(profiles)} models answered." if profiles else "no model's answers count.")
        )
    judged = {row["request_key"]: row["judged"] for row in counted}
    asked = lake.arrow(LLM_REQUESTS, ["subject_id", "night", "request_key", "candidate", "repeat"]).to_pylist()
    readings = [
        Reading(row["subject_id"], row["night"], judged[row["request_key"]])
        for row in asked
        if row["request_key"] in judged and row["candidate"] is None and not row["repeat"]
    ]
    ours = pc.field("subject_id").isin([one.subject_id for one in readings])
    files = knowledge_files.knowledge_files(corner.configuration.knowledge.folder)
    matcher = Matcher(knowledge_files.compiled(files, lake.knowledge)[0])
    pairs = labelled_pairs(
        lake.arrow(LEAD_TIME, list(PAIR_COLUMNS), rows=pc.field("label_source") == "labels").to_pylist(),
        readings,
        lake.arrow(CANDIDATES, list(LIST_COLUMNS), rows=ours).to_pylist(),
        lambda one, other: matcher.tier(one, other) == "exact",
    )
    last = lake.nights()[-1].night
    kind = str(lake.about().get("data_kind", "real"))
    fusion = FittedFusion.fit(pairs, profile=profiles.pop(), learnt_from=kind, known_through=last)
    folder = lake.root / FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    place = folder / f"{fusion.version}.json"
    place.write_text(json.dumps(fusion.to_json(), indent=1) + "\n")
    return fusion, place
