"""NDJSON lines to rows: every line ends as rows, as one quarantine row, or in the count of what was skipped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from zebrawatch.fhir import resources as fhir
from zebrawatch.fhir import rows as columns
from zebrawatch.fhir.availability import Calendar, availability_rules, microseconds
from zebrawatch.fhir.columns import DECODED_SCHEMA, KINDS, batch_of
from zebrawatch.fhir.conformance import ConformanceJudge, refusals
from zebrawatch.fhir.kept_texts import KeptTexts
from zebrawatch.fhir.rows import MentionsUsError, Row, RowMaker, Rows, UnusableError, Version, tombstone_version
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.fhir.text import TextLimits

__all__ = ["DECODED_SCHEMA", "KINDS", "REASONS", "DecodeContext", "decode_lines", "subject_id_of", "versions_in"]

REASONS: dict[str, str] = {
    "not JSON": "the line is not one whole JSON value, or not UTF-8",
    "not a FHIR resource": "the line is JSON, but no object with a resourceType",
    "unknown resource type": "the resourceType is none of FHIR R4",
    "malformed resource": "an element that is read has the wrong type",
    "no id": "the resource has no id",
    "no subject": "it names no patient by id",
    "subject is no patient": "it is about a group, device, location or the like",
    "no time": "no element says when it could first be shown, and it belongs to no encounter",
    "unreadable time": "the elements that should say so cannot be read as FHIR times",
    "dated in the future": "it says it was available more than a day after the pull",
    "no content": "there is no code, value or text",
    "no text": "a note without text",
    "text lies elsewhere": "the note's text is at an address that names no document",
    "attachment is damaged": "the attachment is not what it says, or cut short",
    "attachment of a type without text": "a picture, sound, archive or the like",
    "attachment too large": "the attachment or its text passes the size limit",
    "attachment takes too long": "reading the attachment passes the time limit",
    "unreadable deletion": "a deletion that does not say of what",
    "line too large": "the line passes the size limit",
    "decoder failed": "a fault of Zebrawatch: please report it",
}
"""Why a line goes to quarantine: the fixed words, and what they mean."""

WRITTEN_BY_SYSTEM, WRITTEN_BY_CODE = "urn:zebrawatch:written-by", "zebrawatch"
"""meta.tag of every resource Zebrawatch writes back: it is dropped on the way in, and counted."""


@dataclass(frozen=True)
class DecodeContext:
    """What decoding needs to know about the pull and the site.

    `zone` is the site's IANA time zone; `pulled_at` an instant (what is available more than a day later is
    quarantined); `availability` gives, for the resource types it names, the elements asked for `available_at`, in
    order; `validate_share` is the share of usable resources that fhir.resources judges (1.0 = all); `texts` is
    a folder for the texts of documents that any pull made (zebrawatch.fhir.kept_texts). ValueError in one sentence
    where a value is wrong.
    """

    pull: str
    site_key: bytes
    zone: str
    pulled_at: datetime
    availability: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    validate_share: float = 0.01
    limits: TextLimits = field(default_factory=TextLimits)
    line_bytes: int = 256 * 1024 * 1024
    texts: str | None = None

    def __post_init__(self) -> None:
        if not self.site_key:
            raise ValueError("the site key is empty")
        if self.pulled_at.tzinfo is None:
            raise ValueError("pulled_at needs a time zone")
        availability_rules(self.availability)
        ConformanceJudge(self.validate_share)


_WRITTEN = "written by Zebrawatch"
_WRITTEN_MARK = WRITTEN_BY_SYSTEM.encode()
_BATCH_ROWS = 8192
_BATCH_BYTES = 8 * 1024 * 1024

_COLUMNS: dict[str, tuple[str, ...]] = {
    "patient": columns.PATIENT_COLUMNS,
    "note": columns.NOTE_COLUMNS,
    "event": columns.EVENT_COLUMNS,
    "encounter": columns.ENCOUNTER_COLUMNS,
    "binary": columns.BINARY_COLUMNS,
    "coverage": columns.COVERAGE_COLUMNS,
    "medication": columns.MEDICATION_COLUMNS,
    "quarantine": ("lines", "file", "line_number", "line", "resource_type", "reason", "detail"),
    "skipped": ("lines", "file", "resource_type", "reason"),
}


def decode_lines(lines: Iterable[tuple[int, bytes]], file: str, context: DecodeContext) -> Iterator[pa.RecordBatch]:
    """Batches in DECODED_SCHEMA of the (line number, bytes) of one NDJSON file.

    Each batch holds rows of one kind. Every line gives at least one row, one quarantine row, or counts in a `skipped`
    row: `sum(lines)` over all batches is the number of lines given. Nothing in a line raises.
    """
    decoder = _Decoder(file, context)
    take, pending = decoder.take, decoder.pending
    size = 0
    for taken, (number, line) in enumerate(lines, 1):
        take(number, line)
        size += len(line)
        # a line may give many rows: they are counted now and then, since counting costs as much as a small line
        if size >= _BATCH_BYTES or (not taken & 63 and pending() >= _BATCH_ROWS):
            yield from decoder.flush()
            size = 0
    yield from decoder.flush()
    yield from decoder.flush_skipped()
    decoder.close()


def versions_in(line: bytes) -> Iterator[str]:
    """Digests of the resource of a line; of a Bundle's entries and deletions too, as their rows carry them."""
    digest = hashlib.sha256(line).hexdigest()[:16]
    yield digest
    if b'"Bundle"' not in line:
        return
    try:
        bundle = fhir.resource_decoder().decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for entry in getattr(bundle, "entry", None) or ():
        if entry.request is not None and (entry.request.method or "").upper() == "DELETE":
            yield tombstone_version(digest, entry.request.url or "")
        elif entry.resource != fhir.NO_DATA:
            yield hashlib.sha256(bytes(entry.resource)).hexdigest()[:16]


