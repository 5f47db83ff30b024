"""The two pages, rendered from plain data: `patient_report` (stays in the lake) and `summary_report` (aggregates)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zebrawatch.evidence.explanation import NextTest
from zebrawatch.nights import NightRange
from zebrawatch.reports import figures, pictures, reference
from zebrawatch.reports.data import (
    AlertedPatient,
    BurdenClass,
    BurdenPoint,
    CaseLine,
    Contribution,
    Episode,
    Finding,
    FlowStep,
    PatientReport,
    RankedDisease,
    RowCount,
    SummaryReport,
)
from zebrawatch.reports.risk import MEANING, alert_risk, percent
from zebrawatch.reports.statement import statement
from zebrawatch.reports.suppression import floor_of, share_may_show, shown_apart, shown_count, shown_parts
from zebrawatch.reports.timeline import mark_name, timeline

TEMPLATES = Path(__file__).with_name("templates")
QUOTE_CONTEXT = 240
"""Characters of a sentence shown on either side of a quote."""
FEWEST_POINTS = 4
GENES_NAMED = 4
MONTH = 30
"""Days to which lead-time lines of real people are rounded."""


def patient_report(report: PatientReport) -> str:
    """The patient-level report as one self-contained HTML page. Holds patient data: write it into the lake only."""
    length = _key_length([patient.key for patient in report.patients])
    views = sorted((_view(patient, length) for patient in report.patients), key=_place)
    page = _environment().get_template("patients.html").render(
        report=report,
        nights=_nights_in_words(report.nights),
        nights_shown=_nights_shown(report.nights),
        views=views,
        tally=_tally(report, views),
        most_score=max([view.first.log10_lr for view in views if view.first] + [0.1]),
        risk_meaning=MEANING,
        statement=statement(report.provenance),
        style=_style(),
    )  # fmt: skip
    return _encodable(page)


def summary_report(report: SummaryReport) -> str:
    """The summary as one self-contained HTML page. Counts of patients under 11 are hidden unless the data are made."""
    return rendered("summary.html", summary_context(report))


def rendered(template: str, context: Mapping[str, Any]) -> str:
    """A page of a template in this folder."""
    return _encodable(_environment().get_template(template).render(**context))


def summary_context(report: SummaryReport) -> dict[str, Any]:
    """What summary.html shows, suppressed and in words."""
    floor = floor_of(report.provenance.data_kind)
    picture, note = _lead_picture(report, floor)
    flow = shown_flow(report.flow, floor)
    curve = shown_points(report.cumulative, report.patients, floor)
    return {
        "title": "Screen summary",
        "report": report,
        "nights": _nights_in_words(report.nights),
        "nights_shown": _nights_shown(report.nights),
        "opening": _opening(report, floor),
        "caution": _caution(report.provenance.data_kind),
        "suppression": _suppression(floor),
        "headlines": figures.headlines(report.outcome, report.patients, floor),
        "lead_picture": picture,
        "lead_note": note,
        "flow": flow,
        "flow_conflict": _flow_conflict(flow, report.outcome),
        "against": figures.against_nulls(report.outcome, floor),
        "no_nulls": _no_nulls(report, floor),
        "burden_picture": pictures.burden_curve(curve) if curve else None,
        "no_curve": _no_curve(report),
        "burden": shown_burden(report.burden, floor),
        "ppv": figures.ppv_lines(report.outcome, floor),
        "beside": figures.beside_lines(report.outcome, floor),
        "by_k": figures.k_lines(report.outcome, floor),
        "gate": figures.gate_words(report.outcome),
        "recall": figures.recall_words(report.outcome),
        "duplication": _duplication(report.duplication_rate),
        "model_patients": _model_patients(report, floor),
        "rows": _rows(report, floor),
        "thinned": len(curve) < len(report.cumulative),
        "floor": floor,
        "reference": reference.radar_beside(report.outcome, report.patients, floor),
        "took": None if report.seconds is None else f"The run took {_duration(report.seconds)}.",
        "statement": statement(report.provenance),
        "style": _style(),
    }  # fmt: skip


def render(template: str, **values: Any) -> str:
    """A page of this package's templates, with the style sheet that all share."""
    return _encodable(_environment().get_template(template).render(style=_style(), **values))


