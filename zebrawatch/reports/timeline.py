"""A patient's record as one picture: visits, notes, labs, findings at first appearance, alerts, suspicion."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from markupsafe import Markup

from zebrawatch.reports.data import AlertedPatient, Encounter, Finding
from zebrawatch.reports.drawing import Scale, beside, box, dot, line, picture, words

ROW = 18
MOST_FINDINGS = 30
SLOTS = 300
"""Marks of one kind that would fall on the same of 300 places are drawn as one, which tells how many it stands for."""


def timeline(patient: AlertedPatient) -> Markup:
    """Draw a patient's record.

    Findings step down in the order in which they became known; those new on the night of the last raise stand out, and
    those that came later are pale. Of more than 30 findings those that weigh most in the diseases shown are drawn.
    Notes left out of scoring are hollow.
    """
    scale = Scale(*(day.toordinal() for day in _span(patient)))
    lanes, top = _lanes(patient, scale, 44)
    findings, below = _finding_rows(patient, scale, top + 6)
    marks, bottom = _alert_rows(patient, scale, below + 10)
    return picture(
        [_year_grid(scale, bottom - 6), *_upright_lines(patient, scale, below), *lanes, *findings, *marks],
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
    """The lanes of visits, notes and labs that hold anything, and where the next row may begin."""
    parts: list[Markup] = []
    y = top
    for name, lane in (("visits, stays", _visits), ("notes", _notes), ("laboratory", _labs)):
        marks = lane(patient, scale, y - 3)
        if marks:
            parts += [words(0, y - 12, name, "lane"), *marks]
            y += 28
    return parts, y - 8


def _visits(patient: AlertedPatient, scale: Scale, y: float) -> list[Markup]:
    stays = [visit for visit in patient.encounters if visit.end and visit.end > visit.start]
    single = ((visit.start, visit.kind) for visit in patient.encounters if visit not in stays)
    parts = [_stay(visit, scale, y) for visit in stays]
    return parts + [box(x, x, y - 4, 9, "visit", title) for x, title in _gathered(single, scale)]


def _stay(visit: Encounter, scale: Scale, y: float) -> Markup:
    end = visit.end or visit.start
    x1, x2 = scale.at(visit.start.toordinal()), scale.at(end.toordinal())
    return box(x1, max(x2, x1 + 0.3), y - 4, 9, "visit", f"{visit.start} to {end} {visit.kind}")


def _notes(patient: AlertedPatient, scale: Scale, y: float) -> list[Markup]:
    scored = ((note.day, note.kind) for note in patient.notes if note.scored)
    left_out = ((note.day, f"{note.kind}, not scored") for note in patient.notes if not note.scored)
    parts = [dot(x, y, 2.6, "note", title) for x, title in _gathered(scored, scale)]
    return parts + [dot(x, y, 2.6, "note out", title) for x, title in _gathered(left_out, scale)]


def _labs(patient: AlertedPatient, scale: Scale, y: float) -> list[Markup]:
    told = [(lab.day, f"{lab.name} {lab.value} {lab.interpretation or ''}".rstrip()) for lab in patient.labs]
    odd = [lab.interpretation not in (None, "", "N") for lab in patient.labs]
    usual = (item for item, out in zip(told, odd, strict=True) if not out)
    out_of_range = (item for item, out in zip(told, odd, strict=True) if out)
    parts = [dot(x, y, 2, "lab", title) for x, title in _gathered(usual, scale)]
    return parts + [dot(x, y, 3, "lab odd", title) for x, title in _gathered(out_of_range, scale)]


def _gathered(items: Iterable[tuple[date, str]], scale: Scale) -> list[tuple[float, str]]:
    """Places and titles, one for all items that would be drawn on top of each other."""
    slots: dict[int, list[tuple[date, str]]] = {}
    for item in sorted(items):
        slots.setdefault(round(scale.at(item[0].toordinal()) * SLOTS / 100), []).append(item)
    return [(scale.at(group[0][0].toordinal()), _group_title(group)) for group in slots.values()]


def _group_title(group: list[tuple[date, str]]) -> str:
    day, kind = group[0]
    more = f" and {len(group) - 1} more to {group[-1][0]}" if len(group) > 1 else ""
    return f"{day} {kind}{more}"


def _finding_rows(patient: AlertedPatient, scale: Scale, top: float) -> tuple[list[Markup], float]:
    raised = patient.episodes[-1].raised
    drawn = sorted(_weightiest(patient), key=lambda finding: (finding.known_night, finding.label))
    if not drawn:
        return [], top
    left = len(patient.findings) - len(drawn)
    parts = [words(0, top, "findings, at first appearance" + (f" ({left} lighter not drawn)" if left else ""), "lane")]
    rows = [_finding_row(f, scale, top + 4 + ROW * n, _when(f, raised)) for n, f in enumerate(drawn, start=1)]
    return parts + rows, top + 12 + ROW * len(drawn)


def _weightiest(patient: AlertedPatient) -> list[Finding]:
    """At most MOST_FINDINGS findings: those that weigh most, either way, in any disease shown; then the earliest."""
    weights: dict[Finding, float] = {}
    for disease in patient.diseases:
        for part in disease.contributions:
            if part.finding is not None:
                weights[part.finding] = max(weights.get(part.finding, 0.0), abs(part.log10_lr))
    order = sorted(patient.findings, key=lambda f: (-weights.get(f, 0.0), f.known_night, f.hpo_id, f.source.source_id))
    return order[:MOST_FINDINGS]


def _when(finding: Finding, raised: date) -> str:
    if finding.known_night == raised:
        return "new"
    return "before" if finding.known_night < raised else "after"


def _finding_row(finding: Finding, scale: Scale, y: float, when: str) -> Markup:
    x = scale.at(finding.known_night.toordinal())
    absent = finding.assertion == "negated"
    label = f"{finding.label}, absent" if absent else finding.label
    state = f"{when} absent" if absent else when
    title = f"{finding.known_night} {label} ({finding.source.kind})"
    return (
        line(x, y - 4, scale.right, y - 4, "stays")
        + dot(x, y - 4, 3.6, f"finding {state}", title)
        + beside(x, y, label, f"label {state}")
    )


def _upright_lines(patient: AlertedPatient, scale: Scale, bottom: float) -> list[Markup]:
    nights = [(patient.episodes[-1].raised, "alert")]
    nights += [(mark.night, mark.kind) for mark in patient.suspicions]
    if patient.death:
        nights.append((patient.death, "confirmed"))
    places = [(scale.at(night.toordinal()), kind) for night, kind in nights]
    return [line(x, 18, x, bottom, f"upright {kind}") for x, kind in places]


def _alert_rows(patient: AlertedPatient, scale: Scale, top: float) -> tuple[list[Markup], float]:
    """The lane of alert episodes (the last one named), then a row each for suspicion, confirmation and death."""
    parts: list[Markup] = []
    for episode in patient.episodes:
        start = scale.at(episode.raised.toordinal())
        end = scale.at((episode.withdrawn or patient.last_night).toordinal())
        ends = f"to {episode.withdrawn}, {episode.reason or 'withdrawn'}" if episode.withdrawn else "stands"
        parts.append(box(start, end, top, 7, "episode", f"Alert {episode.raised} {ends}"))
        changes = [scale.at(night.toordinal()) for night in episode.shown_changes]
        parts += [line(x, top, x, top + 7, "upright alert") for x in changes]
    raised = patient.episodes[-1].raised
    x = scale.at(raised.toordinal())
    parts.append(line(x, top - 12, x, top + 7, "upright alert"))
    parts.append(words(x, top + 20, f"Alert {raised}", "label alert", "start" if x < 70 else "end"))
    marks = [(mark.night, mark.kind, mark_name(mark.kind)) for mark in patient.suspicions]
    if patient.death:
        marks.append((patient.death, "confirmed", "Died"))
    y = top + 32
    for night, kind, name in marks:
        x = scale.at(night.toordinal())
        parts.append(line(x, top - 12, x, y, f"upright {kind}"))
        parts.append(dot(x, y, 4, f"mark {kind}"))
        parts.append(beside(x, y + 4, f"{name} {night}", f"label {kind}", f"{name.split()[0]} {night}"))
        y += ROW
    return parts, y + 4


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
