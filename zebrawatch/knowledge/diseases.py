"""Knowledge compiled from the published files: one row a disease, and the arrays the ranker reads.

OMIM, Orphanet and MONDO ids of one disease stand as one row: by MONDO's exact matches and Orphanet's relation E; where
those files are absent, by the same name. See docs/ranking.md for what the arrays mean to the ranker.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge import annotations as published
from zebrawatch.knowledge.name_phenotypes import NamePhenotypes
from zebrawatch.knowledge.ontology import MODE_OF_INHERITANCE, ONSET, PHENOTYPIC_ABNORMALITY, Ontology
from zebrawatch.knowledge.relatives import relatives

FORMAT = 2
LARGEST_FAMILY = 10  # OUTCOMES, match tiers: a parent counts where it has at most 10 descendant diseases

Source = Literal["hpoa", "orphanet", "name"]
SOURCES: tuple[Source, ...] = ("hpoa", "orphanet", "name")

ONSET_YEARS: dict[str, tuple[float, float]] = {
    "HP:0030674": (-0.75, 0.0),
    "HP:0003577": (0.0, 0.0),
    "HP:0003623": (0.0, 28 / 365.25),
    "HP:0003593": (28 / 365.25, 1.0),
    "HP:0011463": (1.0, 5.0),
    "HP:0003621": (5.0, 15.0),
    "HP:0410280": (0.0, 15.0),
    "HP:0025708": (16.0, 19.0),
    "HP:0025709": (19.0, 25.0),
    "HP:0025710": (25.0, 40.0),
    "HP:0011462": (16.0, 40.0),
    "HP:0003596": (40.0, 60.0),
    "HP:0003584": (60.0, 120.0),
    "HP:0003581": (16.0, 120.0),
    "Antenatal": (-0.75, 0.0),
    "Neonatal": (0.0, 28 / 365.25),
    "Infancy": (28 / 365.25, 2.0),
    "Childhood": (2.0, 11.0),
    "Adolescent": (12.0, 18.0),
    "Adult": (19.0, 65.0),
    "Elderly": (65.0, 120.0),
    "All ages": (0.0, 120.0),
}
"""Ages in years: definitions of the HPO's onset terms, and Orphanet's age classes (its procedural document)."""

FEMALE_SHARE: dict[str, float] = {
    "HP:0001419": 0.08,  # X-linked recessive: manifesting carriers and Turner syndrome remain
    "HP:0001417": 0.3,  # X-linked, mode not stated
    "HP:0001423": 0.6,  # X-linked dominant: two X chromosomes can carry it, and some are lethal in males
    "HP:0001450": 0.01,  # Y-linked
    "HP:0001475": 0.03,  # male-limited autosomal dominant
}
"""Share of females among the affected, by mode of inheritance: Mendelian expectation, softened. Others: one half."""

_NOT_A_DISEASE = {"Category", "Clinical group"}
_SERIES_TAIL = re.compile(r"[,\s]+(?:type\s+)?(?:\d+[a-z]{0,2}\d?|[ivx]+[a-c]?|[a-z]|[a-z]\d+)\Z")
_GREEK = re.compile(r"[^a-z0-9]+")

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class KnowledgeFiles:
    """Where the published files lie. `mondo` maps `omim`, `orphanet`, `icd10cm` to MONDO's SSSOM tables."""

    hp_obo: Path
    phenotype_hpoa: Path
    genes_to_phenotype: Path
    orphanet: Path | None = None
    mondo: Mapping[str, Path] = field(default_factory=dict)

    def all(self) -> list[Path]:
        """Every file given, in a fixed order."""
        first = [self.hp_obo, self.phenotype_hpoa, self.genes_to_phenotype]
        return first + ([self.orphanet] if self.orphanet else []) + [self.mondo[key] for key in sorted(self.mondo)]


class Name(NamedTuple):
    """A name of a disease and the file it comes from."""

    text: str
    kind: str
    """label or synonym."""
    source: str
    """hpoa, orphanet or mondo."""


