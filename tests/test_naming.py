"""The naming set: what a clinician writes, and what it names."""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebrawatch.knowledge.diseases import Disease, Name
from zebrawatch.knowledge.ontology import Ontology, Synonym, Term
from zebrawatch.screen.naming import Namer, Naming, NamingSet, _rows, read_groups
from zebrawatch.screen.wording import key, plain, wordings


def disease(
    id_: str,
    *names: str,
    genes: tuple[str, ...] = (),
    parents: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    series: str | None = None,
    icd10: tuple[str, ...] = (),
    source: str = "hpoa",
) -> Disease:
    texts = tuple(Name(text, "synonym" if place else "label", source) for place, text in enumerate(names))
    return Disease(id_, names[0], (id_, *also), texts, None, (), (), genes, parents, series, icd10, annotated=True)


class Knowledge:
    version = "made for tests"
    diseases = (
        disease("OMIM:301500", "Fabry disease", "Anderson-Fabry disease", genes=("GLA",), icd10=("E75.21",),
                also=("ORPHA:324",)),
        disease("OMIM:162200", "Neurofibromatosis type 1", "NF1", genes=("NF1",)),
        disease("OMIM:143100", "Huntington disease", "HD", genes=("HTT",)),
        disease("OMIM:128100", "Dystonia", "Dystonia musculorum deformans", genes=("TOR1A",)),
        disease("OMIM:125310", "CADASIL", "Cerebral arteriopathy with subcortical infarcts", genes=("NOTCH3",)),
        disease("OMIM:230800", "Gaucher disease, type I", parents=("ORPHA:355",), genes=("GBA1",)),
        disease("OMIM:230900", "Gaucher disease, type II", parents=("ORPHA:355",), genes=("GBA1",)),
        disease("ORPHA:355", "Gaucher disease"),
        disease("ORPHA:110", "Bardet-Biedl syndrome"),
        disease("OMIM:115200", "Cardiomyopathy, dilated, 1A", genes=("LMNA",)),
        disease("OMIM:105210", "Hereditary ATTR amyloidosis", "hATTR"),
        disease("OMIM:145500", "Hypertension, essential"),
        disease("OMIM:301050", "Alport syndrome", "Nephritis with haematuria"),
        disease("OMIM:240300", "Polyglandular autoimmune disease, type 1",
                "Autoimmune polyendocrinopathy-candidiasis-ectodermal dystrophy syndrome"),
        disease("OMIM:222600", "Ehlers-Danlos syndrome, type I", series="ehlers danlos syndrome"),
        disease("OMIM:257220", "Niemann-Pick disease type C", also=("ORPHA:646",)),
        disease("OMIM:607625", "Niemann-Pick disease type C2", parents=("ORPHA:646",)),
        disease("ORPHA:216981", "Niemann-Pick disease type C, juvenile neurologic onset",
                "Niemann-Pick disease type C, classic form", source="orphanet"),
        disease("OMIM:604321", "Alport syndrome, with leiomyomatosis"),
    )  # fmt: skip

    def index_of(self, any_id: str) -> int | None:
        return next((place for place, one in enumerate(self.diseases) if any_id in one.ids), None)


@cache
def made() -> Namer:
    term = Term("HP:0001332", "Dystonia", (Synonym("Dystonic movements", "EXACT", None),))
    ontology = Ontology.of([Term("HP:0000001", "All"), term], "2025-01-16")
    return Namer(NamingSet.build(Knowledge(), ontology, {"ORPHA:98249": ("Ehlers-Danlos syndrome",)}))


