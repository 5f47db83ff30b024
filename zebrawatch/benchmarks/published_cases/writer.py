"""The writer of the rendered hospital: notes of one course. Another writer than the demo's: own note types, heads,
sentences and layout; only the HPO's own labels and exact synonyms are common to both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib import resources
from random import Random

from zebrawatch.benchmarks.published_cases.courses import Course, Planned
from zebrawatch.knowledge.ontology import Ontology, Term

NOTE_TYPES: dict[str, tuple[str, str, str]] = {
    "consultation": ("34131-3", "Outpatient Progress note", "physician"),
    "letter": ("51852-2", "Letter", "specialist"),
    "nurse": ("34746-8", "Nurse Note", "nurse"),
    "emergency": ("34878-9", "Emergency medicine Note", "physician"),
    "ward": ("18842-5", "Discharge summary", "physician"),
}
"""LOINC code, display and author of each sort of note."""
_WEIGHTS = {"consultation": 9, "letter": 5, "nurse": 2, "emergency": 2, "ward": 1}
MOST_NEW = 5
"""New findings a note tells at most; the rest come at the next visits."""
LONG_AGO = timedelta(days=60)
_LONGEST_WORDING = 64

Quiet = Callable[[str], bool]
"""Whether a text names no rare disease and no thought of one."""


@dataclass(frozen=True)
class WrittenNote:
    """A note."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True)
class WrittenChart:
    """All notes of a patient in order of time, and the day of the note that first tells each finding."""

    notes: tuple[WrittenNote, ...]
    told: tuple[tuple[str, date], ...]


class Vocabulary:
    """How findings are worded: HPO labels and exact synonyms that name no disease."""

    def __init__(self, ontology: Ontology, quiet: Quiet) -> None:
        self._ontology = ontology
        self._quiet = quiet
        self._wordings: dict[str, tuple[str, ...]] = {}

    def wordings(self, hpo_id: str) -> tuple[str, ...]:
        """Wordings of a finding, the label first; empty where nothing can be written."""
        term = self._term(hpo_id)
        if hpo_id not in self._wordings:
            self._wordings[hpo_id] = tuple(self._usable(term)) if term is not None else ()
        return self._wordings[hpo_id]

    def pick(self, hpo_id: str, random: Random) -> str:
        """One wording: the label as often as all synonyms together."""
        found = self.wordings(hpo_id)
        return found[0] if len(found) == 1 or random.random() < 0.5 else random.choice(found[1:])

    def _term(self, hpo_id: str) -> Term | None:
        return self._ontology.terms.get(hpo_id) or self._replaced.get(hpo_id)

    @property
    def _replaced(self) -> Mapping[str, Term]:
        if not hasattr(self, "_by_old_id"):
            self._by_old_id = {old: term for term in self._ontology.terms.values() for old in term.alt_ids}
        return self._by_old_id

    def _usable(self, term: Term) -> list[str]:
        said = [term.name, *(s.text for s in term.synonyms if s.scope == "EXACT" and s.kind != "abbreviation")]
        written = dict.fromkeys(
            _inside(text) for text in said if 4 <= len(text) <= _LONGEST_WORDING or text == term.name
        )
        return [text for text in written if self._quiet(f"The examination showed {text}.")]


def _inside(text: str) -> str:
    """As it stands inside a sentence: a capital stays where the word has more of them, or is a name (X's)."""
    first = text.partition(" ")[0]
    plain = first[1:].islower() and not first.endswith("'s") and "'" not in first
    return text[0].lower() + text[1:] if plain else text


class Writer:
    """Writes charts."""

    def __init__(self, vocabulary: Vocabulary, quiet: Quiet) -> None:
        self._vocabulary = vocabulary
        self._quiet = quiet
        text = resources.files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8")
        self._phrases: Mapping[str, Mapping[str, Sequence[str]]] = tomllib.loads(text)

    def chart(self, course: Course, disease_name: str, random: Random) -> WrittenChart:
        """The chart of a course."""
        chart = _Chart(self._phrases, self._vocabulary, self._quiet, course, disease_name, random)
        return WrittenChart(tuple(chart.notes()), tuple(chart.told))

    def problems(self, course: Course, random: Random) -> list[tuple[date, str]]:
        """Everyday entries of the problem list, with their days."""
        listed = self._phrases["problems"][_age_group(course.age(course.visits[0])).replace("under2", "child")]
        chosen = random.sample(list(listed), random.randint(0, 2))
        return [(random.choice(course.visits), problem) for problem in chosen]


