"""From charts to FHIR R4: resources with ids, staff and elements in the form that clinosim's own have here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape

from zebrawatch.demo.base import Resource, made_id
from zebrawatch.demo.writing import NOTE_KINDS, Chart, CodedFinding, LabResult, Note, Order, Relative

Staff = Mapping[str, Sequence[tuple[str, str]]]
"""Practitioners (id, name) by post, such as DR-CA."""

_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_US_CORE_NOTE = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
_POSTS = {
    "cardiology": "DR-CA",
    "gastroenterology": "DR-GI",
    "orthopaedics": "DR-OR",
    "internal medicine": "DR-IM",
    "primary care": "DR-PC",
    "radiology": "DR-RAD",
    "nurse": "NS-PC",
    "therapist": "PT",
}
# LOINC codes of the sections a clinosim Composition has, by what our heads begin with.
_SECTION_CODES = (
    ("10164-2", "History of Present illness Narrative", ("hpi", "history", "s", "subjective", "presenting")),
    ("11348-0", "History of Past illness Narrative", ("pmh", "past", "background")),
    ("10160-0", "History of Medication use Narrative", ("meds", "medication", "rx")),
    ("10157-6", "History of family member diseases Narrative", ("fhx", "family", "fh")),
    ("29762-2", "Social history Narrative", ("shx", "social")),
    ("29545-1", "Physical findings Narrative", ("o/e", "exam", "objective", "physical")),
    ("30954-2", "Relevant diagnostic tests/laboratory data Narrative", ("labs", "results", "data", "investigations")),
    ("51848-0", "Evaluation note", ("a/p", "impression", "assessment", "imp")),
    ("18776-5", "Plan of care note", ("plan", "p", "recommendations")),
)
_RELATIONS = {
    "mother": "MTH", "father": "FTH", "sister": "SIS", "brother": "BRO", "maternal uncle": "MUNCLE",
    "paternal aunt": "PAUNT", "maternal grandfather": "MGRFTH", "cousin": "COUSN",
}  # fmt: skip


def instant(at: datetime) -> str:
    """A FHIR instant in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def chart_resources(chart: Chart, staff: Staff, codes: Mapping[str, str]) -> list[Resource]:
    """All resources of one chart. `codes` gives the SNOMED CT code of an HPO id where HPO has one."""
    return _ChartResources(chart, staff, codes).all()


