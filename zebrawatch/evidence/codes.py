"""Coded diagnoses and findings to HPO terms; common diagnoses are terms too, which speak for common explanations.

SNOMED CT and ICD-10 codes by the cross-references HPO itself carries, ICD-10-CM codes by `icd10cm_findings.tsv`, HPO's
own codes as they are, and what a code's display says where it is word for word the name or an exact synonym of a term.
Codes of rare diseases are no findings: they name the disease (zebrawatch.screen.naming).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

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
    version: str
    """Digest of all that."""

    @classmethod
    def build(cls, ontology: Ontology) -> CodeMap:
        """From HPO's cross-references and names, and the table of ICD-10-CM."""
        by_code = _cross_references(ontology)
        by_name = _names(ontology)
        digest = hashlib.sha256(raw("icd10cm_findings.tsv").encode())
        for table in (by_code, by_name):
            digest.update("\n".join(f"{key}\t{value}" for key, value in sorted(table.items())).encode())
        return cls(by_code, by_name, f"codes@{digest.hexdigest()[:12]}")

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
