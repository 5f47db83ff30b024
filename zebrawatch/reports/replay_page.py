"""The replay report: the summary's page with what only a replay shows. One self-contained HTML page of aggregates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from zebrawatch.reports import figures, replay_pictures
from zebrawatch.reports.checklists import RunFacts, tripod_ai, tripod_llm
from zebrawatch.reports.data import ReplayReport, SummaryReport
from zebrawatch.reports.pages import rendered, summary_context
from zebrawatch.reports.replay_pictures import GroupRow, OperatingPoint, ReliabilityPoint, Step
from zebrawatch.reports.suppression import floor_of, share_may_show, shown_count, shown_parts

MONTHS = 24
DAYS_A_MONTH = 365.25 / 12
LANDMARK_WORDS = {
    "nightly": "Every night is judged; between two scores the last one stands.",
    "note": "A patient is judged on nights on which something new became known; in between the last score stands.",
    "monthly": "Patients are judged on the last night of each month only.",
}
BREAKDOWNS = (
    ("by look-back", "by_look_back"), ("by the grade of the row that dated the suspicion", "by_rule_grade"),
    ("by organ system of the disease", "by_disease_group"), ("by disease", "by_disease"),
)  # fmt: skip
SUBGROUPS = {
    "sex": "sex", "age_band": "age", "race_ethnicity": "race and ethnicity", "language": "language", "payer": "payer",
    "note_density": "notes a year, in thirds",
}  # fmt: skip


class DiagramStep(NamedTuple):
    """A box of the flow diagram and what leaves beside it; None where a count is hidden."""

    label: str
    shown: int | None
    aside: tuple[tuple[str, int | None], ...]
    primary: bool = False


class Cell(NamedTuple):
    """One line of a breakdown, in words."""

    name: str
    pairs: str
    share: str
    median: str
    mean: str


def replay_report(report: ReplayReport) -> str:
    """The replay report as one HTML page. Counts of patients under 11 are hidden unless the data are made."""
    summary = report.summary
    floor = floor_of(summary.provenance.data_kind)
    outcome = summary.outcome
    rows = subgroup_rows(outcome, floor)
    points = operating_points(outcome, floor)
    reliable = reliability_points(outcome, floor)
    curves = incidence_steps(report, floor)
    shows = any(row.share is not None for row in rows)
    overall = (
        figures.number_of(outcome, "prioritised_share"),
        figures.number_of(outcome, "lead_days_mean_unconditional"),
    )
    context = summary_context(summary) | {
        "title": "Replay report",
        "landmarks_words": LANDMARK_WORDS[report.landmarks],
        "holes": _holes(outcome),
        "diagram": flow_diagram(outcome, floor),
        "incidence_picture": replay_pictures.incidence_curves(curves, MONTHS) if curves else None,
        "operating_picture": replay_pictures.operating_curve(points) if len(points) > 1 else None,
        "reliability_picture": replay_pictures.reliability(reliable) if reliable else None,
        "calibration_words": _calibration_words(outcome, floor),
        "subgroup_picture": replay_pictures.subgroup_plot(rows, *overall) if shows else None,
        "cell_floor": max(floor, 11),
        "breakdown_rows": breakdowns(outcome, floor),
        "look_ahead": report.look_ahead,
        "checklists": _checklists(summary, floor),
    }
    return rendered("replay.html", context)


def _holes(outcome: Mapping[str, Any]) -> list[str]:
    missing = outcome.get("holes") or []
    return [f"{len(missing)} stretches of nights are missing: {', '.join(missing[:5])}."] if missing else []


def _checklists(summary: SummaryReport, floor: int) -> list[tuple[str, str, Any]]:
    patients = shown_count(summary.patients, floor)
    facts = RunFacts(
        summary.provenance, f"nights {summary.nights}", f"under {floor}" if patients is None else f"{patients:,}",
        summary.threshold, summary.shown_k, summary.outcome, summary.identity, floor,
    )  # fmt: skip
    filled = "Filled from the run's own record; a blank is for whoever reports a study with it."
    return [("TRIPOD+AI", filled, tripod_ai(facts)), ("TRIPOD-LLM", filled, tripod_llm(facts))]


def flow_diagram(outcome: Mapping[str, Any], floor: int) -> list[DiagramStep]:
    """From pairs read to pairs prioritised, each exclusion by name; empty where a hidden count could be worked out."""
    flow = {str(name): int(count) for name, count in (outcome.get("flow") or {}).items()}
    at_risk, hits = figures.number_of(outcome, "at_risk"), figures.prioritised_count(outcome)
    if not flow.get("pairs") or at_risk is None:
        return []
    excluded = [(name.removeprefix("excluded: "), n) for name, n in flow.items() if name.startswith("excluded: ")]
    usable = flow["pairs"] - sum(n for _, n in excluded)
    incident = usable - flow.get("prevalent", 0)
    apart = [(name, flow.get(name, 0)) for name in ("first contact", "not in the knowledge")]
    both = incident - sum(n for _, n in apart)
    risk = round(at_risk)
    chain: list[tuple[str, int, list[tuple[str, int]]]] = [
        ("pairs of patient and disease read", flow["pairs"], excluded),
        ("usable", usable, [("prevalent: named or treated within 30 days of entry", flow.get("prevalent", 0))]),
        ("incident", incident, apart),
        ("scored before suspicion", both, [("found by the records only, in no label file", both - risk)]),
        ("at risk: the denominator", risk, [("never prioritised", risk - (hits or 0))]),
        ("prioritised before suspicion", hits or 0, []),
    ]
    for (_, _, leaving), (_, left, _) in pairwise(chain):
        if None in shown_parts([left, *(n for _, n in leaving)], floor):
            return []
    return [
        DiagramStep(label, n, tuple((name, count) for name, count in leaving if count), label.startswith("at risk"))
        for label, n, leaving in chain
    ]


def incidence_steps(report: ReplayReport, floor: int) -> dict[str, list[Step]]:
    """Curves in months since entry, up to MONTHS, thinned so that no step tells fewer than `floor` patients."""
    found: dict[str, list[Step]] = {}
    for name, points in report.incidence.items():
        kept: list[Step] = []
        for days, share in points:
            before = kept[-1][1] if kept else 0.0
            if days > MONTHS * DAYS_A_MONTH:
                break
            if shown_count(round((share - before) * report.summary.patients), floor) is not None and share > before:
                kept.append((days / DAYS_A_MONTH, share))
        found[name] = kept
    return found if any(found.values()) else {}


def operating_points(outcome: Mapping[str, Any], floor: int) -> list[OperatingPoint]:
    """Points of the threshold curve; of two whose hits differ by 1 to floor - 1, the first stands."""
    at_risk = figures.number_of(outcome, "at_risk") or 0.0
    found: list[OperatingPoint] = []
    hits: list[int] = []
    entries = [one for one in outcome.get("by_threshold") or () if isinstance(one, Mapping)]
    for entry in sorted(entries, key=lambda one: not one.get("protocol")):
        share, false = (figures.number_of(entry, name) for name in ("prioritised_share", "false_alerts_per_1000_12m"))
        if share is None or false is None:
            continue
        count = round(share * at_risk)
        if share_may_show(count, at_risk, floor) and all(
            shown_count(abs(count - other), floor) is not None for other in hits
        ):
            hits.append(count)
            found.append(OperatingPoint(float(entry["threshold"]), share, false, bool(entry.get("protocol"))))
    return found


def reliability_points(outcome: Mapping[str, Any], floor: int) -> list[ReliabilityPoint]:
    """Bins of the calibration that may be shown; none where nothing was confirmed at all."""
    calibration = outcome.get("calibration")
    if not isinstance(calibration, Mapping) or not figures.number_of(calibration, "events"):
        return []
    found = []
    for one in calibration.get("bins") or ():
        if share_may_show(one["happened"] * one["n"], one["n"], floor):
            interval = one.get("ci95")
            pair = (float(interval[0]), float(interval[1])) if interval else None
            found.append(ReliabilityPoint(int(one["n"]), float(one["stated"]), float(one["happened"]), pair))
    return found if len(found) > 1 else []


def _calibration_words(outcome: Mapping[str, Any], floor: int) -> str:
    calibration = outcome.get("calibration")
    if not isinstance(calibration, Mapping) or not calibration.get("n"):
        return "Calibration was not assessed: nobody was followed for 24 months after the landmark."
    events, n = int(calibration["events"]), int(calibration["n"])
    if not share_may_show(events, n, floor):
        return "Too few confirmed events to say how stated probabilities came true."
    words = (
        f"P(any listed rare disease) {calibration.get('landmark_days')} days after entry against confirmation within "
        f"24 months: {events:,} of {n:,} confirmed, {100 * calibration['stated_mean']:.2g}% stated on average, "
        f"{100 * calibration['happened_mean']:.2g}% true."
    )
    slope = calibration.get("slope")
    return (
        words if slope is None else f"{words} Slope {slope:.2f} (1 is perfect), Brier score {calibration['brier']:.3f}."
    )


def subgroup_rows(outcome: Mapping[str, Any], floor: int) -> list[GroupRow]:
    """Subgroups with their figures where these may be shown."""
    rows = []
    for key, groups in (outcome.get("by_subgroup") or {}).items():
        if not isinstance(groups, Mapping):
            continue
        shown = safe_cells(groups, outcome, floor)
        for name, cell in groups.items():
            kind = SUBGROUPS.get(key, key.replace("_", " "))
            if name not in shown:
                rows.append(GroupRow(kind, name, None))
                continue
            bounds = cell.get("ci95") or {}
            rows.append(
                GroupRow(
                    kind, name, int(cell["n"]), figures.number_of(cell, "prioritised_share"),
                    figures.interval_of(cell, "prioritised_share") if bounds else None,
                    figures.number_of(cell, "lead_days_mean_unconditional"),
                    figures.interval_of(cell, "lead_days_mean_unconditional") if bounds else None,
                )
            )  # fmt: skip
    return rows


def breakdowns(outcome: Mapping[str, Any], floor: int) -> list[tuple[str, list[Cell]]]:
    """Divisions of the at-risk pairs, those lines that may be shown."""
    divided = [(title, outcome.get(key)) for title, key in BREAKDOWNS]
    splits = outcome.get("by_split")
    if isinstance(splits, Mapping):
        for how, title in (("time", "by stretch of time"), ("patients", "by part of the patients")):
            divided.append((title, {name: parts[how] for name, parts in splits.items()}))
    single = outcome.get("single_version")
    if isinstance(single, Mapping):
        divided.append(("single versions", {"without pairs that rest on a row kept in one version": single["without"]}))
    found = []
    for title, cells in divided:
        if isinstance(cells, Mapping):
            lines = [_cell(name, cell) for name, cell in safe_cells(cells, outcome, floor).items()]
            if lines:
                found.append((title, lines))
    return found


def safe_cells(cells: Mapping[str, Any], outcome: Mapping[str, Any], floor: int) -> dict[str, Any]:
    """The cells of a division of the at-risk pairs that may be shown, less those from which a hidden one would follow.

    A cell counts `n` pairs and its hits; what is not shown must be nothing, or at least `floor`, in both.
    """
    total, all_hits = figures.number_of(outcome, "at_risk"), figures.prioritised_count(outcome)
    shown = {
        name: cell
        for name, cell in cells.items()
        if isinstance(cell, Mapping)
        and isinstance(cell.get("n"), int)
        and cell["n"] > 0
        and share_may_show(_hits(cell), cell["n"], floor)
    }
    if total is None or all_hits is None:
        return shown
    for name in sorted(shown, key=lambda one: int(shown[one]["n"])):
        rest = round(total) - sum(cell["n"] for cell in shown.values())
        hits = all_hits - sum(_hits(cell) for cell in shown.values())
        if all(shown_count(abs(count), floor) is not None for count in (rest, hits, rest - hits)):
            break
        del shown[name]
    return {name: shown[name] for name in cells if name in shown}


def _hits(cell: Mapping[str, Any]) -> int:
    return round((figures.number_of(cell, "prioritised_share") or 0.0) * int(cell["n"]))


def _cell(name: str, cell: Mapping[str, Any]) -> Cell:
    def told(key: str, unit: str) -> str:
        value = figures.number_of(cell, key)
        return "none" if value is None else figures.worded(value, unit) + ("%" if unit == "%" else "")

    return Cell(
        name, f"{cell['n']:,}", told("prioritised_share", "%"), told("lead_days_median", "days"),
        told("lead_days_mean_unconditional", "days"),
    )  # fmt: skip
