"""Candidates: every patient scored on the nights, within a range, on which their weighed evidence changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.engine.candidate_rows import CandidateRows, Vocabulary, candidate_schema
from zebrawatch.engine.chart import Chart, Demographics, Finding, Turn
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Ranker, Ranking, RankingParameters
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.nights import Landmarks, NightRange, month_of
from zebrawatch.screen.policy import PolicyHistory

PATIENT_COLUMNS = ("subject_id", "known_night", "sex", "birth_date", "restricted", "merged_into", "deleted")
CONTRIBUTIONS_TOGETHER = 100_000  # some twenty megabytes of rows, of 500 scores with 20 findings each
STANDING = date(9999, 12, 31)  # stands in for "not removed" where a maximum is taken
FINDING_COLUMNS = (
    "subject_id",
    "source_id",
    "origin",
    "hpo_id",
    "assertion",
    "experiencer",
    "start",
    "end",
    "quote",
    "event_time",
    "known_night",
    "written_night",
    "source_night",
    "removed_night",
    "masked_for",
)


@dataclass(frozen=True)
class Scoring:
    """What scores a range of nights.

    Knowledge (a compiled folder), backgrounds by month, parameters, the policy night by night (its threshold tells what
    only a new background raised; diseases never to be screened for are not ranked).

    `terms` are the HPO ids that stand in the findings. `run_id` tells workers that live on between runs one scoring
    from the next.
    """

    run_id: str
    knowledge_folder: str
    backgrounds: Mapping[str, Background]
    parameters: RankingParameters
    nights: NightRange
    first_screened: date
    top: int
    policies: PolicyHistory
    terms: frozenset[str]
    suspended: frozenset[str] = frozenset()
    opted_out: frozenset[int] = frozenset()
    landmarks: Landmarks = "note"


class _Scored(NamedTuple):
    """One score of a patient; `first` where nothing stood before it."""

    night: date
    ranking: Ranking
    cause: str
    background: str
    first: bool


class Scorer:
    """Scores patients over a range of nights; rankers of a month are built once a worker."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.knowledge = knowledge_of(scoring.knowledge_folder)
        self._rankers: dict[tuple[str, frozenset[str]], Ranker] = {}
        self._vocabulary = Vocabulary(self.knowledge)

    def ranker(self, month: str, never: frozenset[str]) -> Ranker:
        """The ranker with the month's background, without the diseases never to be screened for."""
        background = self.scoring.backgrounds[month]
        if (month, never) not in self._rankers:
            self._rankers[month, never] = Ranker(
                self.knowledge,
                background,
                self.scoring.parameters,
                never=never,
                only=self.scoring.terms,
            )
        return self._rankers[month, never]

    def tables(self, charts: Iterable[tuple[int, Chart]]) -> Iterator[pa.Table]:
        """Rows of CANDIDATES for the nights of the range, without `night_range`; many patients in a table."""
        rows = CandidateRows(self._vocabulary)
        for subject_id, chart in charts:
            if subject_id in self.scoring.opted_out:
                continue
            for scored in self._scored(chart):
                rows.add(subject_id, *scored[:4], first=scored.first)
                if rows.contributions >= CONTRIBUTIONS_TOGETHER:
                    yield rows.table()
                    rows = CandidateRows(self._vocabulary)
        yield rows.table()

    def _scored(self, chart: Chart) -> Iterator[_Scored]:
        before: date | None = None
        for turn in chart.turns(self.scoring.first_screened, self.scoring.nights.last, self.scoring.landmarks):
            if turn.night in self.scoring.nights:
                month = month_of(turn.night)
                ranking = self._rank(chart, turn.night, month)
                cause = self._cause(chart, turn, before, ranking)
                version = self.scoring.backgrounds[month].version
                yield _Scored(turn.night, ranking, cause, version, before is None)
            before = turn.night

    def _rank(self, chart: Chart, night: date, month: str) -> Ranking:
        evidence = [] if chart.barred(night) else chart.evidence(night, date.fromisoformat(f"{month}-01"))
        never = self.scoring.policies.never(night) | self.scoring.suspended
        return self.ranker(month, never).rank(evidence, chart.person(night), top=self.scoring.top)

    def _cause(self, chart: Chart, turn: Turn, before: date | None, ranking: Ranking) -> str:
        """What moved the score (alerts.NightScore): an alert that only a new background caused gives no lead."""
        if before is None:
            return "evidence"
        if turn.removed:
            return "source removed"
        earlier, threshold = month_of(before), self.scoring.policies.on(turn.night).threshold
        if earlier == month_of(turn.night) or ranking.p_any < threshold:
            return "evidence"
        used = max((month for month in self.scoring.backgrounds if month <= earlier), default=None)
        if used is None:  # what stood before was scored with a background that this run has no need of
            return "evidence"
        passed_before = self._rank(chart, turn.night, used).p_any >= threshold
        return "evidence" if passed_before else "background"


