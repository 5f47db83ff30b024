"""Aggregate tables for dashboards: screened, alerted, reviewed, confirmed, by night, disease, unit and subgroup.

Every count is of patients. Counts of 1 to 10 are hidden (null), and so many more that none of them follows from what is
shown (zebrawatch.reports.cells); behind made data stands nobody, so its counts are whole. No row is about one person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from zebrawatch.reports.cells import Sum, hidden_cells
from zebrawatch.reports.suppression import floor_of, share_may_show, shown_count

DIMENSIONS = ("sex", "age_band", "race", "ethnicity", "language", "payer", "unit")
ALL = "all"
OTHER = "other"
UNKNOWN = "unknown"

MEASURES: dict[str, str] = {
    "screened": "patients screened",
    "alerted": "patients with at least one alert",
    "reviewed": "alerted patients on whom a reviewer gave a final verdict; null where no verdicts were recorded",
    "confirmed": "alerted patients with a recorded rare disease that an alert showed, before or after suspicion",
    "false_alerted": "alerted patients whose alerts were all false: wrong list, or no rare disease in 24 months",
    "cases": "patients with a pair at risk: a rare disease suspected after screening began",
    "prioritised": "cases for whom an open alert showed the disease before suspicion",
}
WITHIN = {
    "alerted": "screened", "reviewed": "alerted", "confirmed": "alerted", "false_alerted": "alerted",
    "cases": "screened", "prioritised": "cases",
}  # fmt: skip
"""Each measure counts some of the patients of another: those it leaves out are a count too, and must not be small."""

AGE_BANDS = ((2, "0-1"), (6, "2-5"), (12, "6-11"), (18, "12-17"), (40, "18-39"), (65, "40-64"), (200, "65 and over"))


def age_band(born: date | None, day: date) -> str:
    """The band of a patient's age in whole years on a day; `unknown` without a birth date."""
    if born is None:
        return UNKNOWN
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return next((name for below, name in AGE_BANDS if years < below), UNKNOWN)


class NightCount(NamedTuple):
    """A screened night: patients scored, and patients alerted anew."""

    night: date
    scored: int
    raised: int


@dataclass(frozen=True)
class Population:
    """What is published about.

    `people` has a row a patient: DIMENSIONS (text), MEASURES (true or false; `reviewed` all null where nobody reviews
    here), `disease` (id of the first one shown with the first alert; null without an alert), `lead_days` (of cases;
    else null). `names` are those of diseases.
    """

    people: pd.DataFrame
    nights: Sequence[NightCount]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """Tables by name, and the data dictionary: (table, column, type, what it holds)."""

    tables: Mapping[str, pa.Table]
    statement: str
    data_kind: str
    data_to: date
    floor: int

    @property
    def dictionary(self) -> pa.Table:
        """A row a column."""
        rows = [
            {"table": name, "column": column.name, "type": str(column.type), "holds": _holds(column)}
            for name, schema in {
                **{name: table.schema for name, table in self.tables.items()},
                DICTIONARY: _DICTIONARY,
            }.items()
            for column in schema
        ]
        return pa.Table.from_pylist(rows, schema=_DICTIONARY)


def _holds(column: pa.Field) -> str:
    metadata: Mapping[bytes, bytes] = column.metadata or {}
    return metadata.get(b"about", b"").decode()


def publish(population: Population, statement: str, data_kind: str, data_to: date) -> Published:
    """The tables of a population, small cells hidden (`floor_of` the kind of data)."""
    floor = floor_of(data_kind)
    cells = _cells(population, floor)
    tables = {
        "groups": _table(cells, population, ("dimension", "group"), floor),
        "diseases": _table(cells, population, ("disease_id", "disease"), floor),
        "nights": _nights(population.nights, floor),
        "about": pa.table(
            {
                "statement": [statement], "data": [data_kind], "data_to": pa.array([data_to], pa.date32()),
                "smallest_count_shown": pa.array([floor], pa.int32()),
            },
            schema=pa.schema(
                [
                    _column("statement", pa.string(), "what these figures are and are not"),
                    _column("data", pa.string(), "real / made / rendered"),
                    _column("data_to", pa.date32(), "last night whose rows were used"),
                    _column("smallest_count_shown", pa.int32(), "smaller counts of patients are hidden (null)"),
                ]
            ),
        ),
    }  # fmt: skip
    return Published(tables, statement, data_kind, data_to, floor)


def _column(name: str, kind: pa.DataType, about: str) -> pa.Field:
    return pa.field(name, kind, metadata={"about": about})


