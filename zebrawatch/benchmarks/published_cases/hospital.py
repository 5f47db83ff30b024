"""The rendered hospital as a folder of FHIR NDJSON with labels.csv: made once, kept by what went into it."""

from __future__ import annotations

import base64
import csv
import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson

from zebrawatch.benchmarks.published_cases.courses import Course, Planner
from zebrawatch.benchmarks.published_cases.selection import PublishedCase
from zebrawatch.benchmarks.published_cases.writer import NOTE_TYPES, Vocabulary, Writer, WrittenChart, WrittenNote
from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.screen.naming import Namer, NamingSet, read_groups

Resource = dict[str, Any]

_LOINC = "http://loinc.org"
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_TAG = {"system": f"{_HL7}v3-ActReason", "code": "HTEST", "display": "test health data"}
TYPES = ("Patient", "Encounter", "DocumentReference", "Condition")


@dataclass(frozen=True)
class RenderedHospital:
    """What was rendered."""

    folder: Path
    cases: int
    controls: dict[str, int]
    """By kind."""
    notes: int
    findings_without_words: int
    """Findings of the cases that no wording can say without naming a disease; they are in no chart."""
    seed: int


@dataclass(frozen=True)
class Rendered:
    """One patient: the course, the chart, everyday problems."""

    course: Course
    disease_name: str
    chart: WrittenChart
    problems: tuple[tuple[date, str], ...]


class Renderer:
    """Plans and writes patients; needs the knowledge only for names, which no chart may hold before the suspicion."""

    def __init__(self, files: KnowledgeFiles, knowledge: Knowledge, ontology: Ontology, seed: int) -> None:
        groups = read_groups(files.orphanet) if files.orphanet else None
        self._namer = Namer(NamingSet.build(knowledge, ontology, groups))
        self._knowledge = knowledge
        self.vocabulary = Vocabulary(ontology, self.quiet)
        self._writer = Writer(self.vocabulary, self.quiet)
        ids = {term.name: term.id for term in ontology.terms.values()}
        self.planner = Planner(seed, ids, lambda hpo_id: bool(self.vocabulary.wordings(hpo_id)))

    def quiet(self, text: str) -> bool:
        """Whether a text holds nothing that counts as a suspicion, by the screen's own naming set."""
        return not any(hit.kind != "family" and not hit.phenotype_name for hit in self._namer.find(text))

    def patients(
        self, cases: Sequence[PublishedCase], controls: int, progress: Callable[[str], None] = lambda _: None
    ) -> list[Rendered]:
        """Cases first, then controls; ZebrawatchError where a chart names a disease before its day."""
        planned = [self.planner.case(case) for case in cases]
        usable = [course for course in planned if course.findings]
        courses = [*usable, *self.planner.controls(usable, controls)]
        rendered = []
        for number, course in enumerate(courses, 1):
            rendered.append(self._render(course))
            if number % 500 == 0:
                progress(f"Written {number:,} of {len(courses):,} charts")
        return rendered

    def _render(self, course: Course) -> Rendered:
        name = self._name(course.disease_id)
        chart = self._writer.chart(course, name, self.planner.stream("notes", course.patient_id))
        problems = self._writer.problems(course, self.planner.stream("problems", course.patient_id))
        first = min([day for day in (course.suspected, course.general) if day is not None])
        silent = [note for note in chart.notes if course.kind != "case" or note.at.date() < first]
        for note in silent:
            if note.at.date() != course.general and not self.quiet(note.text):
                raise ZebrawatchError(
                    "The writer of the rendered hospital named a disease before its day: a fault of it."
                )
        return Rendered(course, name, chart, tuple(problems))

    def _name(self, disease_id: str | None) -> str:
        if disease_id is None:
            return ""
        place = self._knowledge.index_of(disease_id)
        return disease_id if place is None else self._knowledge.diseases[place].name


