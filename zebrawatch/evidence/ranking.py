"""The ranker: findings of one patient against every annotated disease, by likelihood ratios.

LIRICAL's idea (Robinson et al., Am J Hum Genet 2020): each finding multiplies the odds of a disease by P(finding |
disease) / P(finding | background). Here the background is the hospital's own, OMIM and Orphanet rows of a disease are
one, partial matches go through the ontology, and findings that have nothing to do with any disease cost a bounded
amount. docs/ranking.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.background import Background, BackgroundError
from zebrawatch.evidence.calibration import Calibration
from zebrawatch.evidence.common_conditions import COMMON_CONDITIONS, pooled_conditions
from zebrawatch.evidence.explanation import CommonExplanation, Contribution, NextTest, RankedDisease, Ranking
from zebrawatch.evidence.likelihoods import (
    Matches,
    Pooled,
    Profiles,
    annotation_background,
    borrow,
    crowding,
    mass,
    matches,
    pool_rows,
    propagate,
    relative_matrix,
    relative_share,
)
from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import Knowledge

__all__ = ["Evidence", "Person", "RankedDisease", "Ranker", "Ranking", "RankingParameters"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]

EXPECTED_SHARE = 0.3  # a finding this frequent in the disease is expected (Orphanet: frequent, 30 % and more)
EXPECTED_SHOWN = 8
EARLY_YEARS = 0.5  # onsets are given by class; half a year is within any of them
COMMON_SHOWN = 0.01
COMMON_SHARE = 0.5  # charts without a rare disease that one common condition accounts for: an assumption
LOG_NONE = float(np.log(1 - COMMON_SHARE))
LN10 = float(np.log(10))


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
DEFAULT_CALIBRATION = Calibration(
    slope=1.25,
    offset=-2.45,
    fitted_through=date.min,
    learnt_from="published cases in chart-like noise, source-excluded, against findings mixed from other cases in the "
    "same noise (benchmark ranking, none_of_these)",
    n_cases=2685,
    n_controls=2703,
)
UNKNOWN_PERSON = Person()
NO_MASKS: Mapping[int, float] = MappingProxyType({})


class Finding(NamedTuple):
    """One term, with its earliest mention."""

    term: int
    present: bool
    mention: Evidence


class Codes(NamedTuple):
    """Independent findings of one patient as numbers, in order of term: what the compiled code reads."""

    term: IntArray
    present: NDArray[np.bool_]
    noise: FloatArray
    left_out: NDArray[np.bool_]
    """The patient is counted in the background for this term."""


class Explained(NamedTuple):
    """The first diseases of one patient as numbers; natural logarithms."""

    disease: LongArray
    log_ratio: FloatArray
    posterior: FloatArray
    contribution: FloatArray
    """(diseases, findings): what each finding adds to the log ratio."""
    matched: IntArray
    """(diseases, findings): term index of the match; -1 where the disease does not explain the finding."""
    p_any: float
    p_common: FloatArray
    """Posterior of each common explanation."""


def _mention_order(mention: Evidence) -> tuple[date, datetime | str, str, int, str]:
    moment = mention.event_time.isoformat() if mention.event_time else ""
    return (mention.known_night or date.max, moment, mention.source_id, mention.start or -1, mention.hpo_id)


class _Model(NamedTuple):
    """What a ranker's compilation shares with those of other months: all that does not depend on the background."""

    pooled: Pooled
    own: Profiles
    own_mass: FloatArray
    masses: FloatArray
    profiles: Profiles
    crowding: FloatArray
    annotation_probability: FloatArray


_MODELS: dict[tuple[str, str], _Model] = {}


def _model_of(knowledge: Knowledge, parameters: RankingParameters) -> _Model:
    """The shared part, compiled once a process; only the last used one is kept."""
    key = (knowledge.version, repr(parameters))
    if key not in _MODELS:
        _MODELS.clear()
        _MODELS[key] = _compile(knowledge, parameters)
    return _MODELS[key]