DICTIONARY = "data_dictionary"
_DICTIONARY = pa.schema(
    [
        _column("table", pa.string(), "a table of this publication"),
        _column("column", pa.string(), "a column of it"),
        _column("type", pa.string(), "its type in Arrow's words"),
        _column("holds", pa.string(), "what it holds, and when it is null"),
    ]
)


# -- by subgroup, unit and disease -------------------------------------------------------------------------------------

Cell = tuple[str, str, str]  # dimension, group, measure
DISEASE = "disease"


@dataclass(frozen=True)
class _Cells:
    """All counts, and which of them are hidden: one system, since the tables share their totals."""

    counts: Mapping[Cell, int]
    hidden: frozenset[Cell]
    groups: tuple[tuple[str, str], ...]
    measures: tuple[str, ...]

    def shown(self, dimension: str, group: str, measure: str) -> int | None:
        cell = (dimension, group, measure)
        return None if cell in self.hidden else self.counts.get(cell)


def _cells(population: Population, floor: int) -> _Cells:
    people: Any = population.people.assign(disease=_lumped(population.people, floor))
    measures = tuple(name for name in MEASURES if people.empty or not people[name].isna().all())
    counts: dict[Cell, int] = {}
    sums: list[Sum] = []
    groups = [(ALL, ALL)]
    for dimension in (*DIMENSIONS, DISEASE):
        groups += [(dimension, str(group)) for group in sorted(people[dimension].dropna().unique(), key=_in_order)]
    for dimension, group in groups:
        inside = people if dimension == ALL else people[people[dimension] == group]
        for name in _of(dimension, measures):
            counts[dimension, group, name] = int(inside[name].astype("boolean").fillna(False).sum())
        for name, whole in WITHIN.items():
            if name in measures and whole in _of(dimension, measures):
                rest = f"{whole} without {name}"
                counts[dimension, group, rest] = counts[dimension, group, whole] - counts[dimension, group, name]
                within = ((dimension, group, name), (dimension, group, rest))
                sums.append(Sum((dimension, group, whole), within))
    for dimension, kind in product((*DIMENSIONS, DISEASE), sorted({cell[2] for cell in counts})):
        parts = tuple((d, g, kind) for d, g in groups if d == dimension and (d, g, kind) in counts)
        sums += [Sum((ALL, ALL, kind), parts)] if parts else []
    return _Cells(counts, hidden_cells(counts, sums, floor), tuple(groups), measures)


def _in_order(group: Any) -> tuple[int, str]:
    """Ages by age, all else by name, `unknown` and `other` last."""
    bands = [name for _, name in AGE_BANDS]
    return (bands.index(group) if group in bands else len(bands) + (group in (UNKNOWN, OTHER)), str(group))


def _of(dimension: str, measures: Iterable[str]) -> list[str]:
    """Measures of a dimension: a disease first shown is known of alerted patients only."""
    return [name for name in measures if dimension != DISEASE or name == "alerted" or WITHIN.get(name) == "alerted"]


def _lumped(people: pd.DataFrame, floor: int) -> Any:
    """The disease first shown with a patient's first alert; those that few share become `other`, made large enough."""
    first: Any = people["disease"]
    sizes = first.value_counts()
    alone = [str(name) for name, size in sizes.items() if size >= floor]
    rest = [str(name) for name, size in sizes.items() if size < floor]
    while rest and alone and int(sizes[rest].sum()) < floor:
        rest.append(alone.pop())
    return first.where(~first.isin(rest), OTHER)


def _table(cells: _Cells, population: Population, names: tuple[str, str], floor: int) -> pa.Table:
    by_disease = names[0] == "disease_id"
    rows = []
    for dimension, group in cells.groups:
        if (dimension in DIMENSIONS) if by_disease else (dimension == DISEASE):
            continue
        listed = _of(DISEASE if by_disease else dimension, cells.measures)
        shown = {name: cells.shown(dimension, group, name) for name in listed}
        label = {ALL: "all diseases", OTHER: "all other diseases"}.get(group) or population.names.get(group, group)
        people: Any = population.people
        inside = people if dimension == ALL else people[people[dimension] == group]
        rows.append(
            {
                names[0]: group if by_disease else dimension,
                names[1]: label if by_disease else group,
                **{name: shown.get(name) for name in MEASURES},
                **({} if by_disease else _leads(inside, shown, floor)),
                "hidden": [name for name in listed if shown[name] is None],
            }
        )
    return pa.Table.from_pylist(rows, schema=_group_schema(*names))


