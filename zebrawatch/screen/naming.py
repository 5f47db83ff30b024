"""The naming set N(d) and the search for it: where a rare disease, or the thought of one, is written down.

The set is versioned data, each entry with its source (OUTCOMES, "Naming and suspicion"). Names, synonyms, parents and
genes come from the knowledge; drugs, tests, general thoughts and the wordings kept out lie beside this module as
tables.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import ahocorasick_rs

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.screen.naming_context import Context, patient_or_family
from zebrawatch.screen.slips import LONG_WORD, Slips
from zebrawatch.screen.wording import Plain, american, eponym_of, key, plain, surnames_of, wordings

LARGEST_PARENT = 10
"""A parent names its children where it has at most 10 descendant diseases (OUTCOMES)."""
SHORT = 4
"""Abbreviations of four letters or fewer count only beside a long form or a code (OUTCOMES)."""
_EXCEPTION = "exception"
_CONFIRMED_BY_NAME = ("name", "synonym", "abbreviation")
"""Classes that say which disease is meant; a parent or a gene of several diseases does not."""
LARGEST_CODE = 10
"""An ICD code that more diseases share names none of them."""

CLASSES = (
    "name", "synonym", "abbreviation", "parent", "gene", "drug", "test", "code", "referral", "panel", "thought",
)  # fmt: skip
_GENE = re.compile(r"[A-Z][A-Z0-9]{1,9}(?:orf\d+)?(?:-[A-Z0-9]+)?\Z")
_GENE_BEFORE = re.compile(
    r"\b(?:genes?|mutations?|mutated|variants?|pathogenic|vus|sequencing|sequence|deletions?|duplications?|tests?|testing|"
    r"analysis|alleles?|carrier|panel|exome)(?: (?:in|of|for|including|the|both|at))* *\Z"
)
_GENE_AFTER = re.compile(
    r"\A *(?:genes?|genetic|mutations?|mutated|variants?|pathogenic|vus|sequencing|sequence|panel|exons?|alleles?|"
    r"deletions?|duplications?|tests?|testing|analysis|genotype|genotyping|related|c \d+\w* ?[acgt]?|"
    r"p [a-z]{3}\d+|hetero\w*|homo\w*|hemizygous)\b"
)
_QUERY_NEAR = re.compile(
    r"(?:\?|\b(?:query|possible|probable|suspected|suspect|consider|considering|exclude|excluded|rule out|ruled out|"
    r"r o|concern for|evaluate for|test for|tested for|screen for|screened for|testing for|differential includes|"
    r"ddx|dx|diagnosis of|diagnosed with|known|confirmed)) *\Z"
)
_DIAGNOSIS_NEAR = re.compile(
    r"\b(?:diagnos\w+(?: (?:of|with|is|was|as|includes?|made))?|dx|ddx|differential(?: diagnosis)?(?: includes?)?)"
    r"(?: (?:a|an|the|with|of|primary|hereditary|genetic))? *\Z"
)
_NO_WORD = re.compile(r"\W")
_HYPHEN = re.compile(r"[-‐‑–]")
_CHAIN = re.compile(r"((?:[^\W\d_][^-–]{3,}[-–]){2,}[^-–]{4,}) syndrome\Z")
"""A syndrome named by a chain of three features and more: polyendocrinopathy-candidiasis-ectodermal dystrophy."""
_QUALIFIED = re.compile(r"(?:hereditary|familial|inherited) (\S+ \S.*)", re.IGNORECASE)
_SURNAMES = re.compile(r"[A-Z][^\W\d_]+[-‐‑–][A-Z]")
_SENTENCE_END = re.compile(r"[.;!]\s|\n\s*\n")
_CONFIRMING = re.compile(r"\b(?:pathogenic|positive|confirmed|detected|homozygous|hemizygous|deficient|affected)\b")
_NOT_CONFIRMING = re.compile(r"\b(?:no|not|negative|likely benign|benign|uncertain|unknown|normal)\b")


class _Name(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def source(self) -> str: ...


class _Disease(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> Iterable[_Name]: ...
    @property
    def genes(self) -> tuple[str, ...]: ...
    @property
    def parents(self) -> tuple[str, ...]: ...
    @property
    def series(self) -> str | None: ...
    @property
    def icd10(self) -> tuple[str, ...]: ...


class Diseases(Protocol):
    """What the naming set needs of the knowledge; zebrawatch.knowledge.diseases.Knowledge serves."""

    @property
    def diseases(self) -> Iterable[_Disease]: ...
    @property
    def version(self) -> str: ...
    def index_of(self, any_id: str) -> int | None: ...


class Entry(NamedTuple):
    """One disease that a wording names (None: a rare disease, unnamed), as what, and by which source."""

    disease_id: str | None
    evidence_class: str
    source: str
    rule: str = ""
    """Empty, or how the wording must be written: `short` (beside a long form), `exact` (capitals as given), `gene`
    (capitals, and a word about genes near it), `eponym` (only where it is queried or given as a diagnosis), `surnames`
    (two of them, with a capital), `chain` (with its hyphens: a list of the same findings names nothing)."""
    exact: str = ""
    """The wording as its source writes it, where capitals matter."""
    phenotype_name: bool = False


class Naming(NamedTuple):
    """One hit: the columns of schemas.NAMINGS that do not come from the document."""

    start: int | None
    end: int | None
    disease_id: str | None
    evidence_class: str
    kind: str
    phenotype_name: bool
    assertion: str


@dataclass(frozen=True)
class NamingSet:
    """Wordings and codes with what they name. It pickles; a worker makes its own Namer from it."""

    entries: Mapping[str, tuple[Entry, ...]] = field(repr=False)
    """By wording, in the spelling of zebrawatch.screen.wording.plain."""
    codes: Mapping[str, tuple[str, ...]] = field(repr=False)
    """`SYSTEM//CODE` in capitals: ids of the diseases it names."""
    kept_out: frozenset[str] = field(repr=False)
    other_words: frozenset[str] = field(repr=False, default=frozenset())
    """Long words of findings: one of them is never a name's word miswritten."""
    version: str = ""

    @classmethod
    def build(
        cls, knowledge: Diseases, ontology: Ontology, groups: Mapping[str, tuple[str, ...]] | None = None
    ) -> NamingSet:
        """Compile the set; `groups` are names of disease groups by id (`read_groups`): naming one is a general
        suspicion.
        """
        return _Builder(knowledge, ontology, groups or {}).build()

    def keeps_out(self, name: str) -> bool:
        """Whether a name, however spelt, is kept out for a written reason (naming_data/kept_out.tsv)."""
        return key(name) in self.kept_out or american(key(name)) in self.kept_out

    def coverage(self) -> dict[str, int | str]:
        """Per evidence class the number of diseases (for general classes: of wordings) that have an entry.

        A class without a source is "not assessed", never zero.
        """
        diseases: dict[str, set[str]] = {}
        for entries in self.entries.values():
            for entry in entries:
                diseases.setdefault(entry.evidence_class, set()).add(entry.disease_id or f"{entry.source}{entry.exact}")
        diseases["code"] = {disease for named in self.codes.values() for disease in named}
        general = Counter(
            entry.evidence_class for entries in self.entries.values() for entry in entries if entry.disease_id is None
        )
        counted = {name: len(diseases.get(name, ())) for name in CLASSES}
        counted |= {name: general[name] for name in ("referral", "panel", "thought")}
        return {name: count or "not assessed" for name, count in counted.items()} | {"SNOMED codes": "not assessed"}


