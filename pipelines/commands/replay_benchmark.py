"""`zebrawatch benchmark replay`: what a replay of many nights costs, against one night over the same notes.

Both begin at the same folder of a demo hospital (made data) and decode and read all of it; one scores every night, the
other the last night only. They are run in turn, and CPU is that of all processes of a run, so that other work on the
machine tells little.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.benchmark import BenchmarkError, plain, table
from pipelines.commands.cost import measured
from pipelines.commands.options import JsonOption
from pipelines.commands.progress import Progress

GOAL = 3.0
"""Most that a replay may cost, in nights over the same notes (the project's own goal)."""

Say = Callable[[str], None]


def replay_cost(
    patients: Annotated[int, typer.Option(help="Patients of the demo hospital; a tenth have a rare disease.")] = 120,
    seed: Annotated[int, typer.Option(help="Its seed.")] = 11,
    rounds: Annotated[int, typer.Option(help="How often both are run; the smallest cost of each counts.")] = 2,
    keep: Annotated[Path | None, typer.Option(help="Work here and leave hospital and lakes behind.")] = None,
    json_line: JsonOption = False,
) -> None:
    """CPU of a replay of all nights, and of one night over the same notes."""
    if rounds < 1 or patients < 20:
        raise BenchmarkError("The replay benchmark needs --rounds 1 and --patients 20 at least.")
    with Progress() as progress, tempfile.TemporaryDirectory() as scratch:
        results = run(patients, seed, rounds, (keep or Path(scratch)).absolute(), progress.say)
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


def run(patients: int, seed: int, rounds: int, folder: Path, say: Say) -> dict[str, Any]:
    """Both costs and their ratio, under the hospital's name."""
    source = folder / f"demo-{patients}-{seed}"
    if not source.exists():
        say("Making the demo hospital")
        measured("demo-hospital", source, "--patients", patients, "--rare", patients // 10, "--seed", seed)
    every: list[dict[str, Any]] = []
    one: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        say(f"Round {number} of {rounds}: all nights")
        every.append(_replayed(source, folder / "lake-all"))
        say(f"Round {number} of {rounds}: the last night")
        one.append(_replayed(source, folder / "lake-one", every[-1]["last_night"]))
    return {source.name: compared(every, one)}


def compared(every: list[dict[str, Any]], one: list[dict[str, Any]]) -> dict[str, Any]:
    """The least that each cost over the rounds, and how many nights a replay costs."""
    whole, night = (min(runs, key=lambda run: run["cpu_seconds"]) for runs in (every, one))
    ratio = whole["cpu_seconds"] / night["cpu_seconds"]
    return {
        "n": whole["nights"],
        "replay_cpu_seconds": whole["cpu_seconds"],
        "one_night_cpu_seconds": night["cpu_seconds"],
        "ratio": ratio,
        "goal": GOAL,
        "reached": ratio <= GOAL,
        "peak_gib": whole["peak_gib"],
        "seconds": whole["seconds"],
        "note": "made data; start of Python and Java counts in both",
    }


def _replayed(source: Path, lake: Path, night: str | None = None) -> dict[str, Any]:
    shutil.rmtree(lake, ignore_errors=True)
    chosen = ("--from", night, "--to", night) if night else ()
    said, cost = measured("replay", "--source", source, "--lake", lake, *chosen, "--json")
    told = json.loads(said.splitlines()[-1])
    return {"nights": told["nights"], "last_night": told["last_night"], **cost}
