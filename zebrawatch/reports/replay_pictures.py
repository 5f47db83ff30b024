"""Pictures of the replay report: cumulative incidence, share against burden, reliability, subgroups."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from zebrawatch.reports.drawing import Scale, dot, line, picture, words
from zebrawatch.reports.pictures import nice_ceiling

Step = tuple[float, float]
CURVES = {"alert": "alert", "suspicion": "suspect", "death": "death"}
"""Events and the style of their lines."""
HEIGHT, TOP = 200.0, 14.0
LEFT, RIGHT = 8.0, 97.0
SHORT_NAME = 16


@dataclass(frozen=True)
class OperatingPoint:
    """What one threshold gives: share of at-risk pairs prioritised, false alerts per 1,000 patients in 12 months."""

    threshold: float
    share: float
    false_alerts: float
    own: bool = False
    """Whether it is the protocol's own threshold; all others are exploratory."""


@dataclass(frozen=True)
class ReliabilityPoint:
    """One bin of stated probabilities: their mean, and the share that came true with its interval."""

    n: int
    stated: float
    happened: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class GroupRow:
    """One subgroup: pairs at risk, share and mean lead with their intervals; None where the cell is too small."""

    kind: str
    name: str
    pairs: int | None
    share: float | None = None
    share_interval: tuple[float, float] | None = None
    lead: float | None = None
    lead_interval: tuple[float, float] | None = None


def incidence_curves(curves: Mapping[str, Sequence[Step]], months: int) -> Markup:
    """Aalen-Johansen curves by event: (months since entry, share) where each rises."""
    most = max([share for steps in curves.values() for _, share in steps] + [0.01])
    ceiling = nice_ceiling(100 * most) / 100
    scale = Scale(0, months, LEFT, RIGHT)
    parts = _frame(ceiling, scale)
    ends = []
    for name, kind in CURVES.items():
        steps = [(0.0, 0.0), *curves.get(name, ())]
        for (x, share), (then, _) in zip(steps, [*steps[1:], (float(months), 0.0)], strict=True):
            parts.append(line(scale.at(x), _y(share, ceiling), scale.at(then), _y(share, ceiling), f"curve {kind}"))
        for (_, share), (x, after) in itertools.pairwise(steps):
            parts.append(line(scale.at(x), _y(share, ceiling), scale.at(x), _y(after, ceiling), f"curve {kind}"))
        ends.append((_y(steps[-1][1], ceiling), name, kind, steps[-1][1]))
    for y, (_, name, kind, share) in zip(_apart([end[0] for end in sorted(ends)], 14), sorted(ends), strict=True):
        # above the curve's end, so that a narrow page does not cut the words off
        parts.append(words(scale.at(months), y - 6, f"{name} {100 * share:.1f}%", f"curve-name {kind}", "end"))
    parts += _months(scale, months)
    told = ", ".join(f"{name} {100 * share:.1f}%" for _, name, _, share in sorted(ends, key=lambda end: end[1]))
    return picture(parts, HEIGHT + 24, "Cumulative incidence from entry", f"By month {months}: {told}.", "incidence")


def operating_curve(points: Sequence[OperatingPoint]) -> Markup:
    """Share prioritised against false alerts, a dot a threshold; the protocol's own is filled."""
    ordered = sorted(points, key=lambda point: (point.false_alerts, point.share))
    ceiling = nice_ceiling(max([point.false_alerts for point in ordered] + [0.1]))
    scale = Scale(0, ceiling, LEFT, RIGHT)
    parts = _frame(1.0, scale)
    for here, then in itertools.pairwise(ordered):
        ends = scale.at(here.false_alerts), _y(here.share, 1), scale.at(then.false_alerts), _y(then.share, 1)
        parts.append(line(*ends, "trace"))
    used: list[tuple[float, float]] = []
    for point in sorted(ordered, key=lambda one: not one.own):
        x, y = scale.at(point.false_alerts), _y(point.share, 1)
        title = f"threshold {point.threshold:g}: {100 * point.share:.0f}% prioritised, {point.false_alerts:.1f} false"
        parts.append(dot(x, y, 4.5 if point.own else 3.4, f"mark {'alert' if point.own else 'first'}", title))
        if all(abs(x - other) > 7 or abs(y - height) > 12 for other, height in used):
            used.append((x, y))
            anchor, shift = ("end", -8) if x > 85 else ("start", 8)
            parts.append(words(x, y + 4, f"{point.threshold:g}", "new" if point.own else "axis", anchor, shift))
    for tick in (0, ceiling / 2, ceiling):
        parts.append(words(scale.at(tick), HEIGHT + 17, f"{tick:g}", "axis", "middle"))
    own = [point for point in points if point.own]
    told = f"At the protocol's threshold {100 * own[0].share:.0f}% and {own[0].false_alerts:.1f}." if own else ""
    return picture(parts, HEIGHT + 24, "Share prioritised against false alerts", told, "operating")


