"""The writer: turns a course into notes, labs and orders, in the same way for cases and controls.

Notes are sections of sentences from `phrases.toml`; a finding in a sentence is a `Mark`, so that what was planted, and
where it stands in the text, is known without reading the text again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from random import Random
from typing import NamedTuple

from zebrawatch.demo.course import Course, PlannedFinding
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


@dataclass(frozen=True)
class Note:
    """A note before it becomes FHIR."""

    at: datetime
    kind: str
    """A key of NOTE_KINDS."""
    clinic: str
    author: str
    sections: tuple[tuple[str, tuple[Sentence, ...]], ...]
    stage: str = "before"
    """before / general / suspicion / confirmed / after: what the note may say of the disease."""

    def text_and_spans(self) -> tuple[str, tuple[Span, ...]]:
        """The note as plain text, and where its findings stand."""
        parts: list[str] = []
        spans: list[Span] = []
        length = 0

        def add(text: str) -> None:
            nonlocal length
            parts.append(text)
            length += len(text)

        for title, sentences in self.sections:
            if title:
                add(f"{title}:\n")
            for number, sentence in enumerate(sentences):
                if number:
                    add(" ")
                for piece in sentence:
                    if isinstance(piece, Mark):
                        spans.append(Span(length, length + len(piece.text), *piece[1:]))
                        add(piece.text)
                    else:
                        add(piece)
            add("\n\n")
        return "".join(parts).rstrip() + "\n", tuple(spans)


class LabResult(NamedTuple):
    """A laboratory value."""

    at: datetime
    loinc: str
    display: str
    unit: str
    value: float
    low: float
    high: float


class Order(NamedTuple):
    """A referral or a test asked for."""

    at: datetime
    text: str


@dataclass
class Chart:
    """What the writer made of one course."""

    course: Course
    notes: list[Note] = field(default_factory=list)
    labs: list[LabResult] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    medications: list[Order] = field(default_factory=list)


NOTE_KINDS: dict[str, tuple[str, str]] = {
    "progress": ("34131-3", "Outpatient Progress note"),
    "consult": ("11488-4", "Consult note"),
    "history": ("34117-2", "History and physical note"),
    "phone": ("34748-4", "Telephone encounter Note"),
    "nurse": ("34746-8", "Nurse Note"),
    "emergency": ("34111-5", "Emergency department Note"),
    "imaging": ("18748-4", "Diagnostic imaging study"),
    "letter": ("51852-2", "Letter"),
}

# Clinic by the branch of HPO a finding lies under; the first that fits.
CLINICS: tuple[tuple[str, str], ...] = (
    ("HP:0000707", "neurology"),
    ("HP:0003011", "neurology"),
    ("HP:0001626", "cardiology"),
    ("HP:0000077", "nephrology"),
    ("HP:0000119", "urology"),
    ("HP:0000478", "ophthalmology"),
    ("HP:0000598", "ENT"),
    ("HP:0002086", "respiratory"),
    ("HP:0001871", "haematology"),
    ("HP:0025031", "gastroenterology"),
    ("HP:0000818", "endocrinology"),
    ("HP:0001574", "dermatology"),
    ("HP:0000924", "orthopaedics"),
    ("HP:0002715", "rheumatology"),
)

SECTION_HEADS = {
    "history": (("HPI", "History", "S", "Subjective", "Presenting complaint"), 1),
    "past": (("PMH", "Past history", "Problems", "Background"), 1),
    "exam": (("O/E", "Exam", "Objective", "Physical exam", "O"), 1),
    "data": (("Labs", "Results", "Data", "Investigations"), 1),
    "family": (("FHx", "Family history", "FH"), 1),
    "social": (("SHx", "Social", "Social history"), 1),
    "assessment": (("A/P", "Impression", "Assessment", "Imp"), 1),
    "plan": (("Plan", "P", "Recommendations"), 1),
}

RELATIVES = (
    "mother",
    "father",
    "sister",
    "brother",
    "maternal uncle",
    "paternal aunt",
    "maternal grandfather",
    "cousin",
)

_SLOT = re.compile(r"\{(\w+)\}")


class Writer:
    """Writes one hospital's charts; the stream given to `chart` decides everything that varies."""

    def __init__(self, ontology: Ontology, wordings: Wordings) -> None:
        self._ontology = ontology
        self._wordings = wordings
        with files(__package__).joinpath("phrases.toml").open("rb") as file:
            self._phrases: dict[str, list[str]] = tomllib.load(file)
        ids = {term.name: term.id for term in ontology.terms.values()}
        self._labs = {ids[row["finding"]]: row for row in read_table("labs.csv") if row["finding"] in ids}
        self._denials = [ids[name] for name in DENIED if name in ids]

    def chart(self, course: Course, random: Random) -> Chart:
        """Notes, labs and orders of the course."""
        return _Charting(self, course, random).run()

    def phrase(self, key: str, random: Random) -> str:
        """One sentence form of a kind."""
        return random.choice(self._phrases[key])

    def clinic_of(self, term_id: str) -> str:
        """The clinic that sees a finding."""
        return next((clinic for root, clinic in CLINICS if self._ontology.under(term_id, root)), "internal medicine")


