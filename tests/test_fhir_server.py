"""A FHIR server as a source: a live sekmet-fhir behind a proxy that puts faults in the way."""

from __future__ import annotations

import base64
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from fault_proxy import FaultProxy, Rule, fault_proxy
from fetch_nursery import nursery
from jwcrypto import jwk
from sekmet_server import ndjson, sekmet

from connectors.configuration import Source
from connectors.doctor import Check, check_folder, check_server
from connectors.fhir_server import FhirServer, pull_server, read_ids
from connectors.manifest import Manifest, read_manifest
from connectors.smart_auth import Credentials, Secret
from zebrawatch.errors import ConfigurationError, SourceError

TYPES = (
    "Patient",
    "Encounter",
    "Condition",
    "Coverage",
    "MedicationRequest",
    "DocumentReference",
    "DiagnosticReport",
    "FamilyMemberHistory",
)
FILE = r"GET /fhir/bulk-files/"
STATUS = r"GET /fhir/bulk-status/"
KICKOFF = r"GET /fhir/\$export"
EVERYTHING = {
    "Patient": 3,
    "MedicationRequest": 2,
    "Medication": 1,
    "Encounter": 3,
    "Condition": 3,
    "Coverage": 3,
    "DocumentReference": 12,
    "Binary": 5,
}
DOCUMENTS = {
    "plain": ("text/plain", b"Seen in clinic, no seizures."),
    "html": ("text/html", b"<p>Tall stature</p>"),
    "rtf": ("application/rtf", rb"{\rtf1 Long fingers}"),
    "pdf": ("application/pdf", b"%PDF-1.4 made\n"),
    "ccda": ("application/xml", b"<ClinicalDocument/>"),
}


def patient(key: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": key, "gender": "female", "birthDate": "1990-01-01"}


def note(key: str, subject: str, **attachment: str) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": key,
        "status": "current",
        "date": "2025-05-01T10:00:00Z",
        "subject": {"reference": f"Patient/{subject}"},
        "content": [{"attachment": attachment}],
    }


def hospital() -> Iterator[dict[str, Any]]:
    """Three patients; a note of every form, inline or behind an address; what else a chart holds."""
    for key in ("p1", "p2", "p3"):
        subject = {"reference": f"Patient/{key}"}
        yield patient(key)
        yield {
            "resourceType": "Encounter",
            "id": f"e-{key}",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": subject,
        }
        yield {"resourceType": "Condition", "id": f"c-{key}", "subject": subject, "code": {"text": "Ptosis"}}
        yield {
            "resourceType": "Coverage",
            "id": f"i-{key}",
            "status": "active",
            "beneficiary": subject,
            "payor": [subject],
        }
        yield note(f"inline-{key}", key, contentType="text/plain", data=base64.b64encode(b"Made text.").decode())
    for form, (kind, content) in DOCUMENTS.items():
        yield {
            "resourceType": "Binary",
            "id": f"b-{form}",
            "contentType": kind,
            "data": base64.b64encode(content).decode(),
        }
        yield note(f"n-{form}", "p1", contentType=kind, url=f"Binary/b-{form}")
    members = [{"entity": {"reference": "Patient/p3"}}]
    yield {"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": members}
    for key in ("m1", "m2"):
        yield {
            "resourceType": "MedicationRequest",
            "id": f"r-{key}",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/p1"},
            "medicationReference": {"reference": f"Medication/{key}"},
        }
    yield {"resourceType": "Medication", "id": "m1", "code": {"text": "miglustat"}}
    yield note("n-contained", "p2", contentType="text/plain", url="#inner")
    yield note("n-picture", "p2", contentType="image/png", url="Binary/b-picture")
    yield note("n-elsewhere", "p2", contentType="application/pdf", url="https://archive.example.org/77")
    yield note("n-missing", "p2", contentType="text/plain", url="Binary/gone")


@pytest.fixture(scope="session")
def forks() -> Iterator[Any]:
    with nursery() as popen:
        yield popen


@pytest.fixture(autouse=True)
def quick_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, forks: Any) -> None:
    """Fetches fork from one that is warm, unless a test wants the real process."""
    if "real_process" not in request.fixturenames:
        monkeypatch.setattr("connectors.fhir_server.start_process", forks)


@pytest.fixture
def real_process() -> None:
    pass


