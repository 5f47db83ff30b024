"""smart-fetch in a process of its own, with what a night needs besides.

`connectors.fhir_server` starts it, writes one JSON line (an Order, secrets included) to its standard input and reads
JSON lines from its standard output: counts and fixed words, never what a server or a record says. It ends when its
standard input closes, so it never outlives the run that started it.

What is added to smart-fetch 1.0.3, and why:
- a token goes to the server's own origin only; smart-fetch sends it to any address a manifest names;
- finished files are kept over a restart, a file has its name only when it is whole, its lines are compared with the
  manifest's count, and a body that broke off is asked for again; smart-fetch begins all files anew and stops at the
  first;
- a status or file address that has expired (404, 410) leads to one new export;
- messages of the server's error files are counted, not printed: they may hold patient data;
- a crawl since a time takes all Patients; smart-fetch would take the unchanged ones for deleted;
- a server without bulk export is crawled by its Group or its list of Patients; smart-fetch wants ids or a bulk export;
- text attachments behind addresses are fetched as Binary resources (`connectors.attachments`); notes stay as sent;
- resource types that smart-fetch does not list (Composition, FamilyMemberHistory, Coverage).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import cumulus_fhir_support as cfs
import httpx
from cumulus_fhir_support import http as cfs_http
from smart_fetch import bulk_utils, crawl_utils, filtering, lifecycle, merges, resources
from smart_fetch.cli import export as smart_export
from smart_fetch.cli_utils import limit_to_server_resources
from smart_fetch.tasks.meds import MEDICATION_TASKS

from connectors.attachments import fetch_attachments
from connectors.fetch_order import PUBLISHED_NAME, Order
from connectors.folder import DISK_FULL, LineCounter
from connectors.server_check import try_server
from connectors.smart_auth import origin_of

FINISHED_NAME = ".finished.json"
BEGUN_NAME = ".begun"
# Servers behind one address need not agree on the time, and HTTP dates are whole seconds.
CLOCK_MARGIN = timedelta(minutes=1)
GONE = (404, 410)
# A body that breaks off is asked for this often before the night stops.
BODY_ATTEMPTS = 3
# Sign-in asks for the exported types and for what is fetched beside them.
_BESIDE = (resources.BINARY, resources.MEDICATION)


class StoppedError(Exception):
    """The fetch cannot go on: a reason in fixed words, the HTTP status if there was one, the path (no query) it met."""

    def __init__(self, reason: str, error: BaseException | None = None, address: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        response = getattr(error, "response", None)
        self.status = response.status_code if response is not None else None
        self.path = urlsplit(address).path


def say(event: str, **facts: object) -> None:
    """Write one event to the run that started this process."""
    _EVENTS.write(json.dumps({"event": event, **facts}) + "\n")
    _EVENTS.flush()


_EVENTS = sys.stdout


def guard_requests(order: Order) -> None:
    """Set the one policy for every HTTP request of this process.

    Waits and time limits are the order's; a `Retry-After` can shorten a wait, never lengthen it. The Authorization
    header goes to the origin of the server's own address and nowhere else.
    """
    original: Callable[..., Awaitable[httpx.Response]] = cfs_http.http_request
    home = origin_of(order.url)

    async def http_request(client: httpx.AsyncClient, method: str, url: str, **rest: Any) -> httpx.Response:
        rest["retry_delays"] = list(order.retry_minutes)
        rest.setdefault("timeout", order.timeout_seconds)
        if origin_of(url) != home:
            rest["headers"] = {k: v for k, v in (rest.get("headers") or {}).items() if k.lower() != "authorization"}
            rest["auth_callback"] = None
        response = await original(client, method, url, **rest)
        if response.status_code == 202:
            wait = min(cfs.parse_retry_after(response, order.longest_poll_seconds), order.longest_poll_seconds)
            response.headers["Retry-After"] = str(wait)
        return response

    cfs_http.http_request = http_request


class WholeExporter(bulk_utils.BulkExporter):  # type: ignore[misc]
    """A bulk export whose files are whole, counted, and kept over a restart."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counts: dict[str, int] = {}
        self._record = Path(self._destination) / FINISHED_NAME

    async def export(self) -> None:
        """Export, and let errors through that smart-fetch would turn into an exit with the server's words."""
        Path(self._destination).mkdir(parents=True, exist_ok=True)
        await self._internal_export()

    async def _request_with_delay_status(self, path: str, **rest: Any) -> httpx.Response:
        kickoff = path == self.export_url
        try:
            response: httpx.Response = await super()._request_with_delay_status(path, **rest)
        except cfs.NetworkError as error:
            gone = error.response is not None and error.response.status_code in GONE
            raise StoppedError("kick-off" if kickoff else "expired" if gone else "request", error, path) from None
        if kickoff and not response.headers.get("Content-Location"):
            raise StoppedError("kick-off", None, path)
        return response

    async def _delete_export(self, poll_url: str) -> bool:
        try:
            await super()._request_with_delay_status(poll_url, method="DELETE", target_status_code=202)
        except cfs.RequestError:
            return False  # A kindness to the server; all files are here.
        return True

    def _gather_all_messages(self) -> tuple[set[str], set[str]]:
        return set(), set()

    async def _download_all_ndjson_files(self, resource_json: dict[str, Any], item_type: str) -> None:
        below = Path(self._destination) / ("" if item_type == "output" else item_type)
        numbers: dict[str, int] = {}
        downloads = []
        for entry in resource_json.get(item_type) or []:
            kind, url = entry["type"], entry["url"]
            numbers[kind] = numbers.get(kind, 0) + 1
            if isinstance(entry.get("count"), int):
                self._counts[url] = entry["count"]
            name = f"{kind}.{numbers[kind]:03}.ndjson.gz"
            downloads.append(self._download_ndjson_file(url, kind, str(below / name), item_type))
        # One that fails does not stop the others: what they bring is kept for the restart.
        for result in await asyncio.gather(*downloads, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _download_ndjson_file(self, url: str, resource_type: str, filename: str, item_type: str) -> None:
        path = Path(filename)
        name = str(path.relative_to(self._destination))
        finished = self._finished()
        if path.is_file() and finished.get(name) == [_without_query(url), path.stat().st_size]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        lines, size = await self._body(url, resource_type, item_type, partial)
        partial.replace(path)
        # Read again: other files have finished in between.
        self._record.write_text(json.dumps(self._finished() | {name: [_without_query(url), path.stat().st_size]}))
        self._log.download_complete(url, lines, size)
        say("file", type=resource_type, role=item_type, lines=lines)

    def _finished(self) -> dict[str, list[Any]]:
        try:
            found: dict[str, list[Any]] = json.loads(self._record.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    async def _body(self, url: str, resource_type: str, item_type: str, partial: Path) -> tuple[int, int]:
        fault = "cut short"
        for _ in range(BODY_ATTEMPTS):
            response = await self._request_with_delay_status(
                url,
                headers={"Accept": "application/fhir+ndjson"},
                stream=True,
                log_request=lambda: self._log.download_request(url, item_type, resource_type),
                log_error=lambda error: self._log.download_error(url, error),
            )
            try:
                counter, size = await _write(response, partial)
            except httpx.HTTPError as error:
                self._log.download_error(url, error)
                fault = "cut short"
                continue
            finally:
                await response.aclose()
            if self._counts.get(url, counter.lines) == counter.lines and counter.ends_whole:
                return counter.lines, size
            fault = "count"
            self._log.download_error(url, ValueError("count"))
        raise StoppedError(fault, None, url)


async def _write(response: httpx.Response, partial: Path) -> tuple[LineCounter, int]:
    counter, size = LineCounter(), 0
    # No name and no time in the gzip header: the same content gives the same bytes.
    with partial.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        async for chunk in response.aiter_bytes():
            packed.write(chunk)
            counter.feed(chunk)
            size += len(chunk)
    counter.end()
    return counter, size


def _without_query(address: str) -> str:
    # A signed address gets a new signature each time the status is asked for.
    return urlunsplit(urlsplit(address)._replace(query="", fragment=""))


class NightFilters(filtering.Filters):  # type: ignore[misc]
    """Filters under which a crawl takes every Patient, changed or not: the others are found by Patient."""

    crawling = False

    def params(self, *, with_since: bool = True, bulk: bool = False) -> dict[str, set[str]]:
        """Search parameters by type; see smart-fetch."""
        found: dict[str, set[str]] = super().params(with_since=with_since, bulk=bulk)
        if self.crawling and resources.PATIENT in found:
            found[resources.PATIENT] = super().params(with_since=False)[resources.PATIENT]
        return found

    def since_resources(self) -> set[str]:
        """Types that are asked for since a time only."""
        found: set[str] = super().since_resources()
        return found - {resources.PATIENT} if self.crawling else found


def offers_bulk(capabilities: dict[str, Any]) -> bool:
    """Whether a CapabilityStatement names a bulk export; an absent statement is given the benefit of the doubt."""
    servers = [rest for rest in capabilities.get("rest", []) if rest.get("mode") == "server"]
    if not servers:
        return True
    named = [operation for rest in servers for operation in _operations(rest)]
    stated = " ".join(capabilities.get("instantiates", []))
    return "bulkdata" in stated or any("export" in operation for operation in named)


def _operations(rest: dict[str, Any]) -> Iterator[str]:
    for holder in (rest, *rest.get("resource", [])):
        for operation in holder.get("operation", []):
            yield f"{operation.get('name', '')} {operation.get('definition', '')}"


async def fetch(order: Order) -> None:
    """Fetch what the order says into its folder; begins once more where the server has let an export expire."""
    workdir = _workdir(order)
    try:
        await _fetch_once(order, workdir)
    except StoppedError as stopped:
        if stopped.reason != "expired":
            raise
        say("expired")
        shutil.rmtree(workdir)
        await _fetch_once(order, workdir)


async def _check(order: Order) -> None:
    say("checked", steps=await try_server(order))


def _workdir(order: Order) -> Path:
    """The folder of the fetch that is resumed, else the next free number."""
    folders = lifecycle.list_workdirs(order.folder)
    newest = next(iter(folders), "")
    number, nickname = folders.get(newest, (0, ""))
    if nickname == order.nickname and not Path(order.folder, newest, PUBLISHED_NAME).exists():
        return Path(order.folder, newest)
    return Path(order.folder, f"{number + 1:03}.{order.nickname}")


async def _fetch_once(order: Order, workdir: Path) -> None:
    scopes = sorted({*order.types, *_BESIDE})
    client = cfs.FhirClient(
        order.url,
        scopes,
        token_url=order.token_url or None,
        smart_client_id=order.client_id or None,
        smart_jwks=order.jwks,
        bearer_token=order.bearer_token or None,
    )
    try:
        async with client:
            types = limit_to_server_resources(client, list(order.types))
            if not types:
                raise StoppedError("no types")
            filters = NightFilters(
                types, client=client, since=order.since, since_mode=filtering.SinceMode(order.since_mode)
            )
            crawl = order.mode == "crawl" or (order.mode == "auto" and _better_crawled(client))
            filters.crawling = crawl
            _begin(workdir, filters)
            begun = await _begun(client, workdir)
            await (_crawl if crawl else _bulk)(order, client, filters, workdir)
            await smart_export.run_hydration_tasks(client, str(workdir), filters.resources(), MEDICATION_TASKS, True)
            for kind in filters.resources() - filters.since_resources():
                merges.note_deleted_resource(kind, str(workdir), order.folder, filters, compress=True)
            attachments = await fetch_attachments(client, origin_of(order.url), order.url, workdir)
            if attachments.failed:
                raise StoppedError("attachments")
            lifecycle.OutputMetadata(str(workdir)).mark_complete()
    except cfs.AuthError:
        raise StoppedError("sign-in") from None
    except cfs.NetworkError as error:
        raise StoppedError("request", error) from None
    covered = _covered(workdir, begun) if crawl and filters.since_mode != filtering.SinceMode.CREATED else None
    say(
        "done",
        kind="crawl" if crawl else "bulk",
        folder=str(workdir),
        issues=_issues(workdir),
        attachments=asdict(attachments),
        transaction_time=covered,
        not_offered=sorted(set(order.types) - set(types)),
        missing_medications=_missing_medications(workdir),
    )


def _better_crawled(client: cfs.FhirClient) -> bool:
    # Epic's bulk export runs on the live system; smart-fetch prefers to crawl it.
    return client.server_type == cfs.ServerType.EPIC or not offers_bulk(client.capabilities)


def _begin(workdir: Path, filters: NightFilters) -> None:
    try:
        lifecycle.OutputMetadata(str(workdir)).note_context(filters)
    except SystemExit:  # An unfinished fetch of something else (other types, other time) under the same name.
        shutil.rmtree(workdir)
        lifecycle.OutputMetadata(str(workdir)).note_context(filters)


async def _bulk(order: Order, client: cfs.FhirClient, filters: NightFilters, workdir: Path) -> None:
    await bulk_utils.perform_bulk(
        fhir_url=order.url,
        bulk_client=client,
        filters=filters,
        group=order.group,
        workdir=str(workdir),
        managed_dir=order.folder,
        compress=True,
    )


async def _crawl(order: Order, client: cfs.FhirClient, filters: NightFilters, workdir: Path) -> None:
    patients = order.patients or tuple([patient async for patient in _patients(order, client)])
    if not patients:
        raise StoppedError("no patients")
    await crawl_utils.perform_crawl(
        fhir_url=order.url,
        filters=filters,
        source_dir=order.folder,
        workdir=str(workdir),
        rest_client=client,
        bulk_client=client,
        group_nickname=None,
        group=order.group or None,
        id_file=None,
        id_list=",".join(sorted(patients)),
        id_system=None,
        managed_dir=order.folder,
        compress=True,
    )


async def _patients(order: Order, client: cfs.FhirClient) -> Any:
    """Ids of the patients to crawl: the Group's members, else all Patients the server lists."""
    if order.group:
        group = (await client.request("GET", f"Group/{order.group}")).json()
        for member in group.get("member", []):
            reference = str((member.get("entity") or {}).get("reference", ""))
            if reference.rpartition("/")[0].endswith("Patient") and not member.get("inactive"):
                yield reference.rpartition("/")[2]
        return
    address: str | None = "Patient?_count=200&_elements=id"
    while address:
        bundle = (await client.request("GET", address)).json()
        for entry in bundle.get("entry", []):
            if entry.get("resource", {}).get("resourceType") == resources.PATIENT:
                yield entry["resource"]["id"]
        address = next((link["url"] for link in bundle.get("link", []) if link.get("relation") == "next"), None)


async def _begun(client: cfs.FhirClient, workdir: Path) -> datetime:
    """When this fetch first began, by the server's clock where it tells it; kept over a restart."""
    path = workdir / BEGUN_NAME
    if not path.exists():
        now = datetime.now(UTC)
        response = await client.request("GET", "metadata")
        with contextlib.suppress(ValueError, TypeError):
            now = min(now, parsedate_to_datetime(response.headers.get("Date")).astimezone(UTC))
        workdir.mkdir(parents=True, exist_ok=True)
        path.write_text((now - CLOCK_MARGIN).isoformat())
    return datetime.fromisoformat(path.read_text())


def _covered(workdir: Path, begun: datetime) -> str:
    """Up to when a crawl has everything: its beginning, or the newest change seen where the server lags behind.

    A crawl has no transaction time. smart-fetch takes the oldest of the newest changes of each type, which for a type
    that rarely changes means fetching years again.
    """
    done = json.loads((workdir / ".metadata").read_text()).get("done", {})
    newest = max((datetime.fromisoformat(done[kind]) for kind in done), default=begun)
    return min(begun, newest.astimezone(UTC)).isoformat()


def _missing_medications(workdir: Path) -> int:
    """How many Medications that orders point at are not here; smart-fetch goes on where one cannot be had."""
    wanted = {
        str((order.get("medicationReference") or {}).get("reference", ""))
        for order in cfs.read_multiline_json_from_dir(str(workdir), resources.MEDICATION_REQUEST)
    }
    here = {f"Medication/{one['id']}" for one in cfs.read_multiline_json_from_dir(str(workdir), resources.MEDICATION)}
    return len({reference for reference in wanted if reference.startswith("Medication/")} - here)


def _issues(workdir: Path) -> dict[str, int]:
    """How many errors and lesser messages the server's error files, or failed searches, hold."""
    found = {"error": 0, "notice": 0}
    for outcome in cfs.read_multiline_json_from_dir(str(workdir / "error"), resources.OPERATION_OUTCOME):
        for issue in outcome.get("issue", []):
            found["error" if issue.get("severity") in ("fatal", "error") else "notice"] += 1
    return found


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(75)


def _hold(folder: str) -> Any:
    """Wait until no other fetch works in this folder (one that lost its parent ends within moments)."""
    Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Path(folder, ".lock").open("w")  # noqa: SIM115  (held until this process ends)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main() -> int:
    """Run the order on standard input; status 0 where it was fetched whole."""
    order = Order.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.umask(0o077)
    logging.disable(logging.CRITICAL)
    with Path(os.devnull).open("w") as silence:
        sys.stdout = sys.stderr = silence
        return _run(order)


def _run(order: Order) -> int:
    lock = _hold(order.folder)
    guard_requests(order)
    bulk_utils.BulkExporter = WholeExporter
    try:
        asyncio.run(_check(order) if order.mode == "check" else fetch(order))
        return 0
    except StoppedError as stopped:
        say("stopped", reason=stopped.reason, status=stopped.status, path=stopped.path)
    except OSError as error:
        say("stopped", reason="disk full" if error.errno in DISK_FULL else "disk", status=None, path="")
    except SystemExit as ended:
        full = any(f"[Errno {number}]" in str(ended.code) for number in DISK_FULL)
        say("stopped", reason="disk full" if full else "smart-fetch", status=None, path="")
    except Exception as error:  # The name of the fault is safe to show, its text may not be.
        say("stopped", reason=f"fault {type(error).__name__}", status=None, path="")
    finally:
        lock.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
