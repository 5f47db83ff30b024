"""Progress of long work on the terminal: a line for every step, with the time it took to get there."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says what is being done; to stderr, so that results on stdout stay clean."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def say(self, text: str) -> None:
        """One line: seconds since the start, and what is done now."""
        print(f"{time.monotonic() - self.begun:6.1f} s  {text}", file=sys.stderr, flush=True)
