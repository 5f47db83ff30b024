"""How well HPO terms are found in text: document F1 and exact mention F1, beside FastHPOCR and a plain dictionary.

Document: the set of a text's terms. Mention: start, end and term all the same. Counts are summed over documents
(micro). Two settings follow the corpus' own annotation, for all systems alike: whether mentions inside longer ones are
reported, and whether inheritance is. The corpora mark wordings only, so of ours values in text and normal states are
left out.
Of FastHPOCR's two settings the one with the better document F1 stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zebrawatch.benchmarks.bootstrap import Floats, f1, interval
from zebrawatch.benchmarks.corpora import (
    ConceptDocument,
    annotates_inheritance,
    annotates_nested,
    packaged_ontology,
    read_concepts,
    stem_of,
)
from zebrawatch.benchmarks.peers import Annotator, fasthpocr, has_fasthpocr, plain_dictionary
from zebrawatch.benchmarks.results import Results
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.knowledge.ontology import MODE_OF_INHERITANCE, PHENOTYPIC_ABNORMALITY, Ontology

CORPORA = ("gsc_2024", "id_68", "gene_reviews")


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Figures by corpus; `files` instead of the corpora of `data`, where given."""
    ontology = packaged_ontology()
    paths = list(files) or [data / "concepts" / f"{name}.jsonl.gz" for name in CORPORA]
    peer = fasthpocr(progress) if has_fasthpocr() else None
    lexicons: dict[tuple[str, ...], Lexicon] = {}
    results: Results = {}
    for path in paths:
        documents = read_concepts(path, ontology)
        nested = annotates_nested(documents)
        inherited = annotates_inheritance(documents, ontology)
        roots = (PHENOTYPIC_ABNORMALITY, MODE_OF_INHERITANCE) if inherited else (PHENOTYPIC_ABNORMALITY,)
        progress(f"{stem_of(path)}: {len(documents)} documents, {'all mentions' if nested else 'longest mentions'}")
        lexicon = lexicons.setdefault(roots, lexicons.get(roots) or Lexicon.build(ontology, roots=roots))
        systems: dict[str, list[Annotator]] = {
            "": [_ours(Recogniser(lexicon, nested=nested, opposites=False))],
            "dictionary": [plain_dictionary(ontology, roots, nested=nested)],
        }
        if peer:
            systems["fasthpocr"] = [peer(True), peer(False)]
        results[stem_of(path)] = _compare(documents, systems, ontology, seed) | {
            "setting": f"{'nested' if nested else 'longest'}, {'with' if len(roots) > 1 else 'without'} inheritance"
        }
    return results


def _ours(recogniser: Recogniser) -> Annotator:
    return lambda text: [
        (found.start, found.end, found.hpo_id) for found in recogniser.find(text) if found.origin == "text"
    ]


def count_hits(documents: Sequence[ConceptDocument], annotate: Annotator, ontology: Ontology) -> tuple[Floats, Floats]:
    """True positives, false positives, false negatives by document: of terms, and of exact mentions."""
    terms = np.zeros((len(documents), 3))
    mentions = np.zeros((len(documents), 3))
    for row, document in enumerate(documents):
        found = {(start, end, ontology.resolve(term) or term) for start, end, term in annotate(document.text)}
        gold = {tuple(mention) for mention in document.mentions}
        terms[row] = _tally({term for *_, term in found}, {mention.hpo_id for mention in document.mentions})
        mentions[row] = _tally(found, gold)
    return terms, mentions


def _tally(found: set[Any], gold: set[Any]) -> tuple[int, int, int]:
    return len(found & gold), len(found - gold), len(gold - found)


def _compare(
    documents: Sequence[ConceptDocument], systems: dict[str, list[Annotator]], ontology: Ontology, seed: int
) -> dict[str, Any]:
    out: dict[str, Any] = {"n": len(documents), "mentions": sum(len(one.mentions) for one in documents)}
    ci: dict[str, list[float]] = {}
    ours: tuple[Floats, Floats] | None = None
    for name, candidates in systems.items():
        began = time.perf_counter()
        counted = [count_hits(documents, annotate, ontology) for annotate in candidates]
        seconds = (time.perf_counter() - began) / len(candidates)
        terms, mentions = max(counted, key=lambda pair: float(f1(pair[0].sum(axis=0))))
        prefix = f"{name}_" if name else ""
        hit, extra, missed = mentions.sum(axis=0)
        figures = {
            "document_f1": float(f1(terms.sum(axis=0))),
            "mention_f1": float(f1(mentions.sum(axis=0))),
            "mention_precision": float(hit / max(hit + extra, 1)),
            "mention_recall": float(hit / max(hit + missed, 1)),
        }
        out |= {prefix + key: value for key, value in figures.items()} | {f"{prefix}seconds": seconds}
        for key, counts in (("document_f1", terms), ("mention_f1", mentions)):
            ci[prefix + key] = list(interval(counts, f1, seed=seed))
        if ours is None:
            ours = (terms, mentions)
            continue
        for key, mine, theirs in (("document_f1", ours[0], terms), ("mention_f1", ours[1], mentions)):
            out[f"{key}_gain_over_{name}"] = out[key] - out[prefix + key]
            ci[f"{key}_gain_over_{name}"] = list(interval(np.hstack([mine, theirs]), _gain, seed=seed))
    return out | {"ci95": ci}


def _gain(counts: Floats) -> Floats:
    return f1(counts[:, :3]) - f1(counts[:, 3:])