class Namer:
    """Finds the naming set in notes and coded events: one pass of an Aho-Corasick automaton over a text."""

    def __init__(self, naming_set: NamingSet) -> None:
        self.naming_set = naming_set
        self._wordings = list(naming_set.entries)
        self._entries = [naming_set.entries[wording] for wording in self._wordings]
        self._as_written = [_as_written(entries) for entries in self._entries]
        self._asked = [(place, wording) for place, wording in enumerate(self._wordings) if "?" in wording]
        """Wordings with the question mark that makes them a thought: ?syndrome."""
        self._automaton = ahocorasick_rs.AhoCorasick(
            [f" {wording} " for wording in self._wordings],  # only whole words
            implementation=ahocorasick_rs.Implementation.ContiguousNFA,
        )
        self._slips = Slips((word for wording in self._wordings for word in wording.split()), naming_set.other_words)

    def __reduce__(self) -> tuple[type[Namer], tuple[NamingSet]]:
        return Namer, (self.naming_set,)

    def find(self, text: str) -> list[Naming]:
        """All hits in a note, by place; offsets in code points. Nested names all count: any of them gives d away."""
        spelled = self._slips.mended(plain(text))
        hits = list(self._hits(spelled.text))
        if not hits:
            return []
        context = Context(text)
        found: dict[tuple[int, int, str | None, str], Naming] = {}
        waiting: list[Naming] = []
        excepted: list[tuple[int, int]] = []
        for place, start, end in hits:
            first, last = spelled.place(start), spelled.place(end - 1) + 1
            written = self._as_written[place]
            if written is not None and text[first:last] not in written:
                continue
            if _SENTENCE_END.search(text, first, last) or _in_compound(text, first, last):
                continue
            about: tuple[str, str] | None = None
            for entry in self._entries[place]:
                if entry.evidence_class == _EXCEPTION:
                    excepted.append((first, last))
                elif not _written(entry, spelled, text[first:last], start, end):
                    continue
                about = about or patient_or_family(context, first, last)
                naming = _naming(entry, about, spelled, first, last, start)
                if entry.rule == "short":
                    waiting.append(naming)
                else:
                    found.setdefault(naming[:4], naming)  # type: ignore[arg-type]
        named = {naming.disease_id for naming in found.values()}
        for naming in waiting:
            if naming.disease_id in named:
                found.setdefault(naming[:4], naming)  # type: ignore[arg-type]
        kept = [one for one in found.values() if not _within(one, excepted)]
        return sorted(kept, key=lambda one: (one.start, one.end, one.disease_id or "", one.evidence_class))

    def of_event(
        self,
        resource_type: str,
        code: str | None,
        display: str | None,
        text_value: str | None,
        status: str | None,
        relationship: str | None,
    ) -> list[Naming]:
        """Hits of a coded event: its code, and names in its display and value. Offsets are null.

        A Condition with verification status `confirmed`, and a result that says a variant or test of d is positive, are
        `confirmed`; a family member's history is `family`; all else is `specific` or `general` as in a note.
        """
        coded = [
            Naming(None, None, disease, "code", "specific", False, "present")
            for disease in self.naming_set.codes.get((code or "").upper(), ())
        ]
        written = [hit for text in dict.fromkeys((display or "", text_value or "")) for hit in _whole(self.find(text))]
        family = resource_type == "FamilyMemberHistory" or relationship is not None
        confirmed = resource_type == "Condition" and status is not None and status.split()[-1].lower() == "confirmed"
        result = resource_type in ("Observation", "DiagnosticReport") and _confirms(f"{display} {text_value}")
        # A display is one name: a shorter name inside it is not meant.
        meant = [hit for hit, whole in written if whole or hit.evidence_class not in _CONFIRMED_BY_NAME]
        named = {hit.disease_id for hit in meant if hit.evidence_class in _CONFIRMED_BY_NAME}
        proven = {hit.disease_id for hit in coded} | named if confirmed else named if result else set()
        if result:
            proven |= self._proven_by_test(meant)
        hits = [*coded, *(hit._replace(start=None, end=None) for hit in meant)]
        return list(dict.fromkeys(_as_event(hit, family, proven) for hit in hits))

    def _proven_by_test(self, hits: Iterable[Naming]) -> set[str | None]:
        """Diseases whose own test, or whose gene that is nobody else's, came back positive."""
        by_class: dict[str, set[str | None]] = {"gene": set(), "test": set()}
        for hit in hits:
            if hit.evidence_class in by_class:
                by_class[hit.evidence_class].add(hit.disease_id)
        return set().union(*(found for found in by_class.values() if len(found) == 1))

    def _hits(self, text: str) -> Iterator[tuple[int, int, int]]:
        parted = text.replace("?", " ") if text.isascii() else _NO_WORD.sub(" ", text)
        for place, start, end in self._automaton.find_matches_as_indexes(f" {parted} ", overlapping=True):
            yield place, start, end - 2
        for place, wording in self._asked if "?" in text else ():
            start = text.find(wording)
            while start >= 0:
                end = start + len(wording)
                if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
                    yield place, start, end
                start = text.find(wording, start + 1)


