"""Reading the outcome's figures: the dict of EVALUATION's `replay --json`, checked, hidden where too small, and worded.

Keys read: `at_risk incident prioritised_share lead_days_median lead_days_mean_unconditional interval_share
episodes_per_1000_py false_alerts_per_1000_12m person_years ppv_by_prevalence nulls leak_gate suspicion_recall by_k` and
`ci95` (metric to [low, high]). A key that is missing or null is `not measured` on the page, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from zebrawatch.reports.suppression import share_may_show, shown_count

DAYS_A_MONTH = 365.25 / 12
YEAR_DAYS = 365
FEWEST_YEARS = 10.0
"""Patient-years from which a rate is shown; of fewer, an interval's upper end can exceed one alert a patient."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Headline:
    """One leading figure as printed: value and interval with unit, what it is counted over, what it means."""

    name: str
    value: str
    interval: str
    counted: str
    meaning: str

    @property
    def blank(self) -> bool:
        """Whether words stand in place of the figure."""
        return not any(letter.isdigit() for letter in self.value)


class Leading(NamedTuple):
    """A leading figure: its key in EVALUATION, and how it is called, measured and read."""

    key: str
    name: str
    unit: str
    meaning: str


LEADING = (
    Leading(
        "prioritised_share",
        "Prioritised before suspicion",
        "%",
        "an alert showing the disease was open on the eve of suspicion",
    ),
    Leading(
        "lead_days_median",
        "Lead, median",
        "days",
        "from the alert still open on the eve of suspicion to suspicion, where there was one",
    ),
    Leading("lead_days_mean_unconditional", "Lead, mean of all", "days", "a pair never prioritised counts as 0 days"),
    Leading(
        "interval_share",
        "Share of the interval",
        "%",
        "lead as part of the time from first record to suspicion, ratio of means",
    ),
    Leading(
        "false_alerts_per_1000_12m",
        "False alerts by 12 months",
        "per 1,000",
        "wrong list or no rare disease; an alert followed for less than 24 months counts as false",
    ),
    Leading(
        "episodes_per_1000_py",
        "New alert episodes",
        "per 1,000 patient-years",
        "right or wrong, without the first night's backlog",
    ),
)


@dataclass(frozen=True)
class NullLine:
    """One null beside the observed value, for one metric; `difference` is observed - null."""

    name: str
    value: float
    difference: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Against:
    """A metric against its nulls. `clear` tells whether the lower bound of (observed - worst null) is above zero."""

    metric: str
    title: str
    unit: str
    observed: float
    interval: Interval | None
    nulls: tuple[NullLine, ...]

    @property
    def worst(self) -> NullLine:
        return max(self.nulls, key=lambda line: line.value)

    @property
    def clear(self) -> bool | None:
        return None if self.worst.interval is None else self.worst.interval[0] > 0


NULL_NAMES = {
    "within_stratum": "disease and suspicion swapped among like cases",
    "random_timing": "the night's lists given to random patients at risk",
    "utilisation": "patients ranked by how much is written about them",
}


def number_of(outcome: Mapping[str, Any], key: str) -> float | None:
    """A finite number under `key`, or None."""
    return _number(outcome.get(key))


def interval_of(outcome: Mapping[str, Any], key: str) -> Interval | None:
    """The 95% interval of a metric from `ci95`, or None."""
    return _pair(_mapping(outcome.get("ci95")).get(key))


def prioritised_count(outcome: Mapping[str, Any]) -> int | None:
    """At-risk pairs that were prioritised: the share times its denominator, in whole pairs."""
    share, at_risk = number_of(outcome, "prioritised_share"), number_of(outcome, "at_risk")
    return None if share is None or at_risk is None else round(share * at_risk)


def cases_may_show(outcome: Mapping[str, Any], floor: int) -> bool:
    """Whether figures about the prioritised cases may be printed at all."""
    hits, at_risk = prioritised_count(outcome), number_of(outcome, "at_risk")
    return hits is None or at_risk is None or share_may_show(hits, at_risk, floor)


