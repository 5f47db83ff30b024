"""What tests share: one small Spark session a test run, started the way the screen starts its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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
