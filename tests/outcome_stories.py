"""A small made hospital in words: patients, alerts and suspicions by day, for the tests of zebrawatch.outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd

from zebrawatch.nights import NightRange
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.observation import PEOPLE_COLUMNS
from zebrawatch.outcome.pairs import LABEL_COLUMNS
from zebrawatch.schemas import CANDIDATES, FLAGS, SUSPICIONS
from zebrawatch.screen.alerts import AlertPolicy, Facts, NightScore, PatientState, Shown, Span, fold

DAY0 = date(2020, 1, 1)
NIGHTS = NightRange(DAY0, DAY0 + timedelta(days=1460))
FABRY, FABRY_ORPHA, GAUCHER, GAUCHER2, POMPE = "OMIM:301500", "ORPHA:324", "OMIM:230800", "OMIM:230900", "OMIM:232300"


def day(n: int | None) -> date | None:
    return None if n is None else DAY0 + timedelta(days=n)


def on(n: int) -> date:
    return DAY0 + timedelta(days=n)


class Diseases:
    """Fabry under two ids; two Gaucher types of one family; Pompe, which shares a made gene with Fabry."""

    _place = {FABRY: 0, FABRY_ORPHA: 0, GAUCHER: 1, GAUCHER2: 2, POMPE: 3, "OMIM:100100": 4, "OMIM:100200": 5}  # noqa: RUF012

    def index_of(self, any_id: str) -> int | None:
        return self._place.get(any_id)

    def same_family(self, first: int, second: int) -> bool:
        return {first, second} == {1, 2}

    def same_gene(self, first: int, second: int) -> bool:
        return {first, second} == {0, 3}


def matcher() -> Matcher:
    return Matcher(Diseases())


Score = tuple[int, float, Sequence[str]]


def flags_of(
    subject: int, scores: Sequence[Score], suspected: int | None = None, died: int | None = None
) -> list[dict[str, Any]]:
    """FLAGS rows that the real alert policy gives for these scores: (day, probability, diseases)."""
    night_scores = [NightScore(on(n), p, _shown(diseases)) for n, p, diseases in scores]
    facts = Facts(suspected_night=day(suspected), died=(Span(day(died)),) if died is not None else ())
    changes, _ = fold(AlertPolicy(threshold=0.5), PatientState(subject), night_scores, facts, NIGHTS, DAY0)
    return [change.as_row(str(NIGHTS)) for change in changes]


def _shown(diseases: Sequence[str]) -> tuple[Shown, ...]:
    return tuple(Shown(rank, one, one, 0.2, 1.0) for rank, one in enumerate(diseases, 1))


def flags(*rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([row for group in rows for row in group], columns=FLAGS.schema.names)


def people(*spans: tuple[int, int, int], died: dict[int, int] | None = None) -> pd.DataFrame:
    """(subject, first day, last day)."""
    rows = [
        (
            subject,
            on(first),
            on(last),
            day((died or {}).get(subject)),
            "female" if subject % 2 else "male",
            date(1980, 1, 1),
        )
        for subject, first, last in spans
    ]
    return pd.DataFrame(rows, columns=list(PEOPLE_COLUMNS))


def suspicions(*rows: tuple[int, str | None, str, int], phenotype: bool = False) -> pd.DataFrame:
    """(subject, disease, kind, day)."""
    made = [
        {"subject_id": s, "disease_id": d, "kind": k, "known_night": on(n), "phenotype_name": phenotype}
        for s, d, k, n in rows
    ]
    return pd.DataFrame(made, columns=SUSPICIONS.schema.names)


def labels(*rows: tuple[int | None, str, int | None, int | None]) -> pd.DataFrame:
    """(subject, disease, suspected, confirmed)."""
    made = [(s, d, day(a), day(b)) for s, d, a, b in rows]
    return pd.DataFrame(made, columns=list(LABEL_COLUMNS), dtype=object)


def candidates(*rows: tuple[int, int, Sequence[str]]) -> pd.DataFrame:
    """(subject, day, diseases best first)."""
    made = [
        {"subject_id": s, "night": on(n), "rank": rank, "disease_id": one, "p_any": 0.9, "contributions": []}
        for s, n, diseases in rows
        for rank, one in enumerate(diseases, 1)
    ]
    return pd.DataFrame(made, columns=CANDIDATES.schema.names)


def written(*rows: tuple[int, int, int]) -> pd.DataFrame:
    """(subject, day, number of documents)."""
    made = [(s, on(n)) for s, n, times in rows for _ in range(times)]
    return pd.DataFrame(made, columns=["subject_id", "known_night"])
