"""Knowledge: one row a disease whatever its ids, saved and loaded the same, and refused where a file is broken."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from knowledge_samples import knowledge_files, whole_knowledge

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.annotations import parse_frequency, read_hpoa, read_orphanet, read_sssom
from zebrawatch.knowledge.diseases import Knowledge, series_stem


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return whole_knowledge()


def test_ids_of_one_disease_stand_as_one_row(knowledge: Knowledge) -> None:
    ataxia = knowledge.index_of("OMIM:208900")
    assert ataxia is not None
    assert knowledge.index_of("ORPHA:100") == knowledge.index_of("Orphanet:100") == ataxia
    assert knowledge.index_of("MONDO:0008840") == ataxia
    disease = knowledge.diseases[ataxia]
    assert disease.id == "OMIM:208900"
    assert {"OMIM:208900", "ORPHA:100", "MONDO:0008840"} <= set(disease.ids)
    assert "Louis-Bar syndrome" in {name.text for name in disease.names}
    assert disease.genes == ("ATM",)
    assert disease.prevalence is not None and 1e-6 < disease.prevalence < 1e-5
    assert knowledge.index_of("OMIM:0") is None


def test_no_id_stands_in_two_rows(knowledge: Knowledge) -> None:
    ids = [each for disease in knowledge.diseases for each in disease.ids]
    assert len(ids) == len(set(ids))
    assert sum(disease.annotated for disease in knowledge.diseases) > 10_000


def test_rows_lie_in_range_and_carry_their_papers(knowledge: Knowledge) -> None:
    assert len(knowledge.row_term) > 200_000
    assert knowledge.row_disease.max() < len(knowledge.diseases)
    assert knowledge.row_term.max() < len(knowledge.terms)
    shares = knowledge.row_share[~np.isnan(knowledge.row_share)]
    assert shares.min() >= 0 and shares.max() <= 1
    assert any(reference.startswith("PMID:") for each in knowledge.references for reference in each)
    assert np.all(np.diff(knowledge.row_disease) >= 0)


def test_match_tiers(knowledge: Knowledge) -> None:
    def index(each: str) -> int:
        found = knowledge.index_of(each)
        assert found is not None
        return found

    noonan_1, noonan_3 = index("OMIM:163950"), index("OMIM:609942")
    marfan, loeys_dietz = index("OMIM:154700"), index("OMIM:609192")
    assert knowledge.same_family(noonan_1, noonan_3)
    assert not knowledge.same_family(noonan_1, marfan)
    assert knowledge.same_gene(marfan, index("OMIM:604308"))  # MASS syndrome, also FBN1
    assert not knowledge.same_gene(marfan, loeys_dietz)


def test_inheritance_and_onset_become_numbers(knowledge: Knowledge) -> None:
    duchenne, huntington = knowledge.index_of("OMIM:310200"), knowledge.index_of("OMIM:143100")
    assert duchenne is not None and huntington is not None
    assert knowledge.female_share[duchenne] < 0.2
    assert knowledge.female_share[huntington] == 0.5
    assert knowledge.onset_high[duchenne] < 20
    assert knowledge.onset_high[huntington] > 40


def test_saved_and_loaded_is_the_same(knowledge: Knowledge, tmp_path: Path) -> None:
    knowledge.save(tmp_path / "k")
    loaded = Knowledge.load(tmp_path / "k")
    assert loaded.diseases == knowledge.diseases
    assert loaded.version == knowledge.version and loaded.releases == knowledge.releases
    assert loaded.terms == knowledge.terms and loaded.references == knowledge.references
    for name in ("row_disease", "row_term", "row_share", "ancestor", "onset_low"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(knowledge, name))
    assert pickle.loads(pickle.dumps(loaded)).diseases == knowledge.diseases
    (tmp_path / "k" / "row_term.npy").unlink()
    with pytest.raises(KnowledgeError, match="build it"):
        Knowledge.load(tmp_path / "k")


def test_without_orphanet_and_mondo_names_merge() -> None:
    plain = Knowledge.build(knowledge_files(merged=False))
    assert len(plain.diseases) > 10_000
    assert plain.index_of("ORPHA:100") == plain.index_of("OMIM:208900")
    assert plain.releases.keys() == {"hpo", "hpoa"}


@pytest.mark.parametrize(
    ("text", "share", "size"),
    [
        ("3/7", 3 / 7, 7), ("0/4", 0, 4), ("9/7", 1, 7), ("45%", 0.45, 0), ("HP:0040283", 0.17, 0),
        ("Occasional (29-5%)", 0.17, 0), ("Excluded (0%)", 0, 0), ("", None, 0), ("often", None, 0), ("1/0", None, 0),
    ],
)  # fmt: skip
def test_frequencies(text: str, share: float | None, size: float) -> None:
    assert parse_frequency(text) == (share, size)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Retinitis pigmentosa 26", "retinitis pigmentosa"),
        ("Charcot-Marie-Tooth disease, axonal, type 2A1", "charcot marie tooth disease axonal"),
        ("Marfan syndrome", None),
        ("Noonan syndrome 3", "noonan syndrome"),
    ],
)
def test_numbered_names_share_a_stem(name: str, stem: str | None) -> None:
    assert series_stem(name) == stem


def test_broken_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    header = "#version: 2025-01-16\ndatabase_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration\n"  # noqa: E501
    row = "OMIM:1\tX\t\tHP:0001250\tPMID:1\tPCS\t\t1/2\t\t\tP\tme\n"
    path = tmp_path / "phenotype.hpoa"
    path.write_text(header + row)
    assert read_hpoa(path)[1][0].references == ("PMID:1",)
    for text, says in [
        (header + row[:-20], "cut short"),
        (header + row.replace("\t", " ", 1), "line 3"),
        (row + header, "header"),
        (header, "rows are missing"),
    ]:
        path.write_text(text)
        with pytest.raises(KnowledgeError, match=says):
            read_hpoa(path)
    orphanet = tmp_path / "orphanet.jsonl.gz"
    orphanet.write_bytes(gzip.compress(b'{"orpha": "ORPHA:1"}\n'))
    with pytest.raises(KnowledgeError, match="line 1"):
        read_orphanet(orphanet)
    orphanet.write_bytes(gzip.compress(b"{}\n" * 5000)[:-9])
    with pytest.raises(KnowledgeError, match=r"cut short|line 1"):
        read_orphanet(orphanet)
    with pytest.raises(KnowledgeError, match="cannot be read"):
        read_sssom(tmp_path / "none.tsv.gz")
