"""`zebrawatch runs`: recorded runs beside each other, and the gate that a challenger must pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from zebrawatch.errors import ConfigurationError, LakeError, ZebrawatchError

if TYPE_CHECKING:
    import pandas as pd

    from connectors.mlflow_runs import MlflowStore, RecordedRun

app = typer.Typer(no_args_is_help=True, help="List recorded runs, compare two, promote a challenger.")
SHOWN = ("at_risk", "prioritised_share", "lead_days_mean_unconditional", "false_alerts_per_1000_12m")
EXPERIMENTS = ("nights", "replays")
RunArgument = Annotated[str, typer.Argument(help="A run's id (its first characters do) or the folder of its lake.")]


@app.command("list")
def list_runs(
    lake: LakeOption = None, config: ConfigOption = None, json_line: JsonOption = False,
    experiment: Annotated[str | None, typer.Option(help="nights or replays (default: both).")] = None,
) -> None:  # fmt: skip
    """List the finished runs, newest first."""
    from connectors.mlflow_runs import recorded_runs

    if experiment not in (None, *EXPERIMENTS):
        raise ConfigurationError(f"--experiment is one of {', '.join(EXPERIMENTS)}, not '{experiment}'.")
    found = recorded_runs(_store(lake, config), EXPERIMENTS if experiment is None else (experiment,))
    for run in found:
        figures = ", ".join(f"{name} {run.figures[name]:.3g}" for name in SHOWN if name in run.figures)
        print(f"{run.run_id[:8]}  {run.experiment:8} {run.began:%Y-%m-%d %H:%M}  {run.name}  {figures}")
    if not found:
        print("No run is recorded yet.")
    if json_line:
        print(json.dumps([_plain(run) for run in found]))


@app.command()
def compare(
    a: RunArgument, b: RunArgument, lake: LakeOption = None, config: ConfigOption = None, json_line: JsonOption = False
) -> None:
    """B against A over the at-risk pairs that both have: paired difference of share and lead, resampled by patient."""
    from zebrawatch.outcome.summary import compare_runs

    store = _store(lake, config)
    before, after = (_lead_time(store, name) for name in (a, b))
    try:
        found = compare_runs(before, after)
    except ValueError as error:
        raise RunsError(f"{error}.".capitalize()) from None
    _say(found)
    if json_line:
        print(json.dumps(found))


@app.command()
def promote(
    challenger: RunArgument,
    over: Annotated[str, typer.Option(help="The run it is to replace.")],
    frozen: Annotated[str, typer.Option(help="Last night on which anything of the challenger was fitted or chosen.")],
    lake: LakeOption = None, config: ConfigOption = None, json_line: JsonOption = False,
) -> None:  # fmt: skip
    """Give the challenger's models the alias `champion` where it passes the protocol's gate; else status 1."""
    from connectors.mlflow_runs import promote as give_alias
    from zebrawatch.outcome.promotion import promotion_gate
    from zebrawatch.outcome.protocol import Protocol

    store = _store(lake, config)
    try:
        since = date.fromisoformat(frozen)
    except ValueError:
        raise ConfigurationError(f"--frozen is a night, YYYY-MM-DD, not '{frozen}'.") from None
    verdict = promotion_gate(_lead_time(store, over), _lead_time(store, challenger), since, Protocol.read())
    if verdict.compared:
        _say(verdict.compared)
    run = _run_of(store, challenger)
    moved = give_alias(store, run.run_id, "champion") if verdict.passed and run else []
    print(f"Promoted: {', '.join(moved) or 'no registered model'}." if verdict.passed else "Not promoted:")
    for reason in verdict.reasons:
        print(f"  {reason}")
    if json_line:
        print(json.dumps({"passed": verdict.passed, "reasons": verdict.reasons, "models": moved, **verdict.compared}))
    if not verdict.passed:
        raise typer.Exit(1)


class RunsError(ZebrawatchError):
    """Runs that cannot be compared."""


def _store(lake: Path | None, config: Path | None) -> MlflowStore:
    from connectors.mlflow_runs import MlflowStore

    state = settings(config, lake__folder=str(lake) if lake else None).state_folder
    return MlflowStore(state / "mlflow.db", state / "mlflow-artifacts")


def _run_of(store: MlflowStore, name: str) -> RecordedRun | None:
    """The run whose id begins with `name`; RunsError where two do."""
    from connectors.mlflow_runs import recorded_runs

    found = [run for run in recorded_runs(store, EXPERIMENTS) if run.run_id.startswith(name)]
    if len(found) > 1:
        raise RunsError(f"'{name}' begins the ids of {len(found)} runs; give more of it.")
    return found[0] if found else None


def _lead_time(store: MlflowStore, name: str) -> pd.DataFrame:
    from connectors.lake import Lake
    from zebrawatch.schemas import LEAD_TIME

    folder = Path(name)
    if not (folder / "lake.json").is_file():
        run = _run_of(store, name)
        if run is None:
            raise RunsError(f"There is no run and no lake '{name}'; `zebrawatch runs list` lists them.")
        if run.lake is None or not (run.lake / "lake.json").is_file():
            raise RunsError(f"The lake of run {run.run_id[:8]} is gone; its pairs cannot be compared.")
        folder = run.lake
    lake = Lake.open(folder)
    if not lake.nights():
        raise LakeError(f"The lake in {folder} has no published night.")
    # dates as dates: nothing is fitted here
    frame: pd.DataFrame = lake.arrow(LEAD_TIME).to_pandas(date_as_object=True)
    return frame


def _say(found: Mapping[str, Any]) -> None:
    print(f"{found['pairs']} pairs at risk in both; {found['only_before']} only in A, {found['only_after']} only in B")
    for name, unit, scale in (("prioritised", "points", 100), ("lead_days", "days", 1)):
        low, high = found[name]["ci95"] or (None, None)
        bounds = "" if low is None or high is None else f" (95% interval {scale * low:+.1f} to {scale * high:+.1f})"
        print(f"  {name:12} B - A = {scale * found[name]['difference']:+.1f} {unit}{bounds}")


def _plain(run: RecordedRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "experiment": run.experiment, "name": run.name, "began": run.began.isoformat(),
        "figures": {name: run.figures[name] for name in SHOWN if name in run.figures},
        "lake": str(run.lake) if run.lake else None,
    }  # fmt: skip
