"""Published figures beside ours: a reference line on other data, with what is unknown about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zebrawatch.reports.figures import DAYS_A_MONTH, burden_words, cases_may_show, number_of, worded


@dataclass(frozen=True)
class ReferenceRow:
    """One measure, ours and theirs in words, and what theirs leaves open."""

    measure: str
    ours: str
    theirs: str
    unknown: str


@dataclass(frozen=True)
class Reference:
    """A published system's figures."""

    name: str
    about: str
    rows: tuple[ReferenceRow, ...]


RADAR_ABOUT = (
    "RaDaR (arXiv 2606.24510), as published, on other data and by definitions that are partly not stated: "
    "a reference line, no comparison."
)


def radar_beside(outcome: Mapping[str, Any], patients: int, floor: int) -> Reference:
    """Our leading figures beside RaDaR's: 61.06% prioritised before documented suspicion, 1.87 months, 50.18%."""
    show = cases_may_show(outcome, floor)

    def ours(key: str, unit: str, per: float = 1.0) -> str:
        value = number_of(outcome, key)
        if value is None:
            return "not measured"
        return f"{worded(value / per, unit)}{'%' if unit == '%' else ' ' + unit}" if show else "hidden"

    rows = (
        ReferenceRow(
            "prioritised before suspicion",
            ours("prioritised_share", "%"),
            "61.06%",
            "how many diseases were shown, cohort size, how suspicion was dated",
        ),
        ReferenceRow(
            "lead, median of those prioritised",
            ours("lead_days_median", "months", DAYS_A_MONTH),
            "1.87 months",
            "whether mean or median, and over which cases: it may belong to the line below",
        ),
        ReferenceRow(
            "lead, mean of all at risk",
            ours("lead_days_mean_unconditional", "months", DAYS_A_MONTH),
            "not stated apart",
            "see above",
        ),
        ReferenceRow(
            "share of the interval",
            ours("interval_share", "%"),
            "50.18%",
            "within one center; whether a ratio of means or a mean of ratios",
        ),
        ReferenceRow(
            "false alerts per 1,000 patients by 12 months",
            burden_words(outcome, patients, floor),
            "not stated",
            "no patients without a rare disease were screened: no alert rate, no PPV",
        ),
    )
    return Reference("RaDaR", RADAR_ABOUT, rows)
