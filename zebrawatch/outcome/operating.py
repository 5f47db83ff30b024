"""The same scores under another threshold: the alerts that the policy would have raised (exploratory).

Only what the scores and facts say is folded again (zebrawatch.screen.alerts.fold), so that every point of the curve of
share against burden is an alert policy somebody could have run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

import pandas as pd

from zebrawatch.nights import NightRange
from zebrawatch.outcome.observation import night_value, observed, records
from zebrawatch.schemas import FLAGS
from zebrawatch.screen.alerts import AlertPolicy, Cause, Facts, NightScore, PatientState, Shown, Span, fold

SCORES = ("subject_id", "night", "rank", "disease_id", "p_any", "cause")


def refold(
    candidates: pd.DataFrame, people: pd.DataFrame, suspected: Mapping[int, date], policy: AlertPolicy,
    nights: NightRange,
) -> pd.DataFrame:  # fmt: skip
    """Rows of schemas.FLAGS as `policy` would have written them over `nights`.

    `candidates`: schemas.CANDIDATES; `people`: everybody who was screened (others get no alert); `suspected`: the night
    of the first suspicion of any kind by patient.
    """
    scores = _scores(candidates, policy.k)
    rows: list[dict[str, Any]] = []
    for person in observed(people):
        mine = [score for score in scores.get(person.subject_id, ()) if score.night in nights]
        if not mine:
            continue
        died = (Span(person.death),) if person.death else ()
        facts = Facts(suspected.get(person.subject_id), died)
        changes, _ = fold(policy, PatientState(person.subject_id), mine, facts, nights, nights.first)
        rows += [change.as_row(str(nights)) for change in changes]
    return pd.DataFrame(rows, columns=FLAGS.schema.names)


def _scores(candidates: pd.DataFrame, k: int) -> dict[int, list[NightScore]]:
    by_night: dict[tuple[int, date], list[Mapping[str, Any]]] = {}
    for row in records(candidates[candidates["rank"] <= k], SCORES):
        night = night_value(row["night"])
        if night is not None:
            by_night.setdefault((int(row["subject_id"]), night), []).append(row)
    found: dict[int, list[NightScore]] = {}
    for (subject, night), rows in sorted(by_night.items()):
        shown = _shown(rows)
        cause = cast(Cause, rows[0]["cause"] if isinstance(rows[0]["cause"], str) else "evidence")
        found.setdefault(subject, []).append(NightScore(night, float(rows[0]["p_any"]), shown, cause))
    return found


def _shown(rows: Sequence[Mapping[str, Any]]) -> tuple[Shown, ...]:
    listed = sorted((int(row["rank"]), str(row["disease_id"])) for row in rows if row["rank"] > 0)
    return tuple(Shown(rank, disease, "", 0.0, 0.0) for rank, disease in listed)