def _encodable(page: str) -> str:
    """The page without lone surrogates: notes may hold them, UTF-8 files may not."""
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        cuts=cut_quote,
        diverging_bar=pictures.diverging_bar,
        interval_mark=pictures.interval_mark,
        percent=percent,
        legend=_legend,
        risk=_risk,
        score_bar=pictures.score_bar,
        signed=signed,
        state=_state,
        timeline=timeline,
        top_of=_top_of,
        gain=figures.gain,
        unit_after=figures.unit_after,
        weigh=weigh,
        worded=figures.worded,
    )
    return environment


@cache
def _style() -> Markup:
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _nights_in_words(nights: NightRange) -> str:
    return f"night {nights.first}" if nights.first == nights.last else f"nights {nights.first} to {nights.last}"


def _nights_shown(nights: NightRange) -> Markup:
    """The nights for a heading, where no date may break at its hyphens."""
    if nights.first == nights.last:
        return Markup('night <span class="nowrap">{}</span>').format(nights.first)
    spans = '<span class="nowrap">{}</span> to <span class="nowrap">{}</span>'
    return Markup("nights " + spans).format(nights.first, nights.last)


def signed(value: float) -> str:
    """A likelihood ratio's logarithm with its sign, two digits: +1.52, −0.18, 0.00."""
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def deciding(test: NextTest | None, genes: Sequence[str]) -> str:
    """What would decide about a disease, in words: the finding whose test tells most, and the genes tied to it."""
    told = []
    if test:
        label = test.label[0].lower() + test.label[1:] if test.label[1:2].islower() else test.label
        told.append(
            f"Look for {label}, which nobody has written about: found, it would add "
            f"{signed(test.log10_lr_if_present)}; surely absent, {signed(test.log10_lr_if_absent)}."
        )
    if genes:
        more = f" and {len(genes) - GENES_NAMED} more" if len(genes) > GENES_NAMED else ""
        told.append(f"Gene{'s' if len(genes) > 1 else ''} tied to it: {', '.join(genes[:GENES_NAMED])}{more}.")
    return " ".join(told)


def _legend(kind: str) -> Markup:
    return Markup(
        '<svg width="12" height="12" aria-hidden="true"><circle class="{}" cx="6" cy="6" r="4"/></svg>'
    ).format(kind)


# ----------------------------------------------------------------------------------------------- patient-level report


class Cut(NamedTuple):
    """A sentence cut at its quote."""

    before: str
    quote: str
    after: str


def cut_quote(finding: Finding) -> Cut:
    """The sentence around the quote, shortened where it runs on (QUOTE_CONTEXT).

    A span that does not lie in the sentence marks nothing rather than something wrong.
    """
    sentence = finding.sentence or finding.label
    if not (finding.sentence and 0 <= finding.start < finding.end <= len(sentence)):
        return Cut(_shortened(sentence), "", "")
    before, after = sentence[: finding.start], sentence[finding.end :]
    if len(before) > QUOTE_CONTEXT:
        before = "… " + before[-QUOTE_CONTEXT:].split(" ", 1)[-1]
    return Cut(before, _shortened(sentence[finding.start : finding.end]), _shortened(after))


def _shortened(text: str) -> str:
    if len(text) <= QUOTE_CONTEXT:
        return text
    return text[:QUOTE_CONTEXT].rsplit(" ", 1)[0] + " …"


class EventRow(NamedTuple):
    """A change in an alert or a documented suspicion, for the table under the timeline."""

    night: date
    what: str
    ground: str
    quote: str


class Weighed(NamedTuple):
    """A disease's contributions in two groups, the weightiest first, and their sums in words."""

    named: tuple[tuple[str, tuple[Contribution, ...]], ...]
    words: str