class _ChartResources:
    def __init__(self, chart: Chart, staff: Staff, codes: Mapping[str, str]) -> None:
        self.chart = chart
        self.staff = staff
        self.codes = codes
        self.patient = chart.course.sitter.patient_id
        self.subject = {"reference": f"Patient/{self.patient}"}
        self.visit_days = sorted(
            {note.at.date() for note in chart.notes if note.role == "doctor" and note.kind != "report"}
        )

    def all(self) -> list[Resource]:
        chart = self.chart
        made = [self._encounter(day) for day in self.visit_days]
        for number, note in enumerate(chart.notes):
            made.append(self._note(note, number))
        made += [self._lab(lab, number) for number, lab in enumerate(chart.labs)]
        made += [self._order(order, number) for number, order in enumerate(chart.orders)]
        made += [self._medication(order, number) for number, order in enumerate(chart.medications)]
        made += [self._coded(coded, number) for number, coded in enumerate(chart.coded)]
        made += [self._relative(relative, number) for number, relative in enumerate(chart.relatives)]
        return made + self._diagnosis()

    def _id(self, prefix: str, *parts: str) -> str:
        return made_id(prefix, self.patient, *parts)

    def _visit(self, at: datetime) -> Resource:
        """Reference to the visit of the day, or the last one before it, or the first."""
        day = max((d for d in self.visit_days if d <= at.date()), default=self.visit_days[0])
        return {"reference": f"Encounter/{self._id('enc', str(day))}"}

    def _person(self, post: str, key: str) -> Resource:
        people = self.staff.get(_POSTS.get(post, "DR-IM")) or self.staff["DR-IM"]
        pick = int(hashlib.sha256(f"{self.patient}|{post}|{key}".encode()).hexdigest(), 16)
        identity, name = people[pick % len(people)]
        return {"reference": f"Practitioner/{identity}", "display": name}

    def _encounter(self, day: date) -> Resource:
        notes = [
            note
            for note in self.chart.notes
            if note.at.date() == day and note.role == "doctor" and note.kind != "report"
        ]
        start = min(note.at for note in notes)
        kind = ("EMER", "emergency") if notes[0].kind == "emergency" else ("AMB", "ambulatory")
        return {
            "resourceType": "Encounter",
            "id": self._id("enc", str(day)),
            "status": "finished",
            "class": {"system": f"{_HL7}v3-ActCode", "code": kind[0], "display": kind[1]},
            "subject": self.subject,
            "type": [{"coding": [{"system": _SNOMED, "code": "185349003", "display": "Encounter for check-up"}]}],
            "serviceType": {"text": notes[0].clinic},
            "period": {"start": instant(start), "end": instant(start + timedelta(minutes=25))},
        }

    # -- notes ---------------------------------------------------------------------------------------------------------

    def _note(self, note: Note, number: int) -> Resource:
        if note.kind == "report":
            return self._report(note, number)
        if note.kind == "progress":
            return self._composition(note, number)
        kind, at = self._kind(note), instant(note.at)
        category = {"system": _US_CORE_NOTE, "code": "clinical-note", "display": "Clinical Note"}
        return {
            "resourceType": "DocumentReference",
            "id": self._id("doc", str(number)),
            "status": "current",
            "docStatus": "final",
            "type": kind,
            "category": [{"coding": [category]}],
            "subject": self.subject,
            "date": at,
            "author": [self._author(note)],
            "content": [{"attachment": _attachment(note.text_and_spans()[0], kind["text"])}],
            "context": {"encounter": [self._visit(note.at)], "period": {"start": at, "end": at}},
        }

    def _composition(self, note: Note, number: int) -> Resource:
        kind, at, author = self._kind(note), instant(note.at), self._author(note)
        sections = []
        for title, sentences in note.sections:
            text, _ = Note(
                note.at, note.kind, note.clinic, note.role, (("", sentences),), between=note.between
            ).text_and_spans()
            section: Resource = {"title": title} if title else {}
            section["text"] = {
                "status": "generated",
                "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{escape(text, quote=False)}</div>",
            }
            code = _section_code(title)
            sections.append({**section, "code": code} if code else section)
        return {
            "resourceType": "Composition",
            "id": self._id("comp", str(number)),
            "status": "final",
            "type": kind,
            "subject": self.subject,
            "date": at,
            "author": [author],
            "title": kind["text"],
            "confidentiality": "N",
            "language": "en",
            "encounter": self._visit(note.at),
            "section": sections,
        }

    def _report(self, note: Note, number: int) -> Resource:
        kind, at, author = self._kind(note), instant(note.at), self._author(note)
        text, _ = note.text_and_spans()
        return {
            "resourceType": "DiagnosticReport",
            "id": self._id("dr", str(number)),
            "status": "final",
            "category": [{"coding": [{"system": f"{_HL7}v2-0074", "code": "RAD", "display": "Radiology"}]}],
            "code": {**kind, "text": note.study},
            "subject": self.subject,
            "encounter": self._visit(note.at),
            "effectiveDateTime": at,
            "issued": at,
            "performer": [author],
            "resultsInterpreter": [author],
            "presentedForm": [_attachment(text, note.study)],
        }

    def _kind(self, note: Note) -> Resource:
        code, display = NOTE_KINDS[note.kind]
        return {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display}

    def _author(self, note: Note) -> Resource:
        # A patient keeps a doctor of each clinic for a year; nurses change.
        if note.role == "doctor":
            return self._person(note.clinic, str(note.at.year))
        return self._person(note.role, str(note.at.date()))

    # -- values, orders, codes -----------------------------------------------------------------------------------------

    def _lab(self, lab: LabResult, number: int) -> Resource:
        units = {"unit": lab.unit, "system": "http://unitsofmeasure.org", "code": lab.unit}
        flag, word = ("H", "High") if lab.value > lab.high else ("L", "Low") if lab.value < lab.low else ("N", "Normal")
        category = {"system": f"{_HL7}observation-category", "code": "laboratory", "display": "Laboratory"}
        return {
            "resourceType": "Observation",
            "id": self._id("obs", "lab", str(number)),
            "status": "final",
            "category": [{"coding": [category], "text": "Laboratory"}],
            "code": {"coding": [{"system": _LOINC, "code": lab.loinc, "display": lab.display}], "text": lab.display},
            "subject": self.subject,
            "encounter": self._visit(lab.at),
            "effectiveDateTime": instant(lab.at),
            "issued": instant(lab.at),
            "valueQuantity": {"value": lab.value, **units},
            "referenceRange": [{"low": {"value": lab.low, **units}, "high": {"value": lab.high, **units}}],
            "interpretation": [
                {"coding": [{"system": f"{_HL7}v3-ObservationInterpretation", "code": flag, "display": word}]}
            ],
        }

    def _order(self, order: Order, number: int) -> Resource:
        return {
            "resourceType": "ServiceRequest",
            "id": self._id("sr", str(number)),
            "status": "completed",
            "intent": "order",
            "priority": "routine",
            "code": {"text": order.text},
            "subject": self.subject,
            "encounter": self._visit(order.at),
            "authoredOn": instant(order.at),
            "requester": self._person("internal medicine", str(order.at.year)),
        }

    def _medication(self, order: Order, number: int) -> Resource:
        return {
            "resourceType": "MedicationRequest",
            "id": self._id("mr", str(number)),
            "status": "completed",
            "intent": "order",
            "medicationCodeableConcept": {"text": order.text},
            "subject": self.subject,
            "encounter": self._visit(order.at),
            "authoredOn": instant(order.at),
            "requester": self._person("internal medicine", str(order.at.year)),
        }

    def _relative(self, relative: Relative, number: int) -> Resource:
        code = _RELATIONS[relative.relation]
        return {
            "resourceType": "FamilyMemberHistory",
            "id": self._id("fmh", str(number)),
            "status": "completed",
            "patient": self.subject,
            "date": instant(relative.at),
            "relationship": {"coding": [{"system": f"{_HL7}v3-RoleCode", "code": code, "display": relative.relation}]},
            "condition": [{"code": {"text": relative.text}}],
        }

    def _coded(self, coded: CodedFinding, number: int) -> Resource:
        code: Resource = {"text": coded.display}
        if coded.hpo_id in self.codes:
            code["coding"] = [{"system": _SNOMED, "code": self.codes[coded.hpo_id], "display": coded.display}]
        return self._condition(self._id("cond", str(number)), code, coded.at, "confirmed", "encounter-diagnosis")

    def _condition(self, identity: str, code: Resource, at: datetime, verification: str, category: str) -> Resource:
        words = {"confirmed": "Confirmed", "provisional": "Provisional"}
        lists = {"encounter-diagnosis": "Encounter Diagnosis", "problem-list-item": "Problem List Item"}
        return {
            "resourceType": "Condition",
            "id": identity,
            "clinicalStatus": {
                "coding": [{"system": f"{_HL7}condition-clinical", "code": "active", "display": "Active"}]
            },
            "verificationStatus": {
                "coding": [
                    {"system": f"{_HL7}condition-ver-status", "code": verification, "display": words[verification]}
                ]
            },
            "category": [
                {"coding": [{"system": f"{_HL7}condition-category", "code": category, "display": lists[category]}]}
            ],
            "code": code,
            "subject": self.subject,
            "encounter": self._visit(at),
            "recordedDate": instant(at),
        }

    def _diagnosis(self) -> list[Resource]:
        """The disease as Condition: sometimes provisional at the suspicion, always confirmed at the confirmation."""
        course = self.chart.course
        profile = course.profile
        if profile is None:
            return []
        code: Resource = {"text": profile.name}
        orpha = [each.partition(":")[2] for each in profile.ids if each.startswith("ORPHA:")]
        if orpha:
            code["coding"] = [{"system": "http://www.orpha.net", "code": orpha[0], "display": profile.name}]
        made: list[Resource] = []
        if int(self._id("toss", "provisional")[-1], 16) < 6:
            identity = self._id("cond", "provisional")
            made.append(self._condition(identity, code, self._at(course.index), "provisional", "encounter-diagnosis"))
        if course.confirmed is not None:
            identity = self._id("cond", "diagnosis")
            made.append(self._condition(identity, code, self._at(course.confirmed), "confirmed", "problem-list-item"))
        return made

    def _at(self, day: date) -> datetime:
        return min(
            note.at
            for note in self.chart.notes
            if note.at.date() == day and note.role == "doctor" and note.kind != "report"
        )


def _attachment(text: str, title: str) -> Resource:
    data = text.encode()
    return {
        "contentType": "text/plain",
        "language": "en",
        "data": base64.b64encode(data).decode(),
        "title": title,
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode(),
    }


def _section_code(title: str) -> Resource | None:
    word = title.lower().split(" ")[0]
    for code, display, words in _SECTION_CODES:
        if word in words:
            return {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display}
    return None
