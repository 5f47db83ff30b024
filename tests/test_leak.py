"""The leak gate: what the second detector sees, and that it stands on its own feet."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.errors import KnowledgeError
from zebrawatch.outcome import leak
from zebrawatch.outcome.leak import LeakDetector, LeakSet, edit_distance, evidence_of, leak_gate, plant, recall
from zebrawatch.schemas import CANDIDATES

NAMES = {
    "OMIM:301500": ("Fabry disease", "Anderson-Fabry disease"),
    "OMIM:230800": ("Gaucher disease, type I",),
    "OMIM:154700": ("Marfan syndrome",),
    "OMIM:209850": ("Seizures and developmental delay",),
    "OMIM:128100": ("Dystonia",),
    "OMIM:125310": ("CADASIL",),
    "OMIM:222600": ("Diastrophic dysplasia",),
    "OMIM:146300": ("Adult osteopetrosis",),
}
FINDINGS = ("Osteopetroses", "Seizures", "Developmental delay", "Dystonia", "Skeletal dysplasia")
GENES = {"OMIM:125310": frozenset({"NOTCH3"})}


def detector() -> LeakDetector:
    return LeakDetector(LeakSet.of(NAMES, GENES, FINDINGS))


@pytest.mark.parametrize(
    ("text", "disease", "how"),
    [
        ("Fabry disease was excluded.", "OMIM:301500", "plain"),
        ("FABRY\nDISEASE", "OMIM:301500", "plain"),
        ("Fabry’s disease", "OMIM:301500", "plain"),
        ("Farby disease?", "OMIM:301500", "fuzzy"),
        ("disease of Fabry", "OMIM:301500", "fuzzy"),
        ("?Fabry", "OMIM:301500", "fuzzy"),
        ("to exclude Fabry", "OMIM:301500", "fuzzy"),
        ("Marfans syndrome", "OMIM:154700", "fuzzy"),
        ("Gaucher disease type 1", "OMIM:230800", "plain"),
        ("Gaucher's disease of type I", "OMIM:230800", "fuzzy"),
        ("diastrofic dysplasia", "OMIM:222600", "fuzzy"),
        ("Family history: mother has Marfan syndrome", "OMIM:154700", "plain"),
        ("Siezures and developmental delay", "OMIM:209850", "fuzzy"),
        ("NOTCH3 normal", "OMIM:125310", "gene"),
    ],
)
def test_namings_are_seen(text: str, disease: str, how: str) -> None:
    found = detector().search(text, disease)
    assert how in {one.how for one in found}
    assert all(0 <= one.start < one.end <= len(text) for one in found)


@pytest.mark.parametrize(
    ("text", "disease"),
    [
        ("Dr. Fabry saw her in clinic today.", "OMIM:301500"),
        ("Gaucher disease type 3", "OMIM:230800"),
        ("Skeletal dysplasia suspected", "OMIM:222600"),
        ("Developmental delay. Later seizures, and fever.", "OMIM:209850"),
        ("Skeletal osteopetroses", "OMIM:146300"),  # a word of findings is itself
        ("osteopetrosis", "OMIM:146300"),  # the wider disease: `adult` is missing
        ("because of pain", "OMIM:125310"),
        ("", "OMIM:301500"),
    ],
)
def test_what_is_no_naming(text: str, disease: str) -> None:
    assert detector().search(text, disease) == []


def test_the_gate_finds_the_document_and_sets_findings_aside() -> None:
    texts = {
        "DocumentReference/1": "Pain in hands. ?Fabry",
        "DocumentReference/2": "Dystonia of the arm",
        "DocumentReference/3": "Well.",
    }
    evidence = [
        (1, "OMIM:301500", "DocumentReference/1"),
        (1, "OMIM:301500", "DocumentReference/3"),
        (2, "OMIM:128100", "DocumentReference/2"),
    ]
    gate = leak_gate(evidence, texts, detector())
    assert gate.leaks[["source_id", "disease_id"]].values.tolist() == [["DocumentReference/1", "OMIM:301500"]]
    assert gate.as_dict() | {"by_how": None} == {
        "passed": False, "leaks": 1, "by_how": None, "set_aside": {"name of a finding": 1}, "documents": 3,
        "checked": 3, "missing_documents": 0,
    }  # fmt: skip


def test_a_clean_gate_passes_and_a_missing_text_does_not() -> None:
    evidence = [(1, "OMIM:301500", "DocumentReference/3")]
    assert leak_gate(evidence, {"DocumentReference/3": "Pain in hands"}, detector()).as_dict()["passed"] is True
    assert leak_gate(evidence, {}, detector()).as_dict()["passed"] is False


def test_evidence_comes_from_the_contributions_of_candidates() -> None:
    made = [
        {"subject_id": 1, "disease_id": "OMIM:301500", "contributions": [{"source_id": "DocumentReference/1"}]},
        {"subject_id": 2, "disease_id": "OMIM:301500", "contributions": [{"source_id": "DocumentReference/9"}]},
    ]
    frame = pd.DataFrame(made, columns=CANDIDATES.schema.names)
    assert evidence_of(frame, {(1, "OMIM:301500")}) == {(1, "OMIM:301500", "DocumentReference/1")}
    assert len(evidence_of(frame)) == 2


def test_it_shares_neither_code_nor_lexicon_with_the_naming_set() -> None:
    tree = ast.parse(Path(leak.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not any(name.startswith(("zebrawatch.screen", "zebrawatch.evidence", "ahocorasick")) for name in imported)


def test_planted_namings_are_found_again() -> None:
    planted = plant(
        {k: v for k, v in NAMES.items() if k in ("OMIM:301500", "OMIM:154700", "OMIM:222600")}, n=80, seed=2
    )
    assert plant(NAMES, n=40, seed=2) == plant(NAMES, n=40, seed=2)
    assert {one.wording for one in planted} >= {"possessive", "slip of the pen", "reordered", "capitals"}
    ours = detector()
    found = recall(lambda one: bool(ours.search(one.text, one.disease_id)), planted)
    assert found["n"] == len(planted)
    assert found["recall"] >= 0.95
    low, high = found["ci95"]
    assert low <= found["recall"] <= high
    assert recall(lambda _: False, planted)["recall"] == 0


words = st.text("abcde", max_size=8)


@given(words, words)
def test_edit_distance_is_a_distance(first: str, second: str) -> None:
    limit = 20
    between = edit_distance(first, second, limit)
    assert (between == 0) == (first == second)
    assert between == edit_distance(second, first, limit)
    assert between >= abs(len(first) - len(second))


@pytest.mark.parametrize(
    ("one", "other", "apart"), [("marfan", "mafran", 1), ("fabry", "farby", 1), ("kitten", "sitting", 3)]
)
def test_edit_distances_of_known_pairs(one: str, other: str, apart: int) -> None:
    assert edit_distance(one, other, 5) == apart
    assert edit_distance(one, other, 0) == 1  # beyond the limit


def test_unreadable_files_are_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="cannot read its knowledge files"):
        LeakSet.read(tmp_path / "hp.obo", tmp_path / "a", tmp_path / "b", None)


def test_files_are_read_by_its_own_hand(tmp_path: Path) -> None:
    (tmp_path / "hp.obo").write_text('[Term]\nid: HP:1\nname: Dystonia\nsynonym: "Dystonic movements" EXACT []\n')
    (tmp_path / "hpoa").write_text(
        "#version\ndatabase_id\tname\nOMIM:301500\tFabry disease\tx\nOMIM:301500\tFabry disease\ty\n"
    )
    (tmp_path / "genes").write_text("ncbi\tsymbol\thpo\tname\tfrequency\tdisease\n1\tNOTCH3\tHP:1\tx\t-\tOMIM:125310\n")
    found = LeakSet.read(tmp_path / "hp.obo", tmp_path / "hpoa", tmp_path / "genes", None)
    assert found.names["OMIM:301500"] == ("Fabry disease",)
    assert set(found.genes["OMIM:125310"]) == {"NOTCH3"}
    assert "dystonic movements" in found.finding_names