class _Head(msgspec.Struct):
    resource_type: str | None = msgspec.field(default=None, name="resourceType")


class _Decoder:
    def __init__(self, file: str, context: DecodeContext) -> None:
        self._file = file
        self._context = context
        self._rows = Rows()
        self._quarantine: list[Row] = []
        self._skipped: dict[tuple[str | None, str], int] = {}
        self._judge = ConformanceJudge(context.validate_share)
        self._judged, self._line_bytes = context.validate_share > 0, context.line_bytes
        self._decode = fhir.resource_decoder().decode
        self._head = msgspec.json.Decoder(_Head).decode
        self._kept = KeptTexts(Path(context.texts)) if context.texts else None
        self._maker = RowMaker(
            site_key=context.site_key,
            calendar=Calendar(context.zone),
            pulled_at=microseconds(context.pulled_at),
            rules=availability_rules(context.availability),
            limits=context.limits,
            kept=self._kept,
        )
        self._handlers = self._make_handlers()

    def _make_handlers(self) -> dict[type, Callable[[Any, Version, Rows], None]]:
        maker = self._maker
        return {
            fhir.Patient: maker.patient,
            fhir.Coverage: maker.coverage,
            fhir.DocumentReference: maker.document_reference,
            fhir.DiagnosticReport: maker.diagnostic_report,
            fhir.Composition: maker.composition,
            fhir.Observation: maker.observation,
            fhir.Condition: maker.condition,
            fhir.Procedure: maker.procedure,
            fhir.MedicationRequest: maker.medication_request,
            fhir.ServiceRequest: maker.service_request,
            fhir.FamilyMemberHistory: maker.family_member_history,
            fhir.AllergyIntolerance: maker.allergy_intolerance,
            fhir.Encounter: maker.encounter,
            fhir.Immunization: maker.immunization,
            fhir.Medication: maker.medication,
            fhir.Binary: maker.binary,
        }

    # ---- one line ------------------------------------------------------------------------------------------------

    def take(self, number: int, line: bytes) -> None:
        """Decode one line into the pending rows."""
        try:
            if line[:1] == b"{" and len(line) <= self._line_bytes:
                self._resource(line, self._decode(line))
            else:
                self._odd_line(line)
        except UnusableError as error:
            self._refuse(number, line, error.reason, error.detail)
        except MentionsUsError:
            self._skip(self._type_in(line), "mentions Zebrawatch")
        except msgspec.MsgspecError as error:
            self._refuse(number, line, *self._worded(line, error))
        except UnicodeDecodeError:
            self._refuse(number, line, "not JSON", "not UTF-8")
        except RecursionError:
            self._refuse(number, line, "not JSON", "nested too deeply")
        except Exception as error:  # the last resort: a fault of ours must cost one line, not the night
            self._refuse(number, line, "decoder failed", type(error).__name__)

    def _odd_line(self, line: bytes) -> None:
        if len(line) > self._line_bytes:
            raise UnusableError("line too large", f"{len(line)} bytes")
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not line:
            self._skip(None, "empty line")
            return
        self._resource(line, self._decode(line))

    def _resource(self, line: bytes, resource: Any) -> None:
        kind = type(resource)
        handler = self._handlers.get(kind)
        if handler is None:
            if kind is fhir.Bundle:
                self._bundle(line, resource)
            else:
                self._skip(kind.__name__, _WRITTEN if _WRITTEN_MARK in line else "not read")
            return
        meta = resource.meta
        if meta is not None and meta.tag and _ours(meta):
            self._skip(kind.__name__, _WRITTEN)
            return
        digest = hashlib.sha256(line).digest()[:8].hex()
        conformant = self._judge.judge(kind.__name__, digest, line) if self._judged else None
        handler(resource, Version(digest, conformant), self._rows)

    def _bundle(self, line: bytes, bundle: fhir.Bundle) -> None:
        """Deletions and resources of a Bundle; the whole line is refused where one entry cannot be used."""
        if not bundle.entry:
            raise UnusableError("no content", "a Bundle without entries")
        version = Version(hashlib.sha256(line).hexdigest()[:16], None)
        deleted_at = bundle.timestamp or (bundle.meta.lastUpdated if bundle.meta else None)
        before = {kind: len(found) for kind, found in self._rows.by_kind.items()}
        try:
            passed = self._entries(bundle, deleted_at, version)
        except Exception:
            for kind, found in self._rows.by_kind.items():
                del found[before[kind] :]
            raise
        self._count_once(before, passed)

    def _entries(self, bundle: fhir.Bundle, deleted_at: str | None, version: Version) -> list[tuple[str | None, str]]:
        passed: list[tuple[str | None, str]] = []
        for entry in bundle.entry or ():
            request = entry.request
            if request is not None and (request.method or "").upper() == "DELETE":
                kind = self._maker.tombstone(request.url or "", deleted_at, version, self._rows)
                if kind is not None:
                    passed.append((kind, "not read"))
            elif entry.resource != fhir.NO_DATA:
                self._entry(bytes(entry.resource), passed)
        return passed

    def _entry(self, raw: bytes, passed: list[tuple[str | None, str]]) -> None:
        resource = self._decode(raw)
        kind = type(resource)
        if kind is fhir.Bundle:
            raise UnusableError("no content", "a Bundle in a Bundle")
        handler = self._handlers.get(kind)
        if handler is None:
            passed.append((kind.__name__, _WRITTEN if _WRITTEN_MARK in raw else "not read"))
            return
        if resource.meta is not None and resource.meta.tag and _ours(resource.meta):
            passed.append((kind.__name__, _WRITTEN))
            return
        digest = hashlib.sha256(raw).hexdigest()[:16]
        handler(resource, Version(digest, self._judge.judge(kind.__name__, digest, raw)), self._rows)

    def _count_once(self, before: dict[str, int], passed: list[tuple[str | None, str]]) -> None:
        counted = False
        for kind, found in self._rows.by_kind.items():
            for n in range(before[kind], len(found)):
                found[n] = (0 if counted else 1, *found[n][1:])
                counted = True
        if not counted:
            self._skip(*(passed[0] if passed else (None, "empty Bundle")))

    # ---- what is not read ----------------------------------------------------------------------------------------

    def _skip(self, resource_type: str | None, reason: str) -> None:
        key = (resource_type, reason)
        self._skipped[key] = self._skipped.get(key, 0) + 1

    def _refuse(self, number: int, line: bytes, reason: str, detail: str) -> None:
        self._quarantine.append((1, self._file, number, line, self._type_in(line), reason, detail))

    def _type_in(self, line: bytes) -> str | None:
        try:
            return self._head(line.removeprefix(b"\xef\xbb\xbf")).resource_type
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None

    def _worded(self, line: bytes, error: msgspec.MsgspecError) -> tuple[str, str]:
        """Reason and detail of what the typed structs refused; fhir.resources words what is wrong with a resource."""
        if not isinstance(error, msgspec.ValidationError):
            return "not JSON", str(error)
        try:
            head = self._head(line.removeprefix(b"\xef\xbb\xbf"))
        except msgspec.MsgspecError:
            return "not a FHIR resource", ""
        if not head.resource_type:
            return "not a FHIR resource", "no resourceType"
        if head.resource_type not in fhir.READ_NAMES and head.resource_type not in fhir.SKIPPED_NAMES:
            return "unknown resource type", ""
        return "malformed resource", "; ".join([str(error), *refusals(head.resource_type, line)])

    # ---- batches -------------------------------------------------------------------------------------------------

    def pending(self) -> int:
        """Rows that wait for a batch."""
        return len(self._rows.events) + len(self._rows.notes) + len(self._rows.patients) + len(self._quarantine)

    def flush(self) -> Iterator[pa.RecordBatch]:
        """Batches of the pending rows."""
        constants = {"pull": self._context.pull}
        for kind, found in (*self._rows.by_kind.items(), ("quarantine", self._quarantine)):
            if found:
                yield batch_of(kind, _COLUMNS[kind], found, constants)
                found.clear()
        if self._kept is not None:
            self._kept.store()

    def close(self) -> None:
        """Let go of the kept texts."""
        if self._kept is not None:
            self._kept.close()

    def flush_skipped(self) -> Iterator[pa.RecordBatch]:
        """One row per type and reason of what was passed over, with the number of lines."""
        found = [(count, self._file, kind, reason) for (kind, reason), count in sorted(self._skipped.items(), key=str)]
        if found:
            yield batch_of("skipped", _COLUMNS["skipped"], found, {"pull": self._context.pull})
            self._skipped.clear()


def _ours(meta: fhir.Meta) -> bool:
    return any(tag.system == WRITTEN_BY_SYSTEM and tag.code == WRITTEN_BY_CODE for tag in meta.tag or ())
