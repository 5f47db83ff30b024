"""The alerts that people without a rare disease would raise: the evidence arm from text to alert, without Spark.

The same pure parts a night uses (recogniser, labs and codes, chart, ranker, alert policy) over notes that stand alone
or over a folder of FHIR NDJSON. With the annotations' background these are the alerts of a new site; a folder is also
watched over its later half against the background of its own patients' earlier half, as a site has it after a while.
Masking by what a document names is left out: it only ever lowers a score.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta, chi2

from zebrawatch.benchmarks.bootstrap import Floats, interval
from zebrawatch.benchmarks.cases import locate_knowledge
from zebrawatch.benchmarks.corpora import CorpusError
from zebrawatch.engine.chart import AWAITING, WEIGHED, Chart, Demographics, Finding
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.codes import CodeMap, findings_of_event
from zebrawatch.evidence.labs import DatedFinding, EventFields, confirmed
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.ranking import Evidence, Ranker
from zebrawatch.evidence.recogniser import Mention, Recogniser
from zebrawatch.fhir.decode import DecodeContext, decode_lines
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.nights import NightRange
from zebrawatch.screen.alerts import AlertPolicy, Facts, NightScore, PatientState, fold

THRESHOLD = 0.008
"""The policy's threshold as it is delivered (zebrawatch.toml, policy.threshold)."""
OTHER_THRESHOLDS = (0.003, 0.03, 0.1, 0.3)
"""Shown beside it: exploratory, each with its own burden."""
_TYPES = ("Patient", "Composition", "DocumentReference", "DiagnosticReport", "Condition", "Observation")
_SMALLEST_STRATUM = 20
Told = tuple[str, str, str, str]
"""Term, origin, assertion and experiencer."""
TOLD: Callable[[Mention], Told] = itemgetter(2, 3, 4, 5)
"""These of a mention, in one step: there are some dozens in a note."""
_DAY = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Arm:
    """What scores people."""

    recogniser: Recogniser
    code_map: CodeMap
    ranker: Ranker

    @classmethod
    def build(cls, data: Path) -> Arm:
        """Of the knowledge at hand, as `zebrawatch screen` finds it."""
        files = locate_knowledge(data)
        ontology = Ontology.read(files.hp_obo)
        knowledge = Knowledge.build(files, ontology)
        return cls(
            Recogniser(Lexicon.build(ontology)),
            CodeMap.build(ontology),
            Ranker(knowledge, Background.default(knowledge)),
        )


class Watched(NamedTuple):
    """One person (or note) as the screen would have seen them."""

    strata: tuple[str, ...]
    years: float
    """From the first night something was known to the last; 0 for a note that stands alone."""
    scores: tuple[NightScore, ...]


def p_any_of_note(text: str, arm: Arm) -> float:
    """P(any listed rare disease) of a patient of whom only this note is known."""
    return arm.ranker.rank(evidence_of(map(TOLD, arm.recogniser.find(text))), top=1).p_any


def evidence_of(told: Iterable[Told]) -> list[Evidence]:
    """What the ranker weighs of all that is told: the patient's, found or denied, but not denied where also found."""
    own = {
        (hpo_id, WEIGHED[assertion], origin)
        for hpo_id, origin, assertion, experiencer in told
        if experiencer == "patient" and assertion in WEIGHED
    }
    present = {hpo_id for hpo_id, assertion, _ in own if assertion == "present"}
    return [Evidence(*one, "") for one in own if one[1] == "present" or one[0] not in present]


def watch_notes(notes: Sequence[Mapping[str, str]], arm: Arm) -> list[Watched]:
    """Each note as a person of whom nothing else is known."""
    night = date(2025, 1, 1)
    return [
        Watched(
            (f"{note.get('source', 'notes')} {note.get('section', '')}".strip(),),
            0.0,
            (NightScore(night, p_any_of_note(note["text"], arm), ()),),
        )
        for note in notes
    ]


@dataclass
class Record:
    """What is known of one patient."""

    people: list[Demographics] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lab_values: list[tuple[DatedFinding, str, date]] = field(default_factory=list)
    nights: set[date] = field(default_factory=set)


