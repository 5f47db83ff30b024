"""Uncertainty: bootstrap by patient and intervals for proportions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Floats = npt.NDArray[np.float64]

LEVEL = 0.95


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval | None:
    """Wilson's score interval for a proportion (E. B. Wilson, J Am Stat Assoc 1927;22:209); None where n is 0."""
    if n == 0:
        return None
    share, z = hits / n, -float(ndtri((1 - LEVEL) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Interval(min(low, share), max(high, share))  # rounding must not leave the estimate out


def none_seen(exposure: float) -> Interval:
    """Exact interval of a rate at which nothing was seen over an exposure above 0 (any unit): 0 to 3.69 / exposure.

    Where no patient had an event, resampling patients gives 0 to 0, which claims too much. The upper bound is the rate
    at which seeing none has a chance of 2.5% (F. Garwood, Biometrika 1936;28:437).
    """
    return Interval(0.0, -float(np.log((1 - LEVEL) / 2)) / exposure)


def patient_weights(patients: int, draws: int, seed: int) -> Floats:
    """How often each patient is drawn in each resample: (draws, patients), rows sum to `patients`.

    Resampling patients with replacement is a multinomial draw of counts (B. Efron, Ann Stat 1979;7:1).
    """
    rng = np.random.default_rng(seed)
    if patients == 0:
        return np.zeros((draws, 0))
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), size=draws).astype(np.float64)


class Resample:
    """Bootstrap over patients for statistics of rows that belong to them.

    One object holds the same resamples for every statistic of a report, so that differences between figures of one run
    are paired.
    """

    def __init__(self, patients: Sequence[Hashable], *, draws: int = 2000, seed: int = 7) -> None:
        self._place = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
        self._weights = patient_weights(len(self._place), draws, seed)
        self._weights.flags.writeable = False
        self.draws = draws

    def weights(self, owners: Sequence[Hashable]) -> Floats:
        """Weights of rows owned by `owners`: (draws, rows). KeyError for an owner that was not named at the start."""
        places = np.fromiter((self._place[owner] for owner in owners), np.int64, len(owners))
        if np.array_equal(places, np.arange(len(self._place))):
            return self._weights  # everybody, in order: no copy
        return self._weights[:, places]

    def sums(self, values: Floats, owners: Sequence[Hashable]) -> Floats:
        """The sum of `values` (rows) in each resample: (draws,)."""
        held = np.flatnonzero(values)  # most patients of a hospital have no alert: their zeros are not multiplied
        return self.weights([owners[row] for row in held.tolist()]) @ values[held]

    def ratio(self, numerator: Floats, denominator: Floats, owners: Sequence[Hashable]) -> Interval | None:
        """Percentile interval of sum(numerator) / sum(denominator); None where it has no value."""
        return percentile(safe_ratio(self.sums(numerator, owners), self.sums(denominator, owners)))

    def mean(self, values: Floats, owners: Sequence[Hashable]) -> Interval | None:
        """Percentile interval of the mean of `values`."""
        return self.ratio(values, np.ones_like(values), owners)

    def of(self, statistic: Callable[[Floats], Floats], owners: Sequence[Hashable]) -> Interval | None:
        """Percentile interval of any statistic that makes of row weights (draws, rows) a value a draw."""
        return percentile(statistic(self.weights(owners)))


def safe_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, NaN where the denominator is 0."""
    return np.divide(
        numerator, denominator, out=np.full_like(numerator, np.nan, dtype=np.float64), where=denominator > 0
    )


def percentile(values: Floats) -> Interval | None:
    """The middle 95% of bootstrap values, those without a value left out; None where none has one."""
    held = values[np.isfinite(values)]
    if held.size == 0:
        return None
    low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """The median of `values` (rows) counted `weights` (draws, rows) times, a value a draw; NaN where all weights are 0.

    Where half of the weight ends with a value, the median lies midway between it and the next one that weighs.
    """
    if values.size == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    total = np.cumsum(weights[:, order], axis=1)
    half = total[:, -1:] / 2
    place = np.argmax(total >= half, axis=1)
    ends_there = np.isclose(np.take_along_axis(total, place[:, None], axis=1), half)[:, 0]
    following = np.argmax(total > half, axis=1)
    median = np.where(ends_there, (ascending[place] + ascending[following]) / 2, ascending[place])
    return np.where(half[:, 0] > 0, median, np.nan)
