"""What a command costs: seconds, CPU and memory of it and of all processes below it (Python, Java, Spark's workers)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pipelines.commands.benchmark import BenchmarkError

_SAMPLE_SECONDS = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


def measured(*arguments: object) -> tuple[str, dict[str, float]]:
    """What a command said, and `{seconds, cpu_seconds, peak_gib}` of it and all processes below it.

    BenchmarkError where it fails. CPU is sampled: what a process used after it was last looked at is not counted.
    """
    command = [sys.executable, "-m", "pipelines.commands.main", *map(str, arguments)]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        ticks: dict[int, int] = {}
        peak = 0
        while process.poll() is None:
            below = _family(process.pid)
            ticks.update((pid, used) for pid, (used, _) in below.items())
            peak = max(peak, sum(pages for _, pages in below.values()))
            time.sleep(_SAMPLE_SECONDS)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise BenchmarkError(f"A run failed: {err.read().decode().strip().splitlines()[-1]}")
        said = out.read().decode()
    gib = peak * os.sysconf("SC_PAGE_SIZE") / 2**30
    return said, {"seconds": time.monotonic() - begun, "cpu_seconds": sum(ticks.values()) / _TICKS, "peak_gib": gib}


def _family(root: int) -> dict[int, tuple[int, int]]:
    """By process id, of a process and all below it: clock ticks used so far, resident pages (proc(5))."""
    parents, found = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(place.name)
        parents[pid] = int(fields[1])
        found[pid] = (int(fields[11]) + int(fields[12]), int(fields[21]))
    return {pid: used for pid, used in found.items() if _below(pid, root, parents)}


def _below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid and pid != root:
        pid = parents.get(pid, 0)
    return pid == root