def reliability(points: Sequence[ReliabilityPoint]) -> Markup:
    """Stated probability against what happened; on the dashed line both agree."""
    top = max([p.stated for p in points] + [p.interval[1] if p.interval else p.happened for p in points] + [0.01])
    ceiling = min(1.0, nice_ceiling(100 * top) / 100)
    scale = Scale(0, ceiling, LEFT, RIGHT)
    parts = _frame(ceiling, scale)
    parts.append(line(scale.at(0), _y(0, ceiling), scale.at(ceiling), _y(ceiling, ceiling), "agreed"))
    for point in points:
        x = scale.at(point.stated)
        if point.interval:
            parts.append(line(x, _y(point.interval[0], ceiling), x, _y(point.interval[1], ceiling), "span observed"))
        title = f"{point.n} patients: stated {100 * point.stated:.2g}%, happened {100 * point.happened:.2g}%"
        parts.append(dot(x, _y(point.happened, ceiling), 4, "mark observed", title))
    for tick in (0, ceiling / 2, ceiling):
        parts.append(words(scale.at(tick), HEIGHT + 17, f"{100 * tick:g}%", "axis", "middle"))
    return picture(parts, HEIGHT + 24, "Reliability", f"{len(points)} bins of stated probability.", "reliability")


def subgroup_plot(rows: Sequence[GroupRow], overall_share: float | None, overall_lead: float | None) -> Markup:
    """Detection (left) and mean lead (right) by subgroup, each with its interval; upright lines: over all pairs."""
    ends = [r.lead_interval[1] if r.lead_interval else r.lead for r in rows if r.lead is not None]
    longest = nice_ceiling(max([end for end in ends if end is not None] + [overall_lead or 0, 1.0]))
    share, lead = Scale(0, 1, 30, 60), Scale(0, longest, 68, 98)
    parts = [words(30, 12, "prioritised", "axis"), words(68, 12, "mean lead, days", "axis")]
    y, kind = 22.0, ""
    for row in rows:
        if row.kind != kind:
            y, kind = y + 20, row.kind
            parts.append(words(0, y, kind, "label"))
        y += 17
        parts += _group_name(row.name, y)
        if row.share is None:
            parts.append(words(30, y, "too few to show", "absent"))
            continue
        parts += [line(30, y - 4, 60, y - 4, "grid"), line(68, y - 4, 98, y - 4, "grid")]
        parts += _spot(row.share, row.share_interval, share, y - 4)
        parts += _spot(row.lead, row.lead_interval, lead, y - 4)
    bottom = y + 8
    for scale, value in ((share, overall_share), (lead, overall_lead)):
        if value is not None:
            parts.insert(0, line(scale.at(value), 18, scale.at(value), bottom, "agreed"))
    ticks = [(share, 0, "0"), (share, 1, "100%"), (lead, 0, "0"), (lead, longest, f"{longest:g}")]
    for scale, at, text in ticks:
        parts.append(words(scale.at(at), bottom + 14, text, "axis", "middle" if at == 0 else "end"))
    shown = sum(row.share is not None for row in rows)
    told = f"{shown} of {len(rows)} subgroups are large enough to show."
    return picture(parts, bottom + 20, "Detection and lead by subgroup", told, "subgroups")


def _group_name(name: str, y: float) -> list[Markup]:
    """A group's name, shortened where the page is narrow."""
    if len(name) <= SHORT_NAME:
        return [words(1.5, y, name, "axis")]
    return [words(1.5, y, name, "axis wide"), words(1.5, y, f"{name[: SHORT_NAME - 1].rstrip()}…", "axis narrow")]


def _spot(value: float | None, interval: tuple[float, float] | None, scale: Scale, y: float) -> list[Markup]:
    if value is None:
        return []
    span = [line(scale.at(interval[0]), y, scale.at(interval[1]), y, "span observed")] if interval else []
    return [*span, dot(scale.at(value), y, 3.6, "mark observed")]


def _y(share: float, ceiling: float) -> float:
    return round(HEIGHT - share / ceiling * (HEIGHT - TOP), 1)


def _frame(ceiling: float, scale: Scale) -> list[Markup]:
    """Level lines at 0, half and all of `ceiling` (a share), with their names."""
    parts: list[Markup] = []
    for level in (0.0, ceiling / 2, ceiling):
        parts.append(line(scale.left, _y(level, ceiling), scale.right, _y(level, ceiling), "grid"))
        parts.append(words(scale.left - 1, _y(level, ceiling) + 4, f"{100 * level:g}%", "axis", "end"))
    return parts


def _months(scale: Scale, months: int) -> list[Markup]:
    step = 1 if months <= 6 else 6 if months <= 36 else 12 if months <= 96 else 24
    places = range(0, months + 1, step)
    return [words(scale.at(month), HEIGHT + 17, f"{month}", "axis", "middle") for month in places]


def _apart(places: Sequence[float], least: float) -> list[float]:
    """Ascending places moved down until each is `least` below the one before."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    over = max(0.0, moved[-1] - (HEIGHT + 2)) if moved else 0.0
    return [place - over for place in moved]
