"""Pictures: small pure functions from plain data to inline SVG.

Horizontal places are percentages and vertical ones pixels, so one picture fits any width and its text keeps its size.
Colours come from the page's style sheet by class, which is what makes them follow light, dark and print. All text
passes through markupsafe: nothing a note says can become markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from zebrawatch.reports.data import AlertedPatient, BurdenPoint, CaseLine, Finding, NoteMark

LEFT, RIGHT = 1.5, 97.5
ROW = 18
SHORT_LABEL = 26
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Scale:
    """A linear scale from `low`..`high` to `left`..`right` per cent of the picture's width."""

    low: float
    high: float
    left: float = LEFT
    right: float = RIGHT

    def at(self, value: float) -> float:
        """Per cent for a value, held inside the picture."""
        span = (self.high - self.low) or 1.0
        place = self.left + (value - self.low) / span * (self.right - self.left)
        return min(max(place, self.left), self.right)


def percent(value: float) -> str:
    return f"{value:.2f}%"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, percent(x1), y1, percent(x2), y2)


def dot(x: float, y: float, radius: float, kind: str, title: str = "") -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>').format(
        kind, percent(x), y, radius, _title(title)
    )


def box(x1: float, x2: float, y: float, height: float, kind: str, title: str = "") -> Markup:
    """A rectangle between two places, never thinner than a hair."""
    width = max(x2 - x1, 0.15)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(
        kind, percent(x1), y, percent(width), height, _title(title)
    )


def words(x: float, y: float, text: str, kind: str, anchor: str = "start", shift: float = 0) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" dx="{}" text-anchor="{}">{}</text>').format(
        kind, percent(x), y, shift, anchor, text
    )


def beside(x: float, y: float, text: str, kind: str, short: str | None = None) -> Markup:
    """A label on the roomier side of a mark; a long one is also given short, for narrow pages."""
    anchor, step = ("start", 8.0) if x < 50 else ("end", -8.0)
    if len(text) <= SHORT_LABEL:
        return words(x, y, text, kind, anchor, step)
    cut = short or text[: SHORT_LABEL - 1].rstrip() + "…"
    return words(x, y, text, f"{kind} wide", anchor, step) + words(x, y, cut, f"{kind} narrow", anchor, step)


def picture(parts: Iterable[Markup], height: float, title: str, description: str, key: str) -> Markup:
    """One SVG with a name and a description for those who do not see it; `key` makes their ids unique on the page."""
    return Markup(
        '<svg class="picture" role="img" width="100%" height="{h}" aria-labelledby="{k}-t {k}-d" focusable="false">'
        '<title id="{k}-t">{t}</title><desc id="{k}-d">{d}</desc>{body}</svg>'
    ).format(h=height, k=key, t=title, d=description, body=Markup("").join(parts))


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


# --------------------------------------------------------------------------------------------------- patient timeline


def timeline(patient: AlertedPatient) -> Markup:
    """A patient's record as one picture: visits, notes, labs, findings at first appearance, alerts, suspicion.

    Findings step down in the order in which they became known; those new on the night of the last raise stand out, and
    those that came later are pale. Notes left out of scoring (they name the disease) are hollow.
    """
    scale = Scale(*(day.toordinal() for day in _span(patient)))
    lanes, top = _lanes(patient, scale, 44)
    findings, below = _finding_rows(patient, scale, top + 6)
    marks, bottom = _alert_rows(patient, scale, below + 10)
    grid = [_year_grid(scale, bottom - 6)]
    return picture(
        [*grid, *_upright_lines(patient, scale, below), *lanes, *findings, *marks],
        bottom,
        f"Timeline of patient {patient.key}",
        describe(patient),
        f"t{patient.key}",
    )


def describe(patient: AlertedPatient) -> str:
    """The timeline in words, in order of time."""
    raised = patient.episodes[-1].raised
    before = sum(1 for finding in patient.findings if finding.known_night < raised)
    new = sum(1 for finding in patient.findings if finding.known_night == raised)
    counts = [_many(len(patient.notes), "note"), _many(len(patient.encounters), "visit")]
    counts.append(_many(len(patient.labs), "laboratory value"))
    parts = [
        f"Record from {patient.entry_night} to {patient.last_night}: {', '.join(counts)}.",
        f"{_many(before, 'finding')} known before the alert of {raised}, {new} new that night.",
    ]
    parts += [f"{mark_name(mark.kind)} on {mark.night}." for mark in patient.suspicions]
    if patient.death:
        parts.append(f"Died on {patient.death}.")
    return " ".join(parts)


