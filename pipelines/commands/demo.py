"""`zebrawatch demo-hospital`: make the demo hospital."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import settings
from pipelines.commands.progress import Progress


def demo_hospital(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    patients: Annotated[int, typer.Option(help="Patients in all.")] = 240,
    rare: Annotated[int, typer.Option(help="Of them with a rare disease; each gets five matched controls.")] = 24,
    seed: Annotated[int, typer.Option(help="The same seed makes the same hospital, byte for byte.")] = 7,
) -> None:
    """Make a demo hospital: a FHIR bulk-export folder of made patients, with labels.csv.

    It is made data, not evidence.
    """
    from connectors.knowledge_files import knowledge_files
    from zebrawatch.demo.hospital import make_demo_hospital  # brings clinosim along, which takes seconds

    with Progress() as progress:
        made = make_demo_hospital(
            out,
            patients=patients,
            rare=rare,
            seed=seed,
            knowledge=knowledge_files(settings().knowledge.folder),
            progress=progress.say,
        )
    print(made)
