"""A patient's chart as it stood on a night, as a prompt.

As-of notes and findings only, masked without a look at any label, in the order in which they became known, each
sentence at its first appearance, trimmed to the context by value and not by position. Instructions come first and
patient text last, entries are only ever appended from night to night, and the night itself is not told: so vLLM's
prefix cache serves across patients and along one patient's nights, and an unchanged chart makes the same request.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from zebrawatch.evidence.copied import LEAST_SHARE, LEAST_WORDS, same_share
from zebrawatch.reasoning.injection import addresses_a_model, harmless, may_address_a_model
from zebrawatch.reasoning.task import Task

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text by the model's own tokenizer."""

TEMPLATE_TOKENS = 64  # turn marks and a default system text of the chat template
SLACK = 1.02  # tokens of a whole are not quite the sum of its parts
PLAIN_VALUE = 0.05  # value of a sentence without a finding
GAP = "[...]"


class Naming(NamedTuple):
    """A hit of the naming set in a document: which rare disease; `family` where it is about a relative."""

    disease_id: str | None
    family: bool = False


@dataclass(frozen=True)
class ChartNote:
    """A note known by the night, with what the naming set found in it."""

    note_id: str
    known_night: date
    text: str
    event_time: datetime | None = None
    type_display: str | None = None
    namings: tuple[Naming, ...] = ()


@dataclass(frozen=True)
class ChartFinding:
    """A finding known by the night. `start`, `end`: place in its note's text, or None for labs and codes.

    `weight`: how much it moves the evidence arm, such as |log10 likelihood ratio| of its strongest contribution.
    """

    source_id: str
    known_night: date
    label: str
    assertion: str = "present"
    experiencer: str = "patient"
    start: int | None = None
    end: int | None = None
    quote: str = ""
    weight: float = 1.0
    namings: tuple[Naming, ...] = ()


@dataclass(frozen=True)
class PatientChart:
    """All that may be told of one patient on one night: no row may be known later than `night` (ValueError)."""

    subject_id: int
    night: date
    notes: tuple[ChartNote, ...]
    findings: tuple[ChartFinding, ...] = ()
    sex: str | None = None
    birth_date: date | None = None

    def __post_init__(self) -> None:
        known = [note.known_night for note in self.notes] + [finding.known_night for finding in self.findings]
        if any(night > self.night for night in known):
            raise ValueError("a chart holds a row that was not known on its night")


class LeftOut(NamedTuple):
    """A line of the ledger: what was kept from the model, and why. `disease_id` where a naming was the reason."""

    subject_id: int
    night: date
    task: str
    source_id: str
    reason: str
    disease_id: str | None = None


@dataclass(frozen=True)
class Prompt:
    """A chart as messages. `shown` maps a note's label to (note_id, the text as shown to the model's eyes, unbroken).

    `tokens`: estimate of the prompt's length. `evidence`: SHA-256 of patient and text. `dropped`:
    sentences that did not fit.
    """

    subject_id: int
    night: date
    instructions: str
    chart: str
    shown: dict[str, tuple[str, str]]
    tokens: int
    evidence: str
    dropped: int
    copied: int
    left_out: tuple[LeftOut, ...] = field(default=())

    def messages(self) -> list[dict[str, str]]:
        """Chat messages: the fixed text, then the patient's."""
        return [{"role": "system", "content": self.instructions}, {"role": "user", "content": self.chart}]


class _Piece(NamedTuple):
    """A sentence of a note or a row of the findings: the unit that is kept or dropped."""

    entry: int
    place: int
    text: str
    value: float


class _Entry(NamedTuple):
    """A note, or the rows of one night. `told`: its sentences, kept or not: what a quote may come from."""

    known_night: date
    header: str
    label: str
    source_id: str
    told: list[str]


@dataclass(frozen=True)
class _Draft:
    chart: PatientChart
    entries: list[_Entry]
    pieces: list[_Piece]
    copied: int
    left_out: list[LeftOut]
    tail: str


def build_prompts(
    charts: Sequence[PatientChart],
    task: Task,
    room: int,
    count_tokens: CountTokens,
    candidates: Sequence[tuple[str, str]] | None = None,
) -> list[Prompt]:
    """Prompts of at most `room` tokens, one a chart; tokens are counted in one call for all of them.

    `candidates`: for the task `confirm`, (disease id, name) for each chart. ValueError where the task asks about a
    candidate and none is given.
    """
    if (task.masking == "candidate") != (candidates is not None):
        raise ValueError(f"the task '{task.name}' {'needs' if candidates is None else 'takes no'} candidates")
    asked: Sequence[tuple[str, str] | None] = candidates if candidates is not None else [None] * len(charts)
    drafts = [_draft(chart, task, candidate) for chart, candidate in zip(charts, asked, strict=True)]
    size = _sizes(drafts, task, count_tokens)
    return [_prompt(draft, task, room, size) for draft in drafts]


