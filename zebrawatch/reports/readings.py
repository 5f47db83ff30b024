"""What the reports say of the language model: its judged answers for a patient, and counts over all nights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, Quote
from zebrawatch.reasoning.fusion import Listed, join
from zebrawatch.reasoning.rows import judged_of
from zebrawatch.reports import data as page

ASKED = ("subject_id", "night", "read", "reason", "sampled", "task", "candidate", "repeat", "request_key")
ANSWERED = (
    *("request_key", "attempt", "verdict", "judged", "counts", "quotes", "struck_quotes"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "identity", "night"),
)


class Readings:
    """What a language model was asked and answered about some patients, or about all.

    `asked` and `answers` are rows of `llm_requests` and `llm_responses` (columns ASKED, ANSWERED); `threshold` is the
    alert policy's.
    """

    def __init__(
        self, asked: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]], threshold: float
    ) -> None:
        self.asked, self.answers, self.threshold = asked, answers, threshold
        self._answer_of = {row["request_key"]: row for row in sorted(self.answers, key=lambda row: row["attempt"])}
        self._asked_of: dict[tuple[int, date], list[Mapping[str, Any]]] = {}
        for row in self.asked:
            self._asked_of.setdefault((row["subject_id"], row["night"]), []).append(row)
        self._read = {place for place, rows in self._asked_of.items() if any(row["request_key"] for row in rows)}

    def last(self, subject: int) -> date | None:
        """The newest night whose chart of a patient was read; None where none was."""
        return max((night for one, night in self._read if one == subject), default=None)

    def of(
        self, subject: int, night: date, scores: Sequence[Mapping[str, Any]], sources: Mapping[str, page.Source]
    ) -> page.ModelReading | None:
        """What was said of a patient's chart on a night; None where it was not read. `scores` stood that night."""
        asked = [row for row in self._asked_of.get((subject, night), ()) if row["request_key"] and not row["repeat"]]
        first = next((row for row in asked if row["candidate"] is None), None)
        answer = self._answer_of.get(first["request_key"]) if first else None
        if first is None or answer is None:
            return None
        identity = json.loads(answer["identity"])
        judged = judged_of(answer["judged"]) if answer["judged"] else None
        confirmed = [self._answer_of.get(row["request_key"]) for row in asked if row["candidate"]]
        listed = [
            Listed(*(row[name] for name in ("disease_id", "disease_name", "posterior", "log10_lr"))) for row in scores
        ]
        joined = join(
            scores[0]["p_any"] if scores else 0.0, listed, judged,
            [judged_of(row["judged"]) for row in confirmed if row and row["judged"]], threshold=self.threshold,
        )  # fmt: skip
        places = {row["disease_id"]: row["rank"] for row in scores}
        return page.ModelReading(
            night,
            identity["llm.model"],
            identity["llm.clinical_use"] == "true",
            first["reason"],
            answer["verdict"],
            tuple(_disease(each, places, sources) for each in judged.diseases) if judged else (),
            tuple(f"{one.kind}: {one.name} ({one.detail})" for one in joined.disagreements),
        )

    def counts(self) -> page.ModelCounts | None:
        """Counts over all nights; None where no model ever read."""
        asked = [row for row in self.asked if row["request_key"]]
        if not self.answers or not asked:
            return None
        last = json.loads(max(self.answers, key=lambda row: row["night"])["identity"])
        made = [row for row in self.answers if row["attempt"] == 1]
        repeated, agreed = self._agreement(asked)
        return page.ModelCounts(
            model=last["llm.model"],
            clinical_use=last["llm.clinical_use"] == "true",
            considered=len({row["subject_id"] for row in self.asked}),
            read=len({row["subject_id"] for row in asked}),
            sampled=len({row["subject_id"] for row in asked if row["sampled"]}),
            questions=len(asked),
            from_cache=len(asked) - len(made),
            made=len(made),
            retries=len(self.answers) - len(made),
            usable=sum(row["verdict"] == "accepted" for row in made),
            quotes=_sum(self.answers, "quotes"),
            struck=_sum(self.answers, "struck_quotes"),
            prompt_tokens=_sum(self.answers, "prompt_tokens"),
            cached_tokens=_sum(self.answers, "cached_tokens"),
            answer_tokens=_sum(self.answers, "completion_tokens"),
            repeated=repeated,
            agreement=agreed / repeated if repeated else None,
        )

    def _agreement(self, asked: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Repeated questions whose answer and first answer were both usable, and those with the same first disease."""
        keys = {row["request_key"] for row in asked if row["repeat"]}
        pairs = [(self._judged(key), self._judged(key.rpartition("-r")[0])) for key in keys]
        usable = [(one, other) for one, other in pairs if one and other]
        return len(usable), sum(_first(one) == _first(other) for one, other in usable)

    def _judged(self, key: str) -> JudgedAnswer | None:
        row = self._answer_of.get(key)
        return judged_of(row["judged"]) if row and row["judged"] else None


def _disease(named: JudgedDisease, places: Mapping[str, int], sources: Mapping[str, page.Source]) -> page.ModelDisease:
    def quoted(quotes: Iterable[Quote]) -> tuple[page.ModelQuote, ...]:
        return tuple(
            page.ModelQuote(sources.get(one.note_id, page.Source(one.note_id, "note", None)), one.text)
            for one in quotes
        )

    found = named.resolution.disease_id
    return page.ModelDisease(
        named.resolution.name or named.name, found, places.get(found) if found else None, quoted(named.supporting),
        quoted(named.against), named.struck, named.next_test,
    )  # fmt: skip


def _first(answer: JudgedAnswer) -> str | None:
    if not answer.diseases:
        return None
    return answer.diseases[0].resolution.disease_id or answer.diseases[0].name.casefold()


def _sum(rows: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] or 0 for row in rows)
