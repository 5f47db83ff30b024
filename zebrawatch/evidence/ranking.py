"""The ranker: findings of one patient against every annotated disease, by likelihood ratios.

LIRICAL's idea (Robinson et al., Am J Hum Genet 2020): each finding multiplies the odds of a disease by P(finding |
disease) / P(finding | background). Here the background is the hospital's own, OMIM and Orphanet rows of a disease are
one, partial matches go through the ontology, and findings that have nothing to do with any disease cost a bounded
amount. docs/ranking.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import log10
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.background import Background, BackgroundError
from zebrawatch.evidence.explanation import Contribution, NextTest, RankedDisease, Ranking
from zebrawatch.evidence.likelihoods import (
    Profiles,
    Ratios,
    annotation_background,
    likelihood_ratios,
    pool_rows,
    propagate,
)
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import Knowledge

__all__ = ["Evidence", "Person", "RankedDisease", "Ranker", "Ranking", "RankingParameters"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]

EXPECTED_SHARE = 0.3  # a finding this frequent in the disease is expected (Orphanet: frequent, 30 % and more)
EXPECTED_SHOWN = 8


@dataclass(frozen=True)
class Evidence:
    """One mention of a finding about the patient."""

    hpo_id: str
    assertion: str
    """present or negated; other assertions are no evidence and are left out."""
    origin: str
    """text, measurement, lab or code."""
    source_id: str
    start: int | None = None
    end: int | None = None
    quote: str | None = None
    known_night: date | None = None
    event_time: datetime | None = None
    masked_for: frozenset[str] = frozenset()
    """Diseases its document names: it does not count for them."""
    in_background: bool = False
    """The patient is counted in the background for this term, so is left out of it."""


@dataclass(frozen=True)
class Person:
    """Who the findings are about."""

    sex: str | None = None
    """FHIR administrative gender: male, female, other, unknown."""
    birth_date: date | None = None


DEFAULT_PARAMETERS = RankingParameters()
UNKNOWN_PERSON = Person()


class _Finding(NamedTuple):
    """One term, with its earliest mention."""

    term: int
    present: bool
    mention: Evidence


def _mention_order(mention: Evidence) -> tuple[date, datetime | str, str, int, str]:
    moment = mention.event_time.isoformat() if mention.event_time else ""
    return (mention.known_night or date.max, moment, mention.source_id, mention.start or -1, mention.hpo_id)


class Ranker:
    """Compiled once for a knowledge, a background and parameters; then ranks any number of patients."""

    def __init__(
        self,
        knowledge: Knowledge,
        background: Background,
        parameters: RankingParameters = DEFAULT_PARAMETERS,
        *,
        never: frozenset[str] = frozenset(),
    ) -> None:
        """`never` are ids of diseases that are not screened for. BackgroundError where the background was made with
        other knowledge.
        """
        if background.knowledge != knowledge.version:
            raise BackgroundError(
                f"The background {background.version} was made with knowledge {background.knowledge}, "
                f"but this is knowledge {knowledge.version}: make the background again."
            )
        self.knowledge = knowledge
        self.background = background
        self.parameters = parameters
        self._pooled, self.profiles, default = _profiles(knowledge, parameters)
        excluded = [index for each in never if (index := knowledge.index_of(each)) is not None]
        self.ranked = np.setdiff1d(np.unique(self._pooled[0]), np.array(excluded, np.int32))
        floor = parameters.background_floor
        self.term_probability = background.probability(default, parameters.annotation_patients, floor)
        self._ratios: dict[int, Ratios] = {}
        self._log_prior = self._make_prior()

    def _make_prior(self) -> FloatArray:
        """log P(disease) among the screened, adding up to `any_prevalence`; -inf for diseases without a profile."""
        p = self.parameters
        prevalence = np.where(np.isnan(self.knowledge.prevalence), p.default_prevalence, self.knowledge.prevalence)
        weight = np.zeros(len(prevalence))
        weight[self.ranked] = prevalence[self.ranked] ** p.prevalence_weight
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(p.any_prevalence * weight / weight.sum()))

    # --- ranking ---

    def findings(self, evidence: Sequence[Evidence], *, unmasked_for: int | None = None) -> list[_Finding]:
        """Independent findings, in order of term: each term once, present before denied, without implied ones.

        A present finding implies its ancestors; a denied one that a present finding contradicts is dropped, and one
        whose ancestor is denied too is implied by that. `unmasked_for` leaves out what is masked for that disease.
        """
        masked = set() if unmasked_for is None else set(self.knowledge.diseases[unmasked_for].ids)
        chosen: dict[tuple[int, bool], Evidence] = {}
        for mention in sorted(evidence, key=_mention_order):
            term = self.knowledge.term_index(mention.hpo_id)
            if term is None or mention.assertion not in ("present", "negated") or not self.knowledge.phenotypic[term]:
                continue
            if masked and not masked.isdisjoint(mention.masked_for):
                continue
            chosen.setdefault((term, mention.assertion == "present"), mention)
        present = {term for term, is_present in chosen if is_present}
        implied = {int(up) for term in present for up in self.knowledge.ancestors(term) if up != term}
        denied = {term for term, is_present in chosen if not is_present} - present - implied
        found = []
        for term, is_present in sorted(chosen):
            if is_present and term in implied:
                continue
            if not is_present and (
                term not in denied or any(int(up) in denied for up in self.knowledge.ancestors(term) if up != term)
            ):
                continue
            found.append(_Finding(term, is_present, chosen[term, is_present]))
        return found

    def log_ratios(self, findings: Sequence[_Finding], person: Person) -> FloatArray:
        """Natural log likelihood ratio of every disease (index of `knowledge.diseases`)."""
        total = np.zeros(len(self.knowledge.diseases))
        for finding in findings:
            if finding.present:
                ratios = self.ratios(finding.term)
                _add_present(total, ratios.disease, ratios.ratio, self._noise(finding))
            else:
                low, high = self.profiles.start[finding.term], self.profiles.start[finding.term + 1]
                _add_denied(
                    total,
                    self.profiles.disease[low:high],
                    self.profiles.probability[low:high],
                    self.parameters.negated_weight,
                    self.term_probability[finding.term],
                )
        return total + self._sex_log_ratio(person)

    def ratios(self, term: int) -> Ratios:
        """The term's likelihood ratios, computed when first asked for."""
        known = self._ratios.get(term)
        if known is None:
            known = likelihood_ratios(self.knowledge, self.profiles, self.term_probability, self.parameters, term)
            self._ratios[term] = known
        return known

    def _noise(self, finding: _Finding) -> float:
        return self.parameters.noise.get(finding.mention.origin, self.parameters.noise["text"])

    def _sex_log_ratio(self, person: Person) -> FloatArray:
        if person.sex not in ("male", "female"):
            return np.zeros(len(self.knowledge.diseases))
        female = np.asarray(self.knowledge.female_share)
        return np.asarray(np.log(2.0 * (female if person.sex == "female" else 1.0 - female)))

    def rank(self, evidence: Sequence[Evidence], person: Person = UNKNOWN_PERSON, *, top: int = 10) -> Ranking:
        """Rank all annotated diseases and explain the first `top`.

        The same evidence gives the same ranking to the last bit, in whatever order it comes. Unknown terms and other
        assertions than present and negated are left out. No finding at all gives an empty list and the prior.
        """
        findings = self.findings(evidence)
        scores = self.log_ratios(findings, person)
        by_disease: dict[int, list[_Finding]] = {}
        for disease in sorted(self._masked(evidence)):
            by_disease[disease] = self.findings(evidence, unmasked_for=disease)
            scores[disease] = self.log_ratios(by_disease[disease], person)[disease]
        posterior, p_any = self._posterior(scores)
        if not any(finding.present for finding in findings):
            return Ranking(p_any, len(findings), ())
        order = self._first(posterior, top)
        entries = tuple(
            self._explained(place, int(disease), by_disease.get(int(disease), findings), person, scores, posterior)
            for place, disease in enumerate(order, 1)
        )
        return Ranking(p_any, len(findings), entries)

    def _masked(self, evidence: Sequence[Evidence]) -> set[int]:
        ids = {each for mention in evidence for each in mention.masked_for}
        return {index for each in ids if (index := self.knowledge.index_of(each)) is not None}

    def _posterior(self, scores: FloatArray) -> tuple[FloatArray, float]:
        """Shares of the posterior over all diseases and `none of them`, whose log likelihood ratio is 0."""
        p = self.parameters
        weights = self._log_prior + p.temperature * scores
        none = np.log1p(-p.any_prevalence)
        largest = max(float(weights.max(initial=none)), float(none))
        shares = np.exp(weights - largest)
        total = shares.sum() + np.exp(none - largest)
        return np.asarray(shares / total), float(shares.sum() / total)

    def _first(self, posterior: FloatArray, top: int) -> NDArray[np.int64]:
        """The `top` most probable diseases; ties by index."""
        n = min(top, len(self.ranked))
        if n <= 0:
            return np.zeros(0, np.int64)
        edge = np.partition(posterior, len(posterior) - n)[len(posterior) - n]
        near = np.flatnonzero(posterior >= edge)
        return near[np.lexsort((near, -posterior[near]))][:n]

    # --- explaining ---

    def _explained(
        self,
        place: int,
        disease: int,
        findings: Sequence[_Finding],
        person: Person,
        scores: FloatArray,
        posterior: FloatArray,
    ) -> RankedDisease:
        contributions = [self._contribution(finding, disease) for finding in findings]
        contributions += self._personal(person, disease)
        contributions.sort(key=lambda each: (-each.log10_lr, each.hpo_id))
        record = self.knowledge.diseases[disease]
        expected = self._expected(disease, findings)
        return RankedDisease(
            rank=place,
            disease_id=record.id,
            disease_name=record.name,
            log10_lr=float(scores[disease] / np.log(10)),
            posterior=float(posterior[disease]),
            contributions=tuple(contributions),
            expected_absent=tuple(self.knowledge.terms[term] for term, _ in expected[:EXPECTED_SHOWN]),
            next_test=self._next_test(expected, findings),
        )

    def _contribution(self, finding: _Finding, disease: int) -> Contribution:
        value, matched = self._pair(finding, disease)
        knowledge, mention = self.knowledge, finding.mention
        return Contribution(
            hpo_id=knowledge.terms[finding.term],
            label=knowledge.labels[finding.term],
            matched_id=None if matched is None else knowledge.terms[matched],
            matched_label=None if matched is None else knowledge.labels[matched],
            log10_lr=float(value / np.log(10)),
            origin=mention.origin,
            assertion=mention.assertion,
            source_id=mention.source_id,
            start=mention.start,
            end=mention.end,
            quote=mention.quote,
            known_night=mention.known_night,
        )

    def _pair(self, finding: _Finding, disease: int) -> tuple[float, int | None]:
        """Natural log ratio of one finding for one disease, and the term it matched."""
        if finding.present:
            noise = self._noise(finding)
            ratios = self.ratios(finding.term)
            at = int(np.searchsorted(ratios.disease, disease))
            if at < len(ratios.disease) and ratios.disease[at] == disease:
                return float(np.log(noise + (1 - noise) * ratios.ratio[at])), int(ratios.matched[at])
            return float(np.log(noise)), None
        low, high = int(self.profiles.start[finding.term]), int(self.profiles.start[finding.term + 1])
        at = low + int(np.searchsorted(self.profiles.disease[low:high], disease))
        if at < high and self.profiles.disease[at] == disease:
            belief = self.parameters.negated_weight
            ratio = (1 - belief * self.profiles.probability[at]) / (1 - belief * self.term_probability[finding.term])
            return float(min(0.0, np.log(ratio))), finding.term
        return 0.0, None

    def _personal(self, person: Person, disease: int) -> list[Contribution]:
        value = float(self._sex_log_ratio(person)[disease])
        if value == 0.0:
            return []
        label = f"sex: {person.sex}"
        return [
            Contribution("", label, None, None, value / np.log(10), "person", "present", None, None, None, None, None)
        ]

    def _expected(self, disease: int, findings: Sequence[_Finding]) -> list[tuple[int, float]]:
        """Terms frequent in the disease that are not among the findings nor implied by one, most frequent first."""
        low, high = np.searchsorted(self._pooled[0], [disease, disease + 1])
        terms, shares = self._pooled[1][low:high], self._pooled[2][low:high]
        seen = {int(up) for finding in findings if finding.present for up in self.knowledge.ancestors(finding.term)}
        expected = [
            (int(term), float(share))
            for term, share in zip(terms, shares, strict=True)
            if share >= EXPECTED_SHARE and int(term) not in seen and self.knowledge.phenotypic[term]
        ]
        return sorted(expected, key=lambda each: (-each[1], each[0]))

    def _next_test(self, expected: list[tuple[int, float]], findings: Sequence[_Finding]) -> NextTest | None:
        """The expected finding with the largest expected log likelihood ratio (Kullback-Leibler divergence)."""
        denied = {finding.term for finding in findings if not finding.present}
        best: tuple[float, int, float, float] | None = None
        for term, share in expected:
            common = float(self.term_probability[term])
            if_present, if_absent = log10(share / common), log10((1 - share) / (1 - min(common, 0.999)))
            gain = share * if_present + (1 - share) * if_absent
            if term not in denied and (best is None or gain > best[0]):
                best = (gain, term, if_present, if_absent)
        if best is None:
            return None
        _, term, if_present, if_absent = best
        return NextTest(self.knowledge.terms[term], self.knowledge.labels[term], if_present, if_absent)


