"""What people with common diseases would cost: findings and alerts from notes, alerts from whole records, by stratum.

No note of the set and no clinosim patient has a rare disease, so whatever is found feeds false alarms only, and every
alert at the delivered threshold is false. Strata are the source and section of a note, age and sex of a person.
Intervals resample notes or persons; shares have exact ones, because nothing may have been seen.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zebrawatch.benchmarks.bootstrap import Floats, interval
from zebrawatch.benchmarks.burden import (
    Arm,
    Record,
    by_stratum,
    middle_month,
    own_background,
    read_folder,
    simulated_patients,
    watch,
    watch_notes,
)
from zebrawatch.benchmarks.corpora import packaged_ontology, read_notes, stem_of
from zebrawatch.benchmarks.results import Results
from zebrawatch.evidence.ranking import Ranker
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.knowledge.ontology import Ontology

_MOST_SHOWN = 15
_POPULATION = 300
_SMALLEST_STRATUM = 20


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Findings and alerts by file of notes (JSON lines with `text`, and `source` and `section` where given), alerts by
    folder of FHIR NDJSON. Without files: the notes of `data`, and clinosim's patients."""
    ontology = packaged_ontology()
    arm = Arm.build(data)
    given = list(files) or [data / "notes" / "common_disease_notes.jsonl.gz"]
    if not files:
        simulated = simulated_patients(_POPULATION, seed, progress)
        given += [simulated] if simulated else []
    results: Results = {}
    for path in given:
        began = time.perf_counter()
        if path.is_dir():
            progress(f"{path}: alerts of whole records")
            name = "clinosim (made)" if not files else path.name
            results |= _of_folder(name, read_folder(path, arm, progress), arm, seed)
            results[name]["seconds"] = time.perf_counter() - began
            continue
        progress(f"{stem_of(path)}: findings and alerts by stratum")
        notes = list(read_notes(path))
        found = _findings(notes, arm.recogniser, ontology, seed)
        results[stem_of(path)] = found | {"alerts": by_stratum(watch_notes(notes, arm), seed)}
    return results


def _of_folder(name: str, records: Sequence[Record], arm: Arm, seed: int) -> Results:
    """Alerts of whole records as at a new site; over their later half, with and without a background of their own."""
    since = middle_month(records)
    own = Ranker(arm.ranker.knowledge, own_background(records, arm, since))
    return {
        name: by_stratum(watch(records, arm.ranker), seed),
        f"{name}, later half": by_stratum(watch(records, arm.ranker, since), seed),
        f"{name}, later half, own background": by_stratum(watch(records, own, since), seed),
    }


def _findings(notes: Sequence[dict[str, str]], recogniser: Recogniser, ontology: Ontology, seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    by_stratum: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    common: Counter[str] = Counter()
    for note in notes:
        found = recogniser.find(note["text"])
        standing = {one.hpo_id for one in found if one.assertion == "present" and one.experiencer == "patient"}
        common.update(standing)
        row = (len(standing), len(found), len(note["text"]))
        stratum = f"{note.get('source', 'notes')} {note.get('section', '')}".strip()
        by_stratum["all"].append(row)
        by_stratum[stratum].append(row)
    strata: dict[str, dict[str, Any]] = {}
    for name, listed in sorted(by_stratum.items()):
        if name != "all" and len(listed) < _SMALLEST_STRATUM:
            continue
        counts = np.array(listed, float)
        strata[name] = {
            "n": len(listed),
            "present_findings_per_note": float(counts[:, 0].mean()),
            "mentions_per_note": float(counts[:, 1].mean()),
            "present_findings_per_1000_characters": float(counts[:, 0].sum() / max(counts[:, 2].sum(), 1) * 1000),
            "ci95": {"present_findings_per_note": list(interval(_with_ones(counts), _mean, seed=seed))},
        }
    return strata["all"] | {
        "strata": strata,
        "most_common": [[term, ontology.label(term), n] for term, n in common.most_common(_MOST_SHOWN)],
        "seconds": time.perf_counter() - began,
    }


def _with_ones(counts: Floats) -> Floats:
    return np.stack([counts[:, 0], np.ones(len(counts))], axis=1)


def _mean(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1], float)
