"""Coded diagnoses and findings to HPO terms, and to the diseases that may explain them.

SNOMED CT and ICD-10 codes by the cross-references HPO itself carries, ICD-10-CM codes by `icd10cm_findings.tsv`, HPO's
own codes as they are, and what a code's display says where it is word for word the name or an exact synonym of a term.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from zebrawatch.errors import KnowledgeError
from zebrawatch.evidence import labs
from zebrawatch.evidence.labs import EventFields, EventFinding
from zebrawatch.evidence.tables import raw, rows
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology

# What a resource's status says about the finding (Condition.verificationStatus and its kin).
_ASSERTIONS = {
    "refuted": "negated",
    "unconfirmed": "uncertain",
    "provisional": "uncertain",
    "differential": "uncertain",
}
_GONE = frozenset(("entered-in-error", "cancelled", "not-done"))

# Where a code says something about the patient, not what was done to them.
_ABOUT_PATIENT = frozenset(("Condition", "Observation", "DiagnosticReport"))
_REASONS = frozenset(("Encounter", "Procedure", "ServiceRequest", "MedicationRequest"))

_TAG = re.compile(r"\s*\((?:disorder|finding|morphologic abnormality|situation|observable entity)\)\s*\Z")


@dataclass(frozen=True)
class CodeMap:
    """Codes and names of findings. It pickles, so it can go to Spark workers."""

    by_code: Mapping[str, str]
    """MEDS code -> HPO id."""
    by_name: Mapping[str, str]
    """Name or exact synonym in small letters -> HPO id."""
    diseases: Mapping[str, str]
    """MEDS code of ICD-10-CM -> MONDO id with the same meaning."""
    version: str
    """Digest of all that."""

    @classmethod
    def build(cls, ontology: Ontology, mondo_icd10cm: Path | None = None) -> CodeMap:
        """From HPO's cross-references and names; `mondo_icd10cm` is MONDO's SSSOM file of exact matches to ICD-10-CM.

        KnowledgeError where that file is none.
        """
        by_code = _cross_references(ontology)
        by_name = _names(ontology)
        diseases = dict(_mondo(mondo_icd10cm)) if mondo_icd10cm is not None else {}
        digest = hashlib.sha256(raw("icd10cm_findings.tsv").encode())
        for table in (by_code, by_name, diseases):
            digest.update("\n".join(f"{key}\t{value}" for key, value in sorted(table.items())).encode())
        return cls(by_code, by_name, diseases, f"codes@{digest.hexdigest()[:12]}")

    def term_of(self, code: str, display: str | None) -> str | None:
        """The HPO term a code or its display means; None where neither tells."""
        found = self.by_code.get(code)
        if found is None and code.startswith("ICD10"):
            found = self._of_icd10(code.partition("//")[2])
        if found is None and display:
            found = self.by_name.get(_TAG.sub("", display).strip().lower())
        return found

    def _of_icd10(self, code: str) -> str | None:
        """By WHO's code or ICD-10-CM's (national editions keep WHO's), with or without the dot; a code that is not
        listed means what the nearest listed category above it says (G40.119: G40, epilepsy)."""
        bare = code.strip().upper().replace(".", "")
        while len(bare) >= 3:
            dotted = f"{bare[:3]}.{bare[3:]}" if len(bare) > 3 else bare
            found = self.by_code.get(f"ICD10CM//{dotted}") or self.by_code.get(f"ICD10//{dotted}")
            if found is not None:
                return found
            bare = bare[:-1]
        return None

    def disease_of(self, code: str) -> str | None:
        """The MONDO disease a code means: a name for what may explain findings; None where MONDO has no exact match."""
        return self.diseases.get(code)

    def findings_of_event(self, event: EventFields) -> list[EventFinding]:
        """Findings of a coded event: diagnoses, coded results and conclusions, reasons of visits and orders."""
        if event.relationship or event.status in _GONE:
            return []
        if event.resource_type not in _ABOUT_PATIENT and not (
            event.resource_type in _REASONS and event.category == "reason"
        ):
            return []
        if event.resource_type == "Observation" and event.category != "value":
            return []
        if event.category == "note":
            return []
        term = self.term_of(event.code, event.display)
        if term is None:
            return []
        assertion = _ASSERTIONS.get(event.status or "", "present")
        return [EventFinding(term, assertion, event.display or event.code, "code", 1)]


def findings_of_event(
    event: EventFields, code_map: CodeMap, birth_date: date | None = None, sex: str | None = None
) -> list[EventFinding]:
    """All findings of one event: from its value (zebrawatch.evidence.labs) and from its codes."""
    return [*labs.findings_of_event(event, birth_date, sex), *code_map.findings_of_event(event)]


def _cross_references(ontology: Ontology) -> dict[str, str]:
    found: dict[str, str] = {}
    systems = {"SNOMEDCT_US": "SNOMED", "ICD-10": "ICD10", "ICD10": "ICD10"}
    for term_id in sorted(ontology.descendants(PHENOTYPIC_ABNORMALITY)):
        found[f"HPO//{term_id}"] = term_id
        for reference in ontology.terms[term_id].xrefs:
            system, _, code = reference.partition(":")
            if system in systems and code:
                found.setdefault(f"{systems[system]}//{code}", term_id)
    for retired, live in ontology.retired.items():
        if f"HPO//{live}" in found:
            found[f"HPO//{retired}"] = found[f"HPO//{live}"]
    for row in rows("icd10cm_findings.tsv"):
        term = ontology.resolve(row["hpo_id"])
        if term is not None:
            found[f"ICD10CM//{row['icd10cm']}"] = term
    return found


def _names(ontology: Ontology) -> dict[str, str]:
    """Names, then exact synonyms of four letters or more that name one term only."""
    terms = [ontology.terms[term_id] for term_id in sorted(ontology.descendants(PHENOTYPIC_ABNORMALITY))]
    found = {term.name.lower(): term.id for term in terms}
    synonyms: dict[str, set[str]] = {}
    for term in terms:
        for synonym in term.synonyms:
            if synonym.scope == "EXACT" and synonym.kind != "abbreviation" and len(synonym.text) >= 4:
                synonyms.setdefault(synonym.text.lower(), set()).add(term.id)
    for text, ids in synonyms.items():
        if len(ids) == 1:
            found.setdefault(text, next(iter(ids)))
    return found


def _mondo(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line.split("\t") for line in text.decode("utf-8").splitlines() if not line.startswith("#")]
        subject, target = lines[0].index("subject_id"), lines[0].index("object_id")
        for cells in lines[1:]:
            if cells[target].upper().startswith("ICD10CM:"):
                yield f"ICD10CM//{cells[target].partition(':')[2]}", cells[subject]
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise KnowledgeError(
            f"{path} cannot be read as a MONDO mapping file (SSSOM): {type(error).__name__}."
        ) from None