def mark_name(kind: str) -> str:
    """What a mark of suspicion is called on the page."""
    return {"general": "General suspicion", "specific": "Specific suspicion", "confirmed": "Confirmed"}.get(kind, kind)


def _span(patient: AlertedPatient) -> tuple[date, date]:
    days = [patient.entry_night, patient.last_night]
    days += [finding.known_night for finding in patient.findings]
    days += [mark.night for mark in patient.suspicions]
    days += [episode.raised for episode in patient.episodes]
    return min(days), max(days)


def _year_grid(scale: Scale, bottom: float) -> Markup:
    parts = []
    first, last = date.fromordinal(int(scale.low)), date.fromordinal(int(scale.high))
    step = max(1, round((last.year - first.year) / 14))
    for year in range(first.year + 1, last.year + 1):
        if year % step:
            continue
        x = scale.at(date(year, 1, 1).toordinal())
        fine = (last.year - first.year) / step > 6 and (year // step) % 2
        parts.append(line(x, 18, x, bottom, "grid"))
        parts.append(words(x, 12, str(year), "axis wide" if fine else "axis", "middle"))
    if not parts:
        parts.append(words(scale.left, 12, str(first), "axis"))
        parts.append(words(scale.right, 12, str(last), "axis", "end"))
    return Markup("").join(parts)


def _lanes(patient: AlertedPatient, scale: Scale, top: float) -> tuple[list[Markup], float]:
    parts: list[Markup] = []
    y = top
    if patient.encounters:
        parts.append(words(0, y - 12, "visits, stays", "lane"))
        for visit in patient.encounters:
            start = scale.at(visit.start.toordinal())
            end = scale.at((visit.end or visit.start).toordinal())
            parts.append(box(start, end, y - 7, 9, "visit", f"{visit.start} {visit.kind}"))
        y += 30
    if patient.notes:
        parts.append(words(0, y - 12, "notes", "lane"))
        parts += [_note_dot(note, scale, y - 3) for note in patient.notes]
        y += 28
    if patient.labs:
        parts.append(words(0, y - 12, "laboratory", "lane"))
        for lab in patient.labs:
            odd = lab.interpretation not in (None, "", "N")
            title = f"{lab.day} {lab.name} {lab.value} {lab.interpretation or ''}".rstrip()
            parts.append(dot(scale.at(lab.day.toordinal()), y - 3, 3 if odd else 2, "lab odd" if odd else "lab", title))
        y += 28
    return parts, y - 8


def _note_dot(note: NoteMark, scale: Scale, y: float) -> Markup:
    title = f"{note.day} {note.kind}" + ("" if note.scored else " (not scored: names the disease)")
    return dot(scale.at(note.day.toordinal()), y, 2.6, "note" if note.scored else "note out", title)


def _finding_rows(patient: AlertedPatient, scale: Scale, top: float) -> tuple[list[Markup], float]:
    raised = patient.episodes[-1].raised
    ordered = sorted(patient.findings, key=lambda finding: (finding.known_night, finding.label))
    parts = [words(0, top, "findings, at first appearance", "lane")] if ordered else []
    y = top + 4
    for finding in ordered:
        y += ROW
        parts.append(_finding_row(finding, scale, y, _when(finding, raised)))
    return parts, y + 8


def _when(finding: Finding, raised: date) -> str:
    if finding.known_night == raised:
        return "new"
    return "before" if finding.known_night < raised else "after"


def _finding_row(finding: Finding, scale: Scale, y: float, when: str) -> Markup:
    x = scale.at(finding.known_night.toordinal())
    denied = finding.assertion == "negated"
    label = ("no " if denied else "") + (finding.label if not denied else lower_first(finding.label))
    state = f"{when} denied" if denied else when
    title = f"{finding.known_night} {label} ({finding.source.kind})"
    return (
        line(x, y - 4, scale.right, y - 4, "stays")
        + dot(x, y - 4, 3.6, f"finding {state}", title)
        + beside(x, y, label, f"label {state}")
    )


def lower_first(text: str) -> str:
    """A label inside a sentence: its first letter small, unless it begins an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _upright_lines(patient: AlertedPatient, scale: Scale, bottom: float) -> list[Markup]:
    nights = [(episode.raised, "alert") for episode in patient.episodes]
    nights += [(mark.night, mark.kind) for mark in patient.suspicions]
    places = [(scale.at(night.toordinal()), kind) for night, kind in nights]
    return [line(x, 18, x, bottom, f"upright {kind}") for x, kind in places]


def _alert_rows(patient: AlertedPatient, scale: Scale, top: float) -> tuple[list[Markup], float]:
    y = top
    parts: list[Markup] = []
    for episode in patient.episodes:
        start = scale.at(episode.raised.toordinal())
        end = scale.at((episode.withdrawn or patient.last_night).toordinal())
        ends = f"to {episode.withdrawn}, {episode.reason or 'withdrawn'}" if episode.withdrawn else "stands"
        parts.append(box(start, end, y, 7, "episode", f"Alert {episode.raised} {ends}"))
        label = f"Alert {episode.raised}"
        parts.append(words(start, y + 20, label, "label alert", "start" if start < 70 else "end"))
        parts.append(line(start, y - 12, start, y + 7, "upright alert"))
        y += 32
    for mark in patient.suspicions:
        x = scale.at(mark.night.toordinal())
        parts.append(line(x, top - 12, x, y, f"upright {mark.kind}"))
        parts.append(dot(x, y, 4, f"mark {mark.kind}"))
        name = mark_name(mark.kind)
        parts.append(beside(x, y + 4, f"{name} {mark.night}", f"label {mark.kind}", f"{name.split()[0]} {mark.night}"))
        y += ROW
    if patient.death:
        x = scale.at(patient.death.toordinal())
        parts.append(line(x, 18, x, y + 4, "upright confirmed"))
        parts.append(beside(x, y + 4, f"Died {patient.death}", "label confirmed"))
        y += ROW
    return parts, y + 4


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# ----------------------------------------------------------------------------------------------------------------- bars


def diverging_bar(value: float, most_against: float, most_for: float) -> Markup:
    """A bar to the right for a finding that speaks for, to the left for one that speaks against.

    `most_against` (<= 0) and `most_for` (>= 0) are the scale's ends, shared by all bars to be compared. The figure
    stands beside the bar in the table, so the picture is hidden from screen readers.
    """
    against, along = min(most_against, -0.35 * most_for, -0.01), max(most_for, -0.35 * most_against, 0.01)
    scale = Scale(against, along, 0, 100)
    zero, end = scale.at(0), scale.at(value)
    bar = box(min(zero, end), max(zero, end), 3, 9, "for" if value >= 0 else "against")
    return _bare(bar + line(zero, 0, zero, 15, "zero"), 15)


def score_bar(value: float, most: float) -> Markup:
    """A plain bar from zero, for scores down a list; negative scores give none."""
    scale = Scale(0, max(most, 0.01), 0, 100)
    return _bare(box(0, scale.at(max(value, 0)), 4, 7, "for"), 15)


def _bare(body: Markup, height: float) -> Markup:
    return Markup('<svg class="bar" width="100%" height="{}" aria-hidden="true" focusable="false">{}</svg>').format(
        height, body
    )


# --------------------------------------------------------------------------------------------------- summary pictures


def interval_mark(value: float, interval: tuple[float, float] | None, low: float, high: float, kind: str) -> Markup:
    """A dot with its interval on the scale `low`..`high`, for a row of a table that states the same figures."""
    scale = Scale(low, high, 2, 98)
    parts = [line(2, 9, 98, 9, "grid")]
    if interval:
        parts.append(line(scale.at(interval[0]), 9, scale.at(interval[1]), 9, f"span {kind}"))
    parts.append(dot(scale.at(value), 9, 4, f"mark {kind}"))
    return _bare(Markup("").join(parts), 18)


def lead_lines(cases: Sequence[CaseLine], *, grain: int = 1) -> Markup:
    """A line per case, in days relative to suspicion (0): record, alert, suspicion, confirmation.

    Sorted by sustained lead. Days are rounded to a multiple of `grain` (a month for records of real people, so that no
    line can be matched with a known interval).
    """
    rounded = sorted((_grained(case, grain) for case in cases), key=lambda c: (c.sustained or 0, c.first or 0, c.entry))
    low = min([c.entry for c in rounded] + [-60])
    high = max([c.confirmed or 0 for c in rounded] + [60])
    scale = Scale(low, high, 6, 98)
    pitch = 13 if len(rounded) <= 60 else 8
    bottom = 40 + pitch * len(rounded)
    parts = _relative_grid(scale, bottom)
    for place, case in enumerate(rounded):
        parts.append(_lead_line(case, scale, 38 + pitch * place, numbered=pitch > 10))
    return picture(parts, bottom + 4, "Lead time, a line per case", _leads_in_words(rounded), "lead")


def _grained(case: CaseLine, grain: int) -> CaseLine:
    def to(days: int | None) -> int | None:
        return None if days is None else round(days / grain) * grain

    return CaseLine(case.order, to(case.entry) or 0, to(case.sustained), to(case.first), to(case.confirmed))


def _relative_grid(scale: Scale, bottom: float) -> list[Markup]:
    parts: list[Markup] = []
    first, last = -int(-scale.low // DAYS_A_YEAR), int(scale.high // DAYS_A_YEAR)
    step = max(1, round((last - first) / 8))
    for year in range(-(-first // step) * step, last + 1, step):
        if year:
            x = scale.at(year * DAYS_A_YEAR)
            fine = "axis wide" if (last - first) / step > 5 and (year // step) % 2 else "axis"
            parts += [line(x, 18, x, bottom, "grid"), words(x, 12, f"{year:+d} y".replace("-", "−"), fine, "middle")]
    zero = scale.at(0)
    parts.append(line(zero, 18, zero, bottom, "upright general"))
    parts.append(words(zero, 12, "suspicion", "axis general", "middle" if 12 < zero < 88 else "end"))
    return parts


def _lead_line(case: CaseLine, scale: Scale, y: float, *, numbered: bool) -> Markup:
    zero = scale.at(0)
    title = f"case {case.order}: " + (f"raised {-case.sustained} days before" if case.sustained else "not prioritised")
    entry = scale.at(case.entry)
    parts = [line(entry, y, zero, y, "record"), line(entry, y - 3, entry, y + 3, "record")]
    if numbered:
        parts.append(words(0, y + 3.5, str(case.order), "axis"))
    if case.first is not None:
        parts.append(dot(scale.at(case.first), y, 3, "mark first"))
    if case.sustained is not None:
        parts.append(box(scale.at(case.sustained), zero, y - 2, 4, "episode", title))
        parts.append(dot(scale.at(case.sustained), y, 3.4, "mark alert", title))
    if case.confirmed is not None:
        parts.append(line(zero, y, scale.at(case.confirmed), y, "span confirmed"))
        parts.append(dot(scale.at(case.confirmed), y, 2.6, "mark confirmed"))
    return Markup("").join(parts)


def _leads_in_words(cases: Sequence[CaseLine]) -> str:
    leads = sorted(-case.sustained for case in cases if case.sustained)
    if not leads:
        return f"{len(cases)} cases at risk; none was prioritised before suspicion."
    return (
        f"{len(cases)} cases at risk; {len(leads)} prioritised before suspicion, from {leads[0]} to {leads[-1]} days, "
        f"median {leads[len(leads) // 2]}."
    )


def burden_curve(points: Sequence[BurdenPoint]) -> Markup:
    """Cumulative false alerts per 1,000 patients by months since the first screened night: steps and intervals."""
    height, top = 190.0, 12.0
    ordered = sorted(points, key=lambda point: point.months)
    ceiling = _nice(max([p.high if p.high is not None else p.per_1000 for p in ordered] + [0.1]))
    scale = Scale(0, max(ordered[-1].months, 1), 7, 98)

    def level(value: float) -> float:
        return round(height - value / ceiling * (height - top), 1)

    parts = [line(7, level(t), 98, level(t), "grid") for t in (0, ceiling / 2, ceiling)]
    parts += [words(6, level(t) + 4, f"{t:g}", "axis", "end") for t in (0, ceiling / 2, ceiling)]
    parts += _month_axis(scale, height)
    for here, then in zip(ordered, [*ordered[1:], ordered[-1]], strict=True):
        x1, x2 = scale.at(here.months), scale.at(then.months)
        if here.low is not None and here.high is not None:
            parts.append(box(x1, x2, level(here.high), max(level(here.low) - level(here.high), 0.5), "band"))
        parts.append(line(x1, level(here.per_1000), x2, level(here.per_1000), "step"))
        parts.append(line(x2, level(here.per_1000), x2, level(then.per_1000), "step"))
    end = ordered[-1]
    told = f"{end.per_1000:g} false alerts per 1,000 patients after {end.months:g} months."
    return picture(parts, height + 24, "Cumulative false alerts per 1,000 patients", told, "burden")


def _month_axis(scale: Scale, height: float) -> list[Markup]:
    months = int(scale.high)
    step = 1 if months <= 6 else 6 if months <= 36 else 12 if months <= 96 else 24
    parts = []
    for month in range(0, months + 1, step):
        x = scale.at(month)
        parts.append(line(x, height, x, height + 4, "grid"))
        parts.append(words(x, height + 17, f"{month}", "axis", "middle"))
    return parts


def _nice(value: float) -> float:
    """The next round figure (1, 2, 3, 4, 6, 8 times a power of ten) at or above a positive value."""
    power = 10.0 ** len(str(int(value))) / 10 if value >= 1 else 0.1
    for step in (1, 2, 3, 4, 6, 8, 10):
        if value <= step * power:
            return step * power
    return 20 * power
