"""What the two reports are made of: plain frozen dataclasses, filled from the lake's tables.

`PatientReport` holds patient data (quotes, days) and stays in the lake. `SummaryReport` holds aggregates; the page
drawn from it hides small cells (zebrawatch.reports.suppression) and may leave the lake. Days are local dates
(zebrawatch.nights); likelihood ratios are log10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from zebrawatch.nights import NightRange
from zebrawatch.reports.statement import Provenance

# ----------------------------------------------------------------------------------------------- patient-level report


@dataclass(frozen=True)
class Source:
    """The note, laboratory value or code a finding was read from.

    `kind` is its type as a clinician would say it ("Neurology consult", "Laboratory", "Problem list"); `day` when it
    happened.
    """

    source_id: str
    kind: str
    day: date | None
    author: str | None = None


@dataclass(frozen=True)
class Finding:
    """One HPO finding of a patient, at its first appearance.

    `sentence` is the sentence it stands in and `sentence[start:end]` the quote (code points); labs and codes give
    display and value as the sentence. `known_night` is the first night it could be used; `mentions` counts its
    appearances, copies included.
    """

    hpo_id: str
    label: str
    assertion: str
    origin: str
    known_night: date
    source: Source
    sentence: str = ""
    start: int = 0
    end: int = 0
    mentions: int = 1


@dataclass(frozen=True)
class Contribution:
    """What one finding adds to (log10_lr > 0) or takes from (< 0) a disease.

    `matched_label` is the disease's own term where it differs from the finding. A contribution that rests on no finding
    (age of onset, sex) has `finding` None and says what it is in `label`.
    """

    label: str
    log10_lr: float
    finding: Finding | None = None
    matched_label: str | None = None


@dataclass(frozen=True)
class ExpectedFinding:
    """A finding frequent in the disease that this patient was not found to have.

    `denial` is the finding that denies it; None means nobody has written about it: it was never looked for, as far as
    the records show. `frequency` is the share of the disease's patients who have it (0 to 1), None where unknown.
    """

    hpo_id: str
    label: str
    frequency: float | None = None
    denial: Finding | None = None


@dataclass(frozen=True)
class RankedDisease:
    """One disease shown with an alert. `posterior` is its uncalibrated share (0 to 1), never shown as a figure.
    `evidence_rank` is its rank before a language model moved it; None where none did.
    """

    rank: int
    disease_id: str
    name: str
    log10_lr: float
    posterior: float
    contributions: tuple[Contribution, ...] = ()
    expected: tuple[ExpectedFinding, ...] = ()
    deciding_test: str | None = None
    evidence_rank: int | None = None


@dataclass(frozen=True)
class ModelQuote:
    """A quote that a language model gave and that stands in its note."""

    source: Source
    text: str


@dataclass(frozen=True)
class ModelDisease:
    """A disease that a language model named, with the quotes that stand.

    `disease_id` is None where the name resolved to nothing, `listed_rank` where it is not on the evidence arm's list.
    `struck` counts quotes that did not stand.
    """

    name: str
    disease_id: str | None
    listed_rank: int | None
    supporting: tuple[ModelQuote, ...] = ()
    against: tuple[ModelQuote, ...] = ()
    struck: int = 0
    next_test: str = ""


@dataclass(frozen=True)
class ModelReading:
    """What a language model said of the chart of `night`, after judgement.

    `reason` says why it was read. `verdict` other than `accepted`: the answer could not be used. `clinical_use` False:
    a model for trying out, whose answers move nothing. `disagreements` say where the two arms differ.
    """

    night: date
    model: str
    clinical_use: bool
    reason: str
    verdict: str
    diseases: tuple[ModelDisease, ...] = ()
    disagreements: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommonExplanation:
    """A common condition that would explain some of the findings: `explains` are their labels, `basis` says who holds
    so.
    """

    name: str
    explains: tuple[str, ...] = ()
    basis: str | None = None


@dataclass(frozen=True)
class Episode:
    """An alert's episode, from raise to withdrawal (None while it stands).

    `met` is the night the condition was first met; `shown_changes` the nights on which the diseases shown changed.
    """

    raised: date
    withdrawn: date | None = None
    reason: str | None = None
    met: date | None = None
    backlog: bool = False
    shown_changes: tuple[date, ...] = ()


@dataclass(frozen=True)
class Encounter:
    """A visit or stay; `end` is None for a single day."""

    start: date
    end: date | None = None
    kind: str = "visit"


@dataclass(frozen=True)
class NoteMark:
    """A note on the timeline. `scored` is False where it was left out (it names the disease, or is restricted)."""

    day: date
    kind: str
    scored: bool = True


@dataclass(frozen=True)
class LabMark:
    """A laboratory value on the timeline. `interpretation` is the v3 code as sent (N, H, HH, L, LL, A); None where not
    given.
    """

    day: date
    name: str
    value: str
    interpretation: str | None = None


@dataclass(frozen=True)
class SuspicionMark:
    """When suspicion or confirmation was first documented. `kind`: general / specific / confirmed."""

    night: date
    kind: str
    disease_name: str | None = None
    evidence_class: str | None = None
    quote: str | None = None


@dataclass(frozen=True)
class AlertedPatient:
    """One alerted patient, by pseudonymous key.

    `episodes` in order of time, at least one; the last is the one explained. `findings` are all findings about the
    patient, each at first appearance; those with `known_night` equal to the raise's night are shown as new. `diseases`
    are the K shown, by rank. `p_any` is the uncalibrated share of all listed rare diseases together when that list was
    shown (0 to 1): shown as a word, never as a figure. `percentage` is P(any listed rare disease is confirmed within 24
    months) in percent, where the site has events enough to say so, and `percentage_from` what it was checked on.
    `previous_p_note` says in words what the score did before ("below the threshold since 2024-02-11"), where known.
    """

    key: str
    sex: str | None
    birth_date: date | None
    entry_night: date
    last_night: date
    episodes: tuple[Episode, ...]
    diseases: tuple[RankedDisease, ...]
    findings: tuple[Finding, ...] = ()
    encounters: tuple[Encounter, ...] = ()
    notes: tuple[NoteMark, ...] = ()
    labs: tuple[LabMark, ...] = ()
    suspicions: tuple[SuspicionMark, ...] = ()
    common_explanations: tuple[CommonExplanation, ...] = ()
    death: date | None = None
    previous_p_note: str | None = None
    percentage: float | None = None
    percentage_from: str | None = None
    reading: ModelReading | None = None
    p_any: float | None = None

    def __post_init__(self) -> None:
        if not self.episodes:
            raise ValueError(f"patient {self.key} stands in the report without an episode")


@dataclass(frozen=True)
class PatientReport:
    """The patient-level report of a range of nights: every alerted patient. `screened` counts the patients screened."""

    nights: NightRange
    provenance: Provenance
    screened: int
    threshold: float
    shown_k: int
    patients: tuple[AlertedPatient, ...]
    identity: Mapping[str, str] = field(default_factory=dict)


# ----------------------------------------------------------------------------------------------------- summary report


@dataclass(frozen=True)
class CaseLine:
    """One at-risk case on the lead-time picture: days relative to its suspicion (negative is before).

    `order` is a pseudonymous number that stands in no table of the lake. `sustained` and `first` are the raises of the
    sustained and of the first-ever hit before suspicion, None where there was none; `entry` is the first known row.
    """

    order: int
    entry: int
    sustained: int | None = None
    first: int | None = None
    confirmed: int | None = None


@dataclass(frozen=True)
class RowCount:
    """Rows of one table; `patients` is the number of patients they belong to, None where that has no meaning."""

    table: str
    rows: int
    patients: int | None = None


@dataclass(frozen=True)
class QuarantineReason:
    """Lines of one resource type put into quarantine for one reason."""

    resource_type: str
    reason: str
    lines: int


@dataclass(frozen=True)
class Lateness:
    """How long after the event rows of one resource type could be known, in days, and how well that is founded.

    `rows_by_grade` counts rows by `available_grade` (version / filed / date).
    """

    resource_type: str
    rows: int
    median_days: float
    p90_days: float
    rows_by_grade: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BurdenClass:
    """Episodes (and the patients they belong to) of one class of OUTCOMES' burden."""

    name: str
    episodes: int
    patients: int