def headlines(outcome: Mapping[str, Any], patients: int, floor: int) -> tuple[Headline, ...]:
    """The six leading figures, in the order in which they should be read: gain, then cost."""
    show = cases_may_show(outcome, floor)
    hits, at_risk = prioritised_count(outcome), number_of(outcome, "at_risk")
    over_pairs = "no pair at risk" if not at_risk else f"over {at_risk:.0f} pairs at risk"
    counted = over_pairs if hits is None or not at_risk else f"{hits} of {at_risk:.0f} pairs at risk"
    of_hits = f"over {hits} prioritised pairs" if hits is not None else over_pairs
    counts = {
        "prioritised_share": (counted, show),
        "lead_days_median": (of_hits, show),
        "lead_days_mean_unconditional": (over_pairs, show),
        "interval_share": (over_pairs, show),
        "false_alerts_per_1000_12m": (_of_patients(outcome, patients, floor), _rate_may_show(outcome, patients, floor)),
        "episodes_per_1000_py": (_years(outcome), _episodes_may_show(outcome, floor)),
    }
    return tuple(_headline(outcome, leading, *counts[leading.key]) for leading in LEADING)


def rates_may_show(outcome: Mapping[str, Any]) -> bool:
    """Whether patients were followed long enough, together, for a rate to say anything (FEWEST_YEARS)."""
    years = number_of(outcome, "person_years")
    return years is None or years >= FEWEST_YEARS


def _headline(outcome: Mapping[str, Any], leading: Leading, counted: str, show: bool) -> Headline:
    value, interval = number_of(outcome, leading.key), interval_of(outcome, leading.key)
    if value is None:
        nobody = leading.key == "lead_days_median" and prioritised_count(outcome) == 0
        return Headline(leading.name, "no lead" if nobody else "not measured", "", counted, leading.meaning)
    if not show:
        return Headline(leading.name, "hidden", "", "rests on fewer than 11 patients", leading.meaning)
    if leading.unit.startswith("per 1,000") and not rates_may_show(outcome):
        short = f"fewer than {FEWEST_YEARS:.0f} patient-years were followed, too few for a rate"
        return Headline(leading.name, "not shown", "", short, leading.meaning)
    unit = leading.unit
    bounds = f"95% interval {worded(interval[0], unit)} to {worded(interval[1], unit)}" if interval else "no interval"
    return Headline(leading.name, f"{worded(value, unit)}{unit_after(unit)}", bounds, counted, leading.meaning)


def gain(value: float, unit: str) -> str:
    """A difference with its sign; shares differ by points."""
    sign = "+" if value > 0 else ""
    return f"{sign}{worded(value, unit)} {'points' if unit == '%' else unit}"


def unit_after(unit: str) -> str:
    """A unit as it follows its figure."""
    return unit if unit in ("", "%") else f" {unit}"


def worded(value: float, unit: str = "") -> str:
    """A figure with the digits it deserves; a share is given in per cent, without its sign."""
    scaled = value * 100 if unit == "%" else value
    digits = 0 if abs(scaled) >= 100 or (unit == "days" and abs(scaled) >= 10) else 1
    return f"{scaled:,.{digits}f}".replace("-", "−")


def burden_words(outcome: Mapping[str, Any], patients: int, floor: int) -> str:
    """False alerts by 12 months as a bare figure, under the same rules as the leading one."""
    value = number_of(outcome, "false_alerts_per_1000_12m")
    if value is None:
        return "not measured"
    if not _rate_may_show(outcome, patients, floor):
        return "hidden"
    return worded(value) if rates_may_show(outcome) else "not shown"


def _rate_may_show(outcome: Mapping[str, Any], patients: int, floor: int) -> bool:
    rate = number_of(outcome, "false_alerts_per_1000_12m") or 0.0
    return shown_count(round(rate * patients / 1000), floor) is not None


def _episodes_may_show(outcome: Mapping[str, Any], floor: int) -> bool:
    rate, years = number_of(outcome, "episodes_per_1000_py") or 0.0, number_of(outcome, "person_years") or 0.0
    return shown_count(round(rate * years / 1000), floor) is not None


def _of_patients(outcome: Mapping[str, Any], patients: int, floor: int) -> str:
    """Of how many patients, and how long anybody was followed where that is less than the 12 months of the figure."""
    told = _mapping(_mapping(outcome.get("burden")).get("false_alerts_per_1000_12m"))
    longest = number_of(told, "followed_days_max")
    short = f", followed for {longest:,.0f} days at most" if longest is not None and longest < YEAR_DAYS else ""
    count = f"fewer than {floor}" if shown_count(patients, floor) is None else f"{patients:,}"
    return f"of {count} patients{short}"


