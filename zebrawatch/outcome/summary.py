"""The figures of a replay: one dictionary with the keys of `zebrawatch replay --json` (EVALUATION), aggregates only.

Share, lead, burden and PPV all come from the same alerts, the same K and the same threshold. Headline keys are over
at-risk pairs with the earlier of specific and general suspicion; everything else says what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from zebrawatch.nights import NightRange, ranges_of
from zebrawatch.outcome import burden as burdens
from zebrawatch.outcome import nulls as nulls_of
from zebrawatch.outcome import resting
from zebrawatch.outcome.calibration import LANDMARK, calibration, stated_and_confirmed
from zebrawatch.outcome.episodes import Episode, by_subject, episodes_of
from zebrawatch.outcome.intervals import Floats, Interval, Resample, weighted_median, wilson
from zebrawatch.outcome.lead_time import lead_time
from zebrawatch.outcome.look_ahead import knowledge_look_ahead
from zebrawatch.outcome.matching import TIERS, Matcher
from zebrawatch.outcome.observation import night_value, observed, records
from zebrawatch.outcome.operating import Refolding
from zebrawatch.outcome.pairs import PAIR_CLASSES, PairTable, disagreements, pairs
from zebrawatch.outcome.protocol import SPLIT_PARTS, Protocol
from zebrawatch.outcome.time_to_event import Incidence, first_alert_incidence, landmarks
from zebrawatch.screen.suspicion import Suspicion, first_suspicions

CURVE_MONTHS, MONTH_DAYS = 24, 365.25 / 12
MOST_CELLS = 60_000_000
"""Patients times resamples that are held in memory at once; larger populations get fewer resamples, at least 200."""


@dataclass(frozen=True)
class Replay:
    """What a replay leaves behind, as frames with the columns of zebrawatch.schemas.

    `people`: zebrawatch.outcome.observation.PEOPLE_COLUMNS, everybody who was screened. `suspicions_both_ways`: the
    suspicions with names counted that are also HPO labels. `candidates`: zebrawatch.engine.flags.SCORE_COLUMNS suffice.
    `namings`: schemas.NAMINGS, for the figures without each class of evidence. `written`: subject_id and known_night of
    every document, for the utilisation null and note density. `organ_system`: main organ system by disease id, for the
    strata. `labels`: zebrawatch.outcome.pairs.LABEL_COLUMNS, or None where the records alone give the diagnoses.
    `sources`: zebrawatch.outcome.resting.SOURCE_COLUMNS of the notes and events of patients with a suspicion.
    """

    nights: Sequence[NightRange]
    people: pd.DataFrame
    suspicions: pd.DataFrame
    flags: pd.DataFrame
    candidates: pd.DataFrame
    written: pd.DataFrame
    labels: pd.DataFrame | None = None
    suspicions_both_ways: pd.DataFrame | None = None
    namings: pd.DataFrame | None = None
    organ_system: Mapping[str, str] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    gene_symbols: frozenset[str] = frozenset()
    merged: Mapping[int, int] = field(default_factory=dict)
    curated: Mapping[str, date] = field(default_factory=dict)
    """Day of a disease's first curation, by every id of it; empty: look-ahead of the knowledge is not assessed."""
    cutoffs: Mapping[str, date] = field(default_factory=dict)
    """Last day of what a release or model was made of, by its name."""
    sources: pd.DataFrame | None = None
    weighed: pd.DataFrame | None = None
    """zebrawatch.outcome.resting.WEIGHED_COLUMNS of patients with a diagnosis."""

    @property
    def first(self) -> date:
        return min(nights.first for nights in self.nights)

    @property
    def last(self) -> date:
        return max(nights.last for nights in self.nights)

    def holes(self) -> int:
        """Nights between the first and the last that no range covers."""
        covered = {night for nights in self.nights for night in nights}
        return (self.last - self.first).days + 1 - len(covered)

    def hole_ranges(self) -> list[str]:
        """The stretches of missing nights by name, such as `2024-03-01..2024-03-09`."""
        covered = {night for nights in self.nights for night in nights}
        return [str(hole) for hole in ranges_of(n for n in NightRange(self.first, self.last) if n not in covered)]


