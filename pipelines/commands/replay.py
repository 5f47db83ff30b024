"""`zebrawatch replay`: what each past night would have known, how much earlier that was, and at what cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ConfigurationError, LakeError, SourceError
from zebrawatch.nights import LANDMARKS, Landmarks, ReplayPlan

if TYPE_CHECKING:
    from assets.replay import Corner
    from connectors.configuration import Configuration

KEYS = (
    "at_risk", "incident", "prioritised_share", "lead_days_median", "lead_days_mean_unconditional", "interval_share",
    "episodes_per_1000_py", "false_alerts_per_1000_12m", "person_years", "ppv_by_prevalence", "nulls", "leak_gate",
    "suspicion_recall", "ci95", "by_k", "report", "mlflow_run", "statement",
)  # fmt: skip


def replay(
    source: Annotated[str | None, typer.Option(help="Folder of FHIR NDJSON, or a lake (default: the lake).")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First night, YYYY-MM-DD (default: first row).")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last night, YYYY-MM-DD (default: last row).")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV of known diagnoses: patient,disease_id,suspected,confirmed.")
    ] = None,
    landmarks: Annotated[
        str,
        typer.Option(
            help="note: score on nights with something new; nightly: the same, since scores stand in between; "
            "monthly: on the last night of each month only."
        ),
    ] = "note",
    prove: Annotated[
        int, typer.Option(min=0, help="Prove N random nights: the night's own run against the replay, row for row.")
    ] = 0,
    sample_suspicions: Annotated[
        int, typer.Option(min=0, help="Write N notes for a person to read (patient data), to check the detector.")
    ] = 0,
    read_suspicions: Annotated[Path | None, typer.Option(help="Read such a file back, filled in.")] = None,
    fit_fusion: Annotated[
        bool, typer.Option("--fit-fusion", help="Fit how both arms are joined, from 100 labelled pairs on.")
    ] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Replay past nights in a lake of their own and say what came of it: lead, its cost, nulls and the leak gate.

    A replay of a lake begins with the rows that lake has read; a replay of a folder reads it. The same question again
    goes on where it was stopped, or says its answer at once.
    """
    from assets.replay import corner_of

    begun = time.monotonic()
    configuration = _settings(source, labels, lake, config)
    plan = _plan(first, last, landmarks)
    corner = corner_of(configuration, plan)
    with Progress() as progress:
        if _done(corner):
            progress.say("This replay is done; these are its figures.")
        else:
            from pipelines.runner import run_replay

            run_replay(configuration, plan, progress.say)
        proofs = _proofs(corner, prove, configuration.lake_folder, progress) if prove else None
    found = result(corner)
    say(found, time.monotonic() - begun)
    told: dict[str, Any] = {name: found.get(name) for name in (*KEYS, *BESIDE)}
    if proofs is not None:
        told["proof"] = proofs
        _say_proofs(proofs)
    told |= _suspicion_sample(corner, sample_suspicions, read_suspicions)
    if fit_fusion:
        told["fusion"] = _fit_fusion(corner)
    if json_line:
        print(json.dumps(told))
    if proofs is not None and proofs["differing"]:
        raise typer.Exit(1)


BESIDE = (
    "nights",
    "first_night",
    "last_night",
    "landmarks",
    "problems",
    "flow",
    "label_disagreements",
    "data",
    "lake",
    "seconds",
)


def _settings(source: str | None, labels: Path | None, lake: Path | None, config: Path | None) -> Configuration:
    """The configuration; where a lake is replayed and no other is named, the replay lies in that lake."""
    from assets.replay import is_lake

    if labels is not None and not labels.is_file():
        raise SourceError(f"There is no label file {labels}.")
    home = lake if lake is not None else Path(source) if source and is_lake(Path(source)) else None
    configuration = settings(
        config,
        source__labels=str(labels) if labels else None,
        lake__folder=str(home) if home else None,
        source__location=source,
    )
    if source is None and is_lake(configuration.lake_folder):
        configuration = settings(config, source__location=str(configuration.lake_folder))
    return configuration


def _plan(first: str | None, last: str | None, landmarks: str) -> ReplayPlan:
    if landmarks not in LANDMARKS:
        raise ConfigurationError(f"--landmarks is one of {', '.join(LANDMARKS)}, not '{landmarks}'.")
    chosen: Landmarks = landmarks
    plan = ReplayPlan(_night(first, "--from"), _night(last, "--to"), chosen)
    if plan.first and plan.last and plan.last < plan.first:
        raise ConfigurationError(f"--to {plan.last} lies before --from {plan.first}.")
    return plan


