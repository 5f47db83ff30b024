"""Try a FHIR server out, step by step, in the fetching process: facts in fixed words, never a server's text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import cumulus_fhir_support as cfs
import httpx
from cumulus_fhir_support import http as cfs_http

from connectors.fetch_order import Order

# The words an OAuth server may answer with (RFC 6749, section 5.2); anything else is not repeated.
OAUTH_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
Facts = dict[str, object]


async def try_server(order: Order) -> list[Facts]:
    """Metadata, discovery, sign-in, export and one resource, in this order; stops where the next step would make no
    sense.

    Each step is {"step", "ok", …facts}. A bulk export of what changed from now on is begun and at once cancelled: the
    one sure way to know that it is allowed.
    """
    steps: list[Facts] = []
    async with httpx.AsyncClient(follow_redirects=True) as plain:
        steps.append(await _metadata(order, plain))
        if not steps[-1]["ok"]:
            return steps
        if order.jwks is not None:
            steps.append(await _discovery(order, plain))
            if not steps[-1]["ok"]:
                return steps
    client = cfs.FhirClient(
        order.url,
        sorted(order.types),
        token_url=order.token_url or None,
        smart_client_id=order.client_id or None,
        smart_jwks=order.jwks,
        bearer_token=order.bearer_token or None,
    )
    try:
        async with client:
            if order.jwks is not None:
                steps.append({"step": "token", "ok": True})
            steps += [await _export(order, client), await _resource(order, client)]
    except cfs.AuthError as error:
        steps.append({"step": "token", "ok": False, **_oauth(error)})
    return steps


async def _get(plain: httpx.AsyncClient, address: str) -> tuple[int | None, dict[str, Any]]:
    """Status (None: no answer) and JSON object (empty where it is none) at an address, asked without credentials."""
    try:
        response = await cfs_http.http_request(plain, "GET", address, headers={"Accept": "application/json"})
        content = response.json()
    except cfs.NetworkError as error:
        return (error.response.status_code if error.response is not None else None), {}
    except ValueError:
        return 200, {}
    return 200, content if isinstance(content, dict) else {}


async def _metadata(order: Order, plain: httpx.AsyncClient) -> Facts:
    status, statement = await _get(plain, order.url.rstrip("/") + "/metadata")
    version = str(statement.get("fhirVersion", ""))
    ok = statement.get("resourceType") == "CapabilityStatement" and version.startswith("4.")
    return {
        "step": "metadata",
        "ok": ok,
        "status": status,
        "fhir_version": version[:8],
        "not_offered": sorted(set(order.types) - set(_types(statement))) if ok else [],
    }


def _types(statement: dict[str, Any]) -> Iterator[str]:
    for rest in statement.get("rest", []):
        for resource in rest.get("resource", []):
            yield str(resource.get("type"))


async def _discovery(order: Order, plain: httpx.AsyncClient) -> Facts:
    status, found = await _get(plain, order.url.rstrip("/") + "/.well-known/smart-configuration")
    algorithms = found.get("token_endpoint_auth_signing_alg_values_supported") or []
    mine = (order.jwks or {})["keys"][0]["alg"]
    return {
        "step": "discovery",
        "ok": bool(found.get("token_endpoint") or order.token_url) and (not algorithms or mine in algorithms),
        "status": status,
        "token_endpoint": bool(found.get("token_endpoint") or order.token_url),
        "algorithm": mine,
    }


def _oauth(error: BaseException) -> Facts:
    response = getattr(error.__cause__, "response", None)
    if response is None:
        return {"status": None, "error": ""}
    try:
        word = str(response.json().get("error", ""))
    except (ValueError, AttributeError):
        word = ""
    return {"status": response.status_code, "error": word if word in OAUTH_ERRORS else ""}


async def _export(order: Order, client: cfs.FhirClient) -> Facts:
    where = f"Group/{order.group}/$export" if order.group else "$export"
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        response = await client.request(
            "GET",
            f"{where}?_type=Patient&_since={now}",
            headers={"Prefer": "respond-async", "Accept": "application/fhir+json"},
        )
    except cfs.NetworkError as error:
        return {"step": "export", "ok": False, "status": error.response.status_code if error.response else None}
    address = response.headers.get("Content-Location")
    if address:
        # Where DELETE is not known the export ends by itself.
        with contextlib.suppress(cfs.NetworkError):
            await client.request("DELETE", address)
    return {"step": "export", "ok": response.status_code == 202 and bool(address), "status": response.status_code}


async def _resource(order: Order, client: cfs.FhirClient) -> Facts:
    where = f"Group/{order.group}" if order.group else "Patient?_count=1"
    try:
        response = await client.request("GET", where)
        found = response.json()
    except cfs.NetworkError as error:
        return {"step": "resource", "ok": False, "status": error.response.status_code if error.response else None}
    except ValueError:
        return {"step": "resource", "ok": False, "status": response.status_code}
    some = bool(found.get("entry") or found.get("member"))
    return {"step": "resource", "ok": some, "status": response.status_code}
