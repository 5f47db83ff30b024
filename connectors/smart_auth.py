"""Credentials for a FHIR server: SMART Backend Services (`private_key_jwt`) or a bearer token.

Secrets come from a file or an environment variable, named in the settings; they are read at the last moment, handed
to the fetching process through a pipe, and never stand in an argument list, a log or an error. When reading, the
exchange itself (signed JWT for an access token, again when it expires) is cumulus-fhir-support's, which asks for no
right to write; the door back into the EHR (connectors/ehr.py) makes its own. Source:
https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jwcrypto import jwk, jwt

from zebrawatch.errors import ConfigurationError

# JWT algorithm by key type and curve. SMART asks servers for RS384 and ES384; the others are what some vendors take.
_ALGORITHMS = {("RSA", None): "RS384", ("EC", "P-384"): "ES384", ("EC", "P-256"): "ES256", ("EC", "P-521"): "ES512"}

ASSERTION_SECONDS = 290  # SMART: at most five minutes


@dataclass(frozen=True)
class Secret:
    """Where a secret lies: a file, or an environment variable. Only the place is ever shown."""

    file: Path | None = None
    env: str | None = None

    def __str__(self) -> str:
        return f"the file {self.file}" if self.file else f"the environment variable {self.env}"

    def read(self) -> str:
        """The secret itself, without surrounding white space; ConfigurationError where it is not to be had."""
        if self.file is not None:
            try:
                text = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(f"The secret in {self} cannot be read; check path and permissions.") from None
        else:
            text = os.environ.get(self.env or "", "").strip()
        if not text:
            raise ConfigurationError(f"The secret in {self} is empty or missing.")
        return text


@dataclass(frozen=True)
class Credentials:
    """How to sign in: `client_id` and `key` (PEM, JWK or JWK Set) for SMART, or `bearer_token`; neither for an open
    server.

    `token_url` overrides the token endpoint that the server's discovery names.
    """

    client_id: str = ""
    key: Secret | None = None
    token_url: str = ""
    bearer_token: Secret | None = None

    def __post_init__(self) -> None:
        if bool(self.client_id) != (self.key is not None):
            raise ConfigurationError("SMART sign-in needs both a client id and a private key.")
        if self.key is not None and self.bearer_token is not None:
            raise ConfigurationError("Give either a SMART key or a bearer token, not both.")

    @property
    def any(self) -> bool:
        """Whether there is anything to sign in with."""
        return self.key is not None or self.bearer_token is not None


@dataclass(frozen=True)
class SigningKey:
    """A private key ready to sign: `jwks` holds it (secret); algorithm and key id may be shown."""

    algorithm: str
    key_id: str
    jwks: dict[str, Any]

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, {self.key_id})"

    def public(self) -> dict[str, Any]:
        """The public half as a JWK Set: what the server's administrator registers."""
        private = jwk.JWK(**self.jwks["keys"][0])
        shared: dict[str, Any] = private.export_public(as_dict=True)
        return {"keys": [shared | {"alg": self.algorithm, "kid": self.key_id, "use": "sig", "key_ops": ["verify"]}]}


def read_signing_key(secret: Secret) -> SigningKey:
    """Read a private key for `private_key_jwt`: PEM, a JWK, or the first private signing key of a JWK Set.

    The algorithm follows from the key (RSA: RS384, P-384: ES384) unless the JWK names one; a key without `kid` gets its
    RFC 7638 thumbprint. ConfigurationError, which never repeats the content, where there is no such key.
    """
    text = secret.read()
    for candidate in _candidates(text):
        found = _signing_key(candidate)
        if found is not None:
            return found
    raise ConfigurationError(
        f"{secret} holds no private key to sign with; give an RSA or P-384 private key as PEM, JWK or JWK Set."
    )


def _candidates(text: str) -> list[jwk.JWK]:
    try:
        if not text.startswith("{"):
            return [jwk.JWK.from_pem(text.encode())]
        content = json.loads(text)
        entries = content.get("keys", [content])
        return [jwk.JWK(**entry) for entry in entries if isinstance(entry, dict) and entry.get("use", "sig") == "sig"]
    except (ValueError, TypeError, jwk.InvalidJWKValue):
        return []


def _signing_key(key: jwk.JWK) -> SigningKey | None:
    kind, curve = key.get("kty"), key.get("crv")
    algorithm = key.get("alg") or _ALGORITHMS.get((kind, curve if kind == "EC" else None))
    if kind not in ("RSA", "EC") or not key.has_private or algorithm is None:
        return None
    key_id = str(key.get("kid") or key.thumbprint())
    # cumulus-fhir-support takes a key only with kid, alg and key_ops; many real JWK Sets say `use` instead.
    private = key.export_private(as_dict=True) | {"kid": key_id, "alg": str(algorithm), "key_ops": ["sign"]}
    return SigningKey(str(algorithm), key_id, {"keys": [private]})


def check_address(address: str, what: str, *, secret: bool) -> None:
    """Refuse an address that is none, holds a password, or would carry a secret over plain HTTP (ConfigurationError).

    SMART requires TLS for every exchange of tokens; the machine's own loopback is left out of that.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"The {what} must be an address that begins with https://.")
    if parts.username or parts.password:
        raise ConfigurationError(f"The {what} holds a user name or password; give credentials by file instead.")
    if secret and parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigurationError(f"The {what} is plain http; credentials are sent over https only.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address: what decides whether a token may go there (RFC 6454)."""
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def signed_assertion(key: SigningKey, client_id: str, token_url: str) -> str:
    """A new signed JWT that asks `token_url` for an access token (SMART STU2.2, client-confidential-asymmetric).

    It ends within five minutes, and its `jti` is used once.
    """
    header = {"alg": key.algorithm, "kid": key.key_id, "typ": "JWT"}
    claims = {
        "iss": client_id, "sub": client_id, "aud": token_url, "exp": int(time.time()) + ASSERTION_SECONDS,
        "jti": str(uuid.uuid4()),
    }  # fmt: skip
    token = jwt.JWT(header=header, claims=claims)
    token.make_signed_token(key=jwk.JWK(**key.jwks["keys"][0]))
    return str(token.serialize())