def _compile(knowledge: Knowledge, parameters: RankingParameters) -> _Model:
    n = len(knowledge.diseases)
    pooled = pool_rows(knowledge, parameters)
    own = propagate(knowledge, pooled, parameters)
    own_mass = mass(pooled, n)
    share = relative_share(knowledge, own_mass, parameters)
    masses = own_mass + share * _borrowed_mass(knowledge, own_mass)
    common = pooled_conditions(knowledge)
    profiles = _with_common(borrow(knowledge, own, share, parameters), propagate(knowledge, common, parameters), n)
    common_mass = mass(common, len(COMMON_CONDITIONS))
    return _Model(
        pooled,
        own,
        own_mass,
        masses,
        profiles,
        crowding(np.concatenate([masses, common_mass]), parameters),
        annotation_background(own, len(np.unique(pooled.disease))),
    )


def _mask(knowledge: Knowledge, only: frozenset[str] | None) -> NDArray[np.bool_]:
    """Which terms are matched: all that are phenotypes, or those among `only`."""
    phenotypic = np.asarray(knowledge.phenotypic)
    if only is None:
        return phenotypic
    chosen = np.zeros(len(phenotypic), np.bool_)
    chosen[[index for each in only if (index := knowledge.term_index(each)) is not None]] = True
    return chosen & phenotypic


