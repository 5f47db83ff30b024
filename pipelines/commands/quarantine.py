"""`zebrawatch quarantine`: what could not be used, and why."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated

import typer

from pipelines.commands.options import JsonOption, LakeOption, open_lake
from zebrawatch.errors import LakeError

app = typer.Typer(no_args_is_help=True, help="What could not be used, and why.")


@app.command("list")
def list_(lake: LakeOption = None, json_line: JsonOption = False) -> None:
    """Count the quarantined lines by pull, type and reason."""
    from zebrawatch.schemas import QUARANTINE

    rows = open_lake(lake).arrow(QUARANTINE, ["pull", "resource_type", "reason"]).to_pylist()
    counts = Counter((row["pull"], row["resource_type"] or "unknown", row["reason"]) for row in rows)
    for (pull, kind, reason), lines in sorted(counts.items()):
        print(f"{pull}  {kind:20} {lines:8,}  {reason}")
    if not counts:
        print("Nothing is in quarantine.")
    if json_line:
        print(json.dumps({"lines": len(rows), "by_reason": dict(Counter(row["reason"] for row in rows))}))


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="File of the pull.")],
    line_number: Annotated[int, typer.Argument(help="Line in that file.")],
    lake: LakeOption = None,
) -> None:
    """Print one quarantined line whole, with what was wrong (patient data: for the data team's eyes)."""
    from zebrawatch.schemas import QUARANTINE

    rows = open_lake(lake).arrow(QUARANTINE).to_pylist()
    found = [row for row in rows if row["file"] == file and row["line_number"] == line_number]
    if not found:
        raise LakeError(f"No line {line_number} of {file} is in quarantine.")
    for row in found:
        print(f"{row['pull']} {row['file']} line {row['line_number']}: {row['reason']}\n{row['detail']}")
        print(row["line"].decode("utf-8", "backslashreplace"))
