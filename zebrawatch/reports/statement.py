"""The statement that stands on every output: pages, reports, FHIR text, the JSON field `statement` (OUTCOMES, last
section).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

DATA_KINDS = ("real", "made", "rendered")


@dataclass(frozen=True)
class Provenance:
    """What an output rests on.

    `data_kind` is one of DATA_KINDS (ValueError otherwise): *real* records, *made* by a simulator, or *rendered* as
    notes from published cases. `local_validation` is None, or the date and number of cases in words ("2026-03-01, n =
    140"). `arms` names the arms that ran, `knowledge` the release in words, `model` the language model (None where none
    ran), `data_to` the last night whose rows were used.
    """

    data_kind: str
    arms: tuple[str, ...]
    knowledge: str
    data_to: date
    model: str | None = None
    local_validation: str | None = None

    def __post_init__(self) -> None:
        if self.data_kind not in DATA_KINDS:
            raise ValueError(f"data kind must be one of {', '.join(DATA_KINDS)}, not '{self.data_kind}'")


def statement(provenance: Provenance) -> str:
    """The footer's text, one paragraph of plain text in OUTCOMES' wording."""
    return (
        "Screening aid, not a diagnosis and not a cleared medical device; a clinician must review the chart. "
        "No flag does not mean no rare disease. "
        f"Data: {provenance.data_kind}. "
        f"Local validation: {provenance.local_validation or 'none'}. "
        f"Arms: {', '.join(provenance.arms) or 'none'}. "
        f"Knowledge {provenance.knowledge}; model {provenance.model or 'none'}; data to {provenance.data_to}."
    )
