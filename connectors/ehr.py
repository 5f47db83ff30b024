"""The door back into the EHR: transactions to a FHIR server, and what of ours it holds.

A fault that a later attempt may not meet (no answer, no sign-in, 429, 5xx) is an UnreachableError; one that it will is
a RefusedError. Both are worded without what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from connectors.configuration import Ehr
from connectors.smart_auth import Credentials, Secret, SigningKey, check_address, read_signing_key, signed_assertion
from zebrawatch.errors import ConfigurationError, ZebrawatchError
from zebrawatch.fhir.writeback import KINDS

OPEN = Credentials()
_PASSING = (408, 425, 429)


class EhrError(ZebrawatchError):
    """The EHR could not be written to."""


class UnreachableError(EhrError):
    """The server gave no answer, or one that a later attempt may not meet."""


class RefusedError(EhrError):
    """The server refused what was sent; sending the same again would be refused again."""


@dataclass
class EhrServer:
    """A FHIR R4 server to write to. Use as a context manager.

    With a key it signs in by SMART Backend Services, and again when its token ends. A sign-in that is not accepted is
    no fault of what was to be sent: it is an UnreachableError.
    """

    url: str
    credentials: Credentials = OPEN
    timeout_seconds: float = 30
    _client: httpx.Client = field(init=False, repr=False)
    _key: SigningKey | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        check_address(self.url, "address of the EHR's FHIR server", secret=self.credentials.any)
        if self.credentials.token_url:
            check_address(self.credentials.token_url, "token address (ehr.token_url)", secret=True)

    @classmethod
    def of_settings(cls, ehr: Ehr) -> EhrServer:
        """The server of the configuration's section `ehr` (ConfigurationError where it names none)."""
        if not ehr.url:
            raise ConfigurationError("ehr.url is empty: name the FHIR server that confirmed flags are written to.")
        credentials = Credentials(
            client_id=ehr.client_id,
            key=Secret(file=Path(ehr.key_file)) if ehr.key_file else None,
            token_url=ehr.token_url,
            bearer_token=Secret(env=ehr.bearer_token_env) if ehr.bearer_token_env else None,
        )
        return cls(ehr.url, credentials)

    def __enter__(self) -> EhrServer:
        given = self.credentials
        self._key = read_signing_key(given.key) if given.key else None
        headers = {"Accept": "application/fhir+json", "Prefer": "return=minimal"}
        if given.bearer_token is not None:
            headers["Authorization"] = f"Bearer {given.bearer_token.read()}"
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
        if self._key and "Authorization" not in self._client.headers:
            self._sign_in(self._key)
        response = self._request(method, address, headers=headers, **rest)
        if response.status_code == 401 and self._key:  # the token has ended
            self._sign_in(self._key)
            response = self._request(method, address, headers=headers, **rest)
        status = response.status_code
        if status == 401:
            raise UnreachableError(f"The EHR server {self.url} does not accept the sign-in (status 401).")
        if status >= 500 or status in _PASSING:
            raise UnreachableError(f"The EHR server {self.url} answers with status {status}.")
        if status >= 300:
            raise RefusedError(f"The EHR server {self.url} refuses with status {status}{_why(response)}.")
        return self._json(response)

    def _request(self, method: str, address: str, **rest: Any) -> httpx.Response:
        try:
            return self._client.request(method, address, **rest)
        except httpx.HTTPError as error:
            raise UnreachableError(f"The EHR server {self.url} gives no answer ({type(error).__name__}).") from None

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            said = response.json() if response.content else {}
        except ValueError:
            raise UnreachableError(f"The EHR server {self.url} answers, but not in JSON.") from None
        return said if isinstance(said, dict) else {}

    def _sign_in(self, key: SigningKey) -> None:
        """A new access token, by SMART Backend Services."""
        self._client.headers.pop("Authorization", None)
        about = self._request("GET", f"{self.url.rstrip('/')}/.well-known/smart-configuration")
        found = self._json(about) if about.status_code == 200 else {}
        address = self.credentials.token_url or str(found.get("token_endpoint") or "")
        if not address:
            raise UnreachableError(f"The EHR server {self.url} names no address to sign in at (ehr.token_url).")
        check_address(address, "token address of the EHR's FHIR server", secret=True)
        form = {
            "grant_type": "client_credentials",
            "scope": _scopes(found.get("capabilities")),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed_assertion(key, self.credentials.client_id, address),
        }
        answer = self._request("POST", address, data=form)
        token = self._json(answer).get("access_token") if answer.status_code == 200 else None
        if not token:
            raise UnreachableError(
                f"The EHR server {self.url} does not accept the sign-in (status {answer.status_code}); check "
                "ehr.client_id and the key that is registered for it."
            )
        self._client.headers["Authorization"] = f"Bearer {token}"


def _scopes(capabilities: object) -> str:
    """Rights to read and write what goes back, in SMART's second syntax only where the server takes no other."""
    told = capabilities if isinstance(capabilities, list) else []
    rights = (".crus",) if "permission-v2" in told and "permission-v1" not in told else (".read", ".write")
    return " ".join(f"system/{kind}{right}" for kind in KINDS for right in rights)


def _why(response: httpx.Response) -> str:
    """Kind and place of the first issue of an OperationOutcome; its prose may quote what was sent, and is left out."""
    try:
        issue = response.json()["issue"][0]
        place = ", ".join(map(str, issue.get("expression", ())[:2]))
        return f" ({issue['code']}{' at ' + place if place else ''})"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
