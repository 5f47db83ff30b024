"""A patient's record as one picture that leads to its notes: visits, notes, labs, findings, alerts, suspicion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from markupsafe import Markup

from review.chart import Ranked, anchor_of
from review.episodes import Alert
from review.records import PatientRows, Records
from zebrawatch.reports.drawing import Scale, beside, box, dot, line, picture, words

ROW = 17
MOST_FINDINGS = 10
SLOTS = 260
"""Marks of one kind that would fall on the same of 260 places are drawn as one, which tells how many it stands for."""


@dataclass(frozen=True)
class _Mark:
    day: date
    title: str
    kind: str
    link: str | None = None


def timeline(
    rows: PatientRows, records: Records, zone: ZoneInfo, alerts: Sequence[Alert] = (), disease: Ranked | None = None
) -> Markup:
    """Draw the record up to the night it is read on.

    Without a disease, findings are one lane of first appearances, and alerts are left out: the chart speaks for itself.
    With one, the findings that weigh most for or against it have a row each, new ones of the alert's night stand out.
    """
    lanes = _lanes(rows, zone)
    suspicions = _suspicions(rows, records)
    findings = _findings(disease) if disease else []
    if not disease:
        lanes.append(("findings, first told", _first_findings(rows, records)))
    days = [mark.day for _, marks in lanes for mark in marks] + [rows.night]
    days += [mark.day for mark in (*suspicions, *findings)] + [alert.raised for alert in alerts]
    first, last = min(days), max(days)
    if (last - first).days < 30:
        first = date.fromordinal(last.toordinal() - 30)
    scale = Scale(first.toordinal(), last.toordinal())
    parts: list[Markup] = []
    y = 42.0
    for name, marks in lanes:
        if marks:
            parts.append(words(0, y - 11, name, "lane"))
            parts += _dots(marks, scale, y)
            y += 29
    y -= 4
    if findings:
        parts.append(words(0, y - 6, "findings that weigh most, at first appearance", "lane"))
        for mark in findings:
            y += ROW
            x = scale.at(mark.day.toordinal())
            parts.append(line(x, y - 8, scale.right, y - 8, "stays"))
            parts.append(_linked(dot(x, y - 8, 3.6, f"finding {mark.kind}", mark.title), mark.link))
            parts.append(beside(x, y - 4, mark.title, f"label {mark.kind}"))
        y += 10
    below = y
    grid_to = below + (26 if alerts else 0)
    for alert in alerts:
        start = scale.at(alert.raised.toordinal())
        end = scale.at((alert.withdrawn or rows.night).toordinal())
        told = f"to {alert.withdrawn}, {alert.reason}" if alert.withdrawn else "stands"
        parts.append(box(start, end, below + 6, 7, "episode", f"Alert {alert.raised} {told}"))
        parts.append(line(start, 18, start, below + 13, "upright alert"))
    if alerts:
        start = scale.at(alerts[-1].raised.toordinal())
        anchor = "start" if start < 70 else "end"
        parts.append(words(start, below + 26, f"Alert {alerts[-1].raised}", "label alert", anchor))
        y = below + 36
    for mark in suspicions:
        y += 4
        x = scale.at(mark.day.toordinal())
        parts.append(line(x, 18, x, y, f"upright {mark.kind}"))
        parts.append(_linked(dot(x, y, 4, f"mark {mark.kind}", mark.title), mark.link))
        parts.append(beside(x, y + 4, mark.title, f"label {mark.kind}", mark.title.split(":")[0]))
        y += ROW
    return picture(
        [_years(scale, grid_to), *parts], y + 6, "Timeline", _told(rows, lanes, suspicions, alerts), "timeline"
    )


def _lanes(rows: PatientRows, zone: ZoneInfo) -> list[tuple[str, list[_Mark]]]:
    visits: dict[str, _Mark] = {}
    labs: list[_Mark] = []
    problems: dict[str, _Mark] = {}
    for row in rows.events:
        if row["event_time"] is None:
            continue
        day = row["event_time"].astimezone(zone).date()
        name = row["display"] or row["text_value"] or row["code"] or ""
        if row["resource_type"] == "Encounter":
            stay = "stay" if row["category"] in ("IMP", "ACUTE", "NONAC", "EMER") else ""
            visits.setdefault(row["event_id"].partition("#")[0], _Mark(day, f"{day} {name}", f"visit {stay}".strip()))
        elif row["resource_type"] == "Observation" and row["category"] not in ("vital-signs", "social-history"):
            if row["numeric_value"] is None:
                continue
            odd = row["interpretation"] not in (None, "", "N")
            title = f"{day} {name} {row['numeric_value']:g} {row['unit'] or ''} {row['interpretation'] or ''}".strip()
            labs.append(_Mark(day, title, "lab odd" if odd else "lab"))
        elif row["resource_type"] == "Condition":
            problems.setdefault(name, _Mark(day, f"{day} {name}", "problem"))
    notes = [
        _Mark(day, f"{day} {row['type_display'] or row['resource_type']}", "note", f"#{anchor_of(row['note_id'])}")
        for row in rows.notes
        if row["event_time"] and (day := row["event_time"].astimezone(zone).date())
    ]
    lanes = (("visits, stays", list(visits.values())), ("notes", notes), ("laboratory", labs))
    return [*lanes, ("problems, first coded", list(problems.values()))]


def _first_findings(rows: PatientRows, records: Records) -> list[_Mark]:
    first: dict[str, _Mark] = {}
    for row in rows.findings:
        if row["assertion"] == "present" and row["experiencer"] == "patient":
            title = f"{row['known_night']} {records.label(row['hpo_id'])}"
            first.setdefault(row["hpo_id"], _Mark(row["known_night"], title, "finding before"))
    return list(first.values())


def _findings(disease: Ranked) -> list[_Mark]:
    weights = [w for w in (*disease.supporting, *disease.against) if w.known_night is not None]
    heaviest = sorted(weights, key=lambda w: -abs(w.log10_lr))[:MOST_FINDINGS]
    marks = []
    for weight in sorted(heaviest, key=lambda w: (str(w.known_night), w.label)):
        assert weight.known_night is not None
        kind = "new" if weight.new else "before"
        label = f"{weight.label}, absent" if weight.absent else weight.label
        kind = f"{kind} absent" if weight.absent else kind
        marks.append(_Mark(weight.known_night, label, kind, f"#{weight.anchor}" if weight.anchor else None))
    return marks


def _suspicions(rows: PatientRows, records: Records) -> list[_Mark]:
    """The first documented suspicion of each kind, in order of time."""
    first: dict[str, _Mark] = {}
    names = {"general": "General suspicion", "specific": "Suspicion", "confirmed": "Confirmed"}
    for row in rows.suspicions:
        name = records.disease_name(row["disease_id"])
        told = names.get(row["kind"], row["kind"])
        title = f"{told} {row['known_night']}" + (f": {name}" if name else "")
        first.setdefault(row["kind"], _Mark(row["known_night"], title, row["kind"]))
    return sorted(first.values(), key=lambda mark: mark.day)


def _dots(marks: Iterable[_Mark], scale: Scale, y: float) -> list[Markup]:
    slots: dict[tuple[int, str], list[_Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.day, mark.title)):
        slots.setdefault((round(scale.at(mark.day.toordinal()) * SLOTS / 100), mark.kind), []).append(mark)
    drawn = []
    for group in sorted(slots.values(), key=lambda group: group[0].kind):  # `lab odd` after, so above, `lab`
        x, kind = scale.at(group[0].day.toordinal()), group[0].kind
        more = f" and {len(group) - 1} more to {group[-1].day}" if len(group) > 1 else ""
        title = group[0].title + more
        radius = {"note": 3.2, "lab odd": 3.2, "lab": 2.0, "problem": 2.8}.get(kind, 2.6)
        shape = box(x, x, y - 5, 9, kind, title) if kind.startswith("visit") else dot(x, y, radius, kind, title)
        drawn.append(_linked(shape, group[0].link))
    return drawn


def _linked(shape: Markup, link: str | None) -> Markup:
    """A mark that a click follows to its note; lists on the page hold the same places as links."""
    return Markup('<g class="to" data-to="{}">{}</g>').format(link, shape) if link else shape


def _years(scale: Scale, bottom: float) -> Markup:
    first, last = date.fromordinal(int(scale.low)), date.fromordinal(int(scale.high))
    step = max(1, round((last.year - first.year) / 14))
    parts = []
    for year in range(first.year + 1, last.year + 1):
        if year % step == 0:
            x = scale.at(date(year, 1, 1).toordinal())
            fine = (last.year - first.year) / step > 6 and (year // step) % 2
            parts.append(line(x, 18, x, bottom, "grid"))
            parts.append(words(x, 12, str(year), "axis wide" if fine else "axis", "middle"))
    if len(parts) < 4:
        parts.append(words(scale.left, 12, str(first), "axis"))
        parts.append(words(scale.right, 12, str(last), "axis", "end"))
    return Markup("").join(parts)


def _told(
    rows: PatientRows, lanes: Sequence[tuple[str, list[_Mark]]], suspicions: Sequence[_Mark], alerts: Sequence[Alert]
) -> str:
    """The picture in words, for those who do not see it."""
    counts = ", ".join(f"{len(marks)} {name.partition(',')[0]}" for name, marks in lanes if marks)
    told = [f"Record up to {rows.night}: {counts or 'nothing'}."]
    for alert in alerts:
        ends = f", withdrawn {alert.withdrawn} ({alert.reason})" if alert.withdrawn else ", stands"
        told.append(f"Alert raised {alert.raised}{ends}.")
    told += [f"{mark.title}." for mark in suspicions]
    return " ".join(told)
