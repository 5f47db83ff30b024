"""What the fetching process is told: everything about one fetch from a FHIR server, on one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

# Marks a working folder whose content has become a pull: the next fetch under the same name begins anew.
PUBLISHED_NAME = ".published"


@dataclass(frozen=True)
class Order:
    """What to fetch, and how. Times: minutes between attempts, seconds between polls and of silence on a connection."""

    url: str
    folder: str
    nickname: str
    types: tuple[str, ...]
    mode: str = "auto"
    since: str | None = None
    since_mode: str = "auto"
    group: str = ""
    patients: tuple[str, ...] = ()
    client_id: str = ""
    jwks: dict[str, Any] | None = field(default=None, repr=False)
    bearer_token: str = field(default="", repr=False)
    token_url: str = ""
    retry_minutes: tuple[float, ...] = (1, 2, 4, 8)
    longest_poll_seconds: int = 60
    timeout_seconds: float = 300

    def to_json(self) -> str:
        """One line of JSON; holds the secrets."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields |= {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
        return cls(**fields)
