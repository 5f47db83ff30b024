"""Rows of CANDIDATES made from the ranker's arrays: the same as the objects of the explanation say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from knowledge_samples import whole_knowledge

from zebrawatch.engine.candidate_rows import CandidateRows, Vocabulary, candidate_schema
from zebrawatch.engine.score import FINDING_COLUMNS, Scoring, candidates, charts, patient_by_patient
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Evidence, Person, Ranker, RankingParameters
from zebrawatch.evidence.strongest import Blocks, strongest_first
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CONTRIBUTION, INSTANT
from zebrawatch.screen.alerts import AlertPolicy
from zebrawatch.screen.policy import PolicyHistory

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NIGHT = date(2025, 5, 3)
CHART_COLUMNS = {
    **dict.fromkeys(FINDING_COLUMNS, pa.string()),
    **dict.fromkeys(("known_night", "written_night", "source_night", "removed_night"), pa.date32()),
    "subject_id": pa.int64(),
    "start": pa.int32(),
    "end": pa.int32(),
    "event_time": INSTANT,
    "masked_for": pa.list_(pa.string()),
    "version": pa.struct(
        {
            "known_night": pa.date32(),
            "sex": pa.string(),
            "birth_date": pa.date32(),
            "restricted": pa.bool_(),
            "merged_into": pa.int64(),
            "deleted": pa.bool_(),
        }
    ),
}
MARFAN = ("HP:0001083", "HP:0002616", "HP:0001166", "HP:0000767")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    knowledge = whole_knowledge()
    return Ranker(knowledge, Background.default(knowledge))


def said(hpo_id: str, n: int, assertion: str = "present", masked: frozenset[str] = frozenset()) -> Evidence:
    at = datetime(2025, 1, 1 + n, tzinfo=UTC)
    return Evidence(hpo_id, assertion, "text", f"note {n}", n, n + 4, "long fingers", at.date(), at, masked)


def test_rows_say_what_the_objects_say(ranker: Ranker) -> None:
    evidence = [said(each, n) for n, each in enumerate(MARFAN)]
    evidence += [said("HP:0001250", 7, "negated"), said("HP:0000098", 8, masked=frozenset({"OMIM:154700"}))]
    ranking = ranker.rank(evidence, Person("male", date(2010, 1, 1)))
    rows = CandidateRows(Vocabulary(ranker.knowledge))
    rows.add(5, NIGHT, ranking, "evidence", "background@2025-05", first=True)
    rows.add(5, NIGHT, ranker.rank([]), "source removed", "background@2025-05", first=False)
    table = rows.table()
    assert table.schema == candidate_schema()
    told = table.to_pylist()
    assert [row["rank"] for row in told] == [*range(1, 11), 0]
    for row, entry in zip(told, ranking.entries, strict=False):
        assert (row["disease_id"], row["disease_name"]) == (entry.disease_id, entry.disease_name)
        assert row["log10_lr"] == pytest.approx(entry.log10_lr, abs=1e-9)
        assert row["posterior"] == pytest.approx(entry.posterior, abs=1e-12)
        assert row["expected_absent"] == list(entry.expected_absent)
        test = entry.next_test
        assert row["next_test"] == (test.hpo_id if test else None)
        assert (row["test_if_present"], row["test_if_absent"]) == (
            pytest.approx((test.log10_lr_if_present, test.log10_lr_if_absent)) if test else (None, None)
        )
        assert row["common_explanation"] is None  # the most frequent condition alone explains nothing
        for one, part in zip(row["contributions"], entry.contributions, strict=True):
            assert one == {each.name: getattr(part, each.name) for each in CONTRIBUTION}
    masked = next(row for row in told if row["disease_id"] == "OMIM:154700")
    assert "HP:0000098" not in {one["hpo_id"] for one in masked["contributions"]}
    assert told[-1]["contributions"] == [] and told[-1]["cause"] == "source removed"
    assert any(row["next_test"] for row in told) and told[-1]["next_test"] is None


def test_a_common_condition_that_explains_the_findings_stands_with_every_rank(ranker: Ranker) -> None:
    evidence = [said(each, n) for n, each in enumerate(("HP:0002099", "HP:0030828", "HP:0012735", "HP:0002094"))]
    ranking = ranker.rank(evidence)
    rows = CandidateRows(Vocabulary(ranker.knowledge))
    rows.add(5, NIGHT, ranking, "evidence", "background@2025-05", first=True)
    told = {(row["common_explanation"], row["common_posterior"]) for row in rows.table().to_pylist()}
    assert told == {("Asthma", ranking.common[0].posterior)}


def test_rows_made_together_are_those_made_one_by_one(ranker: Ranker) -> None:
    masked = frozenset({"OMIM:154700"})
    people = [Person(), Person("male", date(2010, 1, 1)), Person("female", date(2024, 12, 1))]
    together, alone = CandidateRows(Vocabulary(ranker.knowledge)), []
    for n, person in enumerate(people):
        evidence = [said(each, k, masked=masked if k == n else frozenset()) for k, each in enumerate(MARFAN[: n + 2])]
        for given in (evidence, []):
            single = CandidateRows(Vocabulary(ranker.knowledge))
            for rows in (together, single):
                rows.add(n, NIGHT, ranker.rank(given, person), "evidence", "background@2025-05", first=False)
            alone.append(single.table())
    assert together.table().equals(pa.concat_tables(alone))
    assert together.contributions >= sum(map(len, together.table()["contributions"].to_pylist())) > 0


def test_equal_contributions_keep_their_order_and_what_sex_leaves_is_not_told() -> None:
    told = strongest_first(
        Blocks(
            np.array([2, 1]), np.array([1, 0]), np.array([3, 2]), np.array([0.0, 2.0]),
            np.array([1.0, 3.0, 1.0, 0.0, 0.0, 2.0, 5.0, -0.0]), np.arange(8, dtype=np.int32),
        )
    )  # fmt: skip
    assert told.counts.tolist() == [3, 4, 2]
    assert told.column.tolist() == [2, 1, 3, 0, 3, 1, 2, 4, 5]
    assert told.matched.tolist() == [1, 0, 2, -1, 5, 3, 4, 6, 7]


def test_charts_are_whole_wherever_a_batch_ends() -> None:
    night = date(2025, 5, 1)
    finding = {"source_id": "note", "origin": "text", "assertion": "present", "experiencer": "patient", "quote": "long"}
    finding |= {"known_night": night, "written_night": night, "source_night": night, "masked_for": ["OMIM:154700"]}
    version = {"known_night": night, "sex": "male", "birth_date": date(2000, 1, 1), "restricted": None}
    rows = [{"subject_id": n, "version": version} for n in (1, 2, 3)]
    rows += [{"subject_id": n, "hpo_id": each, **finding} for n in (1, 2) for each in MARFAN]
    schema = pa.schema(list(CHART_COLUMNS.items()))
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["subject_id"]), schema=schema)
    for size in (1, 3, 100):
        found = dict(charts(table.to_batches(size)))
        assert {n: [one.hpo_id for one in chart.findings] for n, chart in found.items()} == {
            1: sorted(MARFAN), 2: sorted(MARFAN), 3: []
        }  # fmt: skip
        assert all(
            chart.demographics == [(night, "male", date(2000, 1, 1), False, None, False)] for chart in found.values()
        )
        assert found[1].findings[0].masked_for == {"OMIM:154700"}


def test_dates_and_times_of_a_chart_are_those_of_its_rows() -> None:
    moments = [datetime(2025, 3, 30, 1, 30, 0, 7, tzinfo=UTC), None, datetime(1899, 12, 31, 23, 59, tzinfo=UTC)]
    nights = [date(2024, 2, 29), None, date(1899, 12, 31)]
    rows = [{"subject_id": 1, "hpo_id": each, "source_id": str(n), "origin": "text", "assertion": "present",
             "experiencer": "patient", "event_time": moment, "known_night": nights[0], "source_night": nights[0],
             "written_night": night, "removed_night": night}
            for n, (each, moment, night) in enumerate(zip(MARFAN, moments, nights, strict=False))]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(CHART_COLUMNS.items())))
    ((_, chart),) = charts(table.to_batches())
    told = {one.source_id: (one.event_time, one.written_night, one.removed_night) for one in chart.findings}
    assert told == {str(n): (moment, nights[n], nights[n]) for n, moment in enumerate(moments)}


def test_a_first_score_of_nothing_gives_no_row(ranker: Ranker) -> None:
    rows = CandidateRows(Vocabulary(ranker.knowledge))
    rows.add(5, NIGHT, ranker.rank([]), "evidence", "background@2025-05", first=True)
    assert rows.table().num_rows == 0 and rows.table().schema == candidate_schema()


def test_under_spark_a_month_without_a_background_is_no_failure(
    spark: SparkSession, tmp_path: Path, ranker: Ranker
) -> None:
    """Scored in May; a first finding in January stood under a background that the run was not given."""
    ranker.knowledge.save(tmp_path)
    nights = [date(2025, 1, 5), *[date(2025, 5, 2)] * 3]
    findings = [
        (1, f"note {n}", "text", hpo_id, "present", "patient", 0, 4, "long", None, night, night, night, None, None)
        for n, (hpo_id, night) in enumerate(zip(MARFAN, nights, strict=True))
    ]
    kinds = ["long", *["string"] * 5, "int", "int", "string", "timestamp", *["date"] * 4, "array<string>"]
    columns = ", ".join(f"`{name}` {kind}" for name, kind in zip(FINDING_COLUMNS, kinds, strict=True))
    people = [(1, date(2025, 1, 1), "male", date(2000, 1, 1), False, None, False)]
    scoring = Scoring(
        run_id="run",
        knowledge_folder=str(tmp_path),
        backgrounds={"2025-05": Background.default(ranker.knowledge)},
        parameters=RankingParameters(),
        nights=NightRange(date(2025, 5, 1), date(2025, 5, 3)),
        first_screened=date(2025, 1, 1),
        top=5,
        policies=PolicyHistory.always(AlertPolicy(0.008), frozenset()),
        terms=frozenset(MARFAN),
    )
    frame = candidates(
        spark.createDataFrame(findings, columns),
        spark.createDataFrame(
            people,
            "subject_id long, known_night date, sex string, birth_date date, restricted boolean, merged_into long, "
            "deleted boolean",
        ),
        scoring,
    )
    rows = frame.orderBy("rank").collect()
    assert [(row["night"], row["rank"]) for row in rows] == [(date(2025, 5, 2), rank) for rank in range(1, 6)]
    assert rows[0]["disease_id"] == "OMIM:154700" and rows[0]["p_any"] > 0.008
    assert rows[0]["cause"] == "evidence" and {one["quote"] for one in rows[0]["contributions"]} >= {"long"}


def test_a_patient_s_rows_stand_together_whatever_spark_makes_of_the_plan(spark: SparkSession) -> None:
    """Frames joined with patients that look many and are few: Spark plans to part by patient and then does not."""
    from pyspark.sql import functions as F  # noqa: N812

    def runs_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Every stretch of rows of one patient, and how many they are."""
        rows = chain.from_iterable(batch.column("subject_id").to_pylist() for batch in batches)
        told = [(subject, sum(1 for _ in own)) for subject, own in groupby(rows)]
        columns = list(zip(*told, strict=True)) or [(), ()]
        yield pa.RecordBatch.from_arrays([pa.array(each, pa.int64()) for each in columns], ["subject_id", "rows"])

    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "8")
    try:
        few = spark.range(2_000_000).select((F.col("id") % 300).alias("subject_id")).where("subject_id >= 0").distinct()
        found = spark.range(60_000).select((F.col("id") % 300).alias("subject_id"), F.col("id").alias("finding"))
        versions = spark.range(300).select(F.col("id").alias("subject_id"), F.lit("f").alias("version"))
        frames = (frame.join(few, "subject_id", "left_semi") for frame in (found, versions))
        runs = patient_by_patient(*frames).mapInArrow(runs_of, "subject_id long, rows long").toArrow()
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    assert sorted(runs["subject_id"].to_pylist()) == list(range(300))
    assert set(runs["rows"].to_pylist()) == {201}
