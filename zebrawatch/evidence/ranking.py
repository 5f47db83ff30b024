"""The ranker: findings of one patient against every annotated disease, by likelihood ratios.

LIRICAL's idea (Robinson et al., Am J Hum Genet 2020): each finding multiplies the odds of a disease by P(finding |
disease) / P(finding | background). Here the background is the hospital's own, OMIM and Orphanet rows of a disease are
one, partial matches go through the ontology, and findings that have nothing to do with any disease cost a bounded
amount. docs/ranking.md has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import itemgetter
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
    papers_behind,
    pool_rows,
    prior_weight,
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
NOTHING_COUNTED = np.zeros(0, np.bool_)
NOTHING_PERSONAL = np.zeros(0)
NOTHING_CHANGED: Mapping[int, float] = MappingProxyType({})


class Finding(NamedTuple):
    """One term, with its earliest mention."""

    term: int
    present: bool
    mention: Evidence


class Codes(NamedTuple):
    """Independent findings of one patient as numbers, in order of term: what the compiled code reads."""

    term: IntArray
    present: NDArray[np.bool_]
    level: LongArray
    """Place of the finding's noise in `Ranker.levels`."""
    counted: NDArray[np.bool_]
    """Per term of the ontology: whether the patient is counted in the background for it; empty where for none."""


