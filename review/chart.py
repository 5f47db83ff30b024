"""A patient's chart as the page shows it: first what the hospital wrote, then what the screen made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from review.marks import Span, marked, place_of
from review.records import PatientRows, Records, Row
from zebrawatch.evidence.common_conditions import explained_by
from zebrawatch.evidence.explanation import NextTest
from zebrawatch.reports.pages import deciding, signed

EXPECTED_LISTED = 8
LIGHT = 0.05
"""log10 ratios below this either way weigh next to nothing and are told as a number only."""


@dataclass(frozen=True)
class Note:
    """A note with its text, marked where marks are shown. `new` says that it became known on the alert's night."""

    anchor: str
    note_id: str
    day: date | None
    kind: str
    author: str
    text: Markup
    known_night: date
    names_disease: bool
    marks: int
    new: bool


@dataclass(frozen=True)
class Lab:
    """One laboratory test over time: its last value, whether any was out of range, and the earlier ones."""

    name: str
    """Without LOINC's property and specimen, where that tells it from the patient's other tests."""
    full_name: str
    unit: str
    values: tuple[tuple[date | None, str, str], ...]
    """Day, value, interpretation; newest first."""

    @property
    def odd(self) -> bool:
        """Whether any value was out of range."""
        return any(interpretation not in ("", "N") for _, _, interpretation in self.values)


@dataclass(frozen=True)
class Line:
    """A line of a list on the chart: a problem, medication, order, relative's condition or visit."""

    day: date | None
    text: str
    more: str = ""


@dataclass(frozen=True)
class Chart:
    """What the hospital wrote, as known on a night."""

    key: str
    record: str
    sex: str
    age: str
    birth: str
    died: date | None
    first_day: date | None
    night: date
    notes: tuple[Note, ...]
    """Newest first."""
    problems: tuple[Line, ...]
    medications: tuple[Line, ...]
    orders: tuple[Line, ...]
    family: tuple[Line, ...]
    labs: tuple[Lab, ...]
    visits: int
    merged: tuple[str, ...]


@dataclass(frozen=True)
class Weight:
    """What one finding adds to (or takes from) a disease, and where it is written."""

    label: str
    matched: str | None
    log10_lr: float
    quote: str
    source: str
    day: date | None
    anchor: str | None
    absent: bool
    new: bool
    known_night: date | None


@dataclass(frozen=True)
class Expected:
    """A finding frequent in the disease that this patient was not found to have."""

    label: str
    share: float | None
    denied: bool
    anchor: str | None


@dataclass(frozen=True)
class Common:
    """The common condition that explains the findings best: its name, and those of the findings that it lists."""

    name: str
    explains: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """One ranked disease with everything that is told about it."""

    rank: int
    id: str
    name: str
    posterior: float
    log10_lr: float
    supporting: tuple[Weight, ...]
    against: tuple[Weight, ...]
    light: int
    expected: tuple[Expected, ...]
    decide: str


@dataclass(frozen=True)
class Opinion:
    """A disease as the language model judged it; only quotes that stand in the chart are told."""

    name: str
    supporting: tuple[tuple[str, str], ...]
    """Quote and the anchor of its place."""
    against: tuple[tuple[str, str], ...]
    struck: int
    next_test: str


@dataclass(frozen=True)
class Model:
    """The reasoning arm's answer: `none` its probability of no rare disease, `common` what else would explain it."""

    night: date
    opinions: tuple[Opinion, ...]
    none: float | None
    common: str
    reasoning: str
    counts: bool
    """Whether the model is for clinical use; one that is only tried out takes no part in the list."""


@dataclass
class _Marks:
    """Spans by note, and the anchors given to them."""

    texts: Mapping[str, str]
    spans: dict[str, list[Span]] = field(default_factory=dict)
    places: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def add(self, note_id: str, start: int, end: int, kind: str, title: str) -> str:
        """Mark a stretch; the anchor of the place."""
        key = (note_id, start, end)
        anchor = self.places.setdefault(key, f"m{len(self.places) + 1}")
        self.spans.setdefault(note_id, []).append(Span(start, end, kind, title, anchor))
        return anchor

    def quote(self, note_id: str, quote: str, near: int | None, kind: str, title: str) -> str | None:
        """Mark a quote in a note, where it stands there."""
        text = self.texts.get(note_id)
        place = place_of(text, quote, near) if text is not None else None
        return self.add(note_id, *place, kind, title) if place else None