class Ranker:
    """Compiled once for a knowledge, a background and parameters; then ranks any number of patients."""

    def __init__(
        self,
        knowledge: Knowledge,
        background: Background,
        parameters: RankingParameters = DEFAULT_PARAMETERS,
        calibration: Calibration = DEFAULT_CALIBRATION,
        *,
        never: frozenset[str] = frozenset(),
        only: frozenset[str] | None = None,
    ) -> None:
        """Compile: about a second for all terms, far less for those of one hospital.

        `never` are ids of diseases that are not screened for. `only` are the HPO ids that can come up (a hospital uses
        a tenth of them, and every month brings a new background): other findings then match no disease. What does not
        depend on the background is compiled once a process. BackgroundError where the background was made with other
        knowledge.
        """
        if background.knowledge != knowledge.version:
            raise BackgroundError(
                f"The background {background.version} was made with knowledge {background.knowledge}, "
                f"but this is knowledge {knowledge.version}: make the background again."
            )
        self.knowledge, self.background, self.parameters = knowledge, background, parameters
        self.calibration = calibration
        n = len(knowledge.diseases)
        model = _model_of(knowledge, parameters)
        self.pooled, self.own_profiles, self.own_mass = model.pooled, model.own, model.own_mass
        self.masses, self.profiles, self.crowding = model.masses, model.profiles, model.crowding
        excluded = [index for each in never if (index := knowledge.index_of(each)) is not None]
        self.ranked = np.setdiff1d(np.flatnonzero(self.masses > 0), np.array(excluded, np.int64))
        self.annotation_probability = model.annotation_probability
        self.term_probability = self._probability(without=0)
        self.n_common = len(COMMON_CONDITIONS)
        self.matches: Matches = matches(
            knowledge, self.profiles, self.term_probability, parameters, n + self.n_common, _mask(knowledge, only)
        )
        self._pooled_start = np.searchsorted(self.pooled.disease, np.arange(n + 1, dtype=np.int32))
        self._above: dict[int, tuple[int, ...]] = {}
        self._phenotypic = np.asarray(knowledge.phenotypic)
        self._gains = {noise: self._gain(noise) for noise in sorted(set(parameters.noise.values()))}
        self._floors = {noise: self.floor(noise) for noise in self._gains}
        self._most = {noise: _most_of(self.matches.start, gain) for noise, gain in self._gains.items()}
        self._log_prior = self._make_prior()
        self._sex = {sex: self._sex_log_ratio(sex) for sex in ("male", "female")}

    # --- the model ---

    def floor(self, noise: float) -> FloatArray:
        """log ratio of a finding no disease explains, per disease (common explanations at the end)."""
        return np.asarray(np.log(noise + (1 - noise) * self.parameters.smoothing / self.crowding))

    def _gain(self, noise: float) -> FloatArray:
        """What each match adds to the floor."""
        p, m = self.parameters, self.matches
        ratio = (p.gain * m.strength + p.smoothing) / self.crowding[m.disease]
        return np.asarray(np.log(noise + (1 - noise) * ratio) - self.floor(noise)[m.disease])

    def _make_prior(self) -> FloatArray:
        """log share of every rare disease among all rare ones, and of every common condition in a chart without one."""
        p = self.parameters
        prevalence = np.where(np.isnan(self.knowledge.prevalence), p.default_prevalence, self.knowledge.prevalence)
        weight = np.zeros(len(prevalence))
        weight[self.ranked] = prevalence[self.ranked] ** p.prevalence_weight
        common = np.array([condition.prevalence for condition in COMMON_CONDITIONS])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.concatenate([weight / weight.sum(), COMMON_SHARE * common / common.sum()])))

    def _sex_log_ratio(self, sex: str) -> FloatArray:
        female = np.asarray(self.knowledge.female_share)
        return np.asarray(np.log(2.0 * (female if sex == "female" else 1.0 - female)))

    def _personal(self, person: Person, age: float | None) -> list[tuple[str, FloatArray]]:
        """Log ratios of sex and age per rare disease, each with its wording."""
        found = []
        if person.sex in self._sex:
            found.append((f"sex: {person.sex}", self._sex[person.sex]))
        if age is not None:
            with np.errstate(invalid="ignore"):
                too_young = np.asarray(self.knowledge.onset_low) > age + EARLY_YEARS
            found.append(
                ("younger than the known onset", np.where(too_young, np.log(self.parameters.early_ratio), 0.0))
            )
        return found

    # --- ranking ---

    def findings(self, evidence: Sequence[Evidence], *, unmasked_for: int | None = None) -> list[Finding]:
        """Independent findings, in order of term: each term once, present before denied, without implied ones.

        A present finding implies its ancestors; a denied one that a present finding contradicts is dropped, and so is
        one whose ancestor is denied too. `unmasked_for` leaves out what is masked for that disease.
        """
        masked = set() if unmasked_for is None else set(self.knowledge.diseases[unmasked_for].ids)
        chosen: dict[tuple[int, bool], Evidence] = {}
        for mention in evidence:
            term = self.knowledge.term_index(mention.hpo_id)
            if term is None or mention.assertion not in ("present", "negated") or not self.knowledge.phenotypic[term]:
                continue
            if masked and not masked.isdisjoint(mention.masked_for):
                continue
            key = (term, mention.assertion == "present")
            before = chosen.get(key)
            if before is None or _mention_order(mention) < _mention_order(before):
                chosen[key] = mention
        return self._independent(chosen)

    def _independent(self, chosen: dict[tuple[int, bool], Evidence]) -> list[Finding]:
        present = {term for term, is_present in chosen if is_present}
        implied: set[int] = set()
        for term in present:
            implied.update(self._proper_ancestors(term))
        denied = {term for term, is_present in chosen if not is_present} - present - implied
        kept = []
        for term, is_present in sorted(chosen):
            if is_present:
                if term not in implied:
                    kept.append(Finding(term, True, chosen[term, True]))
            elif term in denied and denied.isdisjoint(self._proper_ancestors(term)):
                kept.append(Finding(term, False, chosen[term, False]))
        return kept

    def _proper_ancestors(self, term: int) -> tuple[int, ...]:
        found = self._above.get(term)
        if found is None:
            found = tuple(up for up in self.knowledge.ancestors(term).tolist() if up != term)
            self._above[term] = found
        return found

    def codes(self, findings: Sequence[Finding]) -> Codes:
        """The findings as arrays."""
        noise = self.parameters.noise
        return Codes(
            np.array([finding.term for finding in findings], np.int32),
            np.array([finding.present for finding in findings], np.bool_),
            np.array([noise.get(finding.mention.origin, noise["text"]) for finding in findings], np.float64),
            np.array([finding.mention.in_background for finding in findings], np.bool_),
        )

    def log_ratios(self, codes: Codes) -> FloatArray:
        """Natural log likelihood ratio of every disease from its findings; common explanations stand at the end."""
        total = np.zeros(len(self.crowding))
        for noise, floor in self._floors.items():
            n = int(np.count_nonzero(codes.present & (codes.noise == noise)))
            if n:
                total += n * floor
        corrected = self._left_out_factors(codes)
        for noise, gain in self._gains.items():
            chosen = codes.present & (codes.noise == noise)
            if corrected is not None:
                _add_corrected(
                    codes.term[chosen & codes.left_out], noise, self.parameters.gain, self.parameters.smoothing,
                    self.crowding, corrected, *self.matches, total,
                )  # fmt: skip
                chosen = chosen & ~codes.left_out
            _add(codes.term[chosen], self.matches.start, self.matches.disease, gain, total)
        denied = codes.term[~codes.present]
        if len(denied):
            _deny(denied, self.parameters.negated_weight, self.term_probability, *self.profiles[:3], total)
        return total

    def _left_out_factors(self, codes: Codes) -> FloatArray | None:
        """Per term: P(term) with the patient over P(term) without; None where that changes nothing."""
        if not self.background.n_patients or not codes.left_out.any():
            return None
        return np.asarray(self.term_probability / self._probability(without=1))

    def _probability(self, *, without: int) -> FloatArray:
        """P(term) in the background, with that many patients who have it left out."""
        p = self.parameters
        return self.background.probability(
            self.annotation_probability,
            patients=p.annotation_patients, known=p.annotation_count, floor=p.background_floor, without=without,
        )  # fmt: skip

    def explain(self, codes: Codes, personal: Sequence[FloatArray] = (), *, top: int = 10) -> Explained:
        """Full likelihood ratios of one patient and the account of the first `top`, as numbers."""
        n = len(self.knowledge.diseases)
        total = self.log_ratios(codes)
        for each in personal:
            total[:n] += each
        return self._explained(codes, total, self.evidence_for_any(codes, total), top)

    def _explained(self, codes: Codes, total: FloatArray, evidence: float, top: int) -> Explained:
        n = len(self.knowledge.diseases)
        posterior = self.posterior(total, evidence)
        first = self._first(posterior[:n], top)
        contribution, matched = self._account(codes, first)
        p_common = posterior[n:]
        return Explained(
            first, total[first], posterior[first], contribution, matched, min(1.0, float(posterior[:n].sum())), p_common
        )

    def _account(self, codes: Codes, diseases: LongArray) -> tuple[FloatArray, IntArray]:
        corrected = self._left_out_factors(codes)
        factors = np.ones(1) if corrected is None else corrected
        p = self.parameters
        contribution = np.zeros((len(diseases), len(codes.term)))
        matched = np.full((len(diseases), len(codes.term)), -1, np.int32)
        _account(
            codes.term, codes.present, codes.noise, codes.left_out & (corrected is not None), factors, diseases,
            p.gain, p.smoothing, self.crowding, *self.matches,
            p.negated_weight, self.term_probability, *self.profiles[:3], contribution, matched,
        )  # fmt: skip
        return contribution, matched

    def evidence_for_any(self, codes: Codes, total: FloatArray, masked: Mapping[int, float] = NO_MASKS) -> float:
        """Evidence for "some listed rare disease": how much one disease explains of all that the findings could say.

        (e - w·c) / sqrt(i + s): e is the log ratio the best rare disease earns above the floor, c what the best common
        condition earns, i the sum of what each finding would earn with the disease it speaks for most. Findings of
        several patients mixed have the same i as one patient's, but no disease that explains many of them; a chart full
        of complaints has a large i, and something explains a part of that by chance. `masked` has the log ratios above
        the floor of diseases for which some findings do not count.
        """
        p, n = self.parameters, len(self.knowledge.diseases)
        earned = total.copy()
        could = 0.0
        for noise, floor in self._floors.items():
            chosen = codes.present & (codes.noise == noise)
            if chosen.any():
                earned -= int(np.count_nonzero(chosen)) * floor
                could += float(self._most[noise][codes.term[chosen]].sum())
        for disease, above_floor in masked.items():
            earned[disease] = above_floor
        rare = float(earned[self.ranked].max()) if len(self.ranked) else 0.0
        common = max(0.0, float(earned[n:].max()))
        return max(0.0, rare - p.common_weight * common) / float(np.sqrt(could + p.evidence_size))

    def _shares(self, total: FloatArray) -> FloatArray:
        """Shares within the rare diseases, and within the rest with `none`; each adds up to 1."""
        n = len(self.knowledge.diseases)
        weights = self.parameters.temperature * total
        weights += self._log_prior
        rare, rest = weights[:n], weights[n:]
        rare -= float(rare.max())
        most_rest = max(float(rest.max()), LOG_NONE)
        rest -= most_rest
        shares = np.exp(weights)
        shares[:n] /= float(shares[:n].sum())
        shares[n:] /= float(shares[n:].sum()) + float(np.exp(LOG_NONE - most_rest))
        return shares

    def posterior(self, total: FloatArray, evidence: float) -> FloatArray:
        """Shares of rare diseases and common explanations; the rest is `none of them`, whose log ratio is 0.

        Within the rare ones and within the rest by Bayes' rule with the tempered ratios; between the two by the
        calibration of the evidence for any, at the stated prevalence of any rare disease.
        """
        n = len(self.knowledge.diseases)
        shares = self._shares(total)
        p_any = self.calibration.probability(evidence, self.parameters.any_prevalence)
        shares[:n] *= p_any
        shares[n:] *= 1 - p_any
        return shares

    def _first(self, posterior: FloatArray, top: int) -> LongArray:
        """The `top` most probable diseases; ties by index."""
        return np.asarray(_largest(posterior, max(0, min(top, len(self.ranked)))))

    def rank(self, evidence: Sequence[Evidence], person: Person = UNKNOWN_PERSON, *, top: int = 10) -> Ranking:
        """Rank all diseases and explain the first `top`.

        The same evidence gives the same ranking to the last bit, in whatever order it comes. Unknown terms and other
        assertions than present and negated are left out. Without a present finding the list is empty.
        """
        findings = self.findings(evidence)
        codes = self.codes(findings)
        personal = self._personal(person, _age(evidence, person))
        total = self.log_ratios(codes)
        n = len(self.knowledge.diseases)
        for _, each in personal:
            total[:n] += each
        masked: dict[int, tuple[list[Finding], Codes]] = {}
        earned: dict[int, float] = {}
        for disease in sorted(self._masked(evidence)):
            left = self.findings(evidence, unmasked_for=disease)
            masked[disease] = (left, self.codes(left))
            contribution, _ = self._account(masked[disease][1], np.array([disease]))
            total[disease] = contribution.sum() + sum(each[disease] for _, each in personal)
            counted = masked[disease][1]
            floors = sum(self._floors[noise][disease] for noise in counted.noise[counted.present].tolist())
            earned[disease] = float(total[disease] - floors)
        explained = self._explained(codes, total, self.evidence_for_any(codes, total, earned), top)
        if not codes.present.any():
            return Ranking(self.parameters.any_prevalence, len(findings), (), ())
        seen = self._seen(findings)
        entries = tuple(
            self._entry(place, explained, findings, masked.get(int(disease)), personal, seen)
            for place, disease in enumerate(explained.disease)
        )
        return Ranking(explained.p_any, len(findings), entries, self._common(explained))

    def _masked(self, evidence: Sequence[Evidence]) -> set[int]:
        ids = {each for mention in evidence for each in mention.masked_for}
        return {index for each in ids if (index := self.knowledge.index_of(each)) is not None}

    def _common(self, explained: Explained) -> tuple[CommonExplanation, ...]:
        """Common explanations that hold at least one percent of the posterior, the most probable first."""
        found = [
            CommonExplanation(condition.name, float(share))
            for condition, share in zip(COMMON_CONDITIONS, explained.p_common, strict=True)
            if share >= COMMON_SHOWN
        ]
        return tuple(sorted(found, key=lambda each: (-each.posterior, each.name)))

    # --- explaining ---

    def _entry(
        self,
        place: int,
        explained: Explained,
        findings: Sequence[Finding],
        masked: tuple[list[Finding], Codes] | None,
        personal: Sequence[tuple[str, FloatArray]],
        seen: NDArray[np.bool_],
    ) -> RankedDisease:
        disease = int(explained.disease[place])
        contribution, matched = explained.contribution[place], explained.matched[place]
        if masked is not None:
            findings = masked[0]
            account = self._account(masked[1], np.array([disease]))
            contribution, matched = account[0][0], account[1][0]
        parts = [
            self._contribution(finding, float(value), int(match))
            for finding, value, match in zip(findings, contribution, matched, strict=True)
        ]
        parts += [
            Contribution("", label, None, None, float(each[disease]) / LN10, "person", "present")
            for label, each in personal
            if each[disease] != 0.0
        ]
        parts.sort(key=lambda each: (-each.log10_lr, each.hpo_id, each.assertion))
        expected = self._expected(disease, self._seen(findings) if masked is not None else seen)
        return RankedDisease(
            rank=place + 1,
            disease_id=self.knowledge.diseases[disease].id,
            disease_name=self.knowledge.diseases[disease].name,
            log10_lr=float(explained.log_ratio[place]) / LN10,
            posterior=float(explained.posterior[place]),
            contributions=tuple(parts),
            expected_absent=tuple(self.knowledge.terms[term] for term in expected[0][:EXPECTED_SHOWN].tolist()),
            next_test=self._next_test(expected, findings, disease),
        )

    def _contribution(self, finding: Finding, value: float, matched: int) -> Contribution:
        knowledge, mention = self.knowledge, finding.mention
        return Contribution(
            hpo_id=knowledge.terms[finding.term],
            label=knowledge.labels[finding.term],
            matched_id=None if matched < 0 else knowledge.terms[matched],
            matched_label=None if matched < 0 else knowledge.labels[matched],
            log10_lr=value / LN10,
            origin=mention.origin,
            assertion=mention.assertion,
            source_id=mention.source_id,
            start=mention.start,
            end=mention.end,
            quote=mention.quote,
            known_night=mention.known_night,
        )

    def _seen(self, findings: Sequence[Finding]) -> NDArray[np.bool_]:
        """Per term: whether it is present or implied by what is."""
        seen = np.zeros(len(self.knowledge.terms), np.bool_)
        for finding in findings:
            if finding.present:
                seen[finding.term] = True
                seen[list(self._proper_ancestors(finding.term))] = True
        return seen

    def _expected(self, disease: int, seen: NDArray[np.bool_]) -> tuple[IntArray, FloatArray]:
        """Terms frequent in the disease that are not among the findings nor implied by one, most frequent first."""
        low, high = self._pooled_start[disease], self._pooled_start[disease + 1]
        term, share = self.pooled.term[low:high], self.pooled.probability[low:high]
        missing = (share >= EXPECTED_SHARE) & ~seen[term] & self._phenotypic[term]
        term, share = term[missing], share[missing]
        order = np.lexsort((term, -share))
        return term[order], share[order]

    def _next_test(
        self, expected: tuple[IntArray, FloatArray], findings: Sequence[Finding], disease: int
    ) -> NextTest | None:
        """The expected finding whose test would, on average, move the log ratio most.

        That is the largest sum of what its presence would add and its absence would take, each weighted by how probable
        it is in the disease, among findings not yet known to be absent.
        """
        denied = [finding.term for finding in findings if not finding.present]
        term, share = expected
        common = self.term_probability[term]
        open_ = (common < share) & ~np.isin(term, denied)
        if not open_.any():
            return None
        term, share, common = term[open_], share[open_], common[open_]
        ratio = (self.parameters.gain * share / common + self.parameters.smoothing) / self.crowding[disease]
        if_present, if_absent = np.log10(ratio), np.log10((1 - share) / (1 - common))
        best = int(np.argmax(share * if_present - (1 - share) * if_absent))
        found = int(term[best])
        return NextTest(
            self.knowledge.terms[found], self.knowledge.labels[found], float(if_present[best]), float(if_absent[best])
        )