@dataclass(frozen=True)
class Disease:
    """One disease, whatever its ids."""

    id: str
    """First id: OMIM before ORPHA before DECIPHER."""
    name: str
    ids: tuple[str, ...]
    """All exact matches: OMIM:..., ORPHA:..., DECIPHER:..., MONDO:..., the first one in front."""
    names: tuple[Name, ...]
    prevalence: float | None
    """Per person; null where Orphanet gives none."""
    onset: tuple[str, ...]
    """HPO onset terms and Orphanet age classes, as given."""
    inheritance: tuple[str, ...]
    """HPO modes of inheritance."""
    genes: tuple[str, ...]
    parents: tuple[str, ...]
    """First ids of the diseases or Orphanet groups this one is a subtype of."""
    series: str | None
    """Common stem of numbered names (`retinitis pigmentosa`): stands for the phenotypic series; null outside one."""
    icd10: tuple[str, ...]
    """ICD-10-CM codes with an exact match in MONDO, and ICD-10 codes Orphanet calls exact."""
    annotated: bool
    """Whether HPOA or Orphanet annotate it with findings; others are known by name only."""


@dataclass(frozen=True)
class Knowledge:
    """Diseases and arrays: over terms one entry for each of `terms`, over diseases one for each of `diseases`."""

    diseases: tuple[Disease, ...]
    terms: tuple[str, ...]
    """Live HPO ids in ascending order: their place is the term index."""
    labels: tuple[str, ...]
    retired: Mapping[str, str]
    """Retired HPO ids that have a live one."""
    ancestor_start: IntArray
    """CSR over terms: ancestors of t, itself among them: `ancestor[ancestor_start[t]:ancestor_start[t + 1]]`."""
    ancestor: IntArray
    row_disease: IntArray
    """One annotation row each: disease index."""
    row_term: IntArray
    row_share: FloatArray
    """Frequency, 0 to 1; NaN where the source gives none; 0 for rows that deny the finding."""
    row_size: FloatArray
    """People counted behind the frequency; 0 where it is a class, a percentage or missing."""
    row_source: IntArray
    """Index into SOURCES."""
    row_reference: IntArray
    """Index into `references`."""
    references: tuple[tuple[str, ...], ...]
    """Sets of papers a row rests on."""
    phenotypic: NDArray[np.bool_]
    """Per term: whether it is a phenotypic abnormality (not an inheritance, an onset, a modifier)."""
    onset_low: FloatArray
    """Per disease: earliest onset in years; NaN where unknown."""
    onset_high: FloatArray
    female_share: FloatArray
    """Per disease: share of females among the affected; one half where nothing speaks for another."""
    prevalence: FloatArray
    """Per disease and person; NaN where unknown."""
    relative_start: NDArray[np.int64]
    """CSR over diseases: annotated diseases that resemble one by name, gene, series or parent (relatives.py)."""
    relative: IntArray
    relative_weight: FloatArray
    likeness: FloatArray
    """Per disease: likeness of its nearest relative, 0 to 1."""
    releases: Mapping[str, str]
    version: str
    """Digest of the inputs and of this format."""

    @classmethod
    def build(cls, files: KnowledgeFiles, ontology: Ontology | None = None) -> Knowledge:
        """Compile the published files (some seconds); KnowledgeError in one sentence where one cannot be used."""
        return _build(files, ontology or Ontology.read(files.hp_obo))

    def save(self, folder: Path) -> None:
        """Write into a folder: one JSON file, and one .npy file an array, so that readers can map them."""
        folder.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"format": FORMAT, "diseases": [vars(disease) for disease in self.diseases]}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                np.save(folder / f"{item.name}.npy", value)
            elif item.name != "diseases":
                record[item.name] = value
        (folder / "knowledge.json").write_bytes(orjson.dumps(record, default=list))

    @classmethod
    def load(cls, folder: Path) -> Knowledge:
        """Read what `save` wrote, arrays mapped into memory; KnowledgeError where the folder is not whole."""
        try:
            record = orjson.loads((folder / "knowledge.json").read_bytes())
            if record.pop("format") != FORMAT:
                raise KnowledgeError(f"The knowledge in {folder} is of another format; build it again.")
            arrays = {
                item.name: np.load(folder / f"{item.name}.npy", mmap_mode="r")
                for item in fields(cls)
                if item.name not in record
            }
            record["diseases"] = tuple(_disease(each) for each in record["diseases"])
            record["references"] = tuple(tuple(each) for each in record["references"])
            record["terms"], record["labels"] = tuple(record["terms"]), tuple(record["labels"])
            return cls(**record, **arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KnowledgeError(
                f"There is no whole knowledge in {folder} ({type(error).__name__}); build it."
            ) from None

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {each: index for index, disease in enumerate(self.diseases) for each in disease.ids}

    @cached_property
    def _term_index(self) -> dict[str, int]:
        return {term: index for index, term in enumerate(self.terms)}

    @cached_property
    def _family_sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for disease in self.diseases:
            for parent in disease.parents:
                sizes[parent] = sizes.get(parent, 0) + 1
        return sizes

    def index_of(self, any_id: str) -> int | None:
        """Index of a disease by any of its ids (OMIM:, ORPHA: or Orphanet:, MONDO:, DECIPHER:); None if unknown."""
        return self._by_id.get(any_id.strip().replace("Orphanet:", "ORPHA:").replace("ORPHANET:", "ORPHA:"))

    def term_index(self, hpo_id: str) -> int | None:
        """Index of an HPO term; retired ids go to what replaced them; None if unknown."""
        found = self._term_index.get(hpo_id)
        return found if found is not None else self._term_index.get(self.retired.get(hpo_id, ""))

    def ancestors(self, term: int) -> IntArray:
        """Term indices of the ancestors of a term, itself among them."""
        return self.ancestor[self.ancestor_start[term] : self.ancestor_start[term + 1]]

    def annotated_share(self, disease: int, hpo_id: str) -> float | None:
        """Share (0 to 1) of a disease's patients who have a finding, the largest annotated; None if none is given."""
        term = self.term_index(hpo_id)
        rows = (self.row_disease == disease) & (self.row_term == (-1 if term is None else term))
        shares = [float(share) for share in self.row_share[rows] if share == share]
        return max(shares) if shares else None

    def same_family(self, first: int, second: int) -> bool:
        """OUTCOMES, tier *family*: parent and child where the parent has at most 10 subtypes, or one series."""
        one, other = self.diseases[first], self.diseases[second]
        if one.series is not None and one.series == other.series:
            return True
        return any(
            parent in ids and self._family_sizes[parent] <= LARGEST_FAMILY
            for parents, ids in ((one.parents, other.ids), (other.parents, one.ids))
            for parent in parents
        )

    def same_gene(self, first: int, second: int) -> bool:
        """OUTCOMES, tier *gene*: both are caused by one gene."""
        return not set(self.diseases[first].genes).isdisjoint(self.diseases[second].genes)


def _disease(record: dict[str, Any]) -> Disease:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    plain["names"] = tuple(Name(*each) for each in plain["names"])
    return Disease(**plain)


# --- merging ---


class _Merger:
    """Joins ids of one disease. MONDO's matches hold; Orphanet's add to them where they don't contradict."""

    def __init__(self) -> None:
        self._leader: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}

    def add(self, each: str) -> str:
        if each not in self._leader:
            self._leader[each] = each
            self._members[each] = {each}
        return self._leader[each]

    def join(self, first: str, second: str) -> None:
        kept, gone = sorted((self.add(first), self.add(second)))
        if kept != gone:
            for member in self._members[gone]:
                self._leader[member] = kept
            self._members[kept] |= self._members.pop(gone)

    def has(self, each: str, prefix: str) -> bool:
        return any(member.startswith(prefix) for member in self._members[self.add(each)])

    def groups(self) -> list[set[str]]:
        return list(self._members.values())


