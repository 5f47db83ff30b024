"""Rankings as rows of CANDIDATES, for many scores at once and straight from the ranker's arrays.

A score is only noted down; the columns of all that were noted are made together. No object is made for a finding of a
disease: its texts are taken, by number, from the terms of the knowledge and the mentions that were weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zebrawatch.evidence.common_conditions import COMMON_CONDITIONS, explainers
from zebrawatch.evidence.explanation import Ranking
from zebrawatch.evidence.ranking import COMMON_SHOWN, EXPECTED_SHOWN, LN10, Account, Shares
from zebrawatch.evidence.ranking import Finding as FoundTerm
from zebrawatch.evidence.strongest import Blocks, strongest_first
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.schemas import CANDIDATES, CONTRIBUTION

_OF_SCORE = ("subject_id", "night", "p_any", "n_findings", "cause", "background", "common_explanation",
             "common_posterior")  # fmt: skip
_OF_MENTION = ("origin", "assertion", "source_id", "start", "end", "quote", "known_night")
_told_of = attrgetter(*_OF_MENTION)
_PERSON = ("person", "present", None, None, None, None, None)
"""Stands where a mention would, for sex and age."""


def candidate_schema() -> pa.Schema:
    """CANDIDATES without `night_range`, which the lake fills."""
    return pa.schema([each.remove_metadata() for each in CANDIDATES.schema if each.name != "night_range"])


_SCHEMA = candidate_schema()


class Vocabulary:
    """Ids and names to take from, by number; made once a process. Wordings of sex and age come behind the terms."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.disease_ids = pa.array([each.id for each in knowledge.diseases], pa.string())
        self.disease_names = pa.array([each.name for each in knowledge.diseases], pa.string())
        self._ids, self._labels = list(knowledge.terms), list(knowledge.labels)
        self._places: dict[str, int] = {}
        self._arrays: tuple[pa.Array, pa.Array] | None = None
        self._explainers: dict[int, frozenset[int]] = {}

    def place(self, label: str) -> int:
        """Place of a wording that is no term: it has an empty id."""
        if label not in self._places:
            self._places[label] = len(self._ids)
            self._ids.append("")
            self._labels.append(label)
            self._arrays = None
        return self._places[label]

    def explainers(self, term: int) -> frozenset[int]:
        """Places of the common conditions that explain a finding (common_conditions.explainers)."""
        if term not in self._explainers:
            names = explainers(self._ids[term], self.knowledge)
            self._explainers[term] = frozenset(n for n, each in enumerate(COMMON_CONDITIONS) if each.name in names)
        return self._explainers[term]

    def arrays(self) -> tuple[pa.Array, pa.Array]:
        """Ids and labels."""
        if self._arrays is None:
            self._arrays = (pa.array(self._ids, pa.string()), pa.array(self._labels, pa.string()))
        return self._arrays


class _Block(NamedTuple):
    """Some diseases of a score, in order of rank, for which the same findings count (strongest.Blocks)."""

    people: int
    findings: int
    person: NDArray[np.float64]
    shares: Shares


_NO_VALUES = np.zeros(0)
_EMPTY = _Block(
    0,
    0,
    _NO_VALUES,
    Shares(
        np.zeros((1, 0)), np.zeros((1, 0), np.int32), np.full((1, EXPECTED_SHOWN), -1, np.int32),
        np.full(1, -1, np.int32), np.zeros(1), np.zeros(1),
    ),
)  # fmt: skip
"""The one row of a score of nothing."""
_NO_DISEASE = (np.full(1, -1), np.zeros(1), np.zeros(1))


