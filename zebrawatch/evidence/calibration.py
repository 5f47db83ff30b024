"""Probability that means something: slope from cases and controls, intercept from a stated prevalence (OUTCOMES).

The ranker's evidence for "any listed rare disease" is a log ratio of sums over hypotheses; findings hang together, so
it claims too much. A logistic fit on cases against controls gives slope and offset; the share of cases in that fit is
taken out again, and a stated prevalence comes in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import exp, log

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Learnt slope and offset on the ranker's evidence, with the last night its data rest on."""

    slope: float
    offset: float
    fitted_through: date
    """A replay refuses it for nights up to this one; `date.min` where no hospital's record was used."""
    learnt_from: str
    n_cases: int = 0
    n_controls: int = 0

    @classmethod
    def none(cls) -> Calibration:
        """Bayes' rule as it is."""
        return cls(1.0, 0.0, date.min, "nothing")

    @classmethod
    def fit(cls, cases: FloatArray, controls: FloatArray, *, fitted_through: date, learnt_from: str) -> Calibration:
        """Logistic regression of case against control on the evidence (Newton's method, slope kept at 0 or above).

        The offset takes the cases' share in the sample out again, so that with evidence from the controls' distribution
        the ratio speaks about the population. ValueError with fewer than 20 of either.
        """
        if min(len(cases), len(controls)) < 20:
            raise ValueError("a calibration needs at least 20 cases and 20 controls")
        x = np.concatenate([cases, controls])
        y = np.concatenate([np.ones(len(cases)), np.zeros(len(controls))])
        centre, scale = float(x.mean()), float(x.std()) or 1.0
        design = np.stack([np.ones(len(x)), (x - centre) / scale], axis=1)
        weights = np.zeros(2)
        for _ in range(50):
            p = 1 / (1 + np.exp(-design @ weights))
            gradient = design.T @ (y - p) - 1e-6 * weights
            hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
            step = np.linalg.solve(hessian, gradient)
            weights = weights + step
            if float(np.abs(step).max()) < 1e-10:
                break
        slope = max(0.0, float(weights[1])) / scale
        intercept = float(weights[0]) - slope * centre
        offset = intercept - log(len(cases) / len(controls))
        return cls(slope, offset, fitted_through, learnt_from, len(cases), len(controls))

    def probability(self, evidence: float, prevalence: float) -> float:
        """P(any listed rare disease) from the evidence, at a stated prevalence."""
        logit = log(prevalence / (1 - prevalence)) + self.offset + self.slope * evidence
        return 1 / (1 + exp(-logit)) if logit > -700 else 0.0


def brier(probability: FloatArray, truth: NDArray[np.bool_]) -> float:
    """Mean squared difference between probability and truth."""
    return float(np.mean((probability - truth) ** 2))


def reliability(probability: FloatArray, truth: NDArray[np.bool_], bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean probability, share true, n) of equally filled bins, in ascending order."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[part].mean()), float(truth[part].mean()), len(part))
        for part in np.array_split(order, bins)
        if len(part)
    ]


def area(cases: FloatArray, controls: FloatArray) -> float:
    """Area under the ROC curve: chance that a case scores above a control, ties half."""
    ordered = np.sort(controls)
    below = np.searchsorted(ordered, cases, side="left")
    upto = np.searchsorted(ordered, cases, side="right")
    return float((below + upto).mean() / 2 / max(1, len(controls)))
