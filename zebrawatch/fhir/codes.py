"""Codes of FHIR as MEDS codes: `SYSTEM//CODE`."""

from __future__ import annotations

# FHIR's code system addresses (https://hl7.org/fhir/R4/terminologies-systems.html) and the OIDs of the same systems
# (https://oid-rep.orange-labs.fr, HL7's registry), with the short name MEDS data sets use.
_SYSTEMS: dict[str, tuple[str, ...]] = {
    "LOINC": ("http://loinc.org", "urn:oid:2.16.840.1.113883.6.1"),
    "SNOMED": ("http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"),
    "ICD10CM": ("http://hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90"),
    "ICD10": ("http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.3"),
    "ICD10GM": ("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://fhir.de/CodeSystem/dimdi/icd-10-gm"),
    "ICD10PCS": (
        "http://www.cms.gov/Medicare/Coding/ICD10",
        "http://hl7.org/fhir/sid/icd-10-pcs",
        "urn:oid:2.16.840.1.113883.6.4",
    ),
    "ICD9CM": ("http://hl7.org/fhir/sid/icd-9-cm", "urn:oid:2.16.840.1.113883.6.103"),
    "ICD11": ("http://id.who.int/icd/release/11/mms", "http://hl7.org/fhir/sid/icd-11"),
    "RXNORM": ("http://www.nlm.nih.gov/research/umls/rxnorm", "urn:oid:2.16.840.1.113883.6.88"),
    "NDC": ("http://hl7.org/fhir/sid/ndc", "urn:oid:2.16.840.1.113883.6.69"),
    "ATC": ("http://www.whocc.no/atc", "urn:oid:2.16.840.1.113883.6.73"),
    "CVX": ("http://hl7.org/fhir/sid/cvx", "urn:oid:2.16.840.1.113883.12.292"),
    "CPT4": ("http://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12"),
    "HCPCS": ("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "urn:oid:2.16.840.1.113883.6.285"),
    "HPO": (
        "http://human-phenotype-ontology.org",
        "http://purl.obolibrary.org/obo/hp.owl",
        "http://purl.obolibrary.org/obo/hp.fhir",
    ),
    "ORPHA": ("http://www.orpha.net", "https://www.orpha.net", "http://www.orphacode.org"),
    "OMIM": ("http://www.omim.org", "https://www.omim.org", "https://omim.org", "http://omim.org"),
    "MONDO": ("http://purl.obolibrary.org/obo/mondo.owl", "http://purl.obolibrary.org/obo/mondo.fhir"),
    "HGNC": ("http://www.genenames.org", "http://www.genenames.org/geneId"),
}


class _Prefixes(dict[str, str]):
    """By address of a system, what stands before its codes; a site's own addresses are few."""

    def __missing__(self, system: str) -> str:
        prefix = f"{_NAMES.get(system) or _NAMES.get(system.rstrip('/'), system)}//"
        if len(self) < 10_000:  # addresses made of numbers must not fill the memory
            self[system] = prefix
        return prefix


_NAMES: dict[str, str] = {uri: name for name, uris in _SYSTEMS.items() for uri in uris}
_PREFIXES = _Prefixes({"": "LOCAL//"})


def meds_code(system: str | None, code: str) -> str:
    """`SYSTEM//CODE`: a short name for the systems above, the address itself for any other, `LOCAL` where none is
    given.
    """
    return _PREFIXES[system or ""] + code
