"""Model profiles: everything a model needs to be run and named, read from `models/<name>.toml`."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from zebrawatch.errors import ConfigurationError

MODELS = Path(__file__).parent / "models"
QUANTISATIONS = {"": 2.0, "bf16": 2.0, "fp8": 1.0, "awq": 0.56, "gptq": 0.56}
"""Bytes a parameter takes; 4-bit formats with their scales."""
STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}
"""vLLM's structured output without free white space, with which a small model can fill its whole answer."""
_SAMPLING = frozenset(["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop"])


@dataclass(frozen=True)
class ModelSize:
    """What the budget calculator needs: parameters, layers, key-value heads, and their width."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class ModelProfile:
    """One model as data: `context`, `answer_tokens` in tokens; `sampling` as OpenAI, `engine` as vLLM name them."""

    name: str
    weights: str
    revision: str
    sha256: str
    license: str
    context: int
    quantisation: str
    reasoning_parser: str
    answer_tokens: int
    clinical_use: bool
    sampling: Mapping[str, Any]
    engine: Mapping[str, Any]
    size: ModelSize

    @property
    def prompt_tokens(self) -> int:
        """Room for a prompt: the context less the answer."""
        return self.context - self.answer_tokens

    @property
    def digest(self) -> str:
        """SHA-256 over what an answer depends on; how the engine is laid out over cards is no part of it."""
        told = {
            "name": self.name, "weights": self.weights, "revision": self.revision, "sha256": self.sha256,
            "context": self.context, "quantisation": self.quantisation, "reasoning_parser": self.reasoning_parser,
            "answer_tokens": self.answer_tokens, "sampling": dict(self.sampling),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def engine_arguments(self, weights: Path) -> dict[str, Any]:
        """Keyword arguments of vllm.EngineArgs for weights that lie in a folder; sampling is the profile's alone."""
        arguments = {
            "model": str(weights), "served_model_name": self.name, "max_model_len": self.context,
            "structured_outputs_config": dict(STRUCTURED), "generation_config": "vllm", **self.engine,
        }  # fmt: skip
        if self.quantisation in ("fp8", "awq", "gptq"):
            arguments["quantization"] = self.quantisation
        return arguments


def profile_names() -> tuple[str, ...]:
    """The profiles that are shipped."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.toml")))


def read_profile(name: str | Path) -> ModelProfile:
    """Read a shipped profile by name, or one's own by path; ConfigurationError in one sentence where it is wrong."""
    path = name if isinstance(name, Path) else MODELS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(profile_names())
        raise ConfigurationError(f"there is no model profile '{name}'; shipped are {known}.")
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the model profile {path.name} is not TOML: {error}.") from None
    return _profile(told, path.name)


def _profile(told: dict[str, Any], file: str) -> ModelProfile:
    wanted = {field.name for field in fields(ModelProfile)}
    if missing := sorted(wanted - set(told)):
        raise ConfigurationError(f"the model profile {file} lacks '{missing[0]}'.")
    if unknown := sorted(set(told) - wanted) or sorted(set(told["sampling"]) - _SAMPLING):
        raise ConfigurationError(f"the model profile {file} has an unknown key '{unknown[0]}'.")
    if told["quantisation"] not in QUANTISATIONS:
        raise ConfigurationError(
            f"the model profile {file} names a quantisation that is none of {list(QUANTISATIONS)}."
        )
    if not 0 < told["answer_tokens"] < told["context"]:
        raise ConfigurationError(f"the model profile {file} leaves no room for a prompt: answer_tokens ≥ context.")
    size = told.pop("size")
    try:
        return ModelProfile(size=ModelSize(**size), **told)
    except TypeError as error:
        raise ConfigurationError(f"the [size] of the model profile {file} is wrong: {error}.") from None