@dataclass(frozen=True)
class PatientView:
    """A patient with everything the template shows worked out."""

    patient: AlertedPatient
    episode: Episode
    who: str
    short_key: str
    quoted: frozenset[Finding]
    first: RankedDisease | None
    new: tuple[Finding, ...]
    """What became known on the night of the raise; what weighs most for the first disease first."""
    weighty: int
    """How many of `new` weigh anything for it."""
    changed: bool
    new_words: str
    events: tuple[EventRow, ...]
    most_for: float
    most_against: float


def view_of(patient: AlertedPatient) -> PatientView:
    """A patient's part of a page, with everything the template shows worked out."""
    return _view(patient, _key_length([patient.key]))


def _view(patient: AlertedPatient, length: int) -> PatientView:
    episode = patient.episodes[-1]
    first = patient.diseases[0] if patient.diseases else None
    new, weighty = _new(patient, first, episode.raised)
    weights = [part.log10_lr for disease in patient.diseases for part in disease.contributions] or [0.0]
    return PatientView(
        patient,
        episode,
        _who(patient, episode.raised),
        patient.key[:length],
        frozenset(part.finding for part in first.contributions if part.finding) if first else frozenset(),
        first,
        new,
        weighty,
        any(each.shown_changes for each in patient.episodes),
        _new_in_words(new, first, episode),
        _events(patient),
        max([*weights, 0.0]),
        min([*weights, 0.0]),
    )


def _new(patient: AlertedPatient, first: RankedDisease | None, night: date) -> tuple[tuple[Finding, ...], int]:
    """Findings that became known on a night, weightiest for the first disease first, and how many of them weigh."""
    weights: dict[Finding, float] = {}
    for part in first.contributions if first else ():
        if part.finding:
            weights[part.finding] = max(weights.get(part.finding, 0.0), abs(part.log10_lr))
    found = [finding for finding in patient.findings if finding.known_night == night]
    found.sort(key=lambda finding: -weights.get(finding, 0.0))
    return tuple(found), sum(weights.get(finding, 0.0) >= 0.005 for finding in found)


def _key_length(keys: Sequence[str]) -> int:
    """The fewest leading characters, eight at least, by which the keys can be told apart."""
    longest = max(map(len, keys), default=8)
    return next((n for n in range(8, longest) if len({key[:n] for key in keys}) == len(set(keys))), longest)


def _place(view: PatientView) -> tuple[bool, int, str]:
    return view.episode.withdrawn is not None, -view.episode.raised.toordinal(), view.patient.key


def _who(patient: AlertedPatient, day: date) -> str:
    sex = patient.sex or "sex unknown"
    return f"{sex}, {_age(patient.birth_date, day)}" if patient.birth_date else f"{sex}, age unknown"


def _age(born: date, day: date) -> str:
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    if years >= 2:
        return f"{years} y"
    return f"{max(0, (day.year - born.year) * 12 + day.month - born.month - (day.day < born.day))} months"


def _new_in_words(new: Sequence[Finding], first: RankedDisease | None, episode: Episode) -> str:
    count = "One finding" if len(new) == 1 else f"{len(new)} findings"
    became = f"{count} became known on {episode.raised}"
    if first is None:
        return f"{became}."
    gain = sum(part.log10_lr for part in first.contributions if part.finding in new)
    return f"{became}; {'it changes' if len(new) == 1 else 'they change'} {first.name} by {signed(gain)}."


def _state(view: PatientView) -> Markup:
    if view.episode.withdrawn is None:
        return Markup('<span class="stands">stands</span>')
    return Markup('<span>{}, <span class="nowrap">{}</span></span>').format(
        view.episode.reason or "withdrawn", view.episode.withdrawn
    )


def _risk(view: PatientView) -> Markup:
    """A word for the risk of any listed rare disease, which is what raised the alert."""
    if view.patient.p_any is None:
        return Markup('<span class="muted">not told</span>')
    word = alert_risk(view.patient.p_any)
    return Markup('<span class="risk risk-{}">{}</span>').format(word, word)


