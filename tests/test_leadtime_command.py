"""`zebrawatch benchmark leadtime`: its own site, untouched by the one it is started in, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.configuration import load
from pipelines.commands.benchmark import BenchmarkError
from pipelines.commands.leadtime_benchmark import SCREENED_AT, Site, run
from zebrawatch.benchmarks.published_cases.figures import Planted
from zebrawatch.benchmarks.published_cases.figures import planted_of as planted
from zebrawatch.benchmarks.published_cases.measure import Told
from zebrawatch.fhir.subjects import subject_id_of

KEY = b"a key of the benchmark's own"


def test_missing_cases_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no cases at .*give them with --cases"):
        run(cases=tmp_path / "none.jsonl", controls=10, cache=tmp_path, demo=False, seed=1, say=lambda _: None)


def test_the_site_s_own_settings_do_not_reach_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEBRAWATCH_POLICY__DISEASES_NEVER_SCREENED", "OMIM:301500")
    monkeypatch.setenv("ZEBRAWATCH_DATA", "/data")
    site = Site(tmp_path / "site", tmp_path / "hospital", tmp_path / "knowledge", KEY)
    site.configure()
    environment = site.environment()
    configuration = load(site.config, environment)
    assert configuration.policy.diseases_never_screened == ()
    assert configuration.policy.threshold == SCREENED_AT
    assert configuration.source.location == str(tmp_path / "hospital")
    assert configuration.knowledge.folder == str(tmp_path / "knowledge")
    assert configuration.lake_folder == tmp_path / "site" / "lake"
    assert environment["ZEBRAWATCH_DATA"] == "/data"


def test_what_was_planted_is_read_by_subject(tmp_path: Path) -> None:
    (tmp_path / "planted.csv").write_text(
        "patient,kind,case,hpo_id,told\np1,case,c1,HP:0001250,2020-01-02\np1,case,c1,HP:0001251,2020-02-03\n"
        "p2,mixed,c1,HP:0001252,2021-01-01\n"
    )
    found = planted(tmp_path, KEY)
    one = found[subject_id_of("p1", KEY)]
    assert isinstance(one, Planted)
    assert (one.kind, one.case, [told.hpo_id for told in one.told]) == ("case", "c1", ["HP:0001250", "HP:0001251"])
    assert isinstance(one.told[0], Told)
    assert found[subject_id_of("p2", KEY)].kind == "mixed"


def test_a_stopped_screen_goes_on_and_another_hospital_or_decoder_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site", tmp_path / "hospital", None, KEY)
    site.begin()
    kept = site.folder / "lake" / "kept"
    kept.parent.mkdir()
    kept.touch()
    site.begin()
    assert kept.exists()
    monkeypatch.setattr("assets.night_run.code_digest", lambda *_, **__: "another decoder")
    site.begin()
    assert not kept.exists()
    kept.parent.mkdir()
    kept.touch()
    Site(site.folder, tmp_path / "another hospital", None, KEY).begin()
    assert not kept.exists()
    assert site.lake_nights() == ()
