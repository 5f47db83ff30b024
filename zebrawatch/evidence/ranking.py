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
from itertools import chain, compress, repeat
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zebrawatch.evidence.arithmetic import (
    Expected,
    add_up,
    contribute,
    keep_independent,
    largest,
    miss,
    most_of,
    weigh_tests,
)
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


class Evidence(NamedTuple):
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
NO_SEX = np.zeros(0)
NOTHING_CHANGED: Mapping[int, float] = MappingProxyType({})


class Finding(NamedTuple):
    """One term, with its earliest mention."""

    term: int
    present: bool
    mention: Evidence


class Personal(NamedTuple):
    """What sex and age say, as the compiled code reads it."""

    sex: FloatArray = NO_SEX
    """Log ratio of every rare disease; empty where the sex is not known."""
    wording: str = ""
    latest_onset: float = math.inf
    """In years: a disease known to begin later is spoken against."""


UNKNOWN_PERSONAL = Personal()


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


class Shares(NamedTuple):
    """What findings give some diseases, as numbers; natural logarithms."""

    contribution: FloatArray
    """(diseases, findings): what each finding adds to the log ratio."""
    matched: IntArray
    """(diseases, findings): term index of the match; -1 where the disease does not explain the finding."""
    expected: IntArray
    """(diseases, EXPECTED_SHOWN): term indices frequent in the disease and not found, most frequent first; -1 fills."""
    test: IntArray
    """(diseases,): term whose test would most change the answer; -1 where there is none."""
    test_present: FloatArray
    """(diseases,): what its presence would add to the log ratio."""
    test_absent: FloatArray
    """(diseases,): what its absence would take, were the test certain."""

    def rows(self, rows: slice) -> Shares:
        """Those of some of the diseases."""
        return Shares(
            self.contribution[rows],
            self.matched[rows],
            self.expected[rows],
            self.test[rows],
            self.test_present[rows],
            self.test_absent[rows],
        )


class Explained(NamedTuple):
    """The first diseases of one patient as numbers; natural logarithms."""

    disease: LongArray
    log_ratio: FloatArray
    posterior: FloatArray
    p_any: float
    p_common: FloatArray
    """Posterior of each common explanation."""
    shares: Shares
    """What the findings give these diseases."""


def _mention_order(mention: Evidence) -> tuple[date, str, str, int, str, int, str, str]:
    moment = mention.event_time.isoformat() if mention.event_time else ""
    place = (mention.start or -1, mention.hpo_id, mention.end or -1, mention.quote or "", mention.origin)
    return (mention.known_night or date.max, moment, mention.source_id, *place)


class _Model(NamedTuple):
    """What a ranker's compilation shares with those of other months: all that does not depend on the background."""

    pooled: Pooled
    own: Profiles
    own_mass: FloatArray
    masses: FloatArray
    profiles: Profiles
    crowding: FloatArray
    frequent: Pooled
    """Pairs of EXPECTED_SHARE and more, those of a disease from the most frequent term on."""
    frequent_start: LongArray
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
    frequent = _frequent(knowledge, pooled)
    return _Model(
        pooled,
        own,
        own_mass,
        masses,
        profiles,
        crowding(np.concatenate([masses, common_mass]), parameters),
        frequent,
        np.searchsorted(frequent.disease, np.arange(n + 1, dtype=np.int32)),
        annotation_background(own, len(np.unique(pooled.disease))),
        prior_weight(np.asarray(knowledge.prevalence), papers_behind(knowledge), parameters),
    )


def _frequent(knowledge: Knowledge, pooled: Pooled) -> Pooled:
    kept = (pooled.probability >= EXPECTED_SHARE) & np.asarray(knowledge.phenotypic)[pooled.term]
    left = Pooled(pooled.disease[kept], pooled.term[kept], pooled.probability[kept])
    order = np.lexsort((left.term, -left.probability, left.disease))
    return Pooled(left.disease[order], left.term[order], left.probability[order])


def _mask(knowledge: Knowledge, only: frozenset[str] | None) -> NDArray[np.bool_]:
    """Which terms are matched: all that are phenotypes, or those among `only`."""
    phenotypic = np.asarray(knowledge.phenotypic)
    if only is None:
        return phenotypic
    chosen = np.zeros(len(phenotypic), np.bool_)
    chosen[[index for each in only if (index := knowledge.term_index(each)) is not None]] = True
    return chosen & phenotypic