@lru_cache(maxsize=2)
def knowledge_of(folder: str) -> Knowledge:
    """Compiled knowledge of a folder, loaded once a process."""
    return Knowledge.load(Path(folder))


_SCORERS: dict[str, Scorer] = {}


def scorer_of(scoring: Scoring) -> Scorer:
    """The scorer of this process, built once a run."""
    if scoring.run_id not in _SCORERS:
        _SCORERS.clear()
        _SCORERS[scoring.run_id] = Scorer(scoring)
    return _SCORERS[scoring.run_id]


def candidates(findings: DataFrame, patients: DataFrame, scoring: Scoring) -> DataFrame:
    """Rows of CANDIDATES (without `night_range`) for the patients of `patients`.

    `findings` has FINDING_COLUMNS (all standing and removed findings of these patients), `patients` PATIENT_COLUMNS (a
    row a version). One Python stage; a patient's rows of both kinds come one after another, and rows of many patients
    leave in one batch: a call and a table a patient would cost more than the score.
    """
    shared = findings.sparkSession.sparkContext.broadcast(scoring)

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in scorer_of(shared.value).tables(charts(batches)):
            yield from table.to_batches()

    versions = patients.select("subject_id", F.struct(*PATIENT_COLUMNS[1:]).alias("version"))
    together = patient_by_patient(findings.select(*FINDING_COLUMNS), versions)
    return together.mapInArrow(score, from_arrow_schema(candidate_schema(), prefer_timestamp_ntz=False))


def patient_by_patient(one: DataFrame, other: DataFrame) -> DataFrame:
    """Rows of both frames, each with the columns of both; a patient's rows in one partition, one after another."""
    together = one.unionByName(other, allowMissingColumns=True)
    return together.repartition("subject_id").sortWithinPartitions("subject_id")


def charts(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Chart]]:
    """Patients and their charts, of batches in which each patient's rows stand together, over the ends of batches too.

    The rows have FINDING_COLUMNS and `version`, a struct of the other PATIENT_COLUMNS: a row with a version tells of
    that alone, one without is a finding.
    """
    rows = chain.from_iterable(map(_rows_of, batches))
    for subject_id, own in groupby(rows, key=itemgetter(0)):
        findings: list[Finding] = []
        versions: list[Demographics] = []
        for _, row in own:
            if isinstance(row, Finding):
                findings.append(row)
            else:
                versions.append(row)
        yield subject_id, Chart(findings, versions)


def _rows_of(batch: pa.RecordBatch) -> Iterator[tuple[int, Finding | Demographics]]:
    columns = (_values(batch.column(name)) for name in (*FINDING_COLUMNS, "version"))
    for subject_id, *finding, version in zip(*columns, strict=True):
        yield subject_id, _finding(*finding) if version is None else _demographics(version)


def _values(column: pa.Array) -> list[Any]:
    """Python's values; of dates and times by way of NumPy, which makes them all at once and many times faster."""
    if pa.types.is_date32(column.type):
        return list(column.to_numpy(zero_copy_only=False).tolist())
    if pa.types.is_timestamp(column.type):
        instants = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).tolist()
        return [None if instant is None else instant.replace(tzinfo=UTC) for instant in instants]
    return list(column.to_pylist())


def _demographics(version: Mapping[str, Any]) -> Demographics:
    return Demographics(
        version["known_night"],
        version["sex"],
        version["birth_date"],
        bool(version["restricted"]),
        version["merged_into"],
        bool(version["deleted"]),
    )