@dataclass(frozen=True)
class Judged:
    """What the screen made of the chart, for one disease of the list, and the chart with its quotes marked."""

    chart: Chart
    ranked: tuple[Ranked, ...]
    chosen: Ranked | None
    fresh: tuple[Weight, ...]
    """What became known on the night of the alert and speaks for the chosen disease, or for any of them."""
    common: Common | None
    model: Model | None
    p_any: float
    scored: date | None
    cause: str


def chart_of(rows: PatientRows, zone: ZoneInfo) -> Chart:
    """The chart without marks: nothing of what the screen found in it."""
    return _chart(rows, zone, {}, None)


def judged(rows: PatientRows, records: Records, zone: ZoneInfo, chosen_id: str | None, raised: date | None) -> Judged:
    """Chart, ranking and answers together, the quotes of the chosen disease (default: the first) marked in place."""
    texts = {row["note_id"]: row["text"] or "" for row in rows.notes}
    marks = _Marks(texts)
    chosen_row = next((row for row in rows.candidates if row["disease_id"] == chosen_id), None)
    chosen_row = chosen_row or next(iter(rows.candidates), None)
    days = _source_days(rows, zone)
    kinds = {row["note_id"]: row["type_display"] or row["resource_type"] for row in rows.notes}
    ranked = []
    for row in rows.candidates[:10]:
        mark = row is chosen_row
        weights = [_weight(one, marks if mark else None, days, kinds, raised) for one in row["contributions"]]
        heavy = [weight for weight in weights if abs(weight.log10_lr) >= LIGHT]
        ranked.append(_ranked(row, heavy, len(weights) - len(heavy), rows, records))
    _mark_mentions(rows, marks, records)
    _mark_namings(rows, marks, records)
    model = _model(rows, marks)
    chart = _chart(rows, zone, marks.spans, raised)
    chosen = next((one for one in ranked if chosen_row is not None and one.id == chosen_row["disease_id"]), None)
    fresh = tuple(weight for weight in (chosen.supporting + chosen.against if chosen else ()) if weight.new)
    first = rows.candidates[0] if rows.candidates else None
    return Judged(
        chart, tuple(ranked), chosen, fresh, _common(first, records), model, float(first["p_any"]) if first else 0.0,
        first["night"] if first else None, str(first["cause"] or "") if first else "",
    )  # fmt: skip


# -- the chart ---------------------------------------------------------------------------------------------------------


def _chart(rows: PatientRows, zone: ZoneInfo, spans: Mapping[str, Sequence[Span]], raised: date | None) -> Chart:
    patient = rows.patient
    named = {row["source_id"] for row in rows.namings if row["kind"] in ("specific", "confirmed")}
    events = rows.events
    days = [day for row in (*rows.notes, *events) if (day := _day(row["event_time"], zone))]
    return Chart(
        key=f"{rows.subject_id:016x}",
        record=patient["source_id"] or "",
        sex=patient["sex"] or "sex not known",
        age=age_on(patient["birth_date"], _day(patient["death_time"], zone) or rows.night),
        birth=_birth(patient),
        died=_day(patient["death_time"], zone),
        first_day=min(days, default=None),
        night=rows.night,
        notes=tuple(
            Note(
                anchor_of(row["note_id"]),
                row["note_id"],
                _day(row["event_time"], zone),
                row["type_display"] or row["resource_type"],
                row["author_role"] or "",
                marked(row["text"] or "", spans.get(row["note_id"], ())),
                row["known_night"],
                row["note_id"] in named and bool(spans),
                len({span.anchor for span in spans.get(row["note_id"], ()) if span.kind in ("for", "against")}),
                raised is not None and row["known_night"] == raised,
            )
            for row in reversed(rows.notes)
        ),
        problems=_lines(events, ("Condition",), zone),
        medications=_lines(events, ("MedicationRequest",), zone),
        orders=_lines(events, ("ServiceRequest", "Procedure"), zone),
        family=_family(events),
        labs=_labs(events, zone),
        visits=len({row["event_id"].partition("#")[0] for row in events if row["resource_type"] == "Encounter"}),
        merged=tuple(f"{subject:016x}" for subject in rows.subjects[1:]),
    )


def anchor_of(note_id: str) -> str:
    """The id of a note's place on the page."""
    return "n-" + "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in note_id)


def _day(instant: datetime | None, zone: ZoneInfo) -> date | None:
    return instant.astimezone(zone).date() if instant else None


