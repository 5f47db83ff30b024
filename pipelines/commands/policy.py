"""`zebrawatch policy`: the alert policy's file: is it sound, what holds, what would a change have done, which threshold
gives a wanted burden."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, open_lake, settings
from zebrawatch.reports.figures import FEWEST_YEARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zebrawatch.outcome.thresholds import Measured, Stretch

app = typer.Typer(no_args_is_help=True, help="The alert policy: thresholds, suspensions, diseases never screened for.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).")],
    config: ConfigOption = None,
) -> None:
    """Say whether a policy file is sound; its first mistake in one sentence, and status 1, where it is not."""
    from connectors import knowledge_files
    from connectors.policies import policies_of

    found = settings(config)
    knowledge, _ = knowledge_files.compiled(
        knowledge_files.knowledge_files(found.knowledge.folder), found.state_folder / "knowledge"
    )
    history = policies_of(found, knowledge, str(file))
    print(f"{file} is sound: {len(history.entries)} entries, the last from {history.entries[-1].since}.")


@app.command()
def show(lake: LakeOption = None, config: ConfigOption = None) -> None:
    """Show the policy's history and what holds on the last published night."""
    from assets.policy_preview import held_on

    found = settings(config, lake__folder=str(lake) if lake else None)
    history, night = held_on(found, open_lake(lake))
    for entry in history.entries:
        mark = "holds" if entry is history.entry(night) else "     "
        since = "always" if entry.by == "zebrawatch.toml" else f"from {entry.since}"
        print(f"{mark}  {since}, by {entry.by}: {entry.why}")
        print(f"       {'; '.join(entry.in_words())}")


