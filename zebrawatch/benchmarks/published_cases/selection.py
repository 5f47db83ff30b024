"""Which published cases are rendered: those that state at least two ages of onset, in order after validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from zebrawatch.benchmarks.cases import CaseError, read_records, years
from zebrawatch.knowledge.diseases import ONSET_YEARS

PRENATAL = {"HP:0011461", "HP:0034197", "HP:0034198", "HP:0034199", "HP:0030674"}
"""Onset before birth (fetal, trimesters, antenatal): first seen at birth."""
FEWEST_AGES = 2


class DatedFinding(NamedTuple):
    """A finding, and the age in years at which it began; None where the paper does not say."""

    hpo_id: str
    age: float | None


@dataclass(frozen=True)
class PublishedCase:
    """A case that can be rendered."""

    id: str
    papers: frozenset[str]
    disease_id: str
    sex: str
    """female, male or unknown."""
    last: float
    """Age in years at the last encounter, else at the last onset."""
    findings: tuple[DatedFinding, ...]
    excluded: tuple[str, ...]

    @property
    def first(self) -> float:
        """Age at the first dated finding."""
        return min(finding.age for finding in self.findings if finding.age is not None)


@dataclass(frozen=True)
class Selection:
    """The cases, and how many records and findings were set aside, by reason."""

    cases: tuple[PublishedCase, ...]
    read: int
    set_aside: Mapping[str, int]


def read_published(path: Path, *, seed: int) -> Selection:
    """Cases with at least two ages of onset in a file or folder of phenopackets; CaseError where there is none.

    An onset class (`Childhood onset`) becomes an age drawn uniformly from its range, by seed and case. An onset after
    the age at the last encounter contradicts the record: that finding counts as undated. Gestational ages are birth.
    """
    cases: list[PublishedCase] = []
    aside: Counter[str] = Counter()
    read = 0
    for where, record in read_records(path):
        read += 1
        try:
            case = _case(record, seed, aside)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise CaseError(f"{where} is no phenopacket.") from None
        if case is not None:
            cases.append(case)
    if not cases:
        raise CaseError(f"{path} holds no case with {FEWEST_AGES} ages of onset.")
    return Selection(tuple(sorted(cases, key=lambda case: case.id)), read, dict(sorted(aside.items())))


def _case(record: Any, seed: int, aside: Counter[str]) -> PublishedCase | None:
    features = record.get("phenotypicFeatures") or []
    if len({repr(feature["onset"]) for feature in features if feature.get("onset")}) < FEWEST_AGES:
        aside["cases with fewer than two ages of onset"] += 1
        return None
    subject = record.get("subject") or {}
    stated = years(((subject.get("timeAtLastEncounter") or {}).get("age") or {}).get("iso8601duration"))
    random = Random(f"{seed}|onset|{record['id']}")
    found: dict[str, float | None] = {}
    excluded = []
    for feature in features:
        term = str(feature["type"]["id"])
        if feature.get("excluded"):
            excluded.append(term)
            continue
        age = _onset(feature.get("onset"), random, stated)
        if age is not None and stated is not None and age > stated:
            aside["onsets after the last encounter"] += 1
            age = None
        earlier = found.get(term)
        found[term] = age if earlier is None else earlier if age is None else min(age, earlier)
    findings = tuple(DatedFinding(term, age) for term, age in found.items())
    ages = {finding.age for finding in findings if finding.age is not None}
    if len(ages) < FEWEST_AGES:
        aside["cases whose ages of onset are one after validation"] += 1
        return None
    diagnoses = [each["diagnosis"]["disease"]["id"] for each in record["interpretations"] if "diagnosis" in each]
    references = (record.get("metaData") or {}).get("externalReferences") or []
    return PublishedCase(
        id=str(record["id"]),
        papers=frozenset(str(each["id"]) for each in references if each.get("id")),
        disease_id=str(diagnoses[0]),
        sex={"MALE": "male", "FEMALE": "female"}.get(str(subject.get("sex")), "unknown"),
        last=max(ages) if stated is None else stated,
        findings=findings,
        excluded=tuple(dict.fromkeys(excluded)),
    )


def _onset(onset: Mapping[str, Any] | None, random: Random, last: float | None) -> float | None:
    if not onset:
        return None
    if "age" in onset:
        return years(onset["age"].get("iso8601duration"))
    if "gestationalAge" in onset:
        return 0.0
    term = (onset.get("ontologyClass") or {}).get("id")
    if term in PRENATAL:
        return 0.0
    if term not in ONSET_YEARS:
        return None
    low, high = ONSET_YEARS[term]
    return random.uniform(low, high if last is None or last < low else min(high, last))