@dataclass(frozen=True)
class Outcome:
    """The result: `figures` for people and MLflow, `lead_time` rows for the lake, `problems` by name, the flow.

    `incidence` holds Aalen-Johansen curves by event, in days from entry; `false_alerts` the cumulative false alerts per
    1,000 patients by month since screening began: (months, value, low, high).
    """

    figures: dict[str, Any]
    lead_time: pd.DataFrame
    problems: pd.DataFrame
    flow: dict[str, int]
    classified: tuple[burdens.Classified, ...]
    disagreements: pd.DataFrame
    incidence: Mapping[str, Incidence] = field(default_factory=dict)
    false_alerts: tuple[MonthlyCount, ...] = ()
    confirmed: Mapping[int, date] = field(default_factory=dict)
    """The first night on which a listed disease of each patient was confirmed."""
    suspected: Mapping[int, date] = field(default_factory=dict)

    @property
    def headline(self) -> pd.DataFrame:
        """The rows of `lead_time` that the leading figures rest on: by the labels where there are any."""
        return self.lead_time.loc[self.lead_time["label_source"].eq(self.figures["label_source"])]


class MonthlyCount(NamedTuple):
    """A mean cumulative count per 1,000 patients `months` after screening began, with its interval."""

    months: int
    per_1000: float
    low: float | None
    high: float | None


def summarise(
    replay: Replay,
    matcher: Matcher,
    protocol: Protocol,
    *,
    leak_gate: Mapping[str, Any] | None = None,
    suspicion_recall: Mapping[str, Any] | None = None,
) -> Outcome:
    """Every figure of OUTCOMES for one replay.

    `leak_gate` is LeakGate.as_dict(), `suspicion_recall` zebrawatch.outcome.leak.recall of the naming set; where they
    were not run the result says "not assessed". Deterministic for the same input and protocol.
    """
    return _Summary(replay, matcher, protocol).outcome(leak_gate, suspicion_recall)


