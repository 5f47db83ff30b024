"""A model's weights on this machine: where they lie, and their hash, which is part of the run identity.

The hash covers weights, configuration and tokenizer. It takes minutes for 65 GB, so it is kept beside sizes and times
of the files, and made again only where one of them changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from zebrawatch.errors import ConfigurationError
from zebrawatch.reasoning.profile import ModelProfile

_COUNTED = ("*.safetensors", "*.bin", "*.gguf", "config.json", "tokenizer*.json", "chat_template*", "*.model")


def weights_digest(profile: ModelProfile, folder: Path, cache: Path | None = None) -> str:
    """SHA-256 over names and contents of a model's files; `cache` is a file that remembers it.

    ConfigurationError where the folder holds no model, or where the profile names another hash.
    """
    files = sorted({path for pattern in _COUNTED for path in folder.glob(pattern)})
    if not (folder / "config.json").is_file() or not files:
        raise ConfigurationError(f"'{folder}' holds no model for the profile {profile.name}.")
    seen = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    remembered = _remembered(cache)
    if remembered.get("files") == seen:
        digest = str(remembered["sha256"])
    else:
        digest = _digest(files)
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps({"files": seen, "sha256": digest}), encoding="utf-8")
    if profile.sha256 and profile.sha256 != digest:
        raise ConfigurationError(
            f"the weights in '{folder}' are not those of the profile {profile.name}: another hash."
        )
    return digest


def pinned(profile: ModelProfile, folder: Path, cache: Path | None = None) -> ModelProfile:
    """The profile with the hash of the weights that lie in `folder`: requests and run identity then depend on it."""
    return replace(profile, sha256=weights_digest(profile, folder, cache))


def _remembered(cache: Path | None) -> dict[str, object]:
    try:
        told = json.loads(cache.read_text(encoding="utf-8")) if cache is not None else {}
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _digest(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        one = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                one.update(block)
        whole.update(f"{path.name} {one.hexdigest()}\n".encode())
    return whole.hexdigest()