def _as_written(entries: Iterable[Entry]) -> frozenset[str] | None:
    """The only ways to write a wording that capitals tell from a common word (HE, WAS); None where others count."""
    found: set[str] = set()
    for entry in entries:
        if entry.evidence_class == _EXCEPTION or entry.rule not in ("exact", "short", "gene"):
            return None
        found |= {entry.exact, entry.exact.upper()}
    return frozenset(found)


def _in_compound(text: str, first: int, last: int) -> bool:
    """Whether a hit is the second half of a hyphenated word: Pick disease in Niemann-Pick disease.

    Two surnames are themselves in longer chains of them: Bardet-Biedl in Laurence-Moon-Bardet-Biedl.
    """
    behind = first > 1 and text[first - 1] in "-‐‑–" and text[first - 2].isalpha()
    return behind and _SURNAMES.match(text, first, last) is None


def _within(naming: Naming, spans: Iterable[tuple[int, int]]) -> bool:
    return any(first <= (naming.start or 0) and (naming.end or 0) <= last for first, last in spans)


def _whole(hits: Iterable[Naming]) -> list[tuple[Naming, bool]]:
    """Hits, and whether each stands by itself, not inside a longer name (cystinosis in nephropathic cystinosis)."""
    spans = {(hit.start or 0, hit.end or 0) for hit in hits if hit.evidence_class in _CONFIRMED_BY_NAME}

    def inside(hit: Naming) -> bool:
        own = (hit.start or 0, hit.end or 0)
        return any(first <= own[0] and own[1] <= last and (first, last) != own for first, last in spans)

    return [(hit, not inside(hit)) for hit in hits]