def _sizes(drafts: Iterable[_Draft], task: Task, count_tokens: CountTokens) -> dict[str, int]:
    texts: dict[str, None] = {task.instructions: None, GAP: None}
    for draft in drafts:
        texts |= dict.fromkeys([draft.tail, *(e.header for e in draft.entries), *(p.text for p in draft.pieces)])
    return dict(zip(texts, count_tokens(list(texts)), strict=True))


# -- what may be told ----------------------------------------------------------------------------------------------


def _draft(chart: PatientChart, task: Task, candidate: tuple[str, str] | None) -> _Draft:
    left_out: list[LeftOut] = []
    disease = candidate[0] if candidate else None
    notes = [note for note in chart.notes if _may_tell(chart, task, note, disease, left_out)]
    told = {note.note_id for note in notes}
    in_notes = {note.note_id for note in chart.notes}
    rows = [
        finding
        for finding in chart.findings
        if finding.start is None
        and (finding.source_id in told or finding.source_id not in in_notes)
        and _may_tell(chart, task, finding, disease, left_out)
    ]
    entries, pieces, copied = _lay_out(chart, task, notes, rows, left_out)
    return _Draft(chart, entries, pieces, copied, left_out, _tail(chart, candidate))


def _may_tell(
    chart: PatientChart, task: Task, row: ChartNote | ChartFinding, disease: str | None, left_out: list[LeftOut]
) -> bool:
    source = row.note_id if isinstance(row, ChartNote) else row.source_id
    for naming in row.namings:
        if naming.disease_id is not None and (task.masking == "any" or naming.disease_id == disease):
            reason = "names a rare disease in a relative" if naming.family else "names a rare disease"
            left_out.append(LeftOut(chart.subject_id, chart.night, task.name, source, reason, naming.disease_id))
            return False
    return True


def _lay_out(
    chart: PatientChart,
    task: Task,
    notes: Sequence[ChartNote],
    rows: Sequence[ChartFinding],
    left_out: list[LeftOut],
) -> tuple[list[_Entry], list[_Piece], int]:
    """Entries in the order they became known, with their pieces; copied sentences are told once."""
    spans: dict[str, list[ChartFinding]] = {}
    for finding in chart.findings:
        if finding.start is not None:
            spans.setdefault(finding.source_id, []).append(finding)
    labels = {note.note_id: f"N{n}" for n, note in enumerate(sorted(chart.notes, key=_order), start=1)}
    entries: list[_Entry] = []
    pieces: list[_Piece] = []
    clock, copied = _FirstAppearance(), 0
    for known, item in _timeline(notes, rows):
        place = len(entries)
        if isinstance(item, ChartNote):
            entry = _note_entry(chart, item, labels[item.note_id])
            entries.append(entry)
            suspect = may_address_a_model(item.text)
            for start, end, sentence in sentences_of(item.text):
                if suspect and addresses_a_model(sentence):
                    left_out.append(
                        LeftOut(chart.subject_id, chart.night, task.name, item.note_id, "sentence addresses a model")
                    )
                    continue
                entry.told.append(harmless(sentence))
                if clock.is_new(sentence):
                    value = _value(spans.get(item.note_id, ()), start, end)
                    pieces.append(_Piece(place, start, entry.told[-1], value))
                else:
                    copied += 1
        else:
            entries.append(_Entry(known, f"{known} laboratory and coded findings", "", "", []))
            pieces += [
                _Piece(place, n, harmless(_row(row)), max(row.weight, PLAIN_VALUE)) for n, row in enumerate(item)
            ]
    return entries, pieces, copied


def _timeline(
    notes: Sequence[ChartNote], rows: Sequence[ChartFinding]
) -> Iterator[tuple[date, ChartNote | list[ChartFinding]]]:
    by_night: dict[date, list[ChartFinding]] = {}
    for row in sorted(rows, key=lambda r: (r.known_night, r.label, r.quote, r.source_id)):
        by_night.setdefault(row.known_night, []).append(row)
    dated: list[tuple[tuple[date, int, str, str], ChartNote | list[ChartFinding]]] = [
        ((note.known_night, 0, *_order(note)[1:]), note) for note in notes
    ]
    dated += [((night, 1, "", ""), found) for night, found in by_night.items()]
    for key, item in sorted(dated, key=lambda pair: pair[0]):
        yield key[0], item


def _order(note: ChartNote) -> tuple[date, str, str]:
    return note.known_night, note.event_time.isoformat() if note.event_time else "", note.note_id


def _note_entry(chart: PatientChart, note: ChartNote, label: str) -> _Entry:
    when = note.event_time.date() if note.event_time else note.known_night
    age = f", age {_age(chart.birth_date, when)}" if chart.birth_date else ""
    kind = harmless(note.type_display or "note").replace("\n", " ")[:80]
    return _Entry(note.known_night, f"[{label}] {when}{age}, {kind}", label, note.note_id, [])


def _age(birth: date, when: date) -> str:
    months = (when.year - birth.year) * 12 + when.month - birth.month - (when.day < birth.day)
    if months < 0:
        return "before birth"
    return f"{months} months" if months < 24 else f"{months // 12} years"


