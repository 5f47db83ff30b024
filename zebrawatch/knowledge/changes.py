"""What a new release of the knowledge moves: diseases, findings, merges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zebrawatch.knowledge.diseases import Knowledge


@dataclass(frozen=True)
class KnowledgeChanges:
    """Differences between two compiled releases; ids in ascending order."""

    releases: dict[str, tuple[str, str]]
    """Release before and after, for each source whose release differs (empty text where it was not given)."""
    diseases_added: tuple[str, ...]
    """First ids of diseases none of whose ids was known before."""
    diseases_gone: tuple[str, ...]
    merged: tuple[str, ...]
    """First ids of diseases that join what were several rows before."""
    split: tuple[str, ...]
    """First ids of former rows that are now several."""
    profiles_changed: tuple[str, ...]
    """First ids (new) of diseases whose annotation rows differ; their rankings are to be derived again."""
    terms_retired: tuple[str, ...]
    """HPO ids that were live and are not any more."""

    def sentence(self) -> str:
        """One line for a log or a report."""
        moved = ", ".join(f"{key} {old or 'none'} to {new or 'none'}" for key, (old, new) in self.releases.items())
        return (
            f"Releases: {moved or 'the same'}; "
            f"{len(self.diseases_added)} diseases new, {len(self.diseases_gone)} gone, "
            f"{len(self.merged)} merged, {len(self.split)} split; {len(self.profiles_changed)} profiles changed; "
            f"{len(self.terms_retired)} HPO terms retired."
        )


def changes(old: Knowledge, new: Knowledge) -> KnowledgeChanges:
    """Compare two releases by ids and annotation rows (order and references don't matter, frequencies do)."""
    keys = sorted(set(old.releases) | set(new.releases))
    pairs = {key: (old.releases.get(key, ""), new.releases.get(key, "")) for key in keys}
    before, after = _profiles(old), _profiles(new)
    added, merged, changed = [], [], []
    for number, disease in enumerate(new.diseases):
        places = {place for each in disease.ids if (place := old.index_of(each)) is not None}
        if not places:
            added.append(disease.id)
        elif len(places) > 1:
            merged.append(disease.id)
        if {row for place in places for row in before.get(place, ())} != after.get(number, frozenset()):
            changed.append(disease.id)
    gone, split = [], []
    for disease in old.diseases:
        places = {place for each in disease.ids if (place := new.index_of(each)) is not None}
        if not places:
            gone.append(disease.id)
        elif len(places) > 1:
            split.append(disease.id)
    return KnowledgeChanges(
        releases={key: pair for key, pair in pairs.items() if pair[0] != pair[1]},
        diseases_added=tuple(sorted(added)),
        diseases_gone=tuple(sorted(gone)),
        merged=tuple(sorted(merged)),
        split=tuple(sorted(split)),
        profiles_changed=tuple(sorted(changed)),
        terms_retired=tuple(sorted(set(old.terms) - set(new.terms))),
    )


def _profiles(knowledge: Knowledge) -> dict[int, frozenset[tuple[str, str, float]]]:
    """(HPO id, frequency, people) of every disease's rows; a missing frequency reads `none`."""
    found: dict[int, set[tuple[str, str, float]]] = {}
    rows = zip(
        np.asarray(knowledge.row_disease).tolist(),
        np.asarray(knowledge.row_term).tolist(),
        np.asarray(knowledge.row_share).tolist(),
        np.asarray(knowledge.row_size).tolist(),
        strict=True,
    )
    for disease, term, share, size in rows:
        shown = "none" if share != share else f"{share:.6f}"
        found.setdefault(disease, set()).add((knowledge.terms[term], shown, size))
    return {disease: frozenset(rows) for disease, rows in found.items()}