@dataclass
class CandidateRows:
    """Scores as they come, to be told as rows of CANDIDATES."""

    vocabulary: Vocabulary
    _scores: list[tuple[object, ...]] = field(default_factory=list)
    """What all rows of a score share (_OF_SCORE)."""
    _diseases: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)
    """Of every score its diseases in order of rank, their natural log ratios and posteriors; disease -1 is nothing."""
    _blocks: list[_Block] = field(default_factory=list)
    _terms: list[int] = field(default_factory=list)
    """Of every column of every block its term, or the place of its wording; beside it what is told of the mention
    (_OF_MENTION)."""
    _mentions: list[tuple[object, ...]] = field(default_factory=list)
    contributions: int = 0
    """About how many contributions the rows have: what their size goes by."""

    def add(self, subject_id: int, night: date, ranking: Ranking, cause: str, background: str, *, first: bool) -> None:
        """Note a score; one of nothing has a row of rank 0 if something stood before, and none if it is the `first`."""
        account = ranking.account if isinstance(ranking.account, Account) else None
        if account is not None and not len(account.explained.disease):
            account = None
        if first and account is None:
            return
        best = (None, None) if account is None else self._best_common(account)
        self._scores.append((subject_id, night, ranking.p_any, ranking.n_findings, cause, background, *best))
        if account is not None:
            self._note(account)
        else:
            self._diseases.append(_NO_DISEASE)
            self._blocks.append(_EMPTY)

    def _best_common(self, account: Account) -> tuple[str | None, float | None]:
        """The most probable common condition that explains any finding: a frequent one alone is no explanation."""
        explain = self.vocabulary.explainers
        places: frozenset[int] = frozenset().union(*(explain(each.term) for each in account.findings if each.present))
        posterior = account.explained.p_common
        told = [each for each in places if posterior[each] >= COMMON_SHOWN]
        if not told:
            return None, None
        best = min(told, key=lambda each: (-posterior[each], COMMON_CONDITIONS[each].name))
        return COMMON_CONDITIONS[best].name, float(posterior[best])

    def _note(self, account: Account) -> None:
        explained = account.explained
        self._diseases.append((explained.disease, explained.log_ratio, explained.posterior))
        if account.masked.keys().isdisjoint(explained.disease.tolist()):
            self._note_block(account, account.findings, explained.shares, slice(None), slice(None))
            return
        for place in range(len(explained.disease)):
            told = account.of(place)
            self._note_block(
                account, told.findings, told.shares, slice(place, place + 1), slice(told.row, told.row + 1)
            )

    def _note_block(
        self, account: Account, findings: Sequence[FoundTerm], shares: Shares, places: slice, rows: slice
    ) -> None:
        """Note the diseases of some places, whose numbers stand in some rows and for which these findings count."""
        person = [each[places] for _, each in account.personal]
        added = np.concatenate(person) if person else _NO_VALUES
        block = _Block(len(person), len(findings), added, shares.rows(rows))
        self.contributions += len(block.shares.test) * (len(person) + len(findings))
        self._blocks.append(block)
        for label, _ in account.personal:
            self._terms.append(self.vocabulary.place(label))
            self._mentions.append(_PERSON)
        self._terms += [finding.term for finding in findings]
        self._mentions += [_told_of(finding.mention) for finding in findings]

    def table(self) -> pa.Table:
        """All rows, without `night_range`: as many for a score as it has diseases."""
        if not self._scores:
            return _SCHEMA.empty_table()
        columns = self._of_scores() | self._of_diseases() | self._contributions() | self._missing()
        return pa.table([columns[each.name] for each in _SCHEMA], schema=_SCHEMA)

    def _of_scores(self) -> dict[str, pa.Array]:
        """Columns that all rows of a score share, and the rank."""
        counts = np.array([len(disease) for disease, _, _ in self._diseases])
        row = pa.array(np.repeat(np.arange(len(counts)), counts))
        shared = zip(_OF_SCORE, zip(*self._scores, strict=True), strict=True)
        columns = {name: pa.array(values, _SCHEMA.field(name).type).take(row) for name, values in shared}
        rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        nothing = np.concatenate([disease for disease, _, _ in self._diseases]) < 0
        return columns | {"rank": pa.array(np.where(nothing, 0, rank).astype(np.int32))}

    def _of_diseases(self) -> dict[str, pa.Array]:
        disease, ratio, posterior = (np.concatenate(each) for each in zip(*self._diseases, strict=True))
        nothing = disease < 0
        place = _places(disease)
        return {
            "disease_id": self.vocabulary.disease_ids.take(place),
            "disease_name": self.vocabulary.disease_names.take(place),
            "log10_lr": pa.array(ratio / LN10, mask=nothing),
            "posterior": pa.array(posterior, mask=nothing),
        }

    def _contributions(self) -> dict[str, pa.Array]:
        told = strongest_first(
            Blocks(
                np.array([len(block.shares.test) for block in self._blocks], np.int64),
                np.array([block.people for block in self._blocks], np.int64),
                np.array([block.findings for block in self._blocks], np.int64),
                np.concatenate([block.person for block in self._blocks]),
                np.concatenate([block.shares.contribution.ravel() for block in self._blocks]),
                np.concatenate([block.shares.matched.ravel() for block in self._blocks]),
            )
        )
        ids, labels = self.vocabulary.arrays()
        term = pa.array(np.array(self._terms, np.int64)[told.column])
        matched, column = _places(told.matched), pa.array(told.column)
        columns: dict[str, pa.Array] = {
            "hpo_id": ids.take(term),
            "label": labels.take(term),
            "matched_id": ids.take(matched),
            "matched_label": labels.take(matched),
            "log10_lr": pa.array(told.value / LN10),
        }
        given = zip(*self._mentions, strict=True) if self._mentions else repeat(())
        for name, values in zip(_OF_MENTION, given, strict=False):
            columns[name] = pa.array(values, CONTRIBUTION.field(name).type).take(column)
        contributions = pa.StructArray.from_arrays([columns[each.name] for each in CONTRIBUTION], fields=CONTRIBUTION)
        return {"contributions": _lists("contributions", told.counts, contributions)}

    def _missing(self) -> dict[str, pa.Array]:
        """What is expected and not found, and the next test."""
        ids, _ = self.vocabulary.arrays()
        expected = np.concatenate([block.shares.expected for block in self._blocks])
        there = expected >= 0
        test = np.concatenate([block.shares.test for block in self._blocks])
        present = np.concatenate([block.shares.test_present for block in self._blocks])
        absent = np.concatenate([block.shares.test_absent for block in self._blocks])
        return {
            "expected_absent": _lists("expected_absent", there.sum(axis=1), ids.take(pa.array(expected[there]))),
            "next_test": ids.take(_places(test)),
            "test_if_present": pa.array(present / LN10, mask=test < 0),
            "test_if_absent": pa.array(absent / LN10, mask=test < 0),
        }


def _places(number: NDArray[np.int64] | NDArray[np.int32]) -> pa.Array:
    """Places to take from; null where the number is below 0."""
    return pa.array(number, mask=number < 0)


def _lists(name: str, counts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """The values as lists of the given lengths, of the type of the column."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=_SCHEMA.field(name).type)
