"""The dashboard page: pictures of the published tables, for the role that may see no patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from zebrawatch.reports import pages
from zebrawatch.reports.drawing import Scale, box, line, picture, words
from zebrawatch.reports.published import ALL, DIMENSIONS, MEASURES, Published

NAMES = {
    "sex": "Sex", "age_band": "Age", "race": "Race", "ethnicity": "Ethnicity", "language": "Language", "payer": "Payer",
    "unit": "Unit of the last encounter",
}  # fmt: skip
FUNNEL = ("screened", "alerted", "reviewed", "confirmed")
MOST_BARS = 48
"""Months drawn; more would be too thin to read at 390 pixels."""


@dataclass(frozen=True)
class Tile:
    """A figure of all patients together; `value` is None where it is hidden."""

    name: str
    value: int | None
    about: str


def dashboard_page(published: Published) -> str:
    """The page, self-contained. It holds what the published tables hold, and no more."""
    groups = published.tables["groups"].to_pylist()
    everybody = next(row for row in groups if row["dimension"] == ALL)
    months = [row for row in published.tables["nights"].to_pylist() if row["span"] == "month"]
    return pages.render(
        "dashboard.html",
        data_kind=published.data_kind,
        data_to=published.data_to,
        floor=published.floor,
        tiles=_tiles(everybody),
        funnel=_funnel(everybody),
        lead=everybody,
        months=_months(months[-MOST_BARS:]),
        months_cut=len(months) > MOST_BARS,
        sections=[
            (NAMES[name], rows, _shares(rows, name))
            for name in DIMENSIONS
            if (rows := [row for row in groups if row["dimension"] == name])
        ],
        diseases=published.tables["diseases"].to_pylist(),
        measures=[name for name in MEASURES if any(row[name] is not None or name in row["hidden"] for row in groups)],
        meanings=MEASURES,
        worded=lambda name: name.replace("_", " "),
        statement=published.statement,
    )


def _tiles(row: Mapping[str, Any]) -> list[Tile]:
    return [
        Tile(name.replace("_", " "), row[name], MEASURES[name]) for name in ("screened", "alerted", "false_alerted")
    ]


def _told(value: int | None, hidden: bool) -> str:
    return f"{value:,}" if value is not None else "hidden" if hidden else "not recorded"


def _funnel(row: Mapping[str, Any]) -> Markup:
    """Screened, alerted, reviewed, confirmed: bars from one side, on a scale of alerted patients below the first."""
    most = max([row[name] or 0 for name in FUNNEL[1:]] + [1])
    parts: list[Markup] = []
    told = []
    for place, name in enumerate(FUNNEL[1:]):
        y = 8 + 30 * place
        value, text = row[name], _told(row[name], name in row["hidden"])
        parts.append(words(0, y + 14, name, "axis"))
        scale = Scale(0, most, 22, 86)
        if value:
            parts.append(box(22, scale.at(value), y, 18, "funnel", f"{name}: {text}"))
        parts.append(words(scale.at(value or 0), y + 13.5, text, "label", shift=6))
        told.append(f"{name} {text}")
    return picture(parts, 98, "From alert to confirmation, in patients", ", ".join(told), "funnel")


def _months(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Alerts raised by month; a hidden month is a hollow mark on the line."""
    if not rows:
        return None
    height, top = 150.0, 16.0
    most = max([row["raised"] or 0 for row in rows] + [1])
    scale = Scale(0, len(rows), 6, 99)

    def level(value: float) -> float:
        return round(height - value / most * (height - top), 1)

    parts = [line(6, level(v), 99, level(v), "grid") for v in {0, most}]
    parts += [words(5, level(v) + 4, f"{v:,}", "axis", "end") for v in {0, most}]
    for place, row in enumerate(rows):
        left, right = scale.at(place + 0.14), scale.at(place + 0.86)
        label = f"{row['begins']:%Y-%m}: {_told(row['raised'], True)}"
        if row["raised"] is None:
            parts.append(box(left, right, height - 6, 6, "hollow", label))
        elif row["raised"]:
            parts.append(box(left, right, level(row["raised"]), height - level(row["raised"]), "funnel", label))
        if row["begins"].month == 1 or place == 0:
            parts.append(line(scale.at(place), height, scale.at(place), height + 4, "grid"))
            if place == 0 and any(other["begins"].month == 1 for other in rows[1:12]):
                continue
            parts.append(words(scale.at(place), height + 17, _month_name(row["begins"], place), "axis"))
    seen = [row["raised"] for row in rows if row["raised"] is not None]
    told = f"{len(rows)} months; {sum(seen):,} alerts in the {len(seen)} months that are shown."
    return picture(parts, height + 24, "Patients alerted anew, by month", told, "months")


def _month_name(day: date, place: int) -> str:
    return str(day.year) if day.month == 1 or place else f"{day:%Y-%m}"


def _shares(rows: Sequence[Mapping[str, Any]], key: str) -> Markup:
    """Alerted per 1,000 screened by group, where both may be told."""
    rates = [
        None if row["alerted"] is None or not row["screened"] else 1000 * row["alerted"] / row["screened"]
        for row in rows
    ]
    most = max([rate for rate in rates if rate is not None] + [1.0])
    scale = Scale(0, most, 38, 72)
    parts: list[Markup] = []
    for place, (row, rate) in enumerate(zip(rows, rates, strict=True)):
        y = 4 + 22 * place
        name = str(row["group"])
        parts.append(words(0, y + 12.5, name, "axis wide" if len(name) > 18 else "axis"))
        if len(name) > 18:
            parts.append(words(0, y + 12.5, name[:17].rstrip() + "…", "axis narrow"))
        if rate is None:
            parts.append(words(38, y + 12.5, "hidden", "axis"))
            continue
        parts.append(box(38, scale.at(rate), y, 15, "funnel", f"{name}: {rate:.0f} per 1,000"))
        parts.append(words(scale.at(rate), y + 12, f"{rate:.0f}", "label", shift=6))
        far = 10 + 7 * len(f"{rate:.0f}")
        parts.append(words(scale.at(rate), y + 12, f"{row['alerted']} of {row['screened']:,}", "axis", shift=far))
    told = "; ".join(
        f"{row['group']} {'hidden' if rate is None else f'{rate:.0f}'}" for row, rate in zip(rows, rates, strict=True)
    )
    return picture(parts, 8 + 22 * len(rows), f"Alerted per 1,000 screened, by {NAMES[key].lower()}", told, f"s-{key}")
