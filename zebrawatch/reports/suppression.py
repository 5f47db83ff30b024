"""Small cells: counts of patients under 11 are hidden so that they cannot be worked out again from totals.

The floor of 11 is that of the US Centers for Medicare & Medicaid Services' cell size suppression policy, which also
asks for complementary suppression: no hidden cell may follow from the ones shown. Zero stays visible. Behind made data
stands nobody, so its counts are shown whole; real and rendered data are held to the floor.
"""

from __future__ import annotations

from collections.abc import Sequence

SMALLEST_CELL = 11
HIDDEN = "<11"


def floor_of(data_kind: str) -> int:
    """The smallest count of patients that may be shown for a kind of data (statement.DATA_KINDS)."""
    return 1 if data_kind == "made" else SMALLEST_CELL


def shown_count(count: int, floor: int) -> int | None:
    """A count that stands alone: itself, or None where it must be hidden (1 to floor - 1)."""
    return None if 0 < count < floor else count


def shown_parts(counts: Sequence[int], floor: int) -> list[int | None]:
    """The parts of a total: hidden ones are None, and more are hidden until none follows from the total and the rest.

    Afterwards the hidden parts are none at all, or together hold at least `floor` (so they are at least two). Where
    that cannot be reached (all other parts are zero) every part other than zero is hidden, and the total must not be
    shown either (`total_may_show`).
    """
    shown: list[int | None] = [shown_count(count, floor) for count in counts]
    spare = sorted((count, index) for index, count in enumerate(counts) if shown[index])
    while spare and not _safe(counts, shown, floor):
        shown[spare.pop(0)[1]] = None
    return shown


def total_may_show(counts: Sequence[int], floor: int) -> bool:
    """Whether the total of these parts may stand beside them once `shown_parts` has hidden what it must."""
    total = shown_count(sum(counts), floor)
    return total is not None and _safe(counts, shown_parts(counts, floor), floor)


def shown_apart(counts: Sequence[int], floor: int) -> list[int | None]:
    """Counts of overlapping groups, in order of importance, less those that would tell a small group.

    A later count is hidden where its difference to an earlier shown one is 1 to floor - 1, since the difference of
    nested groups is itself a group.
    """
    shown: list[int | None] = []
    for count in counts:
        apart = all(shown_count(abs(count - other), floor) is not None for other in shown if other is not None)
        shown.append(shown_count(count, floor) if apart else None)
    return shown


def share_may_show(numerator: float, denominator: float, floor: int) -> bool:
    """Whether numerator / denominator may be shown: neither it nor its complement counts 1 to floor - 1 patients.

    `numerator` may be a product of a rounded share with its denominator; it is rounded to whole patients.
    """
    part, whole = round(numerator), round(denominator)
    return all(shown_count(count, floor) is not None for count in (part, whole - part, whole))


def _safe(counts: Sequence[int], shown: Sequence[int | None], floor: int) -> bool:
    hidden = [count for count, seen in zip(counts, shown, strict=True) if seen is None]
    return not hidden or sum(hidden) >= floor
