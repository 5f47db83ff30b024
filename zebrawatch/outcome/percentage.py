"""The percentage that a site may show once it has enough confirmed events of its own (OUTCOMES, "Probability").

Until then pages and FHIR resources show a word and a log likelihood ratio. The slope comes from the site's own cases
and controls, the intercept from a stated prevalence; what it was fitted on ends before the month in which it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import exp, log
from typing import Any

import numpy as np
import pandas as pd

from zebrawatch.evidence.calibration import Calibration
from zebrawatch.outcome.calibration import may_show_percentage, stated_and_confirmed

FEWEST_CONTROLS = 20  # Calibration.fit asks for as many


@dataclass(frozen=True)
class Percentage:
    """P(any listed rare disease is confirmed within 24 months), from the screen's P(any).

    `slope` and `offset` act on the log odds above those of `prior`, the ranker's own; `prevalence` is the stated one.
    `n_events` confirmed people and `n_controls` others lie behind it, all known on `fitted_through`.
    """

    slope: float
    offset: float
    prior: float
    prevalence: float
    fitted_through: date
    n_events: int
    n_controls: int

    def of(self, p_any: float, night: date) -> float | None:
        """The percentage, 0 to 100, of a score that stands on a night; None for nights up to `fitted_through`."""
        if night <= self.fitted_through:
            return None
        clipped = min(max(p_any, 1e-9), 1 - 1e-9)
        logit = _log_odds(self.prevalence) + self.offset + self.slope * (_log_odds(clipped) - _log_odds(self.prior))
        return 100 / (1 + exp(-logit)) if logit > -700 else 0.0

    @property
    def words(self) -> str:
        """What it was checked on: `2026-03-31, n = 140`."""
        return f"{self.fitted_through}, n = {self.n_events}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for the run identity."""
        return {**asdict(self), "fitted_through": self.fitted_through.isoformat()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Percentage | None:
        """What `as_json` wrote; None where there is none yet."""
        if not values:
            return None
        return cls(**{**values, "fitted_through": date.fromisoformat(values["fitted_through"])})


def fit_percentage(
    people: pd.DataFrame,
    candidates: pd.DataFrame,
    suspected: Mapping[int, date],
    confirmed: Mapping[int, date],
    first_screened_night: date,
    last_night: date,
    *,
    prior: float,
    prevalence: float,
) -> Percentage | None:
    """Fit on all that was known before the month of `last_night`; None with fewer than 100 confirmed events.

    An event is somebody whose disease was confirmed within 24 months after the landmark: zebrawatch.outcome.calibration
    says who is counted and what the frames hold. `prior` is the ranker's P(any) of an empty chart, `prevalence`
    the stated one.
    """
    through = last_night.replace(day=1) - timedelta(days=1)
    known = {subject: night for subject, night in confirmed.items() if night <= through}
    if not may_show_percentage(len(known)):
        return None
    stated, happened, _ = stated_and_confirmed(
        _as_of(people, through), candidates, suspected, known, first_screened_night
    )
    evidence = np.array([_log_odds(min(max(p, 1e-9), 1 - 1e-9)) - _log_odds(prior) for p in stated])
    came = np.array(happened, np.bool_)
    if not may_show_percentage(int(came.sum())) or int((~came).sum()) < FEWEST_CONTROLS:
        return None
    fitted = Calibration.fit(
        evidence[came], evidence[~came], fitted_through=through, learnt_from="this site's confirmed events"
    )
    return Percentage(fitted.slope, fitted.offset, prior, prevalence, through, fitted.n_cases, fitted.n_controls)


def _as_of(people: pd.DataFrame, through: date) -> pd.DataFrame:
    """Observation as it stood on a night."""

    def cut(night: Any) -> Any:
        return night if pd.isna(night) or pd.Timestamp(night).date() <= through else through

    entered = people[[not pd.isna(one) and pd.Timestamp(one).date() <= through for one in people["entry_night"]]]
    deaths = [
        None if pd.isna(night) or pd.Timestamp(night).date() > through else night for night in entered["death_night"]
    ]
    return entered.assign(
        last_night=[cut(night) for night in entered["last_night"]],
        death_night=pd.Series(deaths, index=entered.index, dtype=object),
    )


def _log_odds(p: float) -> float:
    return log(p / (1 - p))
