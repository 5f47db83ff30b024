"""From the outcome's rows to what the summary shows: case lines, burden classes, the flow of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.outcome.burden import CLASSES, Classified
from zebrawatch.outcome.observation import night_value, records
from zebrawatch.outcome.summary import Outcome
from zebrawatch.reports.data import BurdenClass, BurdenPoint, CaseLine, FlowStep

_NIGHTS = ("entry_night", "suspicion_night", "sustained_raise_night", "first_raise_night", "confirmed_night")


def case_lines(lead_time: pd.DataFrame, label_source: str) -> tuple[CaseLine, ...]:
    """A line per at-risk pair of one label source (schemas.LEAD_TIME), in days relative to suspicion.

    Numbered by their own days, so that neither number nor order tells which patient it is.
    """
    chosen = lead_time[(lead_time["pair_class"] == "at risk") & (lead_time["label_source"] == label_source)]
    lines = []
    for row in records(chosen, _NIGHTS):
        entry, suspicion, sustained, first, confirmed = (night_value(row[name]) for name in _NIGHTS)
        if entry is not None and suspicion is not None:
            after = (_days(night, suspicion) for night in (sustained, first, confirmed))
            lines.append(CaseLine(0, (entry - suspicion).days, *after))
    ordered = sorted(lines, key=_by_days)
    return tuple(replace(line, order=order) for order, line in enumerate(ordered, start=1))


def _by_days(line: CaseLine) -> list[tuple[bool, int]]:
    return [(days is None, days or 0) for days in (line.entry, line.sustained, line.first, line.confirmed)]


def _days(night: date | None, suspicion: date) -> int | None:
    return None if night is None else (night - suspicion).days


def burden_classes(classified: Sequence[Classified]) -> tuple[BurdenClass, ...]:
    """Episodes and their patients by class, the first night's backlog left out, classes without any included."""
    new = [one for one in classified if not one.episode.backlog]
    episodes = Counter(one.episode_class for one in new)
    patients = Counter(name for name, _ in {(one.episode_class, one.episode.subject_id) for one in new})
    return tuple(BurdenClass(name, episodes[name], patients[name]) for name in CLASSES)


def burden_points(outcome: Outcome) -> tuple[BurdenPoint, ...]:
    """Cumulative false alerts by month since screening began."""
    return tuple(BurdenPoint(float(one.months), one.per_1000, one.low, one.high) for one in outcome.false_alerts)


def incidence_points(outcome: Outcome) -> dict[str, tuple[tuple[float, float], ...]]:
    """Aalen-Johansen curves by event: (days since entry, share)."""
    return {
        name: tuple(zip(curve.days.tolist(), curve.share.tolist(), strict=True))
        for name, curve in outcome.incidence.items()
    }


def flow_steps(figures: Mapping[str, Any]) -> tuple[FlowStep, ...]:
    """The flow of usable pairs from the figures' `pair_classes` (OUTCOMES, "Cases"); empty where there are none."""
    classes = {str(name): int(n) for name, n in (figures.get("pair_classes") or {}).items()}
    if not sum(classes.values()):
        return ()
    incident = ("at risk", "first contact", "not in the knowledge")
    return (
        FlowStep("labelled or recorded pairs", sum(classes.values())),
        FlowStep("incident", sum(classes.get(name, 0) for name in incident), 1),
        FlowStep("at risk: scored before suspicion", classes.get("at risk", 0), 2),
        FlowStep("first contact: suspected on the night of entry", classes.get("first contact", 0), 2),
        FlowStep("not in the knowledge: a miss", classes.get("not in the knowledge", 0), 2),
        FlowStep("prevalent: named or treated within 30 days of entry", classes.get("prevalent", 0), 1),
    )