def _plain_name(name: str) -> str:
    return _GREEK.sub(" ", name.lower()).strip()


def _merge(inputs: _Inputs) -> _Merger:
    merger = _Merger()
    for disease_id in inputs.annotated_names:
        merger.add(disease_id)
    for mapping in inputs.mondo:
        if not mapping.other_id.startswith("ICD"):
            merger.join(mapping.mondo_id, mapping.other_id)
    for entity in inputs.orphanet:
        for omim in entity.exact:
            # Where MONDO already gives the entity another OMIM id, MONDO's narrower view is kept.
            if not merger.has(entity.id, "OMIM:") and not merger.has(omim, "ORPHA:"):
                merger.join(entity.id, omim)
    by_name: dict[str, list[str]] = {}
    for disease_id, name in inputs.annotated_names.items():
        by_name.setdefault(_plain_name(name), []).append(disease_id)
    for ids in by_name.values():
        for other in ids[1:]:
            if all(not (merger.has(ids[0], prefix) and merger.has(other, prefix)) for prefix in ("OMIM:", "ORPHA:")):
                merger.join(ids[0], other)
    return merger


@dataclass(frozen=True)
class _Inputs:
    ontology: Ontology
    rows: list[published.Annotation]
    genes: dict[str, set[str]]
    orphanet: list[published.OrphanetEntity]
    mondo: list[published.Mapping]
    releases: dict[str, str]

    @cached_property
    def annotated_names(self) -> dict[str, str]:
        return {row.disease: row.name for row in self.rows}