def _leads(inside: Any, shown: Mapping[str, int | None], floor: int) -> dict[str, float | None]:
    """Lead, in whole months of 30 days unless the data are made, where both cases and prioritised may be told."""
    cases, prioritised = shown.get("cases"), shown.get("prioritised")
    if not cases or not prioritised or not share_may_show(prioritised, cases, floor):
        return {"lead_days_mean": None, "lead_days_median": None}
    leads = inside.loc[inside["cases"].astype(bool), "lead_days"].astype(float)
    early = inside.loc[inside["prioritised"].astype(bool), "lead_days"].astype(float)
    grain = 30 if floor > 1 else 1
    return {
        "lead_days_mean": float(round(leads.mean() / grain) * grain),
        "lead_days_median": float(round(early.median() / grain) * grain),
    }


def _group_schema(*names: str) -> pa.Schema:
    about = {
        "dimension": "all / sex / age_band / race / ethnicity / language / payer / unit (of the last encounter)",
        "group": "the group of that dimension",
        "disease_id": "the disease first shown with a patient's first alert; `other` where few patients share one",
        "disease": "its name",
    }
    by_disease = names[0] == "disease_id"
    return pa.schema(
        [
            *(_column(name, pa.string(), about[name]) for name in names),
            *(
                _column(name, pa.int64(), f"{what}; null where hidden")
                for name, what in MEASURES.items()
                if name in _of(DISEASE if by_disease else ALL, MEASURES)
            ),
            *(
                ()
                if by_disease
                else (
                    _column(
                        "lead_days_mean", pa.float64(), "mean sustained lead over all cases, 0 where not prioritised"
                    ),
                    _column("lead_days_median", pa.float64(), "median sustained lead among those prioritised"),
                )
            ),
            _column("hidden", pa.list_(pa.string()), "measures of this row that are hidden"),
        ]
    )


# -- by night ----------------------------------------------------------------------------------------------------------


Span = tuple[str, date]  # all / month / night, and where it begins


def _nights(nights: Sequence[NightCount], floor: int) -> pa.Table:
    """A row a night, a month (its first day) and one for all; nights of a hidden month hide together."""
    spans: dict[Span, int] = {}
    parts: dict[Span, list[Span]] = {}
    everything = (ALL, min((row.night for row in nights), default=date.min))
    for row in nights:
        night, month = ("night", row.night), ("month", row.night.replace(day=1))
        for cell in (night, month, everything):
            spans[cell] = spans.get(cell, 0) + row.raised
        if month not in parts:
            parts.setdefault(everything, []).append(month)
        parts.setdefault(month, []).append(night)
    hidden = _hidden_in_tree(spans, parts, floor)
    scored = {("night", row.night): row.scored for row in nights}
    rows = [
        {
            "span": span,
            "begins": day,
            "scored": shown_count(scored[span, day], floor) if (span, day) in scored else None,
            "raised": None if (span, day) in hidden else count,
        }
        for (span, day), count in sorted(
            spans.items(), key=lambda item: ((ALL, "month", "night").index(item[0][0]), item)
        )
    ]
    return pa.Table.from_pylist(
        rows,
        schema=pa.schema(
            [
                _column("span", pa.string(), "all / month / night"),
                _column("begins", pa.date32(), "the night, the month's first day, or the first screened night"),
                _column("scored", pa.int64(), "patients scored on the night; null where hidden, and for longer spans"),
                _column("raised", pa.int64(), "patients alerted anew; null where hidden"),
            ]
        ),
    )


def _hidden_in_tree(counts: Mapping[Any, int], parts: Mapping[Any, Sequence[Any]], floor: int) -> frozenset[Any]:
    """Hidden cells of totals that are sums of sums: each relation keeps none hidden, or two that hold `floor` together.

    In such a tree that is enough: relations share one cell at most, so what one leaves open no other can close. Decades
    of nights are thus done without solving for all of them at once.
    """
    hidden = {cell for cell, count in counts.items() if shown_count(count, floor) is None}
    changed = True
    while changed:
        changed = False
        for total, cells in parts.items():
            within = [cell for cell in cells if cell in hidden]
            few = sum(counts[cell] for cell in within) < floor and total not in hidden
            if (within and few) or (total in hidden and not within and counts[total]):
                spare = sorted((counts[cell], cell) for cell in cells if cell not in hidden and counts[cell])
                changed = True
                hidden.add(spare[0][1] if spare else total)
    return frozenset(hidden)
