"""The ranker written out plainly: slow, without compiled code or shared arrays. The tests hold the fast one against it.

It reads the annotation rows of one disease, pools them, goes up the ontology and weighs one finding at a time, as
docs/ranking.md states the model. Relatives' profiles are pooled the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, log

from zebrawatch.evidence.parameters import RankingParameters
from zebrawatch.knowledge.diseases import SOURCES, Knowledge


def own_frequencies(knowledge: Knowledge, disease: int, p: RankingParameters) -> dict[int, float]:
    """Pooled frequency of every annotated term of a disease."""
    hits: dict[int, float] = {}
    people: dict[int, float] = {}
    for row in range(len(knowledge.row_disease)):
        if int(knowledge.row_disease[row]) != disease:
            continue
        share, size = float(knowledge.row_share[row]), float(knowledge.row_size[row])
        if SOURCES[int(knowledge.row_source[row])] == "name":
            share, weight = p.name_share, p.name_size
        elif isnan(share):
            share, weight = p.bare_share, p.bare_size
        else:
            weight = min(size, p.largest_count) if size > 0 else p.class_size
        term = int(knowledge.row_term[row])
        hits[term] = hits.get(term, 0.0) + share * weight
        people[term] = people.get(term, 0.0) + weight
    return {
        term: min(p.largest_share, (hits[term] + p.prior_share * p.prior_size) / (people[term] + p.prior_size))
        for term in hits
        if hits[term] > 0 and people[term] > 0
    }


def upward(knowledge: Knowledge, frequencies: Mapping[int, float], p: RankingParameters) -> dict[int, float]:
    """P(term or a descendant) for every term above an annotated one."""
    below: dict[int, list[float]] = {}
    for term, frequency in frequencies.items():
        for up in knowledge.ancestors(term).tolist():
            below.setdefault(up, []).append(frequency)
    found = {}
    for up, each in below.items():
        most = max(each)
        others = 1.0
        for frequency in each:
            others *= 1 - frequency
        found[up] = 1 - (1 - most) * (others / (1 - most)) ** p.or_weight
    return found


def prior(knowledge: Knowledge, disease: int, p: RankingParameters) -> float:
    """Weight of a disease before any finding, up to a factor all diseases share."""
    papers: set[str] = set()
    for row in range(len(knowledge.row_disease)):
        if int(knowledge.row_disease[row]) == disease:
            papers.update(each for each in knowledge.references[int(knowledge.row_reference[row])] if "PMID:" in each)
    prevalence = float(knowledge.prevalence[disease])
    known: float = p.default_prevalence if isnan(prevalence) else prevalence
    return float(known**p.prevalence_weight * (1 + len(papers)) ** p.papers_weight)


class SlowDisease:
    """One disease's profile with what its relatives lend."""

    def __init__(self, knowledge: Knowledge, disease: int, p: RankingParameters) -> None:
        own = own_frequencies(knowledge, disease, p)
        self.knowledge, self.parameters, self.own = knowledge, p, own
        mass = sum(own.values())
        size = p.relative_size * float(knowledge.likeness[disease])
        share = p.relative_weight * size / (size + mass + 1e-9)
        lent: dict[int, float] = {}
        lent_mass = 0.0
        for k in range(int(knowledge.relative_start[disease]), int(knowledge.relative_start[disease + 1])):
            weight = float(knowledge.relative_weight[k])
            other = own_frequencies(knowledge, int(knowledge.relative[k]), p)
            lent_mass += weight * sum(other.values())
            for term, value in upward(knowledge, other, p).items():
                lent[term] = lent.get(term, 0.0) + weight * value
        self.profile = upward(knowledge, own, p)
        for term, value in lent.items():
            if share * value >= p.least_borrowed:
                self.profile[term] = max(self.profile.get(term, 0.0), share * value)
        self.crowding = max(mass + share * lent_mass, 0.1) ** p.mass_power + p.smoothing

    def log_ratio(
        self, term: int, noise: float, background: Sequence[float], without: Mapping[int, float] | None = None
    ) -> float:
        """Natural log likelihood ratio of one present finding.

        `without` gives P(term) in the background without the patient, for the terms the patient is counted for: the
        match stays the one that is best with the patient, its strength is that without.
        """
        p, best, through = self.parameters, 0.0, term
        for up in self.knowledge.ancestors(term).tolist():
            strength = self.profile.get(up, 0.0) / background[up]
            if up != term:
                strength *= p.ancestor_weight if up in self.own else p.sibling_weight
                if background[up] > p.commonest_ancestor or strength <= 1.0:
                    continue
            if strength > best:
                best, through = strength, up
        if without is not None and through in without:
            best *= background[through] / without[through]
        return log(noise + (1 - noise) * (p.gain * best + p.smoothing) / self.crowding)

    def denied_log_ratio(self, term: int, background: Sequence[float]) -> float:
        """Natural log likelihood ratio of one denied finding: never above 0."""
        belief = self.parameters.negated_weight
        if term not in self.profile:
            return 0.0
        return min(0.0, log((1 - belief * self.profile[term]) / (1 - belief * background[term])))