@pytest.fixture(scope="session")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with fault_proxy() as proxy, sekmet(tmp_path_factory.mktemp("open"), public_root=proxy.root) as server:
        proxy.upstream = server.url.removesuffix("/fhir")
        server.put(*hospital())
        yield proxy


@pytest.fixture
def server(proxied: FaultProxy) -> Iterator[FaultProxy]:
    proxied.reset()
    yield proxied


def settings(proxy: FaultProxy | str, **rest: Any) -> FhirServer:
    url = proxy if isinstance(proxy, str) else proxy.url
    given: dict[str, Any] = {"patience": 0.0, "longest_poll_seconds": 1, "attempts": 3} | rest
    return FhirServer(url, **given)


def pull(
    proxy: FaultProxy | str, lake: Path, night: str = "night", since: datetime | None = None, **rest: Any
) -> Manifest:
    return pull_server(
        settings(proxy, **rest), lake / night, since=since, resource_types=TYPES, progress=lambda _: None
    )


def resources(pull: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(pull.rglob("*.ndjson*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield from map(json.loads, text.splitlines())


def ids(folder: Path) -> set[str]:
    return {f"{found['resourceType']}/{found['id']}" for found in resources(folder) if "id" in found}


def nothing_published(lake: Path) -> bool:
    return not lake.exists() or all(path.name.startswith(".smart-fetch-") for path in lake.iterdir())


def refused(proxy: FaultProxy, lake: Path, words: str, **rest: Any) -> str:
    with pytest.raises(SourceError, match=words) as caught:
        pull(proxy, lake, **rest)
    assert "\n" not in str(caught.value)
    assert nothing_published(lake)
    return str(caught.value)


# What is fetched


@pytest.fixture(scope="session")
def oracle(proxied: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Ids that smart-fetch alone fetches, of the types it knows."""
    proxied.reset()
    folder = tmp_path_factory.mktemp("oracle")
    command = [str(Path(sys.executable).with_name("smart-fetch")), "export", str(folder), "--fhir-url", proxied.url]
    types = ",".join(kind for kind in TYPES if kind not in ("Coverage", "FamilyMemberHistory"))
    subprocess.run(
        [*command, "--type", types, "--no-default-filters", "--nickname", "oracle", "--hydration-tasks", "none"],
        check=True, capture_output=True,
    )  # fmt: skip
    return ids(folder / "001.oracle")


@pytest.mark.usefixtures("real_process")
def test_a_bulk_night_has_what_smart_fetch_alone_has_and_the_documents(
    server: FaultProxy, oracle: set[str], tmp_path: Path
) -> None:
    manifest = pull(server, tmp_path)
    found = ids(tmp_path / "night")
    assert oracle == {one for one in found if not one.startswith(("Binary/", "Coverage/", "Medication/"))}
    assert {f"Binary/b-{form}" for form in DOCUMENTS} <= found
    assert {f"Coverage/i-p{n}" for n in (1, 2, 3)} <= found
    assert (manifest.kind, manifest.source) == ("bulk", server.url)
    assert manifest.lines == len(found)
    assert read_manifest(tmp_path / "night") == manifest
    assert server.count(r"DELETE /fhir/bulk-status/") == 1


def test_a_crawl_finds_the_same(server: FaultProxy, oracle: set[str], tmp_path: Path) -> None:
    """The server says it has no bulk export, and would refuse one."""

    def without_export(statement: Any) -> Any:
        for rest in statement["rest"]:
            rest["operation"] = []
            for kind in rest["resource"]:
                kind.pop("operation", None)
        return statement

    server.rewrite_json("GET /fhir/metadata", without_export)
    server.rules.append(Rule(r"export", answer=(404, {}, b"{}")))
    manifest = pull(server, tmp_path)
    assert manifest.kind == "crawl"
    assert manifest.transaction_time is not None
    found = ids(tmp_path / "night")
    assert oracle == {one for one in found if not one.startswith(("Binary/", "Coverage/", "Medication/"))}
    assert {f"Binary/b-{form}" for form in DOCUMENTS} <= found


def test_a_crawl_of_named_patients_takes_no_others(server: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("p1\n\n p3 \n")
    pull(server, tmp_path, mode="crawl", patients=read_ids(tmp_path / "ids.txt"))
    found = ids(tmp_path / "night")
    assert {"Patient/p1", "Patient/p3"} == {one for one in found if one.startswith("Patient/")}
    assert "DocumentReference/inline-p2" not in found


def test_a_group_is_exported_alone(server: FaultProxy, tmp_path: Path) -> None:
    """By bulk export and by crawl; the group's history comes with its members."""
    for mode in ("bulk", "crawl"):
        pull(server, tmp_path / mode, mode=mode, group="g1")
        found = ids(tmp_path / mode / "night")
        assert {one for one in found if one.startswith("Patient/")} == {"Patient/p3"}
        assert "DocumentReference/inline-p3" in found
        assert "DocumentReference/inline-p1" not in found
    assert server.count(r"GET /fhir/Group/g1/\$export") == 1


def test_new_members_of_a_group_get_their_history(server: FaultProxy, tmp_path: Path) -> None:
    first = pull(server, tmp_path, "n1", mode="crawl", group="g1")
    assert first.transaction_time is not None
    members = [{"entity": {"reference": f"Patient/{key}"}} for key in ("p3", "p2")]
    server.rewrite_json(r"GET /fhir/Group/g1$", lambda group: group | {"member": members})
    later = first.transaction_time + timedelta(days=1)
    pull(server, tmp_path, "n2", since=later, mode="crawl", group="g1")
    found = ids(tmp_path / "n2")
    assert {"Patient/p2", "Condition/c-p2", "DocumentReference/inline-p2"} <= found
    assert "DocumentReference/inline-p3" not in found


def test_documents_come_as_they_are_and_what_cannot_be_had_is_counted(server: FaultProxy, tmp_path: Path) -> None:
    manifest = pull(server, tmp_path)
    fetched = {one["id"]: one for one in resources(tmp_path / "night") if one["resourceType"] == "Binary"}
    for form, (kind, content) in DOCUMENTS.items():
        assert fetched[f"b-{form}"]["contentType"] == kind
        assert base64.b64decode(fetched[f"b-{form}"]["data"]) == content
    notes = {one["id"]: one for one in resources(tmp_path / "night") if one["resourceType"] == "DocumentReference"}
    assert notes["n-html"]["content"][0]["attachment"] == {"contentType": "text/html", "url": "Binary/b-html"}
    said = " | ".join(manifest.notices)
    assert "1 document(s) a note points at that the server does not have" in said
    assert "1 document(s) on another server" in said
    assert "1 attachment(s) without text" in said
    assert "the server does not offer FamilyMemberHistory" in said
    assert "1 medication(s) an order points at that could not be had" in said


def test_a_server_that_hands_out_documents_raw(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(
        Rule("GET /fhir/Binary/b-pdf", answer=(200, {"Content-Type": "application/pdf"}, b"%PDF-1.4 raw"))
    )
    pull(server, tmp_path)
    found = next(one for one in resources(tmp_path / "night") if one.get("id") == "b-pdf")
    assert (found["resourceType"], found["contentType"]) == ("Binary", "application/pdf")
    assert base64.b64decode(found["data"]) == b"%PDF-1.4 raw"


def test_documents_that_cannot_be_had_now_make_the_night_wait(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule("GET /fhir/Binary/b-rtf", answer=(503, {}, b"")))
    refused(server, tmp_path, "did not hand out all documents")
    server.reset()
    pull(server, tmp_path)
    assert "Binary/b-rtf" in ids(tmp_path / "night")
    assert server.count("GET /fhir/Binary/b-pdf") == 0, "what was fetched before is kept"


def test_a_night_that_is_there_is_not_fetched_again(server: FaultProxy, tmp_path: Path) -> None:
    first = pull(server, tmp_path)
    server.reset()
    assert pull(server, tmp_path) == first
    assert server.seen == []
    with pytest.raises(SourceError, match="already holds a pull"):
        pull("http://127.0.0.1:9/fhir", tmp_path)


# Night after night


def test_three_nights_of_changes_deletions_and_a_merge(tmp_path: Path) -> None:
    with fault_proxy() as proxy, sekmet(tmp_path / "server", public_root=proxy.root) as live:
        proxy.upstream = live.url.removesuffix("/fhir")
        live.put(*hospital())
        lake = tmp_path / "lake"
        first = pull(proxy, lake, "n1")

        live.put(note("inline-p1", "p1", contentType="text/plain", data=base64.b64encode(b"Corrected.").decode()))
        live.put(patient("p4"), note("new", "p4", contentType="text/plain", data="TWFkZQ=="))
        live.delete("DocumentReference/inline-p2")
        tombstone = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": "DocumentReference/inline-p2"}}],
        }
        # sekmet-fhir deletes but does not tell: the proxy adds what other servers send.
        deleted = {"type": "Bundle", "url": f"{proxy.root}/fhir/bulk-files/x/deleted.ndjson", "count": 1}
        proxy.rewrite_json(STATUS, lambda manifest: manifest | {"deleted": [deleted]})
        proxy.rules.append(Rule("deleted.ndjson", answer=(200, {}, ndjson([tombstone]))))
        second = pull(proxy, lake, "n2", since=first.transaction_time)
        assert first.transaction_time is not None
        stated = first.transaction_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert proxy.count(rf"_since={stated.replace(':', '%3A')}") == 1
        assert ids(lake / "n2") == {"Patient/p4", "DocumentReference/inline-p1", "DocumentReference/new"}
        assert second.lines_by_type(deleted=True) == {"Bundle": 1}
        assert next(one for one in resources(lake / "n2") if one["resourceType"] == "Bundle") == tombstone

        proxy.reset()
        link = [{"type": "replaced-by", "other": {"reference": "Patient/p3"}}]
        live.put(patient("p4") | {"active": False, "link": link})
        third = pull(proxy, lake, "n3", since=second.transaction_time)
        assert ids(lake / "n3") == {"Patient/p4"}
        assert second.transaction_time is not None
        assert third.transaction_time is not None
        assert first.transaction_time < second.transaction_time < third.transaction_time

        quiet = pull(proxy, lake, "n4", since=third.transaction_time + timedelta(seconds=1))
        assert quiet.files == ()


def test_nights_that_arrive_under_one_name_are_each_fetched(server: FaultProxy, tmp_path: Path) -> None:
    """As a lake does: every pull arrives in the same place and is then given its own name."""
    first = pull(server, tmp_path, ".arriving")
    (tmp_path / ".arriving").rename(tmp_path / "n1")
    assert first.transaction_time is not None
    later = first.transaction_time + timedelta(days=1)
    for night in ("n2", "n3"):
        assert pull(server, tmp_path, ".arriving", since=later).files == ()
        (tmp_path / ".arriving").rename(tmp_path / night)
    assert server.count(KICKOFF) == 3


def test_a_crawl_since_a_time_takes_nobody_for_deleted(server: FaultProxy, tmp_path: Path) -> None:
    first = pull(server, tmp_path, "n1", mode="crawl")
    assert first.transaction_time is not None
    later = first.transaction_time + timedelta(days=1)
    second = pull(server, tmp_path, "n2", mode="crawl", since=later)
    assert second.lines_by_type(deleted=True) == {}
    assert second.lines_by_type() == {"Patient": 3}


def test_a_full_crawl_tells_what_has_gone(server: FaultProxy, tmp_path: Path) -> None:
    pull(server, tmp_path, "n1", mode="crawl")
    second = pull(server, tmp_path, "n2", mode="crawl", patients=("p1", "p3"))
    gone = {one["entry"][0]["request"]["url"] for one in resources(tmp_path / "n2") if one["resourceType"] == "Bundle"}
    assert "Patient/p2" in gone
    assert "DocumentReference/inline-p2" in gone
    assert second.lines_by_type(deleted=True)["Bundle"] == len(gone)


def test_created_mode_asks_by_date_of_record(server: FaultProxy, tmp_path: Path) -> None:
    since = datetime(2025, 4, 1, tzinfo=UTC)
    pull(server, tmp_path, since=since, since_mode="created")
    kickoff = next(request.line for request in server.seen if "export" in request.line)
    assert "DocumentReference%3Fdate%3Dgt2025-04-01" in kickoff
    assert "_since" not in kickoff


def test_a_first_night_without_patients_is_refused(server: FaultProxy, tmp_path: Path) -> None:
    def no_patients(manifest: Any) -> Any:
        return manifest | {"output": [file for file in manifest["output"] if file["type"] != "Patient"]}

    server.rewrite_json(STATUS, no_patients)
    refused(server, tmp_path, "no Patients")


# Faults on the way


@pytest.mark.parametrize("where", [KICKOFF, STATUS, FILE, "GET /fhir/Binary/b-pdf"])
def test_passing_faults_are_waited_out(server: FaultProxy, tmp_path: Path, where: str) -> None:
    for answer in (
        (429, {"Retry-After": "31536000"}, b""),
        (503, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, b""),
        (500, {}, b"<html>oops</html>"),
    ):
        server.rules.append(Rule(where, times=1, answer=answer))
    server.rules.append(Rule(where, times=1, drop=True))
    assert pull(server, tmp_path, attempts=6).lines_by_type() == EVERYTHING


def test_an_absurd_wait_for_the_status_is_cut_down(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(STATUS, times=1, answer=(202, {"Retry-After": "18000", "X-Progress": "queued"}, b"")))
    assert pull(server, tmp_path).lines_by_type()["Patient"] == 3


def test_a_body_that_breaks_off_is_asked_for_again(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(FILE + ".*DocumentReference", times=2, cut_at=100))
    assert pull(server, tmp_path).lines_by_type()["DocumentReference"] == 12


def test_a_body_that_stays_silent_is_asked_for_again(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(FILE + ".*Condition", times=1, stall_at=50))
    assert pull(server, tmp_path, timeout_seconds=0.5).lines_by_type()["Condition"] == 3


def test_a_server_that_dies_leaves_no_night_and_a_restart_resumes_it(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(FILE + ".*(Patient|Encounter)", drop=True))
    said = refused(server, tmp_path, "run again to resume")
    assert "Made text" not in said
    assert server.count(KICKOFF) == 1
    server.rules.clear()
    assert pull(server, tmp_path).lines_by_type()["Patient"] == 3
    assert server.count(KICKOFF) == 1, "the same export goes on"
    assert server.count(FILE + ".*Condition") == 1, "finished files are kept"


@pytest.mark.usefixtures("real_process")
def test_a_run_that_is_killed_leaves_no_night_and_no_process(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(FILE + ".*Patient", times=1, stall_at=20))
    program = (
        "import sys; from pathlib import Path; from connectors.fhir_server import FhirServer, pull_server; "
        "pull_server(FhirServer(sys.argv[1], patience=0, longest_poll_seconds=1), Path(sys.argv[2]), since=None, "
        f"resource_types={TYPES!r}, progress=print)"
    )
    root = Path(__file__).parent.parent
    run = subprocess.Popen(
        [sys.executable, "-c", program, server.url, str(tmp_path / "night")],
        cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stalled.wait(timeout=30)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert server.released.wait(timeout=30), "the fetching process ends with the run and lets go of the server"
    assert nothing_published(tmp_path)
    assert pull(server, tmp_path).lines_by_type()["Patient"] == 3
    assert server.count(KICKOFF) == 1


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("where", [STATUS, FILE + ".*Patient"])
def test_an_export_that_expired_is_begun_again(server: FaultProxy, tmp_path: Path, where: str, status: int) -> None:
    server.rules.append(Rule(where, times=1, answer=(status, {}, b"")))
    assert pull(server, tmp_path).lines_by_type()["Patient"] == 3
    assert server.count(KICKOFF) == 2


def test_an_export_that_always_expires_stops_the_night(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(FILE + ".*Patient", answer=(410, {}, b"")))
    refused(server, tmp_path, r"expire twice \(HTTP status 410\)")


def test_a_kick_off_that_is_refused_says_so(server: FaultProxy, tmp_path: Path) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "x", "diagnostics": "Doe, Jane"}],
    }
    server.rules.append(
        Rule(KICKOFF, answer=(403, {"Content-Type": "application/fhir+json"}, json.dumps(outcome).encode()))
    )
    said = refused(server, tmp_path, r"did not accept the bulk export \(HTTP status 403\)")
    assert "Doe" not in said


@pytest.mark.parametrize("more", [1, -1])
def test_a_count_that_is_not_kept_stops_the_night(server: FaultProxy, tmp_path: Path, more: int) -> None:
    def change(manifest: Any) -> Any:
        for file in manifest["output"]:
            file["count"] += more if file["type"] == "DocumentReference" else 0
        return manifest

    server.rewrite_json(STATUS, change)
    refused(server, tmp_path, "not what its manifest promises")


def test_a_file_cut_in_the_middle_of_a_line_is_noticed_without_a_count(server: FaultProxy, tmp_path: Path) -> None:
    def without_counts(manifest: Any) -> Any:
        return manifest | {"output": [{"type": file["type"], "url": file["url"]} for file in manifest["output"]]}

    server.rewrite_json(STATUS, without_counts)
    server.rules.append(Rule(FILE + ".*DocumentReference", rewrite=lambda body: body[:-30]))
    refused(server, tmp_path, "DocumentReference.ndjson whose lines are not")


def error_file(server: FaultProxy, severity: str) -> None:
    issue = {"severity": severity, "code": "processing", "diagnostics": "could not export chart of Jane Doe"}
    entry = {"type": "OperationOutcome", "url": f"{server.root}/fhir/bulk-files/x/errors.ndjson", "count": 1}
    server.rewrite_json(STATUS, lambda manifest: manifest | {"error": [entry]})
    outcome = ndjson([{"resourceType": "OperationOutcome", "issue": [issue]}])
    server.rules.append(Rule("errors.ndjson", answer=(200, {}, outcome)))


def test_errors_the_server_reports_stop_the_night_unless_allowed(server: FaultProxy, tmp_path: Path) -> None:
    error_file(server, "error")
    said = refused(server, tmp_path, r"reported 1 error\(s\)")
    assert "Jane" not in said
    manifest = pull(server, tmp_path, errors_allowed=1)
    assert "1 error(s) reported by the server and allowed" in manifest.notices
    assert "OperationOutcome" not in manifest.lines_by_type()


def test_messages_that_are_no_errors_are_counted(server: FaultProxy, tmp_path: Path) -> None:
    error_file(server, "warning")
    assert "1 message(s) reported by the server" in pull(server, tmp_path).notices


def test_a_search_that_fails_stops_a_crawl(server: FaultProxy, tmp_path: Path) -> None:
    server.rules.append(Rule(r"GET /fhir/Condition\?patient=p2", answer=(400, {}, b"")))
    refused(server, tmp_path, r"reported 1 error\(s\)", mode="crawl")
    server.reset()
    assert pull(server, tmp_path, mode="crawl").lines_by_type()["Condition"] == 3


@pytest.mark.usefixtures("real_process")
def test_a_full_disk_leaves_no_night_and_a_restart_resumes_it(server: FaultProxy, tmp_path: Path) -> None:
    big = base64.b64encode(os.urandom(300_000)).decode()
    server.rules.append(
        Rule(FILE + ".*Condition",
             rewrite=lambda body: body + ndjson([{"resourceType": "Condition", "id": "big", "note": [{"text": big}]}]))
    )  # fmt: skip
    server.rewrite_json(
        STATUS,
        lambda manifest: (
            manifest | {"output": [f | {"count": f["count"] + (f["type"] == "Condition")} for f in manifest["output"]]}
        ),
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        refused(server, tmp_path, "disk is full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert pull(server, tmp_path).lines_by_type()["Condition"] == 4
    assert server.count(KICKOFF) == 1


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9"):
        pull("http://127.0.0.1:9/fhir", tmp_path)
    assert nothing_published(tmp_path)


# SMART Backend Services

SECRET_WORDS = ("PRIVATE KEY", '"d":', "eyJ")


def key_pair(kind: str) -> jwk.JWK:
    made = jwk.JWK.generate(kty="RSA", size=2048) if kind == "RS384" else jwk.JWK.generate(kty="EC", crv="P-384")
    made.update(kid=f"key-{kind}", alg=kind)
    return made


@pytest.fixture(scope="session")
def keys() -> dict[str, jwk.JWK]:
    return {kind: key_pair(kind) for kind in ("RS384", "ES384")}


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, jwk.JWK]) -> Iterator[FaultProxy]:
    clients = [
        {"client_id": f"zebrawatch-{kind}", "jwks": {"keys": [key.export_public(as_dict=True)]}}
        for kind, key in keys.items()
    ]
    auth = {"types": ["smart", "bearer"], "tokens": ["loader"], "smart_clients": clients, "enforce_scopes": False}
    with fault_proxy() as proxy, sekmet(tmp_path_factory.mktemp("smart"), auth, proxy.root) as live:
        proxy.upstream = live.url.removesuffix("/fhir")
        live.put(*hospital(), token="loader")
        yield proxy


@pytest.fixture
def smart(guarded: FaultProxy) -> FaultProxy:
    guarded.reset()
    return guarded


def credentials(folder: Path, key: jwk.JWK, kind: str) -> Credentials:
    path = folder / "key.json"
    path.write_text(json.dumps({"keys": [key.export_private(as_dict=True)]}))
    return Credentials(f"zebrawatch-{kind}", Secret(file=path))


def no_secret_in(folder: Path) -> bool:
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "key.json"]
    unpacked = [gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text for text in texts]
    return not any(word.encode() in text for text in unpacked for word in SECRET_WORDS)


@pytest.mark.parametrize("kind", ["RS384", "ES384"])
def test_signs_in_with_a_key_of_its_own(smart: FaultProxy, keys: dict[str, jwk.JWK], tmp_path: Path, kind: str) -> None:
    manifest = pull(smart, tmp_path / "lake", credentials=credentials(tmp_path, keys[kind], kind))
    assert manifest.lines_by_type()["Patient"] == 3
    (request,) = [one for one in smart.seen if one.line == "POST /auth/token"]
    form = dict(part.split("=", 1) for part in request.body.decode().split("&"))
    assert form["grant_type"] == "client_credentials"
    header = jwt.get_unverified_header(form["client_assertion"])
    claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    assert (header["alg"], header["kid"], header["typ"]) == (kind, f"key-{kind}", "JWT")
    assert claims["iss"] == claims["sub"] == f"zebrawatch-{kind}"
    assert claims["aud"] == f"{smart.root}/auth/token"
    assert claims["exp"] <= time.time() + 300
    assert claims["jti"]
    assert "system%2FPatient.r" in form["scope"]
    assert "system%2FBinary.r" in form["scope"]
    assert no_secret_in(tmp_path)


def test_a_token_that_expires_on_the_way_is_renewed(
    smart: FaultProxy, keys: dict[str, jwk.JWK], tmp_path: Path
) -> None:
    smart.rules.append(Rule(FILE + ".*Patient", times=1, answer=(401, {}, b"")))
    smart.rules.append(Rule("GET /fhir/Binary/b-pdf", times=1, answer=(401, {}, b"")))
    manifest = pull(smart, tmp_path / "lake", credentials=credentials(tmp_path, keys["ES384"], "ES384"))
    assert manifest.lines_by_type()["Patient"] == 3
    assert manifest.lines_by_type()["Binary"] == len(DOCUMENTS)
    sent = [one.body for one in smart.seen if one.line == "POST /auth/token"]
    assert len(sent) == 3
    assert len(set(sent)) == 3, "each assertion is new"


def test_a_token_goes_to_its_own_server_only(smart: FaultProxy, keys: dict[str, jwk.JWK], tmp_path: Path) -> None:
    """The manifest names a file store elsewhere, as servers with signed addresses do."""
    with fault_proxy() as store:
        store.rules.append(Rule("", answer=(200, {}, ndjson([patient("p9")]))))

        def moved(manifest: Any) -> Any:
            others = [file for file in manifest["output"] if file["type"] != "Patient"]
            return manifest | {
                "output": [*others, {"type": "Patient", "url": f"{store.root}/p.ndjson?sig=s", "count": 1}]
            }

        smart.rewrite_json(STATUS, moved)
        pull(smart, tmp_path / "lake", credentials=credentials(tmp_path, keys["ES384"], "ES384"))
        assert [("authorization" in request.headers) for request in store.seen] == [False]
    assert all("authorization" in request.headers for request in smart.seen if "bulk-files" in request.line)
    assert "Patient/p9" in ids(tmp_path / "lake" / "night")


def test_an_unknown_key_is_a_clear_error_without_the_key(smart: FaultProxy, tmp_path: Path) -> None:
    stranger = credentials(tmp_path, key_pair("ES384"), "ES384")
    said = refused(smart, tmp_path / "lake", "did not accept the sign-in", credentials=stranger)
    assert not any(word in said for word in SECRET_WORDS)
    assert no_secret_in(tmp_path)


def test_without_credentials_a_guarded_server_is_a_clear_error(smart: FaultProxy, tmp_path: Path) -> None:
    refused(smart, tmp_path / "lake", "did not accept the sign-in")


def test_a_bearer_token_from_the_environment(
    smart: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZW_TEST_TOKEN", "loader")
    manifest = pull(smart, tmp_path, credentials=Credentials(bearer_token=Secret(env="ZW_TEST_TOKEN")))
    assert manifest.lines_by_type()["Patient"] == 3


def test_the_configuration_names_a_server(tmp_path: Path) -> None:
    source = Source(
        location="https://ehr.example.org/fhir", group="g1", client_id="me", key_file=str(tmp_path / "k.pem")
    )
    found = FhirServer.of_settings(source)
    assert (found.url, found.group, found.since_mode) == ("https://ehr.example.org/fhir", "g1", "updated")
    assert found.credentials == Credentials("me", Secret(file=tmp_path / "k.pem"))
    assert found.retry_minutes == (1, 2, 4, 8)
    with pytest.raises(ConfigurationError, match="both a client id and a private key"):
        FhirServer.of_settings(Source(location="https://ehr.example.org/fhir", client_id="me"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://ehr.example.org/fhir", "https only"),
        ("https://user:word@ehr.example.org/fhir", "user name or password"),
        ("ftp://ehr.example.org", "begins with https"),
    ],
)
def test_an_address_that_would_give_a_secret_away_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        FhirServer(url, Credentials(bearer_token=Secret(env="ZW_TEST_TOKEN")))
    assert "word@" not in str(caught.value)


# The doctor


def checked(proxy: FaultProxy | str, **rest: Any) -> dict[str, Check]:
    return {check.name: check for check in check_server(settings(proxy, **rest), TYPES)}


def test_the_doctor_finds_a_healthy_server_healthy(smart: FaultProxy, keys: dict[str, jwk.JWK], tmp_path: Path) -> None:
    found = checked(smart, credentials=credentials(tmp_path, keys["ES384"], "ES384"))
    assert [name for name, check in found.items() if not check.passed] == []
    assert list(found) == ["key", "metadata", "resource types", "discovery", "sign-in", "bulk export", "one resource"]
    assert "ES384, key id key-ES384" in found["key"].says
    assert "FamilyMemberHistory" in found["resource types"].says
    assert smart.count("DELETE /fhir/bulk-status/") == 1, "the export it tried is cancelled"


@pytest.mark.parametrize(
    ("rule", "name", "words"),
    [
        (Rule("/metadata", answer=(404, {}, b"")), "metadata", "HTTP status 404"),
        (Rule("/metadata", answer=(200, {}, b"<html>Welcome</html>")), "metadata", "no CapabilityStatement"),
        (
            Rule("/metadata", answer=(200, {}, b'{"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}')),
            "metadata",
            "FHIR 3.0.2, not R4",
        ),
        (Rule("smart-configuration", answer=(404, {}, b"")), "discovery", "no usable token address"),
        (
            Rule("/auth/token", answer=(400, {}, b'{"error": "invalid_client", "error_description": "Doe"}')),
            "sign-in",
            r"HTTP status 400, invalid_client",
        ),
        (Rule(r"\$export", answer=(403, {}, b"")), "bulk export", "HTTP status 403"),
        (Rule(r"Patient\?_count=1", answer=(403, {}, b"")), "one resource", "HTTP status 403"),
    ],
)
def test_the_doctor_says_what_is_wrong_and_what_to_do(
    smart: FaultProxy, keys: dict[str, jwk.JWK], tmp_path: Path, rule: Rule, name: str, words: str
) -> None:
    smart.rules.append(rule)
    found = checked(smart, credentials=credentials(tmp_path, keys["ES384"], "ES384"))
    assert [check.name for check in found.values() if not check.passed] == [name]
    assert words in found[name].says
    assert found[name].next_step
    assert not any("Doe" in str(check) for check in found.values())


def test_the_doctor_asks_for_credentials_where_a_server_wants_them(smart: FaultProxy) -> None:
    found = checked(smart)
    assert not found["sign-in"].passed
    assert "none is set" in found["sign-in"].says


def test_the_doctor_finds_a_wrong_key_before_it_asks_anybody(smart: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_bytes(key_pair("ES384").export_to_pem())
    found = checked(smart, credentials=Credentials("client", Secret(file=tmp_path / "public.pem")))
    assert not found["key"].passed
    assert "no private key" in found["key"].says
    assert smart.seen == []


def test_the_doctor_looks_at_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_bytes(ndjson([patient("p1")]))
    found = {check.name: check for check in check_folder(tmp_path)}
    assert found["Patient"].passed
    assert not found["DocumentReference"].passed
    assert "notes carry most" in str(found["DocumentReference"])
    (broken,) = check_folder(tmp_path / "nowhere")
    assert "does not exist" in str(broken)
