"""What a chart is made of before it becomes FHIR: notes of sentences, labs, orders; and the writers' phrase book.

A finding in a sentence is a `Mark`, so that what was planted, and where it stands in the text, is known without reading
the text again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from random import Random
from typing import Literal, NamedTuple

from zebrawatch.demo.course import Course
from zebrawatch.demo.profiles import Wordings, read_table
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

# Clinic that sees a finding, and investigation that shows it, by the branch of HPO it lies under; the first that fits.
CLINICS: tuple[tuple[str, str, str], ...] = (
    ("HP:0000364", "ENT", "Audiogram"),
    ("HP:0012443", "neurology", "MRI brain"),
    ("HP:0000707", "neurology", "MRI brain"),
    ("HP:0003011", "neurology", "EMG"),
    ("HP:0001627", "cardiology", "Echocardiogram"),
    ("HP:0001626", "cardiology", "CT angiogram"),
    ("HP:0000077", "nephrology", "US renal tract"),
    ("HP:0000119", "urology", "US pelvis"),
    ("HP:0000478", "ophthalmology", "Slit lamp and fundus photo"),
    ("HP:0002086", "respiratory", "CT chest"),
    ("HP:0001871", "haematology", "Blood film"),
    ("HP:0025031", "gastroenterology", "US abdomen"),
    ("HP:0000818", "endocrinology", "US neck"),
    ("HP:0001574", "dermatology", "Skin photographs"),
    ("HP:0000924", "orthopaedics", "X-ray"),
    ("HP:0002715", "rheumatology", "US abdomen"),
)

DENIED = (
    "Fever", "Chest pain", "Dyspnea", "Weight loss", "Night sweats", "Seizure", "Syncope", "Constipation", "Vomiting",
    "Hematuria", "Dysuria", "Joint swelling", "Skin rash", "Headache", "Visual loss", "Dysphagia", "Cough",
    "Hemoptysis", "Palpitations", "Pedal edema", "Jaundice", "Melena", "Tremor", "Diplopia", "Vertigo", "Nausea",
)  # fmt: skip
DENIED_ON_EXAM = (
    "Lymphadenopathy", "Hepatomegaly", "Splenomegaly", "Cyanosis", "Clubbing", "Nystagmus", "Muscle weakness",
    "Pedal edema", "Jaundice", "Tremor", "Hypotonia", "Scoliosis", "Pallor", "Goiter", "Ascites", "Hyperreflexia",
)  # fmt: skip

Manner = Literal["symptom", "sign", "lab", "study"]

_LAB = re.compile(
    r"(?:emia|penia|cytosis|philia|alkalosis|acidosis)\b|(?:protein|glucos|amino|phosphat|calci|globin)\w*uria|"
    r"circulating|serum|plasma|urinary \w+ (?:level|conc)|blood (?:level|conc)|concentration|\blevel|antibod|enzyme",
    re.I,
)
_STUDY = re.compile(
    r"atrophy of|cerebral|cerebell(?:ar|um) (?:atrophy|hypo)|white matter|basal ganglia|ventric|aneurysm|dilat|"
    r"stenosis|hypertroph|calcif|cyst|effusion|vertebra|epiphys|metaphys|ossif|osteo|fracture|regurgitation|prolapse|septal|lith|"
    r"hydroneph|calcinosis|conduction velocity|EMG|EEG|electro|fibrosis|scleros|hypoplasia|agenesis|leuko(?:en|dys)|"
    r"infarct|angioma|lipoma|tumou?r|neoplasm|carcinoma|adenoma|cardiomyopathy|bone density|bronchiectasis|emphysema|"
    r"polyp|varices|infiltrat",
    re.I,
)
_SIGN = re.compile(
    r"reflex|clonus|nystagmus|hypotonia|rigidity|spastic|murmur|megaly|contracture|scoliosis|kyphosis|lordosis|pectus|stature|"
    r"gait|sensory|dermat|macule|papule|telangi|nail|hair|ptosis|strabismus|cephaly|tongue|palate|edema|hypermobil|striae",
    re.I,
)
_SIGN_ROOTS = (
    "HP:0000152",
    "HP:0001574",
    "HP:0040064",
    "HP:0012372",
)  # head and neck, integument, limbs, eye morphology
_SYMPTOM = re.compile(
    r"pain|ache|algia|itus\b|fatigue|cramp|cough|vomit|nausea|constipat|diarrh|seizure|palpit|insomnia|anxiety", re.I
)


class Book:
    """What one hospital's writers share: phrases, wordings, lab table, and which clinic sees what."""

    def __init__(self, ontology: Ontology, wordings: Wordings) -> None:
        self.ontology = ontology
        self.wordings = wordings
        with files(__package__).joinpath("phrases.toml").open("rb") as file:
            self._phrases: dict[str, list[str]] = tomllib.load(file)
        ids = {term.name: term.id for term in ontology.terms.values()}
        self.labs = {ids[row["finding"]]: row for row in read_table("labs.csv") if row["finding"] in ids}
        self.denied = tuple(ids[name] for name in DENIED if name in ids)
        self.denied_on_exam = tuple(ids[name] for name in DENIED_ON_EXAM if name in ids)
        self.measured = {ids[name]: name for name in MEASURED if name in ids}

    def phrases(self, key: str, *, child: bool) -> list[str]:
        """The sentence forms of a use, those for children where there are any."""
        return self._phrases.get(f"{key}_child" if child else key) or self._phrases[key]

    def clinic_of(self, term_id: str) -> str:
        """The clinic that sees a finding."""
        return next((clinic for root, clinic, _ in CLINICS if self.ontology.under(term_id, root)), "internal medicine")

    def study_of(self, term_id: str) -> str:
        """The investigation that would show a finding."""
        return next((study for root, _, study in CLINICS if self.ontology.under(term_id, root)), "CT abdomen")

    def manner_of(self, term_id: str) -> Manner:
        """Whether a finding is complained of, seen, measured in a laboratory or shown by an investigation."""
        label = self.ontology.terms[term_id].name
        if _SYMPTOM.search(label):
            return "symptom"
        if term_id in self.labs or _LAB.search(label):
            return "lab"
        if any(self.ontology.under(term_id, root) for root in _SIGN_ROOTS) or _SIGN.search(label):
            return "sign"
        return "study" if _STUDY.search(label) else "symptom"

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
