"""Outcome: lead time per patient and disease, reports, the run's record, and the publication of the nights."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets import publication, reporting
from assets.evidence import keep_backgrounds
from assets.identity import identity_of, keep_settings
from assets.night_run import NightRun
from assets.reading import readings_of
from assets.record import record
from connectors.label_file import label_file, read_labels
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.annotations import first_curated
from zebrawatch.knowledge.dates import curated_by_any_id, dated_releases
from zebrawatch.knowledge.organ_systems import main_organ_systems
from zebrawatch.nights import ranges_of
from zebrawatch.outcome.leak import LeakDetector, evidence_of, leak_gate, recall_on_planted, shown_or_labelled
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.people import screened_people, survivors
from zebrawatch.outcome.percentage import Percentage, fit_percentage
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.resting import SOURCE_COLUMNS, WEIGHED_COLUMNS
from zebrawatch.outcome.summary import Outcome, Replay, summarise
from zebrawatch.schemas import (
    CANDIDATES,
    EVENTS,
    FLAGS,
    LEAD_TIME,
    NAMINGS,
    NOTES,
    PATIENTS,
    SUSPICIONS,
    Table,
)
from zebrawatch.screen.alerts import SCORE_COLUMNS
from zebrawatch.screen.naming import Namer, read_groups
from zebrawatch.screen.suspicion import Suspicion, suspicions_with_phenotype_names

BATCH = 20_000  # rows of candidates whose contributions are in memory at once
PLANTED = 300  # made namings by which the detectors' recall is measured: a Wilson interval of about +-5 points
PLANTED_SEED = 7


def lead_time(run: NightRun) -> dict[str, Any]:
    """Lead time per patient and disease, a snapshot as of the range's last night."""
    outcome = outcome_of(run)
    data = pa.Table.from_pandas(
        outcome.lead_time[list(LEAD_TIME.schema.names)], schema=_plain(LEAD_TIME.schema), preserve_index=False
    )
    run.keep(run.lake.write_snapshot(data, LEAD_TIME))
    figures = outcome.figures
    return {
        "rows": data.num_rows,
        "flow": outcome.flow,
        "problems": len(outcome.problems),
        **{
            name: figures[name]
            for name in ("at_risk", "prioritised_share", "lead_days_median")
            if figures.get(name) is not None
        },
    }


def published(run: NightRun) -> dict[str, Any]:
    """Reports, the MLflow run, and the row in `nights` by which readers see these nights."""
    outcome = outcome_of(run)
    percentage = percentage_of(run, outcome)
    identity = {**identity_of(run), **({"percentage": percentage.as_json()} if percentage else {})}
    folder = run.lake.reports / str(run.nights)
    pages = reporting.write_reports(run, outcome, identity, folder)
    mlflow_run = record(run, outcome, identity, pages)
    tables = publication.write(run, outcome, people(run))
    keep_settings(run)
    run.lake.publish(
        run.nights,
        list(run.written.values()),
        {**identity, "pulls": [pull.name for pull in run.pulls()], "readers": run.readers},
        run.run_id,
    )
    keep_backgrounds(run)
    (folder / "result.json").write_text(
        json.dumps(
            {
                **_result(run, outcome),
                "mlflow": mlflow_run,
                "mlflow_run": mlflow_run,
                "report": str(pages.summary),
                "statement": pages.statement,
            },
            indent=1,
            default=str,
        )
        + "\n"
    )
    return {
        "nights": len(run.nights),
        "patient_report": str(pages.patients),
        "summary": str(pages.summary),
        "published": str(tables),
        "mlflow_run": mlflow_run,
    }


def outcome_of(run: NightRun) -> Outcome:
    """The outcome of all nights up to this run's last, computed once a run."""
    if run.outcome is None:
        run.say("Measuring lead time, burden, nulls and the leak gate")
        replay = replay_of(run)
        run.outcome = summarise(
            replay,
            Matcher(run.knowledge),
            protocol_of(run),
            leak_gate=_leak_gate(run, replay),
            suspicion_recall=recall_on_planted(Namer(run.naming_set).find, run.knowledge, n=PLANTED, seed=PLANTED_SEED),
        )
    return run.outcome


