"""Charts for the reasoning arm: what stood of a patient on a night, of rows that Spark gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from zebrawatch.engine.chart import Chart, Demographics
from zebrawatch.reasoning.chart import PLAIN_VALUE, ChartFinding, ChartNote, Naming, PatientChart

UNWEIGHED = 2 * PLAIN_VALUE
"""Value of a finding that moved none of the listed diseases: a little more than a sentence without any."""


def with_namings(rows: DataFrame, namings: DataFrame) -> DataFrame:
    """Rows of sources with `named`: the diseases that their own document names, and whether only in a relative.

    DESIGN, "Masking"; as for the ranker, a name that is also an HPO label masks only where it is coded.
    """
    names = namings.where("disease_id is not null and (not phenotype_name or evidence_class = 'code')")
    by_source = names.groupBy("source_id", "source_version").agg(
        F.sort_array(F.collect_set(F.struct("disease_id", (F.col("kind") == "family").alias("family")))).alias("named")
    )
    return rows.join(by_source, ["source_id", "source_version"], "left")


def patient_chart(
    subject_id: int,
    night: date,
    notes: Iterable[Mapping[str, Any]],
    findings: Iterable[Mapping[str, Any]],
    demographics: Sequence[Demographics],
    weights: Mapping[str, float],
    label: Callable[[str], str],
) -> PatientChart:
    """One patient's chart as it stood on a night.

    `notes` and `findings` are the patient's standing rows with `known_night, source_night, removed_night, named`;
    `weights` say by HPO id how much a finding moved the evidence arm that night (|log10 likelihood ratio|).
    """
    person = Chart([], demographics).person(night)
    return PatientChart(
        subject_id,
        night,
        tuple(_note(row) for row in notes if stands(row, night)),
        tuple(
            _finding(row, weights.get(row["hpo_id"], UNWEIGHED), label(row["hpo_id"]))
            for row in findings
            if stands(row, night)
        ),
        person.sex,
        person.birth_date,
    )


def stands(row: Mapping[str, Any], night: date) -> bool:
    """Whether a row is part of the chart of `night`."""
    return _first(row) <= night and (row["removed_night"] is None or night < row["removed_night"])


def _first(row: Mapping[str, Any]) -> date:
    """The first night whose chart a row is part of: a copied finding waits for its own source."""
    first: date = max(row["known_night"], row["source_night"])
    return first


def _note(row: Mapping[str, Any]) -> ChartNote:
    return ChartNote(
        row["source_id"], _first(row), row["text"], row["event_time"], row["type_display"], _named(row["named"])
    )


def _finding(row: Mapping[str, Any], weight: float, label: str) -> ChartFinding:
    return ChartFinding(
        row["source_id"], _first(row), label, row["assertion"], row["experiencer"], row["start"], row["end"],
        row["quote"] or "", weight, _named(row["named"]),
    )  # fmt: skip


def _named(named: Sequence[Mapping[str, Any]] | None) -> tuple[Naming, ...]:
    return tuple(Naming(each["disease_id"], bool(each["family"])) for each in named or ())
