"""What goes back into the EHR for a flag that a named clinician confirmed: FHIR R4 resources, and their retraction.

A RiskAssessment says which disease, how likely in a word, on which notes, by which method; a Provenance who made it
and who confirmed it; a Task asks the responsible clinician to read the chart. All three go in one transaction or not at
all.
https://hl7.org/fhir/R4/riskassessment.html, http.html#transaction
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from zebrawatch.errors import ZebrawatchError
from zebrawatch.fhir.decode import WRITTEN_BY_CODE, WRITTEN_BY_SYSTEM
from zebrawatch.reports.risk import BANDS, LEAST_ALERTED, LOWEST

FLAG_SYSTEM = "urn:zebrawatch:flag"
NO_DISCLOSURE = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "code": "NOPAT",
    "display": "no disclosure to patient, family or caregivers without attending provider's authorization",
}
"""Security label by which portals hold a resource back (HL7 v3 ActCode, refrain policy)."""

DISEASE_SYSTEMS = {"OMIM": "http://www.omim.org", "ORPHA": "http://www.orpha.net"}
RISK_SYSTEM = "http://terminology.hl7.org/CodeSystem/risk-probability"
RISKS = (*(word for _, word in BANDS), LOWEST)
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
KINDS = ("RiskAssessment", "Provenance", "Task")


class WriteBackError(ZebrawatchError):
    """A confirmed flag cannot be written to the EHR as it stands."""


@dataclass(frozen=True)
class ConfirmedFlag:
    """A flag that goes to the EHR.

    `key` names it once and for all, across retries: flag, disease and outbox row. `patient_id` is the Patient's id on
    the server, `sources` the ids of the notes and results the disease's score rests on (`DocumentReference/9`),
    `practitioner` a FHIR reference or None. `method` and `model` are versions; `statement` is OUTCOMES' footer.
    """

    key: str
    patient_id: str
    night: date
    confirmed_at: datetime
    disease_id: str
    disease_name: str
    risk: str
    log10_lr: float
    clinician: str
    practitioner: str | None
    sources: tuple[str, ...]
    method: str
    model: str
    statement: str
    to_portals: bool = False
    percentage: float | None = None
    """P(any listed rare disease is confirmed within 24 months), in percent; None until a site may show one."""
    checked_on: str = ""

    def __post_init__(self) -> None:
        if not self.clinician.strip():
            raise WriteBackError(
                "A flag goes to the EHR under the name of the clinician who confirmed it; none is given."
            )
        if self.risk not in RISKS:
            raise WriteBackError(f"'{self.risk}' is no word for a risk that FHIR knows; it knows {', '.join(RISKS)}.")
        if not self.patient_id:
            raise WriteBackError("The flag's patient has no id on the EHR server.")


def write_bundle(flag: ConfirmedFlag) -> dict[str, Any]:
    """The transaction that writes a flag: three conditional creates, so that sending it twice writes once.

    WriteBackError where fhir.resources (R4B) finds a resource not valid.
    """
    risk = f"urn:uuid:{_uuid(flag.key, 'RiskAssessment')}"
    resources = {
        "RiskAssessment": _risk_assessment(flag),
        "Provenance": _provenance(flag, risk),
        "Task": _task(flag, risk),
    }
    entries = [
        {
            "fullUrl": f"urn:uuid:{_uuid(flag.key, kind)}",
            "resource": checked(resource),
            "request": {"method": "POST", "url": kind, "ifNoneExist": where(flag.key)},
        }
        for kind, resource in resources.items()
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def retract_bundle(stored: Sequence[Mapping[str, Any]], key: str, reason: str, now: datetime) -> dict[str, Any] | None:
    """The transaction that marks what was written under `key` as entered in error; None where nothing stands.

    `stored` are the server's RiskAssessment and Task of that key, each put back under the version it was read at.
    """
    standing = [one for one in stored if one.get("status") != "entered-in-error"]
    if not standing:
        return None
    entries: list[dict[str, Any]] = []
    for one in standing:
        retracted = {**one, "status": "entered-in-error"}
        if one["resourceType"] == "Task":
            retracted["statusReason"] = {"text": reason}
        else:
            retracted["note"] = [*one.get("note", ()), {"time": _instant(now), "text": f"Taken back: {reason}."}]
        request = {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}
        version = (one.get("meta") or {}).get("versionId")
        entries.append(
            {
                "resource": checked(retracted),
                "request": {**request, **({"ifMatch": f'W/"{version}"'} if version else {})},
            }
        )
    targets = [{"reference": f"{one['resourceType']}/{one['id']}"} for one in standing]
    retraction = f"{key}/retracted"
    provenance = {
        "resourceType": "Provenance",
        "meta": _meta(retraction, to_portals=False),
        "target": targets,
        "recorded": _instant(now),
        "reason": [{"text": reason}],
        "activity": {"coding": [{"system": OPERATION, "code": "NULLIFY", "display": "nullify"}]},
        "agent": [{"type": _participant("author"), "who": {"display": "Zebrawatch"}}],
    }
    entries.append(
        {
            "fullUrl": f"urn:uuid:{_uuid(retraction, 'Provenance')}",
            "resource": checked(provenance),
            "request": {"method": "POST", "url": "Provenance", "ifNoneExist": where(retraction)},
        }
    )
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def where(key: str) -> str:
    """The search that finds what was written under a key: by its tag, since a Provenance has no identifier."""
    return f"_tag={FLAG_SYSTEM}|{key}"


def written_under(key: str, found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a search's resources that were written under the key: a server may pass over what it does not know."""
    wanted = (FLAG_SYSTEM, key)
    return [
        one
        for one in found
        if wanted in {(tag.get("system"), tag.get("code")) for tag in (one.get("meta") or {}).get("tag", ())}
    ]


