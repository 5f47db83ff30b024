"""TRIPOD+AI and TRIPOD-LLM, filled from what a run knows about itself; what it cannot know stays blank.

Item numbers follow G. S. Collins et al., BMJ 2024;385:e078378 (TRIPOD+AI, 27 items) and J. Gallifant et al., Nat Med
2025;31:60 (TRIPOD-LLM, 19 main items); the topics are in our words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zebrawatch.reports.figures import gate_words, number_of, recall_words
from zebrawatch.reports.statement import Provenance
from zebrawatch.reports.suppression import shown_count


@dataclass(frozen=True)
class ChecklistItem:
    """One item: its number, what it asks for, and what the run says of it (empty: blank)."""

    number: str
    topic: str
    answer: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What the checklists are filled from."""

    provenance: Provenance
    nights: str
    patients: str
    threshold: float
    shown_k: int
    outcome: Mapping[str, Any]
    identity: Mapping[str, str]
    floor: int
    """The smallest count of patients that may be shown (zebrawatch.reports.suppression)."""

    def of(self, *keys: str) -> str:
        """Identity values by key, those that are known."""
        return "; ".join(f"{key} {self.identity[key]}" for key in keys if self.identity.get(key))

    def and_of(self, *keys: str) -> str:
        """As `of`, behind words that stand before it; nothing where nothing is known."""
        told = self.of(*keys)
        return f"; {told}" if told else ""


def tripod_ai(facts: RunFacts) -> tuple[ChecklistItem, ...]:
    """TRIPOD+AI for an evaluation over past records."""
    outcome, source = facts.outcome, facts.outcome.get("label_source")
    dated = "a label file and the records, the earlier" if source == "labels" else "the records"
    excluded = "; ".join(_problems(facts))
    groups = ", ".join((outcome.get("by_subgroup") or {}).keys())
    answers = {
        "1": "Replay of a rare-disease screen over past records (evaluation)",
        "3b": "All patients of the source; the list is for clinicians, who review the chart",
        "4": "Evaluation: lead before documented suspicion, beside its burden",
        "5a": f"{facts.provenance.data_kind} records in FHIR{facts.and_of('data.snapshot', 'data.pulls')}",
        "5b": facts.nights,
        "6b": "Everybody with a usable Patient resource; not restricted, opted-out, deleted or merged records",
        "7": "Coded values and text as sent; copied sentences count from their first appearance",
        "8a": f"Documented suspicion of a rare disease (specific or general, the earlier), dated by {dated}",
        "8b": recall_words(outcome),
        "8c": gate_words(outcome)[0],
        "9b": "HPO findings of text, laboratory values and codes known by the night of the score"
        + facts.and_of("readers.lexicon", "readers.codes"),
        "10": f"All records of the nights: {facts.patients} patients, {_count(facts, 'at_risk')} pairs at risk",
        "11": "A finding nobody wrote about is unknown, not absent",
        "12a": _split(outcome),
        "12c": f"Likelihood ratios against the hospital's own patients{facts.and_of('evidence.parameters')}",
        "12e": "Share and lead with bootstrap by patient, burden, PPV by prevalence, three nulls, calibration",
        "12g": f"Alert where P(any listed rare disease) reaches {facts.threshold}; {facts.shown_k} diseases shown",
        "13": "PPV is given for stated prevalences only, never for the mix of the data",
        "14": f"Detection and lead by {groups}" if groups else "",
        "15": "Ranked diseases with their evidence; a word for the risk, no percentage before 100 confirmed events",
        "18c": facts.of("protocol"),
        "18f": facts.of("code"),
        "20a": _flow(outcome) + (f". {excluded}" if excluded else ""),
        "21": f"{_count(facts, 'at_risk')} pairs at risk, {_count(facts, 'incident')} incident",
        "22": facts.of("code", "knowledge.version", "configuration"),
        "23a": "This page, with intervals and subgroups",
        "26": "One site; suspicion that was never written down is not seen"
        + (
            "" if facts.provenance.data_kind == "real" else "; not real patients: the method is tested, not its benefit"
        ),
        "27a": "Unusable lines are kept in quarantine with their reason and counted",
    }
    return tuple(ChecklistItem(number, topic, answers.get(number, "")) for number, topic in TRIPOD_AI)


