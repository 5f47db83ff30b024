"""A folder of FHIR NDJSON as a source: copied whole, untouched, checked against what the export says about itself."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.export_record import LOG_NAMES, ExpectedFile, ExportRecord, find_export_record, reported_issues
from connectors.manifest import (
    DATA_KINDS,
    Manifest,
    PulledFile,
    fingerprint_of,
    fresh_partial,
    publish,
    read_manifest,
)
from connectors.resource_types import RESOURCE_TYPES
from zebrawatch.errors import SourceError

ENDINGS = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
UNKNOWN_TYPE = "Unknown"
# No space left, quota used up, or the limit on a file's size reached.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
# The resource type is looked for in this much of a file's beginning where its name does not tell.
_LONGEST_FIRST_LINES = 1 << 22


@dataclass(frozen=True)
class FoundFile:
    """A data file of a folder: its path below the folder, where it lies, whether it holds tombstones."""

    name: str
    path: Path
    deleted: bool


def pull_folder(
    folder: Path,
    destination: Path,
    *,
    progress: Callable[[str], None],
    data_kind: str | None = None,
    need_patients: bool = True,
) -> Manifest:
    """Copy a folder of FHIR NDJSON to `destination`, byte by byte, whole or not at all.

    Takes `*.ndjson`, `*.jsonl` and both with `.gz`, from `folder` itself and its sub-folder `deleted` (tombstones).
    Each file is read once: copied, hashed, unpacked, its lines counted. A cut last line is no fault of the source
    unless a stated count says otherwise. `data_kind` overrides `data_kind.json` ({"kind": "real"|"made"|"rendered"})
    in the folder; without either the records count as real. `need_patients=False` accepts a drop of changes without a
    Patient.

    A destination that already holds this pull is left alone and its manifest returned. SourceError, in one sentence,
    where the folder is missing, empty, without Patients, cut short, changing, or at odds with its own export log or
    bulk manifest.
    """
    state = fingerprint_folder(folder)
    published = read_manifest(destination)
    if published is not None:
        if published.source_state != state:
            raise SourceError(
                f"{destination} already holds a pull of another state of {published.source}; choose another name."
            )
        return published
    if destination.exists():
        raise SourceError(f"{destination} is in the way: it exists and is no published pull; move it away.")
    kind = _data_kind(folder, data_kind)
    record = find_export_record(folder)
    with disk_faults(destination):
        partial = fresh_partial(destination)
        try:
            files = tuple(_copy(found, partial, progress) for found in list_files(folder))
            check_files(folder, files, record, need_patients=need_patients)
            if fingerprint_folder(folder) != state:
                raise SourceError(f"The folder {folder} changed while it was read; wait until its export has ended.")
            time = record.transaction_time if record else None
            manifest = Manifest(
                source=str(folder),
                kind="folder",
                data_kind=kind,
                transaction_time=time,
                files=files,
                fingerprint=fingerprint_of(files),
                notices=tuple(_notices(folder)),
                source_state=state,
            )
            publish(partial, destination, manifest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def fingerprint_folder(folder: Path) -> str:
    """A cheap mark that changes when a folder's files do: sha256 over name, size and time of change of each.

    SourceError where the folder is missing, no folder, or holds no NDJSON file.
    """
    if not folder.exists():
        raise SourceError(f"The source folder {folder} does not exist.")
    if not folder.is_dir():
        raise SourceError(f"The source {folder} is a file; give the folder that holds the NDJSON files.")
    files = list(list_files(folder))
    if not files:
        raise SourceError(f"The source folder {folder} holds no NDJSON files (*.ndjson, *.jsonl, either with .gz).")
    sides = [folder / name for name in LOG_NAMES if (folder / name).is_file()]
    named = [(found.name, found.path) for found in files] + [
        (path.name, path) for path in (*sides, *folder.glob("*.json"))
    ]
    digest = hashlib.sha256()
    for name, path in sorted(named):
        stat = path.stat()
        digest.update(f"{name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def list_files(folder: Path) -> Iterator[FoundFile]:
    """The NDJSON files of a folder and of its sub-folder `deleted`, by name."""
    for below, deleted in ((folder, False), (folder / "deleted", True)):
        if below.is_dir():
            for path in sorted(below.iterdir()):
                if path.name.endswith(ENDINGS) and path.name not in LOG_NAMES and not path.name.startswith("."):
                    yield FoundFile(str(path.relative_to(folder)), path, deleted)


def _notices(folder: Path) -> Iterator[str]:
    for kind, count in reported_issues(folder).items():
        if count:
            yield f"{count} {'error' if kind == 'error' else 'message'}(s) reported by the export"


def _data_kind(folder: Path, given: str | None) -> str:
    path = folder / "data_kind.json"
    kind: object = given
    if given is None:
        if not path.is_file():
            return "real"
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            content = None
        kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in DATA_KINDS:
        where = "data_kind" if given is not None else f"'kind' in {path}"
        raise SourceError(f"{where} must be one of {', '.join(DATA_KINDS)}.")
    return str(kind)


@contextmanager
def disk_faults(destination: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into one sentence (SourceError)."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise SourceError(
                f"The disk is full at {destination.parent}; nothing was published, free some space and run again."
            ) from None
        raise SourceError(f"Could not copy to {destination}: {error.strerror or type(error).__name__}.") from None


class LineCounter:
    """Counts lines that hold more than white space in a stream of chunks, and keeps the stream's beginning."""

    def __init__(self) -> None:
        self.lines = 0
        self.head = bytearray()
        self._open = False
        self._last = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        if len(self.head) < _LONGEST_FIRST_LINES and self.head.count(b"\n") < 10:
            self.head += chunk
        end = chunk.rfind(b"\n") + 1
        if end:
            self._last.clear()
        self._last += chunk[end:]
        first, *rest = chunk.split(b"\n")
        self._open = self._open or not _blank(first)
        for part in rest:
            self.lines += self._open
            self._open = not _blank(part)

    def end(self) -> int:
        """The number of lines, a last one without a line end included."""
        self.lines += self._open
        self._open = False
        return self.lines

    @property
    def ends_whole(self) -> bool:
        """Whether the stream ends with a line end, or with a last line that is whole JSON."""
        if _blank(self._last):
            return True
        try:
            json.loads(self._last)
        except ValueError:
            return False
        return True


