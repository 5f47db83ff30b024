"""What tests share: one small Spark session a test run, started the way the screen starts its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
