"""Disease profiles the demo hospital draws from, and how a clinic would word their findings.

The list of diseases (`diseases.csv`) is chosen by hand: well described, spread over organ systems, often met late.
Their findings and frequencies are those of the HPO annotations (OMIM and Orphanet rows of one disease together), so a
screen that ranks by the same annotations has it easier here than in life; docs/demo-hospital.md says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from random import Random
from typing import NamedTuple

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.annotations import parse_frequency, read_genes, read_hpoa
from zebrawatch.knowledge.diseases import KnowledgeFiles
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, Ontology, Term

UNKNOWN_FREQUENCY = 0.4
"""Taken where the annotation gives no frequency; between HPO's classes `frequent` and `occasional`."""


@dataclass(frozen=True)
class Profile:
    """A rare disease as the writer needs it."""

    disease_id: str
    ids: tuple[str, ...]
    name: str
    names: tuple[str, ...]
    """Every wording that names it: names and synonyms of all its ids."""
    genes: tuple[str, ...]
    treatments: tuple[str, ...]
    """Drugs and tests that give it away."""
    from_age: int
    to_age: int
    """Years of age at which its first complaints may begin in the demo."""
    sex: str | None
    findings: tuple[tuple[str, float], ...]
    """HPO id and frequency, in order of id."""

    @cached_property
    def giveaways(self) -> re.Pattern[str]:
        """Finds the disease in plain text: names, genes and treatments, as whole words, in any case."""
        words = [*self.names, *self.genes, *self.treatments]
        return re.compile(
            r"(?<!\w)(?:" + "|".join(re.escape(w) for w in sorted(set(words))) + r")(?!\w)", re.IGNORECASE
        )


class Wording(NamedTuple):
    """One way to write a finding."""

    text: str
    plain: bool
    """A lay word: what a patient, nurse or triage desk would say."""


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of one of the package's CSV files."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def read_profiles(sources: KnowledgeFiles, ontology: Ontology) -> tuple[Profile, ...]:
    """The profiles of `diseases.csv`, in its order; KnowledgeError where the annotations lack one."""
    _, rows = read_hpoa(sources.phenotype_hpoa)
    genes = read_genes(sources.genes_to_phenotype)
    listed = read_table("diseases.csv")
    wanted = {each for row in listed for each in row["ids"].split("|")}
    findings: dict[str, list[tuple[str, float]]] = {}
    labels: dict[str, str] = {}
    for row in rows:
        if row.disease not in wanted:
            continue
        labels[row.disease] = row.name
        term = ontology.resolve(row.hpo_id)
        if row.aspect == "P" and not row.negated and term and ontology.under(term, PHENOTYPIC_ABNORMALITY):
            share = parse_frequency(row.frequency).share
            findings.setdefault(row.disease, []).append((term, UNKNOWN_FREQUENCY if share is None else share))
    return tuple(_profile(row, findings, labels, genes) for row in listed)


def _profile(
    row: Mapping[str, str],
    findings: Mapping[str, list[tuple[str, float]]],
    labels: Mapping[str, str],
    genes: Mapping[str, set[str]],
) -> Profile:
    ids = tuple(row["ids"].split("|"))
    shares: dict[str, list[float]] = {}
    for each in ids:
        for term, share in findings.get(each, []):
            shares.setdefault(term, []).append(share)
    if not shares:
        raise KnowledgeError(
            f"phenotype.hpoa holds no annotation of {row['name']} ({ids[0]}): it is cut short or another one."
        )
    names = [row["name"], *_split(row["other_names"]), *(labels[each] for each in ids if each in labels)]
    return Profile(
        disease_id=ids[0],
        ids=ids,
        name=row["name"],
        names=tuple(dict.fromkeys(names)),
        genes=tuple(sorted(set().union(*(genes.get(each, set()) for each in ids)))),
        treatments=tuple(_split(row["treatments_and_tests"])),
        from_age=int(row["from_age"]),
        to_age=int(row["to_age"]),
        sex=row["sex"] or None,
        findings=tuple((term, sum(values) / len(values)) for term, values in sorted(shares.items())),
    )


def _split(cell: str) -> list[str]:
    return [part for part in cell.split("|") if part]


# -- wording -----------------------------------------------------------------------------------------------------------

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '/%-]*\Z")
_BY_AGE = {
    "infant": re.compile(
        r"neonat|infan|fetal|foetal|prenatal|antenatal|birth|polyhydramn|prematur|congenital onset", re.I
    ),
    "child": re.compile(
        r"failure to thrive|developmental|delayed|retard|childhood|juvenile|growth|puberty|milk|teething", re.I
    ),
    "adult": re.compile(r"dementia|menopaus|adult|libido|infertil|erectile|impotence", re.I),
}
_BY_SEX = {
    "male": re.compile(
        r"ovar|uter|vagin|menstr|menorr|amenorr|pregnan|breast|female|miscarr|abortion|eclampsia|labia", re.I
    ),
    "female": re.compile(
        r"test(?:is|es|icular)|prostat|penis|penile|cryptorch|hypospad|scrot|\bmale\b|azoosperm|sperm|erectile", re.I
    ),
}
# Wordings no clinic writes, or that mean the thought of a rare disease rather than a finding.
_NOT_WRITTEN = re.compile(
    r"abnormality of|morphology|\bgenetic|syndrom|disease|retard|inherit|mutation|chromosom|metaboli|"
    r"\bdisorder\b|phenotyp|unusual|aplasia/hypoplasia|increased total|quality|biopsy|immunohisto|electron micro|"
    r"activity",
    re.I,
)
_CAPITAL = re.compile(r"[A-Z][a-z]+(?:-[a-z]+)*(?:'s)?\Z")
MOST_WORDINGS = 4
"""Wordings kept of each sort, the shortest first: nobody writes the twentieth synonym."""