def percentage_of(run: NightRun, outcome: Outcome) -> Percentage | None:
    """What turns P(any) into a percentage, once the site has 100 confirmed events of its own."""
    prior = RankingParameters().any_prevalence
    scores = _frame(run, CANDIDATES, "night", ["subject_id", "night", "p_any"])
    return fit_percentage(
        people(run), scores, outcome.suspected, outcome.confirmed, run.first_screened, run.nights.last,
        prior=prior, prevalence=prior,
    )  # fmt: skip


def protocol_of(run: NightRun) -> Protocol:
    """The protocol, with the site's alert policy in it (which is in the run identity beside the protocol's digest)."""
    return Protocol.read().under(run.policy)


# -- frames ------------------------------------------------------------------------------------------------------------


def replay_of(run: NightRun) -> Replay:
    """What the lake holds of all nights up to the run's last, as the outcome functions read it."""
    nights = [night.night for night in run.lake.nights() if night.night < run.nights.first]
    ranges = [*ranges_of(nights), run.nights]
    namings = _frame(run, NAMINGS, "known_night")
    both_ways = suspicions_with_phenotype_names(
        cast(list[dict[str, Any]], namings.to_dict("records")), through=run.nights.last
    )
    return Replay(
        nights=ranges,
        people=people(run),
        suspicions=_frame(run, SUSPICIONS, "known_night"),
        flags=_frame(run, FLAGS, "night"),
        candidates=_frame(run, CANDIDATES, "night", list(SCORE_COLUMNS)),
        written=_frame(run, NOTES, "known_night", ["subject_id", "known_night"]),
        labels=labels(run),
        suspicions_both_ways=pd.DataFrame([one._asdict() for one in both_ways], columns=list(Suspicion._fields)),
        organ_system=main_organ_systems(run.knowledge, run.ontology),
        gene_symbols=frozenset(gene for disease in run.knowledge.diseases for gene in disease.genes),
        merged=_merged(run),
        groups=frozenset(read_groups(run.files.orphanet)) if run.files.orphanet else frozenset(),
        namings=namings,
        curated=curated_by_any_id(first_curated(run.files.phenotype_hpoa), run.knowledge),
        cutoffs=dated_releases(run.knowledge.releases),
        sources=_sources(run),
        weighed=_weighed(run),
    )


def _weighed(run: NightRun) -> pd.DataFrame:
    """What counted for the diseases of patients with a diagnosis (zebrawatch.outcome.resting)."""
    confirmed = run.lake.arrow(SUSPICIONS, ["subject_id"], rows=pc.field("kind") == "confirmed")["subject_id"]
    given = labels(run)
    labelled = [] if given is None else [int(one) for one in given["subject_id"].dropna()]
    subjects = pa.array(sorted({*confirmed.to_pylist(), *labelled}), pa.int64())
    until = pc.field("night") <= pa.scalar(run.nights.last, pa.date32())
    rows = run.lake.arrow(CANDIDATES, list(WEIGHED_COLUMNS), rows=until & pc.field("subject_id").isin(subjects))
    return cast(pd.DataFrame, rows.to_pandas(date_as_object=True))


def _sources(run: NightRun) -> pd.DataFrame:
    """How the rows of patients with a suspicion were dated (zebrawatch.outcome.resting)."""
    subjects = pc.field("subject_id").isin(run.lake.arrow(SUSPICIONS, ["subject_id"])["subject_id"].combine_chunks())
    dating = ["available_grade", "single_version"]
    frames = [
        run.lake.arrow(table, [key, *dating], rows=subjects).rename_columns(list(SOURCE_COLUMNS)).to_pandas()
        for table, key in ((NOTES, "note_id"), (EVENTS, "event_id"))
    ]
    return cast(pd.DataFrame, pd.concat(frames, ignore_index=True))


def _frame(run: NightRun, table: Table, night: str, columns: list[str] | None = None) -> pd.DataFrame:
    rows = run.lake.arrow(table, columns, rows=pc.field(night) <= pa.scalar(run.nights.last, pa.date32()))
    # plain dates and missing integers as they are, not as floats
    return cast(pd.DataFrame, rows.to_pandas(date_as_object=True, integer_object_nulls=True))


