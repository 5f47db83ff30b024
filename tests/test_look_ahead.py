"""What the knowledge and models knew that nobody could have known at a patient's suspicion."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from zebrawatch.knowledge.annotations import first_curated
from zebrawatch.outcome.look_ahead import knowledge_look_ahead

ROWS = pd.DataFrame(
    [
        (date(2015, 6, 1), "OMIM:1", True),  # annotated in 2012: nothing seen ahead
        (date(2015, 6, 1), "OMIM:2", True),  # annotated in 2020, found "early" in 2015
        (date(2015, 6, 1), "OMIM:2", False),
        (date(2021, 6, 1), "OMIM:2", False),
        (date(2021, 6, 1), "ORPHA:3", True),  # Orphanet gives no day
    ],
    columns=["suspicion_night", "disease_id", "prioritised"],
)
CURATED = {"OMIM:1": date(2012, 1, 1), "OMIM:2": date(2020, 1, 1)}


def test_pairs_suspected_before_their_disease_was_annotated_are_counted() -> None:
    found = knowledge_look_ahead(ROWS, CURATED, {"a model": date(2018, 12, 31)})
    assert (found["n"], found["dated"], found["undated"]) == (5, 4, 1)
    assert found["curated_after_suspicion"]["count"] == 2
    assert found["curated_after_suspicion"]["share"] == pytest.approx(0.5)
    assert found["prioritised_after"] == 1
    assert found["suspected_before_cutoff"]["a model"]["count"] == 3
    assert found["suspected_before_cutoff"]["a model"]["share"] == pytest.approx(0.6)


def test_no_pair_gives_no_share() -> None:
    found = knowledge_look_ahead(ROWS[:0], CURATED)
    assert found["curated_after_suspicion"] == {"count": 0, "share": None, "ci95": None}


def test_the_first_of_all_curations_counts(tmp_path: Path) -> None:
    path = tmp_path / "phenotype.hpoa"
    row = "OMIM:{}\tname\t\tHP:0001250\tPMID:1\tPCS\t\t1/2\t\t\tP\tHPO:a[{}];HPO:b[{}]"
    lines = [
        "#version: 2025-01-16", "database_id\tdisease_name\tqualifier\thpo_id",
        row.format(1, "2020-02-03", "2012-05-06"), row.format(1, "2009-02-17", "2024-01-01"),
        row.format(2, "2021-01-01", "2022-01-01"),
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    assert first_curated(path) == {"OMIM:1": date(2009, 2, 17), "OMIM:2": date(2021, 1, 1)}
