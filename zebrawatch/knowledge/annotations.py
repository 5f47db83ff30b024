"""Parsers of the published annotation files: HPOA, genes to phenotypes, Orphanet, MONDO mappings.

Formats: phenotype.hpoa (obophenotype.github.io/human-phenotype-ontology, twelve tab-separated columns), Orphadata's
orphapackets (one JSON object a line), SSSOM tables of MONDO. Each parser refuses a wrong or cut file in one sentence.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from zebrawatch.errors import KnowledgeError

CATEGORY_FREQUENCY = {
    "HP:0040280": 1.0,
    "HP:0040281": 0.895,
    "HP:0040282": 0.545,
    "HP:0040283": 0.17,
    "HP:0040284": 0.025,
    "HP:0040285": 0.0,
    "obligate": 1.0,
    "very frequent": 0.895,
    "frequent": 0.545,
    "occasional": 0.17,
    "very rare": 0.025,
    "excluded": 0.0,
}
"""Middle of each frequency class of HPO (HP:0040279) and Orphanet: 100 %, 99-80, 79-30, 29-5, 4-1, 0 %."""

PREVALENCE_CLASS = {
    ">1 / 1000": 1.5e-3,
    "6-9 / 10 000": 7.3e-4,
    "1-5 / 10 000": 2.2e-4,
    "1-9 / 100 000": 3e-5,
    "1-9 / 1 000 000": 3e-6,
    "<1 / 1 000 000": 3e-7,
}
"""Geometric middle of Orphanet's classes, per person; below one in a million half a decade lower is taken."""

_COUNT = re.compile(r"(\d+)\s*/\s*(\d+)\Z")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%\Z")
_HPOA_COLUMNS = 12


class Annotation(NamedTuple):
    """One row of phenotype.hpoa."""

    disease: str
    name: str
    negated: bool
    hpo_id: str
    references: tuple[str, ...]
    onset: str
    frequency: str
    sex: str
    aspect: str


class Frequency(NamedTuple):
    """How often a finding was seen: a share, and of how many people where the source counted them."""

    share: float | None
    """0 to 1; null where the source gives no frequency."""
    size: float
    """People counted; 0 where the source gives a class, a percentage or nothing."""


class OrphanetEntity(NamedTuple):
    """One Orphanet entity."""

    id: str
    label: str
    kind: str
    """Disease, Malformation syndrome, Clinical subtype, Category, ..."""
    synonyms: tuple[str, ...]
    exact: tuple[str, ...]
    """OMIM ids of the same disease (relation E)."""
    narrower: tuple[str, ...]
    """OMIM ids of its subtypes (relation BTNT: the Orphanet entity is the broader one)."""
    broader: tuple[str, ...]
    """OMIM ids it is a part of (relation NTBT)."""
    icd10: tuple[str, ...]
    prevalence: float | None
    onset: tuple[str, ...]
    phenotypes: tuple[tuple[str, Frequency], ...]


