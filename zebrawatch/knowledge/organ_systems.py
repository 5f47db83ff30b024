"""The main organ system of a disease: the branch of the HPO most of its annotations lie in."""

from __future__ import annotations

from collections import Counter

from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.knowledge.ontology import Ontology

PHENOTYPIC_ABNORMALITY = "HP:0000118"


def main_organ_systems(knowledge: Knowledge, ontology: Ontology) -> dict[str, str]:
    """Organ system by every disease id: the child of `Phenotypic abnormality` that most annotated terms lie under.

    Ties go to the lower HPO id. Diseases without annotations are left out.
    """
    branches = sorted(ontology.children(PHENOTYPIC_ABNORMALITY))
    under = [
        [branch for branch in branches if branch in ontology.ancestors(term)] if term in ontology.terms else []
        for term in knowledge.terms
    ]
    counts: dict[int, Counter[str]] = {}
    for disease, term in zip(knowledge.row_disease.tolist(), knowledge.row_term.tolist(), strict=True):
        counts.setdefault(disease, Counter()).update(under[term])
    main = {
        disease: min(found, key=lambda branch: (-found[branch], branch)) for disease, found in counts.items() if found
    }
    return {
        each: ontology.label(branch) for disease, branch in main.items() for each in knowledge.diseases[disease].ids
    }
