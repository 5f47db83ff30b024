"""Whether the two arms disagree about an alert, as far as the reasoning arm has answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from review.episodes import Alert, alerts_on
from review.records import Records, Row, Snapshot

SURE_OF_NONE = 0.5


def disagreements(records: Records, snapshot: Snapshot, night: date) -> dict[str, bool]:
    """For every alert on which the language model answered: whether it says none, or puts another disease first."""
    alerts = alerts_on(snapshot, night)
    answers = records.answers(snapshot, sorted({alert.subject_id for alert in alerts}), night)
    found = {}
    for alert in alerts:
        content = newest_answer(answers.get(alert.subject_id, ()))
        if content is not None:
            found[alert.flag_id] = disagree(alert, content, records)
    return found


def newest_answer(answers: Sequence[Row]) -> Mapping[str, Any] | None:
    """The newest accepted differential of a patient's answers (newest first); None where there is none."""
    for row in answers:
        if row.get("verdict") not in (None, "accepted"):
            continue
        try:
            content = json.loads(row["content"] or "")
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("differential"), list):
            return content
    return None


def disagree(alert: Alert, content: Mapping[str, Any], records: Records) -> bool:
    """The model leans to no rare disease, or none of the diseases shown is the one it puts first."""
    none = content.get("no_rare_disease_probability")
    if isinstance(none, (int, float)) and none >= SURE_OF_NONE:
        return True
    named = [str(one.get("disease", "")).casefold() for one in content["differential"] if isinstance(one, dict)]
    if not named:
        return bool(alert.diseases)
    return bool(alert.diseases) and named[0] not in records.names_of(alert.diseases[0].id)
