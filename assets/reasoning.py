"""Reasoning: which charts a language model reads on a night, what it is asked, what it answered; off as shipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from assets import screen
from assets.evidence import standing_findings, standing_notes
from assets.night_run import NightRun
from connectors.configuration import Reasoning
from connectors.reasoning_settings import llm_settings, profile_of
from connectors.vllm_batch import (
    LlmError,
    TokenCounter,
    VllmBatch,
    forget_batches,
    kept_answers,
)
from zebrawatch.engine.chart import Demographics
from zebrawatch.engine.flags import facts_of
from zebrawatch.engine.reading import patient_chart, with_namings
from zebrawatch.engine.score import PATIENT_COLUMNS
from zebrawatch.reasoning.arm import ArmSettings, Complete, Planned, ScoredChart, plan_nights, read, worth
from zebrawatch.reasoning.budget import TYPICAL_ANSWER, TYPICAL_PROMPT, plan, read_card
from zebrawatch.reasoning.fusion import Listed
from zebrawatch.reasoning.names import Resolver, disease_names
from zebrawatch.reasoning.profile import ModelProfile
from zebrawatch.reasoning.requests import Request, Response, smoke_body
from zebrawatch.reasoning.rows import answered, ledger_rows, request_rows, response_rows, waiting_of
from zebrawatch.reasoning.shortlist import Budget, Scored
from zebrawatch.reasoning.task import read_task
from zebrawatch.schemas import CANDIDATES, LLM_LEDGER, LLM_REQUESTS, LLM_RESPONSES, NAMINGS, PATIENTS, Table

ALONE = "not run: the evidence arm screened alone"
FINDING_COLUMNS = ("subject_id", "source_id", "hpo_id", "assertion", "experiencer", "start", "end", "quote")
NOTE_COLUMNS = ("subject_id", "source_id", "text", "type_display", "event_time")
SPAN_COLUMNS = ("known_night", "source_night", "removed_night", "named")


def llm_requests(run: NightRun) -> dict[str, Any]:
    """Who is read and why, under the night's budget, and what is asked about the chart as it stood that night."""
    plans = planned(run).plans if run.configuration.reasoning.enabled else ()
    _write(run, LLM_REQUESTS, request_rows(plans, str(run.nights)))
    _write(run, LLM_LEDGER, ledger_rows(plans, str(run.nights)))
    choices = [choice for each in plans for choice in each.choices]
    return {
        "arm": _arm(run),
        "considered": len(choices),
        "read": sum(choice.read for choice in choices),
        "sampled": sum(choice.sampled for choice in choices),
        "questions": sum(len(each.asked) for each in plans),
        "reasons": dict(Counter(choice.reason for choice in choices)),
        "kept_from_the_model": sum(len(each.ledger) for each in plans),
    }


def llm_responses(run: NightRun) -> dict[str, Any]:
    """What the model answered, judged: schema, finish reason, every quote looked up, every name resolved."""
    if not run.configuration.reasoning.enabled:
        _write(run, LLM_RESPONSES, [])
        return {"arm": _arm(run)}
    laid_out = planned(run)
    keys = {key for each in laid_out.plans for key in each.keys}
    if not keys:
        _write(run, LLM_RESPONSES, [])
        return {"arm": _arm(run), "llm_read": 0}
    earlier, recovered = _stored(run, keys, run.lake.batches)
    door = _door(run, laid_out.settings, run.lake.batches)
    outcome = read(
        laid_out.plans, laid_out.charts, laid_out.settings, resolver=Resolver(disease_names(run.knowledge)),
        complete=_complete(door, recovered), answered=earlier,
    )  # fmt: skip
    _write(run, LLM_RESPONSES, response_rows(outcome, str(run.nights)))
    run.read, run.batch = outcome, door.report
    return {"arm": _arm(run), **outcome.figures, **door.report.figures(), "versions": door.report.versions}


def planned(run: NightRun) -> Planned:
    """The nights laid out to be read, made once a run."""
    if run.planned is None:
        run.planned = _plan(run)
    return run.planned


# -- how ---------------------------------------------------------------------------------------------------------------


def settings_of(run: NightRun) -> ArmSettings:
    """How the arm runs, with the hash of the model's weights where they lie on this machine."""
    told = run.configuration.reasoning
    profile = profile_of(told, run.configuration.state_folder)
    return ArmSettings(
        profile,
        read_task("differential" if profile.clinical_use else "differential_brief"),
        Budget(night_patients(told, profile), told.tokens or None, told.sample, told.sample_share),
        threshold=run.policy.threshold,
        floor=told.floor,
        confirm=read_task("confirm") if told.confirm_top else None,
        confirm_top=told.confirm_top,
        repeats=told.repeats,
        repeat_share=told.repeat_share,
        seed=told.seed,
    )


def night_patients(told: Reasoning, profile: ModelProfile) -> int:
    """The budget in patients; GPU-hours become patients by the calculator, less what `confirm` asks beside."""
    if not told.gpu_hours:
        return told.patients
    fits = plan(profile, read_card(told.card), prompt=TYPICAL_PROMPT, answer=TYPICAL_ANSWER, cards=told.cards)
    return int(fits.patients(told.gpu_hours, told.cards) / (1 + told.confirm_top))