def render_hospital(
    cases: Sequence[PublishedCase],
    out: Path,
    *,
    controls: int,
    seed: int,
    renderer: Renderer,
    progress: Callable[[str], None] = lambda _: None,
) -> RenderedHospital:
    """Write the hospital to the new folder `out`, whole or not at all; the same input gives the same bytes."""
    patients = renderer.patients(cases, controls, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    wordless = sum(not renderer.vocabulary.wordings(f.hpo_id) for case in cases for f in case.findings)
    kinds = Counter(patient.course.kind for patient in patients)
    summary = RenderedHospital(
        out, kinds.pop("case", 0), {str(kind): n for kind, n in sorted(kinds.items())},
        sum(len(patient.chart.notes) for patient in patients), wordless, seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        _write(folder, patients)
        about = {"kind": "rendered", "about": "Published cases and made controls (docs/lead-time-benchmark.md)."}
        told = {**about, **asdict(summary), "folder": None}
        (folder / "data_kind.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
        folder.rename(out)
    return summary


def read_summary(folder: Path) -> RenderedHospital | None:
    """What an earlier run left in a folder; None where there is no whole hospital."""
    try:
        told = orjson.loads((folder / "data_kind.json").read_bytes())
        return RenderedHospital(
            folder, told["cases"], told["controls"], told["notes"], told["findings_without_words"], told["seed"]
        )
    except (OSError, ValueError, KeyError):
        return None


def _write(folder: Path, patients: Sequence[Rendered]) -> None:
    lines: dict[str, list[tuple[str, bytes]]] = {kind: [] for kind in TYPES}
    for patient in patients:
        for resource in resources_of(patient):
            line = orjson.dumps({**resource, "meta": {**resource.get("meta", {}), "tag": [_TAG]}}) + b"\n"
            lines[resource["resourceType"]].append((resource["id"], line))
    for kind, written in lines.items():
        # by id, so that the place in the file says nothing
        (folder / f"{kind}.ndjson").write_bytes(b"".join(line for _, line in sorted(written)))
    ordered = sorted(patients, key=lambda patient: patient.course.patient_id)
    _write_csv(
        folder / "labels.csv",
        ("patient", "disease_id", "suspected", "confirmed"),
        (
            (p.course.patient_id, p.course.disease_id, p.course.suspected, p.course.confirmed or "")
            for p in ordered
            if p.course.disease_id
        ),
    )
    _write_csv(
        folder / "planted.csv",
        ("patient", "kind", "case", "hpo_id", "told"),
        (
            (p.course.patient_id, p.course.kind, p.course.case, hpo_id, day)
            for p in ordered
            for hpo_id, day in p.chart.told
        ),
    )


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        table.writerows(rows)


# -- FHIR --------------------------------------------------------------------------------------------------------------


def resources_of(patient: Rendered) -> list[Resource]:
    """All resources of one patient."""
    course = patient.course
    subject = {"reference": f"Patient/{course.patient_id}"}
    made: list[Resource] = [
        {
            "resourceType": "Patient",
            "id": course.patient_id,
            "gender": course.sex,
            "birthDate": course.birth.isoformat(),
        }
    ]
    for number, note in enumerate(patient.chart.notes):
        made += [_encounter(course, subject, note, number), _document(course, subject, note, number)]
    for number, (day, problem) in enumerate(patient.problems):
        made.append(_condition(course, subject, f"problem {number}", day, problem))
    if course.disease_id is not None and course.confirmed is not None:
        made.append(_condition(course, subject, "diagnosis", course.confirmed, patient.disease_name))
    return made


def _encounter(course: Course, subject: Resource, note: WrittenNote, number: int) -> Resource:
    kind = ("EMER", "emergency") if note.kind == "emergency" else ("AMB", "ambulatory")
    return {
        "resourceType": "Encounter",
        "id": _id("enc", course, f"{number}"),
        "status": "finished",
        "class": {"system": f"{_HL7}v3-ActCode", "code": kind[0], "display": kind[1]},
        "subject": subject,
        "period": {"start": _instant(note.at), "end": _instant(note.at + timedelta(minutes=20))},
    }


def _document(course: Course, subject: Resource, note: WrittenNote, number: int) -> Resource:
    code, display, author = NOTE_TYPES[note.kind]
    return {
        "resourceType": "DocumentReference",
        "id": _id("doc", course, f"{number}"),
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display},
        "subject": subject,
        "date": _instant(note.at + timedelta(minutes=25)),
        "author": [{"display": author}],
        "content": [
            {"attachment": {"contentType": "text/plain", "data": base64.b64encode(note.text.encode()).decode()}}
        ],
        "context": {"encounter": [{"reference": f"Encounter/{_id('enc', course, f'{number}')}"}]},
    }


def _condition(course: Course, subject: Resource, what: str, day: date, text: str) -> Resource:
    at = _instant(datetime.combine(day, time(17)))
    return {
        "resourceType": "Condition",
        "id": _id("cond", course, what),
        "clinicalStatus": {"coding": [{"system": f"{_HL7}condition-clinical", "code": "active"}]},
        "verificationStatus": {"coding": [{"system": f"{_HL7}condition-ver-status", "code": "confirmed"}]},
        "category": [{"coding": [{"system": f"{_HL7}condition-category", "code": "problem-list-item"}]}],
        "code": {"text": text},
        "subject": subject,
        "recordedDate": at,
    }


def _id(prefix: str, course: Course, what: str) -> str:
    return f"{prefix}-{hashlib.sha256(f'{course.patient_id}|{prefix}|{what}'.encode()).hexdigest()[:12]}"


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
