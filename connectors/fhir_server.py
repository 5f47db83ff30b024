"""A FHIR server as a source: bulk export or crawl through smart-fetch, published whole or not at all.

The fetching runs in a process of its own (`connectors.smart_fetch_process`) in a working folder beside the pulls,
where an interrupted night is resumed. What it brought is checked, then linked into the pull and published by rename.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from connectors.configuration import Source
from connectors.export_record import ExportRecord, find_export_record
from connectors.fetch_order import PUBLISHED_NAME, Order
from connectors.folder import check_files, describe_file, disk_faults
from connectors.manifest import (
    Manifest,
    PulledFile,
    fingerprint_of,
    fresh_partial,
    partial_of,
    publish,
    read_manifest,
)
from connectors.smart_auth import Credentials, Secret, check_address, read_signing_key
from zebrawatch.errors import SourceError

MODES = ("auto", "bulk", "crawl")
# Named here so that tests can start fetches faster.
start_process = subprocess.Popen
SINCE_MODES = ("auto", "updated", "created")
OPEN = Credentials()


@dataclass(frozen=True)
class FhirServer:
    """A FHIR R4 server and how to fetch from it.

    `mode`: bulk, crawl, or auto (bulk where the server offers it). `group`: id of the Group to export; empty is
    everyone. `patients`: ids to crawl instead. `since_mode`: updated (`_since`, `_lastUpdated`), created (dates of
    record, for servers without them), or auto. `attempts` at each request, with waits of 1, 2, 4, 8, 8 … minutes
    times `patience`; a status is asked for at least every `longest_poll_seconds`; a connection may be silent for
    `timeout_seconds`. `errors_allowed`: errors the server may report in its error files before the night is refused.
    """

    url: str
    credentials: Credentials = OPEN
    mode: str = "auto"
    group: str = ""
    patients: tuple[str, ...] = ()
    since_mode: str = "auto"
    data_kind: str = "real"
    errors_allowed: int = 0
    attempts: int = 5
    patience: float = 1.0
    longest_poll_seconds: int = 60
    timeout_seconds: float = 300

    def __post_init__(self) -> None:
        check_address(self.url, "address of the FHIR server", secret=self.credentials.any)
        if self.credentials.token_url:
            check_address(self.credentials.token_url, "token address", secret=True)
        for name, allowed in (("mode", MODES), ("since_mode", SINCE_MODES)):
            if getattr(self, name) not in allowed:
                raise SourceError(f"The source's {name} must be one of {', '.join(allowed)}.")

    @classmethod
    def of_settings(cls, source: Source) -> FhirServer:
        """The server that the configuration's section `source` describes (ConfigurationError where it does not)."""
        credentials = Credentials(
            client_id=source.client_id,
            key=Secret(file=Path(source.key_file)) if source.key_file else None,
            token_url=source.token_url,
            bearer_token=Secret(env=source.bearer_token_env) if source.bearer_token_env else None,
        )
        return cls(
            source.location,
            credentials,
            group=source.group,
            since_mode=source.since_mode,
            attempts=source.attempts,
        )

    @property
    def source(self) -> str:
        """The server's address as it may be shown: without query."""
        return self.url.partition("?")[0].rstrip("/")

    @property
    def retry_minutes(self) -> tuple[float, ...]:
        """Minutes to wait between the attempts at one request."""
        return tuple(min(2**n, 8) * self.patience for n in range(max(self.attempts, 1) - 1))


def pull_server(
    settings: FhirServer,
    destination: Path,
    *,
    since: datetime | None,
    resource_types: tuple[str, ...],
    progress: Callable[[str], None],
) -> Manifest:
    """Fetch a night from a FHIR server into `destination`, whole or not at all.

    `since` is the `transaction_time` of the last complete night's manifest: only what changed after it is asked for;
    None asks for everything. Tombstones come as files marked deleted, texts behind addresses as Binary files. A fetch
    that was interrupted is resumed when called again with the same destination; a destination that already holds this
    server's pull is left alone and its manifest returned. SourceError, in one sentence without a word of the
    server's, where the night could not be had whole.
    """
    published = read_manifest(destination)
    if published is not None:
        if published.source != settings.source:
            raise SourceError(f"{destination} already holds a pull of {published.source}; choose another name.")
        return published
    if destination.exists():
        raise SourceError(f"{destination} is in the way: it exists and is no published pull; move it away.")
    with disk_faults(destination):
        order = order_for(settings, destination, since, resource_types)
        fetched = _fetch(order, settings, progress)
        partial = fresh_partial(destination)
        try:
            manifest = _gather(settings, fetched, partial, first=since is None)
            publish(partial, destination, manifest)
            (fetched.folder / PUBLISHED_NAME).touch()
        finally:
            shutil.rmtree(partial_of(destination), ignore_errors=True)
    return manifest


