"""Learnt objects and the nights that may use them: nothing learnt from a night's future may judge that night."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from zebrawatch.errors import ZebrawatchError


class LearntError(ZebrawatchError):
    """A night would be judged with something that was learnt from that night or later ones."""


@dataclass(frozen=True)
class Learnt:
    """One learnt object (background, calibration, fusion, threshold) and the first night that is to use it.

    `fitted_through` is the last night whose records it rests on; `date.min` where no hospital's record was used.
    """

    name: str
    fitted_through: date
    first_used: date


def refuse_later(objects: Iterable[Learnt]) -> None:
    """LearntError for the first object with `fitted_through` ≥ a night that is to use it (OUTCOMES, "Protocol")."""
    for one in objects:
        if one.fitted_through >= one.first_used:
            raise LearntError(
                f"{one.name} was learnt from records through {one.fitted_through}: night {one.first_used} may not use "
                "it, nor any other up to then."
            )
