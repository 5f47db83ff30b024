"""The budget calculator: from model, card and chart length to patients a night, and back.

A roofline: reading a prompt is bound by arithmetic (2 operations a parameter and token), writing an answer by memory
(weights and caches are read once a step for all charts in flight; Pope et al., "Efficiently scaling transformer
inference", MLSys 2023). Efficiencies are what vLLM reaches in practice; the result is a plan, not a promise.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from zebrawatch.errors import ConfigurationError
from zebrawatch.reasoning.profile import QUANTISATIONS, ModelProfile

CARDS = Path(__file__).parent / "cards.toml"
READING_EFFICIENCY = 0.40  # share of peak arithmetic while reading prompts
WRITING_EFFICIENCY = 0.70  # share of peak bandwidth while writing answers
RESERVED_GB = 3.0  # activations, graphs, the CUDA context
TYPICAL_PROMPT = 4000  # tokens of a chart, as planned for; `zebrawatch reasoning plan` takes others
TYPICAL_ANSWER = 1500  # tokens of reasoning and answer
CACHE_BYTES = 2  # a key or value in bf16, whatever the weights are


@dataclass(frozen=True)
class Card:
    """An accelerator: memory in GB, bandwidth in GB/s, dense tensor arithmetic in TFLOPS."""

    name: str
    memory_gb: float
    bandwidth_gb_s: float
    bf16_tflops: float
    fp8_tflops: float


@dataclass(frozen=True)
class Plan:
    """What one or more cards do: charts in flight a card, seconds a patient (of all cards), patients an hour."""

    in_flight: int
    seconds_per_patient: float

    @property
    def patients_per_hour(self) -> float:
        """Patients an hour, all cards together."""
        return 3600 / self.seconds_per_patient

    def patients(self, gpu_hours: float, cards: int = 1) -> int:
        """How many patients a budget in GPU-hours reads."""
        return int(gpu_hours / cards * self.patients_per_hour)

    def gpu_hours(self, patients: int, cards: int = 1) -> float:
        """GPU-hours that a number of patients takes."""
        return patients / self.patients_per_hour * cards


def read_card(name: str) -> Card:
    """A card by name; ConfigurationError where it is not known."""
    cards = tomllib.loads(CARDS.read_text(encoding="utf-8"))
    if name not in cards:
        raise ConfigurationError(f"there is no card '{name}'; known are {', '.join(sorted(cards))}.")
    return Card(name, **cards[name])


def plan(
    profile: ModelProfile, card: Card, *, prompt: float, answer: float, cached: float = 0.0, cards: int = 1
) -> Plan:
    """Plan for charts of `prompt` tokens (of which `cached` come from the prefix cache) and answers of `answer` tokens.

    `cards` is the number of cards the model is spread over (tensor parallel). ConfigurationError where the model and
    one chart do not fit in memory.
    """
    size = profile.size
    weights = size.parameters * QUANTISATIONS[profile.quantisation] / 1e9
    utilisation = float(profile.engine.get("gpu_memory_utilization", 0.9))
    room = cards * (card.memory_gb * utilisation - RESERVED_GB) - weights
    chart = (prompt + answer / 2) * 2 * size.layers * size.kv_heads * size.head_dim * CACHE_BYTES / 1e9
    longest = float(profile.engine.get("max_num_seqs", 256))
    in_flight = min(room / chart, longest) if chart else longest
    if in_flight < 1:
        raise ConfigurationError(
            f"{profile.name} in {profile.quantisation or 'bf16'} and one chart of {prompt:.0f} tokens do not fit on "
            f"{cards} x {card.name}: {weights:.0f} GB of weights leave {room:.1f} GB."
        )
    tflops = (card.fp8_tflops if profile.quantisation == "fp8" else card.bf16_tflops) * cards
    reading = 2 * size.parameters * (prompt - cached) / (tflops * 1e12 * READING_EFFICIENCY)
    step = (weights + in_flight * chart) / (card.bandwidth_gb_s * cards * WRITING_EFFICIENCY)
    return Plan(int(in_flight), reading + answer * step / in_flight)
