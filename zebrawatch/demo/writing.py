"""What a chart is made of before it becomes FHIR: notes of sentences, labs, orders; and the writers' phrase book.

A finding in a sentence is a `Mark`, so that what was planted, and where it stands in the text, is known without reading
the text again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from random import Random
from typing import NamedTuple

from zebrawatch.demo.course import Course
from zebrawatch.demo.manner import Manners
from zebrawatch.demo.profiles import Wordings
from zebrawatch.knowledge.ontology import Ontology


class Mark(NamedTuple):
    """A finding as written."""

    text: str
    hpo_id: str
    assertion: str = "present"
    experiencer: str = "patient"


class Span(NamedTuple):
    """Where a mark stands in its note (code points)."""

    start: int
    end: int
    hpo_id: str
    assertion: str
    experiencer: str


Sentence = tuple[str | Mark, ...]
Section = tuple[str, tuple[Sentence, ...]]


@dataclass(frozen=True)
class Note:
    """A note before it becomes FHIR."""

    at: datetime
    kind: str
    """A key of NOTE_KINDS."""
    clinic: str
    role: str
    """doctor / nurse / therapist."""
    sections: tuple[Section, ...]
    study: str = ""
    """Of a report: the investigation."""
    between: str = " "
    """What stands between sentences: a space, or a new line and a dash."""

    def text_and_spans(self) -> tuple[str, tuple[Span, ...]]:
        """The note as plain text, and where its findings stand."""
        parts: list[str] = []
        spans: list[Span] = []
        length = 0
        for piece in self._pieces():
            text = piece.text if isinstance(piece, Mark) else piece
            if isinstance(piece, Mark):
                spans.append(Span(length, length + len(text), piece.hpo_id, piece.assertion, piece.experiencer))
            parts.append(text)
            length += len(text)
        return "".join(parts), tuple(spans)

    def _pieces(self) -> Sequence[str | Mark]:
        pieces: list[str | Mark] = []
        for number, (title, sentences) in enumerate(self.sections):
            if number:
                pieces.append("\n\n")
            if title:
                pieces.append(f"{title}:\n")
            for place, sentence in enumerate(sentences):
                if place:
                    pieces.append(self.between)
                pieces += sentence
        return pieces


class LabResult(NamedTuple):
    """A laboratory value and its reference range, both in `unit`."""

    at: datetime
    loinc: str
    display: str
    unit: str
    value: float
    low: float
    high: float


class Order(NamedTuple):
    """Something asked for: a referral, a test, a drug."""

    at: datetime
    text: str


class CodedFinding(NamedTuple):
    """A finding someone entered as a coded encounter diagnosis."""

    at: datetime
    hpo_id: str
    display: str


class Relative(NamedTuple):
    """A relative's condition, entered as FamilyMemberHistory."""

    at: datetime
    relation: str
    text: str


@dataclass
class Chart:
    """What the writer made of one course."""

    course: Course
    notes: list[Note] = field(default_factory=list)
    labs: list[LabResult] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    medications: list[Order] = field(default_factory=list)
    coded: list[CodedFinding] = field(default_factory=list)
    relatives: list[Relative] = field(default_factory=list)


NOTE_KINDS: dict[str, tuple[str, str]] = {
    "progress": ("34131-3", "Outpatient Progress note"),
    "consult": ("11488-4", "Consult note"),
    "history": ("34117-2", "History and physical note"),
    "phone": ("34748-4", "Telephone encounter Note"),
    "nurse": ("34746-8", "Nurse Note"),
    "emergency": ("34878-9", "Emergency medicine Note"),
    "therapy": ("11508-9", "Physical therapy Progress note"),
    "report": ("18748-4", "Diagnostic imaging study"),
    "letter": ("51852-2", "Letter"),
}

