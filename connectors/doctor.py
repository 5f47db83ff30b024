"""Is this source ready for a night? Each check says in words what is wrong and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connectors.export_record import find_export_record
from connectors.fhir_server import FhirServer, order_for, run_process
from connectors.folder import describe_file, fingerprint_folder, list_files
from connectors.smart_auth import read_signing_key
from zebrawatch.errors import SourceError, ZebrawatchError

_NEEDED = {"Patient": "without Patients no night can run", "DocumentReference": "notes carry most of the evidence"}


@dataclass(frozen=True)
class Check:
    """One check of a source. `next_step` is empty where it passed."""

    name: str
    passed: bool
    says: str
    next_step: str = ""

    def __str__(self) -> str:
        mark = "ok  " if self.passed else "FAIL"
        return f"{mark} {self.name}: {self.says}" + (f" {self.next_step}" if self.next_step else "")


def check_folder(folder: Path) -> list[Check]:
    """Check a folder of NDJSON: it is there, every file can be read to its end, Patients and notes are in it."""
    try:
        fingerprint_folder(folder)
        record = find_export_record(folder)
        files = [describe_file(found.path, found.name, deleted=found.deleted) for found in list_files(folder)]
    except SourceError as error:
        return [Check("folder", False, str(error))]
    lines: dict[str, int] = {}
    for file in files:
        lines[file.resource_type] = lines.get(file.resource_type, 0) + file.lines
    stated = f"{record.path.name}." if record else "none: a file that is missing would not be noticed."
    checks = [
        Check("folder", True, f"{len(files)} files, all read to their end."),
        Check("export log or manifest", True, stated),
    ]
    for kind, why in _NEEDED.items():
        count = lines.get(kind, 0)
        checks.append(Check(kind, count > 0, f"{count:,} lines.", "" if count else f"Export {kind} too: {why}."))
    return checks


def check_server(settings: FhirServer, resource_types: tuple[str, ...]) -> list[Check]:
    """Check a FHIR server: key, metadata, discovery, sign-in, bulk export, one resource. Keeps no records.

    Goes through the same process, client and sign-in as a night does. Needs no lake and leaves nothing behind.
    """
    checks: list[Check] = []
    if settings.credentials.key is not None:
        try:
            key = read_signing_key(settings.credentials.key)
        except ZebrawatchError as error:
            return [Check("key", False, str(error), "Give the path of the private key that the server knows.")]
        checks.append(Check("key", True, f"{key.algorithm}, key id {key.key_id}."))
    once = replace(settings, attempts=1, timeout_seconds=min(settings.timeout_seconds, 60))
    with TemporaryDirectory(prefix="zebrawatch-doctor-") as folder:
        try:
            order = replace(order_for(once, Path(folder) / "check", None, resource_types), mode="check")
        except ZebrawatchError as error:
            return [*checks, Check("credentials", False, str(error))]
        with closing(run_process(order)) as running:
            events = list(running)
    steps = [step for event in events if event["event"] == "checked" for step in event["steps"]]
    if not steps:
        checks.append(Check("server", False, "the check ended without a result.", "Run it again."))
    return checks + [check for step in steps for check in _worded(step, settings)]


def _worded(step: dict[str, Any], settings: FhirServer) -> Iterator[Check]:
    status = step.get("status")
    code = f"HTTP status {status}" if status else "no answer"
    if step["step"] == "metadata":
        yield from _metadata(step, code)
        return
    name, good, bad, next_step = _WORDS[step["step"]]
    if step["ok"]:
        yield Check(name, True, good)
    elif step["step"] == "export" and settings.mode == "crawl":
        yield Check(name, True, f"not accepted ({code}), and not needed: the mode is crawl.")
    elif step["step"] == "token" and not settings.credentials.any:
        yield Check(name, False, "the server asks for a sign-in and none is set.", "Set a client id and its key file.")
    else:
        word = f", {step['error']}" if step.get("error") else ""
        yield Check(name, False, bad.format(code=code, error=word, algorithm=step.get("algorithm", "")), next_step)


_WORDS = {
    "discovery": (
        "discovery",
        "the server names its token address and takes this kind of key.",
        "no usable token address for {algorithm} keys at .well-known/smart-configuration ({code}).",
        "Set token_url, or ask the administrator which key types are taken (SMART names RS384 and ES384).",
    ),
    "token": (
        "sign-in",
        "the server gave an access token, or asks for none.",
        "the server gave no access token ({code}{error}).",
        "Check the client id, that the public half of the key is registered, the scopes, and this machine's clock.",
    ),
    "export": (
        "bulk export",
        "a bulk export was accepted (and cancelled).",
        "a bulk export was not accepted ({code}).",
        "Check the group's id and the client's scopes, or set the mode to crawl.",
    ),
    "resource": (
        "one resource",
        "a first record could be asked for.",
        "no Patient (or Group) could be read ({code}).",
        "Check that the client may read Patient and that the server holds some.",
    ),
}


def _metadata(step: dict[str, Any], code: str) -> Iterator[Check]:
    version = step["fhir_version"]
    if not step["ok"]:
        says = f"the server speaks FHIR {version}, not R4." if version else f"no CapabilityStatement ({code})."
        yield Check("metadata", False, says, "Give the FHIR base address, such as https://ehr.example.org/fhir.")
        return
    yield Check("metadata", True, f"FHIR {version}.")
    if step["not_offered"]:
        yield Check("resource types", True, f"not offered and left out: {', '.join(step['not_offered'])}.")
