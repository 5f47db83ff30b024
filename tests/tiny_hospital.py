"""A tiny made hospital in FHIR NDJSON: few patients, few nights, every line written here. Made data."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MARFAN = "OMIM:154700"
FIRST, LAST = "2025-01-15", "2025-03-06"  # named later than 30 days after entry: else a case would be prevalent


def patient(name: str, sex: str = "female", born: str = "2012-05-04") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "gender": sex, "birthDate": born}


def note(name: str, subject: str, day: str, text: str, **more: Any) -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": f"Patient/{subject}"},
        "date": f"{day}T10:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        **more,
    }


def condition(name: str, subject: str, day: str, text: str, status: str = "confirmed") -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    return {
        "resourceType": "Condition",
        "id": name,
        "verificationStatus": {"coding": [{"system": system, "code": status}]},
        "code": {"text": text},
        "subject": {"reference": f"Patient/{subject}"},
        "recordedDate": f"{day}T11:00:00Z",
    }


def resources() -> list[dict[str, Any]]:
    """A girl whose chart comes to look like Marfan syndrome, named on the last night; three who have nothing."""
    return [
        patient("maria"),
        patient("carla", born="2010-01-01"),
        patient("paul", "male", "1960-02-03"),
        patient("otto", "male", "1971-07-08"),
        note("m0", "maria", "2025-01-15", "Well-child visit. Immunisations complete. Eats and sleeps well."),
        note(
            "m1",
            "maria",
            "2025-03-01",
            "Clinic: tall stature with long slender fingers. No seizures. Mother has migraine.",
        ),
        note(
            "m2",
            "maria",
            "2025-03-03",
            "Eyes: ectopia lentis on both sides, high myopia. Arachnodactyly. Pectus excavatum.",
        ),
        note(
            "m3",
            "maria",
            "2025-03-04",
            "Echo: aortic root aneurysm. Scoliosis and joint hypermobility. Striae distensae.",
        ),
        note("copy", "maria", "2025-03-05", "Eyes: ectopia lentis on both sides, high myopia. Nothing new today."),
        note("m4", "maria", "2025-03-06", "Impression: Marfan syndrome, to be confirmed. Arachnodactyly as before."),
        condition("m5", "maria", "2025-03-06", "Marfan syndrome"),
        note("c1", "carla", "2025-03-01", "Sore throat for three days. Fever. No rash. Paracetamol."),
        note("c2", "carla", "2025-03-05", "Well again. Mother asks about headache; neurological examination normal."),
        note("p1", "paul", "2025-03-02", "Hypertension follow-up. Type 2 diabetes mellitus. No chest pain."),
        note("o1", "otto", "2025-03-04", "Low back pain after lifting. Straight leg raise negative."),
    ]


LABELS = f"patient,disease_id,suspected,confirmed\nmaria,{MARFAN},2025-03-06,2025-03-06\n"


def write(folder: Path, rows: Iterable[Mapping[str, Any]] | None = None, labels: str = LABELS, **raw: bytes) -> Path:
    """Write resources as one NDJSON file a type; `raw` adds bytes to the file of a type."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, bytes] = {}
    for row in resources() if rows is None else rows:
        kind = row["resourceType"]
        lines[kind] = lines.get(kind, b"") + json.dumps(row).encode() + b"\n"
    for kind, more in raw.items():
        lines[kind] = lines.get(kind, b"") + more
    for kind, content in lines.items():
        (folder / f"{kind}.ndjson").write_bytes(content)
    (folder / "data_kind.json").write_text(json.dumps({"kind": "made"}))
    if labels:
        (folder / "labels.csv").write_text(labels)
    return folder
