"""What an export says about itself: the bulk manifest of a server, or the export log of a client.

Two forms are read: the manifest of the Bulk Data Access IG 2.0.0 (JSON with `transactionTime` and `output[].count`,
https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status) and the SMART bulk export log
(`log.ndjson`, https://github.com/smart-on-fhir/bulk-data-client/wiki/Bulk-Data-Export-Log-Items).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from zebrawatch.errors import SourceError

LOG_NAMES = ("log.ndjson", "log.ndjson.gz")


@dataclass(frozen=True)
class ExpectedFile:
    """A file an export speaks of: last part of its address, resource type, output or deleted, count where stated."""

    name: str
    resource_type: str
    role: str
    count: int | None


@dataclass(frozen=True)
class ExportRecord:
    """What an export says about itself. `path` is the record's own file, `files` is empty where it names none."""

    path: Path
    transaction_time: datetime | None
    files: tuple[ExpectedFile, ...]


def find_export_record(folder: Path) -> ExportRecord | None:
    """Read the export log or bulk manifest that lies in `folder`; None where there is neither.

    SourceError where the record can't be read, or says itself that the export did not end well. Where both lie there,
    the manifest (the server's own word) is taken.
    """
    for path in sorted(folder.glob("*.json")):
        content = _json_object(path)
        if content is not None and "output" in content:
            return _from_bulk_manifest(path, content)
    for name in LOG_NAMES:
        if (folder / name).is_file():
            return _from_export_log(folder / name)
    return None


def reported_issues(folder: Path) -> dict[str, int]:
    """Errors and lesser messages in an export's error files (`error/*.ndjson`), counted, not repeated."""
    found = {"error": 0, "notice": 0}
    for path in sorted(folder.glob("error/*.ndjson*")):
        for outcome in _objects(path):
            for issue in outcome.get("issue") or []:
                found["error" if issue.get("severity") in ("fatal", "error") else "notice"] += 1
    return found


def parse_instant(text: object) -> datetime | None:
    """A FHIR `instant` as UTC; None where it is absent, no instant, or without a time zone."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo else None


def _json_object(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _from_bulk_manifest(path: Path, content: dict[str, Any]) -> ExportRecord:
    files = []
    for role in ("output", "deleted"):
        entries = content.get(role) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SourceError(f"In the export manifest {path} '{role}' is not a list of files; export again.")
        files += [_expected(entry.get("url"), entry.get("type"), role, entry.get("count")) for entry in entries]
    return ExportRecord(path, parse_instant(content.get("transactionTime")), tuple(files))


def _expected(url: object, resource_type: object, role: str, count: object) -> ExpectedFile:
    name = PurePosixPath(urlsplit(str(url or "")).path).name
    stated = count if isinstance(count, int) and not isinstance(count, bool) else None
    return ExpectedFile(name, str(resource_type or ""), role, stated)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        for line in filter(bytes.strip, text.splitlines()):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
    except (OSError, EOFError, zlib.error, ValueError):
        raise SourceError(f"{path} cannot be read to its end; copy or export the folder again.") from None


def _from_export_log(path: Path) -> ExportRecord:
    requests: dict[str, dict[str, Any]] = {}
    counts: dict[str, object] = {}
    failed: set[str] = set()
    open_export, instant = False, None
    for event in _objects(path):
        kind, detail = event.get("eventId"), event.get("eventDetail")
        detail = detail if isinstance(detail, dict) else {}
        url = str(detail.get("fileUrl") or "")
        if kind == "kickoff":
            # A log may hold several exports one after the other; the folder holds what the last one delivered.
            requests, counts, failed, open_export, instant = {}, {}, set(), True, None
        elif kind == "export_complete":
            open_export = False
        elif kind == "download_request":
            requests[url] = detail
        elif kind == "download_complete":
            counts[url] = detail.get("resourceCount")
            failed.discard(url)
        elif kind == "download_error":
            failed.add(url)
        instant = parse_instant(detail.get("transactionTime")) or instant
    if failed:
        raise SourceError(
            f"The export log {path} says that {len(failed)} file(s) could not be downloaded; export again."
        )
    if open_export:
        raise SourceError(f"The export log {path} has no end: the export did not finish; export again.")
    return ExportRecord(path, instant, tuple(_logged_files(requests, counts)))


def _logged_files(requests: dict[str, dict[str, Any]], counts: dict[str, object]) -> Iterator[ExpectedFile]:
    for url, count in counts.items():
        detail = requests.get(url, {})
        role = str(detail.get("itemType") or "output")
        if role in ("output", "deleted"):
            yield _expected(url, detail.get("resourceType"), role, count)
