"""The same scores under another threshold: the alerts that the policy would have raised (exploratory).

Only what the scores and facts say is folded again (zebrawatch.screen.alerts.fold), so that every point of the curve of
share against burden is an alert policy somebody could have run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.nights import NightRange
from zebrawatch.outcome.observation import night_value, observed, records
from zebrawatch.schemas import FLAGS
from zebrawatch.screen.alerts import (
    SCORE_COLUMNS,
    AlertPolicy,
    Facts,
    NightScore,
    PatientState,
    Span,
    fold,
    scores_of,
)


class Refolding:
    """Everybody's stored scores, ready to be folded under any policy.

    `candidates`: zebrawatch.screen.alerts.SCORE_COLUMNS; `people`: everybody who was screened (others get no alert);
    `suspected`: the night of the first suspicion of any kind by patient; `k`: how many ranked diseases are read.
    """

    def __init__(
        self, candidates: pd.DataFrame, people: pd.DataFrame, suspected: Mapping[int, date], k: int, nights: NightRange
    ) -> None:
        self.nights = nights
        self._facts = {
            person.subject_id: Facts(suspected.get(person.subject_id), (Span(person.death),) if person.death else ())
            for person in observed(people)
        }
        self._scores = {
            subject: mine
            for subject, scores in _scores(candidates[candidates["rank"] <= k]).items()
            if subject in self._facts and (mine := [score for score in scores if score.night in nights])
        }

    def flags(self, policy: AlertPolicy) -> pd.DataFrame:
        """Rows of schemas.FLAGS as `policy` would have written them."""
        rows: list[dict[str, Any]] = []
        for subject, scores in self._scores.items():
            if max(score.p_any for score in scores) < policy.threshold:
                continue
            state, facts = PatientState(subject), self._facts[subject]
            changes, _ = fold(policy, state, scores, facts, self.nights, self.nights.first)
            rows += [change.as_row(str(self.nights)) for change in changes]
        return pd.DataFrame(rows, columns=FLAGS.schema.names)

    def thresholds(self, policy: AlertPolicy) -> list[float]:
        """Every threshold above 0 at which another patient joins the alerted, in ascending order."""
        highest = {max(policy.judged(score).p_any for score in scores) for scores in self._scores.values()}
        return sorted(value for value in highest if value > 0)


def _scores(candidates: pd.DataFrame) -> dict[int, list[NightScore]]:
    by_subject: dict[int, list[dict[str, Any]]] = {}
    for row in records(candidates, SCORE_COLUMNS):
        row["night"] = night_value(row["night"])
        by_subject.setdefault(int(row["subject_id"]), []).append(row)
    return {subject: scores_of(rows) for subject, rows in sorted(by_subject.items())}
