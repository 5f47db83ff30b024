"""`zebrawatch quarantine`: what could not be used, and why; and another try."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, open_lake, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import LakeError

if TYPE_CHECKING:
    from connectors.lake import Lake

app = typer.Typer(no_args_is_help=True, help="What could not be used, and why.")
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="Only lines with this reason (may be given more than once).")
]


@app.command("list")
def list_(reason: ReasonOption = None, lake: LakeOption = None, json_line: JsonOption = False) -> None:
    """Count the quarantined lines by pull, type and reason."""
    rows = _rows(open_lake(lake), reason)
    counts = Counter((row["pull"], row["resource_type"] or "unknown", row["reason"]) for row in rows)
    for (pull, kind, why), lines in sorted(counts.items()):
        print(f"{pull}  {kind:20} {lines:8,}  {why}")
    if not counts:
        print("Nothing is in quarantine.")
    if json_line:
        print(json.dumps({"lines": len(rows), "by_reason": dict(Counter(row["reason"] for row in rows))}))


@app.command()
def show(
    file: Annotated[str | None, typer.Argument(help="File of the pull.")] = None,
    line_number: Annotated[int | None, typer.Argument(help="Line in that file.")] = None,
    reason: ReasonOption = None,
    most: Annotated[int, typer.Option(help="Show at most this many lines.")] = 10,
    lake: LakeOption = None,
) -> None:
    """Print quarantined lines whole, with what was wrong (patient data: for the data team's eyes)."""
    found = [
        row
        for row in _rows(open_lake(lake), reason, whole=True)
        if file in (None, row["file"]) and line_number in (None, row["line_number"])
    ]
    if not found:
        which = f"No line {line_number} of {file}" if line_number else f"No line of {file}" if file else "No such line"
        raise LakeError(f"{which} is in quarantine.")
    for row in found[:most]:
        print(f"{row['pull']} {row['file']} line {row['line_number']}: {row['reason']}\n{row['detail']}")
        print(row["line"].decode("utf-8", "backslashreplace"))
    if len(found) > most:
        print(f"{len(found) - most:,} more; --most N shows them.")


@app.command()
def retry(
    reason: ReasonOption = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Read quarantined lines once more, after a fix of the code or the configuration.

    Lines that can be used now become known on the night DESIGN's rules give them, and the nights from there on are made
    again; the others stay. The bytes in the lake's raw folder are not touched either way.
    """
    from assets.retry import prepare_retry
    from pipelines.runner import run_nights

    configuration = settings(config, lake__folder=str(lake) if lake else None)
    before = len(_rows(open_lake(lake), reason))
    with Progress() as progress:
        tried = prepare_retry(configuration, tuple(reason or ()))
        if tried.nights is not None:
            progress.say(
                f"{tried.readable:,} of {tried.lines:,} lines can be read now; making nights {tried.nights} again"
            )
            run_nights(configuration, tried.nights, progress.say)
    still = Counter(row["reason"] for row in _rows(open_lake(lake), None))
    left = sum(lines for why, lines in still.items() if not reason or why in reason)
    used = before - left
    print(f"{used:,} of {before:,} lines are used now; {sum(still.values()):,} stay in quarantine.")
    for why, lines in sorted(still.items()):
        print(f"  {lines:8,}  {why}")
    if json_line:
        nights = str(tried.nights) if tried.nights else None
        print(json.dumps({"tried": before, "used": used, "stay": sum(still.values()), "nights": nights}))


def _rows(lake: Lake, reasons: list[str] | None, *, whole: bool = False) -> list[dict[str, Any]]:
    from zebrawatch.schemas import QUARANTINE

    rows = lake.arrow(QUARANTINE, None if whole else ["pull", "resource_type", "reason"]).to_pylist()
    there = {row["reason"] for row in rows}
    if there and (wrong := sorted(set(reasons or ()) - there)):
        raise LakeError(f"No line has the reason '{wrong[0]}'; reasons are {', '.join(sorted(there))}.")
    return [row for row in rows if not reasons or row["reason"] in reasons]
