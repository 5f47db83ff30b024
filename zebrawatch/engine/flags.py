"""Suspicions and flags of a range of nights, a patient at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.nights import NightRange
from zebrawatch.reasoning.fusion import FittedFusion, Listed, join
from zebrawatch.reasoning.rows import judged_of
from zebrawatch.schemas import FLAGS, SUSPICIONS
from zebrawatch.screen.alerts import (
    SCORE_COLUMNS,
    Facts,
    FlagChange,
    NightScore,
    PatientState,
    Policy,
    Shown,
    Span,
    fold,
    scores_of,
    steps,
)
from zebrawatch.screen.budget import Life, Raised, fold_together
from zebrawatch.screen.suspicion import first_suspicions


@dataclass(frozen=True)
class Folding:
    """What folds a range of nights: the policy, the nights, where the screen began."""

    policy: Policy
    nights: NightRange
    first_screened: date
    zone: str
    elsewhere: Mapping[date, Sequence[Raised]] = field(default_factory=dict)
    """New alerts of patients who are not among those folded, which take their part of a budget."""
    fusion: FittedFusion | None = None
    """Joins the answers of its own profile on the nights after its data; all others are joined by the fixed rule."""


def flags(
    candidates: DataFrame, facts: DataFrame, before: DataFrame, folding: Folding, answers: DataFrame | None = None
) -> DataFrame:
    """Rows of FLAGS (without `night_range`) for the nights of the range.

    `candidates` (SCORE_COLUMNS) holds the patients' scores up to the range's last night; `facts` a row a patient and
    fact (`subject_id, fact, first, until`), fact being suspected / died / restricted / merged; `before` the patients'
    rows of FLAGS from nights before the range; `answers` (`subject_id, night, judged, profile`) what a language model
    said of the charts it read, where it counts.
    """
    moved = _may_change(candidates, before, folding)
    together = (
        candidates.select(*SCORE_COLUMNS)
        .join(moved, "subject_id", "left_semi")
        .groupBy("subject_id")
        .agg(F.collect_list(F.struct(*SCORE_COLUMNS[1:])).alias("scores"))
        .join(
            facts.groupBy("subject_id").agg(F.collect_list(F.struct("fact", "first", "until")).alias("facts")),
            "subject_id",
            "full_outer",
        )
        .join(
            before.groupBy("subject_id").agg(
                F.collect_list(F.struct(*[F.col(n) for n in FLAGS.schema.names if n != "subject_id"])).alias("flags")
            ),
            "subject_id",
            "left",
        )
        .where("scores is not null or flags is not null")
    )
    if answers is not None:
        told = answers.groupBy("subject_id").agg(
            F.collect_list(F.struct("night", "judged", "profile")).alias("answers")
        )
        together = together.join(told, "subject_id", "left")
    if not folding.policy.has_budget(folding.nights):
        return _each_alone(together, folding)
    together = together.persist()  # read three times: who could be alerted anew, they together, the others alone
    asking = together.mapInArrow(_asking(folding), "subject_id long").toArrow()["subject_id"].to_pylist()
    named = F.broadcast(together.sparkSession.createDataFrame([(one,) for one in asking], "subject_id long"))
    lives = [life_of(row, folding) for row in together.join(named, "subject_id").toArrow().to_pylist()]
    rows = _rows_of(fold_together(
        folding.policy, {life.state.subject_id: life for life in lives}, folding.nights, folding.first_screened,
        folding.elsewhere,
    ), folding)  # fmt: skip
    spark_schema = from_arrow_schema(flag_schema(), prefer_timestamp_ntz=False)
    made = pa.Table.from_pylist(rows, schema=flag_schema())
    frame = (
        together.sparkSession.createDataFrame(made) if rows else together.sparkSession.createDataFrame([], spark_schema)
    )
    return _each_alone(together.join(named, "subject_id", "left_anti"), folding).unionByName(frame)


def _each_alone(together: DataFrame, folding: Folding) -> DataFrame:
    schema = flag_schema()

    def fold_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [change for row in batch.to_pylist() for change in changes_of(row, folding)]
            yield from pa.Table.from_pylist(rows, schema=schema).to_batches()

    return together.mapInArrow(fold_batches, from_arrow_schema(schema, prefer_timestamp_ntz=False))


def _asking(folding: Folding) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Finds the patients who would be alerted anew were there no budget: nobody else can be with one."""

    def asking(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lives = (life_of(row, folding) for row in batch.to_pylist())
            subjects = [
                life.state.subject_id
                for life in lives
                if any(
                    step.opens
                    for step in steps(
                        folding.policy, life.state, life.scores, life.facts, folding.nights, folding.first_screened
                    )
                )
            ]
            yield pa.RecordBatch.from_pydict({"subject_id": pa.array(subjects, pa.int64())})

    return asking


def _may_change(candidates: DataFrame, before: DataFrame, folding: Folding) -> DataFrame:
    """`subject_id` of those whose alert can change in the range; folding anybody else gives nothing.

    That is who has a score in the range, has ever been alerted, or ever passed the lowest threshold: what waits (for
    persistence, or for a bar to fall) passed it. An AlertPolicy only ever takes off P(any) (`judged`).
    """
    policy, nights = folding.policy, folding.nights
    lowest = min(policy.on(night).threshold for night in (date.min, nights.first, *policy.turns()))
    fresh = F.col("night").between(F.lit(nights.first), F.lit(nights.last))
    passed = candidates.where(fresh | (F.col("p_any") >= F.lit(lowest))).select("subject_id")
    return passed.unionByName(before.select("subject_id")).distinct()


def changes_of(row: Mapping[str, Any], folding: Folding) -> list[dict[str, Any]]:
    """One patient's rows of FLAGS in the range, from their scores, facts and earlier flags; no budget is looked at."""
    life = life_of(row, folding)
    made = fold(folding.policy, life.state, life.scores, life.facts, folding.nights, folding.first_screened)
    return _rows_of({life.state.subject_id: made}, folding)


def life_of(row: Mapping[str, Any], folding: Folding) -> Life:
    """What the fold needs of one patient, from their scores, facts and earlier flags."""
    nights = folding.nights
    scores = joined(scores_of(row["scores"] or ()), row.get("answers") or (), folding.fusion)
    facts = facts_of(row["facts"] or ())
    eve = date.fromordinal(nights.first.toordinal() - 1)
    state = PatientState.rebuild(
        folding.policy, row["subject_id"], row["flags"] or (), scores, facts, folding.first_screened, eve
    )
    return Life(state, [score for score in scores if score.night in nights], facts)


def _rows_of(folded: Mapping[int, tuple[Sequence[FlagChange], PatientState]], folding: Folding) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in change.as_row(str(folding.nights)).items() if key != "night_range"}
        for changes, _ in folded.values()
        for change in changes
    ]


