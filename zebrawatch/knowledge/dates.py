"""When the knowledge itself became known: first curation of a disease, days of releases (knowledge look-ahead)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date

from zebrawatch.knowledge.diseases import Knowledge


def curated_by_any_id(days: Mapping[str, date], knowledge: Knowledge) -> dict[str, date]:
    """Day of the first curation by every id of a disease: the earliest of `days` (annotations.first_curated) that any
    of its ids has.
    """
    found: dict[str, date] = {}
    for disease in knowledge.diseases:
        known = [days[each] for each in disease.ids if each in days]
        found |= dict.fromkeys(disease.ids, min(known)) if known else {}
    return found


def dated_releases(releases: Mapping[str, str]) -> dict[str, date]:
    """Days of the releases that state one (YYYY-MM-DD)."""
    found = {}
    for name, release in releases.items():
        with suppress(ValueError):
            found[name] = date.fromisoformat(release)
    return found