def _age(evidence: Sequence[Evidence], person: Person) -> float | None:
    """Age in years at the last finding; None where it is not known."""
    times = [mention.event_time.date() for mention in evidence if mention.event_time is not None]
    if person.birth_date is None or not times:
        return None
    return (max(times) - person.birth_date).days / 365.25


def _borrowed_mass(knowledge: Knowledge, masses: FloatArray) -> FloatArray:
    return np.asarray(relative_matrix(knowledge) @ masses)


def _with_common(rare: Profiles, common: Profiles, n_diseases: int) -> Profiles:
    """Rare and common profiles in one CSR; common explanations follow the diseases."""
    n_terms = len(rare.start) - 1
    term = np.concatenate([np.repeat(np.arange(n_terms), np.diff(each.start)) for each in (rare, common)])
    disease = np.concatenate([rare.disease, common.disease + np.int32(n_diseases)])
    order = np.lexsort((disease, term))
    return Profiles(
        rare.start + common.start,
        disease[order],
        np.concatenate([rare.probability, common.probability])[order],
        np.concatenate([rare.own, common.own])[order],
    )


@numba.njit(cache=True)
def _largest(values, n):  # type: ignore[no-untyped-def]
    """Indices of the n largest values, largest first, ties by index."""
    chosen = np.zeros(n, np.int64)
    kept = np.full(n, -np.inf)
    for i in range(len(values)):
        if n and values[i] > kept[n - 1]:
            place = n - 1
            while place > 0 and values[i] > kept[place - 1]:
                kept[place] = kept[place - 1]
                chosen[place] = chosen[place - 1]
                place -= 1
            kept[place] = values[i]
            chosen[place] = i
    return chosen