def joined(
    scores: Sequence[NightScore], answers: Iterable[Mapping[str, Any]], fusion: FittedFusion | None = None
) -> list[NightScore]:
    """Scores with their lists in the order that the two arms give together (zebrawatch.reasoning.fusion).

    P(any) stands; so does every list of a night on which no chart was read. A chart that was read on a night without a
    score (its patient had waited for a place in the budget) gives the standing score's list anew on that night.
    `answers` have `night, judged, profile`.
    """
    told = {row["night"]: row for row in answers}
    found: list[NightScore] = []
    standing: NightScore | None = None
    own = {score.night: score for score in scores}
    for night in sorted(own.keys() | told.keys()):
        standing = own.get(night, standing)
        if standing is None:
            continue
        score = replace(standing, night=night, read=night not in own)
        found.append(replace(score, shown=_reordered(score, told[night], fusion)) if night in told else score)
    return found


def _reordered(score: NightScore, told: Mapping[str, Any], fusion: FittedFusion | None) -> tuple[Shown, ...]:
    listed = [Listed(one.disease_id, one.disease_name, one.posterior, one.log10_lr) for one in score.shown]
    answer, profile = judged_of(told["judged"]), told.get("profile") or ""
    if fusion is not None and fusion.may_join(score.night, profile):
        places = fusion.join(score.p_any, listed, answer, threshold=1.0, night=score.night, profile=profile).shown
    else:
        places = join(score.p_any, listed, answer, threshold=1.0).shown
    return tuple(
        Shown(one.rank, one.listed.disease_id, one.listed.name, one.listed.posterior, one.listed.log10_lr)
        for one in places
    )


