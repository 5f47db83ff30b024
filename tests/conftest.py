"""What tests share: one small Spark session a test run, started the way the screen starts its own, and the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from connectors.lake import Lake
    from zebrawatch.nights import NightRange

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of what is tested
settings.load_profile("untimed")

# The main module of an xdist worker has no file; PySpark takes such a process for a doctest of its own and ends it.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = pytest.__file__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need Spark come first: the longest of them must not be what one worker is left with at the end."""
    heavy = {item.path for item in items if "spark" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in heavy)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local Spark session with its temporary files in a folder of the test run."""
    from connectors.configuration import SparkSettings
    from connectors.spark import session

    started = session(
        SparkSettings(master="local[2]", driver_memory="1g", partitions=1), tmp_path_factory.mktemp("a lake's scratch")
    )
    yield started
    started.stop()


@pytest.fixture(scope="module")
def screen(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lake]]:
    """Screen a folder's nights into a lake of a name, in this process; settings as `section__key`."""
    from connectors import configuration
    from connectors.lake import Lake
    from pipelines.runner import run_nights

    del spark  # the session that all tests share is up before the first run asks for it
    base = tmp_path_factory.mktemp("screens")
    key = base / "site.key"
    key.write_bytes(b"k" * 32)
    before = dict(os.environ)

    def run(folder: Path, nights: NightRange | None, lake: str, **settings: str) -> Lake:
        chosen = {
            "lake__folder": str(base / lake),
            "source__location": str(folder),
            "site__key_file": str(key),
            **settings,
        }
        os.environ.update({f"ZEBRAWATCH_{name.upper()}": value for name, value in chosen.items()})
        try:
            run_nights(configuration.load(), nights, lambda _: None)
        finally:
            for name in chosen:
                os.environ.pop(f"ZEBRAWATCH_{name.upper()}")
        return Lake.open(base / lake)

    yield run
    os.environ.clear()
    os.environ.update(before)
