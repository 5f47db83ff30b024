"""Parameters of the ranker, chosen on the development cases (docs/ranking.md); all are part of the run identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


def _noise() -> Mapping[str, float]:
    return {"text": 0.1, "measurement": 0.1, "lab": 0.2, "code": 0.1}


@dataclass(frozen=True)
class RankingParameters:
    """Numbers of the ranking model."""

    class_size: float = 4.0
    """People a frequency class or percentage counts as."""
    bare_size: float = 2.0
    """People an annotation without a frequency counts as."""
    bare_share: float = 0.1
    """Share it counts as."""
    name_size: float = 2.0
    """People a finding in the disease's own name counts as; 0 leaves names out."""
    name_share: float = 0.8
    largest_count: float = 100.0
    """People one row counts at most."""
    prior_share: float = 0.05
    """Mean of the Beta prior of a frequency."""
    prior_size: float = 3.0
    """Weight of that prior, in people."""
    largest_share: float = 0.98
    """No finding is more certain in a disease than this."""
    or_weight: float = 0.5
    """How far annotations below one term add up: 0 only the most frequent counts, 1 as if independent."""
    relative_size: float = 1.0
    """Weight of relatives, in expected findings: a disease with this mass takes half of what it could from them."""
    relative_weight: float = 0.8
    """Most that counts of what relatives show."""
    least_borrowed: float = 0.03
    """Borrowed frequencies below this are left out."""
    ancestor_weight: float = 0.05
    """Share of a match that is left when the disease is annotated less exactly than the finding."""
    sibling_weight: float = 0.01
    """Share that is left when finding and annotation only have an ancestor in common."""
    commonest_ancestor: float = 0.1
    """Ancestors more common than this in the background link nothing."""
    gain: float = 5.0
    """Weight of a match against the floor."""
    smoothing: float = 10.0
    """Weight of the background in every disease, in findings: the floor of the ratio."""
    mass_power: float = 0.5
    """How far richly annotated diseases are held back: 0 not at all, 1 as if findings were drawn from the profile."""
    noise: Mapping[str, float] = field(default_factory=_noise)
    """Per origin: probability that a finding has nothing to do with any disease of the patient."""
    negated_weight: float = 0.2
    """Belief that a denied finding is truly absent, and was looked for."""
    early_ratio: float = 0.1
    """Likelihood ratio of a patient half a year or more younger than the earliest known onset."""
    annotation_patients: float = 2000.0
    """Most patients the annotation-derived default counts as in a hospital's background."""
    annotation_count: float = 2.0
    """Patients with the finding it counts as, where that makes fewer patients."""
    background_floor: float = 1e-5
    """No finding is rarer in the background than this."""
    temperature: float = 0.3
    """Slope on the log likelihood ratio in the posterior."""
    common_weight: float = 0.25
    """Share of what the best common condition explains that is taken off the evidence for any rare disease."""
    evidence_size: float = 5.0
    """Added to what the findings could say, so that one finding alone is little evidence."""
    any_prevalence: float = 1 / 500
    """Share of the screened who have some listed rare disease."""
    prevalence_weight: float = 0.05
    """Exponent of a disease's prevalence in its share of the prior."""
    default_prevalence: float = 1e-6
    """Prevalence of a disease Orphanet gives none for."""
    papers_weight: float = 0.3
    """Exponent of 1 + the papers a disease's annotations rest on in its share of the prior."""

    @property
    def digest(self) -> str:
        """sha256 of all numbers, first 16 hex digits."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]