def _years(outcome: Mapping[str, Any]) -> str:
    years = number_of(outcome, "person_years")
    return "" if years is None else f"over {years:,.0f} patient-years"


class Metric(NamedTuple):
    """A metric with nulls: its keys in `nulls`, its key among the leading figures, how it is called and measured."""

    key: str
    difference: str
    leading: str
    title: str
    unit: str


METRICS = (
    Metric("share", "share_difference", "prioritised_share", "Prioritised before suspicion", "%"),
    Metric(
        "lead_days_mean",
        "lead_difference",
        "lead_days_mean_unconditional",
        "Lead, mean of all pairs at risk",
        "days",
    ),
)


def against_nulls(outcome: Mapping[str, Any], floor: int) -> tuple[Against, ...]:
    """Share and lead beside their nulls (zebrawatch.outcome.nulls.compare).

    Empty where nothing was measured or cases are too few to show.
    """
    if not cases_may_show(outcome, floor):
        return ()
    lines = (_against(outcome, metric) for metric in METRICS)
    return tuple(line for line in lines if line is not None)


def _against(outcome: Mapping[str, Any], metric: Metric) -> Against | None:
    nulls = _mapping(outcome.get("nulls"))
    observed = number_of(_mapping(nulls.get("observed")), metric.key)
    if observed is None:
        observed = number_of(outcome, metric.leading)
    entries = ((name, _mapping(entry)) for name, entry in nulls.items() if name != "observed")
    lines = tuple(line for name, entry in entries if (line := _null_line(name, entry, metric)) is not None)
    if observed is None or not lines:
        return None
    return Against(metric.key, metric.title, metric.unit, observed, interval_of(outcome, metric.leading), lines)


def _null_line(name: str, entry: Mapping[str, Any], metric: Metric) -> NullLine | None:
    value = number_of(entry, metric.key)
    if value is None:
        return None
    difference = number_of(entry, metric.difference)
    name = NULL_NAMES.get(name, name.replace("_", " "))
    return NullLine(name, value, difference, interval_of(entry, metric.difference))


@dataclass(frozen=True)
class PpvLine:
    """PPV at one prevalence: bounds with their interval, and how many alerts are reviewed for one early hit."""

    prevalence: str
    value: str
    interval: str
    reviewed: str


def ppv_lines(outcome: Mapping[str, Any], floor: int) -> tuple[PpvLine, ...]:
    """PPV by assumed prevalence (zebrawatch.outcome.burden.ppv_by_prevalence): undetermined alerts give two bounds."""
    if not cases_may_show(outcome, floor):
        return ()
    entries = _mapping(outcome.get("ppv_by_prevalence"))
    return tuple(_ppv_line(str(name), _mapping(entry)) for name, entry in entries.items())


def _ppv_line(name: str, entry: Mapping[str, Any]) -> PpvLine:
    bounds = _pair([entry.get("low"), entry.get("high")])
    if bounds is None:
        return PpvLine(name, "not measured", "", "")
    low, high = (_share(bound) for bound in bounds)
    interval = _pair(entry.get("ci95"))
    reviewed = number_of(entry, "number_needed_to_review")
    return PpvLine(
        name,
        low if low == high else f"{low} to {high}",
        f"{_share(interval[0])} to {_share(interval[1])}" if interval else "",
        "" if reviewed is None else f"{reviewed:,.0f}",
    )


def _share(value: float) -> str:
    return f"{100 * value:.2g}%" if 0 < value < 0.1 else f"{100 * value:.0f}%"


@dataclass(frozen=True)
class ShareLine:
    """Share and lead over one denominator or for one number of diseases shown."""

    name: str
    pairs: str
    share: str
    median: str
    mean: str


BESIDE = (
    ("lead", "at risk (primary)"),
    ("incident_pairs", "all incident pairs"),
    ("upper", "against the specific suspicion alone (upper)"),
    ("phenotype_names_counted", "names that are also findings counted as suspicion"),
)


