"""Texts of documents that an earlier pull made are looked up, not made again. Made data."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fhir_lines import b64, context, decoded, note
from test_fhir_text import cda, pdf

from zebrawatch.fhir import kept_texts, rows
from zebrawatch.fhir.text import plain_text

SECTION = (
    "<structuredBody><component><section><title>Exam</title><text>Tall.</text></section></component></structuredBody>"
)
FORMS: dict[str, bytes] = {
    "text/html": b"<html><body><p>Tall <b>stature</b>.</p></body></html>",
    "application/rtf": rb"{\rtf1\ansi Long slender fingers.\par}",
    "application/pdf": pdf("High palate."),
    "application/hl7-cda+xml": cda(SECTION).encode(),
}
NOTES = [
    note(id=kind.replace("/", "-"), content=[{"attachment": {"contentType": kind, "data": b64(data)}}])
    for kind, data in FORMS.items()
]
BINARY = {"resourceType": "Binary", "id": "b", "contentType": "application/pdf", "data": b64(pdf("Ataxia."))}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The types of documents that a parser was asked for."""
    asked: list[str] = []

    def noted(data: bytes, content_type: str, *more: Any) -> tuple[str, str]:
        asked.append(content_type)
        return plain_text(data, content_type, *more)

    monkeypatch.setattr(rows, "plain_text", noted)
    return asked


def pull(folder: Path, name: str, *resources: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = decoded(resources or (*NOTES, BINARY), context(texts=str(folder), pull=name))
    return {kind: [{**row, "pull": ""} for row in found[kind]] for kind in ("note", "binary", "quarantine")}


def test_a_document_that_comes_again_in_another_pull_is_not_read_again(tmp_path: Path, parsed: list[str]) -> None:
    first = pull(tmp_path / "texts", "pull-1")
    assert sorted(parsed) == sorted([*FORMS, "application/pdf"])
    parsed.clear()
    assert pull(tmp_path / "texts", "pull-2") == first
    changed = [{**each, "docStatus": "final"} for each in NOTES]
    assert [row["text"] for row in pull(tmp_path / "texts", "pull-3", *changed)["note"]] == [
        row["text"] for row in first["note"]
    ]
    assert parsed == []


def test_the_same_bytes_under_another_type_are_another_document(tmp_path: Path, parsed: list[str]) -> None:
    def markup(kind: str) -> dict[str, Any]:
        return note(content=[{"attachment": {"contentType": kind, "data": b64("<b>Tall</b> stature.")}}])

    assert [pull(tmp_path, "p", markup(kind))["note"][0]["text"] for kind in ("text/html", "text/plain")] == [
        "Tall stature.", "<b>Tall</b> stature.",
    ]  # fmt: skip
    assert parsed == ["text/html", "text/plain"]


def test_a_new_reader_reads_everything_again(
    tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pull(tmp_path, "pull-1")
    parsed.clear()
    monkeypatch.setattr(kept_texts, "reader_version", lambda: "another")
    assert pull(tmp_path, "pull-2") == first
    assert len(parsed) == 5


def test_what_cannot_be_read_is_tried_again(tmp_path: Path, parsed: list[str]) -> None:
    broken = note(content=[{"attachment": {"contentType": "application/pdf", "data": b64(b"%PDF-1.4 cut")}}])
    reasons = [pull(tmp_path, name, broken)["quarantine"][0]["reason"] for name in ("pull-1", "pull-2")]
    assert reasons == ["attachment is damaged"] * 2 and len(parsed) == 2


@pytest.mark.parametrize("damage", ["no database", "no folder", "another text"])
def test_a_damaged_file_costs_time_and_no_text(tmp_path: Path, parsed: list[str], damage: str) -> None:
    folder = tmp_path / "texts"
    first = pull(folder, "pull-1")
    (file,) = folder.glob("*.sqlite")
    parsed.clear()
    if damage == "no database":
        file.write_bytes(b"no database at all " * 100)
    elif damage == "no folder":
        file.unlink()
        folder.rmdir()
        folder.write_text("a file is in the way")
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("update texts set text = text || ' Ataxia.'")
    assert pull(folder, "pull-2") == first
    assert len(parsed) == 5
