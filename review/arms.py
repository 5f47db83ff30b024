"""Whether the two arms disagree about an alert, as far as the reasoning arm has answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from review.chart import judged_answer
from review.episodes import Alert, alerts_on
from review.records import Records, Snapshot
from zebrawatch.reasoning.fusion import SURE_OF_NONE


def disagreements(records: Records, snapshot: Snapshot, night: date) -> dict[str, bool]:
    """For every alert on which the language model answered: whether it says none, or puts another disease first."""
    alerts = alerts_on(snapshot, night)
    answers = records.answers(snapshot, sorted({alert.subject_id for alert in alerts}), night)
    found = {}
    for alert in alerts:
        counting = (row for row in answers.get(alert.subject_id, ()) if row.get("counts") is not False)
        judged = (judged_answer(row) for row in counting)  # a model that is only tried out disagrees with nobody
        newest = next((one for one in judged if one and one.get("consistent") is None), None)
        if newest is not None:
            found[alert.flag_id] = disagree(alert, newest)
    return found


def disagree(alert: Alert, answer: Mapping[str, Any]) -> bool:
    """The model leans to no rare disease, or another disease than the alert's is the first it has a quote for."""
    none = answer.get("no_rare_disease")
    if isinstance(none, (int, float)) and none >= SURE_OF_NONE:
        return True
    supported = [one["resolution"]["disease_id"] for one in answer["diseases"] if one.get("supporting")]
    first = next((disease for disease in supported if disease), None)
    return bool(alert.diseases) and first is not None and first != alert.diseases[0].id