def _events(patient: AlertedPatient) -> tuple[EventRow, ...]:
    rows = []
    for episode in patient.episodes:
        ground = "backlog of the first screened night" if episode.backlog else "threshold passed"
        rows.append(EventRow(episode.raised, "Alert raised", ground, ""))
        if episode.withdrawn:
            rows.append(EventRow(episode.withdrawn, "Alert withdrawn", episode.reason or "", ""))
    for mark in patient.suspicions:
        ground = ", by ".join(part for part in (mark.disease_name, mark.evidence_class) if part)
        rows.append(EventRow(mark.night, mark_name(mark.kind), ground, mark.quote or ""))
    return tuple(sorted(rows, key=lambda row: row.night))


def weigh(disease: RankedDisease) -> Weighed:
    """Contributions for and against, each weightiest first; a weight that rounds to 0.00 stands with `no weight`."""
    parts = sorted(disease.contributions, key=lambda part: (-abs(part.log10_lr), part.label))
    along = tuple(part for part in parts if part.log10_lr >= 0.005)
    against = tuple(part for part in parts if part.log10_lr <= -0.005)
    neither = tuple(part for part in parts if abs(part.log10_lr) < 0.005)
    words = f"For: {_sum(along)}; against: {_sum(against)}."
    return Weighed((("Speaks for", along), ("Speaks against", against), ("No weight", neither)), words)


def _sum(parts: Sequence[Contribution]) -> str:
    return signed(sum(part.log10_lr for part in parts)) if parts else "nothing"


def _tally(report: PatientReport, views: Sequence[PatientView]) -> str:
    standing = sum(1 for view in views if view.episode.withdrawn is None)
    people = "patient was" if report.screened == 1 else "patients were"
    return (
        f"{report.screened:,} {people} screened; {len(views):,} had an alert, of which {standing:,} "
        f"{'stands' if standing == 1 else 'stand'} on {report.nights.last}."
    )


# ------------------------------------------------------------------------------------------------------- summary report


def _opening(report: SummaryReport, floor: int) -> str:
    patients = shown_count(report.patients, floor)
    screened = "fewer than 11" if patients is None else f"{patients:,}"
    if share_may_show(report.alerted, report.patients, floor):
        return f"{screened} patients screened, {report.alerted:,} of them alerted at least once."
    return f"{screened} patients screened; how many were alerted is hidden."


def _caution(data_kind: str) -> str:
    if data_kind == "made":
        return "Made data: these figures show that the machinery is right, not that medicine gains."
    if data_kind == "rendered":
        return "Rendered data: notes written from published cases test the method, not clinical benefit."
    return ""


def _suppression(floor: int) -> str:
    if floor <= 1:
        return "Small counts are shown, because nobody stands behind made data."
    return f"Counts under {floor} patients are hidden, and so is whatever would tell them."


def _lead_picture(report: SummaryReport, floor: int) -> tuple[Markup | None, str]:
    if not report.cases:
        return None, "No case was at risk in these nights, so there is no lead time to draw."
    if shown_count(len(report.cases), floor) is None:
        return None, f"Fewer than {floor} cases were at risk: lines of single cases are not drawn."
    hits = sum(1 for case in report.cases if case.sustained is not None)
    if not share_may_show(hits, len(report.cases), floor):
        return None, f"Too few cases with or without a lead (fewer than {floor}): lines of single cases are not drawn."
    grain = 1 if floor <= 1 else MONTH
    rounding = "" if grain == 1 else f" Days are rounded to {grain}."
    order = "Sorted by lead; case numbers stand in no other table."
    return pictures.lead_lines(drawable_cases(report.cases, floor), grain=grain), order + rounding


def drawable_cases(cases: Sequence[CaseLine], floor: int) -> list[CaseLine]:
    """The cases without marks by which fewer than `floor` of them could be told from the others."""
    confirmed = sum(1 for case in cases if case.confirmed is not None)
    only_first = sum(1 for case in cases if case.first is not None and case.sustained is None)
    if not share_may_show(confirmed, len(cases), floor):
        cases = [replace(case, confirmed=None) for case in cases]
    if not share_may_show(only_first, len(cases), floor):
        cases = [replace(case, first=None) for case in cases]
    return list(cases)


def _no_nulls(report: SummaryReport, floor: int) -> str:
    if not figures.cases_may_show(report.outcome, floor):
        return "Too few cases to show figures beside their nulls."
    return "The nulls were not computed for this run."