def checked(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource, judged by fhir.resources (R4B); WriteBackError names the element that is wrong, not its value."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise WriteBackError(f"The {resource['resourceType']} to write is not valid FHIR at {place}.") from None
    return resource


def _uuid(key: str, kind: str) -> uuid.UUID:
    """The same for the same key, so that a bundle sent again is the same bundle."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{FLAG_SYSTEM}|{key}|{kind}")


def _instant(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _meta(key: str, *, to_portals: bool) -> dict[str, Any]:
    tags = [
        {"system": WRITTEN_BY_SYSTEM, "code": WRITTEN_BY_CODE, "display": "written by Zebrawatch"},
        {"system": FLAG_SYSTEM, "code": key},
    ]
    return {"tag": tags} | ({} if to_portals else {"security": [NO_DISCLOSURE]})


def _identifier(key: str) -> list[dict[str, str]]:
    return [{"system": FLAG_SYSTEM, "value": key}]


def _participant(code: str) -> dict[str, Any]:
    return {"coding": [{"system": PARTICIPANT, "code": code}]}


def _outcome(flag: ConfirmedFlag) -> dict[str, Any]:
    prefix, _, code = flag.disease_id.partition(":")
    system = DISEASE_SYSTEMS.get(prefix)
    coding = [{"system": system, "code": code, "display": flag.disease_name}] if system else []
    return {"coding": coding, "text": flag.disease_name} if coding else {"text": flag.disease_name}


def _clinician(flag: ConfirmedFlag) -> dict[str, str]:
    return {"display": flag.clinician} | ({"reference": flag.practitioner} if flag.practitioner else {})


def _risk_assessment(flag: ConfirmedFlag) -> dict[str, Any]:
    patient = {"reference": f"Patient/{flag.patient_id}"}
    device = {
        "resourceType": "Device",
        "id": "zebrawatch",
        "deviceName": [{"name": "Zebrawatch", "type": "model-name"}],
        "version": [{"value": flag.method}, {"value": f"model {flag.model}"}],
    }
    return {
        "resourceType": "RiskAssessment",
        "meta": _meta(flag.key, to_portals=flag.to_portals),
        "text": _narrative(flag),
        "contained": [device],
        "identifier": _identifier(flag.key),
        "status": "final",
        "method": {"text": f"Zebrawatch {flag.method}; model {flag.model}"},
        "code": {"text": "Screen for listed rare diseases over the patient's record"},
        "subject": patient,
        "occurrenceDateTime": flag.night.isoformat(),
        "performer": {"reference": "#zebrawatch"},
        "basis": [{"reference": source} for source in flag.sources],
        "prediction": [
            {
                "outcome": _outcome(flag),
                "qualitativeRisk": {"coding": [{"system": RISK_SYSTEM, "code": _word(flag)}]},
                "rationale": (
                    f"log10 likelihood ratio {flag.log10_lr:.2f} against this hospital's own patients; the word is no "
                    f"calibrated probability, and at least '{LEAST_ALERTED}' for what a clinician confirmed."
                ),
            },
            *_any_disease(flag),
        ],
        "note": [{"time": _instant(flag.confirmed_at), "text": flag.statement}],
    } | ({} if flag.sources else {"basis": [patient]})


def _word(flag: ConfirmedFlag) -> str:
    """The word for the disease's own share; `negligible` would contradict the clinician who found it plausible."""
    return LEAST_ALERTED if flag.risk == LOWEST else flag.risk


def _any_disease(flag: ConfirmedFlag) -> list[dict[str, Any]]:
    """What was calibrated is the risk of any listed disease, not of this one: a prediction of its own."""
    if flag.percentage is None:
        return []
    return [
        {
            "outcome": {"text": "Any listed rare disease, confirmed within 24 months"},
            "probabilityDecimal": float(f"{flag.percentage:.2g}"),  # in percent (RiskAssessment, invariant ras-2)
            "rationale": f"Calibrated on this site's own confirmed cases ({flag.checked_on}).",
        }
    ]


def _narrative(flag: ConfirmedFlag) -> dict[str, str]:
    from xml.sax.saxutils import escape

    words = (
        f"Rare-disease screen of {flag.night}: {flag.disease_name}, risk {_word(flag)}. Chart read and flag confirmed "
        f"by {flag.clinician}. {flag.statement}"
    )
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(words)}</p></div>'}