def _finding(
    source_id: str,
    origin: str,
    hpo_id: str,
    assertion: str,
    experiencer: str,
    start: int | None,
    end: int | None,
    quote: str | None,
    event_time: datetime | None,
    known_night: date,
    written_night: date | None,
    source_night: date,
    removed_night: date | None,
    masked_for: list[str] | None,
) -> Finding:
    """A finding of FINDING_COLUMNS but the first."""
    return Finding(
        source_id, origin, hpo_id, assertion, experiencer, start, end, quote, event_time, known_night, source_night,
        removed_night, frozenset(masked_for or ()), written_night,
    )  # fmt: skip


def masked(findings: DataFrame, namings: DataFrame) -> DataFrame:
    """Findings with `masked_for`: the diseases that their own document names, family history included.

    DESIGN, "Masking". A name that is also an HPO label masks only where it is coded: the word alone is a finding.
    """
    names = namings.where("disease_id is not null and (not phenotype_name or evidence_class = 'code')")
    by_source = names.groupBy("source_id", "source_version").agg(
        F.sort_array(F.collect_set("disease_id")).alias("masked_for")
    )
    return findings.join(by_source, ["source_id", "source_version"], "left")


def background_steps(findings: DataFrame, ancestors: DataFrame) -> DataFrame:
    """How many patients a term gained or lost, by the month in which that became known: `term, month, step`.

    A background of month M is made of the steps of all months before M. `findings` carry `source_night` and
    `removed_night`; `ancestors` (`hpo_id, term`) carries a finding to all that it implies. Only what patients are said
    to have counts. A patient has a term over unbroken stretches of nights: each gives a step up and, where it ended, a
    step down.
    """
    have = findings.where("experiencer = 'patient' and assertion in ('present', 'historical')")
    own = Window.partitionBy("subject_id", "term").orderBy("first", "last")
    before = own.rowsBetween(Window.unboundedPreceding, -1)
    held = (
        have.withColumn("first", F.greatest("known_night", "source_night"))
        .withColumn("last", F.coalesce("removed_night", F.lit(STANDING)))
        .where("first < last")
        .groupBy("subject_id", "hpo_id", "last")
        .agg(F.min("first").alias("first"))  # a note a month says the same again: once is enough for all it implies
        .join(F.broadcast(ancestors), "hpo_id")
        .groupBy("subject_id", "term", "last")
        .agg(F.min("first").alias("first"))
        .withColumn("so_far", F.max("last").over(before))
        .withColumn("stretch", F.sum(F.when(F.col("first") <= F.col("so_far"), 0).otherwise(1)).over(own))
        .groupBy("subject_id", "term", "stretch")
        .agg(F.min("first").alias("first"), F.max("last").alias("last"))
    )
    gained = held.select("term", F.col("first").alias("night"), F.lit(1).alias("step"))
    lost = held.where(F.col("last") < F.lit(STANDING)).select(
        "term", F.col("last").alias("night"), F.lit(-1).alias("step")
    )
    return (
        gained.unionByName(lost)
        .groupBy("term", F.date_format("night", "yyyy-MM").alias("month"))
        .agg(F.sum("step").alias("step"))
    )


def patient_steps(patients: DataFrame, merged: DataFrame) -> DataFrame:
    """How many patients the hospital gained or lost, by month: `month, step`; a merged record counts no more.

    `patients` has all rows of patients (`subject_id, known_night`): the first known one is their entry, since a server
    may stamp the Patient itself much later than its notes. `merged` is what `timeline.asof.merges` makes of them.
    """
    entries = patients.groupBy("subject_id").agg(F.min("known_night").alias("night"))
    steps = (
        entries.select("night", F.lit(1).alias("step"))
        .unionByName(merged.select(F.col("merge_night").alias("night"), F.lit(-1).alias("step")))
        .unionByName(
            merged.where("unmerge_night is not null").select(
                F.col("unmerge_night").alias("night"), F.lit(1).alias("step")
            )
        )
    )
    return steps.groupBy(F.date_format("night", "yyyy-MM").alias("month")).agg(F.sum("step").alias("step"))