class Score(NamedTuple):
    """One patient against every disease; common explanations stand at the end of the arrays."""

    total: FloatArray
    """Natural log likelihood ratios."""
    weight: FloatArray
    """Tempered, with the prior."""
    rare: float
    """What the best ranked rare disease earns above the floor."""
    common: float
    could: float
    """What the findings would earn, each with the disease it speaks for most."""


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
    expected: IntArray
    """(diseases, EXPECTED_SHOWN): term indices frequent in the disease and not found, most frequent first; -1 fills."""
    test: IntArray
    """(diseases,): term whose test would most change the answer; -1 where there is none."""
    test_present: FloatArray
    """(diseases,): what its presence would add to the log ratio."""
    test_absent: FloatArray
    """(diseases,): what its absence would take, were the test certain."""


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
    prior_weight: FloatArray


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
        prior_weight(np.asarray(knowledge.prevalence), papers_behind(knowledge), parameters),
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
        self.annotation_probability, self.prior_weight = model.annotation_probability, model.prior_weight
        self.term_probability = self._probability(without=0)
        self.n_common = len(COMMON_CONDITIONS)
        self.matches: Matches = matches(
            knowledge, self.profiles, self.term_probability, parameters, n + self.n_common, _mask(knowledge, only)
        )
        self._pooled_start = np.searchsorted(self.pooled.disease, np.arange(n + 1, dtype=np.int32))
        self._above: dict[int, frozenset[int]] = {}
        self._terms: dict[str, int | None] = {}
        self._phenotypic = np.asarray(knowledge.phenotypic)
        self.levels = sorted(set(parameters.noise.values()))
        """The noise floors in use; what depends on one has a row for each."""
        self._level = {origin: self.levels.index(noise) for origin, noise in parameters.noise.items()}
        self._floors = np.stack([self.floor(noise) for noise in self.levels])
        self._gains = np.stack([self._gain(noise) for noise in self.levels])
        self._most = np.stack([_most_of(self.matches.start, gain) for gain in self._gains])
        self._apart = self._gains_apart()
        self._log_prior = self._make_prior()
        self._sex = {sex: self._sex_log_ratio(sex) for sex in ("male", "female")}

    # --- the model ---

    def floor(self, noise: float) -> FloatArray:
        """log ratio of a finding no disease explains, per disease (common explanations at the end)."""
        return np.asarray(np.log(noise + (1 - noise) * self.parameters.smoothing / self.crowding))

    def _gain(self, noise: float, factor: FloatArray | None = None) -> FloatArray:
        """What each match adds to the floor; `factor` multiplies the strength by the term matched."""
        p, m = self.parameters, self.matches
        strength = m.strength if factor is None else m.strength * factor[m.matched]
        ratio = (p.gain * strength + p.smoothing) / self.crowding[m.disease]
        return np.asarray(np.log(noise + (1 - noise) * ratio) - self.floor(noise)[m.disease])

    def _gains_apart(self) -> FloatArray:
        """The gains for a patient who is counted in the background for the term matched, and so is left out of it."""
        if not self.background.n_patients:
            return self._gains
        factor = self.term_probability / self._probability(without=1)
        return np.stack([self._gain(noise, factor) for noise in self.levels])

    def _make_prior(self) -> FloatArray:
        """log share of every rare disease among all rare ones, and of every common condition in a chart without one."""
        weight = np.zeros(len(self.prior_weight))
        weight[self.ranked] = self.prior_weight[self.ranked]
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
        chosen: dict[str, dict[int, Evidence]] = {"present": {}, "negated": {}}
        for mention in evidence:
            found = chosen.get(mention.assertion)
            term = self._term(mention.hpo_id)
            if found is None or term is None or (masked and not masked.isdisjoint(mention.masked_for)):
                continue
            before = found.get(term)
            if before is None or _mention_order(mention) < _mention_order(before):
                found[term] = mention
        return self._independent(chosen["present"], chosen["negated"])

    def _term(self, hpo_id: str) -> int | None:
        """Term index of a phenotypic abnormality; None for anything else."""
        if hpo_id not in self._terms:
            term = self.knowledge.term_index(hpo_id)
            self._terms[hpo_id] = term if term is not None and self._phenotypic[term] else None
        return self._terms[hpo_id]

    def _independent(self, present: dict[int, Evidence], negated: dict[int, Evidence]) -> list[Finding]:
        implied = frozenset().union(*map(self._proper_ancestors, present))
        kept = [(term, True, mention) for term, mention in present.items() if term not in implied]
        if negated:
            denied = negated.keys() - present.keys() - implied
            kept += [(term, False, negated[term]) for term in denied if denied.isdisjoint(self._proper_ancestors(term))]
        return [Finding._make(each) for each in sorted(kept, key=itemgetter(0))]

    def _proper_ancestors(self, term: int) -> frozenset[int]:
        found = self._above.get(term)
        if found is None:
            found = frozenset(self.knowledge.ancestors(term).tolist()) - {term}
            self._above[term] = found
        return found

    def codes(self, findings: Sequence[Finding], evidence: Sequence[Evidence] = ()) -> Codes:
        """The findings as arrays. `evidence` is all there is of the patient: it says for what they are counted.

        Who is counted for a term is counted for all its ancestors.
        """
        text = self._level["text"]
        return Codes(
            np.array([finding.term for finding in findings], np.int32),
            np.array([finding.present for finding in findings], np.bool_),
            np.array([self._level.get(finding.mention.origin, text) for finding in findings], np.int64),
            self._counted(evidence or [finding.mention for finding in findings]),
        )

    def _counted(self, evidence: Sequence[Evidence]) -> NDArray[np.bool_]:
        ids = {mention.hpo_id for mention in evidence if mention.in_background} if self.background.n_patients else ()
        if not ids:
            return NOTHING_COUNTED
        counted = np.zeros(len(self.knowledge.terms), np.bool_)
        for each in ids:
            term = self.knowledge.term_index(each)
            if term is not None:
                counted[self.knowledge.ancestors(term)] = True
        return counted

    def log_ratios(self, codes: Codes) -> FloatArray:
        """Natural log likelihood ratio of every disease from its findings; common explanations stand at the end."""
        return self._score(codes, NOTHING_PERSONAL).total

    def _score(self, codes: Codes, personal: FloatArray) -> Score:
        n, p = len(self.knowledge.diseases), self.parameters
        total, weight = np.zeros(len(self.crowding)), np.empty(len(self.crowding))
        earned_rare, earned_common, could = _score(
            *codes, personal, n, *self.matches[:3], self._gains, self._apart, self._floors, self._most,
            p.negated_weight, self.term_probability, *self.profiles[:3], p.temperature, self._log_prior, total, weight,
        )  # fmt: skip
        return Score(total, weight, earned_rare, earned_common, could)

    def _probability(self, *, without: int) -> FloatArray:
        """P(term) in the background, with that many patients who have it left out."""
        p = self.parameters
        return self.background.probability(
            self.annotation_probability,
            patients=p.annotation_patients, known=p.annotation_count, floor=p.background_floor, without=without,
        )  # fmt: skip

    def explain(self, codes: Codes, personal: Sequence[FloatArray] = (), *, top: int = 10) -> Explained:
        """Full likelihood ratios of one patient and the account of the first `top`, as numbers."""
        together = reduce(np.add, personal) if len(personal) else NOTHING_PERSONAL
        score = self._score(codes, together)
        return self._explained(codes, score, self._evidence(score), top)

    def _explained(self, codes: Codes, score: Score, evidence: float, top: int) -> Explained:
        n, p = len(self.knowledge.diseases), self.parameters
        p_any = self.calibration.probability(evidence, p.any_prevalence)
        rare, rest = score.weight[:n], score.weight[n:]
        ranked = _largest(rare, max(0, min(top, len(self.ranked))))
        most = float(rare[ranked[0]] if len(ranked) else rare.max())
        most_rest = max(float(rest.max()), LOG_NONE)
        shares_rest = np.exp(rest - most_rest)
        norm_rest = float(shares_rest.sum()) + math.exp(LOG_NONE - most_rest)
        norm = float(np.exp(rare - most).sum())
        first, contribution, matched, expected, test, present, absent = self._account(codes, ranked)
        posterior = p_any * np.exp(rare[first] - most) / norm
        p_common = (1 - p_any) * shares_rest / norm_rest
        return Explained(
            first, score.total[first], posterior, contribution, matched, p_any, p_common,
            expected, test, present, absent,
        )  # fmt: skip

    def _account(
        self, codes: Codes, diseases: LongArray
    ) -> tuple[LongArray, FloatArray, IntArray, IntArray, IntArray, FloatArray, FloatArray]:
        """The diseases; per disease and finding its contribution and match; what is missing; the most telling test."""
        n, p = len(diseases), self.parameters
        contribution = np.zeros((n, len(codes.term)))
        matched = np.full((n, len(codes.term)), -1, np.int32)
        expected = np.full((n, EXPECTED_SHOWN), -1, np.int32)
        test, present, absent = np.full(n, -1, np.int32), np.zeros(n), np.zeros(n)
        _account(
            *codes, diseases, *self.matches[:3], self._gains, self._apart, self._floors,
            p.negated_weight, self.term_probability, *self.profiles[:3], contribution, matched,
        )  # fmt: skip
        _missing(
            codes.term, codes.present, diseases, self.knowledge.ancestor_start, self.knowledge.ancestor,
            self._pooled_start, self.pooled.term, self.pooled.probability, self._phenotypic, self.term_probability,
            EXPECTED_SHARE, p.noise["text"], p.gain, p.smoothing, self.crowding, expected, test, present, absent,
        )  # fmt: skip
        return diseases, contribution, matched, expected, test, present, absent

    def evidence_for_any(self, codes: Codes, changed: Mapping[int, float] = NOTHING_CHANGED) -> float:
        """Evidence for "some listed rare disease": how much one disease explains of all that the findings could say.

        (e - w·c) / sqrt(i + s): e is the log ratio the best rare disease earns above the floor, c what the best common
        condition earns, i the sum of what each finding would earn with the disease it speaks for most. Findings of
        several patients mixed have the same i as one patient's, but no disease that explains many of them; a chart full
        of complaints has a large i, and something explains a part of that by chance. `changed` gives other log ratios
        above the floor for some diseases (-inf for those that are not to be ranked).
        """
        return self._evidence(self._score(codes, NOTHING_PERSONAL), codes, changed)

    def _evidence(
        self, score: Score, codes: Codes | None = None, changed: Mapping[int, float] = NOTHING_CHANGED
    ) -> float:
        p, n, rare = self.parameters, len(self.knowledge.diseases), score.rare
        if changed and codes is not None:
            earned = score.total[:n] - self.floors_of(codes)[:n]
            earned[np.isneginf(self._log_prior[:n])] = -np.inf
            for disease, value in changed.items():
                earned[disease] = value
            rare = float(earned.max())
        return max(0.0, rare - p.common_weight * score.common) / math.sqrt(score.could + p.evidence_size)

    def floors_of(self, codes: Codes) -> FloatArray:
        """Sum of the floors of the present findings, per disease."""
        counts = np.bincount(codes.level[codes.present], minlength=len(self.levels))
        return np.asarray(counts @ self._floors)

    def rank(self, evidence: Sequence[Evidence], person: Person = UNKNOWN_PERSON, *, top: int = 10) -> Ranking:
        """Rank all diseases and explain the first `top`.

        The same evidence gives the same ranking to the last bit, in whatever order it comes. Unknown terms and other
        assertions than present and negated are left out. Without a present finding the list is empty.
        """
        findings = self.findings(evidence)
        codes = self.codes(findings, evidence)
        if not codes.present.any():
            return Ranking(self.parameters.any_prevalence, len(findings))
        personal = self._personal(person, _age(evidence, person))
        score = self._score(codes, reduce(np.add, [each for _, each in personal]) if personal else NOTHING_PERSONAL)
        masked: dict[int, tuple[list[Finding], Codes]] = {}
        earned: dict[int, float] = {}
        for disease in sorted(self._masked(evidence)):
            findings_left = self.findings(evidence, unmasked_for=disease)
            left = self.codes(findings_left, evidence)
            masked[disease] = (findings_left, left)
            ratio = float(self._account(left, np.array([disease]))[1].sum())
            ratio += sum(float(each[disease]) for _, each in personal)
            score.weight[disease] += self.parameters.temperature * (ratio - score.total[disease])
            score.total[disease] = ratio
            if not np.isneginf(self._log_prior[disease]):
                earned[disease] = ratio - float(self.floors_of(left)[disease])
        explained = self._explained(codes, score, self._evidence(score, codes, earned), top)
        account = Account(self, explained, tuple(findings), tuple(personal), masked)
        return Ranking(explained.p_any, len(findings), account, self._common(explained))

    def _masked(self, evidence: Sequence[Evidence]) -> set[int]:
        ids = {each for mention in evidence for each in mention.masked_for}
        return {index for each in ids if (index := self.knowledge.index_of(each)) is not None}

    def _common(self, explained: Explained) -> tuple[CommonExplanation, ...]:
        """Common explanations that hold at least one percent of the posterior, the most probable first."""
        found = [
            CommonExplanation(condition.name, posterior)
            for condition, posterior in zip(COMMON_CONDITIONS, explained.p_common.tolist(), strict=True)
            if posterior >= COMMON_SHOWN
        ]
        return tuple(sorted(found, key=lambda each: (-each.posterior, each.name)))


