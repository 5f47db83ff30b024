"""Common conditions as competing explanations: what most charts are about.

They take part in the posterior beside the rare diseases and `none of them`, so that diabetes with its usual company
does not look like a syndrome. They are never listed as candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from zebrawatch.evidence.likelihoods import Pooled
from zebrawatch.knowledge.annotations import CATEGORY_FREQUENCY
from zebrawatch.knowledge.diseases import Knowledge

_CLASS = {
    "V": CATEGORY_FREQUENCY["very frequent"],
    "F": CATEGORY_FREQUENCY["frequent"],
    "O": CATEGORY_FREQUENCY["occasional"],
}


class CommonCondition(NamedTuple):
    """One common condition."""

    name: str
    prevalence: float
    """Share of hospital patients: an order of magnitude."""
    findings: tuple[tuple[str, float], ...]
    """HPO id and frequency."""
    source: str


def _read() -> tuple[CommonCondition, ...]:
    found = []
    text = files(__package__).joinpath("common_conditions.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith(("#", "name\t")):
            continue
        name, prevalence, findings, source = line.split("\t")
        pairs = (each.split(" ") for each in findings.split("; "))
        found.append(
            CommonCondition(name, float(prevalence), tuple((hpo_id, _CLASS[mark]) for mark, hpo_id in pairs), source)
        )
    return tuple(found)


COMMON_CONDITIONS = _read()


def pooled_conditions(knowledge: Knowledge) -> Pooled:
    """Frequencies of the common conditions, numbered from 0 in the order of `COMMON_CONDITIONS`."""
    found = sorted(
        (number, term, share)
        for number, condition in enumerate(COMMON_CONDITIONS)
        for hpo_id, share in condition.findings
        if (term := knowledge.term_index(hpo_id)) is not None
    )
    return Pooled(
        np.array([each[0] for each in found], np.int32),
        np.array([each[1] for each in found], np.int32),
        np.array([each[2] for each in found], np.float64),
    )


def explainers(hpo_id: str, knowledge: Knowledge) -> frozenset[str]:
    """Names of the common conditions that list a finding, or what it is a kind of."""
    term = knowledge.term_index(hpo_id)
    above = {knowledge.terms[each] for each in knowledge.ancestors(term)} if term is not None else set()
    return frozenset(one.name for one in COMMON_CONDITIONS if not above.isdisjoint(hpo for hpo, _ in one.findings))


def explained_by(name: str, contributions: Iterable[Mapping[str, Any]], knowledge: Knowledge) -> tuple[str, ...]:
    """Labels of the present findings of a score (schemas.CONTRIBUTION) that a common condition lists."""
    found = {one["hpo_id"]: one["label"] for one in contributions if one["assertion"] == "present"}
    return tuple(label for hpo_id, label in found.items() if name in explainers(hpo_id, knowledge))