def read_folder(folder: Path, arm: Arm, progress: Callable[[str], None] = lambda _: None) -> list[Record]:
    """Everyone in a folder of FHIR R4 NDJSON. CorpusError where it holds no patient."""
    records: dict[int, Record] = defaultdict(Record)
    persons: dict[int, tuple[date | None, str | None]] = {}
    read: dict[str, list[Mention]] = {}
    for kind, row in _rows(folder):
        subject = row["subject_id"]
        if row["deleted"] or subject is None:
            continue
        known = row["available_at"].date() if row["available_at"] is not None else None
        if kind == "patient":
            persons[subject] = row["birth_date"], row["sex"] if row["birth_precision"] != "year" else None
            records[subject].people.append(
                Demographics(known or date(1900, 1, 1), row["sex"], row["birth_date"], False, None, False)
            )
        elif known is not None:
            record = records[subject]
            record.nights.add(known)
            if kind == "note":
                record.findings.extend(_of_note(row, known, arm, read))
            else:
                _add_event(row, known, persons.get(subject, (None, None)), record, arm)
    people = [record for record in records.values() if record.people and record.nights]
    if not people:
        raise CorpusError(f"The folder {folder} holds no FHIR patient with a record: give one of NDJSON files by type.")
    progress(f"{len(people)} patients read")
    for record in people:
        _confirm(record)
    return people


def middle_month(records: Sequence[Record]) -> date:
    """First day of the month in the middle of all nights on which something became known."""
    nights = [night for record in records for night in record.nights]
    return (min(nights) + (max(nights) - min(nights)) / 2).replace(day=1)


def own_background(records: Sequence[Record], arm: Arm, since: date) -> Background:
    """P(finding | these patients), of what was known before `since`, the first day of a month."""
    knowledge = arm.ranker.knowledge
    eve = since - timedelta(days=1)
    patients: Counter[str] = Counter()
    for record in records:
        had = {one.hpo_id for one in record.findings if one.assertion in ("present", "historical") and one.stands(eve)}
        terms = [term for hpo_id in had if (term := knowledge.term_index(hpo_id)) is not None]
        patients.update({knowledge.terms[up] for term in terms for up in knowledge.ancestors(term).tolist()})
    seen = sum(min(record.nights) < since for record in records)
    return Background.from_counts(knowledge, f"{since:%Y-%m}", seen, patients)


def watch(records: Sequence[Record], ranker: Ranker, since: date | None = None) -> list[Watched]:
    """Scores night by night from `since` on (default: from each one's first night), of all who have a night then."""
    return [
        _watched(record, ranker, since or min(record.nights), since)
        for record in records
        if since is None or max(record.nights) >= since
    ]


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    context = DecodeContext(pull="benchmark", site_key=b"benchmark", zone="UTC", pulled_at=_DAY, validate_share=0.0)
    for name in _TYPES:
        for path in sorted(folder.glob(f"{name}*.ndjson")):
            with path.open("rb") as lines:
                for batch in decode_lines(enumerate(lines, start=1), path.name, context):
                    for row in batch.to_pylist():
                        if row["kind"] in ("patient", "note", "event"):
                            yield row["kind"], row[row["kind"]]


def _of_note(row: Mapping[str, Any], known: date, arm: Arm, read: dict[str, list[Mention]]) -> Iterator[Finding]:
    text = row["text"] or ""
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if key not in read:
        found = arm.recogniser.find(text)
        read[key] = [one for one in found if one.experiencer == "patient" and one.assertion in WEIGHED]
    for one in read[key]:
        yield Finding(
            row["note_id"], one.origin, one.hpo_id, one.assertion, "patient", one.start, one.end, None,
            row["event_time"], known, known, None,
        )  # fmt: skip


def _add_event(
    row: Mapping[str, Any], known: date, person: tuple[date | None, str | None], record: Record, arm: Arm
) -> None:
    event = EventFields(*(row[name] for name in EventFields._fields))
    for one in findings_of_event(event, arm.code_map, *person):
        if one.abnormal_values > 1 and one.assertion == "present":
            record.lab_values.append((DatedFinding(one, row["event_time"], row["event_id"]), row["event_id"], known))
        else:
            record.findings.append(_of_value(one.hpo_id, one.assertion, one.origin, row["event_id"], row, known))


def _of_value(hpo_id: str, assertion: str, origin: str, source: str, row: Mapping[str, Any], known: date) -> Finding:
    return Finding(
        source, origin, hpo_id, assertion, "patient", None, None, None, row["event_time"], known, known, None
    )