class Account:
    """The account of one patient's first diseases: numbers, from which the objects are made when asked for."""

    def __init__(
        self,
        ranker: Ranker,
        explained: Explained,
        findings: tuple[Finding, ...],
        personal: tuple[tuple[str, FloatArray], ...],
        masked: Mapping[int, tuple[list[Finding], Codes]],
    ) -> None:
        self.ranker, self.explained, self.findings = ranker, explained, findings
        self.personal, self.masked = personal, masked

    def entries(self) -> tuple[RankedDisease, ...]:
        """The diseases with every object of their explanation."""
        return tuple(self._entry(place) for place in range(len(self.explained.disease)))

    def _entry(self, place: int) -> RankedDisease:
        explained, knowledge = self.explained, self.ranker.knowledge
        disease = int(explained.disease[place])
        findings, numbers, row = self.of(place)
        parts = [
            self._contribution(finding, value, match)
            for finding, value, match in zip(
                findings, numbers.contribution[row].tolist(), numbers.matched[row].tolist(), strict=True
            )
        ]
        parts += [
            Contribution("", label, None, None, float(each[disease]) / LN10, "person", "present")
            for label, each in self.personal
            if each[disease] != 0.0
        ]
        parts.sort(key=lambda each: (-each.log10_lr, each.hpo_id, each.assertion))
        test = int(numbers.test[row])
        return RankedDisease(
            rank=place + 1,
            disease_id=knowledge.diseases[disease].id,
            disease_name=knowledge.diseases[disease].name,
            log10_lr=float(explained.log_ratio[place]) / LN10,
            posterior=float(explained.posterior[place]),
            contributions=tuple(parts),
            expected_absent=tuple(knowledge.terms[term] for term in numbers.expected[row].tolist() if term >= 0),
            next_test=None
            if test < 0
            else NextTest(
                knowledge.terms[test],
                knowledge.labels[test],
                float(numbers.test_present[row]) / LN10,
                float(numbers.test_absent[row]) / LN10,
            ),
        )

    def of(self, place: int) -> tuple[Sequence[Finding], Explained, int]:
        """The findings that count for a disease, the numbers that hold for it, and its row in them."""
        disease = int(self.explained.disease[place])
        if disease not in self.masked:
            return self.findings, self.explained, place
        findings, codes = self.masked[disease]
        alone = np.array([disease])
        _, contribution, matched, expected, test, present, absent = self.ranker._account(codes, alone)
        only = self.explained._replace(
            contribution=contribution,
            matched=matched,
            expected=expected,
            test=test,
            test_present=present,
            test_absent=absent,
        )
        return findings, only, 0

    def _contribution(self, finding: Finding, value: float, matched: int) -> Contribution:
        knowledge, mention = self.ranker.knowledge, finding.mention
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
def _score(  # type: ignore[no-untyped-def]
    terms, present, level, counted, personal, n, start, disease, matched, gains, apart, floors, most,
    belief, background, p_start, p_disease, probability, temperature, log_prior, total, weight,
):  # fmt: skip
    """Fill `total` (log ratios) and `weight` (tempered, with the prior).

    Gives what the best ranked rare disease and the best common condition earn above the floor, and what all findings
    could earn together.
    """
    counts = np.zeros(len(floors))
    could = 0.0
    for i in range(len(terms)):
        term, row = terms[i], level[i]
        if not present[i]:
            for e in range(p_start[term], p_start[term + 1]):
                total[p_disease[e]] += _denial(probability[e], background[term], belief)
            continue
        counts[row] += 1.0
        could += most[row, term]
        gain, other = gains[row], apart[row]
        if len(counted) == 0:
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += gain[e]
        elif counted[term]:  # then for all it could match through, too
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += other[e]
        else:
            for e in range(start[term], start[term + 1]):
                total[disease[e]] += other[e] if counted[matched[e]] else gain[e]
    for d in range(len(personal)):
        total[d] += personal[d]
    rare = common = 0.0
    for d in range(n):
        if total[d] > rare and log_prior[d] > -np.inf:
            rare = total[d]
    for d in range(n, len(total)):
        common = max(common, total[d])
    for row in range(len(floors)):
        if counts[row] > 0.0:
            for d in range(len(total)):
                total[d] += counts[row] * floors[row, d]
    for d in range(len(total)):
        weight[d] = temperature * total[d] + log_prior[d]
    return rare, common, could