class Wordings:
    """How findings are written: labels and synonyms of HPO, without those that name any rare disease."""

    def __init__(self, ontology: Ontology, disease_names: Iterable[str]) -> None:
        self._ontology = ontology
        self._forbidden = frozenset(_normal(name) for name in disease_names)
        self._findings = frozenset(
            _normal(text) for term in ontology.terms.values() for text in (term.name, *(s.text for s in term.synonyms))
        )
        self._proper = _proper_names(ontology)
        self._cache: dict[str, tuple[Wording, ...]] = {}

    def of(self, term_id: str) -> tuple[Wording, ...]:
        """Wordings of a term, its label first where it can be written; empty where nothing suitable is left."""
        if term_id not in self._cache:
            self._cache[term_id] = tuple(self._wordings(self._ontology.terms[term_id]))
        return self._cache[term_id]

    def fits(self, term_id: str, age: float, sex: str) -> bool:
        """Whether a chart could hold the finding in a patient of this age (years) and sex ("female"/"male")."""
        label = self._ontology.terms[term_id].name
        if not self.of(term_id):
            return False
        if age >= 2 and _BY_AGE["infant"].search(label):
            return False
        if age >= 16 and _BY_AGE["child"].search(label):
            return False
        if age < 14 and _BY_AGE["adult"].search(label):
            return False
        return not (sex in _BY_SEX and _BY_SEX[sex].search(label))

    def silent(self, term_id: str, profile: Profile) -> bool:
        """Whether no wording of the term gives the disease away."""
        return not any(profile.giveaways.search(wording.text) for wording in self.of(term_id))

    def pick(self, term_id: str, random: Random, *, plain: float) -> str:
        """One wording; a lay one with probability `plain` where there is one."""
        wordings = self.of(term_id)
        lay = [w for w in wordings if w.plain]
        if lay and random.random() < plain:
            return random.choice(lay).text
        clinical = [w for w in wordings if not w.plain] or list(wordings)
        # The label is what most people write; synonyms share the rest.
        return clinical[0].text if random.random() < 0.45 else random.choice(clinical).text

    def _wordings(self, term: Term) -> Iterable[Wording]:
        seen: set[str] = set()
        said = [(term.name, False)]
        said += [
            (s.text, s.kind == "layperson")
            for s in term.synonyms
            if s.scope == "EXACT" and s.kind in (None, "layperson")
        ]
        for text, plain in said:
            written = self._as_written(text)
            if written.lower() in seen or not self._allowed(written):
                continue
            seen.add(written.lower())
            yield Wording(written, plain)

    def _allowed(self, text: str) -> bool:
        if len(text) < 4 or len(text) > 48 or not _PLAIN_TEXT.match(text) or _NOT_WRITTEN.search(text):
            return False
        whole = _normal(text)
        words = whole.split()
        spans = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        # "Chronic diarrhea" may hold a name that is itself a finding ("Diarrhea 5"); as a whole it may not be one.
        return whole not in self._forbidden and not any(s in self._forbidden and s not in self._findings for s in spans)

    def _as_written(self, text: str) -> str:
        first, space, rest = text.partition(" ")
        if _CAPITAL.match(first) and first.removesuffix("'s") not in self._proper:
            first = first.lower()
        return first + space + rest


_INSIDE = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_LOWER = re.compile(r"(?<![A-Za-z])[a-z]{3,}")


def _proper_names(ontology: Ontology) -> frozenset[str]:
    """Words that HPO writes with a capital inside a sentence and never without one: names of people, mostly."""
    inside: set[str] = set()
    lower: set[str] = set()
    for term in ontology.terms.values():
        for text in (term.name, term.definition or "", *(s.text for s in term.synonyms)):
            inside.update(_INSIDE.findall(text))
            lower.update(_LOWER.findall(text))
    return frozenset(word for word in inside if word.lower() not in lower)


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def all_disease_names(sources: KnowledgeFiles) -> frozenset[str]:
    """Names of all diseases of phenotype.hpoa, and their stems without a number ("Gaucher disease, type I")."""
    _, rows = read_hpoa(sources.phenotype_hpoa)
    names = {row.name for row in rows}
    stems = {re.sub(r",?\s+(?:type\s+)?(?:[IVX]+|\d+)[A-Z]?\Z", "", name, flags=re.I) for name in names}
    return frozenset(names | stems)
