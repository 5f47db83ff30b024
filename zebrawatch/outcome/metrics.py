"""The names under which figures are kept in MLflow (docs/outcomes.md, "Names of metrics")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from zebrawatch.outcome.summary import Outcome

LONGEST_NAME = 120
NOT_KEPT = frozenset({"by_disease"})
"""Divisions with a cell a disease: thousands of metrics that nobody reads; they stand in figures.json."""


def metrics_of(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """All finite numbers of nested figures, under dotted names.

    A key's other characters become `_`; an interval of two numbers gives `.low` and `.high`; longer names than
    LONGEST_NAME are cut. Truth values count as 0 and 1.
    """
    found: dict[str, float] = {}
    for key, value in figures.items():
        if not prefix and key in NOT_KEPT:
            continue
        name = f"{prefix}{re.sub(r'[^A-Za-z0-9_.-]+', '_', str(key))}"[:LONGEST_NAME]
        if isinstance(value, Mapping):
            found.update(metrics_of(value, f"{name[: LONGEST_NAME - 5]}."))
        elif isinstance(value, (bool, int, float)) and isfinite(value):
            found[name] = float(value)
        elif _is_interval(value):
            short = name[: LONGEST_NAME - 5]
            found[f"{short}.low"], found[f"{short}.high"] = float(value[0]), float(value[1])
    return found


def _is_interval(value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return False
    return all(isinstance(end, (int, float)) and isfinite(end) for end in value)


def curves_of(outcome: Outcome) -> dict[str, list[tuple[int, float]]]:
    """Curves as metrics with steps: by month since screening began or since entry, by threshold in thousandths."""
    curves: dict[str, list[tuple[int, float]]] = {
        "curve.false_alerts_per_1000.by_month": [(one.months, one.per_1000) for one in outcome.false_alerts]
    }
    for name, incidence in outcome.incidence.items():
        months = range(25)
        curves[f"curve.incidence.{name}.by_month"] = [(month, incidence.at(month * 365.25 / 12)) for month in months]
    for metric in ("prioritised_share", "false_alerts_per_1000_12m"):
        points = [(round(1000 * one["threshold"]), one.get(metric)) for one in outcome.figures.get("by_threshold", ())]
        curves[f"curve.{metric}.by_threshold"] = [(step, float(value)) for step, value in points if value is not None]
    return {name: steps for name, steps in curves.items() if steps}
