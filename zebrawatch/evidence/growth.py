"""Where a child's height, weight or head circumference lies among children of its age and sex.

L, M and S by age and sex stand in `growth.tsv` (CDC growth charts 2000); the deviation is z = ((value/M)^L - 1)/(L·S),
or ln(value/M)/S where L is 0 (Cole and Green, Stat Med 1992;11:1305-1319). Age is taken as it is: a child born early
looks small for some months.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from math import isfinite, log
from typing import NamedTuple

import numpy as np

from zebrawatch.evidence.tables import rows
from zebrawatch.units import convert

MEASURES = {
    "8302-2": "height", "8306-3": "height", "8308-9": "height", "29463-7": "weight", "3141-9": "weight",
    "8335-2": "weight", "9843-4": "head", "8287-5": "head",
}  # fmt: skip
"""By LOINC code: body height, lying, standing; body weight, measured, estimated; head circumference, by tape."""
_UNITS = {"height": "cm", "weight": "kg", "head": "cm"}
BEYOND = 2.0
"""Standard deviations: short and tall stature, micro- and macrocephaly by their HPO definitions, low weight for age by
WHO's of underweight (Technical Report Series 854, 1995)."""
SLIP = 10.0
"""Beyond so many a value is taken for a slip of the pen; wide, for heads of minus eight are real."""
_TERMS = {"height": ("HP:0004322", "HP:0000098"), "weight": ("HP:0004325", ""), "head": ("HP:0000252", "HP:0000256")}


class Place(NamedTuple):
    """A value's place: standard deviations from the median, and the terms of too little and too much ("" for none)."""

    deviation: float
    low: str
    high: str


@cache
def _charts() -> dict[tuple[str, str], np.ndarray]:
    """Rows of months, L, M, S by measure and sex, in order of age."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for row in rows("growth.tsv"):
        found[row["measure"], row["sex"]].append(tuple(float(row[name]) for name in ("months", "l", "m", "s")))
    return {key: np.array(sorted(chart)).T for key, chart in found.items()}


def place_of(loinc: str, value: float | None, unit: str | None, sex: str | None, years: float | None) -> Place | None:
    """Place of a value in `unit` (UCUM) at an age in years; None where no chart covers it, or it is a slip."""
    measure = MEASURES.get(loinc)
    chart = _charts().get((measure or "", sex or ""))
    if measure is None or chart is None or value is None or years is None:
        return None
    size, months = convert(value, unit, _UNITS[measure]), years * 12
    if size is None or not isfinite(size) or size <= 0 or not chart[0, 0] <= months < chart[0, -1]:
        return None
    power, median, spread = (float(np.interp(months, chart[0], column)) for column in chart[1:])
    ratio = size / median
    deviation = log(ratio) / spread if power == 0 else (ratio**power - 1) / (power * spread)
    return Place(deviation, *_TERMS[measure]) if abs(deviation) < SLIP else None