class Mapping(NamedTuple):
    """One exact match of MONDO."""

    mondo_id: str
    mondo_label: str
    other_id: str
    """OMIM:..., ORPHA:... or ICD10CM:..."""
    other_label: str


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, gzipped or not, without their ends; KnowledgeError where it cannot be read to its end."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    raise KnowledgeError(f"{path} is cut short: its last line has no end.")
                yield line.rstrip("\r\n")
    except EOFError:
        raise KnowledgeError(f"{path} is cut short: its compressed data end too early.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not the text file it should be"
        raise KnowledgeError(f"The knowledge file {path} cannot be read: {reason}.") from None


def read_hpoa(path: Path) -> tuple[str, list[Annotation]]:
    """Release date and rows of phenotype.hpoa."""
    release = ""
    rows: list[Annotation] = []
    header = False
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("#"):
            if line.startswith("#version:"):
                release = line.partition(":")[2].strip()
            continue
        fields = line.split("\t")
        if not header:
            if fields[:4] != ["database_id", "disease_name", "qualifier", "hpo_id"]:
                raise KnowledgeError(
                    f"{path} is no phenotype.hpoa of the twelve-column form: its header is another one."
                )
            header = True
            continue
        if len(fields) != _HPOA_COLUMNS or not fields[3].startswith("HP:"):
            raise KnowledgeError(f"{path} is broken in line {number}: it should hold twelve columns and an HPO id.")
        references = tuple(reference.strip() for reference in fields[4].split(";") if reference.strip())
        rows.append(
            Annotation(
                fields[0],
                fields[1],
                fields[2] == "NOT",
                fields[3],
                references,
                fields[6],
                fields[7],
                fields[8],
                fields[10],
            )
        )
    if not release or not rows:
        raise KnowledgeError(f"{path} is no whole phenotype.hpoa: its version or its rows are missing.")
    return release, rows


_CURATED = re.compile(r"\[(\d{4}-\d{2}-\d{2})\]")


def first_curated(path: Path) -> dict[str, date]:
    """Day of the first curation of every disease of phenotype.hpoa (its `biocuration` column), by disease id.

    A row keeps the days of all who changed it; what it said between them is not known.
    """
    found: dict[str, date] = {}
    for line in read_lines(path):
        fields = line.split("\t")
        if line.startswith("#") or len(fields) != _HPOA_COLUMNS:
            continue
        for day in _CURATED.findall(fields[-1]):
            curated = date.fromisoformat(day)
            found[fields[0]] = min(curated, found.get(fields[0], curated))
    return found


def parse_frequency(text: str) -> Frequency:
    """`3/7`, `45%`, `HP:0040283`, `Occasional (29-5%)` or nothing; what cannot be read counts as no frequency given."""
    text = text.strip()
    counted = _COUNT.match(text)
    if counted and int(counted.group(2)) > 0:
        hits, size = int(counted.group(1)), int(counted.group(2))
        return Frequency(min(1.0, hits / size), float(size))
    percent = _PERCENT.match(text)
    if percent:
        return Frequency(min(1.0, float(percent.group(1)) / 100), 0.0)
    return Frequency(CATEGORY_FREQUENCY.get(text.partition(" (")[0].lower(), CATEGORY_FREQUENCY.get(text)), 0.0)


def read_genes(path: Path) -> dict[str, set[str]]:
    """Gene symbols by disease id, from genes_to_phenotype.txt."""
    genes: dict[str, set[str]] = {}
    lines = read_lines(path)
    header = next(lines, "").split("\t")
    if "gene_symbol" not in header or "disease_id" not in header:
        raise KnowledgeError(
            f"{path} is no genes_to_phenotype.txt: gene_symbol or disease_id is missing in its header."
        )
    symbol, disease = header.index("gene_symbol"), header.index("disease_id")
    for number, line in enumerate(lines, 2):
        fields = line.split("\t")
        if len(fields) != len(header):
            raise KnowledgeError(f"{path} is broken in line {number}: it should hold {len(header)} columns.")
        if fields[symbol] not in ("", "-"):
            genes.setdefault(fields[disease], set()).add(fields[symbol])
    return genes


def read_orphanet(path: Path) -> tuple[str, list[OrphanetEntity]]:
    """Release and entities of Orphanet's orphapackets, one JSON object a line."""
    entities: list[OrphanetEntity] = []
    releases: Counter[str] = Counter()
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = orjson.loads(line)
            releases[str(record.get("version", ""))] += 1
            entities.append(_entity(record))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise KnowledgeError(f"{path} is broken in line {number}: it is no Orphanet entity.") from None
    if not entities:
        raise KnowledgeError(f"{path} holds no Orphanet entity.")
    return releases.most_common(1)[0][0], entities


def _entity(record: dict[str, Any]) -> OrphanetEntity:
    omim: dict[str, list[str]] = {}
    icd10: list[str] = []
    for xref in record["xrefs"]:
        if xref["source"] == "OMIM":
            omim.setdefault(xref["relation"], []).append(f"OMIM:{xref['id']}")
        elif xref["source"] == "ICD-10" and xref["relation"] == "E":
            icd10.append(str(xref["id"]))
    return OrphanetEntity(
        id=record["orpha"],
        label=record["label"],
        kind=record["type"],
        synonyms=tuple(record["synonyms"]),
        exact=tuple(sorted(omim.get("E", []))),
        narrower=tuple(sorted(omim.get("BTNT", []))),
        broader=tuple(sorted(omim.get("NTBT", []))),
        icd10=tuple(sorted(icd10)),
        prevalence=_prevalence(record["prevalence"]),
        onset=tuple(record["onset"]),
        phenotypes=tuple((row["hpo"], parse_frequency(row["freq"])) for row in record["phenotypes"]),
    )


def _prevalence(rows: list[dict[str, Any]]) -> float | None:
    """One prevalence per person: the best kind of figure Orphanet has, worldwide before Europe before the rest.

    Point prevalence comes before prevalence at birth, lifetime prevalence and annual incidence (ten years of which
    count as a prevalence); figures of one kind and place are averaged geometrically. A disease known only from counted
    cases or families gets 1 in 10 million.
    """
    order = {"Point prevalence": 0, "Prevalence at birth": 1, "Lifetime Prevalence": 2, "Annual incidence": 3}
    found: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        value = PREVALENCE_CLASS.get(row["cls"])
        if value is None or row["type"] not in order:
            continue
        place = {"Worldwide": 0, "Europe": 1}.get(row["geo"], 2)
        scale = 10.0 if row["type"] == "Annual incidence" else 1.0
        found.setdefault((order[row["type"]], place), []).append(log(value * scale))
    if found:
        best = found[min(found)]
        return exp(sum(best) / len(best))
    return 1e-7 if any(row["type"] == "Cases/families" for row in rows) else None


def read_sssom(path: Path) -> tuple[str, list[Mapping]]:
    """Release and rows of one of MONDO's SSSOM tables."""
    release = ""
    rows: list[Mapping] = []
    header: list[str] = []
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("#"):
            if "mapping_set_version:" in line:
                found = re.search(r"(\d{4}-\d{2}-\d{2})", line)
                release = found.group(1) if found else ""
            continue
        fields = line.split("\t")
        if not header:
            header = fields
            if not {"subject_id", "subject_label", "object_id", "object_label"} <= set(header):
                raise KnowledgeError(f"{path} is no SSSOM table: subject_id or object_id is missing in its header.")
            continue
        if len(fields) != len(header):
            raise KnowledgeError(f"{path} is broken in line {number}: it should hold {len(header)} columns.")
        record = dict(zip(header, fields, strict=True))
        other = record["object_id"].replace("Orphanet:", "ORPHA:")
        rows.append(Mapping(record["subject_id"], record["subject_label"], other, record["object_label"]))
    if not rows:
        raise KnowledgeError(f"{path} holds no mapping.")
    return release, rows
