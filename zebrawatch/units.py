"""Units as FHIR writes them (UCUM), converted by pint."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# UCUM's own spellings that pint does not know (https://ucum.org/ucum), in pint's.
_SPELLINGS: dict[str, str] = {
    "Cel": "degC",
    "°C": "degC",
    "C": "degC",
    "[degF]": "degF",
    "degF": "degF",
    "°F": "degF",
    "F": "degF",
    "mm[Hg]": "mmHg",
    "mmHg": "mmHg",
    "[lb_av]": "pound",
    "[oz_av]": "ounce",
    "[in_i]": "inch",
    "[ft_i]": "foot",
    "/min": "1/minute",
    "beats/minute": "1/minute",
    "bpm": "1/minute",
    "%": "percent",
    "{percentile}": "percent",
    "{%tile}": "percent",
    "deg C": "degC",
    "deg F": "degF",
    "kg/m2": "kg/m**2",
    "10*3/uL": "gigacell/L",
    "10*9/L": "gigacell/L",
    "10*6/uL": "teracell/L",
    "10*12/L": "teracell/L",
    "K/uL": "gigacell/L",
    "U/L": "unit_enzyme/L",
    "[IU]/L": "unit_enzyme/L",
    "IU/L": "unit_enzyme/L",
    "mU/L": "milliunit_enzyme/L",
    "m[IU]/L": "milliunit_enzyme/L",
    "u[IU]/mL": "milliunit_enzyme/L",
    "mIU/L": "milliunit_enzyme/L",
    "ug/dL": "microgram/dL",
    "ug/L": "microgram/L",
    "umol/L": "micromol/L",
    "meq/L": "milliequivalent/L",
    "mEq/L": "milliequivalent/L",
}


# What stands in braces says what is counted and means nothing (UCUM, 6): {Beats}/min, mL/min/{1.73_m2}.
_ANNOTATION = re.compile(r"\{[^{}]*\}")


def convert(value: float, unit: str | None, wanted: str | None) -> float | None:
    """`value` in the unit `wanted`; None where a unit is missing, unknown, or measures something else."""
    if unit is None or wanted is None:
        return None
    if unit == wanted:
        return value
    change = _change(unit, wanted)
    return None if change is None else value * change[0] + change[1]


@lru_cache(maxsize=4096)
def _change(unit: str, wanted: str) -> tuple[float, float] | None:
    """Factor and offset from one unit to another: every conversion between units of one dimension is linear."""
    try:
        registry = _registry()
        zero, one = (
            registry.Quantity(number, registry.Unit(_spelt(unit))).to(_spelt(wanted)).magnitude for number in (0.0, 1.0)
        )
    except Exception:  # pint raises many kinds of error on what is no unit
        return None
    return float(one - zero), float(zero)


def _spelt(unit: str) -> str:
    unit = unit.strip()
    if unit not in _SPELLINGS:
        unit = _ANNOTATION.sub("", unit).rstrip("/") or "1"
    return _SPELLINGS.get(unit, unit)


@lru_cache(maxsize=1)
def _registry() -> Any:
    from pint import UnitRegistry  # imported late: it takes a third of a second

    registry: Any = UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("unit_enzyme = [arbitrary_activity]")
    registry.define("cell = [arbitrary_cells]")
    registry.define("equivalent = [arbitrary_charge] = eq")
    return registry