DENIED = (
    "Fever", "Chest pain", "Dyspnea", "Weight loss", "Night sweats", "Seizure", "Syncope", "Constipation", "Vomiting",
    "Hematuria", "Dysuria", "Joint swelling", "Skin rash", "Headache", "Visual loss", "Dysphagia", "Cough",
    "Hemoptysis", "Palpitations", "Pedal edema", "Jaundice", "Melena", "Tremor", "Diplopia", "Vertigo", "Nausea",
)  # fmt: skip
DENIED_ON_EXAM = (
    "Lymphadenopathy", "Hepatomegaly", "Splenomegaly", "Cyanosis", "Clubbing", "Nystagmus", "Muscle weakness",
    "Pedal edema", "Jaundice", "Tremor", "Hypotonia", "Scoliosis", "Pallor", "Goiter", "Ascites", "Hyperreflexia",
)  # fmt: skip


class Book:
    """What one hospital's writers share: phrases, wordings, lab table, and which clinic sees what."""

    def __init__(self, ontology: Ontology, wordings: Wordings) -> None:
        self.ontology = ontology
        self.wordings = wordings
        with files(__package__).joinpath("phrases.toml").open("rb") as file:
            self._phrases: dict[str, list[str]] = tomllib.load(file)
        ids = {term.name: term.id for term in ontology.terms.values()}
        self.manners = Manners(ontology)
        self.labs = self.manners.labs
        self.denied = tuple(ids[name] for name in DENIED if name in ids)
        self.denied_on_exam = tuple(ids[name] for name in DENIED_ON_EXAM if name in ids)
        self.measured = {ids[name]: name for name in MEASURED if name in ids}

    def phrases(self, key: str, *, child: bool) -> list[str]:
        """The sentence forms of a use, those for children where there are any."""
        return self._phrases.get(f"{key}_child" if child else key) or self._phrases[key]

    def deniable(self, terms: Sequence[str], true: frozenset[str]) -> list[str]:
        """Those of `terms` that can be denied: the patient has neither them nor a kind of them."""
        held = {above for term in true for above in self.ontology.ancestors(term)}
        return [t for t in terms if t not in held and not (self.ontology.ancestors(t) & true)]


# Findings that are told as a measurement: how they are written.
MEASURED = (
    "Hypertension", "Tachycardia", "Bradycardia", "Short stature", "Tall stature", "Microcephaly", "Macrocephaly",
    "Obesity", "Fever", "Hypotension", "Tachypnea", "Hypoxemia", "Failure to thrive", "Hypothermia",
)  # fmt: skip


def measurement(name: str, age: float, random: Random) -> str:
    """A value that says the finding `name` (one of MEASURED) at an age in years; adult limits from 14 years on."""
    adult = age >= 14
    forms = {
        "Hypertension": f"BP {random.randint(162, 192)}/{random.randint(98, 114)}",
        "Tachycardia": f"HR {random.randint(112, 138) if adult else random.randint(172, 196)}",
        "Bradycardia": f"HR {random.randint(38, 47)}",
        "Short stature": f"height {random.choice(('<1st', '<0.4th', '<3rd'))} centile",
        "Tall stature": f"height {random.choice(('>99th', '>99.6th'))} centile",
        "Microcephaly": f"OFC {random.choice(('<0.4th', '<1st'))} centile",
        "Macrocephaly": f"OFC {random.choice(('>99.6th', '>99th'))} centile",
        "Obesity": f"BMI {random.uniform(33, 44):.1f}" if adult else "BMI >99th centile",
        "Fever": f"T {random.uniform(38.3, 39.6):.1f}",
        "Hypotension": f"BP {random.randint(74, 86)}/{random.randint(40, 50)}",
        "Tachypnea": f"RR {random.randint(28, 36) if adult else random.randint(62, 74)}",
        "Hypoxemia": f"SpO2 {random.randint(83, 89)}% RA",
        "Failure to thrive": "weight <0.4th centile, down two lines",
        "Hypothermia": f"T {random.uniform(33.8, 34.8):.1f}",
    }
    return forms[name]


def cap(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def joined(marks: Sequence[Mark], word: str = "and") -> Sentence:
    """Marks as a list in a sentence: `a, b and c`."""
    pieces: list[str | Mark] = []
    for place, mark in enumerate(marks):
        if place:
            pieces.append(f" {word} " if place == len(marks) - 1 else ", ")
        pieces.append(mark)
    return tuple(pieces)