def _as_event(naming: Naming, family: bool, proven: set[str | None]) -> Naming:
    if family:
        return naming._replace(kind="family")
    if naming.kind == "specific" and naming.disease_id in proven and not naming.phenotype_name:
        return naming._replace(kind="confirmed")
    return naming


def _confirms(text: str) -> bool:
    words = key(text)
    return _CONFIRMING.search(words) is not None and _NOT_CONFIRMING.search(words) is None


def _written(entry: Entry, spelled: Plain, original: str, start: int, end: int) -> bool:
    """Whether a hit is written as its entry's rule wants it."""
    if entry.rule == "exact":
        return original in (entry.exact, entry.exact.upper())
    if entry.rule == "short":
        return original == entry.exact
    if entry.rule == "gene":
        if original != entry.exact:
            return False
        before, after = spelled.text[max(0, start - 40) : start], spelled.text[end : end + 24]
        return _GENE_BEFORE.search(before) is not None or _GENE_AFTER.search(after) is not None
    if entry.rule == "surnames":
        return original[:1].isupper()
    if entry.rule == "chain":
        return len(_HYPHEN.findall(original)) > 1
    if entry.rule == "eponym":
        return original[:1].isupper() and _QUERY_NEAR.search(spelled.text[max(0, start - 24) : start]) is not None
    return True


def _naming(entry: Entry, said: tuple[str, str], spelled: Plain, first: int, last: int, start: int) -> Naming:
    about, assertion = said
    phenotype = entry.phenotype_name and _DIAGNOSIS_NEAR.search(spelled.text[max(0, start - 40) : start]) is None
    kind = "family" if about == "family" else ("general" if entry.disease_id is None else "specific")
    return Naming(first, last, entry.disease_id, entry.evidence_class, kind, phenotype, assertion)


