"""A ranking as a GA4GH phenopacket (schema 2.0), so that Exomiser or LIRICAL can take over.

Findings become `phenotypicFeatures` with their evidence, ranked diseases `interpretations` in progress; quotes stay
out unless asked for, since a phenopacket leaves the lake. Format: phenopacket-schema.readthedocs.io, version 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from zebrawatch.evidence.explanation import Ranking
from zebrawatch.evidence.ranking import Evidence, Person
from zebrawatch.knowledge.diseases import Knowledge

SCHEMA = "2.0"
STATEMENT = (
    "Screening aid, not a diagnosis and not a cleared medical device; a clinician must review the chart. "
    "No flag does not mean no rare disease."
)
_SEX = {"male": "MALE", "female": "FEMALE", "other": "OTHER_SEX"}
_ORIGIN = {
    "text": ("ECO:0000501", "evidence used in automatic assertion"),
    "measurement": ("ECO:0000501", "evidence used in automatic assertion"),
    "lab": ("ECO:0000501", "evidence used in automatic assertion"),
    "code": ("ECO:0000501", "evidence used in automatic assertion"),
}


def phenopacket(
    packet_id: str,
    subject: str,
    evidence: Sequence[Evidence],
    person: Person,
    ranking: Ranking,
    knowledge: Knowledge,
    *,
    created: datetime,
    with_quotes: bool = False,
) -> dict[str, Any]:
    """The findings and ranked diseases of one patient as a phenopacket, ready for `json.dumps`.

    Findings are grouped by term, present before denied; other assertions and unknown terms are left out. `subject` is a
    pseudonym: nothing else identifies the patient (birth date is given as the age at the last finding). ValueError
    where `created` has no time zone.
    """
    if created.tzinfo is None:
        raise ValueError("the time of creation needs a time zone")
    individual: dict[str, Any] = {"id": subject, "sex": _SEX.get(person.sex or "", "UNKNOWN_SEX")}
    age = _age(evidence, person)
    if age is not None:
        individual["timeAtLastEncounter"] = {"age": {"iso8601duration": age}}
    return {
        "id": packet_id,
        "subject": individual,
        "phenotypicFeatures": _features(evidence, knowledge, with_quotes),
        "interpretations": [
            {
                "id": f"{packet_id}-{entry.rank}",
                "progressStatus": "IN_PROGRESS",
                "diagnosis": {"disease": {"id": entry.disease_id, "label": entry.disease_name}},
                "summary": _summary(entry.log10_lr, entry.rank),
            }
            for entry in ranking.entries
        ],
        "metaData": _metadata(knowledge, created),
    }


def _features(evidence: Sequence[Evidence], knowledge: Knowledge, with_quotes: bool) -> list[dict[str, Any]]:
    mentions: dict[tuple[int, bool], list[Evidence]] = {}
    for mention in evidence:
        term = knowledge.term_index(mention.hpo_id)
        if term is not None and mention.assertion in ("present", "negated"):
            mentions.setdefault((term, mention.assertion == "negated"), []).append(mention)
    present = {term for term, denied in mentions if not denied}
    features = []
    for (term, denied), found in sorted(mentions.items()):
        if denied and term in present:
            continue
        first = min(found, key=lambda each: (str(each.known_night or "9"), each.source_id, each.start or -1))
        code, label = _ORIGIN.get(first.origin, _ORIGIN["text"])
        reference = {"id": first.source_id, **({"description": first.quote} if with_quotes and first.quote else {})}
        feature: dict[str, Any] = {
            "type": {"id": knowledge.terms[term], "label": knowledge.labels[term]},
            "evidence": [{"evidenceCode": {"id": code, "label": label}, "reference": reference}],
        }
        if denied:
            feature["excluded"] = True
        features.append(feature)
    return features


def _summary(log10_lr: float, rank: int) -> str:
    return f"rank {rank}, log10 likelihood ratio {log10_lr:.2f}; {STATEMENT}"


def _age(evidence: Sequence[Evidence], person: Person) -> str | None:
    times = [each.event_time.date() for each in evidence if each.event_time is not None]
    if person.birth_date is None or not times or max(times) < person.birth_date:
        return None
    months = (max(times).year - person.birth_date.year) * 12 + max(times).month - person.birth_date.month
    months -= max(times).day < person.birth_date.day
    return f"P{months // 12}Y{months % 12}M"


def _metadata(knowledge: Knowledge, created: datetime) -> dict[str, Any]:
    resources = [
        _resource("hp", "human phenotype ontology", "http://purl.obolibrary.org/obo/hp.owl", knowledge.releases["hpo"],
                  "HP", "http://purl.obolibrary.org/obo/HP_"),
        _resource("eco", "Evidence and Conclusion Ontology", "http://purl.obolibrary.org/obo/eco.owl", "unversioned",
                  "ECO", "http://purl.obolibrary.org/obo/ECO_"),
        _resource("omim", "Online Mendelian Inheritance in Man", "https://www.omim.org", knowledge.releases["hpoa"],
                  "OMIM", "https://www.omim.org/entry/"),
        _resource("ordo", "Orphanet", "https://www.orpha.net", knowledge.releases.get("orphanet", "none"),
                  "ORPHA", "https://www.orpha.net/en/disease/detail/"),
    ]  # fmt: skip
    return {
        "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "createdBy": "Zebrawatch",
        "resources": resources,
        "phenopacketSchemaVersion": SCHEMA,
    }


def _resource(key: str, name: str, url: str, version: str, prefix: str, iri: str) -> dict[str, str]:
    return {"id": key, "name": name, "url": url, "version": version, "namespacePrefix": prefix, "iriPrefix": iri}
