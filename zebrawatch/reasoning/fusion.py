"""The two arms joined, for now by one fixed rule.

1. The evidence arm's posterior stands: neither P(any) nor a disease's share is changed by the model.
2. Only diseases on the evidence arm's list are shown. One that the model supports with a quote that stands may rise:
   its place is the mean of its two ranks where the model ranks it higher. None falls by a rule of its own, and the
   evidence arm's first stays first.
3. A disease that the model names without a quote that stands has no effect. One that is not on the list is told to the
   reviewer beside the list, and cannot flag.
4. Where the arms disagree, that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease

RULE = "mean-of-ranks@1"
SURE_OF_NONE = 0.5


@dataclass(frozen=True)
class Listed:
    """A disease of the evidence arm's list, in its order."""

    disease_id: str
    name: str
    posterior: float
    log10_lr: float


@dataclass(frozen=True)
class Shown:
    """A disease as shown: its place now, in the evidence arm, and in the model's answer (None: not named there)."""

    rank: int
    evidence_rank: int
    reasoning_rank: int | None
    supported: bool
    listed: Listed


@dataclass(frozen=True)
class Disagreement:
    """Where the arms differ, for the reviewer. `kind`: reasoning only / speaks against / says none / other first."""

    kind: str
    disease_id: str | None
    name: str
    detail: str


@dataclass(frozen=True)
class Joined:
    """The joined list. `p_any` is the evidence arm's."""

    p_any: float
    shown: tuple[Shown, ...]
    disagreements: tuple[Disagreement, ...]
    rule: str = RULE


def join(
    p_any: float,
    listed: Sequence[Listed],
    differential: JudgedAnswer | None,
    confirmations: Sequence[JudgedAnswer] = (),
    *,
    threshold: float,
) -> Joined:
    """Join the evidence arm's list with the judged answers; answers that were not accepted count for nothing."""
    told = {d.resolution.disease_id: d for d in reversed(_may_flag(differential))}
    places = {entry.disease_id: rank for rank, entry in enumerate(listed, start=1)}
    order = sorted(listed, key=lambda entry: _place(places[entry.disease_id], told.get(entry.disease_id)))
    shown = tuple(
        Shown(rank, places[entry.disease_id], told[entry.disease_id].rank if entry.disease_id in told else None,
              entry.disease_id in told, entry)
        for rank, entry in enumerate(order, start=1)
    )  # fmt: skip
    return Joined(p_any, shown, tuple(_disagreements(p_any, listed, differential, confirmations, threshold)))


def _may_flag(answer: JudgedAnswer | None) -> list[JudgedDisease]:
    return [d for d in answer.diseases if d.may_flag] if answer is not None and answer.accepted else []


def _place(evidence_rank: int, told: JudgedDisease | None) -> tuple[float, bool, int]:
    """Mean of the ranks where that is a rise; at the same place, the supported disease comes first."""
    mean = evidence_rank if told is None else min(evidence_rank, (evidence_rank + told.rank) / 2)
    return mean, told is None, evidence_rank


def _disagreements(
    p_any: float,
    listed: Sequence[Listed],
    differential: JudgedAnswer | None,
    confirmations: Sequence[JudgedAnswer],
    threshold: float,
) -> list[Disagreement]:
    on_list = {entry.disease_id for entry in listed}
    found: list[Disagreement] = []
    supported = _may_flag(differential)
    for disease in supported:
        if disease.resolution.disease_id not in on_list:
            detail = f"{len(disease.supporting)} quotes stand; it is not on the evidence arm's list"
            found.append(Disagreement("reasoning only", disease.resolution.disease_id, disease.name, detail))
    if differential is not None and differential.accepted and (differential.no_rare_disease or 0.0) >= SURE_OF_NONE:
        if p_any >= threshold:
            detail = (
                f"the model gives no rare disease {differential.no_rare_disease:.2f}, the evidence arm any {p_any:.2f}"
            )
            found.append(Disagreement("says none", None, "no rare disease", detail))
    elif supported and listed and supported[0].resolution.disease_id in on_list - {listed[0].disease_id}:
        detail = f"the evidence arm puts {listed[0].name} first"
        found.append(Disagreement("other first", supported[0].resolution.disease_id, supported[0].name, detail))
    for answer in confirmations:
        if answer.accepted and answer.consistent == "no" and answer.diseases[0].against:
            judged = answer.diseases[0]
            detail = f"{len(judged.against)} quotes against it stand"
            found.append(Disagreement("speaks against", judged.resolution.disease_id, judged.name, detail))
    return found
