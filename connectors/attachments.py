"""Attachments that lie behind an address: fetched as Binary resources, one line each, beside the notes.

smart-fetch puts plain and HTML text into the note itself; here the note stays as the server sent it, and every kind
of text (plain, HTML, RTF, PDF, C-CDA and other XML) comes as a Binary whose id is the last part of its address.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import cumulus_fhir_support as cfs

from connectors.smart_auth import origin_of
from zebrawatch.fhir.subjects import binary_id_of

BINARY_FILE = "Binary.attachments.ndjson"
# What text can be made from. An attachment that does not say what it is, is fetched too.
_TEXTUAL = re.compile(r"(text/.*|application/(pdf|rtf|.*xml.*|xhtml.*|hl7.*|json|octet-stream|msword))", re.IGNORECASE)
_AT_ONCE = 5


@dataclass(frozen=True)
class AttachmentCounts:
    """How attachments behind addresses fared.

    `missing`: the server has no such Binary; `elsewhere`: on another server, left alone; `no_text`: pictures, sound and
    the like, left alone; `failed`: could not be had now, the night must wait.
    """

    fetched: int = 0
    missing: int = 0
    elsewhere: int = 0
    no_text: int = 0
    failed: int = 0


def attachments_of(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The attachments of a DocumentReference or DiagnosticReport."""
    holders = [content.get("attachment") for content in resource.get("content") or [] if isinstance(content, dict)]
    for attachment in (*holders, *(resource.get("presentedForm") or [])):
        if isinstance(attachment, dict):
            yield attachment


async def fetch_attachments(
    client: cfs.FhirClient, home: tuple[str, str, int], base: str, workdir: Path
) -> AttachmentCounts:
    """Fetch every textual attachment that a note in `workdir` only points at into `Binary.attachments.ndjson`.

    Those an earlier, interrupted run has fetched are kept. Nothing is asked of other servers than `home`.
    """
    wanted, elsewhere, no_text = _wanted(workdir, home, base)
    path = workdir / BINARY_FILE
    partial = path.with_name(f".{path.name}.partial")
    if path.exists():
        path.replace(partial)
    have = _whole_lines(partial)
    counts = {"fetched": len(have & set(wanted)), "missing": 0, "failed": 0}
    todo = {key: address for key, address in wanted.items() if key not in have}
    with partial.open("ab") as out:
        for start in range(0, len(todo), _AT_ONCE):
            batch = list(todo.items())[start : start + _AT_ONCE]
            for line in await asyncio.gather(*(_fetch(client, key, address) for key, address in batch)):
                counts["fetched" if isinstance(line, bytes) else line] += 1
                if isinstance(line, bytes):
                    out.write(line + b"\n")
            out.flush()
    if partial.stat().st_size == 0:
        partial.unlink()
    elif not counts["failed"]:
        partial.replace(path)
    return AttachmentCounts(elsewhere=elsewhere, no_text=no_text, **counts)


def _wanted(workdir: Path, home: tuple[str, str, int], base: str) -> tuple[dict[str, str], int, int]:
    wanted: dict[str, str] = {}
    elsewhere = no_text = 0
    root = base.rstrip("/") + "/"
    for kind in ("DocumentReference", "DiagnosticReport"):
        for resource in cfs.read_multiline_json_from_dir(str(workdir), kind):
            for attachment in attachments_of(resource):
                address = attachment.get("url")
                # A `#` points into the same resource, which is here already.
                if not isinstance(address, str) or attachment.get("data") or address.startswith("#"):
                    continue
                if not _TEXTUAL.fullmatch(str(attachment.get("contentType") or "text/plain").partition(";")[0].strip()):
                    no_text += 1
                elif origin_of(urljoin(root, address)) != home:
                    elsewhere += 1
                elif key := binary_id_of(address):
                    wanted[key] = urljoin(root, address)
    return wanted, elsewhere, no_text


def _whole_lines(partial: Path) -> set[str]:
    """Ids of the Binaries that an interrupted run left whole; a cut last line is taken off."""
    if not partial.exists():
        return set()
    data = partial.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        partial.write_bytes(whole)
    return {json.loads(line)["id"] for line in whole.splitlines()}


async def _fetch(client: cfs.FhirClient, key: str, address: str) -> bytes | str:
    """One Binary as a line of JSON, or how it failed: `missing` or `failed`."""
    try:
        response = await client.request("GET", address, headers={"Accept": "application/fhir+json"})
    except cfs.FatalNetworkError as error:
        return "missing" if error.response is not None and error.response.status_code in (404, 410) else "failed"
    except cfs.NetworkError:
        return "failed"
    kind = response.headers.get("Content-Type", "application/octet-stream")
    if "json" in kind:
        try:
            content = response.json()
        except ValueError:
            return "failed"
        if content.get("resourceType") == "Binary":
            return json.dumps(content | {"id": key}, separators=(",", ":")).encode()
        if content.get("resourceType") == "OperationOutcome":
            return "failed"
    # Some servers answer with the document itself, whatever is asked for.
    data = base64.b64encode(response.content).decode()
    return json.dumps(
        {"resourceType": "Binary", "id": key, "contentType": kind, "data": data}, separators=(",", ":")
    ).encode()