@numba.njit(cache=True)
def _most_of(start, gain):  # type: ignore[no-untyped-def]
    """Largest gain among the entries of each term; 0 where it has none."""
    most = np.zeros(len(start) - 1)
    for term in range(len(most)):
        for e in range(start[term], start[term + 1]):
            most[term] = max(most[term], gain[e])
    return most


@numba.njit(cache=True)
def _add(terms, start, disease, gain, total):  # type: ignore[no-untyped-def]
    for term in terms:
        for e in range(start[term], start[term + 1]):
            total[disease[e]] += gain[e]


@numba.njit(cache=True)
def _add_corrected(  # type: ignore[no-untyped-def]
    terms, noise, gain, smoothing, crowding, factors, start, disease, matched, strength, total
):
    for term in terms:
        for e in range(start[term], start[term + 1]):
            total[disease[e]] += _gain_of(
                strength[e] * factors[matched[e]], noise, gain, smoothing, crowding[disease[e]]
            )


@numba.njit(cache=True)
def _gain_of(strength, noise, gain, smoothing, crowding):  # type: ignore[no-untyped-def]
    ratio = (gain * strength + smoothing) / crowding
    return np.log(noise + (1.0 - noise) * ratio) - np.log(noise + (1.0 - noise) * smoothing / crowding)


