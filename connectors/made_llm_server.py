"""A stand-in for an OpenAI-compatible server: fixed answers at a fixed pace, with faults on order.

For measuring what our own side costs, and for tests of faults. It holds no model; its answers are made.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

FAULTS = ("500", "429", "400", "hang", "cut", "no json", "no choices")


def made_body(content: str, reasoning: str | None = None) -> dict[str, Any]:
    """A chat completion body."""
    message = {"role": "assistant", "content": content, "reasoning": reasoning}
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 400}}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": "made", "choices": [choice], "usage": usage}


@dataclass
class MadeLlmServer:
    """Serves on loopback while the context lasts.

    `reply` gives a body for a request's body. `fault` says, for a request's body and the count of times it was seen
    (from 1), which of FAULTS to show, or None. `slots` requests are worked on at a time, each for `seconds`.
    """

    reply: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: made_body("{}")
    fault: Callable[[Mapping[str, Any], int], str | None] = lambda _body, _time: None
    slots: int = 1_000_000
    seconds: float = 0.0
    counts_tokens: bool = True
    seen: Counter[str] = field(default_factory=Counter)
    served: int = 0

    def __enter__(self) -> MadeLlmServer:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the made LLM server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def close(self) -> None:
        """Take no request more, as a server that dies after this reply."""
        self._closed = True
        if self._listening is not None:
            self._listening.close()

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(started))
        self._loop.close()

    async def _run(self, started: threading.Event) -> None:
        self._stop, self._closed = asyncio.Event(), False
        self._slots = asyncio.Semaphore(self.slots)
        application = web.Application(client_max_size=64 << 20)
        application.router.add_post("/v1/chat/completions", self._complete)
        if self.counts_tokens:
            application.router.add_post("/tokenize", self._tokenize)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._listening = site._server
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        told = json.dumps(body["messages"])
        self.seen[told] += 1
        async with self._slots:
            await asyncio.sleep(self.seconds)
        fault = self.fault(body, self.seen[told])
        if fault is not None:
            return await self._fail(request, fault)
        self.served += 1
        response = web.json_response(self.reply(body))
        if self._closed:
            response.force_close()
        return response

    async def _fail(self, request: web.Request, fault: str) -> web.StreamResponse:
        if fault == "hang":
            await self._stop.wait()
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Length": "4096"})
            await response.prepare(request)
            await response.write(b'{"choices": [{"index": 0, "mess')
            if request.transport is not None:
                request.transport.abort()
            return response
        if fault == "no json":
            return web.Response(text="<html>Bad gateway</html>")
        if fault == "no choices":
            return web.json_response({"object": "error"})
        return web.Response(status=int(fault) if fault.isdigit() else 500, headers={"Retry-After": "0"})

    async def _tokenize(self, request: web.Request) -> web.Response:
        told = json.loads(await request.read())
        return web.json_response({"count": len(told["prompt"].split())})


def main(slots: int, seconds: float) -> None:
    """Serve until the standard input closes; the first line printed is the address."""
    with MadeLlmServer(reply=lambda _: made_body('{"made": true}'), slots=slots, seconds=seconds) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
