"""Calibration: whether stated probabilities came true, and when a page may show one at all (OUTCOMES, "Probability").

P = probability that a listed disease is confirmed within 24 months, given what is known by t, in the screened
population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from zebrawatch.outcome.intervals import Interval, wilson
from zebrawatch.outcome.observation import night_value, observed, records

Floats = npt.NDArray[np.float64]

ENOUGH_EVENTS = 100
"""Confirmed events of a site's own before a percentage may be shown (OUTCOMES)."""
CONFIRMED_WITHIN_DAYS = 730
LANDMARK = 365
"""Days after entry at which stated probabilities are read."""
_EDGE = 1e-9


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability picture."""

    n: int
    stated: float
    happened: float
    ci95: Interval | None


def calibration(stated: Sequence[float], happened: Sequence[bool], *, bins: int = 10) -> dict[str, Any]:
    """Brier score, discrimination, calibration in the large, slope, and a reliability curve of equally filled bins.

    Brier: G. W. Brier, Mon Weather Rev 1950;78:1. Intercept and slope: D. R. Cox, Biometrika 1958;45:562: the intercept
    of a logistic model with the stated log odds as offset, the slope of one with them as its only term; 0 and 1 are
    perfect. `stated` in [0, 1]; ValueError where lengths differ. Slope, intercept and AUC are None where nothing or
    everything happened.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score  # takes seconds

    p, y = np.asarray(stated, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    if p.shape != y.shape:
        raise ValueError("stated probabilities and outcomes must have the same length")
    if p.size and (p.min() < 0 or p.max() > 1 or np.isnan(p).any()):
        raise ValueError("a stated probability lies outside 0 to 1")
    both = 0 < y.sum() < y.size
    intercept, slope = _cox(p, y) if both else (None, None)
    return {
        "n": int(p.size),
        "events": int(y.sum()),
        "brier": float(brier_score_loss(y, p)) if p.size else None,
        "auc": float(roc_auc_score(y, p)) if both else None,
        "stated_mean": float(p.mean()) if p.size else None,
        "happened_mean": float(y.mean()) if p.size else None,
        "intercept": intercept,
        "slope": slope,
        "bins": [vars(one) for one in reliability(p, y, bins)],
    }


def reliability(stated: Floats, happened: Floats, bins: int) -> list[Bin]:
    """Bins of equally many, in order of the stated probability; ties may make them unequal."""
    order = np.argsort(stated, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    return [
        Bin(
            int(part.size),
            float(stated[part].mean()),
            float(happened[part].mean()),
            wilson(int(happened[part].sum()), int(part.size)),
        )
        for part in parts
    ]


def shift_intercept(stated: Sequence[float], from_prevalence: float, to_prevalence: float) -> Floats:
    """Probabilities learnt at one prevalence, moved to another by Bayes' rule on the odds.

    Case-control data fit the slope only; the intercept comes from a stated prevalence (R. L. Prentice, R. Pyke,
    Biometrika 1979;66:403). ValueError where a prevalence is not between 0 and 1.
    """
    for prevalence in (from_prevalence, to_prevalence):
        if not 0 < prevalence < 1:
            raise ValueError("a prevalence must lie between 0 and 1")
    move = _log_odds(np.array([to_prevalence])) - _log_odds(np.array([from_prevalence]))
    moved: Floats = 1 / (1 + np.exp(-(_log_odds(np.asarray(stated, dtype=np.float64)) + move)))
    return moved


def stated_and_confirmed(
    people: pd.DataFrame, candidates: pd.DataFrame, suspected: Mapping[int, date], confirmed: Mapping[int, date],
    first_screened_night: date,
) -> tuple[list[float], list[bool], int]:  # fmt: skip
    """What was stated LANDMARK days after entry, whether it was confirmed within 24 months, and how many are censored.

    Over everybody then alive, observed, unsuspected and scored. Somebody not confirmed and followed for less than 24
    months is counted as censored and left out. `candidates`: schemas.CANDIDATES; of them `p_any`, P(any listed rare
    disease), standing on that night.
    """
    scores: dict[int, dict[date, float]] = {}
    for row in records(candidates, ("subject_id", "night", "p_any")):
        night = night_value(row["night"])
        if night is not None:
            scores.setdefault(int(row["subject_id"]), {})[night] = float(row["p_any"])
    stated, happened, censored = [], [], 0
    for person in observed(people):
        subject, at = person.subject_id, max(person.entry, first_screened_night) + timedelta(days=LANDMARK)
        known = [night for night in scores.get(subject, ()) if night <= at]
        gone = [night for night in (person.death, suspected.get(subject)) if night is not None and night <= at]
        if not known or gone or person.last < at:
            continue
        until = at + timedelta(days=CONFIRMED_WITHIN_DAYS)
        came_true = subject in confirmed and confirmed[subject] <= until
        if not came_true and person.last < until and person.death is None:
            censored += 1
            continue
        stated.append(scores[subject][max(known)])
        happened.append(came_true)
    return stated, happened, censored


def may_show_percentage(confirmed_events: int) -> bool:
    """Whether a site has enough confirmed events of its own for pages and FHIR resources to show a percentage."""
    return confirmed_events >= ENOUGH_EVENTS


def _log_odds(p: Floats) -> Floats:
    clipped = np.clip(p, _EDGE, 1 - _EDGE)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def _cox(p: Floats, y: Floats) -> tuple[float | None, float | None]:
    import statsmodels.api as sm  # takes seconds

    odds = _log_odds(p)
    family = sm.families.Binomial()
    intercept = sm.GLM(y, np.ones((y.size, 1)), family=family, offset=odds).fit().params[0]
    if np.ptp(odds) == 0:
        return float(intercept), None
    slope = sm.GLM(y, sm.add_constant(odds), family=family).fit().params[1]
    return float(intercept), float(slope)
