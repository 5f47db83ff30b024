"""What the summary takes from the outcome's rows."""

from __future__ import annotations

from datetime import date

import pandas as pd

from zebrawatch.outcome.burden import CLASSES, Classified
from zebrawatch.outcome.episodes import Episode
from zebrawatch.reports.data import BurdenClass, CaseLine, FlowStep
from zebrawatch.reports.from_outcome import burden_classes, case_lines, flow_steps

ROWS = pd.DataFrame(
    [
        ("at risk", "labels", date(2020, 1, 1), date(2021, 1, 1), date(2020, 12, 1), date(2020, 6, 1),
         date(2021, 1, 11)),
        ("at risk", "labels", date(2019, 1, 1), date(2020, 1, 1), None, None, None),
        ("at risk", "records", date(2020, 1, 1), date(2021, 1, 1), None, None, None),
        ("prevalent", "labels", date(2020, 1, 1), date(2020, 1, 9), None, None, None),
    ],
    columns=["pair_class", "label_source", "entry_night", "suspicion_night", "sustained_raise_night",
             "first_raise_night", "confirmed_night"],
)  # fmt: skip


def classified(subject: int, name: str, backlog: bool = False) -> Classified:
    return Classified(Episode(subject, "", date(2020, 1, 1), backlog, (), date(2020, 1, 1)), name, 0)


def test_a_case_is_told_in_days_relative_to_its_suspicion() -> None:
    assert case_lines(ROWS, "labels") == (CaseLine(1, -366, -31, -214, 10), CaseLine(2, -365))


def test_the_order_of_rows_does_not_number_the_cases() -> None:
    assert case_lines(ROWS.iloc[::-1], "labels") == case_lines(ROWS, "labels")


def test_burden_counts_episodes_and_patients_without_the_backlog() -> None:
    found = burden_classes([classified(1, CLASSES[0]), classified(1, CLASSES[0]), classified(2, CLASSES[0], True)])
    assert found[0] == BurdenClass(CLASSES[0], 2, 1)
    assert [row.name for row in found] == list(CLASSES)


def test_the_flow_adds_up() -> None:
    flow = flow_steps({"pair_classes": {"at risk": 5, "first contact": 2, "not in the knowledge": 1, "prevalent": 3}})
    assert flow[0] == FlowStep("labelled or recorded pairs", 11)
    assert flow[1] == FlowStep("incident", 8, 1)
    assert sum(step.pairs for step in flow if step.depth == 2) == 8
    assert flow_steps({}) == ()
