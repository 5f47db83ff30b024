"""`zebrawatch benchmark evidence-arm`: the whole evidence arm without Spark, and the reading of texts under it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.benchmark import data_folder, plain, table
from pipelines.commands.options import JsonOption
from pipelines.commands.progress import Progress

Say = Callable[[str], None]


def evidence_arm_speed(
    notes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own notes: JSON lines with `text`, plain or gzip.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of how notes are put together.")] = 7,
    json_line: JsonOption = False,
) -> None:
    """Speed of the whole evidence arm beside orjson, and of reading texts under Spark beside plain Python."""
    with Progress() as progress:
        results = run(notes, seed, progress.say)
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


def run(file: Path | None, seed: int, say: Say) -> dict[str, Any]:
    """Figures by what was read: notes alone, the third-party export where it is there, texts under Spark."""
    from connectors.configuration import SparkSettings
    from connectors.spark import session
    from zebrawatch.benchmarks import evidence_arm
    from zebrawatch.benchmarks.burden import Arm
    from zebrawatch.benchmarks.corpora import packaged_ontology, read_notes
    from zebrawatch.benchmarks.ingest import export_lines
    from zebrawatch.benchmarks.recognise import compose_notes
    from zebrawatch.screen.naming import NamingSet

    data = data_folder()
    path = file or data / "notes" / "common_disease_notes.jsonl.gz"
    notes = compose_notes([note["text"] for note in read_notes(path)], seed)
    say("Building the knowledge")
    arm = Arm.build(data)
    results: dict[str, Any] = {}
    inputs = {
        "notes": evidence_arm.lines_of_notes(notes),
        "synthea_bulk_10": [line for lines in export_lines(data).values() for line in lines],
    }
    for name, lines in inputs.items():
        if lines:
            say(f"{name}: {len(lines):,} lines")
            results[name] = evidence_arm.time_arm(lines, arm)
    say("Starting Spark")
    naming_set = NamingSet.build(arm.ranker.knowledge, packaged_ontology())
    with tempfile.TemporaryDirectory() as scratch:
        spark = session(SparkSettings(master="local[1]", driver_memory="2g", partitions=1), Path(scratch))
        try:
            results["under_spark"] = evidence_arm.time_under_spark(spark, notes, arm, naming_set, Path(scratch))
        finally:
            spark.stop()
    return results
