"""Outcome: lead time per patient and disease, reports, the run's record, and the publication of the nights."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets import publication, reporting
from assets.evidence import keep_backgrounds
from assets.identity import identity_of, keep_settings
from assets.night_run import NightRun
from assets.reading import readings_of
from connectors.mlflow_runs import DataSetUsed, MlflowStore, RegisteredObject, flatten_identity, record_run
from connectors.reasoning_traces import trace_sample
from zebrawatch.engine.flags import SCORE_COLUMNS
from zebrawatch.errors import SourceError
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import RankingParameters
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.knowledge.annotations import first_curated
from zebrawatch.knowledge.organ_systems import main_organ_systems
from zebrawatch.nights import ranges_of
from zebrawatch.outcome.leak import LeakDetector, LeakSet, evidence_of, leak_gate, plant, recall
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.metrics import curves_of, metrics_of
from zebrawatch.outcome.pairs import LABEL_COLUMNS
from zebrawatch.outcome.people import screened_people
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
    QUARANTINE,
    SUSPICIONS,
    Table,
)
from zebrawatch.screen.naming import Namer, read_groups
from zebrawatch.screen.suspicion import Suspicion, suspicions_with_phenotype_names
from zebrawatch.timeline.lateness import COLUMNS, nights_late

BATCH = 20_000  # rows of candidates whose contributions are in memory at once
PLANTED = 300  # made namings by which the detectors' recall is measured: a Wilson interval of about +-5 points


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
    identity = identity_of(run)
    folder = run.lake.reports / str(run.nights)
    pages = reporting.write_reports(run, outcome, identity, folder)
    mlflow_run = _record(run, outcome, identity, pages)
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
            suspicion_recall=_suspicion_recall(run),
        )
    return run.outcome


def protocol_of(run: NightRun) -> Protocol:
    """The protocol, with the site's alert policy in it (which is in the run identity beside the protocol's digest)."""
    protocol, policy = Protocol.read(), run.policy
    alert = protocol.alert.model_copy(
        update={
            "threshold": policy.threshold,
            "persistence_nights": policy.persistence_nights,
            "same_episode_days": policy.same_episode_days,
        }
    )
    return protocol.model_copy(
        update={"alert": alert, "estimand": protocol.estimand.model_copy(update={"k": policy.k})}
    )


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
        curated=_curated(run),
        cutoffs=_cutoffs(run),
        sources=_sources(run),
        weighed=_weighed(run),
    )


def _curated(run: NightRun) -> dict[str, date]:
    """Day of the first curation by every id of a disease: the earliest that any of its ids has."""
    days = first_curated(run.files.phenotype_hpoa)
    found: dict[str, date] = {}
    for disease in run.knowledge.diseases:
        known = [days[each] for each in disease.ids if each in days]
        found |= dict.fromkeys(disease.ids, min(known)) if known else {}
    return found


def _cutoffs(run: NightRun) -> dict[str, date]:
    """Days of the releases that state one."""
    found = {}
    for name, release in run.knowledge.releases.items():
        with suppress(ValueError):
            found[name] = date.fromisoformat(release)
    return found


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
    rows = run.lake.arrow(PATIENTS, ["subject_id", "merged_into"]).to_pylist()
    return {row["subject_id"]: row["merged_into"] for row in rows if row["merged_into"] is not None}


def labels(run: NightRun) -> pd.DataFrame | None:
    """The label file (`patient, disease_id, suspected, confirmed`), with pseudonymous keys.

    None where there is none.
    """
    path = label_file(run)
    if path is None:
        return None
    given = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in ("patient", "disease_id") if name not in given.columns]
    if missing:
        raise SourceError(
            f"The label file {path} has no column {missing[0]}; it needs patient, disease_id and may have suspected, "
            "confirmed."
        )
    rows = [
        (
            subject_id_of(row["patient"], run.site_key) if row["patient"] else None,
            row["disease_id"],
            _day(row.get("suspected"), path),
            _day(row.get("confirmed"), path),
        )
        for row in given.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=list(LABEL_COLUMNS))


def label_file(run: NightRun) -> Path | None:
    """The label file that the configuration names, else labels.csv in the source folder."""
    if run.configuration.source.labels:
        named = Path(run.configuration.source.labels)
        if not named.is_file():
            raise SourceError(f"There is no label file {named}.")
        return named
    beside = Path(run.configuration.source.location) / "labels.csv"
    return beside if not run.configuration.source_is_server and beside.is_file() else None


def _day(text: str | None, path: Path) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SourceError(f"The label file {path} holds a date that is not YYYY-MM-DD.") from None


# -- the gate ----------------------------------------------------------------------------------------------------------


def _leak_gate(run: NightRun, replay: Replay) -> Mapping[str, Any]:
    """The second detector over every note that counted for a disease that was shown or is labelled."""
    wanted = {
        (row["subject_id"], shown["disease_id"]) for row in replay.flags.to_dict("records") for shown in row["shown"]
    }
    if replay.labels is not None:
        wanted |= {(row["subject_id"], row["disease_id"]) for row in replay.labels.to_dict("records")}
    notes = run.lake.arrow(NOTES, ["note_id", "text", "known_night"], rows=~pc.field("deleted")).to_pylist()
    texts = {note["note_id"]: note["text"] for note in notes if note["text"] is not None}
    evidence = {row for row in _evidence(run, wanted) if row[2] in texts}
    gate = leak_gate(evidence, texts, _detector(run), run.naming_set.keeps_out)
    folder = run.lake.reports / str(run.nights)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    gate.ledger.to_csv(folder / "leak_ledger.csv", index=False)
    return gate.as_dict()


def _evidence(run: NightRun, wanted: Collection[tuple[int, str]]) -> set[tuple[int, str, str]]:
    """Documents that counted for the wanted diseases; by batches: contributions are most of a lake's bytes."""
    subjects = pa.array(sorted({subject for subject, _ in wanted}), pa.int64())
    rows = run.lake.arrow(
        CANDIDATES,
        ["subject_id", "disease_id", "contributions"],
        rows=(pc.field("night") <= pa.scalar(run.nights.last, pa.date32())) & pc.field("subject_id").isin(subjects),
    )
    found: set[tuple[int, str, str]] = set()
    for batch in rows.to_batches(max_chunksize=BATCH):
        found |= evidence_of(batch.to_pandas(), wanted)
    return found