class _Terms(dict[str, int | None]):
    """Term index by HPO id, looked up on first use; None for what is no phenotypic abnormality."""

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__()
        self.knowledge = knowledge

    def __missing__(self, hpo_id: str) -> int | None:
        term = self.knowledge.term_index(hpo_id)
        self[hpo_id] = term if term is not None and self.knowledge.phenotypic[term] else None
        return self[hpo_id]


class Ranker:
    """Compiled once for a knowledge, a background and parameters; then ranks any number of patients.

    It keeps memory to calculate in, so that two threads may not use one at the same time.
    """

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
        self._expected = self._make_expected(model)
        self._onset_low = np.asarray(knowledge.onset_low)
        self._marks = np.zeros(len(knowledge.terms), np.uint8)
        self._total, self._weight, self._shares = np.empty((3, len(self.crowding)))
        self._early = float(np.log(parameters.early_ratio))
        self._terms = _Terms(knowledge)
        self.levels = sorted(set(parameters.noise.values()))
        """The noise floors in use; what depends on one has a row for each."""
        self._level = {origin: self.levels.index(noise) for origin, noise in parameters.noise.items()}
        self._floors = np.stack([self.floor(noise) for noise in self.levels])
        self._gains = np.stack([self._gain(noise) for noise in self.levels])
        self._most = np.stack([most_of(self.matches.start, gain) for gain in self._gains])
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

    def _make_expected(self, model: _Model) -> Expected:
        p = self.parameters
        told = weigh_tests(*model.frequent, self.term_probability, p.noise["text"], p.gain, p.smoothing, self.crowding)
        return Expected(model.frequent_start, model.frequent.term, *told)

    def personal(self, evidence: Sequence[Evidence], person: Person) -> Personal:
        """What sex, and age at the last finding, say."""
        age = _age(evidence, person)
        sex = self._sex.get(person.sex or "", NO_SEX)
        return Personal(sex, f"sex: {person.sex}" if len(sex) else "", math.inf if age is None else age + EARLY_YEARS)

    def personal_parts(self, personal: Personal, diseases: LongArray) -> list[tuple[str, FloatArray]]:
        """Log ratios of sex and age for some rare diseases, each with its wording; none of what is not known."""
        found = []
        if len(personal.sex):
            found.append((personal.wording, personal.sex[diseases]))
        if personal.latest_onset < math.inf:
            early = np.where(self._onset_low[diseases] > personal.latest_onset, self._early, 0.0)
            found.append(("younger than the known onset", early))
        return found

    # --- ranking ---

    def findings(self, evidence: Sequence[Evidence]) -> list[Finding]:
        """Independent findings, in order of term: each term once, present before denied, without implied ones.

        A present finding implies its ancestors; a denied one that a present finding contradicts is dropped, and so is
        one whose ancestor is denied too.
        """
        chosen: dict[str, dict[int, Evidence]] = {"present": {}, "negated": {}}
        for mention in evidence:
            found, term = chosen.get(mention.assertion), self._terms[mention.hpo_id]
            if found is None or term is None:
                continue
            before = found.get(term)
            if before is None or _mention_order(mention) < _mention_order(before):
                found[term] = mention
        return self._independent(chosen["present"], chosen["negated"])

    def _independent(self, present: dict[int, Evidence], negated: dict[int, Evidence]) -> list[Finding]:
        listed = [*present, *negated]
        keep = np.empty(len(listed), np.bool_)
        keep_independent(
            np.array(listed, np.int32), len(present), self.knowledge.ancestor_start, self.knowledge.ancestor,
            self._marks, keep,
        )  # fmt: skip
        states = chain(repeat(True, len(present)), repeat(False))
        told = zip(listed, states, chain(present.values(), negated.values()), strict=False)
        return list(map(Finding._make, sorted(compress(told, keep.tolist()))))  # no two are of one term

    def codes(self, findings: Sequence[Finding], evidence: Sequence[Evidence] = ()) -> Codes:
        """The findings as arrays. `evidence` is all there is of the patient: it says for what they are counted.

        Who is counted for a term is counted for all its ancestors.
        """
        level, text = self._level, self._level["text"]
        term, present, mentions = zip(*findings, strict=True) if findings else ((), (), ())
        return Codes(
            np.array(term, np.int32),
            np.array(present, np.bool_),
            np.array([level.get(mention.origin, text) for mention in mentions], np.int64),
            self._counted(evidence or mentions),
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
        return self._score(codes, UNKNOWN_PERSONAL).total.copy()

    def _score(self, codes: Codes, personal: Personal) -> Score:
        n, p = len(self.knowledge.diseases), self.parameters
        total, weight, earned = self._total, self._weight, np.empty(3)
        add_up(
            *codes, personal.sex, self._onset_low, personal.latest_onset, self._early, n,
            *self.matches[:3], self._gains, self._apart, self._floors, self._most,
            p.negated_weight, self.term_probability, *self.profiles[:3], p.temperature, self._log_prior,
            total, weight, earned,
        )  # fmt: skip
        return Score(total, weight, *earned.tolist())

    def _probability(self, *, without: int) -> FloatArray:
        """P(term) in the background, with that many patients who have it left out."""
        p = self.parameters
        return self.background.probability(
            self.annotation_probability,
            patients=p.annotation_patients, known=p.annotation_count, floor=p.background_floor, without=without,
        )  # fmt: skip

    def explain(self, codes: Codes, personal: Personal = UNKNOWN_PERSONAL, *, top: int = 10) -> Explained:
        """Full likelihood ratios of one patient and the account of the first `top`, as numbers."""
        score = self._score(codes, personal)
        return self._explained(codes, score, self._evidence(score), top)

    def _explained(self, codes: Codes, score: Score, evidence: float, top: int) -> Explained:
        n = len(self.knowledge.diseases)
        p_any = self.calibration.probability(evidence, self.parameters.any_prevalence)
        rare, rest = score.weight[:n], score.weight[n:]
        shown = max(0, min(top, len(self.ranked)))
        first, highest = np.empty(shown, np.int64), np.empty(shown)
        largest(rare, first, highest)
        most = float(highest[0]) if shown else float(rare.max())
        shares = np.subtract(rare, most, out=self._shares[:n])
        norm = float(np.exp(shares, out=shares).sum())
        most_rest = max(float(rest.max()), LOG_NONE)
        shares_rest = np.exp(rest - most_rest)
        norm_rest = float(shares_rest.sum()) + math.exp(LOG_NONE - most_rest)
        return Explained(
            first,
            score.total[first],
            p_any * np.exp(highest - most) / norm,
            p_any,
            (1 - p_any) * shares_rest / norm_rest,
            self.account_of(codes, first),
        )

    def account_of(self, codes: Codes, diseases: LongArray) -> Shares:
        """What every finding gives some rare diseases, what they would show besides, and the most telling test."""
        n, p = len(diseases), self.parameters
        shares = Shares(
            np.empty((n, len(codes.term))), np.empty((n, len(codes.term)), np.int32),
            np.empty((n, EXPECTED_SHOWN), np.int32), np.empty(n, np.int32), np.empty(n), np.empty(n),
        )  # fmt: skip
        contribute(
            *codes, diseases, *self.matches[:3], self._gains, self._apart, self._floors,
            p.negated_weight, self.term_probability, *self.profiles[:3], *shares[:2],
        )  # fmt: skip
        miss(
            codes.term, codes.present, diseases, self.knowledge.ancestor_start, self.knowledge.ancestor,
            *self._expected, self._marks, *shares[2:],
        )  # fmt: skip
        return shares

    def evidence_for_any(self, codes: Codes, changed: Mapping[int, float] = NOTHING_CHANGED) -> float:
        """Evidence for "some listed rare disease": how much one disease explains of all that the findings could say.

        (e - w·c) / sqrt(i + s): e is the log ratio the best rare disease earns above the floor, c what the best common
        condition earns, i the sum of what each finding would earn with the disease it speaks for most. Findings of
        several patients mixed have the same i as one patient's, but no disease that explains many of them; a chart full
        of complaints has a large i, and something explains a part of that by chance. `changed` gives other log ratios
        above the floor for some diseases (-inf for those that are not to be ranked).
        """
        return self._evidence(self._score(codes, UNKNOWN_PERSONAL), codes, changed)

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
        personal = self.personal(evidence, person)
        score = self._score(codes, personal)
        masked, earned = self._masked(evidence, score, personal)
        explained = self._explained(codes, score, self._evidence(score, codes, earned), top)
        account = Account(self, explained, findings, personal, masked)
        return Ranking(explained.p_any, len(findings), account)

    def _masked(
        self, evidence: Sequence[Evidence], score: Score, personal: Personal
    ) -> tuple[dict[int, Told], dict[int, float]]:
        """Score the diseases that documents name again, without what those documents say; what holds for each of them.

        Also what each earns above the floor, of those that are ranked.
        """
        masked: dict[int, Told] = {}
        earned: dict[int, float] = {}
        for left, together in self._unmasked(evidence):
            findings = self.findings(left)
            codes = self.codes(findings, evidence)
            diseases = np.array(together, np.int64)
            shares, floors = self.account_of(codes, diseases), self.floors_of(codes)
            parts = self.personal_parts(personal, diseases)
            for row, disease in enumerate(together):
                masked[disease] = Told(findings, shares, row)
                ratio = float(shares.contribution[row].sum()) + sum(float(each[row]) for _, each in parts)
                score.weight[disease] += self.parameters.temperature * (ratio - score.total[disease])
                score.total[disease] = ratio
                if not np.isneginf(self._log_prior[disease]):
                    earned[disease] = ratio - float(floors[disease])
        return masked, earned

    def _unmasked(self, evidence: Sequence[Evidence]) -> list[tuple[list[Evidence], list[int]]]:
        """Of the diseases that are masked, those together for which the same mentions are left; and these mentions."""
        named: frozenset[str] = frozenset().union(*{mention.masked_for for mention in evidence})
        diseases = sorted({index for each in named if (index := self.knowledge.index_of(each)) is not None})
        alike: dict[tuple[bool, ...], list[int]] = {}
        for disease in diseases:
            ids = self.knowledge.diseases[disease].ids
            alike.setdefault(tuple(mention.masked_for.isdisjoint(ids) for mention in evidence), []).append(disease)
        return [(list(compress(evidence, left)), together) for left, together in alike.items()]


class Told(NamedTuple):
    """What holds for one disease: the findings that count for it, and its row in what they give."""

    findings: Sequence[Finding]
    shares: Shares
    row: int


class Account:
    """The account of one patient's first diseases: numbers, from which the objects are made when asked for."""

    def __init__(
        self,
        ranker: Ranker,
        explained: Explained,
        findings: Sequence[Finding],
        personal: Personal,
        masked: Mapping[int, Told],
    ) -> None:
        self.ranker, self.explained, self.findings = ranker, explained, findings
        self.masked = masked
        """What holds for the diseases that documents name."""
        self.personal = ranker.personal_parts(personal, explained.disease)
        """Log ratios of sex and age for each of the diseases, with their wording."""

    def entries(self) -> tuple[RankedDisease, ...]:
        """The diseases with every object of their explanation."""
        return tuple(self._entry(place) for place in range(len(self.explained.disease)))

    def common(self) -> tuple[CommonExplanation, ...]:
        """Common explanations that hold at least one percent of the posterior, the most probable first."""
        found = [
            CommonExplanation(condition.name, posterior)
            for condition, posterior in zip(COMMON_CONDITIONS, self.explained.p_common.tolist(), strict=True)
            if posterior >= COMMON_SHOWN
        ]
        return tuple(sorted(found, key=lambda each: (-each.posterior, each.name)))

    def _entry(self, place: int) -> RankedDisease:
        explained, knowledge = self.explained, self.ranker.knowledge
        disease = int(explained.disease[place])
        findings, shares, row = self.of(place)
        parts = [
            self._contribution(finding, value, match)
            for finding, value, match in zip(
                findings, shares.contribution[row].tolist(), shares.matched[row].tolist(), strict=True
            )
        ]
        parts += [
            Contribution("", label, None, None, float(each[place]) / LN10, "person", "present")
            for label, each in self.personal
            if each[place] != 0.0
        ]
        parts.sort(key=lambda each: (-each.log10_lr, each.hpo_id, each.assertion))
        test = int(shares.test[row])
        return RankedDisease(
            rank=place + 1,
            disease_id=knowledge.diseases[disease].id,
            disease_name=knowledge.diseases[disease].name,
            log10_lr=float(explained.log_ratio[place]) / LN10,
            posterior=float(explained.posterior[place]),
            contributions=tuple(parts),
            expected_absent=tuple(knowledge.terms[term] for term in shares.expected[row].tolist() if term >= 0),
            next_test=None
            if test < 0
            else NextTest(
                knowledge.terms[test],
                knowledge.labels[test],
                float(shares.test_present[row]) / LN10,
                float(shares.test_absent[row]) / LN10,
            ),
        )

    def of(self, place: int) -> Told:
        """What holds for the disease of a place."""
        told = self.masked.get(int(self.explained.disease[place]))
        return Told(self.findings, self.explained.shares, place) if told is None else told

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
