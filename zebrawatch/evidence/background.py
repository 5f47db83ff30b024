"""The background: how common every finding is among this hospital's own patients, without any label.

Made once a month from rows known before the month began; a hospital that has seen few patients leans on how common a
finding is among the annotated diseases.
"""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import Knowledge

FloatArray = NDArray[np.float64]


class BackgroundError(ZebrawatchError):
    """A background cannot be used."""


@dataclass(frozen=True)
class Background:
    """Patients with each finding or a descendant of it."""

    version: str
    """`background@YYYY-MM`, or `background@annotations` for the default."""
    fitted_through: date
    """Last night whose rows it may rest on."""
    n_patients: int
    counts: FloatArray
    """Patients per term index, descendants included."""
    knowledge: str
    """Version of the knowledge whose term indices are used."""

    @classmethod
    def from_counts(cls, knowledge: Knowledge, month: str, n_patients: int, patients: Mapping[str, int]) -> Background:
        """Background of a month (`YYYY-MM`) from the number of patients with each HPO id **or a descendant of it**.

        `patients` must already be propagated (a patient counts once a term); retired ids are mapped forward and, should
        two ids become one, the larger count stands. An ancestor never has fewer patients than a descendant. ValueError
        for a count outside 0..n_patients or a month that is none.
        """
        try:
            year, number = (int(part) for part in month.split("-"))
            first = date(year, number, 1)
        except ValueError:
            raise ValueError(f"'{month}' is not a month (YYYY-MM)") from None
        counts = np.zeros(len(knowledge.terms))
        for hpo_id, n in patients.items():
            if not 0 <= n <= n_patients:
                raise ValueError(f"{hpo_id} cannot be found in {n} of {n_patients} patients")
            term = knowledge.term_index(hpo_id)
            if term is not None:
                ancestors = knowledge.ancestors(term)
                counts[ancestors] = np.maximum(counts[ancestors], float(n))
        return cls(f"background@{month}", first - timedelta(days=1), n_patients, counts, knowledge.version)

    @classmethod
    def default(cls, knowledge: Knowledge) -> Background:
        """No patients yet: all comes from the annotations. Learnt from no record, so any night may use it."""
        return cls("background@annotations", date.min, 0, np.zeros(len(knowledge.terms)), knowledge.version)

    def probability(
        self, default: FloatArray, *, patients: float, known: float, floor: float, without: int = 0
    ) -> FloatArray:
        """P(term) per term index: (count + w · default) / (patients + w), at least `floor`.

        That is the mean of a Beta posterior; `default` is the annotation-derived probability. It counts as w = `known`
        / default patients, but at most `patients`: how common a finding is among rare diseases says little about how
        common it is in a hospital, so the hospital's own count takes over as soon as it holds more than a few patients
        with the finding. `without` leaves that many patients, who have every term, out again.
        """
        weight = np.minimum(patients, known / np.maximum(default, floor))
        counts = np.maximum(self.counts - without, 0.0)
        seen = max(self.n_patients - without, 0)
        return np.asarray(np.maximum((counts + weight * default) / (seen + weight), floor))

    @property
    def digest(self) -> str:
        """sha256 of what `save` writes, first 16 hex digits."""
        return hashlib.sha256(self._written()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write as one JSON file (counts only where above zero)."""
        path.write_bytes(self._written())

    def _written(self) -> bytes:
        where = np.flatnonzero(self.counts)
        record = {
            "version": self.version,
            "fitted_through": self.fitted_through.isoformat(),
            "n_patients": self.n_patients,
            "n_terms": len(self.counts),
            "knowledge": self.knowledge,
            "terms": where.tolist(),
            "counts": self.counts[where].tolist(),
        }
        return orjson.dumps(record)

    @classmethod
    def load(cls, path: Path) -> Background:
        """Read what `save` wrote; BackgroundError where it cannot be read."""
        try:
            record = orjson.loads(path.read_bytes())
            counts = np.zeros(record["n_terms"])
            counts[record["terms"]] = record["counts"]
            through = date.fromisoformat(record["fitted_through"])
            return cls(record["version"], through, record["n_patients"], counts, record["knowledge"])
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            raise BackgroundError(f"There is no whole background in {path}; make it again.") from None


def nights_of_month(month: str) -> tuple[date, date]:
    """First and last night a background of `YYYY-MM` is used for."""
    year, number = (int(part) for part in month.split("-"))
    return date(year, number, 1), date(year, number, calendar.monthrange(year, number)[1])