def beside_lines(outcome: Mapping[str, Any], floor: int) -> tuple[ShareLine, ...]:
    """Figures by K, less rows whose hits differ from a shown one by 1 to floor - 1: they would tell a small cell."""
    shown: list[tuple[int, int]] = []
    lines = []
    for key, name in BESIDE:
        entry = _mapping(outcome.get(key))
        n, share = number_of(entry, "n"), number_of(entry, "prioritised_share")
        if n is None or share is None or not share_may_show(share * n, n, floor):
            continue
        pairs, hits = round(n), round(share * n)
        if all(_apart(pairs, other, floor) and _apart(hits, found, floor) for other, found in shown):
            shown.append((pairs, hits))
            lines.append(_share_line(name, f"{pairs:,}", entry))
    return tuple(lines)


def k_lines(outcome: Mapping[str, Any], floor: int) -> tuple[ShareLine, ...]:
    """Figures by K, without rows whose hits differ from a shown one by 1 to floor - 1: they would tell a small cell."""
    at_risk = number_of(outcome, "at_risk") or 0.0
    headline = prioritised_count(outcome)
    shown = [] if headline is None else [headline]
    lines = []
    for k, entry in _mapping(outcome.get("by_k")).items():
        share = number_of(_mapping(entry), "prioritised_share")
        if share is None:
            lines.append(ShareLine(str(k), "", entry if isinstance(entry, str) else "not measured", "", ""))
            continue
        hits = round(share * at_risk)
        if share_may_show(hits, at_risk, floor) and all(_apart(hits, other, floor) for other in shown):
            shown.append(hits)
            lines.append(_share_line(str(k), "", entry))
    return tuple(lines)


def _apart(one: int, other: int, floor: int) -> bool:
    return shown_count(abs(one - other), floor) is not None


def _share_line(name: str, pairs: str, entry: Mapping[str, Any]) -> ShareLine:
    def told(key: str, unit: str) -> str:
        value = number_of(entry, key)
        return "not measured" if value is None else worded(value, unit) + ("%" if unit == "%" else "")

    return ShareLine(
        name,
        pairs,
        told("prioritised_share", "%"),
        told("lead_days_median", "days"),
        told("lead_days_mean_unconditional", "days"),
    )


def gate_words(outcome: Mapping[str, Any]) -> tuple[str, bool | None]:
    """The leak gate in words (zebrawatch.outcome.leak.LeakGate), and whether it held; None where it was not run."""
    gate = _mapping(outcome.get("leak_gate"))
    leaks = number_of(gate, "leaks")
    if leaks is None:
        return "The leak gate was not run.", None
    named = {0: "no naming", 1: "one naming"}.get(round(leaks), f"{leaks:,.0f} namings")
    documents = number_of(gate, "documents") or 0.0
    missing = number_of(gate, "missing_documents") or 0.0
    words = (
        f"Leak gate: a second, independent detector found {named} of a disease in the raw text of the {documents:,.0f} "
        "documents that counted as evidence for it."
    )
    if missing:
        words += f" The text of {missing:,.0f} could not be searched."
    aside = [f"{count:,} as {why}" for why, count in _mapping(gate.get("set_aside")).items()]
    if aside:
        words += f" Set aside: {', '.join(aside)}."
    return words, leaks == 0 and not missing


def recall_words(outcome: Mapping[str, Any]) -> str:
    """The suspicion detector's recall: a share with its `ci95`, or the dict of zebrawatch.outcome.leak.recall."""
    details = _mapping(outcome.get("suspicion_recall"))
    value = number_of(details, "recall") if details else number_of(outcome, "suspicion_recall")
    interval = _pair(details.get("ci95")) or interval_of(outcome, "suspicion_recall")
    if value is None:
        return "Recall of the suspicion detector: not measured; every lead rests on it."
    n = number_of(details, "n")
    over = "" if n is None else f", {n:,.0f} planted namings"
    bounds = ""
    if interval is not None:
        bounds = f" (95% interval {worded(interval[0], '%')} to {worded(interval[1], '%')}{over})"
    return f"Recall of the suspicion detector: {worded(value, '%')}%{bounds}; what it misses lengthens the lead."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def _pair(value: Any) -> Interval | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = _number(value[0]), _number(value[1])
    return None if low is None or high is None else (low, high)
