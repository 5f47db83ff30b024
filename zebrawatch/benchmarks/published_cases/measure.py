"""The measure: halves, the threshold chosen on one of them, the other reported, and where the cases were lost.

All of it on a finished replay's frames, with the functions of zebrawatch.outcome and the alert policy's own fold.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

import pandas as pd

from zebrawatch.benchmarks.cases import leaders
from zebrawatch.benchmarks.published_cases.selection import PublishedCase
from zebrawatch.outcome import burden as burdens
from zebrawatch.outcome import thresholds
from zebrawatch.outcome.intervals import Resample
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import observed, records
from zebrawatch.outcome.summary import Replay

MOST_FALSE = 5.0
"""EVALUATION: upper bound of false alerts per 1,000 patients in 12 months."""
BUDGETS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def half_of(cases: Sequence[PublishedCase]) -> dict[str, str]:
    """`develop` or `report` by case id: cases that share a paper or a disease, also through others, stand together."""
    first = leaders([[*sorted(case.papers), case.disease_id] for case in cases])
    return {
        case.id: ("develop", "report")[zlib.crc32(leader.encode()) % 2]
        for case, leader in zip(cases, first, strict=True)
    }


def part_of(replay: Replay, subjects: Collection[int]) -> Replay:
    """The replay of some of its patients; dates, strata and knowledge stay."""

    def own(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["subject_id"].isin(subjects)].reset_index(drop=True)

    return replace(
        replay,
        people=own(replay.people),
        suspicions=own(replay.suspicions),
        flags=own(replay.flags),
        candidates=own(replay.candidates),
        written=own(replay.written),
        labels=None if replay.labels is None else own(replay.labels),
        suspicions_both_ways=None if replay.suspicions_both_ways is None else own(replay.suspicions_both_ways),
        namings=None if replay.namings is None else own(replay.namings),
    )


class Burden(NamedTuple):
    """False alerts per 1,000 patients in the first 12 months, with the upper end of the 95 % interval.

    Cases are many in a rendered hospital and few in a real one, and each brings wrong lists. `standard` is therefore
    what a hospital with the stated prevalence of undiagnosed rare disease would see: (1 - p) · controls + p · cases;
    its bound takes both bounds, which is a little too wide. `mix` is the rendered hospital as it is.
    """

    standard: float
    standard_upper: float
    controls: float
    controls_upper: float
    mix: float
    mix_upper: float


class Point(NamedTuple):
    """What one threshold gives on one set of patients."""

    threshold: float
    prioritised_share: float | None
    burden: Burden
    alerts: int


def burden_of(
    classified: Sequence[burdens.Classified],
    exposed: burdens.Exposure,
    resample: Resample,
    *,
    prevalence: float,
    horizon_days: int,
) -> Burden:
    """Burden of classified episodes; undetermined alerts count as false, as in zebrawatch.outcome.burden."""
    new = [one for one in classified if not one.episode.backlog]

    def cumulative(group: Collection[int] | None) -> tuple[float, float]:
        own = exposed if group is None else thresholds.restricted(exposed, group)
        mine = [one for one in new if group is None or one.episode.subject_id in group]
        curve = burdens.cumulative(mine, (*burdens.FALSE, burdens.UNDETERMINED), own, resample)
        told = curve.by(horizon_days)
        return (told["value"] or 0.0, told["ci95"].high if told["ci95"] else 0.0)

    (cases, cases_upper), (controls, controls_upper) = cumulative(exposed.cases), cumulative(exposed.controls)
    return Burden(
        (1 - prevalence) * controls + prevalence * cases, (1 - prevalence) * controls_upper + prevalence * cases_upper,
        controls, controls_upper, *cumulative(None),
    )  # fmt: skip


class Trial(thresholds.Trial):
    """Alerts of one half at any threshold, with what the benchmark counts: labelled pairs, and Burden."""

    def at(self, threshold: float) -> Point:
        """Share and burden at a threshold, by the protocol's rules."""
        hits, at_risk = self.prioritised(threshold)
        alerts = self.alerts(threshold)
        return Point(threshold, hits / at_risk if at_risk else None, self.burden(alerts), len(alerts))

    def burden(self, classified: Sequence[burdens.Classified], draws: int = thresholds.DRAWS) -> Burden:
        """The burden of classified episodes of these patients."""
        people = [person.subject_id for person in observed(self.replay.people)]
        seed = self.protocol.resampling.seed
        resample = self.resample if draws == self.draws else Resample(people, draws=draws, seed=seed)
        return burden_of(
            classified, self.exposed, resample, prevalence=self.protocol.prevalence.per_person[0],
            horizon_days=self.protocol.windows.horizon_days,
        )  # fmt: skip

    def threshold_for(self, most_false: float, bound: str = "standard_upper") -> float:
        """The lowest threshold whose `bound` (a field of Burden) keeps to `most_false`; 1 where none does."""
        found = self.lowest_threshold(most_false, lambda alerts: float(getattr(self.burden(alerts), bound)))
        return 1.0 if found is None else found


