"""Lead time: how long before suspicion an alert already showed the disease (OUTCOMES, "Cases").

Lead = max(0, suspicion - raise) in days. The headline is the sustained lead: it needs an episode that is still open
and still shows the disease on the eve of suspicion, and it counts from the night since which that episode has shown
it. Nobody is told earlier than that, so an episode that showed other diseases first gives no lead for those nights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from zebrawatch.outcome.episodes import DAY, Change, Episode, by_subject
from zebrawatch.outcome.matching import TIERS, Matcher, Tier
from zebrawatch.outcome.observation import night_value, records
from zebrawatch.outcome.pairs import PAIR_COLUMNS
from zebrawatch.schemas import LEAD_TIME

Lists = Sequence[str]


@dataclass(frozen=True)
class Hit:
    """What the alerts of one patient did for one disease before its night of suspicion."""

    first_raise: date | None
    sustained_raise: date | None
    tier: Tier

    def sustained_days(self, suspicion: date) -> int:
        return 0 if self.sustained_raise is None else max(0, (suspicion - self.sustained_raise).days)

    def first_days(self, suspicion: date) -> int:
        return 0 if self.first_raise is None else max(0, (suspicion - self.first_raise).days)


def hit(episodes: Iterable[Episode], disease_id: str, suspicion: date, matcher: Matcher, k: int | None = None) -> Hit:
    """Judge one patient's episodes against one disease; `k` cuts the shown lists (None: as shown).

    Only an exact match sets the two nights; `tier` is the best match of what stood open on the eve of suspicion. An
    alert that only a new background or release raised gives no lead until the patient's evidence earned it.
    """
    first: list[date] = []
    sustained: list[date] = []
    tier: Tier = "miss"
    for episode in episodes:
        own_from = episode.own_from
        if own_from is None or own_from >= suspicion:
            continue
        lists = [Change(change.night, change.diseases[:k]) for change in episode.lists_before(suspicion)]
        shows = [any(matcher.same(disease_id, shown) for shown in change.diseases) for change in lists]
        if any(shows):
            first.append(max(own_from, lists[shows.index(True)].night))
        standing = episode.shown_on(suspicion - DAY)[:k]
        if not standing:
            continue
        best = matcher.best(disease_id, standing)
        tier = min(tier, best, key=TIERS.index)
        if best == "exact":
            sustained.append(max(own_from, _since(lists, shows)))
    return Hit(min(first, default=None), min(sustained, default=None), tier)


def _since(lists: Sequence[Change], shows: Sequence[bool]) -> date:
    """The night since which every list shown has held the disease; the last one holds it."""
    start = len(shows) - 1
    while start > 0 and shows[start - 1]:
        start -= 1
    return lists[start].night


def lead_time(
    pairs: pd.DataFrame,
    episodes: Sequence[Episode],
    candidates: pd.DataFrame | None,
    matcher: Matcher,
    *,
    k: int | None = None,
) -> pd.DataFrame:
    """Rows of schemas.LEAD_TIME for `pairs` (the rows of zebrawatch.outcome.pairs.PairTable).

    `candidates`: schemas.CANDIDATES, for the best rank before suspicion; None leaves it out. Pairs that could not be
    used keep their row, with null dates and leads.
    """
    grouped = by_subject(episodes)
    ranks = _Ranks(candidates, pairs)
    rows = [_row(pair, grouped, ranks, matcher, k) for pair in records(pairs, PAIR_COLUMNS)]
    return pd.DataFrame(rows, columns=LEAD_TIME.schema.names)


def _row(
    pair: dict[str, Any], grouped: dict[int, list[Episode]], ranks: _Ranks, matcher: Matcher, k: int | None
) -> dict[str, Any]:
    row: dict[str, Any] = {name: pair.get(name) for name in LEAD_TIME.schema.names}
    suspicion = night_value(pair["suspicion_night"])
    if suspicion is None or not isinstance(pair["pair_class"], str):
        return row | {"prioritised": None, "match_tier": None, "interval_days": None}
    subject, disease = int(pair["subject_id"]), str(pair["disease_id"])
    found = hit(grouped.get(subject, ()), disease, suspicion, matcher, k)
    return row | {
        "first_raise_night": found.first_raise,
        "sustained_raise_night": found.sustained_raise,
        "match_tier": found.tier,
        "prioritised": found.sustained_raise is not None,
        "lead_days": found.sustained_days(suspicion),
        "first_lead_days": found.first_days(suspicion),
        "best_rank": ranks.best(subject, disease, suspicion, matcher),
    }


class _Ranks:
    """Ranks of candidates by patient."""

    def __init__(self, candidates: pd.DataFrame | None, pairs: pd.DataFrame) -> None:
        self._rows: dict[int, list[tuple[date, int, str]]] = {}
        if candidates is None or candidates.empty:
            return
        wanted = candidates[candidates["subject_id"].isin(pairs["subject_id"].dropna().astype("int64"))]
        for row in records(wanted, ("subject_id", "night", "rank", "disease_id")):
            known = night_value(row["night"])
            if known is not None:
                self._rows.setdefault(int(row["subject_id"]), []).append(
                    (known, int(row["rank"]), str(row["disease_id"]))
                )

    def best(self, subject: int, disease: str, suspicion: date, matcher: Matcher) -> int | None:
        rows = self._rows.get(subject, ())
        return min(
            (rank for night, rank, one in rows if night < suspicion and matcher.same(disease, one)), default=None
        )