DENIED = (
    "Fever",
    "Chest pain",
    "Dyspnea",
    "Weight loss",
    "Night sweats",
    "Seizure",
    "Syncope",
    "Diarrhea",
    "Constipation",
    "Vomiting",
    "Hematuria",
    "Dysuria",
    "Joint swelling",
    "Skin rash",
    "Headache",
    "Visual loss",
    "Dysphagia",
    "Cough",
    "Hemoptysis",
    "Palpitations",
    "Pedal edema",
    "Jaundice",
    "Melena",
    "Tremor",
    "Diplopia",
    "Lymphadenopathy",
    "Hearing impairment",
    "Hepatomegaly",
    "Splenomegaly",
    "Cyanosis",
    "Clubbing",
    "Nystagmus",
    "Muscle weakness",
)


def cap(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


class _Charting:
    """The writing of one chart: keeps what has been said, so that notes refer back and copy forward."""

    def __init__(self, writer: Writer, course: Course, random: Random) -> None:
        self.writer = writer
        self.course = course
        self.random = random
        self.result = Chart(course)
        self.told: list[PlannedFinding] = []
        self.copied: tuple[Sentence, ...] = ()
        self.history: tuple[Sentence, ...] = ()
        sitter = course.sitter
        self.he, self.his = ("she", "her") if sitter.sex == "female" else ("he", "his")
        self.him = "her" if sitter.sex == "female" else "him"
        self.true = {f.hpo_id for f in course.findings}

    # -- sentences -----------------------------------------------------------------------------------------------------

    def mark(self, term: str, plain: float = 0.2, assertion: str = "present", experiencer: str = "patient") -> Mark:
        return Mark(self.writer._wordings.pick(term, self.random, plain=plain), term, assertion, experiencer)

    def say(self, key: str, **values: str | Mark) -> Sentence:
        template = self.writer.phrase(key, self.random)
        pieces: list[str | Mark] = []
        position = 0
        for slot in _SLOT.finditer(template):
            pieces.append(template[position : slot.start()])
            pieces.append(self._slot(slot.group(1), values))
            position = slot.end()
        pieces.append(template[position:])
        return tuple(piece for piece in pieces if piece)

    def _slot(self, name: str, values: dict[str, str | Mark]) -> str | Mark:
        if name in values:
            return values[name]
        if name == "f_again":
            return "this"
        if name.endswith("_cap"):
            base = self._slot(name.removesuffix("_cap"), values)
            return base._replace(text=cap(base.text)) if isinstance(base, Mark) else cap(base)
        fixed = {"he": self.he, "his": self.his, "him": self.him, "since": self.since(), "sex": self.sex_word()}
        return fixed[name]

    def since(self) -> str:
        n = self.random.randint(2, 11)
        return self.random.choice(
            (
                f"for {n} wks",
                f"for {n} months",
                f"x {n} days",
                f"since {n} months",
                "for about a year",
                "on and off",
                "since the summer",
            )
        )

    def sex_word(self) -> str:
        female = self.course.sitter.sex == "female"
        return self.random.choice(("F", "female", "woman") if female else ("M", "male", "man"))

    def age_word(self, day: date) -> str:
        years = self.course.sitter.age(day)
        if years < 2:
            return f"{max(0, int(years * 12))} mo old"
        return self.random.choice((f"{int(years)} yo", f"{int(years)}-year-old", f"{int(years)} y/o"))

    def head(self, key: str) -> str:
        return self.random.choice(SECTION_HEADS[key][0])

    # -- the course ----------------------------------------------------------------------------------------------------

    def run(self) -> Chart:
        milestones = self._milestones()
        days = sorted({*self.course.visits, *(day for day, _ in milestones)})
        for day in days:
            stage = self._stage(day)
            self._visit(day, stage, [what for when, what in milestones if when == day])
        return self.result

    def _milestones(self) -> list[tuple[date, str]]:
        course = self.course
        if course.kind != "case":
            return [(course.index, "control")]
        found = [(course.index, "suspicion")]
        if course.general is not None:
            found.append((course.general, "general"))
        if course.confirmed is not None:
            found.append((course.confirmed, "confirmed"))
        return found

    def _stage(self, day: date) -> str:
        course = self.course
        if course.kind != "case":
            return "before" if day < course.index else "control"
        if course.confirmed is not None and day >= course.confirmed:
            return "confirmed" if day == course.confirmed else "after"
        if day >= course.index:
            return "suspicion"
        if course.general is not None and day >= course.general:
            return "general"
        return "before"

    def _visit(self, day: date, stage: str, milestones: list[str]) -> None:
        random = self.random
        new = [f for f in self.course.findings if f.first <= day and f not in self.told]
        self.told += new
        focus = random.choice(new or self.told).hpo_id
        clinic = (
            self.writer.clinic_of(focus)
            if random.random() < 0.55
            else random.choice(("primary care", "internal medicine"))
        )
        at = datetime.combine(
            day, time(random.choice((8, 9, 9, 10, 10, 11, 13, 14, 14, 15, 16)), random.randrange(0, 60, 5)), UTC
        )
        labs = self._labs(at, new)
        main = random.choices(("progress", "consult", "history", "letter", "emergency"), (50, 25, 8, 10, 7))[0]
        self._doctor_note(at, main, clinic, new, labs, stage, milestones)
        if random.random() < 0.45:
            self._nurse_note(at + timedelta(minutes=random.randrange(10, 200)))
        if random.random() < 0.25:
            self._report(at + timedelta(hours=random.randrange(3, 50)))
        if random.random() < 0.3:
            self.result.orders.append(Order(at, f"Referral to {clinic}"))
        if random.random() < 0.3:
            self.result.medications.append(Order(at, random.choice(MEDICATIONS)))

    def _doctor_note(
        self,
        at: datetime,
        kind: str,
        clinic: str,
        new: Sequence[PlannedFinding],
        labs: list[Sentence],
        stage: str,
        milestones: list[str],
    ) -> None:
        random = self.random
        sections: list[tuple[str, tuple[Sentence, ...]]] = []
        sections.append((self.head("history"), tuple(self._history(at.date(), new))))
        past = self._past()
        if past:
            sections.append((self.head("past"), past))
        if random.random() < 0.5:
            sections.append((self.head("family"), tuple(self._family())))
        if random.random() < 0.35:
            sections.append((self.head("social"), (self.say("social"),)))
        sections.append((self.head("exam"), tuple(self._exam())))
        if labs:
            sections.append((self.head("data"), tuple(labs)))
        sections.append((self.head("assessment"), tuple(self._assessment(clinic, stage, milestones, at))))
        sections.append((self.head("plan"), tuple(self.say("plan") for _ in range(random.randint(1, 2)))))
        self.result.notes.append(Note(at, kind, clinic, f"doctor/{clinic}", tuple(sections), stage))

    def _history(self, day: date, new: Sequence[PlannedFinding]) -> Iterable[Sentence]:
        random = self.random
        yield self.say("opening", age=self.age_word(day))
        waiting = list(new)
        while waiting:
            if len(waiting) >= 2 and random.random() < 0.3:
                first, second = waiting.pop(), waiting.pop()
                yield self.say("two", f=self.mark(first.hpo_id), g=self.mark(second.hpo_id))
            else:
                yield self.say("new", f=self.mark(waiting.pop().hpo_id))
        known = [f for f in self.told if f not in new]
        for finding in random.sample(known, min(len(known), random.randint(0, 2))):
            yield self.say("ongoing", f=self.mark(finding.hpo_id))
        if random.random() < 0.75:
            yield self._denial()

    def _denial(self) -> Sentence:
        # Nothing is denied that the patient has, or has a kind of.
        ontology = self.writer._ontology
        related = {a for term in self.true for a in ontology.ancestors(term)}
        free = [t for t in self.writer._denials if t not in related and not (ontology.ancestors(t) & self.true)]
        f, g, h = self.random.sample(free, 3)
        return self.say("denial", **{k: self.mark(t, 0.4, "negated") for k, t in (("f", f), ("g", g), ("h", h))})

    def _past(self) -> tuple[Sentence, ...]:
        """Past history: mostly the last one copied forward, now and then written anew."""
        if self.history and self.random.random() < 0.65:
            return self.history
        known = self.told[:-1][:6]
        self.history = tuple(self.say("ongoing", f=self.mark(f.hpo_id, 0.05)) for f in known)
        return self.history

    def _family(self) -> Iterable[Sentence]:
        if self.random.random() < 0.3 and self.told:
            term = self.random.choice(self.told).hpo_id
            yield self.say("family", who=self.random.choice(RELATIVES), f=self.mark(term, 0.3, "present", "family"))
        else:
            yield self.say("family_plain")

    def _exam(self) -> Iterable[Sentence]:
        random = self.random
        pulse, systolic, diastolic = random.randint(58, 96), random.randint(104, 148), random.randint(60, 92)
        yield (
            random.choice(
                (
                    f"BP {systolic}/{diastolic}, HR {pulse}.",
                    f"Obs: HR {pulse}, BP {systolic}/{diastolic}, T {36 + random.random() * 1.2:.1f}.",
                )
            ),
        )
        if self.told and random.random() < 0.5:
            yield self.say("exam_present", f=self.mark(random.choice(self.told).hpo_id, 0.0))
        for sentence in random.sample(self.writer._phrases["exam_normal"], random.randint(1, 3)):
            yield (sentence,)

    def _assessment(self, clinic: str, stage: str, milestones: list[str], at: datetime) -> Iterable[Sentence]:
        random = self.random
        if self.told and self.course.causes and random.random() < 0.4:
            cause, statement = random.choice(self.course.causes)
            yield self.say(
                "cause_given", f=self.mark(random.choice(self.told).hpo_id, 0.05), cause=cause, statement=statement
            )
        else:
            yield self.say("assessment")
        if random.random() < 0.2:
            ontology = self.writer._ontology
            free = [t for t in self.writer._denials if not (ontology.ancestors(t) & self.true)]
            yield self.say("queried", f=self.mark(random.choice(free), 0.1, "uncertain"))
        if random.random() < 0.35:
            yield self.say("refer", clinic=clinic)
        for milestone in milestones:
            yield from self._milestone(milestone, at)
        if stage == "after" and self.course.profile is not None and random.random() < 0.7:
            yield self.say("after", name=self._disease_name())

    def _milestone(self, what: str, at: datetime) -> Iterable[Sentence]:
        profile = self.course.profile
        if what == "general":
            yield self.say("general")
            self.result.orders.append(
                Order(at, self.random.choice(("Referral to clinical genetics", "Gene panel", "Chromosomal microarray")))
            )
        elif what == "control":
            yield self.say("control_end")
        elif profile is not None:
            pair = [self.mark(f.hpo_id, 0.0) for f in self.random.sample(self.told, min(2, len(self.told)))]
            yield self.say(what, name=self._disease_name(), f=pair[0], g=pair[-1])

    def _disease_name(self) -> str:
        profile = self.course.profile
        assert profile is not None
        names = [n for n in profile.names if len(n) > 4 and "," not in n]
        return profile.name if self.random.random() < 0.6 or not names else self.random.choice(names)

    def _nurse_note(self, at: datetime) -> None:
        random = self.random
        if self.told and random.random() < 0.5:
            sentence = self.say("nurse", f=self.mark(random.choice(self.told).hpo_id, 0.8))
        else:
            sentence = self.say(random.choice(("nurse_plain", "admin")))
        self.result.notes.append(
            Note(
                at,
                random.choice(("nurse", "phone")),
                "primary care",
                "nurse/primary care",
                (("", (sentence,)),),
                "nurse",
            )
        )

    def _report(self, at: datetime) -> None:
        random = self.random
        seen = [f for f in self.told if self.writer.clinic_of(f.hpo_id) not in ("internal medicine", "dermatology")]
        findings: list[Sentence] = [self.say("report_normal")]
        if seen and random.random() < 0.6:
            findings.insert(0, self.say("report_present", f=self.mark(random.choice(seen).hpo_id, 0.0)))
        note = Note(
            at,
            "imaging",
            "radiology",
            "doctor/radiology",
            (("Findings", tuple(findings)), ("Impression", (self.say("report_normal"),))),
            "report",
        )
        self.result.notes.append(note)

    def _labs(self, at: datetime, new: Sequence[PlannedFinding]) -> list[Sentence]:
        """Values for findings that are lab values, some repeated, normal ones beside, and sentences that quote them."""
        random, rows = self.random, self.writer._labs
        if not new and random.random() < 0.5:
            return []
        abnormal = [f.hpo_id for f in new if f.hpo_id in rows]
        abnormal += [f.hpo_id for f in self.told if f.hpo_id in rows and f not in new and random.random() < 0.3]
        taken = {rows[t]["loinc"] for t in abnormal}
        normal = [r for r in rows.values() if r["loinc"] not in taken]
        sentences: list[Sentence] = []
        for term in abnormal:
            row = rows[term]
            value = round(random.uniform(float(row["from_value"]), float(row["to_value"])), int(row["digits"]))
            self._lab(at, row, value)
            flag = "H" if value > float(row["high"]) else "L"
            sentences.append((Mark(f"{row['short']} {value:g} ({flag})", term), "."))
        for row in random.sample(normal, random.randint(1, 3)):
            if any(r["loinc"] == row["loinc"] for r in [rows[t] for t in abnormal]):
                continue
            low, high = float(row["low"]), float(row["high"])
            value = round(low + (high - low) * random.uniform(0.15, 0.85), int(row["digits"]))
            self._lab(at, row, value)
            sentences.append((f"{row['short']} {value:g}.",))
        random.shuffle(sentences)
        return sentences

    def _lab(self, at: datetime, row: dict[str, str], value: float) -> None:
        filed = at + timedelta(hours=2)
        self.result.labs.append(
            LabResult(filed, row["loinc"], row["display"], row["unit"], value, float(row["low"]), float(row["high"]))
        )


MEDICATIONS = (
    "Acetaminophen 500 MG Oral Tablet",
    "Ibuprofen 400 MG Oral Tablet",
    "Omeprazole 20 MG Oral Capsule",
    "Cetirizine 10 MG Oral Tablet",
    "Amoxicillin 500 MG Oral Capsule",
    "Cholecalciferol 1000 UNT Oral Tablet",
    "Ferrous sulfate 325 MG Oral Tablet",
    "Gabapentin 300 MG Oral Capsule",
    "Sertraline 50 MG Oral Tablet",
    "Polyethylene glycol 3350 Oral Powder",
)