def _blank(part: bytes | bytearray) -> bool:
    return not part or part.isspace()


def _copy(found: FoundFile, partial: Path, progress: Callable[[str], None]) -> PulledFile:
    target = partial / found.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with target.open("wb") as out:
        pulled = _read_through(found, out.write)
        out.flush()
        os.fsync(out.fileno())
    progress(f"{found.name}: {pulled.lines:,} lines")
    return pulled


def describe_file(path: Path, name: str, *, deleted: bool) -> PulledFile:
    """Read a file once and say what it holds; SourceError where it can't be read to its end."""
    return _read_through(FoundFile(name, path, deleted), lambda _: None)


def _read_through(found: FoundFile, keep: Callable[[bytes], object]) -> PulledFile:
    digest, counter, size = hashlib.sha256(), LineCounter(), 0
    chunks = _chunks(found)
    first = next(chunks, b"")
    unpack = _unpacker(found, first)
    while first:
        keep(first)
        digest.update(first)
        size += len(first)
        for text in unpack.feed(first):
            counter.feed(text)
        first = next(chunks, b"")
    unpack.end()
    lines = counter.end()
    kind = resource_type_of(found.name, bytes(counter.head), deleted=found.deleted)
    return PulledFile(found.name, kind, lines, size, digest.hexdigest(), found.deleted)


def _chunks(found: FoundFile) -> Iterator[bytes]:
    try:
        with found.path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise SourceError(f"{found.path} cannot be read: {error.strerror or type(error).__name__}.") from None


class _Plain:
    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk

    def end(self) -> None:
        return None


