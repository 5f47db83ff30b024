"""The background: counts go up the ontology, months end the night before they begin, broken files are refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from knowledge_samples import whole_knowledge

from zebrawatch.evidence.background import Background, BackgroundError, nights_of_month
from zebrawatch.evidence.calibration import Calibration, area, brier, reliability


def test_an_ancestor_has_at_least_as_many_patients() -> None:
    knowledge = whole_knowledge()
    background = Background.from_counts(knowledge, "2025-05", 100, {"HP:0002069": 7, "HP:0001275": 3})
    seizure = knowledge.term_index("HP:0001250")
    assert seizure is not None and background.counts[seizure] == 7
    assert background.version == "background@2025-05"
    assert background.fitted_through == date(2025, 4, 30)
    half = np.full(len(knowledge.terms), 0.5)
    asked = {"patients": 100.0, "floor": 1e-5}
    assert background.probability(half, known=50.0, **asked)[seizure] == pytest.approx((7 + 50) / 200)
    # worth two patients with the finding at most: four patients in all
    assert background.probability(half, known=2.0, **asked)[seizure] == pytest.approx((7 + 2) / 104)
    assert background.probability(half, known=2.0, without=1, **asked)[seizure] == pytest.approx((6 + 2) / 103)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    knowledge = whole_knowledge()
    background = Background.from_counts(knowledge, "2025-05", 100, {"HP:0002069": 7})
    background.save(tmp_path / "b.json")
    again = Background.load(tmp_path / "b.json")
    assert (again.version, again.fitted_through, again.n_patients) == ("background@2025-05", date(2025, 4, 30), 100)
    np.testing.assert_array_equal(again.counts, background.counts)
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(BackgroundError, match="make it again"):
        Background.load(tmp_path / "b.json")


@pytest.mark.parametrize(("month", "counts"), [("2025-13", {}), ("May", {}), ("2025-05", {"HP:0001250": 101})])
def test_wrong_input_is_refused(month: str, counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"month|found in"):
        Background.from_counts(whole_knowledge(), month, 100, counts)


def test_a_month_has_its_nights() -> None:
    assert nights_of_month("2024-02") == (date(2024, 2, 1), date(2024, 2, 29))


def test_calibration_finds_slope_and_leaves_the_share_of_cases_out() -> None:
    rng = np.random.default_rng(1)
    cases, controls = rng.normal(2, 1, 4000), rng.normal(0, 1, 1000)
    fitted = Calibration.fit(cases, controls, fitted_through=date(2025, 4, 30), learnt_from="made")
    assert fitted.slope == pytest.approx(2, abs=0.2)  # two normals: log ratio 2x - 2
    assert fitted.offset == pytest.approx(-2, abs=0.3)
    assert fitted.probability(1.0, 0.01) == pytest.approx(0.01, abs=0.003)
    assert Calibration.none().probability(0.0, 0.002) == pytest.approx(0.002)
    with pytest.raises(ValueError, match="at least 20"):
        Calibration.fit(cases[:5], controls, fitted_through=date.min, learnt_from="made")


def test_area_brier_and_reliability() -> None:
    assert area(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert area(np.array([1.0]), np.array([1.0])) == 0.5
    truth = np.array([True, False])
    assert brier(np.array([1.0, 0.0]), truth) == 0.0
    assert reliability(np.array([0.9, 0.1]), truth, 2) == [(0.1, 0.0, 1), (0.9, 1.0, 1)]