def _read(files: KnowledgeFiles, ontology: Ontology) -> _Inputs:
    releases = {"hpo": ontology.release}
    releases["hpoa"], rows = published.read_hpoa(files.phenotype_hpoa)
    entities: list[published.OrphanetEntity] = []
    if files.orphanet:
        releases["orphanet"], entities = published.read_orphanet(files.orphanet)
    mappings: list[published.Mapping] = []
    for key in sorted(files.mondo):
        release, found = published.read_sssom(files.mondo[key])
        releases[f"mondo_{key}"] = release
        mappings.extend(found)
    return _Inputs(ontology, rows, published.read_genes(files.genes_to_phenotype), entities, mappings, releases)


def _rank_of_id(each: str) -> tuple[int, str]:
    order = {"OMIM": 0, "ORPHA": 1, "DECIPHER": 2, "MONDO": 3}
    return order.get(each.partition(":")[0], 4), each


def _build(files: KnowledgeFiles, ontology: Ontology) -> Knowledge:
    inputs = _read(files, ontology)
    groups = [sorted(group, key=_rank_of_id) for group in _merge(inputs).groups()]
    entities = {entity.id: entity for entity in inputs.orphanet}
    kept = [
        group
        for group in groups
        if any(each in inputs.annotated_names for each in group)
        or any(entities[each].kind not in _NOT_A_DISEASE for each in group if each in entities)
        or group[0].startswith("OMIM:")
    ]
    kept.sort(key=lambda group: _rank_of_id(group[0]))
    index = {each: number for number, group in enumerate(kept) for each in group}
    first_id = {each: group[0] for group in groups for each in group}
    details = _details(inputs, first_id)
    diseases = _with_series([_make_disease(group, inputs, entities, details) for group in kept])
    terms = tuple(sorted(ontology.terms))
    rows = _rows(inputs, index, {term: number for number, term in enumerate(terms)}, diseases)
    return Knowledge(
        diseases=diseases,
        terms=terms,
        labels=tuple(ontology.terms[term].name for term in terms),
        retired={old: new for old, new in ontology.retired.items() if new is not None},
        **_hierarchy(ontology, terms),
        **rows,
        **_traits(diseases),
        **relatives(diseases),
        releases=inputs.releases,
        version=_digest(files, inputs.releases),
    )


class _Details(NamedTuple):
    inheritance: dict[str, set[str]]
    onset: dict[str, set[str]]
    parents: dict[str, set[str]]
    mondo_labels: dict[str, set[str]]
    icd10: dict[str, set[str]]


