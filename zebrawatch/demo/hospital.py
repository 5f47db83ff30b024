"""Making the demo hospital: base patients, courses, charts, and the folder a hospital's bulk export would be.

The same seed, numbers and knowledge files give the same bytes, wherever and whenever it is made.
"""

from __future__ import annotations

import base64
import csv
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from zebrawatch.demo.base import KEPT_TYPES, Resource, make_parts, marked_made
from zebrawatch.demo.charting import write_chart
from zebrawatch.demo.course import Course, Planner, Sitter
from zebrawatch.demo.profiles import Profile, Wordings, all_disease_names, read_profiles
from zebrawatch.demo.resources import chart_resources
from zebrawatch.demo.writing import Book, Chart
from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.diseases import KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology

CONTROLS_PER_CASE = 5
PATIENTS_PER_CASE = 9
"""Fewest patients for one case: itself, five controls, and some who are too young, too old or dead."""
TRANSACTION_TIME = "2025-07-01T00:00:00Z"
PEOPLE_PER_PATIENT = 1.24
"""clinosim's catchment per patient with a record over the demo's years (1.18 on average), and a little room."""


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
    if rare < 0 or patients < max(1, rare * PATIENTS_PER_CASE):
        raise ZebrawatchError(
            f"{rare} rare patients need five like them each:"
            f" ask for at least {max(1, rare) * PATIENTS_PER_CASE} patients."
        )
    with tempfile.TemporaryDirectory(prefix="zebrawatch-demo-") as scratch:
        work = Path(scratch)
        half = -(-patients // 2)
        people = tuple(round(n * PEOPLE_PER_PATIENT) + 4 for n in (half, patients - half) if n)
        progress(f"Making {patients} base patients with clinosim ({len(people)} runs side by side)")
        folders = make_parts(work, people, seed)
        while (missing := patients - sum(_seen(folder) for folder in folders)) > 0:
            progress(f"{missing} base patients short of {patients}: one more run")
            folders += make_parts(work, (2 * missing + 8,), seed, first=len(folders))
        return overlay_hospital(
            folders, out, patients=patients, rare=rare, seed=seed, knowledge=knowledge, progress=progress
        )


def overlay_hospital(
    folders: Sequence[Path],
    out: Path,
    *,
    patients: int,
    rare: int,
    seed: int,
    knowledge: KnowledgeFiles,
    progress: Callable[[str], None] = lambda _: None,
) -> DemoSummary:
    """The second half of `make_demo_hospital`: charts over base patients already made (`base.make_parts`)."""
    progress("Planning and writing charts")
    hospital = _Hospital(folders, patients, seed, knowledge)
    hospital.overlay(rare)
    progress("Writing the export")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        summary = hospital.write(Path(scratch) / "export", out)
        if out.exists():
            out.rmdir()
        (Path(scratch) / "export").rename(out)
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
        self.book = Book(ontology, self.wordings)
        self.codes = snomed_codes(ontology)
        self.charts: list[Chart] = []

    def overlay(self, rare: int) -> None:
        cases = self.planner.cases(self.sitters, rare, self._quiet)
        controls = self.planner.controls(cases, self.sitters, CONTROLS_PER_CASE)
        if len(cases) < rare or len(controls) < rare * CONTROLS_PER_CASE:
            raise ZebrawatchError(
                f"Only {len(cases)} cases and {len(controls)} controls could be placed: ask for more patients"
                " or another seed."
            )
        for course in (*cases, *controls):
            stream = self.planner.stream("chart", course.sitter.patient_id)
            chart = write_chart(self.book, course, stream)
            _check_silence(chart)
            self.charts.append(chart)

    def _quiet(self, sitter: Sitter, profile: Profile) -> bool:
        """Whether the base record of a patient names nothing of a disease."""
        return not any(profile.giveaways.search(text) for text in self._base_texts(sitter))

    def _base_texts(self, sitter: Sitter) -> Iterator[str]:
        folder = self.folders[sitter.part]
        for kind in KEPT_TYPES:
            for line in _lines_of(folder / f"{kind}.ndjson", frozenset({sitter.patient_id})):
                yield line.decode()
                yield from attached_texts(orjson.loads(line))

    def write(self, folder: Path, final: Path) -> DemoSummary:
        folder.mkdir(parents=True)
        added: dict[str, list[Resource]] = {kind: [] for kind in KEPT_TYPES}
        for chart in self.charts:
            for resource in chart_resources(chart, self.staff[chart.course.sitter.part], self.codes):
                added[resource["resourceType"]].append(marked_made(resource))
        counts: dict[str, int] = {}
        for kind in KEPT_TYPES:
            lines = [line for part in self.folders for line in _lines_of(part / f"{kind}.ndjson", self.kept)]
            lines += [orjson.dumps(resource) + b"\n" for resource in added[kind]]
            # In order of id, so that the place in the file says nothing about who wrote a line.
            lines.sort(key=_id_of)
            counts[kind] = len(lines)
            with (folder / f"{kind}.ndjson").open("wb") as file:
                file.writelines(lines)
        cases = [chart.course for chart in self.charts if chart.course.kind == "case"]
        _write_labels(folder / "labels.csv", cases)
        _write_truth(folder / "planted.json", self.charts)
        _write_log(folder / "log.ndjson", counts)
        kind_of_data = {
            "kind": "made",
            "about": "Demo hospital, no real patients: made charts written over clinosim (docs/demo-hospital.md).",
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


def attached_texts(resource: Resource) -> Iterator[str]:
    """Plain texts that a resource carries in base64."""
    contents = [content.get("attachment", {}) for content in resource.get("content", [])]
    for attachment in (*contents, *resource.get("presentedForm", [])):
        yield base64.b64decode(attachment.get("data", "")).decode()


def _check_silence(chart: Chart) -> None:
    """Refuse a case whose overlay names its disease before the suspicion: the demo would then be about nothing."""
    course = chart.course
    if course.profile is None:
        return
    said = [note.text_and_spans()[0] for note in chart.notes if note.at.date() < course.index]
    said += [order.text for order in (*chart.orders, *chart.medications) if order.at.date() < course.index]
    said += [coded.display for coded in chart.coded if coded.at.date() < course.index]
    said += [relative.text for relative in chart.relatives if relative.at.date() < course.index]
    if any(course.profile.giveaways.search(text) for text in said):
        raise ZebrawatchError(
            f"The demo's writer named {course.profile.name} before its suspicion: this is a fault of the demo."
        )


_PATIENT = re.compile(rb'"Patient/(pt-[0-9a-f]{12})"')
_ID = re.compile(rb'"id":"([^"]+)"')


def _lines_of(path: Path, patients: frozenset[str]) -> Iterator[bytes]:
    """Lines about one of `patients`, untouched: parsing them again would cost more than all the rest."""
    with path.open("rb") as lines:
        for line in lines:
            found = (_ID if path.stem == "Patient" else _PATIENT).search(line)
            if found and found.group(1).decode() in patients:
                yield line


def _id_of(line: bytes) -> bytes:
    found = _ID.search(line)
    return found.group(1) if found else b""


def _staff(folder: Path) -> dict[str, list[tuple[str, str]]]:
    staff: dict[str, list[tuple[str, str]]] = {}
    for person in sorted(orjson.loads((folder / "staff.json").read_bytes()), key=lambda p: p["id"]):
        staff.setdefault(person["post"], []).append((person["id"], person["name"]))
    return staff


def snomed_codes(ontology: Ontology) -> dict[str, str]:
    """SNOMED CT codes of HPO terms, from HPO's own cross-references; the lowest where there are several."""
    codes: dict[str, str] = {}
    for term in ontology.terms.values():
        found = sorted(x.partition(":")[2] for x in term.xrefs if x.startswith("SNOMEDCT_US:"))
        if found:
            codes[term.id] = found[0]
    return codes


def _patient_of(resource: Resource) -> str:
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for element in ("subject", "patient", "beneficiary"):
        if element in resource:
            return str(resource[element]["reference"]).partition("/")[2]
    return ""


def _seen(folder: Path) -> int:
    """Patients of a part that have an encounter."""
    return len({_patient_of(encounter) for encounter in _read(folder / "Encounter.ndjson")})


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


def summary_line(summary: DemoSummary) -> str:
    """What was made, in one sentence."""
    made = asdict(summary)
    return (
        "Made a demo hospital (made data, no real patients): {patients} patients, {rare} with a rare disease,"
        " {controls} matched controls, {notes} notes written over {resources} resources in all, seed {seed},"
        " at {folder}."
    ).format(**made)
