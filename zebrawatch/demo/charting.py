"""The writing of one chart, visit by visit: the same hand for cases and for controls.

A visit tells what is new in the place where a clinic would: complaints in the history, signs in the examination,
values among the results, pictures in a report. Past history is mostly copied forward. What may be said of the disease
follows the course's dates alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal

from zebrawatch.demo.course import Course, PlannedFinding
from zebrawatch.demo.writing import (
    Book,
    Chart,
    CodedFinding,
    LabResult,
    Mark,
    Note,
    Order,
    Relative,
    Section,
    Sentence,
    cap,
    joined,
    measurement,
)

Part = str | Mark | Sentence
Milestone = Literal["general", "suspicion", "confirmed", "control", "general_negative"]

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
MEDICATIONS = (
    "Acetaminophen 500 MG Oral Tablet", "Ibuprofen 400 MG Oral Tablet", "Omeprazole 20 MG Oral Capsule",
    "Cetirizine 10 MG Oral Tablet", "Amoxicillin 500 MG Oral Capsule", "Cholecalciferol 1000 UNT Oral Tablet",
    "Gabapentin 300 MG Oral Capsule", "Sertraline 50 MG Oral Tablet", "Polyethylene glycol 3350 Oral Powder",
)  # fmt: skip
HEADS: dict[str, tuple[str, ...]] = {
    "history": ("HPI", "History", "S", "Subjective", "Presenting complaint"),
    "past": ("PMH", "Past history", "Background", "Past medical history"),
    "drugs": ("Meds", "Medication", "Rx"),
    "exam": ("O/E", "Exam", "Objective", "Physical exam"),
    "data": ("Labs", "Results", "Data", "Investigations"),
    "family": ("FHx", "Family history", "FH"),
    "social": ("SHx", "Social history", "Social"),
    "assessment": ("A/P", "Impression", "Assessment", "Imp"),
    "plan": ("Plan", "P", "Recommendations"),
}

# What hurried writers shorten. Only the writers' own words are changed, never a finding.
SHORT_FORMS: tuple[tuple[str, str], ...] = (
    (r"\bComplains of\b", "C/o"), (r"\bcomplains of\b", "c/o"), (r"\bPatient\b", "Pt"), (r"\bpatient\b", "pt"),
    (r"\b[Hh]istory of\b", "h/o"), (r"\bhistory\b", "hx"), (r"\b[Ff]ollow-up\b", "f/u"), (r"\bwith\b", "w/"),
    (r"\bWithout\b", "W/o"), (r"\bsymptoms\b", "sx"), (r"\bSymptoms\b", "Sx"), (r"\btreatment\b", "tx"),
    (r"\bReview of\b", "R/v of"), (r"\bappointment\b", "appt"), (r"\bmedications\b", "meds"), (r"\bweeks\b", "wks"),
    (r"\bprescription\b", "Rx"), (r"\bOn examination\b", "O/E"), (r"\bAbdomen\b", "Abdo"), (r"\bmonths\b", "mths"),
    (r"\bhypertension\b", "HTN"), (r"\bdue to\b", "2/2"), (r"\byear-old\b", "yo"), (r"\bheart sounds\b", "HS"),
)  # fmt: skip
_SHORTEN = tuple((re.compile(pattern), short) for pattern, short in SHORT_FORMS)
_SLOT = re.compile(r"\{(\w+)\}")


def write_chart(book: Book, course: Course, random: Random) -> Chart:
    """Notes, labs, orders and codes of a course; `random` decides everything that varies."""
    return _Charting(book, course, random).run()


class _Charting:
    """Keeps what has been said, so that notes refer back and copy forward."""

    def __init__(self, book: Book, course: Course, random: Random) -> None:
        self.book = book
        self.course = course
        self.random = random
        self.result = Chart(course)
        self.told: list[PlannedFinding] = []
        self.past: tuple[Sentence, ...] = ()
        self.last_visit = course.start
        self.story: tuple[Sentence, ...] = ()
        self.drugs: list[str] = []
        female = course.sitter.sex == "female"
        self.pronouns = (
            {"he": "she", "his": "her", "him": "her"} if female else {"he": "he", "his": "his", "him": "him"}
        )
        self.true = frozenset(f.hpo_id for f in course.findings)
        self.today = course.start

    # -- words ---------------------------------------------------------------------------------------------------------

    @property
    def child(self) -> bool:
        return self.course.sitter.age(self.today) < 14

    def mark(self, term: str, plain: float = 0.2, assertion: str = "present", experiencer: str = "patient") -> Mark:
        return Mark(self.book.wordings.pick(term, self.random, plain=plain), term, assertion, experiencer)

    def say(self, key: str, **values: Part) -> Sentence:
        """A sentence of a kind, its slots filled."""
        template = self.random.choice(self.book.phrases(key, child=self.child))
        pieces: list[str | Mark] = []
        position = 0
        for slot in _SLOT.finditer(template):
            pieces.append(template[position : slot.start()])
            filling = self._slot(slot.group(1), values)
            if isinstance(filling, (str, Mark)):
                pieces.append(filling)
            else:
                pieces += filling
            position = slot.end()
        pieces.append(template[position:])
        return tuple(piece for piece in pieces if piece)

    def _slot(self, name: str, values: dict[str, Part]) -> Part:
        if name.endswith("_cap"):
            return _capital(self._slot(name.removesuffix("_cap"), values))
        if name in values:
            return values[name]
        if name in self.pronouns:
            return self.pronouns[name]
        fillings = {"since": self._since, "sex": self._sex, "age": self._age, "when": self._when, "year": self._year}
        return fillings[name]()

    def _since(self) -> str:
        n = self.random.randint(2, 11)
        forms = (
            f"for {n} weeks",
            f"for {n} months",
            f"for {n} days",
            "for about a year",
            "on and off",
            "since last summer",
        )
        return self.random.choice(forms)

    def _when(self) -> str:
        return f"{self.last_visit:%b %Y}"

    def _year(self) -> str:
        return str(max(self.course.sitter.birth.year, self.today.year - self.random.randint(0, 3)))

    def _sex(self) -> str:
        female, random = self.course.sitter.sex == "female", self.random
        if self.child:
            return "girl" if female else "boy"
        return random.choice(("F", "female", "woman") if female else ("M", "male", "man"))

    def _age(self) -> str:
        years = self.course.sitter.age(self.today)
        if years < 2:
            return f"{max(0, int(years * 12))}-month-old"
        return self.random.choice((f"{int(years)} yo", f"{int(years)}-year-old", f"{int(years)} y/o"))

    # -- visits --------------------------------------------------------------------------------------------------------

    def run(self) -> Chart:
        milestones = self._milestones()
        for day in sorted({*self.course.visits, *milestones}):
            self.today = day
            self._visit(day, milestones.get(day, []))
            self.last_visit = day
        self.result.notes.sort(key=lambda note: note.at)
        return self.result

    def _milestones(self) -> dict[date, list[Milestone]]:
        course = self.course
        case = course.kind == "case"
        dated: tuple[tuple[date | None, Milestone], ...] = (
            (course.general, "general" if case else "general_negative"),
            (course.index, "suspicion" if case else "control"),
            (course.confirmed, "confirmed"),
        )
        found: dict[date, list[Milestone]] = {}
        for day, what in dated:
            if day is not None:
                found.setdefault(day, []).append(what)
        return found

    def _visit(self, day: date, milestones: list[Milestone]) -> None:
        random = self.random
        new = [f for f in self.course.findings if f.first <= day and f not in self.told]
        self.told += new
        focus = random.choice(new or self.told).hpo_id
        general = "paediatrics" if self.child else "internal medicine"
        clinic = (
            self.book.manners.clinic_of(focus) if random.random() < 0.5 else random.choice(("primary care", general))
        )
        hour = random.choice((8, 9, 9, 10, 10, 11, 13, 14, 14, 15, 16))
        at = datetime.combine(day, time(hour, random.randrange(0, 60, 5)), UTC)
        results = [*self._labs(at, new), *self._studies(at, new)]
        kind = random.choices(("progress", "consult", "history", "letter", "emergency"), (46, 26, 8, 12, 8))[0]
        if kind == "letter" and milestones:
            kind = "consult"
        if kind == "letter":
            self.result.notes.append(self._letter(at, clinic, new, results))
        else:
            self.result.notes.append(self._doctor_note(at, kind, clinic, new, results, milestones))
        if random.random() < 0.45:
            self._nurse_note(at + timedelta(minutes=random.randrange(10, 200)))
        if random.random() < 0.12:
            self._therapy_note(at + timedelta(days=random.randrange(2, 20)))
        self._coded(at, new)
        if random.random() < 0.3:
            drug = random.choice(MEDICATIONS)
            self.result.medications.append(Order(at, drug))
            self.drugs = [*self.drugs, drug.rpartition(" Oral")[0].lower()][-5:]

    def _doctor_note(
        self,
        at: datetime,
        kind: str,
        clinic: str,
        new: Sequence[PlannedFinding],
        results: Sequence[Sentence],
        milestones: Sequence[Milestone],
    ) -> Note:
        random = self.random
        parts: list[tuple[str, Iterable[Sentence]]] = [("history", self._history(new))]
        parts.append(("past", self._past()))
        full = kind in ("history", "consult")
        if self.drugs and random.random() < (0.8 if full else 0.25):
            parts.append(("drugs", [(f"{', '.join(dict.fromkeys(self.drugs))}.",)]))
        if random.random() < (0.75 if full else 0.3):
            parts.append(("family", self._family(at)))
        if random.random() < (0.6 if full else 0.25):
            parts.append(("social", [self.say("social")]))
        parts.append(("exam", self._exam(new)))
        parts.append(("data", results))
        parts.append(("assessment", self._assessment(at, clinic, milestones)))
        parts.append(
            ("plan", [(said,) for said in random.sample(self.book.phrases("plan", child=False), random.randint(1, 3))])
        )
        written = [(key, tuple(sentences)) for key, sentences in parts]
        return self._in_hand(Note(at, kind, clinic, "doctor", tuple((key, said) for key, said in written if said)))

    def _in_hand(self, note: Note) -> Note:
        """The note as its clinic's doctor would set it: heads, short forms, lists. A doctor keeps the same hand."""
        hand = hashlib.sha256(f"{self.course.sitter.part}|{note.clinic}|{note.at.year}".encode()).digest()
        heads = {key: forms[hand[0] % len(forms)] for key, forms in HEADS.items()}
        if hand[1] % 3 == 0:
            heads = {key: head.upper() for key, head in heads.items()}
        sections = tuple((heads.get(title, title), said) for title, said in note.sections)
        if hand[2] % 2 == 0:
            sections = tuple((title, tuple(_shortened(s) for s in said)) for title, said in sections)
        between = "\n- " if hand[3] % 5 == 0 else " "
        return replace(note, sections=sections, between=between)

    # -- sections ------------------------------------------------------------------------------------------------------

    def _history(self, new: Sequence[PlannedFinding]) -> Iterable[Sentence]:
        random = self.random
        said: list[Sentence] = []
        waiting = [f for f in new if self.book.manners.of(f.hpo_id) == "symptom"]
        while waiting:
            if len(waiting) >= 2 and random.random() < 0.3:
                first, second = waiting.pop(), waiting.pop()
                said.append(self.say("two", f=self.mark(first.hpo_id, 0.3), g=self.mark(second.hpo_id, 0.3)))
            else:
                said.append(self.say("new_symptom", f=self.mark(waiting.pop().hpo_id, 0.3)))
        known = [f for f in self.told if f not in new]
        for finding in random.sample(known, min(len(known), random.randint(0, 2))):
            manner = self.book.manners.of(finding.hpo_id)
            key = "ongoing_symptom" if manner == "symptom" else "ongoing_sign" if manner == "sign" else "ongoing_result"
            said.append(self.say(key, f=self.mark(finding.hpo_id)))
        story = tuple(said)
        opening = [self.say("opening")]
        if self.story and random.random() < 0.15:
            opening += [self.say("forward"), *self.story]
        self.story = story
        ending = [self._denial("denial", self.book.denied, 0.4)] if random.random() < 0.75 else []
        return [*opening, *story, *ending]

    def _denial(self, key: str, terms: Sequence[str], plain: float) -> Sentence:
        free = self.book.deniable(terms, self.true)
        chosen = self.random.sample(free, min(len(free), self.random.randint(2, 4)))
        return self.say(key, list=joined([self.mark(t, plain, "negated") for t in chosen], "or"))

    def _past(self) -> tuple[Sentence, ...]:
        """Past history: mostly the last one copied forward as it stands, now and then written anew."""
        if self.past and self.random.random() < 0.7:
            return self.past
        known = [f for f in self.told if f.first < self.last_visit][-7:]
        if not known:
            return ()
        lines = [self.say("past", f=self.mark(f.hpo_id, 0.05)) for f in known]
        self.past = tuple((*line, "." if place == len(lines) - 1 else ";") for place, line in enumerate(lines))
        return self.past

    def _family(self, at: datetime) -> Iterable[Sentence]:
        random = self.random
        if random.random() < 0.3:
            term, who = random.choice(self.told).hpo_id, random.choice(RELATIVES)
            mark = self.mark(term, 0.3, "present", "family")
            if random.random() < 0.3:
                self.result.relatives.append(Relative(at, who, mark.text))
            yield self.say("family", who=who, f=mark)
        else:
            yield self.say("family_plain")

    def _exam(self, new: Sequence[PlannedFinding]) -> Iterable[Sentence]:
        random = self.random
        yield self._vitals(new)
        signs = [f for f in new if self.book.manners.of(f.hpo_id) == "sign" and f.hpo_id not in self.book.measured]
        for finding in signs:
            yield self.say("new_sign", f=self.mark(finding.hpo_id, 0.1))
        old = [f for f in self.told if f not in new and self.book.manners.of(f.hpo_id) == "sign"]
        if old and random.random() < 0.5:
            yield self.say("ongoing_sign", f=self.mark(random.choice(old).hpo_id, 0.0))
        for sentence in random.sample(self.book.phrases("exam_normal", child=self.child), random.randint(1, 3)):
            yield (sentence,)
        if random.random() < 0.4:
            yield self._denial("denial_exam", self.book.denied_on_exam, 0.0)

    def _vitals(self, new: Sequence[PlannedFinding]) -> Sentence:
        """Pulse and pressure; a measurement instead of them where a finding is one."""
        random, age = self.random, self.course.sitter.age(self.today)
        pulse, low, high = (random.randint(60, 92), 104, 136) if age >= 14 else (random.randint(84, 118), 92, 108)
        told = [f.hpo_id for f in self.told if f.hpo_id in self.book.measured]
        fresh = {f.hpo_id for f in new}
        shown = [t for t in told if t in fresh or random.random() < 0.5]
        values = [Mark(measurement(self.book.measured[t], age, random), t) for t in shown]
        taken = {mark.text.split()[0] for mark in values}
        pieces: list[str | Mark] = []
        plain = {
            "BP": f"BP {random.randint(low, high)}/{random.randint(*((60, 84) if age >= 14 else (50, 66)))}",
            "HR": f"HR {pulse}",
        }
        plain["T"] = f"T {random.uniform(36.1, 37.2):.1f}"
        shown_values: list[str | Mark] = [text for key, text in plain.items() if key not in taken]
        for value in [*shown_values, *values]:
            pieces += [value, ", "]
        return (*pieces[:-1], ".")

    def _assessment(self, at: datetime, clinic: str, milestones: Sequence[Milestone]) -> Iterable[Sentence]:
        random = self.random
        if random.random() < 0.3:
            some = random.sample(self.told, min(len(self.told), random.randint(2, 4)))
            yield self.say("summary", list=joined([self.mark(f.hpo_id, 0.0) for f in some]))
        if self.course.causes and random.random() < 0.4:
            cause, statement = random.choice(self.course.causes)
            term = random.choice(self.told).hpo_id
            yield self.say("cause_given", f=self.mark(term, 0.05), cause=cause, statement=statement)
        else:
            yield self.say("assessment")
        if random.random() < 0.2:
            free = self.book.deniable(self.book.denied, self.true)
            coming = [f.hpo_id for f in self.course.findings if f not in self.told]
            term = random.choice(coming) if coming and random.random() < 0.4 else random.choice(free)
            yield self.say("queried", f=self.mark(term, 0.1, "uncertain"))
        if random.random() < 0.35:
            self.result.orders.append(Order(at, f"Referral to {clinic}"))
            yield self.say("refer", clinic=clinic)
        for milestone in milestones:
            yield from self._milestone(milestone, at)
        confirmed = self.course.confirmed
        if confirmed is not None and at.date() > confirmed and random.random() < 0.7:
            yield self.say("after", name=self._disease_name())

    def _milestone(self, what: Milestone, at: datetime) -> Iterable[Sentence]:
        random, profile = self.random, self.course.profile
        if what == "control":
            yield self.say("control_end")
        elif what in ("general", "general_negative"):
            asked = ("Referral to clinical genetics", "Gene panel", "Chromosomal microarray", "Exome sequencing")
            if random.random() < 0.6:
                self.result.orders.append(Order(at, random.choice(asked)))
            yield self.say(what)
        elif profile is not None:
            pair = random.sample(self.told, min(2, len(self.told)))
            first, second = self.mark(pair[0].hpo_id, 0.0), self.mark(pair[-1].hpo_id, 0.0)
            yield self.say(what, name=self._disease_name(), f=first, g=second)
            if what == "suspicion" and random.random() < 0.5:
                gene = profile.genes[0] if profile.genes else "Gene"
                if random.random() < 0.5:
                    self.result.orders.append(Order(at, f"{gene} gene sequencing"))
                yield self.say("test_sent", name=self._disease_name(), gene=gene)

    def _disease_name(self) -> str:
        profile = self.course.profile
        assert profile is not None
        names = [n for n in profile.names if len(n) > 4 and "," not in n and n != n.upper()]
        return profile.name if self.random.random() < 0.6 or not names else self.random.choice(names)

    # -- other notes ---------------------------------------------------------------------------------------------------

    def _letter(self, at: datetime, clinic: str, new: Sequence[PlannedFinding], results: Sequence[Sentence]) -> Note:
        random = self.random
        told = [f for f in (new or self.told) if self.book.manners.of(f.hpo_id) == "symptom"] or self.told
        some = random.sample(told, min(len(told), 4))
        body = [self.say("dear"), self.say("prose_findings", list=joined([self.mark(f.hpo_id, 0.1) for f in some]))]
        signs = [f for f in new if self.book.manners.of(f.hpo_id) == "sign"]
        body += [self.say("prose_exam", f=self.mark(f.hpo_id, 0.0)) for f in signs]
        body += results
        if random.random() < 0.6:
            body.append(self._denial("denial", self.book.denied, 0.1))
        body += [*self._assessment(at, clinic, ()), self.say("prose_end")]
        opening: Section = ("", ((random.choice(("Dear colleague,", "Dear Dr,", "To whom it may concern,")),),))
        return Note(at, "letter", clinic, "doctor", (opening, ("", tuple(body))))

    def _nurse_note(self, at: datetime) -> None:
        random = self.random
        said = [self.say("nurse_plain")]
        if random.random() < 0.5:
            said.insert(0, self.say("nurse", f=self.mark(random.choice(self.told).hpo_id, 0.85)))
        kind = random.choice(("nurse", "phone"))
        self.result.notes.append(Note(at, kind, "primary care", "nurse", (("", tuple(said)),)))

    def _therapy_note(self, at: datetime) -> None:
        said = tuple(self.say("therapy", f=self.mark(self.random.choice(self.told).hpo_id, 0.4)) for _ in range(2))
        self.result.notes.append(Note(at, "therapy", "physiotherapy", "therapist", (("", said),)))

    # -- results -------------------------------------------------------------------------------------------------------

    def _studies(self, at: datetime, new: Sequence[PlannedFinding]) -> list[Sentence]:
        """Reports of what is newly seen on pictures, now and then one without news; the sentences that quote them."""
        random = self.random
        said: list[Sentence] = []
        seen = [f for f in new if self.book.manners.of(f.hpo_id) == "study"]
        for finding in seen:
            study = self.book.manners.study_of(finding.hpo_id)
            self._report(at - timedelta(hours=random.randrange(2, 40)), study, [finding])
            said.append(self.say("new_study", study=study, f=self.mark(finding.hpo_id, 0.0)))
        if not seen and random.random() < 0.2:
            study = self.book.manners.study_of(random.choice(self.told).hpo_id)
            self._report(at + timedelta(hours=random.randrange(3, 50)), study, [])
            said.append(self.say("study_plan", study=study))
        return said

    def _report(self, at: datetime, study: str, seen: Sequence[PlannedFinding]) -> None:
        random = self.random
        at = datetime.combine(
            max(at.date(), self.course.start), time(random.randrange(8, 18), random.randrange(60)), UTC
        )
        marks = [self.mark(f.hpo_id, 0.0) for f in seen]
        findings = [*(self.say("report_present", f=mark) for mark in marks), self.say("report_normal")]
        if random.random() < 0.2:
            free = self.book.deniable(self.book.denied_on_exam, self.true)
            findings.append(self.say("denial_exam", list=self.mark(random.choice(free), 0.0, "negated")))
        impression = joined(marks) or (random.choice(("Normal study.", "No relevant abnormality.", "As above.")),)
        reason = (f"Study: {study}. Indication: {random.choice(('see request', 'follow-up', 'complaints as known'))}.",)
        self.result.orders.append(Order(at - timedelta(days=random.randrange(1, 14)), study))
        sections: tuple[Section, ...] = (("", (reason,)), ("Findings", tuple(findings)), ("Impression", (impression,)))
        self.result.notes.append(Note(at, "report", "radiology", "doctor", sections, study=study))

    def _labs(self, at: datetime, new: Sequence[PlannedFinding]) -> list[Sentence]:
        """Values for findings that are lab values, some repeated, normal ones beside, and sentences that quote them."""
        random, rows = self.random, self.book.labs
        fresh = [f.hpo_id for f in new if self.book.manners.of(f.hpo_id) == "lab"]
        sentences = [self.say("new_lab", f=self.mark(t, 0.1)) for t in fresh if t not in rows]
        again = [f.hpo_id for f in self.told if f not in new and f.hpo_id in rows and random.random() < 0.3]
        abnormal = [t for t in fresh if t in rows] + again
        if not abnormal and random.random() < 0.4:
            return sentences
        taken: set[str] = set()
        for term in abnormal:
            row = rows[term]
            if row["loinc"] in taken:
                continue
            taken.add(row["loinc"])
            value = round(random.uniform(float(row["from_value"]), float(row["to_value"])), int(row["digits"]))
            self._lab(at, row, value)
            flag = "H" if value > float(row["high"]) else "L"
            form = random.choice(("{0} {1:g} ({2})", "{0} {1:g} {3} ({2})", "{0} {1:g}{4}"))
            text = form.format(row["short"], value, flag, row["unit"], "↑" if flag == "H" else "↓")
            sentences.append((Mark(text, term), "."))
        held = {rows[t]["loinc"] for t in self.true if t in rows}
        normal = [row for row in rows.values() if row["loinc"] not in held and float(row["low"]) > 0]
        for row in random.sample(normal, random.randint(1, 3)):
            if row["loinc"] in taken:
                continue
            taken.add(row["loinc"])
            low, high = float(row["low"]), float(row["high"])
            value = round(low + (high - low) * random.uniform(0.2, 0.8), int(row["digits"]))
            self._lab(at, row, value)
            sentences.append((f"{row['short']} {value:g}.",))
        random.shuffle(sentences)
        return sentences

    def _lab(self, at: datetime, row: dict[str, str], value: float) -> None:
        filed = at + timedelta(hours=2)
        low, high = float(row["low"]), float(row["high"])
        self.result.labs.append(LabResult(filed, row["loinc"], row["display"], row["unit"], value, low, high))

    def _coded(self, at: datetime, new: Sequence[PlannedFinding]) -> None:
        for finding in new:
            if self.random.random() < 0.15:
                label = self.book.wordings.of(finding.hpo_id)[0].text
                self.result.coded.append(CodedFinding(at, finding.hpo_id, cap(label)))


def _capital(part: Part) -> Part:
    if isinstance(part, Mark):
        return part._replace(text=cap(part.text))
    if isinstance(part, str):
        return cap(part)
    first = part[0]
    return (first._replace(text=cap(first.text)) if isinstance(first, Mark) else cap(first), *part[1:])


def _shortened(sentence: Sentence) -> Sentence:
    return tuple(piece if isinstance(piece, Mark) else _short(piece) for piece in sentence)


def _short(text: str) -> str:
    for pattern, short in _SHORTEN:
        text = pattern.sub(short, text)
    return text
