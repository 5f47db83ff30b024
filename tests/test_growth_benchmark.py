"""The growth benchmark's hospitals: copies are patients of their own, updates hold what they promise. Made data."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any

from connectors.folder import pull_folder
from pipelines.commands.growth_benchmark import FIRST_POLLED, multiply, write_update

PATIENT = {"resourceType": "Patient", "id": "pt-0123456789ab"}
NOTE = {
    "resourceType": "DocumentReference",
    "id": "doc-ba9876543210",
    "subject": {"reference": "Patient/pt-0123456789ab"},
    "content": [{"attachment": {"data": base64.b64encode(b"No fever.").decode()}}],
}

LOG = [
    {"eventId": "kickoff", "eventDetail": {}},
    {"eventId": "status_complete", "eventDetail": {"transactionTime": "2025-07-01T00:00:00Z"}},
    *(
        {"eventId": "download_complete", "eventDetail": {"fileUrl": f"{name}.ndjson", "resourceCount": 1}}
        for name in ("Patient", "DocumentReference")
    ),
    {"eventId": "export_complete", "eventDetail": {"files": 2, "resources": 2}},
]


def hospital(folder: Path) -> Path:
    folder.mkdir()
    for resource in (PATIENT, NOTE):
        (folder / f"{resource['resourceType']}.ndjson").write_text(json.dumps(resource, separators=(",", ":")) + "\n")
    (folder / "data_kind.json").write_text('{"kind": "made"}')
    (folder / "log.ndjson").write_text("".join(json.dumps(one) + "\n" for one in LOG))
    return folder


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_copy_has_patients_and_texts_of_its_own(tmp_path: Path) -> None:
    out = multiply(hospital(tmp_path / "base"), tmp_path / "out", 3)
    patients, notes = read(out / "Patient.ndjson"), read(out / "DocumentReference.ndjson")
    assert len({one["id"] for one in patients}) == len({one["id"] for one in notes}) == 3
    assert {one["subject"]["reference"] for one in notes} == {f"Patient/{one['id']}" for one in patients}
    texts = {base64.b64decode(one["content"][0]["attachment"]["data"]) for one in notes}
    assert len(texts) == 3 and all(text.startswith(b"No fever.") for text in texts)


def test_all_copies_were_exported_before_the_first_night(tmp_path: Path) -> None:
    """Else the nights' notes would come before their patients, and be refused."""
    out = multiply(hospital(tmp_path / "base"), tmp_path / "out", 3)
    manifest = pull_folder(out, tmp_path / "pull", progress=lambda _: None)
    assert manifest.lines == 6
    assert manifest.transaction_time is not None and manifest.transaction_time.date() < FIRST_POLLED


def test_an_update_has_a_note_for_the_share_that_changed(tmp_path: Path) -> None:
    out = multiply(hospital(tmp_path / "base"), tmp_path / "out", 10)
    some = write_update(out, tmp_path / "some", date(2025, 7, 2), 0.2)
    none = write_update(out, tmp_path / "none", date(2025, 7, 1), 0.0)
    assert len(read(some / "DocumentReference.ndjson")) == 2
    assert len(read(none / "Patient.ndjson")) == 1
    assert not (none / "DocumentReference.ndjson").exists()
