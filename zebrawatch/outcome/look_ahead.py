"""Knowledge look-ahead: what the annotations and models knew that nobody could have known at a patient's suspicion.

A replay of the past reads today's annotations. Where a disease was first annotated after the suspicion, the lead is one
nobody could have had (OUTCOMES, "The proof"); where a model was trained on text from after it, likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.outcome.intervals import wilson
from zebrawatch.outcome.observation import night_value, records


def knowledge_look_ahead(
    at_risk: pd.DataFrame, curated: Mapping[str, date], cutoffs: Mapping[str, date] | None = None
) -> dict[str, Any]:
    """Shares of at-risk pairs whose suspicion lies before what the screen read.

    `at_risk`: LEAD_TIME rows. `curated`: day of the first curation, by every id of a disease; a disease without one
    (Orphanet gives none) is undated and counted apart. `cutoffs`: by name of a release or model, the last day of its
    data; for each the share of pairs suspected on or before that day, whom it may have read about. Shares with Wilson's
    interval; None where there is no pair to take them of. `prioritised_after`: prioritised pairs among the first share.
    """
    rows = [
        (night_value(row["suspicion_night"]), str(row["disease_id"]), row["prioritised"] is True)
        for row in records(at_risk, ("suspicion_night", "disease_id", "prioritised"))
    ]
    known = [(night, disease, hit) for night, disease, hit in rows if night is not None]
    dated = [(night, curated[disease], hit) for night, disease, hit in known if disease in curated]
    after = [hit for night, day, hit in dated if day > night]
    return {
        "n": len(known),
        "dated": len(dated),
        "undated": len(known) - len(dated),
        "curated_after_suspicion": _share(len(after), len(dated)),
        "prioritised_after": sum(after),
        "suspected_before_cutoff": {
            name: {"cutoff": day, **_share(sum(night <= day for night, _, _ in known), len(known))}
            for name, day in sorted((cutoffs or {}).items())
        },
    }


def _share(count: int, n: int) -> dict[str, Any]:
    return {"count": count, "share": count / n if n else None, "ci95": wilson(count, n) if n else None}
