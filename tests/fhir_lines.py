"""Made FHIR lines for the tests of the decoder, and its rows as plain dictionaries."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from zebrawatch.fhir.decode import KINDS, DecodeContext, decode_lines

PULLED = datetime(2025, 6, 2, 4, 0, tzinfo=UTC)


def context(**changed: Any) -> DecodeContext:
    """A site in Berlin that pulled on 2 June 2025; no resource is sampled for conformance unless asked."""
    settings: dict[str, Any] = {
        "pull": "pull-1", "site_key": b"made key", "zone": "Europe/Berlin", "pulled_at": PULLED, "validate_share": 0.0,
    }  # fmt: skip
    return DecodeContext(**{**settings, **changed})


def b64(data: str | bytes) -> str:
    """Base64 of text or bytes."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def decoded(
    lines: Iterable[dict[str, Any] | bytes], used: DecodeContext | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows by kind of resources (or raw lines); asserts that no line is lost."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    counted = 0
    for batch in decode_lines(enumerate(raw, 1), "made.ndjson", used or context()):
        batch.validate(full=True)
        counted += sum(batch["lines"].to_pylist())
        for kind, lines_of_row, *structs in zip(
            batch["kind"].to_pylist(),
            batch["lines"].to_pylist(),
            *(batch[name].to_pylist() for name in KINDS),
            strict=True,
        ):
            row = dict(zip(KINDS, structs, strict=True))[kind]
            rows[kind].append({**row, "lines": lines_of_row})
    assert counted == len(raw)
    return rows


def one(kind: str, resource: dict[str, Any] | bytes, used: DecodeContext | None = None) -> dict[str, Any]:
    """The only row of `kind` that a resource gives."""
    rows = decoded([resource], used)
    assert len(rows[kind]) == 1, rows["quarantine"]
    return rows[kind][0]


def reason(resource: dict[str, Any] | bytes, used: DecodeContext | None = None) -> str:
    """Why a resource goes to quarantine; nothing else may come of it."""
    rows = decoded([resource], used)
    assert [kind for kind, found in rows.items() if found] == ["quarantine"]
    return str(rows["quarantine"][0]["reason"])


def note(**changed: Any) -> dict[str, Any]:
    """A usable DocumentReference."""
    return {
        "resourceType": "DocumentReference",
        "id": "n1",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": "Patient/p1"},
        "date": "2025-05-30T09:15:00+02:00",
        "author": [{"reference": "Practitioner/d1"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": b64("Seizures since infancy.")}}],
        "context": {"encounter": [{"reference": "Encounter/e1"}]},
        **changed,
    }


def lab(**changed: Any) -> dict[str, Any]:
    """A usable Observation."""
    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2157-6", "display": "Creatine kinase"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2025-05-30T08:00:00+02:00",
        "issued": "2025-05-30T12:00:00+02:00",
        "valueQuantity": {"value": 4200, "unit": "U/L", "code": "U/L"},
        "interpretation": [{"coding": [{"code": "H"}]}],
        "referenceRange": [{"low": {"value": 30, "unit": "U/L"}, "high": {"value": 200, "unit": "U/L"}}],
        **changed,
    }
