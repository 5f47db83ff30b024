"""A standalone Spark cluster on loopback for tests: one master, two workers, ended by their process ids."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyspark
from sekmet_server import free_port

from connectors.configuration import SparkSettings
from connectors.spark import prepare_environment


@contextmanager
def standalone(folder: Path, workers: int = 2) -> Iterator[str]:
    """The master's URL. Workers have a core and a gigabyte each; their logs and work folders lie in `folder`."""
    prepare_environment(SparkSettings(master="local"), folder / "scratch")
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(folder, "master.Master", "--port", str(port)))
        for number in range(workers):
            work = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"worker{number}"), url)
            started.append(_start(folder, "worker.Worker", *work))
        yield url
    finally:
        for process in reversed(started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _start(folder: Path, role: str, *arguments: str) -> subprocess.Popen[bytes]:
    launcher = Path(pyspark.__file__).parent / "bin" / "spark-class"
    with (folder / f"{role}.log").open("ab") as log:
        return subprocess.Popen(
            [str(launcher), f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1", "--webui-port", "0", *arguments],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
