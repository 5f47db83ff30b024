"""`zebrawatch config`: check and show the configuration."""

from __future__ import annotations

import msgspec
import typer

from pipelines.commands.options import ConfigOption, settings

app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Read the file and the environment; say what is wrong, or that all is well."""
    found = settings(config)
    print(f"The configuration is well: site '{found.site.name}', lake {found.lake_folder}, digest {found.digest()}.")
    if found.site.timezone == "UTC":
        print("Note: site.timezone is UTC; set the hospital's own, so that nights are its nights.")


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print every key with the value that holds."""
    for section, keys in msgspec.to_builtins(settings(config)).items():
        print(f"[{section}]")
        for key, value in keys.items():
            print(f"{key} = {value!r}" if not isinstance(value, bool) else f"{key} = {str(value).lower()}")
