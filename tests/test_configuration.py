"""The configuration: one sentence for everything that is wrong with it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import msgspec
import pytest

from connectors.configuration import Configuration, from_values, load, replaced, site_key
from zebrawatch.errors import ConfigurationError

SHIPPED = Path(__file__).parents[1] / "zebrawatch.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "zebrawatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path | None, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment or {})
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def test_the_shipped_file_holds_every_key_with_its_default() -> None:
    shipped = load(SHIPPED, {})
    assert replaced(shipped, "site", name=Configuration().site.name) == Configuration()
    text = SHIPPED.read_text()
    for section in msgspec.structs.fields(Configuration):
        assert f"[{section.name}]" in text
        for key in msgspec.structs.fields(section.type) if section.name != "availability" else ():
            assert re.search(rf"^{key.name} = ", text, re.MULTILINE), f"{section.name}.{key.name}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[policy]\nthresold = 0.4\n", "thresold"),
        ("[polcy]\nthreshold = 0.4\n", "polcy"),
        ("[policy]\nthreshold = 'high'\n", "threshold"),
        ("[policy]\nthreshold = 1.5\n", "policy.threshold"),
        ("[policy]\nthreshold = 0.0\n", "policy.threshold"),
        ("[policy]\nthreshold = nan\n", "policy.threshold"),
        ("[policy]\nshown = 0\n", "policy.shown"),
        ("[evidence]\ntop = 3\n", "evidence.top"),
        ("[conformance]\nshare = -0.1\n", "conformance.share"),
        ("[source]\nsince_mode = 'never'\n", "since_mode"),
        ("[site]\ntimezone = 'Middle-earth/Shire'\n", "timezone"),
        ("[site]\ntimezone = 'Europe'\n", "timezone"),
        ("[site]\ntimezone = ''\n", "timezone"),
        ("[site]\ntimezone = '../../etc/passwd'\n", "timezone"),
        ("[site]\nfirst_live_night = 2025-02-30\n", "TOML"),
        ("site = 3\n", "site"),
        ("[policy\n", "TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_that_names_the_key(tmp_path: Path, text: str, word: str) -> None:
    assert word in complaint(written(tmp_path, text))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "none.toml" in complaint(tmp_path / "none.toml")
    assert "none.toml" in complaint(None, {"ZEBRAWATCH_CONFIG": str(tmp_path / "none.toml")})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zebrawatch.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "TOML" in complaint(path)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[policy]\nthreshold = 0.4\nshown = 3\n")
    found = load(
        path,
        {
            "ZEBRAWATCH_POLICY__THRESHOLD": "0.6",
            "ZEBRAWATCH_POLICY__DISEASES_NEVER_SCREENED": "OMIM:1, ORPHA:2,",
            "ZEBRAWATCH_SITE__FIRST_LIVE_NIGHT": "2024-02-29",
            "ZEBRAWATCH_SPARK__PARTITIONS": "7",
            "ZEBRAWATCH_DATA": "/somewhere",
            "OTHER__THING": "1",
        },
    )
    assert found.policy.threshold == 0.6
    assert found.policy.shown == 3
    assert found.policy.diseases_never_screened == ("OMIM:1", "ORPHA:2")
    assert str(found.site.first_live_night) == "2024-02-29"
    assert found.spark.partitions == 7


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[policy]\nshown = 4\n")
    assert load(None, {"ZEBRAWATCH_CONFIG": str(path)}).policy.shown == 4


@pytest.mark.parametrize(
    "name", ["ZEBRAWATCH_POLICY__THRESOLD", "ZEBRAWATCH_POLCY__THRESHOLD", "ZEBRAWATCH_AVAILABILITY__X"]
)
def test_an_unknown_setting_of_the_environment_is_an_error(tmp_path: Path, name: str) -> None:
    assert name in complaint(written(tmp_path, ""), {name: "1"})


def test_a_wrong_value_of_the_environment_names_the_key(tmp_path: Path) -> None:
    assert "threshold" in complaint(written(tmp_path, ""), {"ZEBRAWATCH_POLICY__THRESHOLD": "high"})
    assert "site" in complaint(written(tmp_path, "site = 3\n"), {"ZEBRAWATCH_SITE__NAME": "x"})


def test_options_of_the_command_line_are_checked_too() -> None:
    assert replaced(Configuration(), "policy", shown=7).policy.shown == 7
    with pytest.raises(ConfigurationError, match=r"policy\.shown"):
        replaced(Configuration(), "policy", shown=11)


def test_the_digest_follows_what_changes_results_and_nothing_else() -> None:
    plain = Configuration()
    moved = replaced(replaced(plain, "lake", folder="elsewhere"), "source", location="https://ehr.example/fhir")
    assert moved.digest() == plain.digest()
    assert replaced(plain, "policy", threshold=0.6).digest() != plain.digest()
    assert replaced(plain, "site", timezone="Europe/Berlin").digest() != plain.digest()
    assert from_values({"availability": {"Observation": ["issued"]}}, "here").digest() != plain.digest()


def test_state_lies_beside_a_lake_of_its_own(tmp_path: Path) -> None:
    assert Configuration().state_folder == Path("var").absolute()
    other = replaced(Configuration(), "lake", folder=str(tmp_path / "lake"))
    assert other.state_folder == tmp_path / "lake-state"
    assert not other.state_folder.is_relative_to(other.lake_folder)


def configured(tmp_path: Path, key: str) -> Configuration:
    return replaced(
        replaced(Configuration(), "lake", folder=str(tmp_path / "lake")), "site", key_file=str(tmp_path / key)
    )


def test_the_site_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    configuration = configured(tmp_path, "keys/site.key")
    key = site_key(configuration)
    assert len(key) == 32
    assert site_key(configuration) == key
    assert stat.S_IMODE((tmp_path / "keys/site.key").stat().st_mode) == 0o600


def test_no_site_key_is_made_in_the_lake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="outside the lake"):
        site_key(configured(tmp_path, "lake/site.key"))
    assert not (tmp_path / "lake").exists()


def test_a_way_round_into_the_lake_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    for place in ("link/site.key", "elsewhere/../lake/site.key"):
        with pytest.raises(ConfigurationError, match="outside the lake"):
            site_key(configured(tmp_path, place))
    assert not list((tmp_path / "lake").iterdir())


def test_a_site_key_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.key").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="backup"):
        site_key(configured(tmp_path, "site.key"))
