"""Fetching processes without their start-up: one process imports what they need once, and forks for each fetch.

A fetch imports some two seconds' worth of libraries; a night does not mind, forty tests do.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_PROGRAM = """
import os, signal, socket, sys
import connectors.smart_fetch_process as process
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
line = socket.socket(fileno=int(sys.argv[1]))
while True:
    word, pipes, *_ = socket.recv_fds(line, 1, 2)
    if not word:
        break
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line.close()
        for pipe, number in zip(pipes, (0, 1)):
            os.dup2(pipe, number)
            os.close(pipe)
        status = 1
        try:
            status = process.main()
        finally:
            os._exit(status)
    for pipe in pipes:
        os.close(pipe)
    line.send(pid.to_bytes(4, "little"))
"""


class Forked:
    """What `connectors.fhir_server` uses of a `subprocess.Popen`."""

    def __init__(self, line: socket.socket) -> None:
        ours_in, theirs_in = os.pipe()[::-1]
        ours_out, theirs_out = os.pipe()
        socket.send_fds(line, [b"f"], [theirs_in, theirs_out])
        os.close(theirs_in)
        os.close(theirs_out)
        self.pid = int.from_bytes(line.recv(4), "little")
        self.stdin: TextIO = os.fdopen(ours_in, "w")
        self.stdout: TextIO = os.fdopen(ours_out)

    def kill(self) -> None:
        """End the fetch if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Until it has ended."""
        for _ in range(2000):
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.005)


@contextmanager
def nursery() -> Iterator[Any]:
    """A function that takes the place of `subprocess.Popen`."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno())]
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen(command, cwd=root, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": root})
    theirs.close()
    try:
        yield lambda *_, **__: Forked(ours)
    finally:
        ours.close()
        process.wait(timeout=20)
