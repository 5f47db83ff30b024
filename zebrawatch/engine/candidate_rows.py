"""Rankings as rows of CANDIDATES, straight from the ranker's arrays: no object is made for a finding or a disease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from zebrawatch.evidence.common_conditions import explainers
from zebrawatch.evidence.explanation import CommonExplanation, Ranking
from zebrawatch.evidence.ranking import LN10, Account, Explained
from zebrawatch.evidence.ranking import Finding as FoundTerm
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.schemas import CANDIDATES, CONTRIBUTION

_MENTION = ("origin", "assertion", "source_id", "start", "end", "quote", "known_night")
NO_TEST = np.array([[-1.0], [0.0], [0.0]])
_OF_PERSON = ("person", "present", None, None, None, None, None)


def candidate_schema() -> pa.Schema:
    """CANDIDATES without `night_range`, which the lake fills."""
    return pa.schema([each.remove_metadata() for each in CANDIDATES.schema if each.name != "night_range"])


class Vocabulary:
    """Ids and labels of all terms, to take from; made once a process. Wordings of sex and age come behind them."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.ids, self.labels = list(knowledge.terms), list(knowledge.labels)
        self._places: dict[str, int] = {}
        self._arrays: tuple[pa.Array, pa.Array] | None = None
        self._explainers: dict[int, frozenset[str]] = {}

    def place(self, label: str) -> int:
        """Place of a wording that is no term: it has an empty id."""
        if label not in self._places:
            self._places[label] = len(self.ids)
            self.ids.append("")
            self.labels.append(label)
            self._arrays = None
        return self._places[label]

    def explainers(self, term: int) -> frozenset[str]:
        """Common conditions that explain a finding (common_conditions.explainers)."""
        if term not in self._explainers:
            self._explainers[term] = explainers(self.ids[term], self.knowledge)
        return self._explainers[term]

    def arrays(self) -> tuple[pa.Array, pa.Array]:
        """Ids and labels."""
        if self._arrays is None:
            self._arrays = (pa.array(self.ids, pa.string()), pa.array(self.labels, pa.string()))
        return self._arrays