def facts_of(rows: Iterable[Mapping[str, Any]]) -> Facts:
    """What bars a patient, of fact rows."""
    listed = list(rows)

    def first(fact: str) -> date | None:
        return min((row["first"] for row in listed if row["fact"] == fact), default=None)

    def periods(fact: str) -> tuple[Span, ...]:
        found = [Span(row["first"], row["until"]) for row in listed if row["fact"] == fact]
        return tuple(sorted(found, key=lambda span: (span.first, span.until or date.max)))

    return Facts(first("suspected"), periods("died"), periods("restricted"), periods("merged"))


def flag_schema() -> pa.Schema:
    """FLAGS without `night_range`, which the lake fills."""
    return pa.schema([field.remove_metadata() for field in FLAGS.schema if field.name != "night_range"])


def facts(patients: DataFrame, suspicions: DataFrame, opted_out: DataFrame, zone: str) -> DataFrame:
    """Facts that bar patients: `subject_id, fact, first, until`.

    A death acts from the night on which a version that states it became known, until a version no longer does.
    """
    from pyspark.sql import Window

    order = Window.partitionBy("subject_id").orderBy("known_night", "available_at", "version")
    spans = patients.withColumn("until", F.lead("known_night").over(order))
    columns = ("subject_id", "fact", "first", "until")

    def spell(rows: DataFrame, fact: str) -> DataFrame:
        return rows.select("subject_id", F.lit(fact).alias("fact"), F.col("known_night").alias("first"), "until")

    never = F.lit(None).cast("date")
    died = (
        spans.where("death_time is not null")
        .withColumn("known_night", F.greatest("known_night", F.to_date(F.from_utc_timestamp("death_time", zone))))
        .where("until is null or known_night < until")
    )
    return (
        spell(spans.where("restricted or deleted"), "restricted")
        .unionByName(spell(spans.where("merged_into is not null"), "merged"))
        .unionByName(spell(died, "died"))
        .unionByName(
            suspicions.select(
                "subject_id",
                F.lit("suspected").alias("fact"),
                F.col("known_night").alias("first"),
                never.alias("until"),
            )
        )
        .unionByName(
            opted_out.select(
                "subject_id",
                F.lit("restricted").alias("fact"),
                F.lit(date(1800, 1, 1)).alias("first"),
                never.alias("until"),
            )
        )
        .select(*columns)
    )


def suspicions(namings: DataFrame, nights: NightRange, *, first_run: bool) -> DataFrame:
    """Rows of SUSPICIONS (without `night_range`) whose night lies in the range: first hits by disease and kind.

    `namings` are all namings known up to the range's end. A lake's first run takes the suspicions of all nights before
    it too.
    """
    schema = pa.schema([field.remove_metadata() for field in SUSPICIONS.schema if field.name != "night_range"])
    if not first_run:  # a suspicion becomes known with the naming that gives it
        new = namings.where(F.col("known_night") >= F.lit(nights.first)).select("subject_id").distinct()
        namings = namings.join(new, "subject_id", "left_semi")

    def first(rows: pa.Table) -> pa.Table:
        found = first_suspicions(rows.to_pylist(), through=nights.last)
        return pa.Table.from_pylist(
            [one._asdict() for one in found if first_run or one.known_night >= nights.first], schema=schema
        )

    return namings.groupBy("subject_id").applyInArrow(first, from_arrow_schema(schema, prefer_timestamp_ntz=False))
