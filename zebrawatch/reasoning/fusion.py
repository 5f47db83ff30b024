"""The two arms joined: by one fixed rule, or by a fusion fitted for one model profile on labelled pairs.

The fixed rule:

1. The evidence arm's posterior stands: neither P(any) nor a disease's share is changed by the model.
2. Only diseases on the evidence arm's list are shown. One that the model supports with a quote that stands may rise:
   its place is the mean of its two ranks where the model ranks it higher. None falls by a rule of its own, and the
   evidence arm's first stays first.
3. A disease that the model names without a quote that stands has no effect. One that is not on the list is told to the
   reviewer beside the list, and cannot flag.
4. Where the arms disagree, that is shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from zebrawatch.errors import ZebrawatchError
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


# -- fitted ------------------------------------------------------------------------------------------------------------

FITTED_RULE = "fitted-logistic@1"
FEWEST_PAIRS = 100
"""Labelled pairs below which nothing is fitted: the fixed rule stands (OUTCOMES asks the same of a percentage)."""
_INVERSE_PENALTY = 10.0
_EDGE = 1e-6


class FusionError(ZebrawatchError):
    """A fitted fusion cannot be made, or may not be used here."""


@dataclass(frozen=True)
class LabelledPair:
    """A patient who was read by both arms: the evidence arm's list, the model's supported ranks, and the truth.

    `told`: rank by disease id of what the model named with a quote that stands (`supported_ranks`). `disease_id` is
    None where the patient has no rare disease. `night`: the night whose chart was read.
    """

    subject_id: int
    night: date
    listed: tuple[Listed, ...]
    told: Mapping[str, int]
    disease_id: str | None


@dataclass(frozen=True)
class FittedFusion:
    """Evidence posterior and one model profile's ranks, joined to one probability for each listed disease.

    log odds = intercept + posterior · logit(evidence posterior) + rank · 1/(model's rank) + silent · [not named]: a
    logistic regression over listed diseases (D. R. Cox, J R Stat Soc B 1958;20:215). `fitted_through` is the last night
    any of its pairs rest on, the nights by which their truth was known included.
    """

    profile: str
    """Digest of the model profile it was fitted for."""
    intercept: float
    posterior: float
    rank: float
    silent: float
    fitted_through: date
    pairs: int
    learnt_from: str
    """real, made, rendered, or `simulated reader`."""

    @classmethod
    def fit(
        cls, pairs: Sequence[LabelledPair], *, profile: str, learnt_from: str, known_through: date = date.min
    ) -> FittedFusion:
        """Fit on labelled pairs; FusionError with fewer than FEWEST_PAIRS diagnosed patients, or none listed.

        `known_through`: the last night of the records that say who has which disease.
        """
        diagnosed = {pair.subject_id for pair in pairs if pair.disease_id is not None}
        if len(diagnosed) < FEWEST_PAIRS:
            raise FusionError(
                f"A fitted fusion needs {FEWEST_PAIRS} labelled pairs and has {len(diagnosed)}: the fixed rule stands."
            )
        rows = [_features(entry, pair.told) for pair in pairs for entry in pair.listed]
        truth = np.array([entry.disease_id == pair.disease_id for pair in pairs for entry in pair.listed])
        if not rows or truth.all() or not truth.any():
            raise FusionError("A fitted fusion needs listed diseases that are right, and others that are wrong.")
        from sklearn.linear_model import LogisticRegression  # takes seconds, in every worker that folds

        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000).fit(np.array(rows), truth)
        posterior, rank, silent = (float(weight) for weight in model.coef_[0])
        through = max(known_through, *(pair.night for pair in pairs))
        return cls(profile, float(model.intercept_[0]), posterior, rank, silent, through, len(diagnosed), learnt_from)

    @property
    def version(self) -> str:
        """`fusion@` with the first digits of its profile and the last night it rests on."""
        return f"fusion@{self.profile[:12]}-{self.fitted_through}"

    @property
    def rule(self) -> str:
        """How the run identity names it."""
        return f"{FITTED_RULE} {self.profile[:12]} through {self.fitted_through} {self.digest}"

    @property
    def digest(self) -> str:
        """Of all its values, first 16 hex digits of a sha256."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def check_profile(self, profile: str) -> None:
        """FusionError for another model profile."""
        if profile != self.profile:
            raise FusionError("This fusion was fitted for another model profile: fit one for each.")

    def may_join(self, night: date, profile: str) -> bool:
        """Whether an answer is of the profile it was fitted for, on a night after all that it rests on."""
        return profile == self.profile and night > self.fitted_through

    def probabilities(self, listed: Sequence[Listed], told: Mapping[str, int]) -> list[float]:
        """Probability that each listed disease is the patient's, in the order of the list; in 0 to 1."""
        weights = (self.posterior, self.rank, self.silent)
        found = []
        for entry in listed:
            odds = self.intercept + sum(w * x for w, x in zip(weights, _features(entry, told), strict=True))
            found.append(1 / (1 + exp(-max(-700.0, min(700.0, odds)))))
        return found

    def join(
        self,
        p_any: float,
        listed: Sequence[Listed],
        differential: JudgedAnswer | None,
        confirmations: Sequence[JudgedAnswer] = (),
        *,
        threshold: float,
        night: date,
        profile: str,
    ) -> Joined:
        """As the fixed rule's `join`, in the order of the fitted probability; P(any) stays the evidence arm's.

        Without an accepted answer the evidence arm's order stands. FusionError for another model profile, and for a
        night that its own data reach (`fitted_through` ≥ night).
        """
        self.check_profile(profile)
        if self.fitted_through >= night:
            raise FusionError(f"This fusion was fitted through {self.fitted_through}: night {night} may not use it.")
        fixed = join(p_any, listed, differential, confirmations, threshold=threshold)
        told = supported_ranks(differential)
        if differential is None or not differential.accepted:
            return fixed
        chances = self.probabilities(listed, told)
        order = sorted(range(len(listed)), key=lambda place: (-chances[place], place))
        shown = tuple(
            Shown(rank, place + 1, told.get(listed[place].disease_id), listed[place].disease_id in told, listed[place])
            for rank, place in enumerate(order, start=1)
        )
        return replace(fixed, shown=shown, rule=self.rule)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives the same object back."""
        return {**asdict(self), "fitted_through": self.fitted_through.isoformat()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FittedFusion:
        """Read what `to_json` wrote."""
        return cls(**{**values, "fitted_through": date.fromisoformat(values["fitted_through"])})


def read_fusion(place: Path) -> FittedFusion:
    """The fusion kept in a file; FusionError where there is none."""
    try:
        return FittedFusion.from_json(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise FusionError(f"There is no fitted fusion in {place} (reasoning.fusion).") from None


def supported_ranks(answer: JudgedAnswer | None) -> dict[str, int]:
    """Rank by disease id of what an accepted answer names with a quote that stands."""
    ranks = {d.resolution.disease_id: d.rank for d in reversed(_may_flag(answer))}
    return {disease: rank for disease, rank in ranks.items() if disease is not None}


def _features(entry: Listed, told: Mapping[str, int]) -> tuple[float, float, float]:
    chance = min(1 - _EDGE, max(_EDGE, entry.posterior))
    rank = told.get(entry.disease_id)
    return log(chance / (1 - chance)), 0.0 if rank is None else 1 / rank, float(rank is None)