def _no_curve(report: SummaryReport) -> str:
    if report.cumulative:
        return "Too few false alerts to draw."
    return "The cumulative burden was not computed for this run."


def _duplication(rate: float | None) -> str:
    if rate is None:
        return "Duplication: not measured."
    return f"Duplication: {100 * rate:.1f}% of sentences were copied forward; they count from their first appearance."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _top_of(metric: figures.Against) -> float:
    """The right end of the shared scale of a metric and its nulls."""
    values = [metric.observed, *(line.value for line in metric.nulls), *(metric.interval or ())]
    return 1.0 if metric.unit == "%" else max(values) * 1.05 or 1.0


def shown_flow(flow: Sequence[FlowStep], floor: int) -> list[tuple[FlowStep, int | None]]:
    """The flow's steps with what may be shown of each: parts of a step are hidden together (suppression)."""
    shown: list[int | None] = [None] * len(flow)
    _show_level(flow, range(len(flow)), shown, floor)
    return list(zip(flow, shown, strict=True))


def _flow_conflict(flow: Sequence[tuple[FlowStep, int | None]], outcome: Mapping[str, Any]) -> bool:
    """Whether the flow hides the pairs at risk, which the leading figures show: then no part of it may stand."""
    at_risk = figures.number_of(outcome, "at_risk")
    return any(value is None and step.pairs == at_risk for step, value in flow)


def _show_level(flow: Sequence[FlowStep], span: range, shown: list[int | None], floor: int) -> None:
    depth = min((flow[index].depth for index in span), default=0)
    heads = [index for index in span if flow[index].depth == depth]
    counts = [flow[index].pairs for index in heads]
    seen = shown_parts(counts, floor) if depth else [shown_count(count, floor) for count in counts]
    for head, end, value in zip(heads, [*heads, span.stop][1:], seen, strict=True):
        shown[head] = value
        if value is not None:
            _show_level(flow, range(head + 1, end), shown, floor)


def _model_patients(report: SummaryReport, floor: int) -> list[int | None]:
    """Patients considered, read, and sampled, where these counts may stand beside the others on the page."""
    if report.reading is None:
        return []
    read = report.reading
    return shown_apart([report.patients, report.alerted, read.considered, read.read, read.sampled], floor)[2:]


def _rows(report: SummaryReport, floor: int) -> list[tuple[RowCount, int | None]]:
    """Tables' rows with the patients behind them, where that count may stand beside the ones already on the page."""
    counted = [row for row in report.rows if row.patients is not None]
    shown = shown_apart([report.patients, report.alerted, *(row.patients or 0 for row in counted)], floor)[2:]
    patients = dict(zip((row.table for row in counted), shown, strict=True))
    return [(row, patients.get(row.table)) for row in report.rows]


class ShownBurden(NamedTuple):
    """A burden class with what may be shown of it."""

    name: str
    episodes: int | None
    patients: int | None


def shown_burden(classes: Sequence[BurdenClass], floor: int) -> list[ShownBurden]:
    """Burden classes; a class hidden by its patients or by its episodes is hidden in both columns."""
    patients = shown_parts([row.patients for row in classes], floor)
    episodes = shown_parts([row.episodes for row in classes], floor)
    return [
        ShownBurden(row.name, None, None) if p is None or e is None else ShownBurden(row.name, e, p)
        for row, p, e in zip(classes, patients, episodes, strict=True)
    ]


def shown_points(points: Sequence[BurdenPoint], patients: int, floor: int) -> list[BurdenPoint]:
    """The curve's points, thinned so that no step between two shown ones counts 1 to floor - 1 patients.

    Empty where too few points remain to make a curve.
    """
    kept: list[BurdenPoint] = []
    for point in sorted(points, key=lambda p: p.months):
        before = kept[-1].per_1000 if kept else 0.0
        if shown_count(round((point.per_1000 - before) * patients / 1000), floor) is not None:
            kept.append(point)
    return kept if len(kept) >= min(FEWEST_POINTS, len(points)) and len(kept) > 1 else []