class _Gzip:
    """Unpacks a gzip stream of one or more members in pieces of bounded size, and knows whether it came to its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._member = zlib.decompressobj(wbits=31)
        self._between = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._between:
                # Zero bytes between and after members are padding (tapes, block devices), as in gzip itself.
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._member, self._between = zlib.decompressobj(wbits=31), False
            try:
                text = self._member.decompress(chunk, _CHUNK)
            except zlib.error:
                raise self._broken() from None
            yield text
            if self._member.eof:
                chunk, self._between = self._member.unused_data, True
            else:
                chunk = self._member.unconsumed_tail

    def end(self) -> None:
        if not self._between:
            raise self._broken()

    def _broken(self) -> SourceError:
        return SourceError(f"{self._name} is a broken gzip file (damaged or cut short); copy or export it again.")


def _unpacker(found: FoundFile, first: bytes) -> _Plain | _Gzip:
    packed = first.startswith(_GZIP_MAGIC)
    if found.name.endswith(".gz"):
        if not packed:
            raise SourceError(
                f"{found.path} is a broken gzip file (it does not begin like one); copy or export it again."
            )
        return _Gzip(str(found.path))
    if packed:
        raise SourceError(f"{found.path} is packed with gzip but not named so; rename it to end in .gz.")
    return _Plain()


def resource_type_of(name: str, head: bytes, *, deleted: bool = False) -> str:
    """The resource type a file holds: from its name (`Patient.000.ndjson.gz`), else from its first readable line.

    `head` is the beginning of its unpacked content. Files of tombstones hold Bundles. `Unknown` where neither tells.
    """
    if deleted:
        return "Bundle"
    parts = name.rsplit("/", 1)[-1].replace("-", ".").replace("_", ".").split(".")
    for part in parts:
        if part in RESOURCE_TYPES:
            return part
    for line in head.split(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and content.get("resourceType") in RESOURCE_TYPES:
            return str(content["resourceType"])
    return UNKNOWN_TYPE


def check_files(
    source: object, files: tuple[PulledFile, ...], record: ExportRecord | None, *, need_patients: bool
) -> None:
    """Judge what was read: Patients are there, and every count agrees with the export's own record (SourceError)."""
    if record is not None:
        _check_counts(files, record)
    if need_patients and not any(file.resource_type == "Patient" and file.lines and not file.deleted for file in files):
        raise SourceError(f"The source {source} holds no Patients; export the resource type Patient too.")


def _check_counts(files: tuple[PulledFile, ...], record: ExportRecord) -> None:
    by_name = {(_stem(file.name), file.deleted): file for file in files}
    named = [(expected, by_name.get((_stem(expected.name), expected.role == "deleted"))) for expected in record.files]
    if any(file for _, file in named):
        for expected, file in named:
            _check_one(expected, file, record.path)
        return
    # The addresses tell nothing about the files (clients rename what they download): compare the sums per type.
    for role in ("output", "deleted"):
        _check_sums(files, [expected for expected in record.files if expected.role == role], role, record.path)


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".gz")


def _check_one(expected: ExpectedFile, file: PulledFile | None, record: Path) -> None:
    if file is None:
        raise SourceError(f"The file {expected.name} that {record} lists is missing; copy or export the folder again.")
    if expected.count is not None and expected.count != file.lines:
        raise SourceError(
            f"{file.name} holds {file.lines:,} lines but {record} promises {expected.count:,}; "
            "copy or export the folder again."
        )


def _check_sums(files: tuple[PulledFile, ...], expected: list[ExpectedFile], role: str, record: Path) -> None:
    deleted = role == "deleted"
    for kind in sorted({item.resource_type for item in expected}):
        counts = [item.count for item in expected if item.resource_type == kind]
        if any(count is None for count in counts):
            continue
        lines = sum(file.lines for file in files if file.deleted == deleted and (deleted or file.resource_type == kind))
        promised = sum(count for count in counts if count is not None)
        if lines != promised:
            raise SourceError(
                f"The folder holds {lines:,} lines of {kind} but {record} promises {promised:,}; "
                "copy or export the folder again."
            )
