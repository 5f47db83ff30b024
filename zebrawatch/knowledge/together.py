"""Whether files of several releases belong together: annotations must speak of terms the ontology has."""

from __future__ import annotations

from typing import NamedTuple

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.annotations import read_hpoa
from zebrawatch.knowledge.diseases import KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology

MOST_UNKNOWN = 0.01
"""Share of annotation rows whose term the ontology may lack."""


class Unknown(NamedTuple):
    """Annotation rows, and those whose term the ontology neither has nor leads forward."""

    rows: int
    unknown: int


def check_together(files: KnowledgeFiles, ontology: Ontology) -> Unknown:
    """Count the rows of phenotype.hpoa that the ontology cannot place: they count for no disease.

    KnowledgeError where they are more than one in a hundred: the ontology is of another, older release.
    """
    release, rows = read_hpoa(files.phenotype_hpoa)
    unknown = sum(ontology.resolve(row.hpo_id) is None for row in rows)
    if unknown > MOST_UNKNOWN * len(rows):
        raise KnowledgeError(
            f"{files.phenotype_hpoa} ({release}) and {files.hp_obo} ({ontology.release}) are of different releases: "
            f"{unknown:,} of {len(rows):,} annotations speak of terms the ontology does not have; take both of one "
            "release."
        )
    return Unknown(len(rows), unknown)