class _Summary:
    def __init__(self, replay: Replay, matcher: Matcher, protocol: Protocol) -> None:
        if not replay.nights:
            raise ValueError("a replay needs at least one range of nights")
        self.replay, self.matcher, self.protocol = replay, matcher, protocol
        self.table = self._pairs(replay.suspicions, count_phenotype_names=False)
        self.episodes: list[Episode] = episodes_of(replay.flags)
        self.rows = lead_time(self.table.rows, self.episodes, replay.candidates, matcher)
        source = "records" if replay.labels is None else "labels"
        self.headline = self.rows[self.rows["label_source"] == source]
        people = observed(replay.people)
        draws = max(200, min(protocol.resampling.draws, MOST_CELLS // max(1, len(people))))
        self.resample = Resample([person.subject_id for person in people], draws=draws, seed=protocol.resampling.seed)

    def _pairs(self, suspicions: pd.DataFrame, *, count_phenotype_names: bool) -> PairTable:
        replay = self.replay
        return pairs(
            people=replay.people,
            suspicions=suspicions,
            matcher=self.matcher,
            first_screened_night=replay.first,
            last_night=replay.last,
            labels=replay.labels,
            groups=replay.groups,
            gene_symbols=replay.gene_symbols,
            merged=dict(replay.merged),
            count_phenotype_names=count_phenotype_names,
            prevalent_days=self.protocol.windows.prevalent_days,
        )

    @cached_property
    def suspected(self) -> dict[int, date]:
        """First suspicion of any kind by patient, as the alerts knew it."""
        found: dict[int, date] = {}
        for row in records(self.replay.suspicions, ("subject_id", "known_night", "phenotype_name")):
            night, subject = night_value(row["known_night"]), int(row["subject_id"])
            if night is not None and row["phenotype_name"] is not True:
                found[subject] = min(night, found.get(subject, night))
        return found

    def at_risk(self) -> pd.DataFrame:
        return self.headline[self.headline["pair_class"] == "at risk"]

    def incident(self) -> pd.DataFrame:
        return self.headline[self.headline["pair_class"].isin(["at risk", "first contact", "not in the knowledge"])]

    @cached_property
    def exposed(self) -> burdens.Exposure:
        return burdens.exposure(self.replay.people, self.table.rows, self.suspected, self.replay.first)

    @cached_property
    def classified(self) -> list[burdens.Classified]:
        return burdens.classify(
            self.episodes, self.replay.people, self.table.rows, self.matcher, self.replay.first,
            self.protocol.windows.follow_up_days,
        )  # fmt: skip

    def outcome(self, leak_gate: Mapping[str, Any] | None, suspicion_recall: Mapping[str, Any] | None) -> Outcome:
        figures = self._headline()
        figures["leak_gate"] = dict(leak_gate) if leak_gate is not None else "not assessed"
        figures["suspicion_recall"] = dict(suspicion_recall) if suspicion_recall is not None else "not assessed"
        figures |= self._beside()
        labels = self.replay.labels
        apart = disagreements(labels, self.replay.suspicions, self.matcher) if labels is not None else pd.DataFrame()
        figures["label_disagreements"] = len(apart)
        return Outcome(
            plain_values(figures), self.rows, self.table.problems, self.table.flow(), tuple(self.classified), apart,
            self.incidence, self._false_alerts(), self._confirmed(), self.suspected,
        )  # fmt: skip

    @cached_property
    def incidence(self) -> dict[str, Incidence]:
        """Aalen-Johansen curves of the first alert and its competitors."""
        return first_alert_incidence(self.replay.people, self.episodes, self.suspected, self.replay.first)

    def _false_alerts(self) -> tuple[MonthlyCount, ...]:
        """Cumulative false alerts by month, as far as somebody was followed and at most CURVE_MONTHS."""
        new = [one for one in self.classified if not one.episode.backlog and one.episode_class != burdens.LEFT]
        longest = float(self.exposed.days.max()) if len(self.exposed.days) else 0.0
        curve = burdens.cumulative(new, (*burdens.FALSE, burdens.UNDETERMINED), self.exposed, self.resample)
        found = []
        for months in range(min(CURVE_MONTHS, int(longest / MONTH_DAYS)) + 1):
            count = curve.by(round(months * MONTH_DAYS))
            if count["value"] is not None:
                low, high = count["ci95"] or (None, None)
                found.append(MonthlyCount(months, count["value"], low, high))
        return tuple(found)

    def _headline(self) -> dict[str, Any]:
        shares = leads(self.at_risk(), self.resample, self.protocol.windows.minimum_interval_days)
        classified, exposed = self.classified, self.exposed
        cost = burdens.burden(
            classified, exposed, self.resample, horizon_days=self.protocol.windows.horizon_days,
            last_night=self.replay.last, first_screened_night=self.replay.first,
            reviewers=self.protocol.workload.reviewers,
        )  # fmt: skip
        false_alerts = cost["false_alerts_per_1000_12m"]
        return {
            "at_risk": len(self.at_risk()),
            "incident": len(self.incident()),
            "prioritised_share": shares["prioritised_share"],
            "lead_days_median": shares["lead_days_median"],
            "lead_days_mean_unconditional": shares["lead_days_mean_unconditional"],
            "interval_share": shares["interval_share"],
            "episodes_per_1000_py": cost["episodes_per_1000_py"]["value"],
            "false_alerts_per_1000_12m": false_alerts["value"],
            "person_years": exposed.years,
            "ppv_by_prevalence": burdens.ppv_by_prevalence(
                classified, exposed, self.protocol.prevalence.per_person, self.resample
            ),
            "nulls": self._nulls(),
            "ci95": {
                **shares["ci95"],
                "episodes_per_1000_py": cost["episodes_per_1000_py"]["ci95"],
                "false_alerts_per_1000_12m": false_alerts["ci95"],
            },
            "by_k": self._by_k(),
            "lead": shares,
            "burden": cost,
        }

    def _nulls(self) -> dict[str, Any]:
        replay, protocol = self.replay, self.protocol
        cases = nulls_of.cases_of(self.headline, replay.people, replay.organ_system)
        draws, seed = protocol.resampling.null_draws, protocol.resampling.seed
        found = {
            "within_stratum": nulls_of.within_stratum(cases, self.episodes, self.matcher, draws=draws, seed=seed),
            "random_timing": nulls_of.random_timing(
                cases, self.episodes, replay.people, self.suspected, replay.first, self.matcher, draws=draws, seed=seed
            ),
            "utilisation": nulls_of.utilisation(
                cases, self.episodes, replay.people, self.suspected, replay.first, replay.candidates, replay.written,
                self.matcher, k=protocol.estimand.k,
            ),
        }  # fmt: skip
        actual = nulls_of.observed_values(cases, self.episodes, self.matcher)
        return nulls_of.compare(actual, found, cases, self.resample)

    def _by_k(self) -> dict[str, Any]:
        """The same alerts with shorter lists; longer ones than were shown cannot be judged and say so."""
        found: dict[str, Any] = {}
        for k in sorted({*self.protocol.exploratory.k, self.protocol.estimand.k}):
            if k > self.protocol.estimand.k:
                found[str(k)] = f"not assessed: alerts showed {self.protocol.estimand.k}"
                continue
            table = self.table.rows[self.table.rows["label_source"].isin(self.headline["label_source"].unique())]
            rows = lead_time(table, self.episodes, None, self.matcher, k=k)
            values = leads(rows[rows["pair_class"] == "at risk"], self.resample, 1)
            found[str(k)] = {
                name: values[name] for name in ("prioritised_share", "lead_days_median", "lead_days_mean_unconditional")
            } | {"ci95": values["ci95"], "alerts": sum(not one.backlog for one in self.episodes)}
        return found

    def _beside(self) -> dict[str, Any]:
        """What stands beside the headline: other denominators, upper figure, look-back, tiers, time to event, flow."""
        incident = leads(self.incident(), self.resample, self.protocol.windows.minimum_interval_days)
        replay = self.replay
        days = self.protocol.windows.landmark_days
        return {
            "incident_pairs": incident,
            "upper": self._upper(),
            "phenotype_names_counted": self._both_ways(),
            "by_look_back": self._look_back(),
            "by_rule_grade": self._rule_grade(),
            "single_version": self._single_version(),
            "by_disease": self._by(lambda row: str(row["disease_id"])),
            "by_disease_group": self._by(lambda row: replay.organ_system.get(str(row["disease_id"]), "unknown")),
            "by_split": self._split(),
            "by_threshold": self._by_threshold(),
            "calibration": self._calibration(),
            "without_class": self._without_class(),
            "by_subgroup": {name: self._subgroup(name) for name in self.protocol.exploratory.subgroups},
            "match_tiers": {tier: int((self.at_risk()["match_tier"] == tier).sum()) for tier in TIERS},
            "cumulative_incidence": {
                name: {str(day): curve.at(day) for day in days} for name, curve in self.incidence.items()
            },
            "landmarks": [
                one.as_dict()
                for one in landmarks(replay.people, self.table.rows, self.episodes, self.suspected, replay.first, days)
            ],
            "knowledge_look_ahead": knowledge_look_ahead(self.at_risk(), replay.curated, replay.cutoffs)
            if replay.curated
            else "not assessed",
            "pair_classes": {name: int((self.headline["pair_class"] == name).sum()) for name in PAIR_CLASSES},
            "flow": self.table.flow(),
            "problems": {str(name): int(n) for name, n in self.table.problems["problem"].value_counts().items()},
            "nights": (replay.last - replay.first).days + 1 - replay.holes(),
            "nights_missing": replay.holes(),
            "holes": replay.hole_ranges(),
            "protocol": self.protocol.digest,
            "label_source": "records" if replay.labels is None else "labels",
        }

    def _upper(self) -> dict[str, Any]:
        """Lead against the specific suspicion alone, labelled upper (OUTCOMES).

        A general suspicion withdraws the alert; here it stands on until the specific one.
        """
        rows = self.table.rows.assign(suspicion_night=self.table.rows["specific_night"])
        rows = lead_time(rows, nulls_of.standing_on(self.episodes), None, self.matcher)
        keep = rows["label_source"].isin(self.headline["label_source"].unique()) & (rows["pair_class"] == "at risk")
        chosen = rows[keep].assign(interval_days=_interval(rows[keep]))
        return leads(chosen, self.resample, self.protocol.windows.minimum_interval_days)

    def _both_ways(self) -> dict[str, Any] | str:
        """Headline figures with names that are also HPO labels counted as suspicion."""
        if self.replay.suspicions_both_ways is None:
            return "not assessed"
        table = self._pairs(self.replay.suspicions_both_ways, count_phenotype_names=True)
        rows = lead_time(table.rows, self.episodes, None, self.matcher)
        source = "records" if self.replay.labels is None else "labels"
        chosen = rows[(rows["label_source"] == source) & (rows["pair_class"] == "at risk")]
        return leads(chosen, self.resample, self.protocol.windows.minimum_interval_days)

    def _look_back(self) -> dict[str, Any]:
        rows = self.at_risk()
        years = rows["interval_days"].astype(float) / burdens.YEAR_DAYS
        edges = [0.0, *self.protocol.exploratory.look_back_years, float("inf")]
        return {_band(low, high): self._cell(rows[(years >= low) & (years < high)]) for low, high in pairwise(edges)}

    def _by(self, group: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
        """Cells of at-risk pairs by a group of their own; nobody is left out."""
        rows = self.at_risk()
        own = [group(row) for row in records(rows, ("subject_id", "disease_id", "suspicion_night"))]
        keys = np.array(own, dtype=object)
        return {name: self._cell(rows[keys == name]) for name in sorted(set(own))}

    def _rule_grade(self) -> dict[str, Any] | str:
        """By the grade of the row that dated the suspicion."""
        replay = self.replay
        if replay.sources is None:
            return "not assessed"
        graded = resting.grades(self.at_risk(), replay.suspicions, replay.sources)
        return self._by(lambda row: graded.get((int(row["subject_id"]), str(row["disease_id"])), resting.LABEL_FILE))

    def _single_version(self) -> dict[str, Any] | str:
        """The headline without pairs that rest on a row of which the source kept only the last version."""
        replay = self.replay
        if replay.sources is None or replay.weighed is None:
            return "not assessed"
        rows = self.at_risk()
        resting_on = resting.on_single_versions(rows, replay.suspicions, replay.weighed, replay.sources, self.matcher)
        keys = records(rows, ("subject_id", "disease_id"))
        kept = [(int(row["subject_id"]), str(row["disease_id"])) not in resting_on for row in keys]
        return {"pairs": len(resting_on), "without": self._cell(rows[np.array(kept, dtype=bool)])}

    def _split(self) -> dict[str, Any]:
        """Fit, threshold and report: by calendar time of suspicion, by patient, and by both (OUTCOMES, "Protocol")."""
        replay, split = self.replay, self.protocol.split
        rows = self.at_risk()
        whole = (replay.last - replay.first).days + 1
        keys = records(rows, ("subject_id", "suspicion_night"))
        nights = [night_value(row["suspicion_night"]) or replay.last for row in keys]
        time = [split.part((night - replay.first).days / whole) for night in nights]
        patient = [split.part(int(row["subject_id"]) % 1000 / 1000) for row in keys]
        found: dict[str, Any] = {}
        for name in SPLIT_PARTS:
            by_time, by_patient = (np.array([one == name for one in own], dtype=bool) for own in (time, patient))
            found[name] = {
                "time": self._cell(rows[by_time]),
                "patients": self._cell(rows[by_patient]),
                "both": self._cell(rows[by_time & by_patient]),
            }
        return found

    def _by_threshold(self) -> list[dict[str, Any]]:
        """The same scores under other thresholds, each with its own burden; exploratory, except the protocol's own."""
        return [
            self._point(threshold)
            for threshold in sorted({*self.protocol.exploratory.thresholds, self.protocol.alert.threshold})
        ]

    @cached_property
    def _refolding(self) -> Refolding:
        replay = self.replay
        nights = NightRange(replay.first, replay.last)
        return Refolding(replay.candidates, replay.people, self.suspected, self.protocol.policy.k, nights)

    def _point(self, threshold: float) -> dict[str, Any]:
        replay, protocol = self.replay, self.protocol
        policy = replace(protocol.policy, threshold=threshold)
        episodes = episodes_of(self._refolding.flags(policy))
        table = self.table.rows[self.table.rows["label_source"].isin(self.headline["label_source"].unique())]
        rows = lead_time(table, episodes, None, self.matcher)
        share = leads(rows[rows["pair_class"] == "at risk"], self.resample, protocol.windows.minimum_interval_days)
        classified = burdens.classify(
            episodes, replay.people, self.table.rows, self.matcher, replay.first, protocol.windows.follow_up_days
        )
        cost = burdens.burden(
            classified, self.exposed, self.resample, horizon_days=protocol.windows.horizon_days,
            last_night=replay.last, first_screened_night=replay.first, reviewers=protocol.workload.reviewers,
        )  # fmt: skip
        false = cost["false_alerts_per_1000_12m"]
        return {
            "threshold": threshold,
            "protocol": threshold == protocol.alert.threshold,
            **{name: share[name] for name in ("prioritised_share", "lead_days_mean_unconditional")},
            "false_alerts_per_1000_12m": false["value"],
            "episodes_per_1000_py": cost["episodes_per_1000_py"]["value"],
            "episodes": cost["episodes"],
            "ci95": {
                "prioritised_share": share["ci95"]["prioritised_share"],
                "false_alerts_per_1000_12m": false["ci95"],
            },
        }

    def _confirmed(self) -> dict[int, date]:
        confirmed: dict[int, date] = {}
        for row in records(self.table.rows[self.table.rows["pair_class"].notna()], ("subject_id", "confirmed_night")):
            night = night_value(row["confirmed_night"])
            if night is not None:
                subject = int(row["subject_id"])
                confirmed[subject] = min(night, confirmed.get(subject, night))
        return confirmed

    def _calibration(self) -> dict[str, Any]:
        """P(any listed rare disease) standing a year after entry, against confirmation within 24 months after it."""
        stated, happened, censored = stated_and_confirmed(
            self.replay.people, self.replay.candidates, self.suspected, self._confirmed(), self.replay.first
        )
        return {**calibration(stated, happened), "censored": censored, "landmark_days": LANDMARK}

    def _without_class(self) -> dict[str, Any] | str:
        """Headline figures had each class of evidence not been read: what the dates of suspicion owe to it."""
        namings = self.replay.namings
        if namings is None:
            return "not assessed"
        rows = records(namings, NAMING_COLUMNS)
        for row in rows:
            row["known_night"] = night_value(row["known_night"])
        found = {}
        for left_out in sorted({str(row["evidence_class"]) for row in rows}):
            kept = first_suspicions(
                [row for row in rows if row["evidence_class"] != left_out], through=self.replay.last
            )
            frame = pd.DataFrame([one._asdict() for one in kept], columns=list(Suspicion._fields))
            table = self._pairs(frame, count_phenotype_names=False).rows
            lead = lead_time(table, self.episodes, None, self.matcher)
            chosen = lead[lead["label_source"].isin(self.headline["label_source"].unique())]
            values = leads(chosen[chosen["pair_class"] == "at risk"], self.resample, 1)
            names = ("n", "prioritised_share", "lead_days_median", "lead_days_mean_unconditional")
            found[left_out] = {name: values[name] for name in names}
        return found

    def _subgroup(self, name: str) -> dict[str, Any] | str:
        """Detection and lead by subgroup, and its false alerts; groups below the minimum cell are not shown."""
        groups = subgroups(self.replay.people, self.replay.written, name, self.replay.last)
        if groups is None:
            return "not assessed"
        rows = self.at_risk()
        own = np.array([groups.get(int(subject), "unknown") for subject in rows["subject_id"]], dtype=object)
        return {
            value: self._cell(rows[own == value])
            | {"alerts": self._alerts({s for s, one in groups.items() if one == value})}
            for value in sorted(set(groups.values()))
        }

    def _alerts(self, members: set[int]) -> dict[str, Any] | str:
        """New alerts of a group, and those without a rare disease, per 1,000 patient-years."""
        if len(members) < self.protocol.exploratory.minimum_cell:
            return f"below {self.protocol.exploratory.minimum_cell}"
        days = sum(d for s, d in zip(self.exposed.subjects, self.exposed.days.tolist(), strict=True) if s in members)
        mine = [one for one in self.classified if one.episode.subject_id in members and not one.episode.backlog]
        false = [one for one in mine if one.episode_class in (*burdens.FALSE, burdens.UNDETERMINED)]
        years = days / burdens.YEAR_DAYS
        per_1000 = {"all": len(mine), "false": len(false)}
        return {name: 1000 * count / years if years else None for name, count in per_1000.items()}

    def _cell(self, rows: pd.DataFrame) -> dict[str, Any]:
        if len(rows) < self.protocol.exploratory.minimum_cell:
            return {"n": f"below {self.protocol.exploratory.minimum_cell}"}
        return leads(rows, self.resample, self.protocol.windows.minimum_interval_days)


NAMING_COLUMNS = (
    "subject_id", "disease_id", "kind", "evidence_class", "phenotype_name", "source_id", "start", "quote", "event_time",
    "known_night",
)  # fmt: skip


def subgroups(people: pd.DataFrame, written: pd.DataFrame, name: str, last: date) -> dict[int, str] | None:
    """The group of every patient; None where nothing is known of it.

    `name`: `sex`, `age_band` (on the last night), `note_density` (thirds of documents per year), or a column of
    `people` such as race, ethnicity, language, payer.
    """
    persons = observed(people)
    if name == "sex":
        return {person.subject_id: person.sex for person in persons}
    if name == "age_band":
        return {person.subject_id: nulls_of.age_band(person.birth_date, min(last, person.last)) for person in persons}
    if name == "note_density":
        return _densities({p.subject_id: (p.last - p.entry).days + 1 for p in persons}, written)
    if name not in people.columns:
        return None
    rows = records(people, ("subject_id", name))
    return {int(row["subject_id"]): row[name] if isinstance(row[name], str) else "unknown" for row in rows}


def _densities(days: Mapping[int, int], written: pd.DataFrame) -> dict[int, str]:
    counts = written["subject_id"].value_counts().to_dict()
    density = {subject: counts.get(subject, 0) / length for subject, length in days.items()}
    if not density:
        return {}
    low, high = np.quantile(list(density.values()), [1 / 3, 2 / 3])
    return {s: "low" if value <= low else "middle" if value <= high else "high" for s, value in density.items()}


def leads(rows: pd.DataFrame, resample: Resample, minimum_interval_days: int) -> dict[str, Any]:
    """Share, lead and interval share of LEAD_TIME rows, with intervals by patient; None where nothing can be said.

    `lead_days_median` is the median sustained lead among prioritised pairs; never prioritised counts 0 days in
    `lead_days_mean_unconditional`. `interval_share` is the ratio of means (sum of leads / sum of intervals).
    """
    if rows.empty:
        names = ("prioritised_share", "lead_days_median", "lead_days_mean_unconditional", "interval_share")
        return {"n": 0, **dict.fromkeys(names), "ci95": dict.fromkeys(names)}
    owners = [int(subject) for subject in rows["subject_id"]]
    hit = rows["prioritised"].eq(True).to_numpy().astype(np.float64)
    lead = _numbers(rows["lead_days"])
    first = _numbers(rows["first_lead_days"])
    interval = _numbers(rows["interval_days"])
    ever = rows["first_raise_night"].notna().to_numpy().astype(np.float64)
    held = interval >= minimum_interval_days
    ratios = lead[held] / interval[held]
    share = wilson(int(hit.sum()), len(hit))
    return {
        "n": len(rows),
        "prioritised_share": float(hit.mean()),
        "prioritised_share_wilson": share,
        "prioritised_share_first_ever": float(ever.mean()),
        "lead_days_median": _median(lead, hit),
        "lead_days_mean_unconditional": float(lead.mean()),
        "first_lead_days_median": _median(first, ever),
        "first_lead_days_mean_unconditional": float(first.mean()),
        "interval_share": float(lead.sum() / interval.sum()) if interval.sum() > 0 else None,
        "interval_share_mean_of_ratios": float(ratios.mean()) if ratios.size else None,
        "ci95": {
            "prioritised_share": resample.mean(hit, owners),
            "lead_days_median": _median_interval(lead, hit, owners, resample),
            "lead_days_mean_unconditional": resample.mean(lead, owners),
            "interval_share": resample.ratio(lead, interval, owners),
        },
    }


def compare_runs(before: pd.DataFrame, after: pd.DataFrame, *, draws: int = 2000, seed: int = 7) -> dict[str, Any]:
    """Paired difference (after - before) of two runs' LEAD_TIME rows over the at-risk pairs of both, by patient.

    ValueError where they share no at-risk pair. Pairs that only one of them holds are counted.
    """
    keys = ["subject_id", "disease_id"]
    columns = [*keys, "prioritised", "lead_days"]
    one, other = (frame.loc[frame["pair_class"] == "at risk", columns] for frame in (before, after))
    both = one.merge(other, on=keys, suffixes=("_before", "_after"))
    if both.empty:
        raise ValueError("the two runs share no at-risk pair")
    owners = [int(subject) for subject in both["subject_id"]]
    resample = Resample(owners, draws=draws, seed=seed)
    found: dict[str, Any] = {
        "pairs": len(both),
        "only_before": len(one) - len(both),
        "only_after": len(other) - len(both),
    }
    for name in ("prioritised", "lead_days"):
        difference = both[f"{name}_after"].to_numpy(np.float64) - both[f"{name}_before"].to_numpy(np.float64)
        found[name] = {"difference": float(difference.mean()), "ci95": resample.mean(difference, owners)}
    return {name: plain_values(value) for name, value in found.items()}


def _numbers(column: pd.Series[Any]) -> Floats:
    """A column of days as numbers, 0 where it is missing."""
    days: Floats = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(days), 0.0, days)


def _median(values: Floats, chosen: Floats) -> float | None:
    value = float(weighted_median(values, chosen[None, :])[0])
    return value if np.isfinite(value) else None


def _median_interval(values: Floats, chosen: Floats, owners: Sequence[int], resample: Resample) -> Interval | None:
    return resample.of(lambda weights: weighted_median(values, weights * chosen), owners)


def _interval(rows: pd.DataFrame) -> list[float]:
    found = []
    for row in records(rows, ("suspicion_night", "entry_night")):
        suspicion, entry = night_value(row["suspicion_night"]), night_value(row["entry_night"])
        found.append(float((suspicion - entry).days) if suspicion and entry else float("nan"))
    return found


def _band(low: float, high: float) -> str:
    if low == 0:
        return f"under {high:g} years"
    return f"{low:g} years and more" if high == float("inf") else f"{low:g} to {high:g} years"


def plain_values(value: Any) -> Any:
    """Lists, dictionaries and plain numbers, so that JSON can hold it; NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(name): plain_values(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, date):
        return value.isoformat()
    return value


def open_on(episodes: Sequence[Episode], night: date) -> int:
    """Patients with an open alert on `night`."""
    return sum(any(one.open_on(night) for one in found) for found in by_subject(episodes).values())


def weekly_burden(episodes: Sequence[Episode], nights: NightRange) -> pd.DataFrame:
    """New and open alerts by week: columns week (its first night), new (backlog left out), open (on its last night)."""
    starts = [nights.first + timedelta(days=7 * n) for n in range((len(nights) + 6) // 7)]
    rows = []
    for start in starts:
        end = min(start + timedelta(days=6), nights.last)
        new = sum(start <= one.first <= end and not one.backlog for one in episodes)
        rows.append((start, new, open_on(episodes, end)))
    return pd.DataFrame(rows, columns=["week", "new", "open"])
