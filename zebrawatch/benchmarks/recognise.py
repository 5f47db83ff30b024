"""How fast the recogniser is: ratios to the bare automaton, FastHPOCR and medspaCy, in one run over the same notes.

A figure is the least CPU time of many short rounds; the systems take turns within a round, so that a busy machine hits
all of them. Notes are made by putting real sections of visit notes together to about 3.7 kB, seeded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zebrawatch.benchmarks.corpora import CorpusError, packaged_ontology, read_notes, stem_of
from zebrawatch.benchmarks.peers import SpacyPeers, bare_automaton, fasthpocr, has_fasthpocr
from zebrawatch.benchmarks.results import Results
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology

_NOTE_LENGTH = 3700
_NOTES = 200
_SLOW_NOTES = 40
_ROUNDS = 25


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Speeds by file of notes (JSON lines with `text`); `files` instead of the notes of `data`, where given."""
    ontology = packaged_ontology()
    lexicon = Lexicon.build(ontology)
    results: Results = {}
    with SpacyPeers() as peers:
        if peers.reason:
            progress(f"Not compared: {peers.reason}.")
        for path in list(files) or [data / "notes" / "common_disease_notes.jsonl.gz"]:
            notes = compose_notes([note["text"] for note in read_notes(path)], seed)
            progress(f"{stem_of(path)}: {len(notes)} notes, {sum(map(len, notes)) / len(notes):.0f} characters each")
            results[stem_of(path)] = _time_all(notes, lexicon, ontology, peers, progress)
    return results


def compose_notes(sections: Sequence[str], seed: int) -> list[str]:
    """Notes of about 3.7 kB from sections in a seeded order. CorpusError where there is no text at all."""
    draw = random.Random(seed)
    pool = [section for section in sections if section.strip()]
    if not pool:
        raise CorpusError("The file of notes holds no text.")
    notes = []
    for _ in range(_NOTES):
        parts: list[str] = []
        while sum(map(len, parts)) < _NOTE_LENGTH:
            parts.append(draw.choice(pool))
        notes.append("\n\n".join(parts)[:_NOTE_LENGTH])
    return notes


def _time_all(
    notes: Sequence[str], lexicon: Lexicon, ontology: Ontology, peers: SpacyPeers, progress: Callable[[str], None]
) -> dict[str, Any]:
    recogniser = Recogniser(lexicon)
    lowered = [note.lower() for note in notes]
    few = list(notes[:_SLOW_NOTES])
    automaton = bare_automaton(_wordings(ontology))
    tasks: dict[str, Callable[[], object]] = {
        "automaton": lambda: [automaton.find_matches_as_indexes(note) for note in lowered],
        "recognise": lambda: [recogniser.spans(note) for note in notes],
        "with_assertion": lambda: [recogniser.find(note) for note in notes],
        "with_assertion_few": lambda: [recogniser.find(note) for note in few],
        "recognise_few": lambda: [recogniser.spans(note) for note in few],
    }
    if has_fasthpocr():
        annotate = fasthpocr(progress)(True)
        tasks["fasthpocr_few"] = lambda: [annotate(note) for note in few]
    items = [[note, [[start, end] for start, end, _ in recogniser.spans(note)]] for note in few]
    best = {name: float("inf") for name in tasks}
    for task in tasks.values():
        task()
    for round_number in range(_ROUNDS):
        progress(f"round {round_number + 1} of {_ROUNDS}")
        for name, task in tasks.items():
            began = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - began)
        for name in peers.names:
            best[name] = min(best.get(name, float("inf")), peers.ask(name, "judge", items)[1])
    return _figures(notes, best, peers)


def _figures(notes: Sequence[str], best: dict[str, float], peers: SpacyPeers) -> dict[str, Any]:
    megabytes = sum(len(note.encode()) for note in notes) / 1e6
    out: dict[str, Any] = {
        "n": len(notes),
        "megabytes_per_second": megabytes / best["recognise"],
        "automaton_megabytes_per_second": megabytes / best["automaton"],
        "ratio_to_automaton": best["automaton"] / best["recognise"],
        "notes_per_second_with_assertion": len(notes) / best["with_assertion"],
        "seconds": best["with_assertion"],
    }
    if "fasthpocr_few" in best:
        out["ratio_to_fasthpocr"] = best["fasthpocr_few"] / best["recognise_few"]
    for name in peers.names:
        # Their time is for judging spans that are given; ours finds them, too.
        out[f"ratio_to_{name}"] = best[name] / best["with_assertion_few"]
        out[f"{name}_notes_per_second"] = _SLOW_NOTES / best[name]
    if peers.reason:
        out["not_compared"] = peers.reason
    return out | {"ci95": {}}


def _wordings(ontology: Ontology) -> list[str]:
    terms = [ontology.terms[term_id] for term_id in sorted(ontology.descendants(PHENOTYPIC_ABNORMALITY))]
    return sorted({text.lower() for term in terms for text in (term.name, *(one.text for one in term.synonyms))})
