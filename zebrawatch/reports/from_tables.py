"""From rows of the lake's tables to the lines of the reports: lateness, quarantine, coverage of the naming set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from zebrawatch.reports.data import Coverage, Lateness, QuarantineReason

LATENESS_COLUMNS = ("resource_type", "event_time", "available_at", "available_grade")
SECONDS_A_DAY = 86_400


def lateness_lines(rows: pd.DataFrame) -> Iterator[Lateness]:
    """Days from `event_time` to `available_at` by resource type, of rows with LATENESS_COLUMNS."""
    days = (rows["available_at"] - rows["event_time"]).dt.total_seconds() / SECONDS_A_DAY
    for kind, group in rows.assign(days=days).groupby("resource_type"):
        late = group["days"].dropna()
        if len(late):
            grades = {str(grade): int(count) for grade, count in group["available_grade"].value_counts().items()}
            yield Lateness(str(kind), len(group), float(late.median()), float(late.quantile(0.9)), grades)


def quarantine_reasons(rows: Iterable[Mapping[str, Any]]) -> Iterator[QuarantineReason]:
    """Lines in quarantine by type and reason, of rows with `resource_type` and `reason`."""
    counts = Counter((row["resource_type"] or "unknown", row["reason"]) for row in rows)
    return (QuarantineReason(kind, reason, lines) for (kind, reason), lines in sorted(counts.items()))


def coverage_lines(coverage: Mapping[str, Any]) -> Iterator[Coverage]:
    """Diseases by class of the naming set; a class without a source counts none ("not assessed")."""
    for name, reached in coverage.items():
        yield Coverage(name, reached if isinstance(reached, int) else None)
