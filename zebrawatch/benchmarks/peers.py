"""The recognisers we compare with: a plain dictionary, FastHPOCR, and medspaCy and negspacy in a process of their own.

None is a dependency of the product. spaCy wants another numpy than the rest of the environment, so it lives in a second
one, `.venv-compare` (`make compare`); ZEBRAWATCH_COMPARE_PYTHON may name another interpreter.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import ahocorasick_rs

from zebrawatch.benchmarks.corpora import packaged_ontology_file
from zebrawatch.knowledge.ontology import Ontology

Annotator = Callable[[str], list[tuple[int, int, str]]]
"""Text to (start, end, HPO id)."""


def has_fasthpocr() -> bool:
    """Whether FastHPOCR and pronto, which it needs, can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("FastHPOCR", "pronto"))


def fasthpocr(progress: Callable[[str], None]) -> Callable[[bool], Annotator]:
    """FastHPOCR over the packaged ontology, by its setting `longestMatch`; its index is made once and kept among
    temporary files."""
    folder = Path(tempfile.gettempdir()) / f"zebrawatch-fasthpocr-{_digest(packaged_ontology_file())}"
    index = folder / "hp.index"
    if not index.exists():
        progress("making FastHPOCR's index (about a minute, once)")
        _make_index(folder)
    from FastHPOCR.HPOAnnotator import HPOAnnotator

    annotator = HPOAnnotator(str(index))

    def with_setting(longest: bool) -> Annotator:
        def annotate(text: str) -> list[tuple[int, int, str]]:
            found = annotator.annotate(text, longest)
            return [(one.getStartOffset(), one.getEndOffset(), one.getHPOUri()) for one in found]

        return annotate

    return with_setting


def _make_index(folder: Path) -> None:
    from FastHPOCR.cr import CRIndexKB
    from FastHPOCR.IndexHPO import IndexHPO

    folder.mkdir(parents=True, exist_ok=True)
    by_cluster: dict[str, list[str]] = {}

    def clusters(_self: object, cluster: str, base: dict[str, str]) -> list[str]:
        # The same lists as FastHPOCR's own function, without its pass over half a million words for each cluster.
        if not by_cluster:
            for token, name in base.items():
                by_cluster.setdefault(name, []).append(token)
        return list(by_cluster.get(cluster, []))

    original = CRIndexKB.CRIndexKB.compileClusterList
    CRIndexKB.CRIndexKB.compileClusterList = clusters
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            IndexHPO(str(packaged_ontology_file()), str(folder)).index()
    finally:
        CRIndexKB.CRIndexKB.compileClusterList = original


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def plain_dictionary(ontology: Ontology, roots: Sequence[str], *, nested: bool) -> Annotator:
    """Labels and synonyms as they stand, in lower case, at word boundaries; longest or all."""
    terms: dict[str, str] = {}
    for rank in range(2):
        for root in roots:
            for term_id in sorted(ontology.descendants(root)):
                term = ontology.terms[term_id]
                for text in [term.name] if rank == 0 else [synonym.text for synonym in term.synonyms]:
                    terms.setdefault(text.lower(), term_id)
    patterns = list(terms)
    ids = list(terms.values())
    automaton = bare_automaton(patterns)

    def annotate(text: str) -> list[tuple[int, int, str]]:
        low = text.lower()
        if len(low) != len(text):
            low = text
        found = [
            (start, end, ids[index])
            for index, start, end in automaton.find_matches_as_indexes(low, overlapping=True)
            if _bounded(low, start, end)
        ]
        return found if nested else _longest(found)

    return annotate


def bare_automaton(patterns: Sequence[str]) -> Any:
    """The bare Aho-Corasick automaton that speed is told against."""
    return ahocorasick_rs.AhoCorasick(patterns, implementation=ahocorasick_rs.Implementation.ContiguousNFA)


def _bounded(text: str, start: int, end: int) -> bool:
    return not (start and text[start - 1].isalnum()) and not (end < len(text) and text[end].isalnum())


def _longest(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for one in sorted(found, key=lambda item: (item[0] - item[1], item[0])):
        if all(one[1] <= other[0] or other[1] <= one[0] for other in kept):
            kept.append(one)
    return sorted(kept)


def compare_python() -> str:
    """The interpreter that has the peers: ZEBRAWATCH_COMPARE_PYTHON, else that of `make compare`, else this one."""
    made = Path(__file__).parents[2] / ".venv-compare" / "bin" / "python"
    return os.environ.get("ZEBRAWATCH_COMPARE_PYTHON") or (str(made) if made.is_file() else sys.executable)


class SpacyPeers:
    """medspaCy's ConText and negspacy in a process of their own, driven a round at a time so that timings
    interleave."""

    def __init__(self) -> None:
        self._interpreter = compare_python()
        self._process: subprocess.Popen[str] | None = None
        self.names: tuple[str, ...] = ()
        self.reason = ""

    def __enter__(self) -> SpacyPeers:
        script = Path(__file__).with_name("spacy_peers.py")
        try:
            self._process = subprocess.Popen(
                [self._interpreter, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            self.names = tuple(self._answer()["peers"])
        except (OSError, ValueError):
            self.reason = (
                f"medspaCy cannot be loaded by {self._interpreter}: `make compare` sets it up beside the project, or "
                "ZEBRAWATCH_COMPARE_PYTHON names a Python that has it"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            if self._process.stdin:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            self._process.wait(timeout=30)

    def ask(self, peer: str, task: str, items: Sequence[Any]) -> tuple[list[Any], float]:
        """One round of a peer over the items: its answers and its own seconds."""
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the peers are not running")
        self._process.stdin.write(json.dumps({"peer": peer, "task": task, "items": list(items)}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["answers"], float(answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        if self._process is None or self._process.stdout is None:
            raise ValueError("no process")
        line = self._process.stdout.readline()
        if not line:
            raise ValueError("the process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
