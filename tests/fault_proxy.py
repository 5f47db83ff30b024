"""A proxy on loopback that puts faults between a client and a FHIR server: refusals, cuts, stalls, changed answers."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Rule:
    """What happens to requests whose `METHOD path?query` matches. `times`: how often; then the rule is spent.

    Exactly one of the faults: `answer` (sent instead of asking the server), `rewrite` (of the server's answer),
    `cut_at` (the connection ends after so many bytes of the body), `stall_at` (silence after so many bytes, until the
    client leaves), `drop` (the connection ends without an answer).
    """

    pattern: str
    times: int = 1_000_000
    answer: Answer | None = None
    rewrite: Callable[[bytes], bytes] | None = None
    cut_at: int | None = None
    stall_at: int | None = None
    drop: bool = False


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FaultProxy:
    """A running proxy. `root` is its address, `upstream` that of the server behind it (both without `/fhir`)."""

    root: str
    upstream: str = ""
    rules: list[Rule] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    # One for all requests; loopback needs no certificates, whose loading costs more than a request.
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, verify=False))

    @property
    def url(self) -> str:
        """The FHIR base as seen through the proxy."""
        return f"{self.root}/fhir"

    def reset(self) -> None:
        """No faults, nothing seen."""
        self.rules.clear()
        self.seen.clear()
        self.stalled.clear()
        self.released.clear()

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(1 for request in self.seen if re.search(pattern, request.line))

    def rewrite_json(self, pattern: str, change: Callable[[Any], Any], times: int = 1_000_000) -> None:
        """Change the JSON of matching answers."""
        self.rules.append(Rule(pattern, times, rewrite=lambda body: json.dumps(change(json.loads(body))).encode()))

    def _rule_for(self, line: str) -> Rule | None:
        for rule in self.rules:
            if rule.times > 0 and re.search(rule.pattern, line):
                rule.times -= 1
                return rule
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {self.path}"
        self.proxy.seen.append(Seen(line, {k.lower(): v for k, v in self.headers.items()}, body))
        rule = self.proxy._rule_for(line)
        if rule is not None and rule.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, content = rule.answer if rule is not None and rule.answer else self._ask(body)
        if rule is not None and rule.rewrite and status == 200:
            content = rule.rewrite(content)
        self._send(status, headers, content, rule)

    def _ask(self, body: bytes) -> Answer:
        drop = ("host", "content-length", "connection", "accept-encoding")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in drop}
        try:
            answer = self.proxy.client.request(
                self.command, self.proxy.upstream + self.path, headers=headers, content=body
            )
        except httpx.HTTPError:
            return 502, {}, b""
        kept = ("content-type", "content-location", "retry-after", "x-progress", "location", "www-authenticate")
        return answer.status_code, {k: v for k, v in answer.headers.items() if k in kept}, answer.content

    def _send(self, status: int, headers: dict[str, str], content: bytes, rule: Rule | None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        end = len(content)
        if rule is not None:
            end = next((at for at in (rule.cut_at, rule.stall_at) if at is not None), end)
        self.wfile.write(content[:end])
        self.wfile.flush()
        if rule is not None and rule.stall_at is not None:
            self.proxy.stalled.set()
            # Until the client gives up and closes its end (or the test lets go).
            self.connection.settimeout(60)
            try:
                while self.connection.recv(1):
                    pass
            except OSError:
                pass
            self.proxy.released.set()
        if end < len(content):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815  (names of http.server)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that has left is no error here."""


@contextmanager
def fault_proxy(upstream: str = "") -> Iterator[FaultProxy]:
    """Run a proxy on a free port of loopback."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_address[1]}", upstream)
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
        proxy.client.close()
