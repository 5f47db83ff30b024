"""Whether a challenger may replace what runs: a preset margin, paired, on nights after it was frozen (OUTCOMES)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.outcome.observation import night_value
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import compare_runs


@dataclass(frozen=True)
class Verdict:
    """`passed`, the reasons where it did not, and the paired differences (zebrawatch.outcome.summary.compare_runs)."""

    passed: bool
    reasons: tuple[str, ...]
    compared: dict[str, Any]


def promotion_gate(champion: pd.DataFrame, challenger: pd.DataFrame, frozen: date, protocol: Protocol) -> Verdict:
    """Judge a challenger by rows of schemas.LEAD_TIME of both runs.

    Only pairs suspected after `frozen` count: on earlier nights the challenger may have been fitted or chosen. It
    passes where the lower bounds of its gains in share and in lead lie above the protocol's margins.
    """
    after = [frame[_later(frame, frozen)] for frame in (champion, challenger)]
    margins = protocol.promotion
    try:
        compared = compare_runs(after[0], after[1], draws=protocol.resampling.draws, seed=protocol.resampling.seed)
    except ValueError:
        return Verdict(False, (f"no pair at risk in both runs was suspected after {frozen}",), {})
    reasons = []
    if compared["pairs"] < margins.minimum_pairs:
        reasons.append(f"{compared['pairs']} pairs are fewer than {margins.minimum_pairs}")
    for name, margin in (("prioritised", margins.share_margin), ("lead_days", margins.lead_margin_days)):
        bounds = compared[name]["ci95"]
        if bounds is None or bounds[0] <= margin:
            reasons.append(f"the lower bound of the gain in {name} is not above {margin:g}")
    return Verdict(not reasons, tuple(reasons), compared)


def _later(rows: pd.DataFrame, frozen: date) -> list[bool]:
    nights = [night_value(value) for value in rows["suspicion_night"]]
    return [night is not None and night > frozen for night in nights]