def _provenance(flag: ConfirmedFlag, risk: str) -> dict[str, Any]:
    device = {"reference": risk, "display": "Zebrawatch (the device contained in the RiskAssessment)"}
    return {
        "resourceType": "Provenance",
        "meta": _meta(flag.key, to_portals=flag.to_portals),
        "target": [{"reference": risk}],
        "occurredDateTime": flag.night.isoformat(),
        "recorded": _instant(flag.confirmed_at),
        "activity": {"coding": [{"system": OPERATION, "code": "CREATE", "display": "create"}]},
        "agent": [
            {"type": _participant("assembler"), "who": {"display": device["display"]}},
            {"type": _participant("verifier"), "who": _clinician(flag)},
        ],
        "entity": [{"role": "source", "what": {"reference": source}} for source in flag.sources],
    } | ({} if flag.sources else {"entity": [{"role": "source", "what": {"reference": f"Patient/{flag.patient_id}"}}]})


def _task(flag: ConfirmedFlag, risk: str) -> dict[str, Any]:
    owner = {"owner": _clinician(flag)} if flag.practitioner else {}
    return {
        "resourceType": "Task",
        "meta": _meta(flag.key, to_portals=flag.to_portals),
        "identifier": _identifier(flag.key),
        "status": "requested",
        "intent": "proposal",
        "priority": "routine",
        "code": {"text": "Review the chart for a rare disease"},
        "description": f"Please review the chart for {flag.disease_name}. {flag.statement}",
        "focus": {"reference": risk},
        "for": {"reference": f"Patient/{flag.patient_id}"},
        "authoredOn": _instant(flag.confirmed_at),
        **owner,
    }