def people(run: NightRun) -> pd.DataFrame:
    """Everybody who was screened (zebrawatch.outcome.people)."""
    until = pc.field("known_night") <= pa.scalar(run.nights.last, pa.date32())
    spans = pd.concat(
        run.lake.arrow(table, ["subject_id", "known_night"], rows=until)
        .group_by("subject_id")
        .aggregate([("known_night", "min"), ("known_night", "max")])
        .to_pandas(date_as_object=True)
        for table in (PATIENTS, NOTES, EVENTS)
    )
    return screened_people(spans, run.lake.arrow(PATIENTS, rows=until).to_pandas(date_as_object=True), run.zone)


def _merged(run: NightRun) -> dict[int, int]:
    columns = ["subject_id", "known_night", "available_at", "version", "merged_into"]
    return survivors(_frame(run, PATIENTS, "known_night", columns))


def labels(run: NightRun) -> pd.DataFrame | None:
    """The labels (LABEL_COLUMNS), None where there is no label file."""
    path = label_file(run.configuration)
    return None if path is None else read_labels(path, run.site_key)


# -- the gate ----------------------------------------------------------------------------------------------------------


def _leak_gate(run: NightRun, replay: Replay) -> Mapping[str, Any]:
    """The second detector over every note that counted for a disease that was shown or is labelled."""
    evidence = _evidence(run, shown_or_labelled(replay.flags, replay.labels))
    texts = _texts(run, {source for _, _, source in evidence})
    evidence = {row for row in evidence if row[2] in texts}
    detector = LeakDetector.of(run.files, run.knowledge)
    gate = leak_gate(evidence, texts, detector, run.naming_set.keeps_out)
    folder = run.lake.reports / str(run.nights)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    gate.ledger.to_csv(folder / "leak_ledger.csv", index=False)
    return gate.as_dict()


def _texts(run: NightRun, notes: Collection[str]) -> dict[str, str]:
    """The standing texts of some notes."""
    chosen = ~pc.field("deleted") & pc.field("note_id").isin(pa.array(sorted(notes), pa.string()))
    rows = run.lake.arrow(NOTES, ["note_id", "text"], rows=chosen).to_pylist()
    return {row["note_id"]: row["text"] for row in rows if row["text"] is not None}


def _evidence(run: NightRun, wanted: Collection[tuple[int, str]]) -> set[tuple[int, str, str]]:
    """Documents that counted for the wanted diseases; by batches: contributions are most of a lake's bytes."""
    subjects = pa.array(sorted({subject for subject, _ in wanted}), pa.int64())
    diseases = pa.array(sorted({disease for _, disease in wanted}), pa.string())
    chosen = pc.field("subject_id").isin(subjects) & pc.field("disease_id").isin(diseases)
    until = pc.field("night") <= pa.scalar(run.nights.last, pa.date32())
    rows = run.lake.arrow(CANDIDATES, ["subject_id", "disease_id", "contributions"], rows=until & chosen)
    found: set[tuple[int, str, str]] = set()
    for batch in rows.to_batches(max_chunksize=BATCH):
        found |= evidence_of(batch.to_pandas(), wanted)
    return found


# -- what is said ----------------------------------------------------------------------------------------------------


def _result(run: NightRun, outcome: Outcome) -> dict[str, Any]:
    return {**outcome.figures, "reasoning": _said(run), "seconds": round(time.monotonic() - run.begun, 1)}


def _said(run: NightRun) -> str | None:
    """The reasoning arm in a line; None where it did not run."""
    counts = readings_of(run).counts() if run.configuration.reasoning.enabled else None
    if counts is None:
        return None
    use = "" if counts.clinical_use else " (for trying out: its answers are not clinically useful)"
    sent = run.batch.requests - run.batch.resumed if run.batch else 0
    return (
        f"{counts.model}{use}: {counts.read:,} of {counts.considered:,} patients read, "
        f"{counts.made:,} questions asked, {counts.from_cache:,} answered before, {counts.usable:,} usable answers, "
        f"{counts.struck:,} of {counts.quotes:,} quotes struck; this run sent {sent:,} requests to it"
    )


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in schema])
