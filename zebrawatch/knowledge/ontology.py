"""The Human Phenotype Ontology, read from its OBO file.

Source of the format: The OBO Flat File Format 1.2 (owlcollab.github.io/oboformat). Only what the project uses is kept:
names, synonyms, parents, retired and merged ids, cross-references, definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from zebrawatch.errors import KnowledgeError

ROOT = "HP:0000001"
PHENOTYPIC_ABNORMALITY = "HP:0000118"
MODE_OF_INHERITANCE = "HP:0000005"
ONSET = "HP:0003674"
CLINICAL_MODIFIER = "HP:0012823"

_ID = re.compile(r"HP:\d{7}\Z")
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(EXACT|RELATED|NARROW|BROAD)(?:\s+([^\s\[]+))?')
_DEFINITION = re.compile(r'"((?:[^"\\]|\\.)*)"')
_RELEASE = re.compile(r"(\d{4}-\d{2}-\d{2})")
_WHOLE_FILE_TERMS = 1000  # every published hp.obo has more; shorter ones are extracts and need not carry relations


class Synonym(NamedTuple):
    """Another wording of a term."""

    text: str
    scope: str
    """EXACT, RELATED, NARROW or BROAD."""
    kind: str | None
    """layperson, abbreviation, plural_form, uk_spelling, ...; null where the file gives none."""


@dataclass(frozen=True)
class Term:
    """One stanza of the ontology."""

    id: str
    name: str
    synonyms: tuple[Synonym, ...] = ()
    parents: tuple[str, ...] = ()
    alt_ids: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None
    definition: str | None = None


@dataclass(frozen=True)
class Ontology:
    """Live terms with their hierarchy. It pickles, so it can go to Spark workers."""

    terms: Mapping[str, Term]
    """Live terms by id."""
    release: str
    """Release date, YYYY-MM-DD."""
    retired: Mapping[str, str | None] = field(repr=False)
    """Alternative and obsolete ids: the live id that stands for them, or null where there is none."""
    _children: Mapping[str, tuple[str, ...]] = field(repr=False, compare=False)
    _ancestors: Mapping[str, frozenset[str]] = field(repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> Ontology:
        """Read an `hp.obo`; KnowledgeError in one sentence where it is missing, of another ontology, or cut short."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise KnowledgeError(f"The ontology {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise KnowledgeError(f"The ontology {path} is not a text file in UTF-8.") from None
        release = _release(text, path)
        stanzas = list(_stanzas(text))
        _check_whole(text, stanzas, path)
        return cls.of([_term(lines, path) for kind, lines in stanzas if kind == "Term"], release, name=str(path))

    @classmethod
    def of(cls, terms: list[Term], release: str, *, name: str = "the ontology") -> Ontology:
        """Build from live and obsolete terms; KnowledgeError where a parent is missing or terms run in a circle."""
        live = _live(terms)
        if ROOT not in live:
            raise KnowledgeError(f"{name} is no Human Phenotype Ontology: its root {ROOT} is missing.")
        for term in live.values():
            for parent in term.parents:
                if parent not in live:
                    raise KnowledgeError(f"{name} is cut short: {term.id} has the parent {parent}, which is not in it.")
        children: dict[str, list[str]] = {term_id: [] for term_id in live}
        for term in live.values():
            for parent in term.parents:
                children[parent].append(term.id)
        return cls(
            terms=live,
            release=release,
            retired=_retired(terms, live),
            _children={term_id: tuple(found) for term_id, found in children.items()},
            _ancestors=_ancestors(live, name),
        )

    def resolve(self, term_id: str) -> str | None:
        """The live id for any id: itself, or what it was merged into or replaced by; None where there is none."""
        if term_id in self.terms:
            return term_id
        return self.retired.get(term_id)

    def label(self, term_id: str) -> str:
        """Name of a term, also of a retired id; the id itself where the ontology does not know it."""
        live = self.resolve(term_id)
        return self.terms[live].name if live else term_id

    def ancestors(self, term_id: str) -> frozenset[str]:
        """The term and everything above it. KeyError for an id that is not live."""
        return self._ancestors[term_id]

    def children(self, term_id: str) -> tuple[str, ...]:
        """Direct children, in order of id."""
        return self._children[term_id]

    def descendants(self, term_id: str) -> frozenset[str]:
        """The term and everything below it."""
        found = {term_id}
        todo = [term_id]
        while todo:
            for child in self._children[todo.pop()]:
                if child not in found:
                    found.add(child)
                    todo.append(child)
        return frozenset(found)

    def under(self, term_id: str, root: str) -> bool:
        """Whether the term is `root` or lies below it."""
        return root in self._ancestors[term_id]


def _live(terms: list[Term]) -> dict[str, Term]:
    return {term.id: term for term in sorted(terms, key=lambda term: term.id) if not term.obsolete}


def _retired(terms: list[Term], live: Mapping[str, Term]) -> dict[str, str | None]:
    """Alternative ids win over `replaced_by`; chains of replacements are followed to their end."""
    forward: dict[str, str | None] = {term.id: term.replaced_by for term in terms if term.obsolete}
    forward.update({alt: term.id for term in live.values() for alt in term.alt_ids if alt not in live})
    retired: dict[str, str | None] = {}
    for old in sorted(forward):
        seen = {old}
        target = forward[old]
        while target is not None and target not in live and target not in seen:
            seen.add(target)
            target = forward.get(target)
        retired[old] = target if target in live else None
    return retired


def _ancestors(live: Mapping[str, Term], name: str) -> dict[str, frozenset[str]]:
    done: dict[str, frozenset[str]] = {}
    on_path: set[str] = set()
    for start in live:
        todo = [start]
        while todo:
            current = todo[-1]
            if current in done:
                todo.pop()
                continue
            missing = [parent for parent in live[current].parents if parent not in done]
            if missing:
                if current in on_path:
                    raise KnowledgeError(f"{name} is broken: {current} is among its own ancestors.")
                on_path.add(current)
                todo.extend(missing)
                continue
            done[current] = frozenset({current}).union(*(done[parent] for parent in live[current].parents))
            on_path.discard(current)
            todo.pop()
    return done


def _release(text: str, path: Path) -> str:
    header = text[: text.find("\n[")] if "\n[" in text else text
    if not header.startswith("format-version:"):
        raise KnowledgeError(f"{path} is no OBO file: it does not begin with format-version.")
    for line in header.splitlines():
        if line.startswith("data-version:"):
            found = _RELEASE.search(line)
            if "hp" in line and found:
                return found.group(1)
    raise KnowledgeError(
        f"{path} names no release of the Human Phenotype Ontology (data-version: hp/releases/YYYY-MM-DD)."
    )


def _stanzas(text: str) -> Iterator[tuple[str, list[str]]]:
    for block in re.split(r"\n(?=\[)", text)[1:]:
        lines = block.split("\n")
        yield lines[0].strip("[] \r"), [line.rstrip("\r") for line in lines[1:] if line.strip()]


def _check_whole(text: str, stanzas: list[tuple[str, list[str]]], path: Path) -> None:
    terms = sum(kind == "Term" for kind, _ in stanzas)
    cut = not text.endswith("\n") or (terms > _WHOLE_FILE_TERMS and terms == len(stanzas))
    if cut or not terms:
        raise KnowledgeError(f"{path} is cut short: it ends before its last stanza is complete.")


def _term(lines: list[str], path: Path) -> Term:
    values: dict[str, list[str]] = {}
    for line in lines:
        tag, colon, value = line.partition(": ")
        if colon:
            values.setdefault(tag, []).append(value.strip())
    term_id = values.get("id", [""])[0]
    if not _ID.match(term_id):
        raise KnowledgeError(f"{path} holds a term whose id is not of the form HP:0000001.")
    if "name" not in values and "is_obsolete" not in values:
        raise KnowledgeError(f"{path} is cut short: {term_id} has no name.")
    definition = _DEFINITION.match(values.get("def", [""])[0])
    return Term(
        id=term_id,
        name=_plain(values.get("name", [term_id])[0]),
        synonyms=tuple(_synonyms(values.get("synonym", []))),
        parents=tuple(sorted({value.split()[0] for value in values.get("is_a", [])})),
        alt_ids=tuple(sorted(value.split()[0] for value in values.get("alt_id", []))),
        xrefs=tuple(sorted({value.split()[0] for value in values.get("xref", [])})),
        obsolete=values.get("is_obsolete", ["false"])[0] == "true",
        replaced_by=next(iter(values.get("replaced_by", [])), None),
        definition=_plain(definition.group(1)) if definition else None,
    )


def _synonyms(values: list[str]) -> Iterator[Synonym]:
    for value in values:
        found = _SYNONYM.match(value)
        if found:
            yield Synonym(_plain(found.group(1)), found.group(2), found.group(3))


def _plain(text: str) -> str:
    """Undo OBO's escapes."""
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "W": " "}.get(found.group(1), found.group(1)), text)