def _detector(run: NightRun) -> LeakDetector:
    files = run.files
    names = LeakSet.read(files.hp_obo, files.phenotype_hpoa, files.genes_to_phenotype, files.orphanet)
    by_id = {each: disease.ids for disease in run.knowledge.diseases for each in disease.ids}
    return LeakDetector(names, lambda one: by_id.get(one, (one,)))


def _suspicion_recall(run: NightRun) -> Mapping[str, Any]:
    """Share of planted namings, in wordings no list holds, that the naming set's detector finds."""
    names = {disease.id: [name.text for name in disease.names] for disease in run.knowledge.diseases}
    namer = Namer(run.naming_set)
    by_id = {each: set(disease.ids) for disease in run.knowledge.diseases for each in disease.ids}
    return recall(
        lambda planted: any(hit.disease_id in by_id.get(planted.disease_id, ()) for hit in namer.find(planted.text)),
        plant(names, n=PLANTED, seed=7),
    )


# -- the record --------------------------------------------------------------------------------------------------------


def _record(run: NightRun, outcome: Outcome, identity: Mapping[str, Any], pages: reporting.Pages) -> str:
    state = run.configuration.state_folder
    experiment = "replays" if run.replay else "nights"
    store = MlflowStore(database=state / "mlflow.db", artifacts=state / "mlflow-artifacts", experiment=experiment)
    recorded = record_run(
        store,
        flatten_identity(identity),
        _series(run),
        {**metrics_of(outcome.figures), **_reasoning_figures(run)},
        [pages.summary, pages.aggregates],
        _models(run),
        curves=curves_of(outcome),
        data_sets=_data_sets(run),
        name=str(run.nights),
        lake=run.lake.root,
    )
    if run.read is not None and run.configuration.reasoning.traces:
        trace_sample(store, recorded, run.read, run.configuration.reasoning.traces)
    return recorded


def _reasoning_figures(run: NightRun) -> dict[str, float]:
    """Tokens, cache, parse failures, struck quotes, agreement, latency; cost as hours of the cards that were used."""
    if run.read is None or run.batch is None:
        return {}
    hours = run.batch.seconds * run.configuration.reasoning.cards / 3600
    return {**run.read.figures, **run.batch.figures(), "llm_card_hours": hours}


