"""A folder as a source: taken byte by byte, whole or not at all, every fault in one sentence."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import folder as folder_module
from connectors.folder import LineCounter, fingerprint_folder, pull_folder, resource_type_of
from connectors.manifest import Manifest, read_manifest
from zebrawatch.errors import SourceError

DATA = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
PATIENT = b'{"resourceType":"Patient","id":"p1"}\n'
NOTE = b'{"resourceType":"DocumentReference","id":"n1"}\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "Patient.ndjson").write_bytes(PATIENT)
    (folder / "DocumentReference.000.ndjson.gz").write_bytes(gzip.compress(NOTE * 3))
    return folder


def pull(source: Path, **rest: Any) -> Manifest:
    return pull_folder(source, source.parent / "lake" / "night", progress=lambda _: None, **rest)


def nothing_left(source: Path) -> bool:
    lake = source.parent / "lake"
    return not lake.exists() or not any(lake.iterdir())


def refused(source: Path, words: str, **rest: Any) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        pull(source, **rest)
    assert "\n" not in str(caught.value)
    assert nothing_left(source)


def test_copies_every_byte_and_says_what_it_took(source: Path) -> None:
    manifest = pull(source)
    taken = source.parent / "lake" / "night"
    for file in manifest.files:
        data = (taken / file.name).read_bytes()
        assert data == (source / file.name).read_bytes()
        assert (file.bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert manifest.lines_by_type() == {"Patient": 1, "DocumentReference": 3}
    assert (manifest.kind, manifest.data_kind, manifest.transaction_time) == ("folder", "real", None)
    assert read_manifest(taken) == manifest


def test_the_same_content_has_the_same_fingerprint_wherever_it_lies(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "copy"
    other.mkdir(parents=True)
    for path in source.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert pull(source).fingerprint == pull(other).fingerprint
    changed = tmp_path / "changed" / "copy"
    changed.mkdir(parents=True)
    (changed / "Patient.ndjson").write_bytes(PATIENT + PATIENT)
    assert pull(changed).fingerprint != pull(source).fingerprint


def test_a_second_pull_of_the_same_night_reads_nothing_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pull(source)
    monkeypatch.setattr(folder_module, "_copy", lambda *_: pytest.fail("copied again"))
    assert pull(source) == first


def test_a_changed_folder_is_not_taken_for_the_pulled_one(source: Path) -> None:
    pull(source)
    before = fingerprint_folder(source)
    with (source / "Patient.ndjson").open("ab") as more:
        more.write(PATIENT)
    assert fingerprint_folder(source) != before
    with pytest.raises(SourceError, match="another state"):
        pull(source)


def test_a_folder_that_changes_while_it_is_read_is_refused(source: Path) -> None:
    def still_exporting(_: str) -> None:
        with (source / "Patient.ndjson").open("ab") as more:
            more.write(PATIENT)

    with pytest.raises(SourceError, match="changed while it was read"):
        pull_folder(source, source.parent / "lake" / "night", progress=still_exporting)
    assert nothing_left(source)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "does not exist")


def test_a_file_in_place_of_a_folder(source: Path) -> None:
    refused(source / "Patient.ndjson", "is a file")


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing here")
    refused(tmp_path / "empty", "holds no NDJSON files")


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
def test_a_folder_without_patients(source: Path, content: bytes | None) -> None:
    (source / "Patient.ndjson").unlink()
    if content is not None:
        (source / "Patient.ndjson").write_bytes(content)
    refused(source, "no Patients")
    assert pull(source, need_patients=False).lines_by_type()["DocumentReference"] == 3


@pytest.mark.parametrize("keep", [0, 5, 20, -9, -1])
def test_a_gzip_cut_short(source: Path, keep: int) -> None:
    path = source / "DocumentReference.000.ndjson.gz"
    path.write_bytes(gzip.compress(os.urandom(4000).hex().encode())[:keep])
    refused(source, "broken gzip")


def test_a_damaged_gzip(source: Path) -> None:
    path = source / "DocumentReference.000.ndjson.gz"
    data = bytearray(gzip.compress(NOTE * 50))
    data[-5] ^= 0xFF  # the checksum no longer fits
    path.write_bytes(bytes(data))
    refused(source, "broken gzip")


def test_a_gzip_of_several_members_with_padding_is_whole(source: Path) -> None:
    data = gzip.compress(NOTE) + gzip.compress(NOTE) + b"\0" * 512
    (source / "DocumentReference.000.ndjson.gz").write_bytes(data)
    assert pull(source).lines_by_type()["DocumentReference"] == 2


def test_gzip_under_a_plain_name_is_named_as_such(source: Path) -> None:
    (source / "Condition.ndjson").write_bytes(gzip.compress(b"{}\n"))
    refused(source, "rename it")


def test_half_a_line_at_the_end_is_taken_as_it_is(source: Path) -> None:
    (source / "Condition.ndjson").write_bytes(b'{"resourceType":"Condition"}\n{"resourceType":"Cond')
    manifest = pull(source)
    assert manifest.lines_by_type()["Condition"] == 2
    assert (source.parent / "lake" / "night" / "Condition.ndjson").read_bytes().endswith(b'"Cond')


def test_tombstones_are_marked(source: Path) -> None:
    (source / "deleted").mkdir()
    (source / "deleted" / "Patient.000.ndjson").write_bytes(b'{"resourceType":"Bundle"}\n')
    manifest = pull(source)
    assert manifest.lines_by_type(deleted=True) == {"Bundle": 1}
    assert [file.name for file in manifest.files if file.deleted] == ["deleted/Patient.000.ndjson"]


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("Patient.000.ndjson.gz", b"", "Patient"),
        ("Patient.ndjson", b"", "Patient"),
        ("1.Observation.ndjson", b"", "Observation"),
        ("DiagnosticReport-3.jsonl", b"", "DiagnosticReport"),
        ("part-0001.ndjson", b'\n{"half\n{"resourceType":"Condition"}\n', "Condition"),
        ("part-0001.ndjson", b"not json", "Unknown"),
    ],
)
def test_the_resource_type_is_read_from_the_name_else_from_the_first_line(name: str, head: bytes, kind: str) -> None:
    assert resource_type_of(name, head) == kind


@pytest.mark.parametrize("kind", ["made", "rendered", "real"])
def test_made_data_is_called_made(source: Path, kind: str) -> None:
    (source / "data_kind.json").write_text(json.dumps({"kind": kind, "seed": 7}))
    assert pull(source).data_kind == kind


def test_an_unknown_kind_of_data_is_refused(source: Path) -> None:
    (source / "data_kind.json").write_text('{"kind": "genuine"}')
    refused(source, "must be one of real, made, rendered")
    refused(source, "must be one of", data_kind="true")
    assert pull(source, data_kind="made").data_kind == "made"


def bulk_manifest(*output: tuple[str, str, int | None], deleted: tuple[tuple[str, str, int], ...] = ()) -> str:
    def entries(items: Any) -> list[dict[str, Any]]:
        return [{"type": kind, "url": url} | ({} if n is None else {"count": n}) for kind, url, n in items]

    return json.dumps(
        {
            "transactionTime": "2025-06-01T02:00:00.5-04:00",
            "request": "https://ehr.example.org/fhir/$export",
            "output": entries(output),
            "deleted": entries(deleted),
        }
    )


def test_counts_of_a_bulk_manifest_are_compared_file_by_file(source: Path) -> None:
    notes = ("DocumentReference", "https://ehr.example.org/f/DocumentReference.000.ndjson?sig=x", 3)
    (source / "manifest.json").write_text(
        bulk_manifest(("Patient", "https://ehr.example.org/f/Patient.ndjson", 1), notes)
    )
    manifest = pull(source)
    assert manifest.transaction_time is not None
    assert manifest.transaction_time.isoformat() == "2025-06-01T06:00:00.500000+00:00"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([("Patient", "https://x/Patient.ndjson", 2)], "Patient.ndjson holds 1 lines but .* promises 2"),
        ([("Patient", "https://x/Patient.ndjson", 1), ("Condition", "https://x/Condition.ndjson", 5)], "is missing"),
        ([("DocumentReference", "https://x/files/77", 4)], "3 lines of DocumentReference but .* promises 4"),
        ([("DocumentReference", "https://x/1", 2), ("DocumentReference", "https://x/2", 2)], "promises 4"),
    ],
)
def test_a_bulk_manifest_that_promises_something_else(source: Path, output: Any, words: str) -> None:
    (source / "manifest.json").write_text(bulk_manifest(*output))
    refused(source, words)


def test_a_bulk_manifest_without_counts_promises_nothing(source: Path) -> None:
    (source / "manifest.json").write_text(bulk_manifest(("Patient", "https://x/17", None)))
    assert pull(source).lines == 4


def test_missing_tombstones_are_noticed(source: Path) -> None:
    record = bulk_manifest(("Patient", "https://x/17", 1), deleted=(("Bundle", "https://x/18", 2),))
    (source / "manifest.json").write_text(record)
    refused(source, "0 lines of Bundle but .* promises 2")


def log(*events: tuple[str, dict[str, Any]]) -> bytes:
    rows = [{"exportId": "e1", "timestamp": "2025-06-01T02:00:00Z", "eventId": k, "eventDetail": d} for k, d in events]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


KICKOFF = ("kickoff", {"exportUrl": "https://ehr.example.org/fhir/$export"})
STATUS = ("status_complete", {"transactionTime": "2025-06-01T06:00:00Z"})
DONE = ("export_complete", {"files": 1})


def downloaded(kind: str, url: str, count: int, role: str = "output") -> tuple[tuple[str, dict[str, Any]], ...]:
    request = {"fileUrl": url, "itemType": role, "resourceType": kind}
    return ("download_request", request), ("download_complete", {"fileUrl": url, "resourceCount": count})


@pytest.mark.parametrize("packed", [False, True])
def test_counts_of_an_export_log_are_compared_by_type(source: Path, packed: bool) -> None:
    events = [KICKOFF, STATUS, *downloaded("DocumentReference", "https://x/1", 3), DONE]
    data = log(*events)
    (source / ("log.ndjson.gz" if packed else "log.ndjson")).write_bytes(gzip.compress(data) if packed else data)
    time = pull(source).transaction_time
    assert time is not None
    assert time.isoformat() == "2025-06-01T06:00:00+00:00"


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([KICKOFF, STATUS, *downloaded("DocumentReference", "https://x/1", 4), DONE], "promises 4"),
        ([KICKOFF, STATUS, *downloaded("Patient", "https://x/1", 1)], "did not finish"),
        ([KICKOFF, STATUS, ("download_error", {"fileUrl": "https://x/1"}), DONE], "could not be downloaded"),
    ],
)
def test_an_export_log_that_tells_of_a_fault(source: Path, events: Any, words: str) -> None:
    (source / "log.ndjson").write_bytes(log(*events))
    refused(source, words)


def test_a_download_that_failed_and_then_succeeded_is_no_fault(source: Path) -> None:
    failed = ("download_error", {"fileUrl": "https://x/1", "message": "reset"})
    events = [KICKOFF, STATUS, failed, *downloaded("Patient", "https://x/1", 1), DONE]
    (source / "log.ndjson").write_bytes(log(*events))
    assert pull(source).lines == 4


def test_only_the_last_export_of_a_log_counts(source: Path) -> None:
    older = [KICKOFF, *downloaded("Patient", "https://x/old", 99), DONE]
    (source / "log.ndjson").write_bytes(log(*older, KICKOFF, STATUS, *downloaded("Patient", "https://x/1", 1), DONE))
    assert pull(source).lines_by_type()["Patient"] == 1


def test_a_log_that_cannot_be_read(source: Path) -> None:
    (source / "log.ndjson").write_bytes(log(KICKOFF, DONE)[:-20])
    refused(source, "cannot be read to its end")


def test_what_the_export_itself_reported_is_counted_and_not_repeated(source: Path) -> None:
    (source / "error").mkdir()
    issues = [{"severity": "error", "diagnostics": "chart of Jane Doe"}, {"severity": "information"}]
    outcome = {"resourceType": "OperationOutcome", "issue": issues}
    (source / "error" / "OperationOutcome.000.ndjson").write_text(json.dumps(outcome) + "\n")
    manifest = pull(source)
    assert manifest.notices == ("1 error(s) reported by the export", "1 message(s) reported by the export")
    assert "Jane" not in manifest.to_json()
    assert "OperationOutcome" not in manifest.lines_by_type()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_publishes_nothing_and_the_next_run_does(source: Path) -> None:
    (source / "Condition.ndjson").write_bytes(b'{"resourceType":"Condition"}\n' * 10_000)
    with files_no_larger_than(100_000):
        refused(source, "disk is full")
    assert pull(source).lines_by_type()["Condition"] == 10_000


def test_what_a_killed_run_left_is_no_pull(source: Path) -> None:
    left = source.parent / "lake" / ".night.partial"
    left.mkdir(parents=True)
    (left / "Patient.ndjson").write_bytes(PATIENT[:10])
    (left / "Stray.ndjson").write_bytes(b"{}")
    assert read_manifest(left) is None
    manifest = pull(source)
    assert {file.name for file in manifest.files} == {"Patient.ndjson", "DocumentReference.000.ndjson.gz"}
    assert not left.exists()


def test_a_folder_in_the_way_is_left_alone(source: Path) -> None:
    there = source.parent / "lake" / "night"
    there.mkdir(parents=True)
    (there / "mine.txt").write_text("keep")
    with pytest.raises(SourceError, match="in the way"):
        pull(source)
    assert (there / "mine.txt").read_text() == "keep"


def test_a_pull_is_for_its_owner_only(source: Path) -> None:
    pull(source)
    assert (source.parent / "lake" / "night").stat().st_mode & 0o077 == 0


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=30)), st.integers(1, 7))
def test_lines_are_counted_the_same_however_the_stream_is_cut(parts: list[bytes], step: int) -> None:
    data = b"\n".join(parts)
    counter = LineCounter()
    for start in range(0, len(data), step):
        counter.feed(data[start : start + step])
    assert counter.end() == sum(1 for line in data.split(b"\n") if line and not line.isspace())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_a_manifest_reads_back_as_it_was_written(names: list[str]) -> None:
    from connectors.manifest import PulledFile, fingerprint_of

    files = tuple(PulledFile(name, "Patient", 1, 2, "00", deleted=i % 2 == 0) for i, name in enumerate(names))
    manifest = Manifest("source", "bulk", "made", None, files, fingerprint_of(files), ("one notice",))
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.skipif(not (DATA / "ehr").is_dir(), reason="the shared test data are not here ($ZEBRAWATCH_DATA)")
def test_a_real_bulk_export(tmp_path: Path) -> None:
    manifest = pull_folder(DATA / "ehr" / "synthea_bulk_10", tmp_path / "night", progress=lambda _: None)
    lines = manifest.lines_by_type()
    assert (lines["Patient"], lines["DocumentReference"], lines["Procedure"]) == (13, 1215, 2056)
    assert manifest.transaction_time is not None
    assert manifest.transaction_time.isoformat() == "2024-08-06T18:12:57+00:00"
