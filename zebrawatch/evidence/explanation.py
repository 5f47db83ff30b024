"""What a score is made of: for each disease shown, what every finding adds or takes, and what is missing.

The records mirror schemas.CANDIDATES, so that a ranking can be written as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Contribution:
    """One finding's share in a disease's log likelihood ratio (schemas.CONTRIBUTION)."""

    hpo_id: str
    label: str
    matched_id: str | None
    """Term of the disease's profile it was matched with; null where the disease does not explain it."""
    matched_label: str | None
    log10_lr: float
    origin: str
    """text, measurement, lab, code; `person` for sex and age."""
    assertion: str
    source_id: str | None = None
    start: int | None = None
    end: int | None = None
    quote: str | None = None
    known_night: date | None = None


@dataclass(frozen=True)
class NextTest:
    """The finding whose test would most change the answer for a disease."""

    hpo_id: str
    label: str
    log10_lr_if_present: float
    log10_lr_if_absent: float


@dataclass(frozen=True)
class RankedDisease:
    """One ranked disease with its explanation; `log10_lr` is the sum of its contributions."""

    rank: int
    disease_id: str
    disease_name: str
    log10_lr: float
    posterior: float
    contributions: tuple[Contribution, ...]
    """Strongest first, those that speak against it last."""
    expected_absent: tuple[str, ...]
    """HPO ids frequent in the disease that were denied or never found, most frequent first."""
    next_test: NextTest | None = None


@dataclass(frozen=True)
class CommonExplanation:
    """A common condition that explains the findings."""

    name: str
    posterior: float


@dataclass(frozen=True)
class Ranking:
    """Ranked diseases of one patient as of one night."""

    p_any: float
    """Posterior of any listed rare disease: 1 - P(none of them)."""
    n_findings: int
    """Independent findings that were weighed: repeated and implied ones count once."""
    entries: tuple[RankedDisease, ...]
    common: tuple[CommonExplanation, ...] = ()
    """Common conditions that compete for the findings, the most probable first."""