@dataclass
class CandidateRows:
    """Rows of CANDIDATES as they come."""

    vocabulary: Vocabulary
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _mentions: list[tuple[Any, ...]] = field(default_factory=lambda: [_OF_PERSON])
    _terms: list[Any] = field(default_factory=list)
    _matched: list[Any] = field(default_factory=list)
    _values: list[Any] = field(default_factory=list)
    _of_mention: list[Any] = field(default_factory=list)
    _expected: list[Any] = field(default_factory=list)
    _lengths: list[Any] = field(default_factory=list)
    """Contributions of every row."""
    _expected_lengths: list[Any] = field(default_factory=list)
    _tests: list[Any] = field(default_factory=list)
    """Term of every row's deciding test (-1: none), with natural log ratios if present and if absent."""

    def add(self, subject_id: int, night: date, ranking: Ranking, cause: str, background: str, *, first: bool) -> None:
        """Rows of one score; one of rank 0 where nothing is left of what stood before (`first`: nothing did)."""
        best = self._best_common(ranking)
        common = (
            ranking.p_any, ranking.n_findings, cause, background,
            best.name if best else None, best.posterior if best else None,
        )  # fmt: skip
        account = ranking.account
        if not isinstance(account, Account) or not len(account.explained.disease):
            if not first:
                self._nothing((subject_id, night, 0, None, None, None, None, *common))
            return
        explained, diseases = account.explained, self.vocabulary.knowledge.diseases
        ratios, posteriors = (explained.log_ratio / LN10).tolist(), explained.posterior.tolist()
        for place, disease in enumerate(explained.disease.tolist()):
            known = diseases[disease]
            self._rows.append(
                (subject_id, night, place + 1, known.id, known.name, ratios[place], posteriors[place], *common)
            )
        if account.masked.keys().isdisjoint(explained.disease.tolist()):
            self._parts(account, account.findings, explained, np.arange(len(explained.disease)))
            return
        for place in range(len(explained.disease)):
            findings, numbers, row = account.of(place)
            self._parts(account, findings, numbers, np.array([row]), explained.disease[[place]])

    def _best_common(self, ranking: Ranking) -> CommonExplanation | None:
        """The most probable common condition that explains any finding: a frequent one alone is no explanation."""
        if not ranking.common or not isinstance(ranking.account, Account):
            return None
        present = [finding.term for finding in ranking.account.findings if finding.present]
        explain = frozenset[str]().union(*(self.vocabulary.explainers(term) for term in present))
        return next((one for one in ranking.common if one.name in explain), None)

    def _nothing(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        for parts in (self._terms, self._matched, self._values, self._of_mention, self._expected):
            parts.append(np.zeros(0, np.int64))
        self._lengths.append(np.zeros(1, np.int64))
        self._expected_lengths.append(np.zeros(1, np.int64))
        self._tests.append(NO_TEST)

    def _parts(
        self, account: Account, findings: Sequence[FoundTerm], numbers: Explained, rows: Any, diseases: Any = None
    ) -> None:
        """Contributions and missing findings of some diseases, for which the same findings count."""
        n, at = len(findings), len(self._mentions)
        self._mentions += [_mention(finding.mention) for finding in findings]
        chosen = account.explained.disease if diseases is None else diseases
        person = np.array([each[chosen] for _, each in account.personal]).reshape(-1, len(rows)).T
        words = [self.vocabulary.place(label) for label, _ in account.personal]
        values = np.hstack([person, numbers.contribution[rows]])
        kept = np.hstack([person != 0.0, np.ones((len(rows), n), np.bool_)])
        terms = np.array([*words, *(finding.term for finding in findings)], np.int64)
        of_mention = np.concatenate([np.zeros(len(words), np.int64), np.arange(at, at + n)])
        matched = np.hstack([np.full(person.shape, -1), numbers.matched[rows]])
        order = np.argsort(-values, axis=1, kind="stable")  # findings stand in order of their ids, sex and age before
        told = np.take_along_axis(kept, order, axis=1)
        self._lengths.append(told.sum(axis=1))
        self._terms.append(terms[order][told])
        self._of_mention.append(of_mention[order][told])
        self._matched.append(np.take_along_axis(matched, order, axis=1)[told])
        self._values.append(np.take_along_axis(values, order, axis=1)[told] / LN10)
        expected = numbers.expected[rows]
        self._expected_lengths.append((expected >= 0).sum(axis=1))
        self._expected.append(expected[expected >= 0])
        self._tests.append(np.stack([numbers.test[rows], numbers.test_present[rows], numbers.test_absent[rows]]))

    def table(self) -> pa.Table:
        """All rows, without `night_range`."""
        schema = candidate_schema()
        if not self._rows:
            return schema.empty_table()
        ids, labels = self.vocabulary.arrays()
        term, of_mention = pa.array(_joined(self._terms)), pa.array(_joined(self._of_mention))
        raw = _joined(self._matched)
        matched = pa.array(np.maximum(raw, 0), mask=raw < 0)
        mentions = dict(zip(_MENTION, zip(*self._mentions, strict=True), strict=True))
        columns: dict[str, pa.Array] = {
            "hpo_id": ids.take(term),
            "label": labels.take(term),
            "matched_id": ids.take(matched),
            "matched_label": labels.take(matched),
            "log10_lr": pa.array(np.concatenate(self._values), pa.float64()),
        }
        kinds = {each.name: each.type for each in CONTRIBUTION}
        for name, told in mentions.items():
            columns[name] = pa.array(told, kinds[name]).take(of_mention)
        contributions = pa.StructArray.from_arrays([columns[each.name] for each in CONTRIBUTION], fields=CONTRIBUTION)
        apart = {
            "contributions": pa.ListArray.from_arrays(_offsets(self._lengths), contributions),
            "expected_absent": pa.ListArray.from_arrays(
                _offsets(self._expected_lengths), ids.take(pa.array(_joined(self._expected)))
            ),
        }
        apart |= self._tests_told(ids)
        plain = [each.name for each in schema if each.name not in apart]
        values = dict(zip(plain, zip(*self._rows, strict=True), strict=True))
        made = [
            apart[each.name].cast(each.type) if each.name in apart else pa.array(values[each.name], each.type)
            for each in schema
        ]
        return pa.table(made, schema=schema)

    def _tests_told(self, ids: pa.Array) -> dict[str, pa.Array]:
        term, present, absent = np.concatenate(self._tests, axis=1)
        none = term < 0
        return {
            "next_test": ids.take(pa.array(np.maximum(term, 0).astype(np.int64), mask=none)),
            "test_if_present": pa.array(present / LN10, mask=none),
            "test_if_absent": pa.array(absent / LN10, mask=none),
        }


def _mention(mention: Any) -> tuple[Any, ...]:
    return (
        mention.origin, mention.assertion, mention.source_id, mention.start, mention.end, mention.quote,
        mention.known_night,
    )  # fmt: skip


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts).astype(np.int64)


def _offsets(parts: list[Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(_joined(parts))]), pa.int32())