def tripod_llm(facts: RunFacts) -> tuple[ChecklistItem, ...]:
    """TRIPOD-LLM; where no language model ran, the items about it say so."""
    ran = facts.provenance.model is not None
    none = "" if ran else "not applicable: no language model ran"
    general = {
        "1": "Replay of a rare-disease screen over past records",
        "4": "Lead before documented suspicion, beside its burden",
        "5": f"{facts.provenance.data_kind} records; {facts.nights}{facts.and_of('data.snapshot')}",
        "14": facts.of("code", "protocol"),
        "16": f"{facts.patients} patients; {_flow(facts.outcome)}",
        "17": "This page",
    }
    of_model = {"6": f"{facts.provenance.model}" if ran else none, "7": none, "9": facts.of("reasoning.prompt") or none}
    answers = {**general, **of_model, **({} if ran else dict.fromkeys(("8", "10", "11", "18"), none))}
    return tuple(ChecklistItem(number, topic, answers.get(number, "")) for number, topic in TRIPOD_LLM)


def _count(facts: RunFacts, key: str) -> str:
    value = number_of(facts.outcome, key)
    if value is None:
        return "number not measured:"
    return f"{value:,.0f}" if shown_count(round(value), facts.floor) is not None else f"under {facts.floor}"


def _problems(facts: RunFacts) -> list[str]:
    found = facts.outcome.get("problems")
    counted = found.items() if isinstance(found, Mapping) else ()
    return [
        f"{n if shown_count(n, facts.floor) is not None else f'under {facts.floor}'} x {name}" for name, n in counted
    ]


def _flow(outcome: Mapping[str, Any]) -> str:
    return "Flow diagram on this page" if outcome.get("flow") else ""


def _split(outcome: Mapping[str, Any]) -> str:
    return (
        "Evaluation only; figures by stretch of time and part of patients on this page"
        if outcome.get("by_split")
        else ""
    )


TRIPOD_AI = (
    ("1", "Title: study of a prediction model, population, outcome"), ("2", "Abstract"),
    ("3a", "Healthcare context and existing models"), ("3b", "Intended population, purpose and users"),
    ("3c", "Known health inequalities"), ("4", "Objectives"), ("5a", "Sources of data"), ("5b", "Dates of the data"),
    ("6a", "Setting and number of centres"), ("6b", "Who was eligible"), ("6c", "Treatments received"),
    ("7", "Preparation of the data"), ("8a", "Outcome, and how it was dated"),
    ("8b", "Who or what assessed the outcome, and how well"), ("8c", "Blinding of outcome and predictors"),
    ("9a", "Choice of predictors"), ("9b", "Definition of predictors"), ("9c", "Who assessed the predictors"),
    ("10", "Sample size"), ("11", "Missing data"), ("12a", "Use of the data: fitting, choosing, evaluating"),
    ("12b", "Handling of predictors"), ("12c", "Type of model and how it was built"),
    ("12d", "Differences between centres"), ("12e", "Measures of performance"), ("12f", "Updating of the model"),
    ("12g", "How predictions were made"), ("13", "Class imbalance"), ("14", "Fairness"), ("15", "Output of the model"),
    ("16", "Differences between development and evaluation"), ("17", "Ethical approval"), ("18a", "Funding"),
    ("18b", "Conflicts of interest"), ("18c", "Protocol"), ("18d", "Registration"), ("18e", "Availability of the data"),
    ("18f", "Availability of the code"), ("19", "Involvement of patients and the public"),
    ("20a", "Flow of participants"), ("20b", "Characteristics of participants"),
    ("20c", "Comparison with development data"), ("21", "Participants and outcomes in each analysis"),
    ("22", "Full specification of the model"), ("23a", "Performance with intervals, by subgroup"),
    ("23b", "Differences in performance between centres"), ("24", "Results of updating"), ("25", "Interpretation"),
    ("26", "Limitations"), ("27a", "Handling of poor or missing input"), ("27b", "Skill and interaction of users"),
    ("27c", "Next steps"),
)  # fmt: skip

TRIPOD_LLM = (
    ("1", "Title"), ("2", "Abstract"), ("3", "Background"), ("4", "Objectives"), ("5", "Data: source, dates, split"),
    ("6", "Language model: name, version, settings"), ("7", "Output of the model and its measures"),
    ("8", "Annotation"), ("9", "Prompts"), ("10", "Summaries made by the model"), ("11", "Tuning and alignment"),
    ("12", "Compute"), ("13", "Ethical approval"), ("14", "Open science: protocol, code, data"),
    ("15", "Involvement of patients and the public"), ("16", "Participants"), ("17", "Performance"),
    ("18", "Updating of the model"), ("19", "Interpretation, limitations, usability"),
)  # fmt: skip