# -- where cases are lost ----------------------------------------------------------------------------------------------

LOSSES = (
    "prioritised",
    "the knowledge has no annotation of the disease",
    "no annotation is left without the cases' papers",
    "no finding was told before suspicion",
    "findings not recognised, or masked",
    "ranked below K with every told finding",
    "in the first K once, not on the eve",
    "in the first K, probability below the threshold",
)


@dataclass(frozen=True)
class Told:
    """A planted finding and the night of the note that tells it first."""

    hpo_id: str
    night: date


def losses(
    rows: pd.DataFrame,
    candidates: pd.DataFrame,
    told: Mapping[int, Sequence[Told]],
    published: Collection[str],
    left: Collection[str],
    rank_of_told: Mapping[tuple[int, str], float],
    matcher: Matcher,
    k: int,
) -> dict[str, int]:
    """How many at-risk pairs each part of the screen loses, the first reason that applies (LOSSES).

    `rows`: LEAD_TIME rows. `rank_of_told`: rank of the disease by the same ranker when every finding told before the
    suspicion is given to it as planted. `published`, `left`: labels' ids with annotations before and after exclusion.
    """
    counts = dict.fromkeys(LOSSES, 0)
    eve = _ranks_on_the_eve(rows, candidates, matcher)
    for row in records(rows, ("subject_id", "disease_id", "suspicion_night", "prioritised", "best_rank")):
        subject, disease = int(row["subject_id"]), str(row["disease_id"])
        known = [one for one in told.get(subject, ()) if one.night < row["suspicion_night"]]
        best = row["best_rank"]
        ever = best is not None and best == best and best <= k
        if row["prioritised"] is True:
            reason = LOSSES[0]
        elif disease not in published:
            reason = LOSSES[1]
        elif disease not in left:
            reason = LOSSES[2]
        elif not known:
            reason = LOSSES[3]
        elif eve.get((subject, disease), k + 1) <= k:
            reason = LOSSES[7]
        elif ever:
            reason = LOSSES[6]
        elif rank_of_told.get((subject, disease), k + 1) <= k:
            reason = LOSSES[4]
        else:
            reason = LOSSES[5]
        counts[reason] += 1
    return counts


def _ranks_on_the_eve(rows: pd.DataFrame, candidates: pd.DataFrame, matcher: Matcher) -> dict[tuple[int, str], int]:
    """Rank of each pair's disease in the last score before its suspicion, where it is listed."""
    found: dict[tuple[int, str], int] = {}
    grouped = dict(tuple(candidates.groupby("subject_id")))
    for row in records(rows, ("subject_id", "disease_id", "suspicion_night")):
        subject, disease = int(row["subject_id"]), str(row["disease_id"])
        own = grouped.get(subject)
        if own is None:
            continue
        before = own[own["night"] < row["suspicion_night"]]
        if before.empty:
            continue
        last = before[before["night"] == before["night"].max()].sort_values("rank")
        for rank, listed in zip(last["rank"], last["disease_id"], strict=True):
            if rank > 0 and matcher.tier(disease, listed) == "exact":
                found[subject, disease] = int(rank)
                break
    return found


def recognised(
    told: Mapping[int, Sequence[Told]], findings: pd.DataFrame, ancestors: Mapping[str, frozenset[str]]
) -> dict[str, float | int | None]:
    """Share of told findings the recogniser found in their patient: the same term, or the same or a narrower/wider one.

    `findings`: subject_id and hpo_id of present findings of the patient.
    """
    own: dict[int, set[str]] = {}
    for subject, hpo_id in zip(findings["subject_id"], findings["hpo_id"], strict=True):
        own.setdefault(int(subject), set()).add(str(hpo_id))
    tally: Counter[str] = Counter()
    for subject, listed in told.items():
        seen = own.get(subject, set())
        for hpo_id in {one.hpo_id for one in listed}:
            near = ancestors.get(hpo_id, frozenset())
            tally["told"] += 1
            tally["exact"] += hpo_id in seen
            tally["near"] += hpo_id in seen or any(hpo_id in ancestors.get(one, ()) or one in near for one in seen)
    n = tally["told"]
    return {
        "told": n,
        "recognised_exact": tally["exact"] / n if n else None,
        "recognised_near": tally["near"] / n if n else None,
    }