def _door(run: NightRun, settings: ArmSettings, folder: Path) -> VllmBatch:
    def progress(told: Mapping[str, Any]) -> None:
        if told.get("state") == "running":
            done = told.get("answered", told.get("sent", 0)) + told.get("resumed", 0)
            run.say(f"Reading charts: {done:,} of {told['requests']:,} questions answered")

    llm = llm_settings(run.configuration.reasoning)
    smoke = smoke_body(settings.profile, settings.differential)
    return VllmBatch(folder, settings.profile, llm, smoke=smoke, progress=progress, launch=run.launch)


def _complete(door: VllmBatch, recovered: Mapping[str, Response]) -> Complete:
    """Answers from a killed run or an earlier run of these nights first, the model for the rest."""

    def complete(requests: Sequence[Request]) -> Iterable[Response]:
        have = [recovered[request.key] for request in requests if request.key in recovered]
        rest = [request for request in requests if request.key not in recovered]
        try:
            return [*have, *(door(rest) if rest else ())]
        except LlmError as error:
            raise LlmError(f"{error} To screen without the model: ZEBRAWATCH_REASONING__ENABLED=false.") from None

    return complete


# -- what is known -----------------------------------------------------------------------------------------------------


def _stored(run: NightRun, keys: set[str], folder: Path) -> tuple[dict[str, Response], dict[str, Response]]:
    """(answers of earlier nights, answers of these nights that a killed or earlier run already has), by key."""
    wanted = pc.field("request_key").isin(pa.array(sorted(keys), pa.string()))
    rows = run.lake.arrow(LLM_RESPONSES, rows=wanted & pc.field("error").is_null()).to_pylist()
    earlier = answered(row for row in rows if row["night"] < run.nights.first)
    ours = answered(row for row in rows if row["night"] >= run.nights.first)
    kept = run.lake.arrow(LLM_RESPONSES, ["request_key", "attempt"], rows=pc.field("error").is_null()).to_pylist()
    forget_batches(folder, answered_keys={row["request_key"] + "-again" * (row["attempt"] == 2) for row in kept})
    left = kept_answers(folder, keys | {f"{key}-again" for key in keys})
    return earlier, {**left, **ours}


def _asked_before(run: NightRun) -> set[str]:
    """Request keys of earlier nights."""
    earlier = pc.field("night") < pa.scalar(run.nights.first, pa.date32())
    rows = run.lake.arrow(LLM_REQUESTS, ["request_key"], rows=earlier & ~pc.field("request_key").is_null())
    return set(pc.unique(rows["request_key"]).to_pylist())


def _plan(run: NightRun) -> Planned:
    settings = settings_of(run)
    if run.fusion is not None:
        run.fusion.check_profile(settings.profile.digest)
    waiting = _waiting(run)
    scored, bar = _scored(run), _bars(run, [each.subject_id for each in waiting])
    rows = _ChartRows(run, {each.since for each in waiting})
    surely = (worth(everyone, settings, night) for night, everyone in scored.items())
    rows.gather({subject for of_night in surely for subject in of_night})  # who waits is gathered as it comes
    with TokenCounter(settings.profile, llm_settings(run.configuration.reasoning)) as count:
        return plan_nights(
            run.nights, scored, waiting, settings,
            bar=bar, charts=rows.charts, count_tokens=count, asked_before=_asked_before(run),
        )  # fmt: skip


def _scored(run: NightRun) -> dict[date, list[Scored]]:
    """Everyone scored in the range, by night."""
    rows = run.lake.arrow(CANDIDATES, ["subject_id", "night", "p_any"], rows=_in_range(run))
    each = rows.group_by(["night", "subject_id"]).aggregate([("p_any", "max")])
    found: dict[date, list[Scored]] = {}
    for row in sorted(each.to_pylist(), key=lambda row: (row["night"], row["subject_id"])):
        found.setdefault(row["night"], []).append(Scored(row["subject_id"], row["p_any_max"]))
    return found


def _waiting(run: NightRun) -> list[Scored]:
    """Who did not fit the budget of an earlier night and was not scored since, nor read."""
    before = pc.field("night") < pa.scalar(run.nights.first, pa.date32())
    rows = run.lake.arrow(LLM_REQUESTS, ["subject_id", "night", "reason", "p_any"], rows=before).to_pylist()
    subjects = pa.array(sorted({row["subject_id"] for row in rows}), pa.int64())
    of_them = before & pc.field("subject_id").isin(subjects)
    scores = run.lake.arrow(CANDIDATES, ["subject_id", "night"], rows=of_them)
    newest = scores.group_by("subject_id").aggregate([("night", "max")]).to_pylist()
    return waiting_of(rows, {row["subject_id"]: row["night_max"] for row in newest})


