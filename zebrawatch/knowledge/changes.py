"""What another release of the knowledge would move: diseases and terms that come and go, annotations that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zebrawatch.knowledge.diseases import Knowledge

Profile = frozenset[tuple[str, float | None]]


@dataclass(frozen=True)
class Changes:
    """From one knowledge to another. Diseases by first id, terms by HPO id."""

    versions: tuple[str, str]
    releases: Mapping[str, tuple[str | None, str | None]]
    """Releases that differ, by file: (before, after)."""
    diseases_new: tuple[str, ...]
    diseases_gone: tuple[str, ...]
    diseases_with_other_findings: tuple[str, ...]
    """Diseases in both whose set of (term, frequency) differs."""
    diseases_with_other_ids: tuple[str, ...]
    terms_new: tuple[str, ...]
    terms_gone: tuple[str, ...]
    terms_renamed: tuple[str, ...]

    def counts(self) -> dict[str, object]:
        """As plain figures."""
        return {
            "before": self.versions[0],
            "after": self.versions[1],
            "releases": {name: list(pair) for name, pair in self.releases.items()},
            "diseases_new": len(self.diseases_new),
            "diseases_gone": len(self.diseases_gone),
            "diseases_with_other_findings": len(self.diseases_with_other_findings),
            "diseases_with_other_ids": len(self.diseases_with_other_ids),
            "terms_new": len(self.terms_new),
            "terms_gone": len(self.terms_gone),
            "terms_renamed": len(self.terms_renamed),
        }


def changes_between(before: Knowledge, after: Knowledge) -> Changes:
    """Compare two compiled knowledges.

    A disease is the same one where any id is shared: a first id may change when a better one is mapped to it.
    """
    old, new = profiles(before), profiles(after)
    pairs = _same_diseases(before, after)
    kept = {one for one, _ in pairs}
    reached = {other for _, other in pairs}
    old_terms, new_terms = (
        dict(zip(before.terms, before.labels, strict=True)),
        dict(zip(after.terms, after.labels, strict=True)),
    )
    releases = {
        name: (before.releases.get(name), after.releases.get(name))
        for name in sorted({*before.releases, *after.releases})
        if before.releases.get(name) != after.releases.get(name)
    }
    return Changes(
        versions=(before.version, after.version),
        releases=releases,
        diseases_new=tuple(each.id for n, each in enumerate(after.diseases) if n not in reached),
        diseases_gone=tuple(each.id for n, each in enumerate(before.diseases) if n not in kept),
        diseases_with_other_findings=tuple(after.diseases[b].id for a, b in pairs if old[a] != new[b]),
        diseases_with_other_ids=tuple(
            after.diseases[b].id for a, b in pairs if set(before.diseases[a].ids) != set(after.diseases[b].ids)
        ),
        terms_new=tuple(sorted(new_terms.keys() - old_terms.keys())),
        terms_gone=tuple(sorted(old_terms.keys() - new_terms.keys())),
        terms_renamed=tuple(sorted(t for t in old_terms.keys() & new_terms.keys() if old_terms[t] != new_terms[t])),
    )


def profiles(knowledge: Knowledge) -> list[Profile]:
    """Per disease the set of (term, stated frequency) over all its annotation rows; null where none is stated."""
    found: list[set[tuple[str, float | None]]] = [set() for _ in knowledge.diseases]
    rows = zip(knowledge.row_disease, knowledge.row_term, knowledge.row_share, strict=True)
    for disease, term, share in rows:
        found[int(disease)].add((knowledge.terms[int(term)], None if share != share else float(share)))
    return [frozenset(each) for each in found]


def _same_diseases(before: Knowledge, after: Knowledge) -> list[tuple[int, int]]:
    """(index before, index after) of diseases that share an id, tried in the order of their ids; each used once."""
    used: set[int] = set()
    pairs = []
    for index, disease in enumerate(before.diseases):
        found = [other for each in disease.ids if (other := after.index_of(each)) is not None and other not in used]
        if found:
            used.add(found[0])
            pairs.append((index, found[0]))
    return pairs
