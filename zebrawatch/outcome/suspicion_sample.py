"""A sample of notes for a person to read: does the suspicion detector find what is written?

The sample is stratified: half of the notes are ones in which the detector found a suspicion, half ones in which it
found none. The reader is not told which. From the filled file the detector's recall is worked out by weighing each
half by the number of notes it stands for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zebrawatch.errors import SourceError
from zebrawatch.outcome.intervals import Interval, wilson

TO_FILL = ("suspicion_written", "which_disease", "remark")
SAMPLE_COLUMNS = ("number", "note_id", "night", "note_type", "text", *TO_FILL)
KEY_COLUMNS = ("number", "detected", "stands_for")
YES, NO = frozenset({"yes", "y", "1", "true"}), frozenset({"no", "n", "0", "false"})


class Note(NamedTuple):
    """A note that can be sampled."""

    note_id: str
    night: str
    note_type: str
    text: str
    detected: bool


class Sample(NamedTuple):
    """`rows` (SAMPLE_COLUMNS) for the reader, `key` (KEY_COLUMNS) for reading the filled file back."""

    rows: list[dict[str, Any]]
    key: list[dict[str, Any]]


def sample_notes(notes: Sequence[Note], n: int, seed: int) -> Sample:
    """`n` notes in random order, half of them with a detected suspicion; what one half lacks the other gives.

    SourceError where there is no note at all.
    """
    if not notes:
        raise SourceError("There is no note to sample.")
    chance = random.Random(seed)
    strata = {kind: sorted(note for note in notes if note.detected is kind) for kind in (True, False)}
    with_one = min(len(strata[True]), max(n - n // 2, n - len(strata[False])))
    chosen: list[tuple[Note, float]] = []
    for kind, count in ((True, with_one), (False, min(len(strata[False]), n - with_one))):
        chosen += [(note, len(strata[kind]) / count) for note in chance.sample(strata[kind], count)] if count else []
    chance.shuffle(chosen)
    rows, key = [], []
    for number, (note, weight) in enumerate(chosen, start=1):
        told = (number, note.note_id, note.night, note.note_type, note.text, "", "", "")
        rows.append(dict(zip(SAMPLE_COLUMNS, told, strict=True)))
        key.append({"number": number, "detected": "yes" if note.detected else "no", "stands_for": round(weight, 6)})
    return Sample(rows, key)


def read_back(filled: Sequence[Mapping[str, str]], key: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The detector's recall by what a person read.

    `recall` = N1 p1 / (N1 p1 + N0 p0): of N1 notes with and N0 without a detected suspicion, p1 and p0 hold one. Its
    interval takes Wilson's bounds of p1 and p0 at their unfavourable and favourable ends at once, which is wider than
    95%. Rows not filled in are counted, not guessed. SourceError names the row of an answer that is neither yes nor no.
    """
    of_number = {str(row["number"]): row for row in key}
    counts = {"yes": [0, 0], "no": [0, 0]}
    weights = {"yes": 0.0, "no": 0.0}
    blank = 0
    for row in filled:
        own = of_number.get(str(row.get("number", "")))
        if own is None:
            raise SourceError(f"Row {row.get('number', '?')} of the filled file is not of this sample.")
        answer = str(row.get("suspicion_written") or "").strip().lower()
        if not answer:
            blank += 1
            continue
        if answer not in YES | NO:
            raise SourceError(f"Row {row['number']}: suspicion_written must be yes or no.")
        counts[str(own["detected"])][0 if answer in YES else 1] += 1
        weights[str(own["detected"])] = float(own["stands_for"])
    sizes = {kind: sum(pair) for kind, pair in counts.items()}
    shares = {kind: counts[kind][0] / sizes[kind] if sizes[kind] else None for kind in counts}
    bounds = {kind: wilson(counts[kind][0], sizes[kind]) for kind in counts}
    totals = {kind: weights[kind] * _sampled(key, kind) for kind in counts}
    return {
        "read": sum(sizes.values()),
        "blank": blank,
        "precision": shares["yes"],
        "missed_per_note": shares["no"],
        "recall": _recall(totals, shares["yes"], shares["no"]),
        "ci95": {
            "precision": bounds["yes"],
            "missed_per_note": bounds["no"],
            "recall": _bounds(totals, bounds["yes"], bounds["no"]),
        },
    }


def _sampled(key: Sequence[Mapping[str, str]], kind: str) -> int:
    return sum(1 for row in key if row["detected"] == kind)


def _recall(totals: Mapping[str, float], found: float | None, missed: float | None) -> float | None:
    if found is None or missed is None:
        return None
    whole = totals["yes"] * found + totals["no"] * missed
    return totals["yes"] * found / whole if whole else None


def _bounds(totals: Mapping[str, float], found: Interval | None, missed: Interval | None) -> Interval | None:
    if found is None or missed is None:
        return None
    low, high = _recall(totals, found.low, missed.high), _recall(totals, found.high, missed.low)
    return None if low is None or high is None else Interval(low, high)
