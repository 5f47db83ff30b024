"""The percentage: none below 100 confirmed events of the site's own, a calibrated one from there on."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from zebrawatch.outcome.observation import PEOPLE_COLUMNS
from zebrawatch.outcome.percentage import Percentage, fit_percentage
from zebrawatch.reports.risk import percent

ENTRY = date(2020, 1, 1)
LAST = date(2025, 6, 20)
PRIOR = 1 / 500


def hospital(cases: int, controls: int, confirmed_on: date = date(2022, 3, 1)) -> tuple[pd.DataFrame, ...]:
    """Cases score higher on average; everybody is followed to the end."""
    rng = np.random.default_rng(5)
    n = cases + controls
    evidence = np.concatenate([rng.normal(2.0, 1.0, cases), rng.normal(0.0, 1.0, controls)])
    odds = PRIOR / (1 - PRIOR) * np.exp(2 * evidence)  # the screen claims twice too much
    people = pd.DataFrame(
        [(subject, ENTRY, LAST, None, "female", None) for subject in range(n)], columns=list(PEOPLE_COLUMNS)
    )
    scores = pd.DataFrame({"subject_id": range(n), "night": ENTRY, "p_any": odds / (1 + odds)})
    confirmed = pd.DataFrame({"subject_id": range(cases), "night": confirmed_on})
    return people, scores, confirmed


def fitted(cases: int, controls: int = 2000, last: date = LAST, **more: date) -> Percentage | None:
    people, scores, confirmed = hospital(cases, controls, **more)
    known = dict(zip(confirmed["subject_id"], confirmed["night"], strict=True))
    return fit_percentage(people, scores, {}, known, ENTRY, last, prior=PRIOR, prevalence=PRIOR)


def test_ninety_nine_confirmed_events_are_too_few() -> None:
    assert fitted(99) is None
    found = fitted(100)
    assert found is not None and (found.n_events, found.n_controls) == (100, 2000)


def test_the_slope_is_the_sites_and_the_level_the_stated_prevalence() -> None:
    """Log odds of a case are 2 x evidence - 2 (two normals, 2 apart), and the screen claims 2 x evidence."""
    found = fitted(2000, 20000)
    assert found is not None
    assert found.slope == pytest.approx(1.0, abs=0.07)
    assert found.offset == pytest.approx(-2.0, abs=0.15)
    even = found.of(PRIOR / (1 - PRIOR) * np.e**2 / (1 + PRIOR / (1 - PRIOR) * np.e**2), date(2025, 6, 1))
    assert even == pytest.approx(100 * PRIOR, rel=0.1)


def test_only_what_was_known_before_the_month_counts() -> None:
    found = fitted(150)
    assert found is not None and found.fitted_through == date(2025, 5, 31)
    assert found.of(0.5, date(2025, 5, 31)) is None and found.of(0.5, date(2025, 6, 1)) is not None
    assert fitted(150, confirmed_on=date(2021, 12, 15), last=date(2021, 12, 31)) is None, "confirmed this month"
    assert fitted(150, confirmed_on=date(2021, 12, 15), last=date(2022, 1, 1)) is None, "nobody is followed 24 months"


def test_it_survives_the_run_identity_and_is_never_a_certainty() -> None:
    found = fitted(100)
    assert found is not None and Percentage.from_json(found.as_json()) == found
    assert Percentage.from_json(None) is None
    assert [percent(one) for one in (0.01, 0.123, 4.56, 37.8, 99.7)] == ["< 0.1 %", "0.12 %", "4.6 %", "38 %", "> 99 %"]
    assert found.of(1.0, LAST + timedelta(days=1)) is not None
