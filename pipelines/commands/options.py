"""Options that many commands share, and the configuration they make together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors import configuration
from connectors.configuration import Configuration

if TYPE_CHECKING:
    from connectors.lake import Lake

LakeOption = Annotated[Path | None, typer.Option("--lake", help="Folder of the lake (default: lake.folder, var/lake).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Configuration file (default: zebrawatch.toml here).")
]


def settings(config: Path | None = None, **overrides: str | None) -> Configuration:
    """The configuration with command-line options on top.

    Options become environment overrides (`section__key`), so that Dagster's definitions, which read the configuration
    by themselves, see the same.
    """
    for name, value in overrides.items():
        if value is not None:
            os.environ[f"{configuration.PREFIX}{name.upper()}"] = value
    if config is not None:
        os.environ["ZEBRAWATCH_CONFIG"] = str(config)
    return configuration.load()


def open_lake(lake: Path | None, *, older: bool = False) -> Lake:
    """The lake of a command, its tables as the last published night left them; LakeError where there is none."""
    from connectors.lake import Lake  # brings pyarrow along, which `--help` does not need

    return Lake.open(settings(lake__folder=str(lake) if lake else None).lake_folder, published=True, older=older)