def _row(row: ChartFinding) -> str:
    denied = "" if row.assertion == "present" else f" ({row.assertion})"
    return f"{row.label}{denied}" + (f": {row.quote}" if row.quote else "")


def _value(findings: Iterable[ChartFinding], start: int, end: int) -> float:
    inside = (f for f in findings if f.start is not None and start <= f.start < end)
    return PLAIN_VALUE + sum(abs(f.weight) for f in inside)


def _tail(chart: PatientChart, candidate: tuple[str, str] | None) -> str:
    sex = f"Sex: {chart.sex or 'not recorded'}."
    return f"{sex}\nCandidate to judge: {harmless(candidate[1])}" if candidate else sex


# -- sentences -----------------------------------------------------------------------------------------------------

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])|\s*\n\s*")


def sentences_of(text: str) -> Iterator[tuple[int, int, str]]:
    """Sentences and lines of a text with their places (code points), white space at the ends left out."""
    start = 0
    for gap in [*_SENTENCE_END.finditer(text), None]:
        end = gap.start() if gap else len(text)
        piece = text[start:end]
        if stripped := piece.strip():
            lead = len(piece) - len(piece.lstrip())
            yield start + lead, start + lead + len(stripped), stripped
        start = gap.end() if gap else end


class _FirstAppearance:
    """Tells sentences that stood before: six words or more, nine tenths of the tokens, the same numbers and denials.

    Two bags of tokens that share nine tenths must share one of the first tenth (plus one) of the tokens in any fixed
    order; only sentences that do are compared (prefix filtering: Chaudhuri et al., ICDE 2006).
    """

    _TOKEN = re.compile(r"\w+")
    _EXACT = re.compile(
        r"\d+(?:[.,]\d+)?|\b(?:no|not|without|denies|denied|negative|absent|never|ruled)\b", re.IGNORECASE
    )

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._by_token: dict[tuple[str, tuple[str, ...]], list[Counter[str]]] = {}

    def is_new(self, sentence: str) -> bool:
        """Whether a sentence is told for the first time; it counts as told from then on."""
        words = self._TOKEN.findall(sentence.casefold())
        if len(words) < LEAST_WORDS:
            return True
        flat = " ".join(words)
        if flat in self._seen:
            return False
        self._seen.add(flat)
        tokens = Counter(words)
        exact = tuple(sorted(found.casefold() for found in self._EXACT.findall(sentence)))
        first = sorted(words, key=lambda word: (-len(word), word))[: int(len(words) * (1 - LEAST_SHARE)) + 2]
        near = [bag for word in set(first) for bag in self._by_token.get((word, exact), ())]
        if any(same_share(bag, tokens) >= LEAST_SHARE for bag in near):
            return False
        for word in set(first):
            self._by_token.setdefault((word, exact), []).append(tokens)
        return True


# -- trimming ------------------------------------------------------------------------------------------------------


def _prompt(draft: _Draft, task: Task, room: int, size: dict[str, int]) -> Prompt:
    fixed = TEMPLATE_TOKENS + size[task.instructions] + size[draft.tail] + 16
    kept, used = _choose(draft, int(room / SLACK) - fixed, size)
    chart = _text(draft, kept)
    return Prompt(
        draft.chart.subject_id,
        draft.chart.night,
        task.instructions,
        chart,
        {entry.label: (entry.source_id, "\n".join(entry.told)) for entry in draft.entries if entry.label},
        int((fixed + used) * SLACK),
        hashlib.sha256(f"{draft.chart.subject_id}\n{chart}".encode()).hexdigest(),
        len(draft.pieces) - len(kept),
        draft.copied,
        tuple(draft.left_out),
    )


def _choose(draft: _Draft, room: int, size: dict[str, int]) -> tuple[set[int], int]:
    """Pieces by value a token, best first, until the room is full; a header is paid with an entry's first piece."""

    def worth(index: int) -> tuple[float, int]:
        piece = draft.pieces[index]
        return -piece.value / (size[piece.text] + 4), -index  # of equal worth, the later one: it is the newer

    kept: set[int] = set()
    opened: set[int] = set()
    used = 0
    for index in sorted(range(len(draft.pieces)), key=worth):
        piece = draft.pieces[index]
        cost = size[piece.text] + 2 + size[GAP]
        if piece.entry not in opened:
            cost += size[draft.entries[piece.entry].header] + 2
        if used + cost <= room:
            kept.add(index)
            opened.add(piece.entry)
            used += cost
    return kept, used


def _text(draft: _Draft, kept: set[int]) -> str:
    of_entry: list[list[int]] = [[] for _ in draft.entries]
    for n, piece in enumerate(draft.pieces):
        of_entry[piece.entry].append(n)
    lines = ["<chart>"]
    for entry, mine in zip(draft.entries, of_entry, strict=True):
        if not any(n in kept for n in mine):
            continue
        lines.append(entry.header)
        told = [draft.pieces[n].text if n in kept else GAP for n in mine]
        lines += [text for n, text in enumerate(told) if not (text == GAP and n and told[n - 1] == GAP)]
    return "\n".join([*lines, "</chart>", draft.tail])
