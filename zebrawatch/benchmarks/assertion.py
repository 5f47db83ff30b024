"""How well negation, history and family are told, beside medspaCy's ConText and negspacy on the same spans.

The condition of each sentence is given; every system only judges it. F1 of each property; n, and the number of
sentences that have the property, stand beside it. Speed: whole sentences per second, all systems in turn, the best
of five rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zebrawatch.benchmarks.bootstrap import Floats, f1, interval
from zebrawatch.benchmarks.corpora import JudgedSentence, read_sentences, stem_of
from zebrawatch.benchmarks.peers import SpacyPeers
from zebrawatch.benchmarks.results import Results
from zebrawatch.evidence.assertion import FAMILY, HISTORICAL, HYPOTHETICAL, NEGATED, Judge

PROPERTIES = {"negated": NEGATED, "historical": HISTORICAL, "hypothetical": HYPOTHETICAL, "family": FAMILY}
_ROUNDS = 5
_JUDGED_BY = {"medspacy": tuple(PROPERTIES), "negspacy": ("negated",)}


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Figures by file of sentences; `files` instead of the sentences of `data`, where given."""
    results: Results = {}
    with SpacyPeers() as peers:
        if peers.reason:
            progress(f"Not compared: {peers.reason}.")
        for path in list(files) or [data / "assertion" / "negex_sentences.tsv.gz"]:
            sentences = read_sentences(path)
            progress(f"{stem_of(path)}: {len(sentences)} sentences")
            results[stem_of(path)] = _compare(sentences, peers, seed)
    return results


def judged(judge: Judge, sentences: Sequence[JudgedSentence]) -> list[list[bool]]:
    """Negated, historical, hypothetical, family of each sentence's condition."""
    found = []
    for one in sentences:
        _, bits, _ = judge.judge_bits(one.sentence, [(one.start, one.end)])
        found.append([bool(bits and bits[0] & bit) for bit in PROPERTIES.values()])
    return found


def _compare(sentences: Sequence[JudgedSentence], peers: SpacyPeers, seed: int) -> dict[str, Any]:
    judge = Judge.make()
    answers: dict[str, list[list[bool]]] = {"": judged(judge, sentences)}
    seconds: dict[str, float] = {"": float("inf")}
    items = [[one.sentence, [[one.start, one.end]]] for one in sentences]
    for _ in range(_ROUNDS):
        began = time.process_time()
        judged(judge, sentences)
        seconds[""] = min(seconds[""], time.process_time() - began)
        for name in peers.names:
            answer, spent = peers.ask(name, "judge", items)
            answers[name] = [found[0] for found in answer]
            seconds[name] = min(seconds.get(name, float("inf")), spent)
    gold = np.array([[one.negated, one.historical, one.hypothetical, one.family] for one in sentences])
    out: dict[str, Any] = {"n": len(sentences)}
    ci: dict[str, list[float]] = {}
    tallies: dict[tuple[str, str], Floats] = {}
    for name, found in answers.items():
        prefix = f"{name}_" if name else ""
        for column, key in enumerate(PROPERTIES):
            if name and key not in _JUDGED_BY[name]:
                continue
            counts = _tally(gold[:, column], np.array(found, bool)[:, column])
            tallies[name, key] = counts
            out[f"{prefix}{key}_f1"] = float(f1(counts.sum(axis=0)))
            ci[f"{prefix}{key}_f1"] = list(interval(counts, f1, seed=seed))
            out[f"n_{key}"] = int(gold[:, column].sum())
            if name:
                both = np.hstack([tallies["", key], counts])
                out[f"{key}_f1_gain_over_{name}"] = out[f"{key}_f1"] - out[f"{prefix}{key}_f1"]
                ci[f"{key}_f1_gain_over_{name}"] = list(interval(both, _gain, seed=seed))
        out[f"{prefix}seconds"] = seconds[name]
        if name:
            out[f"speed_ratio_to_{name}"] = seconds[name] / seconds[""]
    if peers.reason:
        out["not_compared"] = peers.reason
    return out | {"ci95": ci}


def _tally(gold: Any, found: Any) -> Floats:
    return np.stack([gold & found, ~gold & found, gold & ~found], axis=1).astype(float)


def _gain(counts: Floats) -> Floats:
    return f1(counts[:, :3]) - f1(counts[:, 3:])