def _bars(run: NightRun, waiting: Sequence[int]) -> Callable[[Scored, date], Scored]:
    """Says of a scored patient what bars them from an alert on a night."""
    scored = run.lake.arrow(CANDIDATES, ["subject_id"], rows=_in_range(run))["subject_id"].to_pylist()
    subjects = pa.array(sorted({*scored, *waiting}), pa.int64())
    people = run.spark.createDataFrame(pa.table({"subject_id": subjects}))
    rows = screen.facts(run).join(people, "subject_id", "left_semi").toArrow().to_pylist()
    facts = {subject: facts_of(of_subject) for subject, of_subject in _by_subject(rows).items()}

    def bar(scored: Scored, night: date) -> Scored:
        known = facts.get(scored.subject_id)
        return replace(scored, bar=(known.bar(night) if known else None) or "")

    return bar


def _in_range(run: NightRun) -> Any:
    night = pc.field("night")
    first, last = (pa.scalar(each, pa.date32()) for each in (run.nights.first, run.nights.last))
    return (night >= first) & (night <= last)


# -- charts ------------------------------------------------------------------------------------------------------------


class _ChartRows:
    """Rows of the patients whose charts are laid out, gathered for many at a time.

    `since`: nights before the range whose scores still stand for those who wait.
    """

    def __init__(self, run: NightRun, since: Iterable[date | None]) -> None:
        self._run = run
        self._since = pa.array(sorted(night for night in since if night is not None), pa.date32())
        self._namings = run.table(NAMINGS).where(F.col("known_night") <= F.lit(run.nights.last))
        self._have: set[int] = set()
        self._notes: dict[int, list[dict[str, Any]]] = {}
        self._findings: dict[int, list[dict[str, Any]]] = {}
        self._people: dict[int, list[Demographics]] = {}
        self._scores: dict[tuple[int, date], list[dict[str, Any]]] = {}

    def gather(self, subjects: set[int]) -> None:
        """Gather what is not there yet."""
        missing = sorted(subjects - self._have)
        if not missing:
            return
        self._have |= subjects
        self._notes |= self._rows_of(standing_notes(self._run), NOTE_COLUMNS, missing)
        self._findings |= self._rows_of(standing_findings(self._run), FINDING_COLUMNS, missing)
        self._people |= _demographics(self._run, missing)
        nights = _in_range(self._run) | pc.field("night").isin(self._since)
        wanted = nights & pc.field("subject_id").isin(pa.array(missing, pa.int64()))
        rows = self._run.lake.arrow(CANDIDATES, rows=wanted)
        for row in sorted(rows.to_pylist(), key=lambda row: row["rank"]):
            self._scores.setdefault((row["subject_id"], row["night"]), []).append(row)

    def charts(self, night: date, scored: Mapping[int, date]) -> list[ScoredChart]:
        """Charts as they stood on a night, of patients by the night of the score that stands."""
        self.gather(set(scored))
        return [self._chart(subject, night, scored[subject]) for subject in sorted(scored)]

    def _chart(self, subject: int, night: date, scored: date) -> ScoredChart:
        scores = self._scores[subject, scored]
        return ScoredChart(
            patient_chart(
                subject, night, self._notes.get(subject, ()), self._findings.get(subject, ()),
                self._people.get(subject, ()), _weights(scores), _label(self._run),
            ),
            scores[0]["p_any"],
            tuple(
                Listed(row["disease_id"], row["disease_name"], row["posterior"], row["log10_lr"])
                for row in scores
                if row["rank"] > 0
            ),
        )  # fmt: skip

    def _rows_of(
        self, rows: DataFrame, columns: Sequence[str], subjects: Sequence[int]
    ) -> dict[int, list[dict[str, Any]]]:
        frame = self._run.spark.createDataFrame(pa.table({"subject_id": pa.array(subjects, pa.int64())}))
        chosen = with_namings(rows.join(frame, "subject_id", "left_semi"), self._namings)
        return _by_subject(chosen.select(*columns, *SPAN_COLUMNS).toArrow().to_pylist())


def _weights(scores: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """By HPO id, how much a finding moved any of the listed diseases."""
    weights: dict[str, float] = {}
    for row in scores:
        for one in row["contributions"] or ():
            weights[one["hpo_id"]] = max(weights.get(one["hpo_id"], 0.0), abs(one["log10_lr"]))
    return weights


def _demographics(run: NightRun, subjects: Sequence[int]) -> dict[int, list[Demographics]]:
    wanted = pc.field("subject_id").isin(pa.array(subjects, pa.int64()))
    rows = run.lake.arrow(PATIENTS, list(PATIENT_COLUMNS), rows=wanted).to_pylist()
    return {
        subject: [Demographics(**{name: row[name] for name in Demographics._fields}) for row in versions]
        for subject, versions in _by_subject(rows).items()
    }


def _label(run: NightRun) -> Callable[[str], str]:
    return lambda hpo_id: run.ontology.label(hpo_id) if hpo_id in run.ontology.terms else hpo_id


def _by_subject(rows: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["subject_id"], []).append(row)
    return found


def _write(run: NightRun, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    data = pa.Table.from_pylist(list(rows), schema=table.schema)
    run.keep(run.lake.write_rows(data, table, run.nights))


def _arm(run: NightRun) -> str:
    return run.configuration.reasoning.profile if run.configuration.reasoning.enabled else ALONE