class _Chart:
    def __init__(
        self, phrases: Mapping[str, Mapping[str, Sequence[str]]], vocabulary: Vocabulary, quiet: Quiet, course: Course,
        disease_name: str, random: Random,
    ) -> None:  # fmt: skip
        self.phrases, self.vocabulary, self.quiet = phrases, vocabulary, quiet
        self.course, self.disease_name, self.random = course, disease_name, random
        self.waiting = sorted(course.findings, key=lambda finding: finding.begins)
        self.known: list[str] = []
        self.told: list[tuple[str, date]] = []
        self.denials = list(course.denied)
        self.blamed = list(course.blamed)

    def notes(self) -> list[WrittenNote]:
        special = {
            day for day in (self.course.suspected, self.course.general, self.course.confirmed) if day is not None
        }
        days = sorted({*self.course.visits, *(special if self.course.kind == "case" else _only(self.course.general))})
        return [self._note(day) for day in days]

    def _note(self, day: date) -> WrittenNote:
        kinds = list(_WEIGHTS)
        kind = self.random.choices(kinds, [_WEIGHTS[each] for each in kinds])[0]
        seen, told, closing = self._first_part(kind, day), self._new(day), self._closing(day)
        text = self._laid_out(kind, [seen, told, closing])
        at = datetime.combine(day, time(8 + self.random.randrange(9), self.random.randrange(60)))
        return WrittenNote(at, kind, text)

    def _first_part(self, kind: str, day: date) -> list[str]:
        said = [self._fill(self._any("opening", kind))]
        said += self._some("ordinary", _age_group(self.course.age(day)), self.random.randint(1, 2))
        if self.known and kind in ("letter", "ward"):
            listed = self.random.sample(self.known, min(len(self.known), 4))
            words = [self._any("again", "summary").format(f=self.vocabulary.pick(term, self.random)) for term in listed]
            said.append(f"On record: {'; '.join(words)}.")
        elif self.known and self.random.random() < 0.5:
            word = self.vocabulary.pick(self.random.choice(self.known), self.random)
            said.append(self._finding_sentence(self._any("again", "line"), word, day, day))
        return said

    def _new(self, day: date) -> list[str]:
        """Sentences about what is told for the first time, with denials and normal findings between."""
        told: list[str] = []
        due = [finding for finding in self.waiting if finding.begins <= day][:MOST_NEW]
        for finding in due:
            self.waiting.remove(finding)
            told.append(self._new_sentence(finding, day))
            self.known.append(finding.hpo_id)
            self.told.append((finding.hpo_id, day))
        if self.denials and self.random.random() < 0.6:
            denied = [self.denials.pop() for _ in range(min(len(self.denials), self.random.randint(1, 3)))]
            listed = _joined([self.vocabulary.pick(term, self.random) for term in denied])
            sentence = self._any("denied", "line").format(g=listed, G=_capital(listed))
            told += [sentence] if self.quiet(sentence) else []
        if due and self.blamed and self.random.random() < 0.5:
            cause, said = self.blamed.pop()
            sentence = self._any("blamed", "line").format(cause=cause, said=said, said_cap=_capital(said))
            told += [sentence] if self.quiet(sentence) else []
        told += self._some("normal", "line", self.random.randint(1, 3))
        self.random.shuffle(told)
        return told

    def _new_sentence(self, finding: Planned, day: date) -> str:
        group = "earlier" if day - finding.begins > LONG_AGO else "new"
        word = self.vocabulary.pick(finding.hpo_id, self.random)
        return self._finding_sentence(self._any(group, "line"), word, finding.begins, day)

    def _finding_sentence(self, template: str, word: str, begins: date, day: date) -> str:
        sentence = template.format(f=word, F=_capital(word), when=_since(begins, day), P=self._pronoun())
        return sentence if self.quiet(sentence) else f"{_capital(word)}."

    def _closing(self, day: date) -> list[str]:
        said = self._some("plan", "line", self.random.randint(1, 2))
        course = self.course
        if day == course.general:
            said.append(self._any("general", "line"))
        if course.kind == "case" and day == course.suspected:
            said.append(self._any("suspected", "line").format(name=self.disease_name))
        elif course.kind == "case" and day == course.confirmed:
            said.append(self._any("confirmed", "line").format(name=self.disease_name))
        return said

    def _laid_out(self, kind: str, parts: Sequence[Sequence[str]]) -> str:
        heads = self.phrases["heads"][kind]
        if kind == "letter":
            return "\n\n".join(f"{head}\n{' '.join(part)}" for head, part in zip(heads, parts, strict=True))
        mark = " - " if kind == "nurse" else ":\n"
        return "\n".join(f"{head}{mark}{' '.join(part)}" for head, part in zip(heads, parts, strict=True))

    # -- phrases ------------------------------------------------------------------------------------------------------

    def _any(self, group: str, name: str) -> str:
        return self.random.choice(self.phrases[group][name])

    def _some(self, group: str, name: str, count: int) -> list[str]:
        return [self._fill(text) for text in self.random.sample(list(self.phrases[group][name]), count)]

    def _fill(self, text: str) -> str:
        place = self._any("places", "line") if "{place}" in text else ""
        return text.format(place=place, weeks=self.random.choice((2, 4, 6, 8, 12)))

    def _pronoun(self) -> str:
        return {"female": "She", "male": "He"}.get(self.course.sex, "The patient")


def _only(day: date | None) -> set[date]:
    return set() if day is None else {day}


def _age_group(age: float) -> str:
    return "under2" if age < 2 else "child" if age < 16 else "adult" if age < 60 else "older"


def _since(begins: date, day: date) -> str:
    days = max(1, (day - begins).days)
    if days < 14:
        return "for some days"
    if days < 75:
        return f"for {round(days / 7)} weeks"
    if days < 700:
        return f"for {round(days / 30.4)} months"
    return f"for {round(days / 365.25)} years"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