def told(text: str) -> set[tuple[str, str | None, str, str]]:
    return {(text[n.start : n.end], n.disease_id, n.evidence_class, n.kind) for n in made().find(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("?Fabry, to discuss.", ("Fabry", "OMIM:301500", "name", "specific")),
        ("Fabry's disease was ruled out.", ("Fabry's disease", "OMIM:301500", "name", "specific")),
        ("Anderson–Fabry\ndisease considered", ("Anderson–Fabry\ndisease", "OMIM:301500", "synonym", "specific")),
        ("raise the question of Fabry syndrome", ("Fabry syndrome", "OMIM:301500", "synonym", "specific")),
        ("Known Gaucher syndrome.", ("Gaucher syndrome", "OMIM:230900", "parent", "specific")),
        ("ATTR amyloidosis", ("ATTR amyloidosis", "OMIM:105210", "synonym", "specific")),
        ("hATTR confirmed", ("hATTR", "OMIM:105210", "abbreviation", "specific")),
        ("HATTR confirmed", ("HATTR", "OMIM:105210", "abbreviation", "specific")),
        ("GLA gene sequencing sent", ("GLA", "OMIM:301500", "gene", "specific")),
        ("NOTCH3 negative", ("NOTCH3", "OMIM:125310", "gene", "specific")),
        ("?CADASIL", ("CADASIL", "OMIM:125310", "abbreviation", "specific")),
        ("dilated  cardiomyopathy 1A", ("dilated  cardiomyopathy 1A", "OMIM:115200", "name", "specific")),
        ("Gaucher disease suspected", ("Gaucher disease", "OMIM:230900", "parent", "specific")),
        ("Niemann-Pick disease type C?", ("Niemann-Pick disease type C", "OMIM:257220", "name", "specific")),
        ("Niemann-Pick disease type C?", ("Niemann-Pick disease type C", "OMIM:607625", "parent", "specific")),
        ("Niemann-Pick disease type C?", ("Niemann-Pick disease type C", "ORPHA:216981", "parent", "specific")),
        ("Gaucher disease type 1", ("Gaucher disease type 1", "OMIM:230800", "name", "specific")),
        ("Started imiglucerase infusions", ("imiglucerase", "OMIM:230800", "drug", "specific")),
        ("lyso-Gb3 raised", ("lyso-Gb3", "OMIM:301500", "test", "specific")),
        ("diagnosis of dystonia made in 2011", ("dystonia", "OMIM:128100", "name", "specific")),
        ("Nephritis with hematuria", ("Nephritis with hematuria", "OMIM:301050", "synonym", "specific")),
        ("Will refer to genetics.", ("refer to genetics", None, "referral", "general")),
        ("Exome sent", ("Exome", None, "panel", "general")),
        ("This looks syndromic.", ("syndromic", None, "thought", "general")),
        ("?genetic", ("?genetic", None, "thought", "general")),
        ("Hypermobile, Ehlers Danlos syndrome?", ("Ehlers Danlos syndrome", None, "thought", "general")),
        ("Mother has Huntington's disease.", ("Huntington's disease", "OMIM:143100", "name", "family")),
        ("FHx:\nHuntington disease\n\nPlan: home", ("Huntington disease", "OMIM:143100", "name", "family")),
        ("Two brothers had Huntington disease.", ("Huntington disease", "OMIM:143100", "name", "family")),
        ("Mother asks whether this is Huntington disease.", ("Huntington disease", "OMIM:143100", "name", "specific")),
        ("Annual review for Laurence-Moon-Bardet-Biedl.", ("Bardet-Biedl", "ORPHA:110", "name", "specific")),
        ("Bardet Biedl, as before", ("Bardet Biedl", "ORPHA:110", "name", "specific")),
        ("Seen today.  Huntigton  disease?", ("Huntigton  disease", "OMIM:143100", "name", "specific")),
        ("Father well. Patient has Huntington disease.", ("Huntington disease", "OMIM:143100", "name", "specific")),
    ],
)  # fmt: skip
def test_what_a_note_names(text: str, expected: tuple[str, str | None, str, str]) -> None:
    assert expected in told(text)


def test_only_orphanets_commas_make_a_subtype() -> None:
    assert {disease for _, disease, _, _ in told("Alport syndrome considered")} == {"OMIM:301050"}


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Fabry saw her today.",  # a surname
        "HD stable on dialysis days",  # four letters or fewer, no long form
        "essential hypertension, well controlled",  # kept out: common
        "GLA of 3 mm",  # a gene symbol without a word about genes
        "cadasil",  # an abbreviation is written in capitals
        "Fabrydisease",  # no word boundary
        "bardet biedl",  # surnames are written with capitals
        "basic metabolic panel normal",
        "eGFR 60, CAD, ALL: penicillin",
        "T 36.8 C, GLA 72 bpm",
        "tandem-MS metabolic screen submitted",
        "Mock-Fabry disease",  # the second half of another name
    ],
)
def test_what_names_nothing(text: str) -> None:
    assert told(text) == set()


def test_a_chain_of_features_names_its_syndrome_without_the_word_and_a_list_of_them_does_not() -> None:
    chain = "autoimmune polyendocrinopathy-candidiasis-ectodermal dystrophy"
    assert {hit[1] for hit in told(f"Known {chain}, stable.")} == {"OMIM:240300"}
    assert not told("Autoimmune polyendocrinopathy, candidiasis, ectodermal dystrophy.")


def test_a_short_abbreviation_counts_beside_its_long_form() -> None:
    assert ("NF1", "OMIM:162200", "abbreviation", "specific") in told("Neurofibromatosis type 1 (NF1).")


def test_a_name_that_is_also_a_finding_is_marked() -> None:
    (plainly,) = made().find("Dystonia of the left arm")
    (diagnosed,) = made().find("diagnosed with dystonia")
    assert (plainly.phenotype_name, diagnosed.phenotype_name) == (True, False)


