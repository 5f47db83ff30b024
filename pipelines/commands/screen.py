"""`zebrawatch screen`: run the screen over nights, and say what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from pipelines.commands.progress import Progress
from pipelines.runner import run_nights
from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange


def screen(
    source: Annotated[str | None, typer.Option(help="Folder of FHIR NDJSON, or base URL of a FHIR server.")] = None,
    night: Annotated[str | None, typer.Option(help="One night, YYYY-MM-DD.")] = None,
    nights: Annotated[str | None, typer.Option(help="A range of nights, A..B.")] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV of known diagnoses: patient,disease_id,suspected,confirmed.")] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Screen the nights (default: every night the records speak of) and say what was found."""
    if night and nights:
        raise ConfigurationError("Give --night or --nights, not both.")
    found = settings(
        config, source__location=source, source__labels=str(labels) if labels else None, lake__folder=str(lake) if lake else None
    )
    try:
        asked = NightRange.parse(night or nights) if night or nights else None  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigurationError(f"{error}.") from None
    with Progress() as progress:
        run_nights(found, asked, progress.say)