def _details(inputs: _Inputs, first_id: Mapping[str, str]) -> _Details:
    """What is known of each disease besides its findings, by any of its ids."""
    found = _Details({}, {}, {}, {}, {})
    for row in inputs.rows:
        term = inputs.ontology.resolve(row.hpo_id)
        if term is None or row.negated:
            continue
        if row.aspect == "I" and inputs.ontology.under(term, MODE_OF_INHERITANCE):
            found.inheritance.setdefault(row.disease, set()).add(term)
        elif row.aspect == "C" and inputs.ontology.under(term, ONSET):
            found.onset.setdefault(row.disease, set()).add(term)
    for entity in inputs.orphanet:
        found.onset.setdefault(entity.id, set()).update(each for each in entity.onset if each in ONSET_YEARS)
        found.icd10.setdefault(entity.id, set()).update(entity.icd10)
        for child in entity.narrower:
            found.parents.setdefault(child, set()).add(first_id.get(entity.id, entity.id))
        for parent in entity.broader:
            found.parents.setdefault(entity.id, set()).add(first_id.get(parent, parent))
    for mapping in inputs.mondo:
        if mapping.other_id.startswith("ICD10CM:"):
            found.icd10.setdefault(mapping.mondo_id, set()).add(mapping.other_id.partition(":")[2])
        elif not mapping.mondo_label.startswith("obsolete"):
            found.mondo_labels.setdefault(mapping.mondo_id, set()).add(mapping.mondo_label)
        if mapping.other_label:
            found.mondo_labels.setdefault(mapping.other_id, set()).add(mapping.other_label)
    return found


