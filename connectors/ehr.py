"""The door back into the EHR: transactions to a FHIR server, and what of ours it holds.

A fault that a later attempt may not meet (no answer, 429, 5xx) is an UnreachableError; one that it will is a
RefusedError. Both are worded without what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

from connectors.smart_auth import Secret, check_address
from zebrawatch.errors import ZebrawatchError

_PASSING = (408, 425, 429)


class EhrError(ZebrawatchError):
    """The EHR could not be written to."""


class UnreachableError(EhrError):
    """The server gave no answer, or one that a later attempt may not meet."""


class RefusedError(EhrError):
    """The server refused what was sent; sending the same again would be refused again."""


@dataclass
class EhrServer:
    """A FHIR R4 server to write to. Use as a context manager."""

    url: str
    token: Secret | None = None
    timeout_seconds: float = 30
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_address(self.url, "address of the EHR's FHIR server", secret=self.token is not None)

    def __enter__(self) -> EhrServer:
        headers = {"Accept": "application/fhir+json", "Prefer": "return=minimal"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.read()}"
        self._client = httpx.Client(headers=headers, timeout=self.timeout_seconds)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def transact(self, bundle: Mapping[str, Any]) -> None:
        """Send a transaction: all of it is done, or none."""
        self._answer("POST", self.url.rstrip("/"), json=dict(bundle), content_type="application/fhir+json")

    def find(self, kind: str, query: str) -> list[dict[str, Any]]:
        """The resources of a kind that a search gives."""
        parameters = dict(part.split("=", 1) for part in query.split("&"))
        said = self._answer("GET", f"{self.url.rstrip('/')}/{kind}", params=parameters)
        entries = said.get("entry") or []
        return [one["resource"] for one in entries if one.get("resource", {}).get("resourceType") == kind]

    def _answer(self, method: str, address: str, content_type: str = "", **rest: Any) -> dict[str, Any]:
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            response = self._client.request(method, address, headers=headers, **rest)
        except httpx.HTTPError as error:
            raise UnreachableError(f"The EHR server {self.url} gives no answer ({type(error).__name__}).") from None
        status = response.status_code
        if status >= 500 or status in _PASSING:
            raise UnreachableError(f"The EHR server {self.url} answers with status {status}.")
        if status >= 300:
            raise RefusedError(f"The EHR server {self.url} refuses with status {status}{_why(response)}.")
        try:
            said = response.json() if response.content else {}
        except ValueError:
            raise UnreachableError(f"The EHR server {self.url} answers, but not in JSON.") from None
        return said if isinstance(said, dict) else {}


def _why(response: httpx.Response) -> str:
    """Kind and place of the first issue of an OperationOutcome; its prose may quote what was sent, and is left out."""
    try:
        issue = response.json()["issue"][0]
        place = ", ".join(map(str, issue.get("expression", ())[:2]))
        return f" ({issue['code']}{' at ' + place if place else ''})"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
