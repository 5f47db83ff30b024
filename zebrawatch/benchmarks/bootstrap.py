"""Intervals by resampling whole documents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ROUNDS = 2000


def interval(
    counts: Floats, statistic: Callable[[Floats], Floats], *, seed: int, rounds: int = ROUNDS
) -> tuple[float, float]:
    """95% percentile interval of a statistic of summed counts.

    `counts` has a row a document. `statistic` takes sums of shape (rounds, columns) and gives (rounds,).
    """
    draw = np.random.default_rng(seed)
    weights = draw.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=rounds)
    values = statistic(weights @ counts)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def f1(counts: Floats) -> Floats:
    """F1 of true positives, false positives, false negatives (last axis); 0 where nothing was found or to be found."""
    hit, extra, missed = counts[..., 0], counts[..., 1], counts[..., 2]
    total = 2 * hit + extra + missed
    return np.where(total > 0, 2 * hit / np.maximum(total, 1), 0.0)
