"""The hash of a model's weights: the same for the same files, another for others, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.model_weights import pinned, weights_digest
from zebrawatch.errors import ConfigurationError
from zebrawatch.reasoning.profile import read_profile

SMALL = read_profile("smollm2-135m")


def model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_the_same_files_give_the_same_hash_and_others_another(tmp_path: Path) -> None:
    one, copy = model(tmp_path / "one"), model(tmp_path / "copy")
    (copy / "README.md").write_text("not part of the model")
    assert weights_digest(SMALL, one) == weights_digest(SMALL, copy)
    assert weights_digest(SMALL, one) != weights_digest(SMALL, model(tmp_path / "other", b"weightS"))


def test_it_is_remembered_until_a_file_changes(tmp_path: Path) -> None:
    folder, cache = model(tmp_path / "m"), tmp_path / "var" / "weights.json"
    first = weights_digest(SMALL, folder, cache)
    cache.write_text(cache.read_text().replace(first, "remembered"))
    assert weights_digest(SMALL, folder, cache) == "remembered"
    model(folder, b"other weights")
    assert weights_digest(SMALL, folder, cache) not in (first, "remembered")
    cache.write_text("{")
    assert len(weights_digest(SMALL, folder, cache)) == 64


def test_other_weights_than_the_profile_names_are_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    assert weights_digest(replace(SMALL, sha256=weights_digest(SMALL, folder)), folder)
    assert pinned(SMALL, folder).digest != SMALL.digest
    with pytest.raises(ConfigurationError, match="another hash"):
        weights_digest(replace(SMALL, sha256="00"), folder)
    with pytest.raises(ConfigurationError, match="holds no model"):
        weights_digest(SMALL, tmp_path)
