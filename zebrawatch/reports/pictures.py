"""Bars, intervals, lead-time lines and the burden curve: small pure functions from plain data to inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from zebrawatch.reports.data import BurdenPoint, CaseLine
from zebrawatch.reports.drawing import Scale, box, dot, line, picture, words

DAYS_A_YEAR = 365.25


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
    return Markup('<svg class="bar" height="{}" aria-hidden="true">{}</svg>').format(height, body)


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
    ceiling = nice_ceiling(max([p.high if p.high is not None else p.per_1000 for p in ordered] + [0.1]))
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


def nice_ceiling(value: float) -> float:
    """The next round figure (1, 2, 3, 4, 6, 8 times a power of ten) at or above a positive value."""
    power = 10.0 ** len(str(int(value))) / 10 if value >= 1 else 0.1
    for step in (1, 2, 3, 4, 6, 8, 10):
        if value <= step * power:
            return step * power
    return 20 * power
