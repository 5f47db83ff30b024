"""Making the demo hospital: base patients, courses, charts, and the folder a hospital's bulk export would be.

The same seed, numbers and knowledge files give the same bytes, wherever and whenever it is made.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from zebrawatch.demo.base import KEPT_TYPES, LAST_DAY, Resource, made_id, make_parts, marked_made
from zebrawatch.demo.course import Course, Planner, Sitter
from zebrawatch.demo.profiles import Wordings, all_disease_names, read_profiles
from zebrawatch.demo.writing import NOTE_KINDS, Chart, LabResult, Note, Order, Writer
from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology

CONTROLS_PER_CASE = 5
TRANSACTION_TIME = "2025-07-01T00:00:00Z"
PEOPLE_PER_PATIENT = 1.34
"""clinosim's catchment per patient with a record over the demo's years (1.28 on average), with room for a thin draw."""


@dataclass(frozen=True)
class DemoSummary:
    """What was made."""

    folder: Path
    patients: int
    rare: int
    controls: int
    resources: int
    notes: int
    seed: int


@dataclass(frozen=True)
class Part:
    """One clinosim run, thinned."""

    folder: Path
    staff: dict[str, list[tuple[str, str]]]
    """Practitioners (id, name) by post, such as DR-CA."""


def make_demo_hospital(
    out: Path,
    *,
    patients: int,
    rare: int,
    seed: int,
    knowledge: KnowledgeFiles,
    progress: Callable[[str], None] = lambda _: None,
) -> DemoSummary:
    """Write a demo hospital of `patients` patients, `rare` of them with a rare disease, to the new folder `out`.

    Raises ZebrawatchError where `out` holds something already, or there is no room for five controls a case.
    """
    if out.exists() and any(out.iterdir()):
        raise ZebrawatchError(f"{out} is not empty: give a new folder for the demo hospital.")
    if rare < 0 or patients < rare * (1 + CONTROLS_PER_CASE):
        raise ZebrawatchError(
            f"{rare} rare patients need five controls each: ask for at least {max(1, rare) * 6} patients."
        )
    with tempfile.TemporaryDirectory(prefix="zebrawatch-demo-") as scratch:
        work = Path(scratch)
        half = -(-patients // 2)
        people = tuple(round(n * PEOPLE_PER_PATIENT) + 4 for n in (half, patients - half) if n)
        progress(f"Making {patients} base patients with clinosim ({len(people)} runs side by side)")
        folders = make_parts(work, people, seed)
        progress("Planning and writing charts")
        hospital = _Hospital(folders, patients, seed, knowledge)
        hospital.overlay(rare)
        progress("Writing the export")
        fresh = work / "export"
        summary = hospital.write(fresh, out)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        shutil.move(str(fresh), str(out))
    return summary


def _read(path: Path) -> list[Resource]:
    with path.open("rb") as lines:
        return [orjson.loads(line) for line in lines]


class _Hospital:
    def __init__(self, folders: Sequence[Path], patients: int, seed: int, knowledge: KnowledgeFiles) -> None:
        self.seed = seed
        self.folders = folders
        self.staff = [_staff(folder) for folder in folders]
        self.sitters, self.kept = _sitters(folders, patients)
        if len(self.kept) < patients:
            raise ZebrawatchError(
                f"clinosim gave {len(self.kept)} patients with a record, {patients} were asked for: try another seed."
            )
        ontology = Ontology.read(knowledge.hp_obo)
        self.wordings = Wordings(ontology, all_disease_names(knowledge))
        self.planner = Planner(seed, ontology, self.wordings, read_profiles(knowledge, ontology))
        self.writer = Writer(ontology, self.wordings)
        self.charts: list[Chart] = []

    def overlay(self, rare: int) -> None:
        cases = self.planner.cases(self.sitters, rare)
        controls = self.planner.controls(cases, self.sitters, CONTROLS_PER_CASE)
        if len(cases) < rare or len(controls) < rare * CONTROLS_PER_CASE:
            raise ZebrawatchError(
                f"Only {len(cases)} cases and {len(controls)} controls could be placed: ask for more patients"
                " or another seed."
            )
        for course in (*cases, *controls):
            stream = self.planner.stream("chart", course.sitter.patient_id)
            self.charts.append(self.writer.chart(course, stream))

    def write(self, folder: Path, final: Path) -> DemoSummary:
        folder.mkdir(parents=True)
        added: dict[str, list[Resource]] = {kind: [] for kind in KEPT_TYPES}
        for chart in self.charts:
            for resource in ChartResources(chart, self.staff[chart.course.sitter.part]).all():
                added[resource["resourceType"]].append(marked_made(resource))
        counts: dict[str, int] = {}
        for kind in KEPT_TYPES:
            lines = [r for part in self.folders for r in _read(part / f"{kind}.ndjson") if _patient_of(r) in self.kept]
            lines += added[kind]
            lines.sort(key=lambda r: str(r["id"]))
            counts[kind] = len(lines)
            with (folder / f"{kind}.ndjson").open("wb") as file:
                file.writelines(orjson.dumps(line) + b"\n" for line in lines)
        cases = [chart.course for chart in self.charts if chart.course.kind == "case"]
        _write_labels(folder / "labels.csv", cases)
        _write_truth(folder / "planted.json", self.charts)
        _write_log(folder / "log.ndjson", counts)
        kind_of_data = {
            "kind": "made",
            "about": "Demo hospital, no real patients: clinosim with made charts written over it (docs/demo-hospital.md).",
            "patients": len(self.kept),
            "rare": len(cases),
            "controls": len(self.charts) - len(cases),
            "seed": self.seed,
        }
        (folder / "data_kind.json").write_bytes(orjson.dumps(kind_of_data, option=orjson.OPT_INDENT_2) + b"\n")
        return DemoSummary(
            folder=final,
            patients=len(self.kept),
            rare=len(cases),
            controls=len(self.charts) - len(cases),
            resources=sum(counts.values()),
            notes=sum(len(chart.notes) for chart in self.charts),
            seed=self.seed,
        )


def _staff(folder: Path) -> dict[str, list[tuple[str, str]]]:
    staff: dict[str, list[tuple[str, str]]] = {}
    for person in sorted(orjson.loads((folder / "staff.json").read_bytes()), key=lambda p: p["id"]):
        staff.setdefault(person["post"], []).append((person["id"], person["name"]))
    return staff


def _patient_of(resource: Resource) -> str:
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for element in ("subject", "patient", "beneficiary"):
        if element in resource:
            return str(resource[element]["reference"]).partition("/")[2]
    return ""


def _sitters(folders: Sequence[Path], patients: int) -> tuple[list[Sitter], frozenset[str]]:
    """The first `patients` patients by id who have an encounter, and those of them an overlay can be written on."""
    sitters: list[Sitter] = []
    alive: set[str] = set()
    for part, folder in enumerate(folders):
        stays: dict[str, list[str]] = {}
        for encounter in _read(folder / "Encounter.ndjson"):
            stays.setdefault(_patient_of(encounter), []).append(encounter["period"]["start"][:10])
        for patient in _read(folder / "Patient.ndjson"):
            days = sorted(stays.get(patient["id"], []))
            if not days:
                continue
            first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
            sitters.append(
                Sitter(
                    patient["id"],
                    patient["gender"],
                    date.fromisoformat(patient["birthDate"]),
                    first,
                    last,
                    len(days),
                    part,
                )
            )
            if "deceasedDateTime" not in patient and not patient.get("deceasedBoolean"):
                alive.add(patient["id"])
    sitters = sorted(sitters)[:patients]
    return [s for s in sitters if s.patient_id in alive], frozenset(s.patient_id for s in sitters)


def _write_labels(path: Path, cases: Iterable[Course]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("patient", "disease_id", "suspected", "confirmed"))
        for case in sorted(cases, key=lambda c: c.sitter.patient_id):
            assert case.profile is not None
            rows.writerow((case.sitter.patient_id, case.profile.disease_id, case.index, case.confirmed or ""))


def _write_truth(path: Path, charts: Sequence[Chart]) -> None:
    """What was planted where: for tests and for readers of the demo; the screen never reads it."""
    people = []
    for chart in sorted(charts, key=lambda c: c.course.sitter.patient_id):
        course = chart.course
        people.append(
            {
                "patient": course.sitter.patient_id,
                "kind": course.kind,
                "case": course.case,
                "start": course.start,
                "index": course.index,
                "general": course.general,
                "confirmed": course.confirmed,
                "disease": course.profile.name if course.profile else None,
                "findings": [f._asdict() for f in course.findings],
                "causes": [cause for cause, _ in course.causes],
            }
        )
    path.write_bytes(orjson.dumps({"kind": "made", "overlays": people}, option=orjson.OPT_INDENT_2) + b"\n")


def _write_log(path: Path, counts: dict[str, int]) -> None:
    """An export log in the form of the SMART bulk-data client, so that counts can be checked."""
    export = "demo"
    lines: list[dict[str, Any]] = [
        {
            "exportId": export,
            "timestamp": TRANSACTION_TIME,
            "eventId": "kickoff",
            "eventDetail": {"exportUrl": "made/$export"},
        },
        {
            "exportId": export,
            "timestamp": TRANSACTION_TIME,
            "eventId": "status_complete",
            "eventDetail": {"transactionTime": TRANSACTION_TIME},
        },
    ]
    for kind, count in counts.items():
        detail = {"fileUrl": f"{kind}.ndjson", "resourceCount": count, "resourceType": kind}
        lines.append(
            {"exportId": export, "timestamp": TRANSACTION_TIME, "eventId": "download_complete", "eventDetail": detail}
        )
    detail = {"files": len(counts), "resources": sum(counts.values())}
    lines.append(
        {"exportId": export, "timestamp": TRANSACTION_TIME, "eventId": "export_complete", "eventDetail": detail}
    )
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


# -- charts to FHIR ----------------------------------------------------------------------------------------------------

_LOINC = "http://loinc.org"
_POSTS = {
    "cardiology": "DR-CA",
    "gastroenterology": "DR-GI",
    "orthopaedics": "DR-OR",
    "internal medicine": "DR-IM",
    "primary care": "DR-PC",
    "radiology": "DR-RAD",
    "nurse": "NS-PC",
}


class ChartResources:
    """The FHIR resources of one chart, with ids, staff and elements in the form clinosim's own have."""

    def __init__(self, chart: Chart, staff: dict[str, list[tuple[str, str]]]) -> None:
        self.chart = chart
        self.staff = staff
        self.patient = chart.course.sitter.patient_id
        self.subject = {"reference": f"Patient/{self.patient}"}
        self.encounters: dict[date, str] = {}

    def all(self) -> Iterable[Resource]:
        """Encounters, notes, labs, orders, prescriptions, and the coded diagnosis of a case."""
        bodies = [self._note(note, n) for n, note in enumerate(self.chart.notes)]
        bodies += [self._lab(lab, n) for n, lab in enumerate(self.chart.labs)]
        bodies += [self._order(order, n) for n, order in enumerate(self.chart.orders)]
        bodies += [self._medication(order, n) for n, order in enumerate(self.chart.medications)]
        bodies += self._diagnosis()
        for day, encounter in self.encounters.items():
            bodies.append(self._encounter(day, encounter))
        return bodies

    def _id(self, prefix: str, *parts: str) -> str:
        return made_id(prefix, self.patient, *parts)

    def _in(self, at: datetime) -> Resource:
        """Reference to the visit of the day, or of the last visit before."""
        visits = sorted(self.chart.course.visits)
        day = max((v for v in visits if v <= at.date()), default=at.date())
        if any(note.at.date() == at.date() and note.kind not in ("imaging",) for note in self.chart.notes):
            day = at.date()
        self.encounters.setdefault(day, self._id("enc", "visit", str(day)))
        return {"reference": f"Encounter/{self.encounters[day]}"}

    def _doctor(self, clinic: str, key: str) -> Resource:
        post = _POSTS.get(clinic, "DR-IM")
        people = self.staff.get(post) or self.staff["DR-IM"]
        pick = int(hashlib.sha256(f"{self.patient}|{clinic}|{key}".encode()).hexdigest(), 16)
        identity, name = people[pick % len(people)]
        return {"reference": f"Practitioner/{identity}", "display": name}

    def _encounter(self, day: date, identity: str) -> Resource:
        start = min(
            (n.at for n in self.chart.notes if n.at.date() == day),
            default=datetime(day.year, day.month, day.day, 9, tzinfo=UTC),
        )
        return {
            "resourceType": "Encounter",
            "id": identity,
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
                "display": "ambulatory",
            },
            "subject": self.subject,
            "type": [
                {
                    "coding": [
                        {"system": "http://snomed.info/sct", "code": "185349003", "display": "Encounter for check-up"}
                    ]
                }
            ],
            "period": {"start": instant(start), "end": instant(start + timedelta(minutes=25))},
        }

    def _note(self, note: Note, number: int) -> Resource:
        text, _ = note.text_and_spans()
        code, display = NOTE_KINDS[note.kind]
        kind = {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display}
        at = instant(note.at)
        data = text.encode()
        attachment = {
            "contentType": "text/plain",
            "language": "en",
            "data": base64.b64encode(data).decode(),
            "title": display,
            "size": len(data),
            "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode(),
        }
        author = self._doctor("nurse" if note.author.startswith("nurse") else note.clinic, str(number % 3))
        encounter = self._in(note.at)
        if note.kind == "imaging":
            return {
                "resourceType": "DiagnosticReport",
                "id": self._id("dr", "report", str(number)),
                "status": "final",
                "category": [
                    {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
                                "code": "RAD",
                                "display": "Radiology",
                            }
                        ]
                    }
                ],
                "code": kind,
                "subject": self.subject,
                "encounter": encounter,
                "effectiveDateTime": at,
                "issued": at,
                "performer": [author],
                "resultsInterpreter": [author],
                "presentedForm": [attachment],
            }
        return {
            "resourceType": "DocumentReference",
            "id": self._id("doc", "note", str(number)),
            "status": "current",
            "docStatus": "final",
            "type": kind,
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                            "code": "clinical-note",
                            "display": "Clinical Note",
                        }
                    ]
                }
            ],
            "subject": self.subject,
            "date": at,
            "author": [author],
            "content": [{"attachment": attachment}],
            "context": {"encounter": [encounter], "period": {"start": at, "end": at}},
        }

    def _lab(self, lab: LabResult, number: int) -> Resource:
        units = {"unit": lab.unit, "system": "http://unitsofmeasure.org", "code": lab.unit}
        flag = ("H", "High") if lab.value > lab.high else ("L", "Low") if lab.value < lab.low else ("N", "Normal")
        return {
            "resourceType": "Observation",
            "id": self._id("obs", "lab", str(number)),
            "status": "final",
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                            "code": "laboratory",
                            "display": "Laboratory",
                        }
                    ],
                    "text": "Laboratory",
                }
            ],
            "code": {"coding": [{"system": _LOINC, "code": lab.loinc, "display": lab.display}], "text": lab.display},
            "subject": self.subject,
            "encounter": self._in(lab.at),
            "effectiveDateTime": instant(lab.at),
            "issued": instant(lab.at),
            "valueQuantity": {"value": lab.value, **units},
            "referenceRange": [{"low": {"value": lab.low, **units}, "high": {"value": lab.high, **units}}],
            "interpretation": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                            "code": flag[0],
                            "display": flag[1],
                        }
                    ]
                }
            ],
        }

    def _order(self, order: Order, number: int) -> Resource:
        return {
            "resourceType": "ServiceRequest",
            "id": self._id("sr", "order", str(number)),
            "status": "completed",
            "intent": "order",
            "priority": "routine",
            "code": {"text": order.text},
            "subject": self.subject,
            "encounter": self._in(order.at),
            "authoredOn": instant(order.at),
            "requester": self._doctor("internal medicine", str(number)),
        }

    def _medication(self, order: Order, number: int) -> Resource:
        return {
            "resourceType": "MedicationRequest",
            "id": self._id("mr", "drug", str(number)),
            "status": "completed",
            "intent": "order",
            "medicationCodeableConcept": {"text": order.text},
            "subject": self.subject,
            "encounter": self._in(order.at),
            "authoredOn": instant(order.at),
            "requester": self._doctor("internal medicine", str(number)),
        }

    def _diagnosis(self) -> list[Resource]:
        course = self.chart.course
        if course.profile is None or course.confirmed is None:
            return []
        at = next(n.at for n in self.chart.notes if n.stage == "confirmed")
        base = "http://terminology.hl7.org/CodeSystem/condition-"
        code: Resource = {"text": course.profile.name}
        orpha = [i.partition(":")[2] for i in course.profile.ids if i.startswith("ORPHA:")]
        if orpha:
            code["coding"] = [{"system": "http://www.orpha.net", "code": orpha[0], "display": course.profile.name}]
        return [
            {
                "resourceType": "Condition",
                "id": self._id("cond", "diagnosis"),
                "clinicalStatus": {"coding": [{"system": f"{base}clinical", "code": "active", "display": "Active"}]},
                "verificationStatus": {
                    "coding": [{"system": f"{base}ver-status", "code": "confirmed", "display": "Confirmed"}]
                },
                "category": [
                    {
                        "coding": [
                            {"system": f"{base}category", "code": "problem-list-item", "display": "Problem List Item"}
                        ]
                    }
                ],
                "code": code,
                "subject": self.subject,
                "encounter": self._in(at),
                "recordedDate": instant(at),
            }
        ]


def instant(at: datetime) -> str:
    """A FHIR instant in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summary_line(summary: DemoSummary) -> str:
    """What was made, in one sentence."""
    made = asdict(summary)
    return (
        "Made a demo hospital (made data, no real patients): {patients} patients, {rare} with a rare disease, {controls}"
        " matched controls, {notes} notes written over {resources} resources in all, seed {seed}, at {folder}."
    ).format(**made)


__all__ = ["LAST_DAY", "DemoSummary", "make_demo_hospital", "summary_line"]