@app.command()
def preview(
    file: Annotated[Path, typer.Argument(help="Policy file whose newest entry is tried out.")],
    nights: Annotated[int, typer.Option(min=1, max=3650, help="How many of the last nights to fold again.")] = 90,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Show what the newest entry of a policy file would have done on the last nights. Nothing is written."""
    from assets.policy_preview import compare

    found = settings(config, lake__folder=str(lake) if lake else None)
    opened = open_lake(lake)
    told = compare(found, opened, file, nights)
    kind = opened.about().get("data_kind", "real")
    print(f"Nights {told.nights.first} to {told.nights.last}, {told.screened:,} patients ({kind} data)")
    print(f"{'':44} {'as it was':>10} {'as proposed':>12}")
    rows = {
        "alerts raised": (told.now.new_alerts, told.then.new_alerts),
        "alerts withdrawn": (sum(told.now.withdrawn.values()), sum(told.then.withdrawn.values())),
        "open at the end": (told.now.open_at_end, told.then.open_at_end),
    }
    for name, (before, after) in rows.items():
        print(f"{name:44} {before:10,} {after:12,}")
    print(f"{'new alerts a week':44} {told.per_week(told.now):10.2f} {told.per_week(told.then):12.2f}")
    _by_disease("raised, by disease first shown", told.now.raised, told.then.raised)
    _by_disease("withdrawn, by disease first shown", told.now.withdrawn, told.then.withdrawn)
    print("A preview is no estimate of hits or lead: it counts alerts. Nothing was changed.")
    if json_line:
        both = {"as_it_was": told.now, "as_proposed": told.then}
        print(
            json.dumps(
                {
                    "nights": str(told.nights),
                    "patients": told.screened,
                    **{
                        name: {
                            "raised": dict(effect.raised),
                            "withdrawn": dict(effect.withdrawn),
                            "open_at_end": effect.open_at_end,
                        }
                        for name, effect in both.items()
                    },
                }
            )
        )


@app.command()
def threshold(
    alerts_per_week: Annotated[
        float | None, typer.Option("--alerts-per-week", help="At most so many new alerts a week, in all.")
    ] = None,
    false_per_1000: Annotated[
        float | None,
        typer.Option("--false-per-1000", help="At most so many false alerts per 1,000 patients in 12 months."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Choose on the nights up to this one (default: the protocol's split)."),
    ] = None,
    upper: Annotated[
        bool, typer.Option("--upper", help="Keep the upper end of the 95 % interval to it, not only the estimate.")
    ] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Choose the threshold for a wanted burden on one stretch of nights, and judge it on the later ones.

    Stored scores are folded again, without Spark. Nothing is written: the entry to paste into the policy file is shown.
    """
    from assets.policy_threshold import propose
    from zebrawatch.outcome.thresholds import Wanted
    from zebrawatch.screen.policy import as_toml

    found = settings(config, lake__folder=str(lake) if lake else None)
    wanted = Wanted(alerts_per_week, false_per_1000, upper)
    opened = open_lake(lake)
    proposal = propose(found, opened, wanted, until.date() if until else None)
    choice = proposal.choice
    kind = opened.about().get("data_kind", "real")
    print(f"Wanted: {wanted.sentence()}. Threshold: {choice.threshold:g} ({kind} data)")
    columns = {"chosen on": choice.chosen, "judged on": choice.judged, "of whom new": choice.judged_newcomers}
    for name, rows in _compared(columns).items():
        print(f"{name:38} " + " ".join(f"{text:>26}" for text in rows))
    if choice.judged.followed_days_max < 365:
        print(
            f"Nobody was followed for 12 months on the judged nights: {choice.judged.followed_days_max} days at most."
        )
    if not choice.kept:
        print("The judged nights did not keep to the burden. Choose anew on more nights, or ask for less.")
    print("Alerts whose patient has been followed for less than two years, without a rare disease, count as false.")
    if (budget := proposal.entry.policy.budget) is not None:
        print(f"The budget of {budget} new alerts a night was not looked at: the threshold keeps to the burden alone.")
    print("Entry for the policy file; `by` is who decides:\n")
    print(as_toml(proposal.entry))
    if json_line:
        print(json.dumps({**asdict(choice), "kept": choice.kept, "fitted_through": choice.fitted_through}, default=str))


def _compared(columns: Mapping[str, Stretch]) -> dict[str, list[str]]:
    """Rows of figures by name, a cell for each stretch."""
    listed = list(columns.values())
    return {
        "": list(columns),
        "nights": [str(one.nights) for one in listed],
        "patients": [f"{one.patients:,}" for one in listed],
        "new alerts": [f"{one.alerts:,}" for one in listed],
        "new alerts a week": [_measured(one.alerts_per_week, 2) for one in listed],
        "patient-years": [f"{one.person_years:,.1f}" for one in listed],
        "false alerts per 1,000 in 12 months": [_rate(one, one.false_per_1000) for one in listed],
        "new alerts per 1,000 patient-years": [_rate(one, one.episodes_per_1000_py) for one in listed],
        "at-risk pairs shown before suspicion": [
            f"{one.prioritised} of {one.at_risk}" if one.at_risk else "-" for one in listed
        ],
    }


def _rate(over: Stretch, one: Measured) -> str:
    """A rate, where patients were followed long enough for one; its upper end could exceed an alert each otherwise."""
    return _measured(one, 1) if over.person_years >= FEWEST_YEARS else "too few patient-years"


def _measured(one: Measured, digits: int) -> str:
    if one.value is None:
        return "-"
    interval = f" [{one.ci95.low:.{digits}f}, {one.ci95.high:.{digits}f}]" if one.ci95 else ""
    return f"{one.value:.{digits}f}{interval}"


def _by_disease(title: str, now: Mapping[str, int], then: Mapping[str, int]) -> None:
    names = sorted({*now, *then}, key=lambda name: (-max(now.get(name, 0), then.get(name, 0)), name))
    if names:
        print(f"{title}:")
    for name in names:
        print(f"  {name[:42]:42} {now.get(name, 0):10,} {then.get(name, 0):12,}")