_Profile = tuple[tuple[IntArray, IntArray, FloatArray], Profiles, FloatArray]
_PROFILES: dict[tuple[str, str], _Profile] = {}


def _profiles(knowledge: Knowledge, parameters: RankingParameters) -> _Profile:
    """What does not depend on the background: the pooled rows, the profiles, the background the annotations suggest.

    The rankers of all months share them; only the last used knowledge and parameters are kept.
    """
    key = (knowledge.version, repr(parameters))
    if key not in _PROFILES:
        pooled = pool_rows(knowledge, parameters)
        profiles = propagate(knowledge, pooled, parameters)
        _PROFILES.clear()
        _PROFILES[key] = pooled, profiles, annotation_background(profiles, len(np.unique(pooled[0])))
    return _PROFILES[key]


@numba.njit(cache=True)
def _add_present(total, disease, ratio, noise):  # type: ignore[no-untyped-def]
    floor = np.log(noise)
    total += floor
    for e in range(len(disease)):
        total[disease[e]] += np.log(noise + (1.0 - noise) * ratio[e]) - floor


@numba.njit(cache=True)
def _add_denied(total, disease, probability, weight, background):  # type: ignore[no-untyped-def]
    base = np.log(1.0 - weight * background)
    for e in range(len(disease)):
        total[disease[e]] += min(0.0, np.log(1.0 - weight * probability[e]) - base)
