"""Rankings as rows of CANDIDATES, straight from the ranker's arrays: no object is made for a finding or a disease."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from zebrawatch.evidence.explanation import Ranking
from zebrawatch.evidence.ranking import LN10, Account
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.schemas import CANDIDATES, CONTRIBUTION

_MENTION = ("origin", "assertion", "source_id", "start", "end", "quote", "known_night")
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

    def place(self, label: str) -> int:
        """Place of a wording that is no term: it has an empty id."""
        if label not in self._places:
            self._places[label] = len(self.ids)
            self.ids.append("")
            self.labels.append(label)
            self._arrays = None
        return self._places[label]

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

    def add(self, subject_id: int, night: date, ranking: Ranking, cause: str, background: str, *, first: bool) -> None:
        """Rows of one score; one of rank 0 where nothing is left of what stood before (`first`: nothing did)."""
        common = (ranking.p_any, ranking.n_findings, cause, background)
        account = ranking.account
        if not isinstance(account, Account) or not len(account.explained.disease):
            if not first:
                self._row((subject_id, night, 0, None, None, None, None, *common))
            return
        at = len(self._mentions)
        self._mentions += [_mention(finding.mention) for finding in account.findings]
        explained, diseases = account.explained, self.vocabulary.knowledge.diseases
        ratios, posteriors = (explained.log_ratio / LN10).tolist(), explained.posterior.tolist()
        for place, disease in enumerate(explained.disease.tolist()):
            known = diseases[disease]
            self._row(
                (subject_id, night, place + 1, known.id, known.name, ratios[place], posteriors[place], *common),
                account, place, at,
            )  # fmt: skip

    def _row(self, row: tuple[Any, ...], account: Account | None = None, place: int = 0, at: int = 0) -> None:
        self._rows.append(row)
        if account is None:
            for parts in (self._terms, self._matched, self._values, self._of_mention, self._expected):
                parts.append(np.zeros(0, np.int64))
            return
        findings, numbers, number = account.of(place)
        disease = int(account.explained.disease[place])
        if findings is not account.findings:  # some do not count for this disease
            at = len(self._mentions)
            self._mentions += [_mention(finding.mention) for finding in findings]
        personal = [(label, float(each[disease])) for label, each in account.personal if each[disease] != 0.0]
        n = len(personal)
        terms = np.array(
            [*(self.vocabulary.place(label) for label, _ in personal), *(finding.term for finding in findings)],
            np.int64,
        )
        values = np.concatenate([[value for _, value in personal], numbers.contribution[number]])
        matched = np.concatenate([np.full(n, -1), numbers.matched[number]])
        of_mention = np.concatenate([np.zeros(n, np.int64), np.arange(at, at + len(findings))])
        order = np.argsort(-values, kind="stable")  # findings come in order of their ids, what is no finding first
        self._terms.append(terms[order])
        self._matched.append(matched[order])
        self._values.append(values[order] / LN10)
        self._of_mention.append(of_mention[order])
        expected = numbers.expected[number]
        self._expected.append(expected[expected >= 0])

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
        lists = {
            "contributions": pa.ListArray.from_arrays(_offsets(self._terms), contributions),
            "expected_absent": pa.ListArray.from_arrays(
                _offsets(self._expected), ids.take(pa.array(_joined(self._expected)))
            ),
        }
        plain = [each.name for each in schema if each.name not in lists]
        values = dict(zip(plain, zip(*self._rows, strict=True), strict=True))
        made = [
            lists[each.name].cast(each.type) if each.name in lists else pa.array(values[each.name], each.type)
            for each in schema
        ]
        return pa.table(made, schema=schema)


def _mention(mention: Any) -> tuple[Any, ...]:
    return (
        mention.origin, mention.assertion, mention.source_id, mention.start, mention.end, mention.quote,
        mention.known_night,
    )  # fmt: skip


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts).astype(np.int64)


def _offsets(parts: list[Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum([len(each) for each in parts])]), pa.int32())