@dataclass(frozen=True)
class BurdenPoint:
    """Cumulative false alerts per 1,000 patients `months` after the first screened night, with its 95% interval."""

    months: float
    per_1000: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FlowStep:
    """A number of patient-disease pairs: `depth` 0 for a total, 1 for a part of it, 2 for a part of the part above."""

    label: str
    pairs: int
    depth: int = 0


@dataclass(frozen=True)
class ModelCounts:
    """What a language model read over the nights. `considered`, `read`, `sampled` count patients; the rest counts
    questions, quotes and tokens. `agreement` is the share of repeated questions with the same first disease.
    """

    model: str
    clinical_use: bool
    considered: int
    read: int
    sampled: int
    questions: int
    from_cache: int
    made: int
    retries: int
    usable: int
    quotes: int
    struck: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    repeated: int = 0
    agreement: float | None = None


@dataclass(frozen=True)
class Coverage:
    """What one evidence class of the naming set reaches; None is `not assessed` (no source), which is not zero."""

    evidence_class: str
    reached: int | None
    """Diseases that have a wording of this class; of a class that names none (referral, panel, thought), wordings."""


@dataclass(frozen=True)
class SummaryReport:
    """The summary of a range of nights: aggregates only.

    `outcome` holds the figures of EVALUATION's `replay --json` with their `ci95`
    (zebrawatch.reports.figures says what is read from it); empty where nothing could be measured. `patients` and
    `alerted` count screened and alerted patients. `duplication_rate` is the share of sentences copied forward.
    """

    nights: NightRange
    provenance: Provenance
    patients: int
    alerted: int
    threshold: float
    shown_k: int
    outcome: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[CaseLine, ...] = ()
    flow: tuple[FlowStep, ...] = ()
    burden: tuple[BurdenClass, ...] = ()
    cumulative: tuple[BurdenPoint, ...] = ()
    rows: tuple[RowCount, ...] = ()
    quarantine: tuple[QuarantineReason, ...] = ()
    lateness: tuple[Lateness, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    duplication_rate: float | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    reading: ModelCounts | None = None


@dataclass(frozen=True)
class ReplayReport:
    """A replay: its summary, on which landmarks patients were judged, and what only a replay shows.

    `incidence` holds Aalen-Johansen curves by event: (days since entry, share). `look_ahead` says in one sentence what
    edits after the fact may have added.
    """

    summary: SummaryReport
    landmarks: str
    incidence: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    look_ahead: str = "Look-ahead from edits: not assessable."