@cache
def _rows(name: str) -> tuple[tuple[str, ...], ...]:
    text = (resources.files("zebrawatch.screen") / "naming_data" / f"{name}.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(tuple(row) for row in csv.reader(lines, delimiter="\t"))


def read_groups(orphanet: Path) -> dict[str, tuple[str, ...]]:
    """Names of Orphanet's groups (`Category`, `Clinical group`) by ORPHA id, from the orphapacket extract (gzip JSONL).

    KnowledgeError where the file cannot be read. Groups are no diseases: as labels they are refused, in a note they are
    the thought of a rare disease.
    """
    try:
        with gzip.open(orphanet, "rt", encoding="utf-8") as lines:
            entities = [json.loads(line) for line in lines]
    except (OSError, EOFError, ValueError) as error:
        raise KnowledgeError(f"The Orphanet file {orphanet} cannot be read whole ({type(error).__name__}).") from None
    return {
        entity["orpha"]: (entity["label"], *entity["synonyms"])
        for entity in entities
        if entity["type"] in ("Category", "Clinical group")
    }


class _Builder:
    """Gathers entries of every class."""

    def __init__(self, knowledge: Diseases, ontology: Ontology, groups: Mapping[str, tuple[str, ...]]) -> None:
        self._knowledge = knowledge
        self._diseases = list(knowledge.diseases)
        self._groups = groups
        self._phenotypes = _phenotype_wordings(ontology)
        self._kept_out = {wording for row in _rows("kept_out") for wording in wordings(row[0])}
        self._kept_out |= {eponym for row in _rows("kept_out") if (eponym := eponym_of(row[0])) is not None}
        self._entries: dict[str, dict[tuple[str | None, str], Entry]] = {}
        self._eponymous_findings: set[str] | None = None

    def build(self) -> NamingSet:
        for disease in self._diseases:
            self._add_names(disease)
        self._add_exchanged()
        self._add_bare()
        self._add_parents()
        self._add_groups()
        self._add_series()
        self._add_genes()
        self._add_sourced("drug", "drugs")
        self._add_sourced("test", "tests")
        for phrase, evidence_class, source in _rows("general"):
            self._put(phrase.lower(), Entry(None, evidence_class, source, exact=phrase))
        for phrase, reason in _rows("exceptions"):
            self._put(key(phrase), Entry(None, _EXCEPTION, reason, exact=phrase))
        entries = {wording: tuple(found.values()) for wording, found in sorted(self._entries.items())}
        codes = self._codes()
        others = frozenset(word for name in self._phenotypes for word in name.split() if len(word) >= LONG_WORD)
        version = _digest(self._knowledge.version, entries, codes, others)
        return NamingSet(entries, codes, frozenset(self._kept_out), others, version)

    def _put(self, wording: str, entry: Entry) -> None:
        if wording and wording not in self._kept_out:
            self._entries.setdefault(wording, {}).setdefault((entry.disease_id, entry.evidence_class), entry)

    def _add_names(self, disease: _Disease) -> None:
        for name in disease.names:
            for text in (piece.strip() for piece in name.text.split(";")):
                self._add_name(disease.id, text, "name" if name.kind == "label" else "synonym", name.source)

    def _add_name(self, disease_id: str, text: str, evidence_class: str, source: str) -> None:
        if _is_abbreviation(text):
            rule = "short" if sum(char.isalpha() for char in text) <= SHORT else "exact"
            self._put(key(text), Entry(disease_id, "abbreviation", source, rule, text))
            return
        if len(key(text)) <= SHORT:
            return
        for wording in wordings(text):
            phenotype = american(wording) in self._phenotypes
            self._put(wording, Entry(disease_id, evidence_class, source, phenotype_name=phenotype))
        eponym = eponym_of(text)
        if eponym is not None:
            self._put(eponym, Entry(disease_id, evidence_class, source, "eponym"))
        surnames = surnames_of(text)
        if surnames is not None and not self._in_a_finding(surnames):
            self._put(surnames, Entry(disease_id, evidence_class, source, "surnames"))

    def _in_a_finding(self, surnames: str) -> bool:
        """Whether findings carry these surnames too: Dandy-Walker is said of a malformation."""
        if self._eponymous_findings is None:
            self._eponymous_findings = {
                f"{first} {second}" for name in self._phenotypes for first, second in pairwise(name.split())
            }
        return any(f"{first} {second}" in self._eponymous_findings for first, second in pairwise(surnames.split()))

    def _add_exchanged(self) -> None:
        """Morquio disease is also written Morquio syndrome, unless that is another disease's name."""
        names = {wording for wording, found in self._entries.items() if not all(e.rule for e in found.values())}
        for disease in self._diseases:
            for name in disease.names:
                eponym = eponym_of(name.text)
                if eponym is None:
                    continue
                tail = "syndrome" if name.text.endswith("disease") else "disease"
                for wording in wordings(f"{eponym} {tail}"):
                    if wording not in names:
                        self._put(
                            wording, Entry(disease.id, "synonym", f"{name.source}, disease and syndrome exchanged")
                        )

    def _add_parents(self) -> None:
        children = descendants(self._children())
        wordings_of = self._wordings_of()
        for parent, below in sorted(children.items()):
            if len(below) > LARGEST_PARENT:
                continue
            place = self._knowledge.index_of(parent)
            if place is not None:
                named = wordings_of.get(self._diseases[place].id, [])
            else:
                texts = [text for text in self._groups.get(parent, ()) if not _is_abbreviation(text)]
                named = [(wording, "") for text in texts if len(key(text)) > SHORT for wording in wordings(text)]
            for wording, rule in named:
                for child in sorted(below):
                    if (child, "name") not in self._entries.get(wording, {}):
                        phenotype = american(wording) in self._phenotypes
                        self._put(wording, Entry(child, "parent", "orphanet", rule, phenotype_name=phenotype))

    def _children(self) -> dict[str, set[str]]:
        """Parent id: first ids of the diseases directly below it, by Orphanet's relation or by Orphanet's naming.

        Orphanet's subtypes carry their disease's name, a comma, and what sets them apart ("Niemann-Pick disease type C,
        juvenile neurologic onset"); its file of relations leaves many of them out. OMIM's commas turn words round
        ("Muscular dystrophy, limb-girdle") and say nothing of the kind.
        """
        found: dict[str, set[str]] = {}
        named: dict[str, set[str]] = {}
        for disease in self._diseases:
            for parent in disease.parents:
                place = self._knowledge.index_of(parent)
                found.setdefault(parent if place is None else self._diseases[place].id, set()).add(disease.id)
            for name in disease.names:
                named.setdefault(key(name.text), set()).add(disease.id)
        for disease in self._diseases:
            for name in disease.names:
                for head in _heads(name.text) if name.source == "orphanet" else ():
                    for parent in named.get(key(head), set()) - {disease.id}:
                        found.setdefault(parent, set()).add(disease.id)
        return found

    def _wordings_of(self) -> dict[str, list[tuple[str, str]]]:
        """By disease the wordings of its names, with their rule; abbreviations left out."""
        found: dict[str, list[tuple[str, str]]] = {}
        for wording, entries in self._entries.items():
            for entry in entries.values():
                if entry.disease_id is not None and entry.evidence_class in ("name", "synonym"):
                    found.setdefault(entry.disease_id, []).append((wording, entry.rule))
        return found

    def _add_bare(self) -> None:
        """Hereditary ATTR amyloidosis is written ATTR amyloidosis, and a syndrome named by a chain of its features is
        written without the word, unless that is a finding or another disease.
        """
        names = {wording for wording, found in self._entries.items() if not all(e.rule for e in found.values())}
        for disease in self._diseases:
            for name in disease.names:
                chain = _CHAIN.match(name.text)
                bare = chain or _QUALIFIED.match(name.text)
                if bare is None or len(bare.group(1)) < 10:
                    continue
                entry = Entry(disease.id, "synonym", f"{name.source}, part left out", "chain" if chain else "")
                for wording in wordings(bare.group(1)):
                    if wording not in names and american(wording) not in self._phenotypes:
                        self._put(wording, entry)

    def _add_groups(self) -> None:
        for names in self._groups.values():
            for text in names:
                if _is_abbreviation(text) or len(key(text)) <= SHORT:
                    continue
                self._add_thought(text, "orphanet")

    def _add_series(self) -> None:
        """`Retinitis pigmentosa` without its number: the thought of one of a series."""
        for series in sorted({disease.series for disease in self._diseases if disease.series}):
            if series not in self._entries:
                self._add_thought(series, "stem of numbered names in hpoa, orphanet and mondo")

    def _add_thought(self, text: str, source: str) -> None:
        for wording in wordings(text):
            if american(wording) not in self._phenotypes:
                self._put(wording, Entry(None, "thought", source, exact=wording))

    def _add_genes(self) -> None:
        for disease in self._diseases:
            for gene in disease.genes:
                if _GENE.match(gene) is None or key(gene) in self._kept_out:
                    continue
                alone = len(gene) > SHORT and any(char.isdigit() for char in gene)
                self._put(
                    key(gene), Entry(disease.id, "gene", "genes_to_phenotype", "exact" if alone else "gene", gene)
                )

    def _add_sourced(self, evidence_class: str, table: str) -> None:
        by_name = self._by_name()
        for term, disease, source in _rows(table):
            if disease == "*":
                self._put(key(term), Entry(None, "panel", source, exact=term))
            for disease_id in by_name.get(key(disease), ()):
                self._put(key(term), Entry(disease_id, evidence_class, source))

    def _by_name(self) -> dict[str, tuple[str, ...]]:
        """Diseases by name; a parent's or group's name stands for its descendants too, where it has at most 10."""
        found: dict[str, list[str]] = {}
        for wording, entries in self._entries.items():
            ids = [
                e.disease_id
                for e in entries.values()
                if e.disease_id and e.evidence_class in ("name", "synonym", "parent")
            ]
            if ids:
                found[wording] = ids
        return {wording: tuple(dict.fromkeys(ids)) for wording, ids in found.items()}

    def _codes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for disease in self._diseases:
            if any(key(name.text) in self._kept_out for name in disease.names):
                continue
            for each in disease.ids:
                system, _, number = each.partition(":")
                for name in (system, "ORPHANET") if system == "ORPHA" else (system,):
                    found.setdefault(f"{name}//{number}".upper(), []).append(disease.id)
            for code in disease.icd10:
                for system in ("ICD10CM", "ICD10"):
                    found.setdefault(f"{system}//{code}".upper(), []).append(disease.id)
        kept = {code: tuple(dict.fromkeys(ids)) for code, ids in sorted(found.items())}
        return {code: ids for code, ids in kept.items() if len(ids) <= LARGEST_CODE}


def _is_abbreviation(text: str) -> bool:
    """One word, mostly capitals and digits, not long: CADASIL, NF1, 22q11DS."""
    letters = [char for char in text if char.isalpha()]
    capitals = sum(char.isupper() for char in letters)
    return " " not in text and 0 < len(text) <= 10 and bool(letters) and capitals >= max(1, len(letters) - 2)


def _heads(name: str) -> Iterator[str]:
    """What stands before each comma of a name."""
    for place, letter in enumerate(name):
        if letter == ",":
            yield name[:place]


def _phenotype_wordings(ontology: Ontology) -> frozenset[str]:
    """Labels and exact synonyms of HPO, in American spelling."""
    return frozenset(
        american(key(text))
        for term in ontology.terms.values()
        for text in (term.name, *(synonym.text for synonym in term.synonyms if synonym.scope == "EXACT"))
    )


def descendants(children: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """All that lies below each parent, whatever circles the sources hold; never the parent itself."""
    below: dict[str, set[str]] = {}

    def gather(parent: str, path: frozenset[str]) -> set[str]:
        if parent not in below:
            direct = children.get(parent, set()) - path
            below[parent] = direct.union(*(gather(child, path | {parent}) for child in direct if child in children))
        return below[parent]

    for parent in children:
        gather(parent, frozenset({parent}))
    return {parent: found - {parent} for parent, found in below.items()}


def _digest(
    version: str, entries: Mapping[str, tuple[Entry, ...]], codes: Mapping[str, tuple[str, ...]], others: frozenset[str]
) -> str:
    digest = hashlib.sha256(version.encode())
    for wording, found in entries.items():
        digest.update(repr((wording, [tuple(entry) for entry in found])).encode())
    digest.update(repr((sorted(codes.items()), sorted(others))).encode())
    return f"naming@{digest.hexdigest()[:16]}"