def age_on(birth: date | None, on: date) -> str:
    """Age in words; in months under three years."""
    if birth is None or birth > on:
        return "age not known"
    months = (on.year - birth.year) * 12 + on.month - birth.month - (on.day < birth.day)
    return f"{months // 12} years" if months >= 36 else f"{months} months"


def _birth(patient: Row) -> str:
    birth, precision = patient["birth_date"], patient["birth_precision"]
    return "" if birth is None else birth.isoformat()[: {"year": 4, "month": 7}.get(precision, 10)]


def _lines(events: Iterable[Row], types: Sequence[str], zone: ZoneInfo) -> tuple[Line, ...]:
    """Distinct entries of some resource types, at their last day, newest first."""
    found: dict[str, Line] = {}
    for row in events:
        if row["resource_type"] in types and (text := row["display"] or row["text_value"] or row["code"]):
            found[text] = Line(_day(row["event_time"], zone), text, _status(row))
    return tuple(sorted(found.values(), key=lambda line: str(line.day), reverse=True))


_PLAIN = ("confirmed", "completed", "order completed", "order active", "active")


def _status(row: Row) -> str:
    status = str(row["status"] or "")
    return "" if status.removeprefix("instance-") in _PLAIN else status


def _family(events: Iterable[Row]) -> tuple[Line, ...]:
    found: dict[str, None] = {}
    for row in events:
        if row["resource_type"] == "FamilyMemberHistory" and (text := row["display"] or row["text_value"]):
            found[f"{row['relationship'] or 'relative'}: {text}"] = None
    return tuple(Line(None, text) for text in found)


def _labs(events: Iterable[Row], zone: ZoneInfo) -> tuple[Lab, ...]:
    """Laboratory tests (not vital signs or social history), those with a value out of range first."""
    found: dict[str, list[Row]] = {}
    for row in events:
        wanted = row["resource_type"] == "Observation" and row["category"] not in ("vital-signs", "social-history")
        if wanted and row["numeric_value"] is not None:
            found.setdefault(row["display"] or row["code"], []).append(row)
    plain = Counter(_plain(name) for name in found)
    labs = [
        Lab(
            _plain(name) if plain[_plain(name)] == 1 else name,
            name,
            rows[-1]["unit"] or "",
            tuple(
                (_day(row["event_time"], zone), f"{row['numeric_value']:g}", row["interpretation"] or "")
                for row in reversed(rows)
            ),
        )
        for name, rows in found.items()
    ]
    return tuple(sorted(labs, key=lambda lab: (not lab.odd, lab.name.lower())))


def _plain(name: str) -> str:
    return name.partition(" [")[0]


# -- the ranking -------------------------------------------------------------------------------------------------------


def _source_days(rows: PatientRows, zone: ZoneInfo) -> dict[str, date | None]:
    days = {row["event_id"]: _day(row["event_time"], zone) for row in rows.events}
    return days | {row["note_id"]: _day(row["event_time"], zone) for row in rows.notes}


def _weight(
    one: Row, marks: _Marks | None, days: Mapping[str, date | None], kinds: Mapping[str, str], raised: date | None
) -> Weight:
    value, source = float(one["log10_lr"] or 0.0), one["source_id"] or ""
    anchor = None
    if marks is not None and abs(value) >= LIGHT and source:
        kind = "for" if value > 0 else "against"
        anchor = marks.quote(source, one["quote"] or "", one["start"], kind, f"{one['label']}: {signed(value)}")
    said = {"lab": "laboratory", "code": "coded", "person": "", "text": "", "measurement": "value in text"}
    origin = kinds.get(source) or said.get(one["origin"] or "", one["origin"] or "")
    return Weight(
        one["label"], one["matched_label"] if one["matched_id"] not in (None, one["hpo_id"]) else None, value,
        one["quote"] or "", origin, days.get(source), anchor, one["assertion"] == "negated",
        raised is not None and one["known_night"] == raised, one["known_night"],
    )  # fmt: skip


def _ranked(row: Row, heavy: Sequence[Weight], light: int, rows: PatientRows, records: Records) -> Ranked:
    index = records.knowledge.index_of(row["disease_id"])
    genes = records.knowledge.diseases[index].genes if index is not None else ()
    expected = _expected(row, index, rows, records)
    return Ranked(
        row["rank"], row["disease_id"], row["disease_name"], float(row["posterior"] or 0.0),
        float(row["log10_lr"] or 0.0),
        tuple(sorted((w for w in heavy if w.log10_lr > 0), key=lambda w: -w.log10_lr)),
        tuple(sorted((w for w in heavy if w.log10_lr < 0), key=lambda w: w.log10_lr)),
        light, expected, deciding(_test(row, records), genes),
    )  # fmt: skip