@numba.njit(cache=True)
def _denial(probability, common, belief):  # type: ignore[no-untyped-def]
    return min(0.0, np.log((1.0 - belief * probability) / (1.0 - belief * common)))


@numba.njit(cache=True)
def _place(start, disease, term, wanted):  # type: ignore[no-untyped-def]
    low = start[term]
    left = start[term + 1] - low
    while left > 0:  # without a branch that depends on what is read: such a branch is guessed wrong every other time
        half = left // 2
        below = disease[low + half] < wanted
        low = low + half + 1 if below else low
        left = left - half - 1 if below else half
    return low if low < start[term + 1] and disease[low] == wanted else -1


@numba.njit(cache=True)
def _account(  # type: ignore[no-untyped-def]
    terms, present, level, counted, diseases, start, disease, matched, gains, apart, floors,
    belief, background, p_start, p_disease, probability, out, out_matched,
):  # fmt: skip
    """Contribution of every finding to each disease, and the term it matches."""
    for i in range(len(terms)):
        for j in range(len(diseases)):
            d = diseases[j]
            if present[i]:
                out[j, i] = floors[level[i], d]
                e = _place(start, disease, terms[i], d)
                if e >= 0:
                    left_out = len(counted) > 0 and counted[matched[e]]
                    out[j, i] += apart[level[i], e] if left_out else gains[level[i], e]
                    out_matched[j, i] = matched[e]
            else:
                e = _place(p_start, p_disease, terms[i], d)
                if e >= 0:
                    out[j, i] = _denial(probability[e], background[terms[i]], belief)
                    out_matched[j, i] = terms[i]


