"""Calibration: made probabilities that are right, too sure, or of another population."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.calibration import calibration_curve

from zebrawatch.outcome.calibration import calibration, may_show_percentage, reliability, shift_intercept


def made(n: int = 20000) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(3)
    truth = 1 / (1 + np.exp(-rng.normal(-1, 1.5, n)))
    return truth, rng.random(n) < truth


def test_true_probabilities_are_calibrated() -> None:
    truth, happened = made()
    found = calibration(truth.tolist(), happened.tolist())
    assert found["slope"] == pytest.approx(1, abs=0.05)
    assert found["intercept"] == pytest.approx(0, abs=0.05)
    assert all(one["ci95"].low - 0.02 <= one["stated"] <= one["ci95"].high + 0.02 for one in found["bins"])


def test_over_confidence_shows_as_a_slope_below_one() -> None:
    truth, happened = made()
    odds = np.log(truth / (1 - truth))
    found = calibration((1 / (1 + np.exp(-2 * odds))).tolist(), happened.tolist())
    assert found["slope"] == pytest.approx(0.5, abs=0.03)


def test_the_curve_is_that_of_scikit_learn() -> None:
    truth, happened = made(5000)
    happened_share, stated = calibration_curve(happened, truth, n_bins=10, strategy="quantile")
    ours = reliability(truth, happened.astype(float), 10)
    assert [one.stated for one in ours] == pytest.approx(stated, abs=0.01)
    assert [one.happened for one in ours] == pytest.approx(happened_share, abs=0.01)


def test_a_case_control_probability_moves_to_the_population() -> None:
    """Half cases, likelihood ratio 9: 0.9. At 1 in 1,001 the same evidence gives odds of 9 to 1,000."""
    (moved,) = shift_intercept([0.9], 0.5, 1 / 1001)
    assert moved == pytest.approx(9 / 1009)
    (back,) = shift_intercept([moved], 1 / 1001, 0.5)
    assert back == pytest.approx(0.9)


def test_what_cannot_be_said_is_not_said() -> None:
    found = calibration([0.1, 0.2], [False, False])
    assert (found["slope"], found["auc"], found["brier"]) == (None, None, pytest.approx(0.025))
    assert calibration([], [])["n"] == 0
    assert (may_show_percentage(99), may_show_percentage(100)) == (False, True)
    with pytest.raises(ValueError, match="outside"):
        calibration([1.2], [True])
    with pytest.raises(ValueError, match="prevalence"):
        shift_intercept([0.5], 0, 0.1)