def _expected(row: Row, index: int | None, rows: PatientRows, records: Records) -> tuple[Expected, ...]:
    denied = {one["hpo_id"] for one in rows.findings if one["assertion"] == "negated"}
    found = []
    for hpo_id in (row["expected_absent"] or ())[:EXPECTED_LISTED]:
        share = records.knowledge.annotated_share(index, hpo_id) if index is not None else None
        found.append(Expected(records.label(hpo_id), share, hpo_id in denied, None))
    return tuple(found)


def _test(row: Row, records: Records) -> NextTest | None:
    if row["next_test"] is None:
        return None
    return NextTest(row["next_test"], records.label(row["next_test"]), row["test_if_present"], row["test_if_absent"])


def _common(first: Row | None, records: Records) -> Common | None:
    """The best common explanation of a score, as stored with it."""
    if first is None or first["common_explanation"] is None:
        return None
    name = str(first["common_explanation"])
    return Common(name, explained_by(name, first["contributions"], records.knowledge))


def _mark_mentions(rows: PatientRows, marks: _Marks, records: Records) -> None:
    """Other mentions of findings, faintly: what else the recogniser read in the notes."""
    taken = {(note, start) for note, start, _ in marks.places}
    for row in rows.findings:
        if row["start"] is None or (row["source_id"], row["start"]) in taken or row["source_id"] not in marks.texts:
            continue
        about = "" if row["experiencer"] == "patient" else f" ({row['experiencer']})"
        said = "" if row["assertion"] == "present" else f", {row['assertion']}"
        span = Span(row["start"], row["end"], "mention", f"{records.label(row['hpo_id'])}{said}{about}")
        marks.spans.setdefault(row["source_id"], []).append(span)


def _mark_namings(rows: PatientRows, marks: _Marks, records: Records) -> None:
    for row in rows.namings:
        if row["start"] is not None and row["source_id"] in marks.texts:
            name = records.disease_name(row["disease_id"]) or "a rare disease is thought of"
            span = Span(row["start"], row["end"], "naming", f"names: {name}")
            marks.spans.setdefault(row["source_id"], []).append(span)


# -- the language model ------------------------------------------------------------------------------------------------


def _model(rows: PatientRows, marks: _Marks) -> Model | None:
    """The newest answer that counts, with what a later question about one candidate said of commoner conditions.

    A quote that stands in no note counts for nothing and is only counted.
    """
    accepted = [(row, judged) for row in rows.answers if (judged := judged_answer(row))]
    common = next((str(one["commoner_explanation"]) for _, one in accepted if one.get("commoner_explanation")), "")
    for row, judged in accepted:
        if judged.get("consistent") is None:  # a differential, not a question about one disease
            opinions = tuple(_opinion(one, marks) for one in judged["diseases"])
            reasoning, counts = str(row.get("reasoning") or ""), row.get("counts") is not False
            return Model(row["night"], opinions, judged.get("no_rare_disease"), common, reasoning, counts)
    return None


def judged_answer(row: Row) -> Mapping[str, Any] | None:
    """The judged answer of a row of `llm_responses`; None where it was not accepted."""
    try:
        judged = json.loads(row.get("judged") or "null")
    except ValueError:
        return None
    accepted = isinstance(judged, dict) and judged.get("verdict") == "accepted"
    return judged if accepted and isinstance(judged.get("diseases"), list) else None


def _opinion(one: Mapping[str, Any], marks: _Marks) -> Opinion:
    sides: dict[str, list[tuple[str, str]]] = {"supporting": [], "against": []}
    struck = int(one.get("struck") or 0)
    for side, found in sides.items():
        told = "for" if side == "supporting" else "against"
        for quote in one.get(side) or ():
            text, note_id = str(quote.get("text", "")), str(quote.get("note_id", ""))
            anchor = marks.quote(note_id, text, None, "model", f"model, {told} {one['name']}")
            if anchor:
                found.append((text, anchor))
            else:
                struck += 1
    return Opinion(
        str(one["name"]), tuple(sides["supporting"]), tuple(sides["against"]), struck, str(one.get("next_test") or "")
    )
