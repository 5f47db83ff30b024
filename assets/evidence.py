"""Evidence: findings and namings of texts and events, the monthly background, ranked candidates."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

import zebrawatch
from assets.drift import suspended
from assets.night_run import NightRun, code_digest
from connectors.pulls import Pull
from zebrawatch.engine import findings as engine
from zebrawatch.engine import score
from zebrawatch.engine.events import findings_of_events, namings_of_events
from zebrawatch.engine.texts import READ_SCHEMA, read_texts
from zebrawatch.evidence.background import Background, nights_of_month
from zebrawatch.evidence.ranking import DEFAULT_CALIBRATION, RankingParameters
from zebrawatch.learnt import Learnt, refuse_later
from zebrawatch.nights import month_of
from zebrawatch.schemas import CANDIDATES, EVENTS, FINDINGS, NAMINGS, NOTES, PATIENTS, Table
from zebrawatch.timeline.asof import apart, merges, of_patients, spans, touched, with_merged

RESTS_ON = "rests_on.json"
READABLE = "not deleted and not restricted and text is not null"


def findings(run: NightRun) -> dict[str, Any]:
    """HPO findings of the new notes, labs and codes."""

    def of_pull(pull: Pull) -> DataFrame:
        notes = run.table(NOTES).where(f"pull = '{pull.name}' and {READABLE}")
        earlier = run.table(FINDINGS).where(F.col("pull") != pull.name)
        events = run.table(EVENTS).where(f"pull = '{pull.name}' and not deleted and not restricted")
        texts = engine.findings_of_notes(_read(run, pull), notes, earlier)
        return texts.unionByName(findings_of_events(events, run.table(PATIENTS), earlier, run.code_map))

    facts = _per_pull(run, FINDINGS, of_pull)
    rows = run.lake.arrow(FINDINGS, ["origin", "assertion", "experiencer", "copied_from"])
    copied = len(rows) - rows["copied_from"].null_count
    return {
        **facts,
        "by_origin": _counts(rows["origin"]),
        "by_assertion": _counts(rows["assertion"]),
        "by_experiencer": _counts(rows["experiencer"]),
        "duplication_rate": round(copied / max(1, len(rows)), 4),
        "lexicon": run.lexicon.version,
    }


def namings(run: NightRun) -> dict[str, Any]:
    """Where a rare disease, or the thought of one, is written down."""

    def of_pull(pull: Pull) -> DataFrame:
        notes = run.table(NOTES).where(f"pull = '{pull.name}' and {READABLE}")
        events = run.table(EVENTS).where(f"pull = '{pull.name}' and not deleted and not restricted")
        return engine.namings_of_notes(_read(run, pull), notes).unionByName(namings_of_events(events, run.naming_set))

    facts = _per_pull(run, NAMINGS, of_pull)
    rows = run.lake.arrow(NAMINGS, ["evidence_class", "kind"])
    return {
        **facts,
        "by_class": _counts(rows["evidence_class"]),
        "by_kind": _counts(rows["kind"]),
        "naming_set": run.naming_set.version,
    }


def background(run: NightRun) -> dict[str, Any]:
    """P(finding | this hospital's own patients), a version a month, from rows known before the month began."""
    made = backgrounds(run)
    folder = run.lake.root / "background"
    folder.mkdir(exist_ok=True, mode=0o700)
    for each in made.values():
        each.save(folder / f"{each.version}.json")
    last = made[max(made)]
    return {
        "months": len(made),
        "last": last.version,
        "patients": last.n_patients,
        "terms": int((last.counts > 0).sum()),
    }


def candidates(run: NightRun) -> dict[str, Any]:
    """Ranked diseases of every patient whose evidence changed.

    LearntError where a night would be judged with what was learnt from it or from later ones.
    """
    refuse_later(learnt_of(run))
    near = near_patients(run)
    nobody = near is not None and not near.num_rows
    frame = run.table(CANDIDATES).limit(0) if nobody else _scores(run, near)
    written = run.keep(run.lake.write_nights(frame, CANDIDATES, run.nights))
    rows = run.lake.arrow(CANDIDATES, ["subject_id", "night"], rows=pc.field("night_range") == str(run.nights))
    return {
        "rows": written.rows,
        "patients": int(pc.count_distinct(rows["subject_id"]).as_py()),
        "scores": rows.group_by(["subject_id", "night"]).aggregate([]).num_rows,
    }


def _scores(run: NightRun, ids: pa.Table | None) -> DataFrame:
    """Rows of CANDIDATES for whoever changed among these patients (None: among all)."""
    near = None if ids is None else run.spark.createDataFrame(ids)
    standing = standing_findings(run, near)
    people = run.table(PATIENTS).where(F.col("known_night") <= F.lit(run.nights.last))
    if near is not None:
        standing = standing.persist()  # a few patients' rows, read twice
        scored = F.broadcast(changed_patients(run, standing))
        standing, people = (rows.join(scored, "subject_id", "left_semi") for rows in (standing, people))
    masked = score.masked(standing, run.table(NAMINGS).where(F.col("known_night") <= F.lit(run.nights.last)))
    return score.candidates(masked, people, _scoring(run)).withColumn("night_range", F.lit(str(run.nights)))


def learnt_of(run: NightRun) -> list[Learnt]:
    """All that this run judges with and that was learnt, each with the first night it is used on."""
    first = run.nights.first
    months = [
        Learnt(f"The background {each.version}", each.fitted_through, max(nights_of_month(month)[0], first))
        for month, each in backgrounds(run).items()
    ]
    calibration = Learnt("The calibration of P(any)", DEFAULT_CALIBRATION.fitted_through, first)
    fusion = [Learnt("The fitted fusion", run.fusion.fitted_through, first)] if run.fusion else []
    return [*months, calibration, *fusion]


def near_patients(run: NightRun) -> pa.Table | None:
    """Whose rows need to be looked at to tell who changed in the range; None for everybody (a lake's first run).

    Where nothing became known nothing ceased to stand either: then nobody, and only the nights of rows were read.
    """
    if run.first_run:
        return None
    within = (pc.field("known_night") >= run.nights.first) & (pc.field("known_night") <= run.nights.last)
    if not any(run.lake.arrow(table, ["known_night"], rows=within).num_rows for table in (NOTES, EVENTS, PATIENTS)):
        return pa.table({"subject_id": pa.array([], pa.int64())})
    return touched(*_known(run), run.nights).toArrow()


def changed_patients(run: NightRun, standing: DataFrame) -> DataFrame:
    """Patients of whom something became known, or ceased to stand, in the range, by `standing` findings and records."""
    within = F.col("night").between(F.lit(run.nights.first), F.lit(run.nights.last))
    nights = [
        standing.select("subject_id", F.greatest("known_night", "source_night").alias("night")),
        standing.select("subject_id", F.col("removed_night").alias("night")),
        run.table(PATIENTS).select("subject_id", F.col("known_night").alias("night")),
    ]
    return nights[0].unionByName(nights[1]).unionByName(nights[2]).where(within).select("subject_id").distinct()


def backgrounds(run: NightRun) -> Mapping[str, Background]:
    """The background of every month in the range, made once a run."""
    if run.backgrounds is None:
        run.backgrounds = _make_backgrounds(run)
    return run.backgrounds


def _make_backgrounds(run: NightRun) -> Mapping[str, Background]:
    months = sorted(
        {month_of(night) for night in run.nights} | {month_of(run.first_screened)} | set(_earlier_months(run))
    )
    kept = _kept_backgrounds(run, months)
    missing = [month for month in months if month not in kept]
    return {**kept, **(_counted_backgrounds(run, missing) if missing else {})}


def _counted_backgrounds(run: NightRun, months: Sequence[str]) -> dict[str, Background]:
    closure = [(hpo_id, ancestor) for hpo_id in run.ontology.terms for ancestor in run.ontology.ancestors(hpo_id)]
    ancestors = run.spark.createDataFrame(
        pa.table({"hpo_id": [c[0] for c in closure], "term": [c[1] for c in closure]})
    )
    people = run.table(PATIENTS).where(F.col("known_night") <= F.lit(run.nights.last))
    merged = merges(people)
    steps = score.background_steps(apart(standing_findings(run), merged), ancestors).collect()
    rows = [run.table(table).select("subject_id", "known_night") for table in (PATIENTS, NOTES, EVENTS)]
    known = reduce(DataFrame.unionByName, rows).where(F.col("known_night") <= F.lit(run.nights.last))
    seen = score.patient_steps(known.join(people, "subject_id", "left_semi"), merged).collect()
    made = {}
    for month in months:
        n_patients = sum(row["step"] for row in seen if row["month"] < month)
        patients: dict[str, int] = {}
        for row in steps:
            if row["month"] < month:
                patients[row["term"]] = patients.get(row["term"], 0) + row["step"]
        # a record that was merged into one that was never sent has findings and counts as nobody
        shared = {term: min(count, n_patients) for term, count in patients.items() if count > 0}
        made[month] = Background.from_counts(run.knowledge, month, n_patients, shared)
    return made


def _kept_backgrounds(run: NightRun, months: Sequence[str]) -> dict[str, Background]:
    """Backgrounds of earlier runs that would come out the same: all they rest on was published, and is unchanged."""
    note = run.lake.root / "background" / RESTS_ON
    rests_on = json.loads(note.read_text()) if note.is_file() else {}
    whole = [month for month in months if nights_of_month(month)[0] <= run.nights.first and month in rests_on]
    same = _what_months_rest_on(run, whole)
    return {
        month: Background.load(note.parent / f"background@{month}.json")
        for month in whole
        if rests_on[month] == same[month]
    }


def keep_backgrounds(run: NightRun) -> None:
    """Note what this run's backgrounds rest on, once its nights are published."""
    stamps = _what_months_rest_on(run, sorted(backgrounds(run)))
    (run.lake.root / "background" / RESTS_ON).write_text(json.dumps(stamps, indent=0) + "\n")


def _what_months_rest_on(run: NightRun, months: Sequence[str]) -> dict[str, str]:
    """By month: knowledge, readers and code, and how often the nights before it were made (DESIGN, generations)."""
    nights = run.lake.nights()
    generations = list(accumulate((night.generation for night in nights), initial=0))
    base = f"{run.knowledge.version} {run.readers} {code_digest(zebrawatch)}"
    before = {month: bisect_left(nights, nights_of_month(month)[0], key=lambda night: night.night) for month in months}
    return {month: f"{base} {count} {generations[count]}" for month, count in before.items()}


def _earlier_months(run: NightRun) -> list[str]:
    """Months of scores that stand from before the range: needed to tell what only a new background moved."""
    nights = run.lake.arrow(CANDIDATES, ["night"])["night"]
    return sorted({month_of(night) for night in pc.unique(nights).to_pylist()})


def standing_findings(run: NightRun, near: DataFrame | None = None) -> DataFrame:
    """All findings of sources known by the range's end, with the night these were replaced, under merged patients too.

    A copy is dated to its first appearance, so its own note may still be unknown: the inner join leaves it out. `near`
    (near_patients) leaves out all others, without a change to theirs.
    """
    rows = run.table(FINDINGS).where(F.col("known_night") <= F.lit(run.nights.last))
    return _standing(run, rows, near)


def standing_notes(run: NightRun) -> DataFrame:
    """All readable notes known by the range's end, with the night they were replaced, under merged patients too."""
    columns = ("subject_id", "text", "type_display", "event_time", "known_night")
    notes = run.table(NOTES).where(F.col("known_night") <= F.lit(run.nights.last)).where(READABLE)
    named = notes.select(F.col("note_id").alias("source_id"), F.col("version").alias("source_version"), *columns)
    return _standing(run, named)


def _standing(run: NightRun, rows: DataFrame, near: DataFrame | None = None) -> DataFrame:
    """Rows of sources with `source_night` and `removed_night`, between which the source stood."""
    notes, events, people = _known(run)
    if near is not None:
        few = F.broadcast(near)
        rows = rows.join(few, "subject_id", "left_semi")
        notes, events = of_patients(notes, events, few)
    stood = rows.join(spans(notes, events), ["source_id", "source_version"])
    return with_merged(stood, merges(people))


def _known(run: NightRun) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Notes, events and patients known by the range's end."""
    until = F.lit(run.nights.last)
    notes, events, people = (
        run.table(table).where(F.col("known_night") <= until) for table in (NOTES, EVENTS, PATIENTS)
    )
    return notes, events, people


def _scoring(run: NightRun) -> score.Scoring:
    configuration = run.configuration
    return score.Scoring(
        run_id=run.run_id,
        knowledge_folder=str(run.knowledge_folder),
        backgrounds=backgrounds(run),
        parameters=RankingParameters(),
        nights=run.nights,
        first_screened=run.first_screened,
        top=configuration.evidence.top,
        policies=run.policies,
        terms=frozenset(pc.unique(run.lake.arrow(FINDINGS, ["hpo_id"])["hpo_id"]).to_pylist()),
        suspended=suspended(run.lake, run.nights.first),
        opted_out=run.opted_out,
        landmarks=run.landmarks,
    )


def _read(run: NightRun, pull: Pull) -> DataFrame:
    """What the readers found in a pull's texts, each distinct text read once."""
    place = run.lake.scratch / "read" / run.readers / pull.name
    if not (place / "complete").is_file():
        texts = (
            run.table(NOTES)
            .where(f"pull = '{pull.name}' and {READABLE}")
            .select("text_sha256", "text")
            .dropDuplicates(["text_sha256"])
        )
        number = texts.count()
        run.say(f"Reading {number:,} distinct texts")
        if not number:  # no worker is started, which would build what it reads with
            return run.spark.createDataFrame(READ_SCHEMA.empty_table())
        shared = texts.repartition(max(1, run.configuration.spark.partitions))
        read_texts(run.spark, shared, run.lexicon, run.naming_set).write.mode("overwrite").parquet(str(place / "rows"))
        (place / "complete").touch()
    return run.spark.read.parquet(str(place / "rows"))


def _per_pull(run: NightRun, table: Table, of_pull: Callable[[Pull], DataFrame]) -> dict[str, Any]:
    new = 0
    for pull in run.pulls_to_read(table):
        new += run.keep(run.lake.write(of_pull(pull), table, pull.name)).rows
    return {
        "rows": new,
        "patients": int(pc.count_distinct(run.lake.arrow(table, ["subject_id"])["subject_id"]).as_py()),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(item["values"]): item["counts"] for item in pc.value_counts(column).to_pylist()}
