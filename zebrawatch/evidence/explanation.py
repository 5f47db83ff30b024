"""What a score is made of: for each disease shown, what every finding adds or takes, and what is missing.

The records mirror schemas.CANDIDATES, so that a ranking can be written as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Protocol


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


class Accounting(Protocol):
    """What can make the objects of a ranking."""

    def entries(self) -> tuple[RankedDisease, ...]:
        """The diseases with every object of their explanation."""
        ...

    def common(self) -> tuple[CommonExplanation, ...]:
        """Common conditions that compete for the findings, the most probable first."""
        ...


class Ranking:
    """Ranked diseases of one patient as of one night. Its objects are made when first asked for."""

    def __init__(self, p_any: float, n_findings: int, account: Accounting | None = None) -> None:
        self.p_any = p_any
        """Posterior of any listed rare disease: 1 - P(none of them)."""
        self.n_findings = n_findings
        """Independent findings that were weighed: repeated and implied ones count once."""
        self.account = account
        """The numbers the entries are made of; null where nothing was ranked."""

    @cached_property
    def entries(self) -> tuple[RankedDisease, ...]:
        """The ranked diseases, each with its explanation."""
        return () if self.account is None else self.account.entries()

    @cached_property
    def common(self) -> tuple[CommonExplanation, ...]:
        """Common conditions that compete for the findings, the most probable first."""
        return () if self.account is None else self.account.common()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranking) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((self.p_any, self.n_findings))

    def _content(self) -> tuple[object, ...]:
        return self.p_any, self.n_findings, self.common, self.entries
