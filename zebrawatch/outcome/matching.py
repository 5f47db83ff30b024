"""When a shown disease counts as a hit: the match tiers of OUTCOMES, the first that applies, never added up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, Protocol

Tier = Literal["exact", "family", "gene", "miss"]
TIERS: tuple[Tier, ...] = ("exact", "family", "gene", "miss")

DISEASE_ID = re.compile(r"(OMIM:\d{6}|ORPHA:\d+|MONDO:\d{7}|DECIPHER:\d+)\Z")
GENE_ID = re.compile(r"(HGNC:\d+|NCBIGENE:\d+|ENSEMBL:ENSG\d+|ENSG\d+|OMIM:\*\d{6}|\*\d{6})\Z", re.IGNORECASE)


class Diseases(Protocol):
    """What outcome figures need to know about diseases; zebrawatch.knowledge.diseases.Knowledge serves."""

    def index_of(self, any_id: str) -> int | None: ...

    def same_family(self, first: int, second: int) -> bool: ...

    def same_gene(self, first: int, second: int) -> bool: ...


class Matcher:
    """Tiers between a labelled disease and shown ones, remembered between calls."""

    def __init__(self, diseases: Diseases) -> None:
        self._diseases = diseases
        self._tiers: dict[tuple[str, str], Tier] = {}

    def knows(self, disease_id: str) -> bool:
        return self._diseases.index_of(disease_id) is not None

    def same(self, first: str, second: str) -> bool:
        """Whether two ids name one disease, by exact match across OMIM, Orphanet and MONDO."""
        return self.tier(first, second) == "exact"

    def tier(self, labelled: str, shown: str) -> Tier:
        """The first tier at which `shown` hits `labelled`."""
        key = (labelled, shown)
        if key not in self._tiers:
            self._tiers[key] = self._tier(labelled, shown)
        return self._tiers[key]

    def best(self, labelled: str, shown: Iterable[str]) -> Tier:
        """The first tier at which any of the shown diseases hits."""
        return min((self.tier(labelled, one) for one in shown), key=TIERS.index, default="miss")

    def _tier(self, labelled: str, shown: str) -> Tier:
        if labelled == shown:
            return "exact"
        first, second = self._diseases.index_of(labelled), self._diseases.index_of(shown)
        if first is None or second is None:
            return "miss"
        if first == second:
            return "exact"
        if self._diseases.same_family(first, second):
            return "family"
        return "gene" if self._diseases.same_gene(first, second) else "miss"
