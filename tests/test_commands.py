"""The command line through its entry point: what it prints, its status, and one line for every fault."""

from __future__ import annotations

import gzip
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import tiny_hospital

from connectors.lake import Lake
from pipelines.commands import benchmark
from pipelines.commands.benchmark import BENCHMARKS, table
from pipelines.commands.main import run

ROOT = Path(__file__).parents[1]

OBO = """format-version: 1.2
data-version: hp/releases/2025-01-16

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
id: HP:0001252
name: Hypotonia
is_a: HP:0000118 ! Phenotypic abnormality
"""
HPOA = (
    "#version: {version}\n"
    "database_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration\n"
    "OMIM:100001\tA made disease\t\tHP:0001250\tPMID:1\tPCS\t\t{share}\t\t\tP\tme\n"
    "OMIM:100002\tAnother made disease\t\tHP:0001252\tPMID:2\tPCS\t\t3/4\t\t\tP\tme\n"
)
GENES = (
    "ncbi_gene_id\tgene_symbol\thpo_id\thpo_name\tfrequency\tdisease_id\n"
    "1\tMADE1\tHP:0001250\tSeizure\t-\tOMIM:100001\n"
)


class Said(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def last(self) -> Any:
        """The JSON object of the last line."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def fault(self) -> str:
        """The one line that says what is wrong, progress left aside."""
        lines = [line for line in self.err.splitlines() if line.startswith("zebrawatch: ")]
        assert len(lines) == 1 and "Traceback" not in self.err, self.err
        return lines[0].removeprefix("zebrawatch: ")


Zebrawatch = Callable[..., Said]


@pytest.fixture
def zebrawatch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Zebrawatch]:
    """Run a command in an empty folder; options that it leaves in the environment are taken back."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ZEBRAWATCH_")]:
        del os.environ[name]

    def said(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["zebrawatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    yield said
    os.environ.clear()
    os.environ.update(before)


def knowledge_folder(folder: Path, version: str = "2025-01-16", share: str = "1/2") -> Path:
    folder.mkdir()
    (folder / "hp.obo").write_text(OBO)
    (folder / "phenotype.hpoa").write_text(HPOA.format(version=version, share=share))
    (folder / "genes_to_phenotype.txt").write_text(GENES)
    return folder


# -- as a whole --------------------------------------------------------------------------------------------------------


def test_help_brings_no_heavy_package_along() -> None:
    script = (
        "import sys, pipelines.commands.main\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'pyspark', 'dagster', 'mlflow', 'deltalake', 'clinosim', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("benchmark", "nonsense"),
        ("benchmark", "phenotypes", "--corpus", "nowhere.jsonl"),
        ("benchmark", "phenotypes", "--seed", "many"),
        ("benchmark", "reasoning"),
        ("benchmark", "reasoning", "--cases", "cases.jsonl"),
        ("benchmark", "reasoning", "--profile", "nothing", "--cases", "cases.jsonl"),
        ("reasoning", "plan", "--patients", "1", "--tokens", "2"),
        ("reasoning", "plan", "--card", "abacus"),
        ("reasoning", "weights", "--profile", "radar-32b"),
        ("screen", "--reasoning", "nothing"),
        ("screen", "--reasoning", "smollm2-135m"),
        ("doctor", "--source", "nowhere"),
        ("doctor", "--source", "http://127.0.0.1:9/fhir?key=1", "--config", "nowhere.toml"),
        ("knowledge", "show", "--folder", "nowhere"),
        ("knowledge", "update"),
        ("export", "meds"),
        ("export", "meds", "out"),
        ("quarantine", "list"),
        ("lake", "nights"),
    ],
    ids=" ".join,
)
def test_wrong_use_gets_one_line_and_a_status(zebrawatch: Zebrawatch, arguments: tuple[str, ...]) -> None:
    said = zebrawatch(*arguments)
    assert said.status not in (0, 70)
    assert said.fault


def test_without_vllm_the_way_to_it_is_said(zebrawatch: Zebrawatch) -> None:
    for arguments in (("benchmark", "reasoning", "--cases", "cases.jsonl"), ("screen", "--reasoning", "smollm2-135m")):
        assert "`make llm` sets it up" in zebrawatch(*arguments).fault


def test_a_budget_in_one_coin_gives_the_others(zebrawatch: Zebrawatch) -> None:
    plan = ("reasoning", "plan", "--profile", "radar-32b", "--json")
    by_hours = zebrawatch(*plan, "--gpu-hours", "8").last
    assert 13_000 <= by_hours["patients"] <= 19_000
    back = zebrawatch(*plan, "--patients", str(by_hours["patients"])).last
    assert back["gpu_hours"] == pytest.approx(8, rel=0.01)
    assert zebrawatch(*plan, "--tokens", str(back["tokens"])).last["patients"] == by_hours["patients"]


def test_the_installed_command_says_no_more_than_one_line(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("zebrawatch")
    if not command.exists():
        pytest.skip("the project is not installed beside this Python")
    done = subprocess.run([command, "export", "meds", "out"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("zebrawatch: There is no lake")


# -- screen ------------------------------------------------------------------------------------------------------------


def _emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _torn(folder: Path) -> None:
    whole = gzip.compress((folder / "DocumentReference.ndjson").read_bytes())
    (folder / "DocumentReference.ndjson").unlink()
    (folder / "DocumentReference.ndjson.gz").write_bytes(whole[:-20])


def _promised(folder: Path) -> None:
    output = [{"type": "Patient", "url": "http://x/Patient.ndjson", "count": 5}]
    (folder / "manifest.json").write_text(json.dumps({"transactionTime": "2025-03-07T00:00:00Z", "output": output}))


@pytest.mark.parametrize(
    ("spoil", "words", "begun"),
    [
        (lambda folder: _emptied(folder) or folder.rmdir(), "does not exist", False),
        (_emptied, "holds no NDJSON files", False),
        (lambda folder: (folder / "Patient.ndjson").unlink(), "Patient", True),
        (_torn, "DocumentReference.ndjson.gz", True),
        (_promised, "5", True),
    ],
    ids=["no folder", "empty folder", "no patients", "gzip cut short", "fewer than the manifest promises"],
)
def test_a_source_that_is_not_whole_stops_the_night_in_one_line(
    zebrawatch: Zebrawatch, tmp_path: Path, spoil: Callable[[Path], object], words: str, begun: bool
) -> None:
    folder = tiny_hospital.write(tmp_path / "hospital")
    spoil(folder)
    said = zebrawatch("screen", "--source", folder, "--lake", tmp_path / "lake")
    assert said.status == 1
    assert words in said.fault
    assert (tmp_path / "lake").exists() == begun, "what is plain to see is said before a lake is made"
    assert not begun or Lake.open(tmp_path / "lake").nights() == []


# -- benchmark ---------------------------------------------------------------------------------------------------------


def test_every_benchmark_has_a_module_that_can_be_run() -> None:
    for each in BENCHMARKS:
        parameters = inspect.signature(import_module(each.module).run).parameters
        assert {"data", "files", "seed", "progress"} <= set(parameters), each.name


@pytest.fixture
def made_benchmark(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A benchmark in place of `phenotypes`; what it was asked, and what it answers or raises."""
    heard: dict[str, Any] = {}

    def measure(**asked: Any) -> Any:
        heard.update(asked)
        if "raises" in heard:
            raise heard["raises"]
        return {
            "made": {
                "n": 3,
                "document_f1": 0.5,
                "gain": float("nan"),
                "ci95": {"document_f1": [0.4, 0.6]},
                "seconds": 1.0,
            }
        }

    monkeypatch.setattr(
        benchmark,
        "importlib",
        SimpleNamespace(import_module=lambda _: SimpleNamespace(run=measure), util=benchmark.importlib.util),
    )
    return heard


def test_a_table_then_one_json_object(zebrawatch: Zebrawatch, made_benchmark: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    said = zebrawatch("benchmark", "phenotypes", "--corpus", "a.jsonl", "b.jsonl", "--seed", "9", "--json")
    assert said.status == 0
    assert made_benchmark["files"] == [Path("a.jsonl"), Path("b.jsonl")] and made_benchmark["seed"] == 9
    assert "document f1" in said.out and "0.400 to 0.600" in said.out and "not shown" in said.out
    assert said.last["made"]["document_f1"] == 0.5 and said.last["made"]["gain"] is None


def test_missing_data_and_missing_packages_are_said(
    zebrawatch: Zebrawatch, made_benchmark: dict[str, Any], tmp_path: Path
) -> None:
    os.environ["ZEBRAWATCH_DATA"] = str(tmp_path / "none")
    assert "does not exist: name it in $ZEBRAWATCH_DATA" in zebrawatch("benchmark", "phenotypes").fault
    os.environ["ZEBRAWATCH_DATA"] = str(tmp_path)
    made_benchmark["raises"] = ModuleNotFoundError("No module named 'medspacy'", name="medspacy")
    assert "needs the package medspacy" in zebrawatch("benchmark", "phenotypes").fault
    made_benchmark["raises"] = FileNotFoundError(2, "No such file", str(tmp_path / "concepts"))
    assert "There is no" in zebrawatch("benchmark", "phenotypes").fault


def test_a_real_one_on_notes_of_one_s_own(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    notes = tmp_path / "mine.jsonl"
    notes.write_text('{"text": "Fever and seizures. No rash."}\n{"text": "Well."}\n')
    said = zebrawatch("benchmark", "false-alarms", "--notes", notes, "--json")
    assert said.status == 0
    assert said.last["mine"]["n"] == 2 and said.last["mine"]["present_findings_per_note"] == 1.0


def test_columns_are_aligned_and_parts_of_a_part_become_a_grid() -> None:
    strata = {"one": {"n": 2, "rate": 0.5, "ci95": {"rate": [0.25, 0.75]}}, "another": {"n": 1200, "rate": 12.5}}
    lines = list(table({"a": {"n": 2, "short": 0.1, "a_longer_name": 1234.5, "strata": strata, "setting": "nested"}}))
    assert lines[1] == "a  (n 2)"
    ends = [len(line) for line in lines[2:4]]
    assert ends[0] == ends[1] and lines[3].endswith("1,234")
    assert "  setting: nested" in lines
    grid = lines[lines.index("  strata") + 1 :]
    assert len(grid) == 3 and "0.250 to 0.750" in grid[1] and grid[2].split() == ["another", "1,200", "12.5"]


# -- doctor ------------------------------------------------------------------------------------------------------------


def statuses(said: Said) -> dict[str, str]:
    return {check["name"]: check["status"] for check in said.last["checks"]}


def test_a_good_source_is_ready_and_utc_is_asked_about(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    hospital = tiny_hospital.write(tmp_path / "hospital")
    said = zebrawatch("doctor", "--source", hospital, "--json")
    assert said.status == 0 and said.last["ready"] is True
    found = statuses(said)
    assert found["time zone"] == "ask" and found["Patient"] == "ok" and found["Java"] == "ok"
    assert "13 lines" not in said.out and {path.name for path in tmp_path.iterdir()} == {"hospital"}, (
        "it leaves nothing behind"
    )
    os.environ["ZEBRAWATCH_SITE__TIMEZONE"] = "Europe/Berlin"
    assert statuses(zebrawatch("doctor", "--source", hospital, "--json"))["time zone"] == "ok"


def test_what_is_wrong_is_named_and_the_status_says_so(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake", create=True)
    lake.root.chmod(0o755)
    (tmp_path / "site.key").write_bytes(b"short")
    os.environ["ZEBRAWATCH_SITE__KEY_FILE"] = str(tmp_path / "site.key")
    said = zebrawatch("doctor", "--source", tmp_path / "none", "--lake", lake.root, "--json")
    assert said.status == 1 and said.last["ready"] is False
    assert said.fault.endswith("checks failed: site key, lake, folder.")
    assert "chmod 700" in said.out


def test_a_server_that_does_not_answer_is_a_failed_check(zebrawatch: Zebrawatch) -> None:
    said = zebrawatch("doctor", "--source", "http://127.0.0.1:9/fhir?token=secret", "--json")
    assert said.status == 1 and "secret" not in said.out + said.err


# -- knowledge ---------------------------------------------------------------------------------------------------------


def test_knowledge_is_built_once_and_shown(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    folder = knowledge_folder(tmp_path / "k")
    built = zebrawatch("knowledge", "build", "--folder", folder, "--lake", tmp_path / "lake", "--json")
    assert built.status == 0, built.err
    assert Path(built.last["place"]).is_relative_to(tmp_path / "lake")
    shown = zebrawatch("knowledge", "show", "--folder", folder, "--lake", tmp_path / "lake", "--json")
    assert shown.last["version"] == built.last["version"]
    assert shown.last["releases"] == {"hpo": "2025-01-16", "hpoa": "2025-01-16"}
    assert shown.last["diseases"]["all"] == 2 and shown.last["diseases"]["with genes"] == 1
    assert shown.last["annotations"] == {"rows": 2, "with a frequency": 2}
    assert shown.last["coverage"]["name"] == 2


def test_an_update_says_what_moves_and_keeps_a_checked_copy(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    os.environ["ZEBRAWATCH_KNOWLEDGE__FOLDER"] = str(knowledge_folder(tmp_path / "old"))
    newer = knowledge_folder(tmp_path / "new", version="2025-09-01", share="1/4")
    looked = zebrawatch("knowledge", "update", "--folder", newer, "--check", "--json")
    assert looked.status == 0 and looked.last["folder"] is None
    assert looked.last["releases"] == {"hpoa": ["2025-01-16", "2025-09-01"]}
    assert looked.last["diseases_with_other_findings"] == 1 and looked.last["diseases_new"] == 0
    assert "OMIM:100001" in looked.out and "OMIM:100002" not in looked.out
    kept = Path(zebrawatch("knowledge", "update", "--folder", newer, "--json").last["folder"])
    assert (kept / "phenotype.hpoa").read_bytes() == (newer / "phenotype.hpoa").read_bytes()
    again = zebrawatch("knowledge", "update", "--folder", kept, "--json")
    assert again.last["after"] == looked.last["after"] and Path(again.last["folder"]) == kept


def test_a_release_cut_short_is_refused(zebrawatch: Zebrawatch, tmp_path: Path) -> None:
    broken = knowledge_folder(tmp_path / "k")
    (broken / "phenotype.hpoa").write_text(HPOA[:-9])
    said = zebrawatch("knowledge", "update", "--folder", broken, "--check")
    assert said.status == 1 and "cut short" in said.fault
