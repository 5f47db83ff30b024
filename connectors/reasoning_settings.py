"""The section [reasoning] of the configuration as the model's profile and the door's settings."""

from __future__ import annotations

from pathlib import Path

from connectors.configuration import Reasoning
from connectors.model_weights import pinned
from connectors.vllm_batch import LlmSettings, check_ready
from zebrawatch.reasoning.profile import ModelProfile, read_profile


def profile_of(told: Reasoning, state: Path | None = None) -> ModelProfile:
    """The profile, ready to be asked, with the hash of its weights where they lie on this machine.

    `state` is the folder in which the hash is remembered; without it nothing is hashed. ConfigurationError or LlmError
    in one sentence where the profile cannot be read, or vLLM's environment or the weights are missing.
    """
    profile = read_profile(Path(told.profile) if told.profile.endswith(".toml") else told.profile)
    check_ready(profile, llm_settings(told))
    weights = Path(told.weights or profile.weights or "no-weights")
    if state is None or (told.backend == "server" and not weights.is_dir()):
        return profile
    return pinned(profile, weights, state / f"weights-{profile.name}.json")


def llm_settings(told: Reasoning) -> LlmSettings:
    """How requests are answered."""
    return LlmSettings(
        told.backend,
        Path(told.python),
        Path(told.weights) if told.weights else None,
        told.base_url,
        Path(told.api_key_file) if told.api_key_file else None,
        told.concurrency,
        told.timeout_seconds,
    )
