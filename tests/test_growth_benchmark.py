"""The growth benchmark's hospitals: copies are patients of their own, updates hold what they promise. Made data."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any

from pipelines.commands.growth_benchmark import multiply, write_update

PATIENT = {"resourceType": "Patient", "id": "pt-0123456789ab"}
NOTE = {
    "resourceType": "DocumentReference",
    "id": "doc-ba9876543210",
    "subject": {"reference": "Patient/pt-0123456789ab"},
    "content": [{"attachment": {"data": base64.b64encode(b"No fever.").decode()}}],
}


def hospital(folder: Path) -> Path:
    folder.mkdir()
    for resource in (PATIENT, NOTE):
        (folder / f"{resource['resourceType']}.ndjson").write_text(json.dumps(resource, separators=(",", ":")) + "\n")
    (folder / "data_kind.json").write_text('{"kind": "made"}')
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


def test_an_update_has_a_note_for_the_share_that_changed(tmp_path: Path) -> None:
    out = multiply(hospital(tmp_path / "base"), tmp_path / "out", 10)
    some = write_update(out, tmp_path / "some", date(2025, 7, 2), 0.2)
    none = write_update(out, tmp_path / "none", date(2025, 7, 1), 0.0)
    assert len(read(some / "DocumentReference.ndjson")) == 2
    assert len(read(none / "Patient.ndjson")) == 1
    assert not (none / "DocumentReference.ndjson").exists()
