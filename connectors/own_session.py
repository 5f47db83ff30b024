"""Starts a command in a session of its own, so that all it leaves behind can be ended: FOLDER COMMAND ...

What it prints is appended to FOLDER/log.txt; FOLDER/pid names its process group. The process stays the same one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LOG, PID = "log.txt", "pid"


def command_of(folder: Path, command: list[str]) -> list[str]:
    """The command line that starts `command` so."""
    return [sys.executable, "-I", "-S", __file__, str(folder), *command]


def main(folder: Path, command: list[str]) -> None:
    """Become the leader of a new session that writes for its owner only, then the command."""
    os.setsid()
    os.umask(0o077)
    (folder / PID).write_text(str(os.getpid()))
    log = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