def _night(text: str | None, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigurationError(f"{option} is a night, YYYY-MM-DD, not '{text}'.") from None


def _done(corner: Corner) -> bool:
    from connectors.lake import Lake

    try:
        last = Lake.open(corner.folder).last_night()
    except LakeError:
        return False
    return last is not None and _figures_file(corner, str(last.identity["nights"])).is_file()


def _figures_file(corner: Corner, nights: str) -> Path:
    return corner.folder / "reports" / nights / "result.json"


def result(corner: Corner) -> dict[str, Any]:
    """The figures of a finished replay, under the keys of `--json`; LakeError where it is not finished."""
    from connectors.lake import Lake

    lake = Lake.open(corner.folder)
    last = lake.last_night()
    if last is None:
        raise LakeError("The replay has not been finished; run the same command again.")
    figures: dict[str, Any] = json.loads(_figures_file(corner, str(last.identity["nights"])).read_text())
    return {
        **figures,
        "first_night": str(lake.nights()[0].night),
        "last_night": str(last.night),
        "landmarks": corner.plan.landmarks,
        "data": lake.about().get("data_kind"),
        "lake": str(corner.folder),
        "mlflow_uri": corner.configuration.mlflow_uri,
    }


def say(found: Mapping[str, Any], seconds: float) -> None:
    """The end of a replay in words and figures."""
    from pipelines.commands.screen import say_outcome

    made = " (made data: machinery, not medicine)" if found["data"] == "made" else ""
    print(
        f"\nReplayed {found['nights']:,} nights, {found['first_night']} to {found['last_night']}, "
        f"landmarks {found['landmarks']}{made}"
    )
    say_outcome(found)
    _say_pairs(found)
    print(f"  time           {seconds:.0f} s")
    print("\nTo look closer:")
    print(f"  report         {found['report']}   (aggregates only)")
    print(f"  its lake       {found['lake']}   (patient data)")
    print(f"  history        mlflow ui --backend-store-uri {found['mlflow_uri']}")
    print(f"\n{found['statement']}")


def _proofs(corner: Corner, n: int, archive: Path, progress: Progress) -> dict[str, Any]:
    from assets.proof import look_ahead
    from assets.proof import prove as proved

    found = [proof.as_dict() for proof in proved(corner, n, progress.say)]
    return {
        "proofs": found,
        "differing": sum(proof["differing"] for proof in found),
        "rows": sum(table["rows"] for proof in found for table in proof["tables"]),
        "look_ahead": look_ahead(archive, corner),
    }


def _say_proofs(proofs: Mapping[str, Any]) -> None:
    held = sum(not proof["differing"] for proof in proofs["proofs"])
    print(
        f"\nProof: {held} of {len(proofs['proofs'])} nights equal the replay cut at them, row for row "
        f"({proofs['rows']:,} rows; {proofs['differing']:,} differ)"
    )
    for proof in proofs["proofs"]:
        for table in proof["tables"]:
            if table["only_in_replay"] or table["only_in_nightly"]:
                print(
                    f"  night {proof['night']}, {table['table']}: {table['only_in_replay']} rows only in the replay, "
                    f"{table['only_in_nightly']} only in the night's own run"
                )
    ahead = proofs["look_ahead"]
    if isinstance(ahead, str):
        print(f"  {ahead}")
        return
    for row in ahead:
        print(
            f"  look-ahead: {row['resource_type']} by {row['rule']}: {row['ahead']} of {row['rows']} rows earlier "
            f"than archived (median {row['days_median'] or 0:g} days), {row['edited']} never archived, "
            f"{row['overwritten']} archived and gone"
        )


def _suspicion_sample(corner: Corner, n: int, filled: Path | None) -> dict[str, Any]:
    """Write a sample of notes to read, or read one back."""
    from assets.suspicion_sample import read_sample, write_sample
    from connectors.lake import Lake

    told: dict[str, Any] = {}
    if n:
        file = write_sample(Lake.open(corner.folder), n)
        told["suspicion_sample"] = str(file)
        print(f"\nNotes to read: {file}   (patient data: stays in the lake)")
        print("  fill in suspicion_written (yes or no), then run this command again with --read-suspicions FILE")
    if filled is not None:
        told["suspicion_reading"] = read = read_sample(filled)
        low, high = read["ci95"]["recall"] or (None, None)
        recall = "not measurable" if read["recall"] is None else f"{100 * read['recall']:.1f}%"
        bounds = "" if low is None or high is None else f" (bounds {100 * low:.1f} to {100 * high:.1f}%)"
        print(f"\nRecall by {read['read']} notes read, {read['blank']} left blank: {recall}{bounds}")
    return told


def _fit_fusion(corner: Corner) -> dict[str, Any]:
    """Fit the fusion and say how a screen comes to use it."""
    from assets.fusion import fit

    fusion, place = fit(corner)
    print(f"\nFusion of both arms: fitted on {fusion.pairs} labelled pairs, records through {fusion.fitted_through}")
    print(f"  kept in        {place}")
    print("  to use it on later nights, name this file as reasoning.fusion in zebrawatch.toml")
    return {**fusion.to_json(), "file": str(place)}


def _say_pairs(found: Mapping[str, Any]) -> None:
    """The flow of pairs and every irregularity of the labels, counted."""
    flow = found.get("flow") or {}
    parts = [f"{count} {name}" for name, count in flow.items() if count and name != "pairs"]
    print(f"  pairs          {flow.get('pairs', 0)} read: {', '.join(parts) or 'none'}")
    for name, count in (found.get("problems") or {}).items():
        print(f"  labels         {count} x {name}")
    if found.get("label_disagreements"):
        print(f"  labels         {found['label_disagreements']} dated differently by the records")
