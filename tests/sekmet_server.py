"""A live FHIR R4 server on loopback for tests: sekmet-fhir, started on a free port and ended by its process id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

_PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Sekmet:
    """A running server. `url` is its FHIR base."""

    url: str
    process: subprocess.Popen[bytes]
    data: Path

    def put(self, *resources: dict[str, Any], token: str = "") -> None:
        """Create or update resources under their own ids."""
        headers = {"Prefer": "return=minimal"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with httpx.Client(headers=headers, verify=False) as client:
            for resource in resources:
                address = f"{self.url}/{resource['resourceType']}/{resource['id']}"
                client.put(address, json=resource).raise_for_status()

    def delete(self, reference: str) -> None:
        """Delete one resource, such as `DocumentReference/n1`."""
        httpx.delete(f"{self.url}/{reference}", verify=False).raise_for_status()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def sekmet(
    folder: Path, auth: dict[str, Any] | None = None, public_root: str = "", validation: str = "off"
) -> Iterator[Sekmet]:
    """Run a server with its data in `folder`. `public_root` is where it says it is (a proxy before it).

    `validation` of what comes in: strict (refused where it is not valid R4), warn, or off.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "base_url": f"{public_root or f'http://127.0.0.1:{port}'}/fhir",
        "data_dir": str(folder / "data"),
        "own_private_key_path": str(folder / "own.pem"),
        "simulator": {"enabled": False, "delay_seconds": 0},
        "validation": {"inbound": validation},
        "log_inbound": False,
        "server_auth": auth or {"types": ["none"]},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = [str(Path(sys.executable).with_name("sekmet")), "serve", "-c", str(folder / "settings.yaml")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SEKMET_")}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/fhir/metadata", process)
        yield Sekmet(f"http://127.0.0.1:{port}/fhir", process, folder / "data")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until the server answers."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"sekmet-fhir ended with status {process.returncode}")
        try:
            if httpx.get(address, timeout=5, verify=False).status_code < 500:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError("sekmet-fhir did not start")


def ndjson(resources: Iterable[dict[str, Any]]) -> bytes:
    """Resources as NDJSON."""
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)