def _confirm(record: Record) -> None:
    """Add the values that count from their second."""
    values = sorted(record.lab_values, key=lambda one: (one[2], str(one[0].time), one[1]))
    sure = {id(one) for one in confirmed([value for value, _, _ in values])}
    for value, source, known in values:
        assertion = "present" if id(value) in sure else AWAITING
        row = {"event_time": value.time}
        record.findings.append(_of_value(value.finding.hpo_id, assertion, "lab", source, row, known))


def _watched(record: Record, ranker: Ranker, first: date, month_start: date | None) -> Watched:
    chart = Chart(record.findings, record.people)
    last = max(record.nights)
    scores = tuple(
        NightScore(
            turn.night,
            ranker.rank(
                chart.evidence(turn.night, month_start or turn.night.replace(day=1)), chart.person(turn.night), top=1
            ).p_any,
            (),
        )
        for turn in chart.turns(first, last)
    )
    person = chart.person(last)
    age = (last - person.birth_date).days / 365.25 if person.birth_date else None
    band = "age unknown" if age is None else "under 18" if age < 18 else "18 to 64" if age < 65 else "65 and over"
    return Watched((band, person.sex or "sex unknown"), (last - first).days / 365.25, scores)


def episodes(watched: Watched, threshold: float) -> int:
    """Episodes of one person under the delivered policy with this threshold."""
    if not watched.scores:
        return 0
    nights = NightRange(watched.scores[0].night, watched.scores[-1].night)
    changes, _ = fold(AlertPolicy(threshold), PatientState(0), watched.scores, Facts(), nights, nights.first)
    return len({change.episode_id for change in changes if change.action == "raise"})


def burden(people: Sequence[Watched], threshold: float, seed: int) -> dict[str, Any]:
    """Alerts of these people: how many had one, with an exact interval; per 1,000 patient-years where they were
    followed."""
    counts = np.array([[episodes(one, threshold), one.years] for one in people])
    n, alerted = len(people), int((counts[:, 0] > 0).sum())
    out: dict[str, Any] = {
        "n": n,
        "threshold": threshold,
        "alerted": alerted,
        "alerts_per_1000": 1000 * alerted / n,
        "ci95": {"alerts_per_1000": [1000 * limit for limit in exact_share(alerted, n)]},
    }
    years = float(counts[:, 1].sum())
    if years > 0:
        total = float(counts[:, 0].sum())
        ci = (
            interval(counts, _per_1000_years, seed=seed)
            if total
            else (0.0, 1000 * float(chi2.ppf(0.975, 2)) / 2 / years)
        )
        out |= {"person_years": years, "episodes_per_1000_py": 1000 * total / years}
        out["ci95"]["episodes_per_1000_py"] = list(ci)
    return out


def _per_1000_years(sums: Floats) -> Floats:
    return np.asarray(1000 * sums[..., 0] / np.maximum(sums[..., 1], 1e-9), float)


def exact_share(hits: int, n: int) -> tuple[float, float]:
    """95% interval of a share (Clopper and Pearson, Biometrika 1934;26:404-413); its upper bound is above 0 even where
    nothing was seen."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return low, high


def by_stratum(people: Sequence[Watched], seed: int) -> dict[str, Any]:
    """Burden at the delivered threshold over all, by stratum (of 20 or more), and at other thresholds."""
    strata: dict[str, list[Watched]] = defaultdict(list)
    for one in people:
        for name in one.strata:
            strata[name].append(one)
    return burden(people, THRESHOLD, seed) | {
        "strata": {
            name: burden(listed, THRESHOLD, seed)
            for name, listed in sorted(strata.items())
            if len(listed) >= _SMALLEST_STRATUM
        },
        "by_threshold": {str(other): burden(people, other, seed) for other in OTHER_THRESHOLDS},
    }


_SIMULATE = """
import sys
from pathlib import Path
from zebrawatch.demo.base import simulate
simulate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""


def simulated_patients(population: int, seed: int, progress: Callable[[str], None]) -> Path | None:
    """A clinosim export (third-party made patients, common diseases only), made once and kept among temporary files.

    None where clinosim is not installed or cannot be run.
    """
    place = Path(tempfile.gettempdir()) / f"zebrawatch-clinosim-{population}-{seed}"
    if not (place / "complete").exists():
        progress(f"making a catchment of {population} people with clinosim (about a minute, once)")
        made = subprocess.run(
            [sys.executable, "-c", _SIMULATE, str(place), str(population), str(seed)], capture_output=True, check=False
        )
        if made.returncode:
            return None
        (place / "complete").touch()
    return place / "fhir_r4"