def test_assertion_is_kept_for_the_reader() -> None:
    assert [n.assertion for n in made().find("No evidence of Fabry disease")] == ["negated"]
    assert {n.assertion for n in made().find("possible Fabry disease")} == {"uncertain"}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (("Condition", "ICD10CM//E75.21", "Fabry", None, "active confirmed", None), "confirmed"),
        (("Condition", "ICD10CM//E75.21", "Fabry", None, "active provisional", None), "specific"),
        (("Condition", "ORPHA//324", None, None, "refuted", None), "specific"),
        (("Condition", "LOCAL//9", "Fabry disease", None, "confirmed", None), "confirmed"),
        (("FamilyMemberHistory", "ORPHA//324", None, None, "completed", "mother"), "family"),
        (("MedicationRequest", "RXNORM//1", "agalsidase beta 35 mg", None, "active", None), "specific"),
        (("ServiceRequest", None, "GLA gene sequencing", None, "order active", None), "specific"),
        (("Observation", None, "GLA gene analysis", "pathogenic variant detected, GLA", "final", None), "confirmed"),
        (("Observation", None, "GLA gene analysis", "no pathogenic variant, GLA", "final", None), "specific"),
    ],
)  # fmt: skip
def test_coded_events(event: tuple[str, str | None, str | None, str | None, str | None, str | None], kind: str) -> None:
    kinds = {n.kind for n in made().of_event(*event) if n.disease_id == "OMIM:301500"}
    assert kinds == {kind}


def test_a_confirmed_condition_confirms_the_disease_it_names_and_not_its_relatives() -> None:
    hits = made().of_event("Condition", None, "Gaucher disease type 1", None, "confirmed", None)
    assert {n.disease_id for n in hits if n.kind == "confirmed"} == {"OMIM:230800"}
    assert {n.disease_id for n in hits if n.kind == "specific"} >= {"OMIM:230900"}


def test_a_variant_in_a_gene_of_two_diseases_confirms_neither() -> None:
    hits = made().of_event("Observation", None, "GBA1 sequencing", "pathogenic variant in GBA1", "final", None)
    assert {n.kind for n in hits if n.evidence_class == "gene"} == {"specific"}


def test_a_referral_order_is_a_general_suspicion() -> None:
    hits = made().of_event("ServiceRequest", None, "Referral to genetics clinic", None, "order active", None)
    assert {(n.disease_id, n.evidence_class, n.kind, n.start) for n in hits} >= {(None, "referral", "general", None)}


def test_what_is_kept_out_is_known_in_any_spelling() -> None:
    naming_set = made().naming_set
    assert naming_set.keeps_out("Hypertension, essential") and naming_set.keeps_out("ESSENTIAL HYPERTENSION")
    assert not naming_set.keeps_out("Fabry disease")


def test_coverage_names_what_no_source_reaches() -> None:
    coverage = made().naming_set.coverage()
    assert coverage["SNOMED codes"] == "not assessed"
    assert all(coverage[name] != 0 for name in coverage)


def test_it_travels_to_a_worker() -> None:
    again = pickle.loads(pickle.dumps(made()))
    assert again.find("?Fabry disease, NOTCH3") == made().find("?Fabry disease, NOTCH3")
    assert again.naming_set.version == made().naming_set.version


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120), st.text(max_size=30))
def test_offsets_hold_in_any_text(before: str, after: str) -> None:
    text = f"{before} Fabry  disease {after}"
    hits: list[Naming] = made().find(text)
    place = len(before) + 1
    assert any((n.start, n.end) == (place, place + 14) and n.disease_id == "OMIM:301500" for n in hits)
    assert all(n.start is not None and n.end is not None and 0 <= n.start < n.end <= len(text) for n in hits)


@given(st.text(max_size=200))
def test_one_spelling_keeps_every_place(text: str) -> None:
    spelled = plain(text)
    for index, char in enumerate(spelled.text):
        if char.isalnum():
            assert plain(text[spelled.place(index)]).text == char


@given(st.text(max_size=60))
def test_a_name_and_a_note_are_spelt_alike(text: str) -> None:
    assert key(text) == plain(text).text.strip()


def test_a_question_mark_is_a_blank_but_where_it_is_the_thought() -> None:
    assert {hit.evidence_class for hit in made().find("?metabolic, or?Fabry disease")} == {"thought", "name"}
    assert not made().find("anabolic?metabolics")


def test_wordings_of_a_name() -> None:
    assert "dilated cardiomyopathy 1a" in set(wordings("Cardiomyopathy, dilated, 1A"))
    assert {"gaucher disease type 2", "gauchers disease type 2"} <= set(wordings("Gaucher disease, type II"))
    assert "haemochromatosis" in set(wordings("Hemochromatosis"))


DATA = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parents[2] / "shared" / "data"))


def test_every_row_of_the_tables_has_a_source_or_a_reason() -> None:
    for table in ("drugs", "tests", "general", "kept_out", "exceptions"):
        assert all(len(row) >= 2 and all(cell.strip() for cell in row) for row in _rows(table))


@pytest.mark.skipif(
    not (DATA / "knowledge" / "orphanet.jsonl.gz").exists(), reason="the test data are not on this machine"
)
def test_groups_of_orphanet_are_read_by_name() -> None:
    groups = read_groups(DATA / "knowledge" / "orphanet.jsonl.gz")
    assert len(groups) > 2000
    assert any("Ehlers-Danlos syndrome" in names for names in groups.values())
