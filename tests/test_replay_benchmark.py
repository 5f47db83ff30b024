"""The replay benchmark's ratio: the least that each side cost, against the goal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.commands import replay_benchmark
from pipelines.commands.benchmark import BenchmarkError


def test_rounds_are_run_in_turn_and_the_least_of_each_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "demo-40-3"
    source.mkdir()
    asked: list[tuple[str, str | None]] = []
    cpu = iter([90.0, 20.0, 60.0, 40.0])

    def replayed(folder: Path, lake: Path, night: str | None = None) -> dict[str, Any]:
        assert folder == source
        asked.append((lake.name, night))
        return {"nights": 1 if night else 700, "last_night": "2025-03-06", "cpu_seconds": next(cpu), "seconds": 9.0,
                "peak_gib": 1.5}  # fmt: skip

    monkeypatch.setattr(replay_benchmark, "_replayed", replayed)
    told = replay_benchmark.run(40, 3, 2, tmp_path, lambda _: None)["demo-40-3"]
    assert asked == [("lake-all", None), ("lake-one", "2025-03-06")] * 2
    assert (told["n"], told["ratio"], told["reached"]) == (700, 3.0, True)


def test_a_hospital_too_small_to_say_anything_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="--patients 20"):
        replay_benchmark.replay_cost(patients=10)
