"""Nothing learnt from a night's future judges that night: background, calibration, fusion."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assets import evidence
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.calibration import Calibration
from zebrawatch.learnt import Learnt, LearntError, refuse_later
from zebrawatch.nights import NightRange
from zebrawatch.reasoning.fusion import FittedFusion

FIRST, LAST = date(2025, 2, 10), date(2025, 3, 20)
FEBRUARY = Background("background@2025-02", date(2025, 1, 31), 5, np.zeros(3), "k")
MARCH = replace(FEBRUARY, version="background@2025-03", fitted_through=date(2025, 2, 28))
FUSION = FittedFusion("p", 0.0, 1.0, 1.0, 0.0, date(2025, 2, 9), 100, "simulated reader")


def run(**changed: Any) -> Any:
    """A run over FIRST..LAST, as far as `candidates` looks at it before it scores."""
    facts = {
        "nights": NightRange(FIRST, LAST),
        "backgrounds": {"2025-02": FEBRUARY, "2025-03": MARCH},
        "fusion": FUSION,
    }
    return SimpleNamespace(**{**facts, **changed})


def test_what_was_learnt_before_a_night_may_judge_it() -> None:
    refuse_later(evidence.learnt_of(run()))
    refuse_later([Learnt("a ranker without records", date.min, FIRST)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"backgrounds": {"2025-02": FEBRUARY, "2025-03": replace(MARCH, fitted_through=date(2025, 3, 1))}},
            r"The background background@2025-03 was learnt from records through 2025-03-01: night 2025-03-01 may not",
        ),
        (
            {"backgrounds": {"2025-02": replace(FEBRUARY, fitted_through=FIRST)}},
            r"background@2025-02 .* through 2025-02-10: night 2025-02-10 may not",
        ),
        ({"fusion": replace(FUSION, fitted_through=FIRST)}, "The fitted fusion was learnt"),
    ],
)
def test_what_was_learnt_later_stops_the_run_before_a_score(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(LearntError, match=said):
        evidence.candidates(run(**changed))


def test_a_calibration_of_later_records_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "DEFAULT_CALIBRATION", Calibration(1.0, 0.0, FIRST, "real"))
    with pytest.raises(LearntError, match=r"The calibration of P\(any\) was learnt"):
        evidence.candidates(run())
