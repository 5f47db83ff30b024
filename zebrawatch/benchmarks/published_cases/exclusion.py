"""Knowledge without the papers of the cases it is tried on: a folder of knowledge files for the usual door."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from zebrawatch.knowledge.annotations import read_lines
from zebrawatch.knowledge.diseases import KnowledgeFiles

_COUNT = re.compile(r"(\d+)/(\d+)\Z")


@dataclass(frozen=True)
class Excluded:
    """The folder, and what was left out of phenotype.hpoa."""

    folder: Path
    papers: int
    rows_left_out: int
    rows_reduced: int
    diseases_touched: int
    diseases_emptied: int
    """Diseases of phenotype.hpoa that lost every row; Orphanet may still describe them."""


def exclude_papers(files: KnowledgeFiles, papers: Collection[str], folder: Path) -> Excluded:
    """Copy the knowledge files to `folder`, phenotype.hpoa without rows that rest only on `papers`.

    A row pooled over several papers keeps the others; its count (`3/7`) shrinks by the share of papers that left, as
    in the ranking benchmark, and says nothing (empty) where less than one person remains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in ((files.hp_obo, "hp.obo"), (files.genes_to_phenotype, "genes_to_phenotype.txt")):
        shutil.copyfile(source, folder / name)
    for path in (files.orphanet, *files.mondo.values()):
        if path is not None:
            shutil.copyfile(path, folder / path.name)
    kept, touched, left, out, reduced = [], set(), set(), 0, 0
    for line in read_lines(files.phenotype_hpoa):
        fields = line.split("\t")
        if line.startswith(("#", "database_id\t")) or len(fields) < 8:
            kept.append(line)
            continue
        sources = [each.strip() for each in fields[4].split(";") if each.strip()]
        remaining = [each for each in sources if each not in papers]
        if len(remaining) == len(sources):
            kept.append(line)
            left.add(fields[0])
            continue
        touched.add(fields[0])
        if not remaining:
            out += 1
            continue
        reduced += 1
        left.add(fields[0])
        fields[4], fields[7] = ";".join(remaining), _shrunk(fields[7], len(remaining) / len(sources))
        kept.append("\t".join(fields))
    (folder / "phenotype.hpoa").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return Excluded(folder, len(papers), out, reduced, len(touched), len(touched - left))


def _shrunk(frequency: str, share: float) -> str:
    counted = _COUNT.match(frequency.strip())
    if counted is None:
        return frequency
    hits, size = (int(part) for part in counted.groups())
    people = round(size * share)
    return f"{min(people, round(hits * share))}/{people}" if people else ""