@numba.njit(cache=True)
def _missing(  # type: ignore[no-untyped-def]
    terms, present, diseases, ancestor_start, ancestor, start, pooled_term, pooled_share, phenotypic, background,
    least, noise, gain, smoothing, crowding, expected, test, test_present, test_absent,
):  # fmt: skip
    """Terms frequent in each disease that are neither found nor implied, and the most telling test among them.

    That is the term with the largest sum of what its presence would add and its absence would take, each weighted by
    how probable it is in the disease: the test that on average moves the log ratio most, if the disease is the right
    one. A term that is denied, or whose ancestor is, is expected but needs no test.
    """
    seen = np.zeros(len(phenotypic), np.bool_)
    denied = np.zeros(len(phenotypic), np.bool_)
    any_denied = False
    for i in range(len(terms)):
        if present[i]:
            for k in range(ancestor_start[terms[i]], ancestor_start[terms[i] + 1]):
                seen[ancestor[k]] = True
        else:
            denied[terms[i]] = any_denied = True
    wanted = expected.shape[1]
    share = np.zeros(wanted)
    for j in range(len(diseases)):
        d = diseases[j]
        share[:] = 0.0
        most = 0.0
        for e in range(start[d], start[d + 1]):
            term, p = pooled_term[e], pooled_share[e]
            if p < least or seen[term] or not phenotypic[term]:
                continue
            if p > share[wanted - 1]:
                place = wanted - 1
                while place > 0 and p > share[place - 1]:
                    share[place] = share[place - 1]
                    expected[j, place] = expected[j, place - 1]
                    place -= 1
                share[place] = p
                expected[j, place] = term
            common = background[term]
            if common >= p:
                continue
            ruled_out = False
            if any_denied:
                for k in range(ancestor_start[term], ancestor_start[term + 1]):
                    ruled_out |= denied[ancestor[k]]
            if ruled_out:
                continue
            if_present = np.log(noise + (1.0 - noise) * (gain * p / common + smoothing) / crowding[d])
            if_absent = np.log((1.0 - p) / (1.0 - common))
            worth = p * if_present - (1.0 - p) * if_absent
            if worth > most:
                most = worth
                test[j] = term
                test_present[j] = if_present
                test_absent[j] = if_absent
