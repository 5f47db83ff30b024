"""`zebrawatch lake`: look after the lake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import JsonOption, LakeOption, open_lake

if TYPE_CHECKING:
    from connectors.lake import Lake

app = typer.Typer(no_args_is_help=True, help="Look after the lake: nights, digests, compaction, garbage, migration.")


@app.command()
def nights(lake: LakeOption = None, json_line: JsonOption = False) -> None:
    """List the published nights."""
    found = open_lake(lake).nights()
    runs: list[tuple[str, str, int, bool]] = []
    for night in found:
        if runs and runs[-1][2:] == (night.generation, night.stale):
            runs[-1] = (runs[-1][0], str(night.night), night.generation, night.stale)
        else:
            runs.append((str(night.night), str(night.night), night.generation, night.stale))
    for first, last, generation, stale in runs:
        again = ", stale: run `zebrawatch screen --nights` over them again" if stale else ""
        print(f"{first} to {last}: generation {generation}{again}")
    if json_line:
        print(
            json.dumps(
                {
                    "nights": len(found),
                    "stale": sum(night.stale for night in found),
                    "last": str(found[-1].night) if found else None,
                }
            )
        )


@app.command()
def digest(lake: LakeOption = None, json_line: JsonOption = False) -> None:
    """Content digest of every table: equal digests, equal rows."""
    from zebrawatch.schemas import TABLES

    opened = open_lake(lake)
    digests = {
        name: opened.digest(table) for name, table in TABLES.items() if name != "nights" and opened.exists(table)
    }
    for name, value in digests.items():
        print(f"{name:12} {value}")
    if json_line:
        print(json.dumps(digests))


@app.command()
def compact(lake: LakeOption = None) -> None:
    """Merge small files into large ones."""
    with _writing(open_lake(lake)) as opened:
        for name, files in opened.compact().items():
            print(f"{name:12} {files} files merged")


@app.command()
def gc(
    lake: LakeOption = None,
    keep_hours: Annotated[int, typer.Option(help="Keep files of versions younger than this.")] = 168,
) -> None:
    """Delete files that no published night needs, and scratch files."""
    with _writing(open_lake(lake)) as opened:
        for name, files in opened.collect_garbage(keep_hours).items():
            print(f"{name:12} {files} files deleted")


@app.command()
def migrate(lake: LakeOption = None) -> None:
    """Bring an older lake to this release's schema."""
    with _writing(open_lake(lake, older=True)) as opened:
        before, now = opened.migrate()
        print(
            f"The lake is at schema version {now}."
            if before == now
            else f"The lake was brought from schema version {before} to {now}."
        )


@contextmanager
def _writing(lake: Lake) -> Iterator[Lake]:
    with lake.writing():
        yield lake
