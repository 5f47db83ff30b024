"""`zebrawatch export`: the lake's contents in forms that other people's tools read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, open_lake, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.configuration import Configuration

app = typer.Typer(no_args_is_help=True, help="Write the lake's contents in forms that other tools read.")


@app.callback()
def _group() -> None:
    """Keeps `meds` a subcommand while it is the only one."""


@app.command()
def meds(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    text: Annotated[bool, typer.Option("--text", help="Put the notes' text into text_value too.")] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Write the timeline as a MEDS data set, as of the last published night. It is patient data."""
    from connectors.meds_export import export_meds

    found = settings(config, lake__folder=str(lake) if lake else None)
    opened = open_lake(lake)
    with Progress() as progress:
        done = export_meds(
            opened, out, name=found.site.name, with_text=text, opted_out=_opted_out(found), progress=progress.say
        )
    rows = f"{done.rows:,} rows of {done.patients:,} patients, {done.notes:,} of them notes"
    print(f"Wrote {rows}, with {done.codes:,} codes, to {done.folder}.")
    if done.left_out:
        print(
            f"Left out: {done.left_out:,} rows without a code, or of patients who are restricted, opted out or unknown."
        )
    if json_line:
        told = {"folder": str(done.folder), "patients": done.patients, "rows": done.rows, "notes": done.notes}
        print(json.dumps({**told, "codes": done.codes, "shards": done.shards, "left_out": done.left_out}))


def _opted_out(found: Configuration) -> frozenset[int]:
    """Pseudonymous keys of the patients in policy.opt_out_file; ConfigurationError where it cannot be read."""
    from connectors.configuration import site_key
    from zebrawatch.fhir.subjects import subject_id_of

    listed = found.policy.opt_out_file
    if not listed:
        return frozenset()
    try:
        names = Path(listed).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"The opt-out list {listed} cannot be read (policy.opt_out_file).") from None
    key = site_key(found)
    return frozenset(subject_id_of(name, key) for name in names)
