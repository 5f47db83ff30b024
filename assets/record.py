"""The run's record in MLflow: identity, series by night, figures, reports, learnt objects, data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.evidence import backgrounds
from assets.night_run import NightRun
from assets.reporting import Pages
from connectors.mlflow_runs import DataSetUsed, MlflowStore, RegisteredObject, flatten_identity, record_run
from connectors.reasoning_traces import trace_sample
from zebrawatch.evidence.ranking import RankingParameters
from zebrawatch.outcome.by_night import Series, counts_by_night, lateness_by_night
from zebrawatch.outcome.metrics import curves_of, metrics_of
from zebrawatch.outcome.summary import Outcome
from zebrawatch.schemas import CANDIDATES, EVENTS, FLAGS, NOTES, QUARANTINE, SUSPICIONS, Table
from zebrawatch.timeline.lateness import COLUMNS


def record(run: NightRun, outcome: Outcome, identity: Mapping[str, Any], pages: Pages) -> str:
    """Record the run; its id in MLflow."""
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


def _series(run: NightRun) -> dict[str, Series]:
    """Metrics by night: rows that became known and how late, scores, raises, lines in quarantine."""

    def by_night(table: Table, column: str, rows: Any = True) -> Series:
        within = (pc.field(column) >= run.nights.first) & (pc.field(column) <= run.nights.last)
        return counts_by_night(run.lake.arrow(table, [column], rows=within & rows)[column].to_pylist(), run.nights)

    return {
        "notes": by_night(NOTES, "known_night"),
        "events": by_night(EVENTS, "known_night"),
        "candidates": by_night(CANDIDATES, "night"),
        "alerts_raised": by_night(FLAGS, "night", pc.field("action") == "raise"),
        "suspicions": by_night(SUSPICIONS, "known_night"),
        "quarantined": _quarantined_by_night(run),
        **_lateness(run),
    }


def _quarantined_by_night(run: NightRun) -> Series:
    lines = Counter(run.lake.arrow(QUARANTINE, ["pull"])["pull"].to_pylist())
    nights: Counter[date] = Counter()
    for pull in run.pulls():
        nights[pull.seen_night] += lines[pull.name]
    return [(night, float(count)) for night, count in sorted(nights.items()) if night in run.nights]


def _lateness(run: NightRun) -> dict[str, Series]:
    within = (pc.field("known_night") >= run.nights.first) & (pc.field("known_night") <= run.nights.last)
    kept = within & ~pc.field("deleted")
    rows = pa.concat_tables([run.lake.arrow(table, COLUMNS, rows=kept) for table in (NOTES, EVENTS)])
    return lateness_by_night(rows, run.configuration.site.timezone)


def _models(run: NightRun) -> list[RegisteredObject]:
    made = backgrounds(run)
    newest = made[max(made)]
    parameters = RankingParameters().digest
    fusion = run.fusion
    return [
        *([RegisteredObject("fusion", fusion.version, fusion.digest, fusion.fitted_through)] if fusion else []),
        RegisteredObject("evidence-parameters", f"parameters@{parameters}", parameters),
        RegisteredObject(
            "background",
            newest.version,
            newest.digest,
            newest.fitted_through,
            figures={"patients": float(newest.n_patients), "terms": float((newest.counts > 0).sum())},
        ),
    ]