def _make_disease(
    group: list[str],
    inputs: _Inputs,
    entities: Mapping[str, published.OrphanetEntity],
    details: _Details,
) -> Disease:
    def gathered(source: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
        return tuple(sorted({value for each in group for value in source.get(each, ())}))

    names = _names(group, inputs, entities, details)
    prevalences = [entities[each].prevalence for each in group if each in entities]
    return Disease(
        id=group[0],
        name=names[0].text if names else group[0],
        ids=tuple(group),
        names=names,
        prevalence=max((value for value in prevalences if value is not None), default=None),
        onset=gathered(details.onset),
        inheritance=gathered(details.inheritance),
        genes=gathered(inputs.genes),
        parents=tuple(parent for parent in gathered(details.parents) if parent != group[0]),
        series=None,
        icd10=gathered(details.icd10),
        annotated=any(each in inputs.annotated_names for each in group)
        or any(bool(entities[each].phenotypes) for each in group if each in entities),
    )


def _names(
    group: list[str], inputs: _Inputs, entities: Mapping[str, published.OrphanetEntity], details: _Details
) -> tuple[Name, ...]:
    found: list[Name] = []
    for each in group:
        if each in inputs.annotated_names and each not in entities:
            found.append(Name(inputs.annotated_names[each], "label", "hpoa"))
        if each in entities:
            found.append(Name(entities[each].label, "label", "orphanet"))
            found.extend(Name(text, "synonym", "orphanet") for text in entities[each].synonyms)
        found.extend(Name(text, "label", "mondo") for text in sorted(details.mondo_labels.get(each, ())))
    first: dict[str, Name] = {}
    for name in found:
        first.setdefault(name.text.lower(), name)
    return tuple(first.values())


def series_stem(name: str) -> str | None:
    """Stem of a numbered name: `Retinitis pigmentosa 26` gives `retinitis pigmentosa`; None without a number."""
    lower = name.lower().partition(";")[0].strip()
    stem = _SERIES_TAIL.sub("", lower)
    return _plain_name(stem) if stem != lower and len(stem) > 5 else None


def _with_series(diseases: list[Disease]) -> tuple[Disease, ...]:
    stems = [series_stem(disease.name) for disease in diseases]
    plain = [_plain_name(disease.name) for disease in diseases]
    sizes: dict[str, int] = {}
    for stem in stems:
        if stem:
            sizes[stem] = sizes.get(stem, 0) + 1
    found = []
    for disease, stem, name in zip(diseases, stems, plain, strict=True):
        series = stem if stem and sizes[stem] > 1 else (name if name in sizes else None)
        found.append(replace(disease, series=series))
    return tuple(found)


# --- arrays ---


def _hierarchy(ontology: Ontology, terms: Sequence[str]) -> dict[str, Any]:
    place = {term: number for number, term in enumerate(terms)}
    start = np.zeros(len(terms) + 1, np.int32)
    flat: list[int] = []
    for number, term in enumerate(terms):
        flat.extend(sorted(place[each] for each in ontology.ancestors(term)))
        start[number + 1] = len(flat)
    return {
        "ancestor_start": start,
        "ancestor": np.array(flat, np.int32),
        "phenotypic": np.array([ontology.under(term, PHENOTYPIC_ABNORMALITY) for term in terms], np.bool_)
        if PHENOTYPIC_ABNORMALITY in ontology.terms
        else np.ones(len(terms), np.bool_),
    }


def _rows(
    inputs: _Inputs, index: Mapping[str, int], place: Mapping[str, int], diseases: Sequence[Disease]
) -> dict[str, Any]:
    """Annotation rows as arrays. Rows of Orphanet's own file replace those HPOA carries from an older Orphanet."""
    found: list[tuple[int, int, float, float, int, tuple[str, ...]]] = []
    renewed = {entity.id for entity in inputs.orphanet if entity.phenotypes}
    nan = float("nan")
    for row in inputs.rows:
        term = inputs.ontology.resolve(row.hpo_id)
        if row.aspect != "P" or term is None or row.disease in renewed:
            continue
        frequency = published.parse_frequency(row.frequency)
        share = 0.0 if row.negated else (nan if frequency.share is None else frequency.share)
        source = SOURCES.index("orphanet" if row.disease.startswith("ORPHA:") else "hpoa")
        references = tuple(sorted(set(row.references)))
        found.append((index[row.disease], place[term], share, frequency.size, source, references))
    for entity in inputs.orphanet:
        for hpo_id, frequency in entity.phenotypes:
            term = inputs.ontology.resolve(hpo_id)
            if term is not None and entity.id in index:
                share = nan if frequency.share is None else frequency.share
                found.append((index[entity.id], place[term], share, 0.0, SOURCES.index("orphanet"), (entity.id,)))
    names = NamePhenotypes.build(inputs.ontology)
    for number, disease in enumerate(diseases):
        named = names.find([name.text for name in disease.names])
        origin = (f"name of {disease.id}",)
        found.extend((number, place[hpo_id], nan, 0.0, SOURCES.index("name"), origin) for hpo_id in named)
    found.sort(key=lambda each: (each[0], each[1], each[4], each[5], each[3], str(each[2])))
    papers = sorted({each[5] for each in found})
    where = {each: number for number, each in enumerate(papers)}
    return {
        "row_disease": np.array([each[0] for each in found], np.int32),
        "row_term": np.array([each[1] for each in found], np.int32),
        "row_share": np.array([each[2] for each in found], np.float64),
        "row_size": np.array([each[3] for each in found], np.float64),
        "row_source": np.array([each[4] for each in found], np.int32),
        "row_reference": np.array([where[each[5]] for each in found], np.int32),
        "references": tuple(papers),
    }


def onset_years(onset: Iterable[str]) -> tuple[float, float]:
    """Earliest and latest onset in years over HPO onset terms and Orphanet classes; NaN twice where none is known."""
    ranges = [ONSET_YEARS[each] for each in onset if each in ONSET_YEARS]
    if not ranges:
        return float("nan"), float("nan")
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _female_share(inheritance: Sequence[str]) -> float:
    if not inheritance or any(each not in FEMALE_SHARE for each in inheritance):
        return 0.5  # one other mode is enough for both sexes to be affected
    return sum(FEMALE_SHARE[each] for each in inheritance) / len(inheritance)


def _traits(diseases: Sequence[Disease]) -> dict[str, Any]:
    onset = [onset_years(disease.onset) for disease in diseases]
    return {
        "onset_low": np.array([low for low, _ in onset], np.float64),
        "onset_high": np.array([high for _, high in onset], np.float64),
        "female_share": np.array([_female_share(disease.inheritance) for disease in diseases], np.float64),
        "prevalence": np.array(
            [float("nan") if disease.prevalence is None else disease.prevalence for disease in diseases], np.float64
        ),
    }


def _digest(files: KnowledgeFiles, releases: Mapping[str, str]) -> str:
    digest = hashlib.sha256(f"knowledge {FORMAT} {sorted(releases.items())}".encode())
    for path in files.all():
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