def _data_sets(run: NightRun) -> list[DataSetUsed]:
    """What the run read and wrote, by digest: the pulls' content, and each table's part of this run."""
    pulls = [DataSetUsed(f"pull-{pull.seen_night}", pull.manifest.fingerprint, "pull") for pull in run.pulls()]
    written = [
        DataSetUsed(part.table, part.digest, "lake", {"rows": float(part.rows)}, "output")
        for part in run.written.values()
    ]
    return [*pulls, *written]


def _series(run: NightRun) -> dict[str, list[tuple[date, float]]]:
    """Metrics by night: rows that became known and how late, scores, raises, lines in quarantine."""

    def by_night(table: Table, column: str, **filters: str) -> list[tuple[date, float]]:
        rows = run.lake.arrow(table, [column, *filters]).to_pandas(date_as_object=True)
        for name, value in filters.items():
            rows = rows[rows[name] == value]
        counts = rows[column].value_counts().sort_index()
        return [(night, float(count)) for night, count in counts.items() if night in run.nights]

    return {
        "notes": by_night(NOTES, "known_night"),
        "events": by_night(EVENTS, "known_night"),
        "candidates": by_night(CANDIDATES, "night"),
        "alerts_raised": by_night(FLAGS, "night", action="raise"),
        "suspicions": by_night(SUSPICIONS, "known_night"),
        "quarantined": _quarantined_by_night(run),
        **_lateness_by_night(run),
    }


def _quarantined_by_night(run: NightRun) -> list[tuple[date, float]]:
    counts = Counter(run.lake.arrow(QUARANTINE, ["pull"])["pull"].to_pylist())
    nights: Counter[date] = Counter()
    for pull in run.pulls():
        nights[pull.seen_night] += counts[pull.name]
    return [(night, float(lines)) for night, lines in sorted(nights.items()) if night in run.nights]


def _lateness_by_night(run: NightRun) -> dict[str, list[tuple[date, float]]]:
    """Median nights from the event, and from when it could be shown, to the night the screen knew it."""
    within = (pc.field("known_night") >= run.nights.first) & (pc.field("known_night") <= run.nights.last)
    kept = within & ~pc.field("deleted")
    rows = pa.concat_tables([run.lake.arrow(table, COLUMNS, rows=kept) for table in (NOTES, EVENTS)])
    zone = run.configuration.site.timezone
    found: dict[str, list[tuple[date, float]]] = {}
    for name, column in (("lateness_days_median", "event_time"), ("delivery_days_median", "available_at")):
        late = pa.table({"night": rows["known_night"], "days": nights_late(rows, column, zone)}).to_pandas()
        medians = late.dropna().groupby("night")["days"].median().sort_index()
        found[name] = [(night, float(days)) for night, days in medians.items()]
    return found


def _models(run: NightRun) -> list[RegisteredObject]:
    newest = sorted((run.lake.root / "background").glob("background@*.json"))[-1]
    background = Background.load(newest)
    parameters = hashlib.sha256(repr(RankingParameters()).encode()).hexdigest()[:16]
    return [
        RegisteredObject("evidence-parameters", f"parameters@{parameters}", parameters),
        RegisteredObject(
            "background",
            background.version,
            hashlib.sha256(newest.read_bytes()).hexdigest()[:16],
            background.fitted_through,
            figures={"patients": float(background.n_patients), "terms": float((background.counts > 0).sum())},
        ),
    ]


def _result(run: NightRun, outcome: Outcome) -> dict[str, Any]:
    return {**outcome.figures, "reasoning": _said(run), "seconds": round(time.monotonic() - run.begun, 1)}


def _said(run: NightRun) -> str | None:
    """The reasoning arm in a line; None where it did not run."""
    counts = readings_of(run).counts() if run.configuration.reasoning.enabled else None
    if counts is None:
        return None
    use = "" if counts.clinical_use else " (for trying out: its answers are not clinically useful)"
    return (
        f"{counts.model}{use}: {counts.read:,} of {counts.considered:,} patients read, "
        f"{counts.made:,} questions asked, {counts.from_cache:,} answered before, {counts.usable:,} usable answers, "
        f"{counts.struck:,} of {counts.quotes:,} quotes struck"
    )


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in schema])
