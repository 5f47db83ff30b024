"""The figures of a screened hospital of published cases: both halves, budgets, nulls, losses, recognition."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from zebrawatch.benchmarks.published_cases.measure import (
    BUDGETS,
    MOST_FALSE,
    Burden,
    Told,
    Trial,
    half_of,
    losses,
    part_of,
    recognised,
)
from zebrawatch.benchmarks.published_cases.selection import PublishedCase
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.ranking import Evidence, Ranker
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.knowledge.diseases import SOURCES, Knowledge
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import Outcome, Replay, summarise


@dataclass(frozen=True)
class Screened:
    """A screened hospital: the replay's frames, its findings, and what scored it last."""

    replay: Replay
    findings: pd.DataFrame
    """subject_id, hpo_id, assertion, experiencer."""
    knowledge: Knowledge
    background: Background
    shown: int
    """K."""


@dataclass(frozen=True)
class Planted:
    """One rendered patient: what it is, whose case or skeleton, what was told when."""

    kind: str
    case: str
    told: tuple[Told, ...]


def planted_of(folder: Path, key: bytes) -> dict[int, Planted]:
    """What was planted in each patient of a rendered hospital, by subject id."""
    found: dict[str, Planted] = {}
    with (folder / "planted.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            before = found.get(row["patient"], Planted(row["kind"], row["case"], ()))
            told = (*before.told, Told(row["hpo_id"], date.fromisoformat(row["told"]))) if row["hpo_id"] else ()
            found[row["patient"]] = Planted(row["kind"], row["case"], told)
    return {subject_id_of(patient, key): planted for patient, planted in found.items()}


def figures_of(
    screened: Screened,
    cases: Sequence[PublishedCase],
    planted: Mapping[int, Planted],
    published: frozenset[str],
    matcher: Matcher,
    protocol: Protocol,
) -> dict[str, Any]:
    """The threshold from one half of the cases (with their controls), all figures of both, the other as the report.

    `published`: ids of the diseases that the knowledge annotated before papers were left out.
    """
    half = half_of(cases)
    parts = {
        name: part_of(screened.replay, {s for s, one in planted.items() if half[one.case] == name})
        for name in ("develop", "report")
    }
    trials = {name: Trial(part, matcher, protocol) for name, part in parts.items()}
    chosen = {budget: trials["develop"].threshold_for(budget) for budget in BUDGETS}
    budgets = {f"{budget:g}": _budget(at, trials) for budget, at in chosen.items()}
    strict = trials["develop"].threshold_for(MOST_FALSE, "mix_upper")
    budgets["5, in the rendered mix"] = _budget(strict, trials)
    told = {
        name: _half(part, trials[name], chosen[MOST_FALSE], planted, published, matcher, protocol, screened)
        for name, part in parts.items()
    }
    reported = told["report"]
    return {
        **reported,
        "threshold": chosen[MOST_FALSE],
        "reached": {
            "share_at_least_half": (reported["prioritised_share"] or 0.0) >= 0.5,
            "false_alerts_within_5": reported["false_alerts"]["at_one_in_500_upper"] <= MOST_FALSE,
            "better_than_every_null": reported["nulls_beaten"],
        },
        "by_budget": budgets,
        "develop_half": told["develop"],
    }


def _budget(threshold: float, trials: Mapping[str, Trial]) -> dict[str, Any]:
    row: dict[str, Any] = {"threshold": threshold}
    for name, trial in trials.items():
        point = trial.at(threshold)
        row |= {f"{name}_share": point.prioritised_share, f"{name}_false": point.burden.standard}
    return row


HEADLINE = (
    "prioritised_share", "lead_days_median", "lead_days_mean_unconditional", "interval_share",
    "false_alerts_per_1000_12m", "episodes_per_1000_py", "person_years",
)  # fmt: skip


def _half(
    part: Replay,
    trial: Trial,
    threshold: float,
    planted: Mapping[int, Planted],
    published: frozenset[str],
    matcher: Matcher,
    protocol: Protocol,
    screened: Screened,
) -> dict[str, Any]:
    """All figures of one half at the threshold: alerts by the policy's fold over the screen's own scores."""
    part = replace(part, flags=trial.flags(threshold))
    outcome = summarise(part, matcher, protocol)
    cost = trial.burden(outcome.classified, draws=protocol.resampling.draws)
    return _figures(outcome, part, planted, published, matcher, screened) | _cost(cost)


def _figures(
    outcome: Outcome,
    part: Replay,
    planted: Mapping[int, Planted],
    published: frozenset[str],
    matcher: Matcher,
    screened: Screened,
) -> dict[str, Any]:
    figures, rows, findings = outcome.figures, outcome.lead_time, screened.findings
    at_risk = rows[(rows["label_source"] == "labels") & (rows["pair_class"] == "at risk")]
    findings = findings[
        findings["assertion"].isin(("present", "historical"))
        & (findings["experiencer"] == "patient")
        & findings["subject_id"].isin(part.people["subject_id"])
    ]
    own = {int(s): planted[int(s)].told for s in part.people["subject_id"] if int(s) in planted}
    ranks = _ranks_of_told(screened, at_risk, own)
    nulls = figures["nulls"]
    return {
        "n": figures["at_risk"],
        "incident": figures["incident"],
        "pairs": sum(figures["pair_classes"].values()),
        "patients": len(part.people),
        **{name: figures[name] for name in HEADLINE},
        "ci95": {name: figures["ci95"].get(name) for name in (*HEADLINE[:4], *HEADLINE[4:6])},
        "prioritised_share_of_incident": figures["incident_pairs"]["prioritised_share"],
        "nulls": nulls_of(nulls),
        "nulls_beaten": bool(nulls["counts"]),
        "by_k": {
            k: {"prioritised_share": one["prioritised_share"], "lead_days_median": one["lead_days_median"]}
            for k, one in figures["by_k"].items()
            if isinstance(one, dict)
        },
        "alerts_by_kind": _alerts_by_kind(part, planted),
        "episodes_by_class": {name: one["episodes"] for name, one in figures["burden"]["by_class"].items()},
        "losses": losses(
            at_risk,
            part.candidates,
            own,
            published,
            annotated(screened.knowledge),
            ranks,
            matcher,
            screened.shown,
        ),
        "recognition": recognised(own, findings, _ancestors(screened.knowledge, own, findings)),
        "knowledge_look_ahead": _look_ahead(figures["knowledge_look_ahead"]),
    }


def nulls_of(nulls: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every null beside what was observed, with the difference's interval."""
    return {
        name: {
            "share": one["share"],
            "lead_days_mean": one["lead_days_mean"],
            "share_difference": one.get("share_difference"),
            "lead_difference": one.get("lead_difference"),
            "ci95": one.get("ci95", {}),
        }
        for name, one in nulls.items()
        if isinstance(one, Mapping)
    }


def _look_ahead(told: Any) -> dict[str, Any]:
    if not isinstance(told, Mapping):
        return {"share": None}
    first = told["curated_after_suspicion"]
    return {
        "share_curated_after_suspicion": first["share"],
        "ci95": {"share_curated_after_suspicion": first["ci95"]},
        "dated": told["dated"],
        "undated": told["undated"],
        "prioritised_after": told["prioritised_after"],
    }


def _cost(cost: Burden) -> dict[str, Any]:
    """False alerts per 1,000 patients in 12 months, at a stated prevalence, of controls, and in the rendered mix."""
    return {
        "false_alerts": {
            "at_one_in_500": cost.standard, "at_one_in_500_upper": cost.standard_upper,
            "controls": cost.controls, "controls_upper": cost.controls_upper,
            "rendered_mix": cost.mix, "rendered_mix_upper": cost.mix_upper,
        }
    }  # fmt: skip


def _alerts_by_kind(part: Replay, planted: Mapping[int, Planted]) -> dict[str, int]:
    """Patients alerted at least once, by what they are."""
    raised = part.flags[part.flags["action"] == "raise"]["subject_id"].unique()
    return dict(sorted(Counter(planted[int(s)].kind for s in raised if int(s) in planted).items()))


def annotated(knowledge: Knowledge) -> frozenset[str]:
    """Every id of the diseases that have an annotation row which is not only their name."""
    told = knowledge.row_source != SOURCES.index("name")
    return frozenset(
        each for disease in set(knowledge.row_disease[told].tolist()) for each in knowledge.diseases[disease].ids
    )


def _ranks_of_told(
    screened: Screened, at_risk: pd.DataFrame, told: Mapping[int, Sequence[Told]]
) -> dict[tuple[int, str], float]:
    """Rank of each pair's disease where the ranker is given every finding told before suspicion as planted.

    Diseases outside the first K are left out.
    """
    knowledge = screened.knowledge
    ranker = Ranker(knowledge, screened.background)
    found: dict[tuple[int, str], float] = {}
    for row in at_risk.to_dict("records"):
        subject, disease = int(row["subject_id"]), str(row["disease_id"])
        known = [one.hpo_id for one in told.get(subject, ()) if one.night < row["suspicion_night"]]
        evidence = [Evidence(hpo_id, "present", "text", "planted", in_background=True) for hpo_id in known]
        for entry in ranker.rank(evidence, top=screened.shown).entries:
            if knowledge.index_of(entry.disease_id) == knowledge.index_of(disease):
                found[subject, disease] = float(entry.rank)
    return found


def _ancestors(
    knowledge: Knowledge, told: Mapping[int, Sequence[Told]], findings: pd.DataFrame
) -> dict[str, frozenset[str]]:
    wanted = {one.hpo_id for listed in told.values() for one in listed} | set(findings["hpo_id"])
    found = {}
    for hpo_id in wanted:
        term = knowledge.term_index(hpo_id)
        if term is not None:
            found[hpo_id] = frozenset(knowledge.terms[up] for up in knowledge.ancestors(term).tolist())
    return found