def working_folder(settings: FhirServer, destination: Path) -> Path:
    """Where fetches from this server work and remember earlier nights: hidden, beside the pulls."""
    key = sha256(f"{settings.source}\n{settings.group}".encode()).hexdigest()[:12]
    return destination.parent / f".smart-fetch-{key}"


def order_for(settings: FhirServer, destination: Path, since: datetime | None, types: tuple[str, ...]) -> Order:
    """What the fetching process is told; reads the secrets (ConfigurationError where they are not to be had)."""
    credentials = settings.credentials
    if since is not None and since.tzinfo is None:
        raise SourceError("The time to fetch changes since needs a time zone.")
    # Milliseconds cut off, never rounded up: rather one resource twice than one missed.
    instant = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if since else None
    return Order(
        url=settings.url,
        folder=str(working_folder(settings, destination).absolute()),
        nickname=destination.name,
        types=types,
        mode=settings.mode,
        since=instant,
        since_mode=settings.since_mode,
        group=settings.group,
        patients=settings.patients,
        client_id=credentials.client_id,
        jwks=read_signing_key(credentials.key).jwks if credentials.key else None,
        bearer_token=credentials.bearer_token.read() if credentials.bearer_token else "",
        token_url=credentials.token_url,
        retry_minutes=settings.retry_minutes,
        longest_poll_seconds=settings.longest_poll_seconds,
        timeout_seconds=settings.timeout_seconds,
    )


@dataclass(frozen=True)
class _Fetched:
    folder: Path
    kind: str
    issues: dict[str, int]
    attachments: dict[str, int]
    transaction_time: str | None
    not_offered: list[str]
    missing_medications: int


def _fetch(order: Order, settings: FhirServer, progress: Callable[[str], None]) -> _Fetched:
    with closing(run_process(order)) as events:
        for event in events:
            kind = event.pop("event")
            if kind == "file":
                deleted = " deleted" if event["role"] == "deleted" else ""
                progress(f"{event['type']}{deleted}: {event['lines']:,} lines")
            elif kind == "expired":
                progress("the server had let the export expire: exporting again")
            elif kind == "stopped":
                raise SourceError(_sentence(settings.source, **event))
            elif kind == "done":
                return _judged(_Fetched(Path(event.pop("folder")), **event), settings)
    raise SourceError(f"Fetching from {settings.source} ended without a result; run again to resume.")


def run_process(order: Order) -> Generator[dict[str, Any], None, None]:
    """Run an order in a fetching process and yield its events; the process ends when the generator is closed."""
    command = [sys.executable, "-m", "connectors.smart_fetch_process"]
    roots = filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")))
    room = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    process = start_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=room
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(order.to_json() + "\n")
        process.stdin.flush()
        for line in process.stdout:
            yield json.loads(line)
    except BrokenPipeError:
        return
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


_SENTENCES = {
    "kick-off": "{source} did not accept the bulk export{status}; check the group, the client's scopes and the types "
    "asked for, or set the mode to crawl.",
    "expired": "{source} let the export expire twice{status}; ask its administrator how long exports are kept.",
    "request": "{source} did not answer as it should{status}{path}; nothing was published, run again to resume.",
    "sign-in": "{source} did not accept the sign-in; check client id, registered key and token address with "
    "`zebrawatch doctor`.",
    "cut short": "{source} broke off in the middle of a file{path}; nothing was published, run again to resume.",
    "count": "{source} delivered a file{path} whose lines are not what its manifest promises; nothing was published, "
    "run again.",
    "attachments": "{source} did not hand out all documents that notes point at; nothing was published, run again to "
    "resume.",
    "no types": "{source} offers none of the resource types asked for.",
    "no patients": "{source} lists no patients to crawl; name a group or patients.",
    "disk full": "The disk is full; nothing was published, free some space and run again to resume.",
    "disk": "The working folder of the fetch cannot be written; check its permissions.",
    "smart-fetch": "smart-fetch gave up on {source}; nothing was published, run again to resume.",
}


