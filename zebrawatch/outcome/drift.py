"""Drift watch: do the last weeks still look like the months before? (Counts per exposure, over nights.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt

RECENT_NIGHTS, BASELINE_NIGHTS = 28, 182
LIMIT = 3.0
"""Standard errors: the control limits of W. A. Shewhart's charts (Economic Control of Quality, 1931)."""
LEAST_CHANGE = 0.25
"""A change smaller than this is not worth a warning, however sure it is."""
LEAST_RECENT = 5.0
"""Events counted or expected in the recent nights below which nothing is said."""

Counts = Mapping[date, float]


@dataclass(frozen=True)
class Drift:
    """A rate in the last RECENT_NIGHTS nights beside the BASELINE_NIGHTS before; `z` None where too little happened."""

    name: str
    recent: float | None
    baseline: float | None
    z: float | None

    @property
    def drifts(self) -> bool:
        """Whether the change is both surer than LIMIT and larger than LEAST_CHANGE."""
        if self.z is None or self.baseline is None or self.recent is None:
            return False
        return abs(self.z) > LIMIT and abs(self.recent - self.baseline) > LEAST_CHANGE * self.baseline


def drift(name: str, counts: Counts, exposure: Counts, last: date) -> Drift:
    """Compare the rates `counts` / `exposure` of the nights up to `last`.

    z = (r1 - r0) / sqrt(f r (1/e1 + 1/e0)) with the pooled rate r, as for two Poisson rates (D. R. Cox, P. A. W. Lewis,
    Statistical Analysis of Series of Events, 1966, ch. 9); f >= 1 is how much more the baseline's weeks scatter than
    Poisson counts would (Pearson's chi-square over its degrees of freedom; P. McCullagh, J. A. Nelder, 1989, 4.5).
    """
    began = last - timedelta(days=RECENT_NIGHTS)
    recent = _sums(counts, exposure, began, last)
    baseline = _sums(counts, exposure, began - timedelta(days=BASELINE_NIGHTS), began)
    if not recent[1] or not baseline[1]:
        return Drift(name, None, None, None)
    rates = recent[0] / recent[1], baseline[0] / baseline[1]
    if max(recent[0], rates[1] * recent[1]) < LEAST_RECENT:
        return Drift(name, *rates, None)
    pooled = (recent[0] + baseline[0]) / (recent[1] + baseline[1])
    scatter = _scatter(counts, exposure, began, rates[1])
    return Drift(name, *rates, (rates[0] - rates[1]) / sqrt(scatter * pooled * (1 / recent[1] + 1 / baseline[1])))


def _sums(counts: Counts, exposure: Counts, after: date, through: date) -> tuple[float, float]:
    return (
        sum(value for night, value in counts.items() if after < night <= through),
        sum(value for night, value in exposure.items() if after < night <= through),
    )


def _scatter(counts: Counts, exposure: Counts, until: date, rate: float) -> float:
    chi, weeks = 0.0, 0
    for week in range(BASELINE_NIGHTS // 7):
        through = until - timedelta(days=7 * week)
        count, exposed = _sums(counts, exposure, through - timedelta(days=7), through)
        if exposed and rate:
            chi += (count - rate * exposed) ** 2 / (rate * exposed)
            weeks += 1
    return max(1.0, chi / (weeks - 1)) if weeks > 1 else 1.0