@numba.njit(cache=True)
def _denial(probability, common, belief):  # type: ignore[no-untyped-def]
    return min(0.0, np.log((1.0 - belief * probability) / (1.0 - belief * common)))


@numba.njit(cache=True)
def _deny(terms, belief, background, start, disease, probability, total):  # type: ignore[no-untyped-def]
    for term in terms:
        for e in range(start[term], start[term + 1]):
            total[disease[e]] += _denial(probability[e], background[term], belief)


@numba.njit(cache=True)
def _place(start, disease, term, wanted):  # type: ignore[no-untyped-def]
    low, high = start[term], start[term + 1]
    while low < high:
        middle = (low + high) // 2
        if disease[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < start[term + 1] and disease[low] == wanted else -1


@numba.njit(cache=True)
def _account(  # type: ignore[no-untyped-def]
    terms, present, noise, left_out, factors, diseases, gain, smoothing, crowding,
    start, disease, matched, strength, belief, background, p_start, p_disease, probability, out, out_matched,
):  # fmt: skip
    for j in range(len(diseases)):
        d = diseases[j]
        for i in range(len(terms)):
            if present[i]:
                out[j, i] = np.log(noise[i] + (1.0 - noise[i]) * smoothing / crowding[d])
                e = _place(start, disease, terms[i], d)
                if e >= 0:
                    much = strength[e] * factors[matched[e]] if left_out[i] else strength[e]
                    out[j, i] += _gain_of(much, noise[i], gain, smoothing, crowding[d])
                    out_matched[j, i] = matched[e]
            else:
                e = _place(p_start, p_disease, terms[i], d)
                if e >= 0:
                    out[j, i] = _denial(probability[e], background[terms[i]], belief)
                    out_matched[j, i] = terms[i]