def _sentence(source: str, *, reason: str, status: int | None, path: str) -> str:
    code = f" (HTTP status {status})" if status else ""
    where = f" at {_without_ids(path)}" if path else ""
    form = _SENTENCES.get(reason, f"Fetching from {{source}} met a {reason}; run again to resume.")
    return form.format(source=source, status=code, path=where)


def _without_ids(path: str) -> str:
    """A path whose last part may be a record's id: kept for files and statuses, cut for resources."""
    return re.sub(r"/(Patient|Binary|Group)/[^/]+", r"/\1/…", path)


def _judged(fetched: _Fetched, settings: FhirServer) -> _Fetched:
    errors = fetched.issues.get("error", 0)
    if errors > settings.errors_allowed:
        # What was fetched beside the errors is no use to the next attempt: it asks anew.
        shutil.rmtree(fetched.folder)
        raise SourceError(
            f"{settings.source} reported {errors} error(s) during the export, {settings.errors_allowed} allowed; "
            "nothing was published, ask its administrator or allow more."
        )
    return fetched


def _gather(settings: FhirServer, fetched: _Fetched, partial: Path, *, first: bool) -> Manifest:
    record = find_export_record(fetched.folder)
    stated = record.transaction_time if record else None
    time = datetime.fromisoformat(fetched.transaction_time) if fetched.transaction_time else stated
    files = tuple(_take(path, fetched.folder, partial) for path in _ndjson(fetched.folder))
    if record is not None:
        _check_sums(settings.source, files, record)
    check_files(settings.source, files, None, need_patients=first)
    return Manifest(
        source=settings.source,
        kind=fetched.kind,
        data_kind=settings.data_kind,
        transaction_time=time,
        files=files,
        fingerprint=fingerprint_of(files),
        notices=tuple(_notices(fetched)),
    )


def _ndjson(folder: Path) -> Iterator[Path]:
    for below in (folder, folder / "deleted"):
        if below.is_dir():
            for path in sorted(below.iterdir()):
                if path.name.endswith((".ndjson", ".ndjson.gz")) and path.name != "log.ndjson" and path.name[0] != ".":
                    yield path


def _take(path: Path, folder: Path, partial: Path) -> PulledFile:
    name = str(path.relative_to(folder))
    target = partial / name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # A file system without hard links.
        shutil.copyfile(path, target)
    return describe_file(target, name, deleted=name.startswith("deleted/"))


def _check_sums(source: str, files: tuple[PulledFile, ...], record: ExportRecord) -> None:
    """Every line the log counted is in the exported files, by type (files that were added beside have other names)."""
    promised: Counter[tuple[str, bool]] = Counter()
    for expected in record.files:
        promised[expected.resource_type, expected.role == "deleted"] += expected.count or 0
    found: Counter[tuple[str, bool]] = Counter()
    for file in files:
        exported = re.fullmatch(r"(?:deleted/)?(\w+)\.\d{3}\.ndjson(?:\.gz)?", file.name)
        if exported:
            found[exported[1], file.deleted] += file.lines
    for (kind, deleted), lines in promised.items():
        if found[kind, deleted] != lines:
            raise SourceError(
                f"{source} delivered {lines:,} lines of {kind} but {found[kind, deleted]:,} are on the disk; run again."
            )


def _notices(fetched: _Fetched) -> Iterator[str]:
    if fetched.not_offered:
        yield f"the server does not offer {', '.join(fetched.not_offered)}"
    errors, notices = fetched.issues.get("error", 0), fetched.issues.get("notice", 0)
    if errors:
        yield f"{errors} error(s) reported by the server and allowed"
    if notices:
        yield f"{notices} message(s) reported by the server"
    for word, text in (
        ("missing", "document(s) a note points at that the server does not have"),
        ("elsewhere", "document(s) on another server, left alone"),
        ("no_text", "attachment(s) without text (pictures, sound), left alone"),
    ):
        if fetched.attachments.get(word):
            yield f"{fetched.attachments[word]} {text}"
    if fetched.missing_medications:
        yield f"{fetched.missing_medications} medication(s) an order points at that could not be had"


def read_ids(path: Path) -> tuple[str, ...]:
    """Patient ids from a file, one a line, plain or gzip; empty lines are left out (SourceError where unreadable)."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return tuple(filter(None, (line.strip() for line in text.decode("utf-8").splitlines())))
    except (OSError, EOFError, ValueError):
        raise SourceError(f"The list of patients {path} cannot be read.") from None
