"""`zebrawatch screen`: run the screen over nights, and say what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.configuration import Configuration
from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ConfigurationError, LakeError
from zebrawatch.nights import NightRange


def screen(
    source: Annotated[str | None, typer.Option(help="Folder of FHIR NDJSON, or base URL of a FHIR server.")] = None,
    night: Annotated[str | None, typer.Option(help="One night, YYYY-MM-DD.")] = None,
    nights: Annotated[str | None, typer.Option(help="A range of nights, A..B.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV of known diagnoses: patient,disease_id,suspected,confirmed.")
    ] = None,
    reasoning: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="Let this language model read the shortlisted charts too (`make llm`)."),
    ] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Screen the nights (default: every night the records speak of) and say what was found."""
    begun = time.monotonic()
    configuration = settings(
        config,
        source__location=source,
        source__labels=str(labels) if labels else None,
        lake__folder=str(lake) if lake else None,
        reasoning__enabled="true" if reasoning else None,
        reasoning__profile=reasoning,
    )
    asked = _asked(night, nights)
    if configuration.reasoning.enabled:
        from connectors.reasoning_settings import profile_of

        profile_of(configuration.reasoning)  # a missing model is said before anything is read
    look_at_source(configuration)
    with Progress() as progress:
        if asked is None and _nothing_new(configuration):
            progress.say("Nothing is new at the source, and all its nights are screened.")
        else:
            _run(configuration, asked, progress)
    found = result(configuration)
    _say(found, time.monotonic() - begun)
    if json_line:
        print(json.dumps(found))


def look_at_source(configuration: Configuration) -> None:
    """Say what is wrong with a source folder before Dagster and Spark are started. SourceError, in one sentence."""
    from connectors.folder import fingerprint_folder

    if not configuration.source_is_server:
        fingerprint_folder(Path(configuration.source.location))


def _asked(night: str | None, nights: str | None) -> NightRange | None:
    if night and nights:
        raise ConfigurationError("Give --night or --nights, not both.")
    try:
        asked = NightRange.parse(night or nights or "") if night or nights else None
    except ValueError as error:
        raise ConfigurationError(f"{error}.") from None
    if night and asked is not None and len(asked) > 1:
        raise ConfigurationError(f"'{night}' is a range of nights; give it with --nights.")
    return asked


def _run(configuration: Configuration, asked: NightRange | None, progress: Progress) -> None:
    """The past as one range, then the live nights; both, where no nights are named and the records reach that far."""
    from connectors.lake import Lake
    from pipelines.runner import run_nights  # brings Dagster and Spark along, which takes seconds

    run_nights(configuration, asked, progress.say)
    if asked is None:
        lake = Lake.open(configuration.lake_folder, published=True)
        last, known = lake.last_night(), lake.last_known_night()
        if last is not None and known is not None and last.night < known:
            run_nights(
                configuration, NightRange(last.night.fromordinal(last.night.toordinal() + 1), known), progress.say
            )


def _nothing_new(configuration: Configuration) -> bool:
    """Whether the lake holds all of the source already: the same folder, unchanged, screened to its last night."""
    from connectors.folder import fingerprint_folder
    from connectors.lake import Lake
    from connectors.manifest import read_manifest

    if configuration.source_is_server:
        return False
    try:
        lake = Lake.open(configuration.lake_folder, published=True)
    except LakeError:
        return False
    nights, last = lake.nights(), lake.last_night()
    if last is None or any(night.stale for night in nights):
        return False
    state = fingerprint_folder(Path(configuration.source.location))
    pulls = [manifest for folder in lake.raw.iterdir() if (manifest := read_manifest(folder)) is not None]
    known = lake.last_known_night()
    same = last.identity.get("configuration") == configuration.digest()
    return same and any(pull.source_state == state for pull in pulls) and known is not None and last.night >= known


def result(configuration: Configuration) -> dict[str, Any]:
    """What the published nights say, as one object (the keys of `--json`)."""
    from connectors.lake import Lake
    from zebrawatch.schemas import FINDINGS, FLAGS, NOTES, PATIENTS, QUARANTINE

    lake = Lake.open(configuration.lake_folder, published=True)
    last = lake.last_night()
    if last is None:
        raise LakeError("No night is published yet.")
    folder = lake.reports / str(last.identity["nights"])
    figures: Mapping[str, Any] = json.loads((folder / "result.json").read_text())
    flags = lake.arrow(FLAGS, ["action"])["action"].to_pylist()
    wanted = (
        "at_risk", "incident", "prioritised_share", "lead_days_median", "lead_days_mean_unconditional",
        "interval_share",
        "episodes_per_1000_py", "false_alerts_per_1000_12m", "person_years", "ppv_by_prevalence", "nulls", "leak_gate",
        "suspicion_recall", "ci95", "by_k", "mlflow",
    )  # fmt: skip
    return {
        "nights": len(lake.nights()),
        "first_night": str(lake.nights()[0].night),
        "last_night": str(last.night),
        "patients": len(set(lake.arrow(PATIENTS, ["subject_id"])["subject_id"].to_pylist())),
        "notes": lake.arrow(NOTES, ["note_id"]).num_rows,
        "findings": lake.arrow(FINDINGS, ["hpo_id"]).num_rows,
        "quarantined": lake.arrow(QUARANTINE, ["reason"]).num_rows,
        "alerts": flags.count("raise"),
        **{key: figures.get(key) for key in wanted},
        "reasoning": figures.get("reasoning"),
        "data": lake.about().get("data_kind"),
        "report": str(folder / "patients.html"),
        "summary": str(folder / "summary.html"),
        "lake": str(lake.root),
        "mlflow_uri": configuration.mlflow_uri,
    }


def _say(found: Mapping[str, Any], seconds: float) -> None:
    """The end of a run in words and figures."""
    made = (
        " (made data: this shows that the machinery is right, not that medicine gains)"
        if found["data"] == "made"
        else ""
    )
    print(f"\nScreened {found['nights']:,} nights, {found['first_night']} to {found['last_night']}{made}")
    print(
        f"  records        {found['patients']:,} patients, {found['notes']:,} notes, {found['findings']:,} findings; "
        f"{found['quarantined']:,} lines in quarantine"
    )
    print(f"  alerts         {found['alerts']:,} raised")
    say_outcome(found)
    print(f"  time           {seconds:.0f} s")
    print("\nTo look closer:")
    print(f"  patients       {found['report']}   (patient data: stays in the lake)")
    print(f"  summary        {found['summary']}")
    print("  pipeline       dagster dev   (.venv/bin/dagster)")
    print(f"  history        mlflow ui --backend-store-uri {found['mlflow_uri']}")


def say_outcome(found: Mapping[str, Any]) -> None:
    """Burden, share, lead, nulls and the leak gate, in lines that `screen` and `replay` share."""
    rate = found["false_alerts_per_1000_12m"]
    print(
        f"  burden         {_number(rate)} false alerts per 1,000 patients in 12 months, "
        f"{_number(found['episodes_per_1000_py'])} episodes per 1,000 patient-years"
    )
    print(f"  pairs at risk  {found['at_risk'] or 0} (patient and later-suspected disease)")
    if found["at_risk"]:
        print(
            f"  prioritised    {_share(found['prioritised_share'])} before suspicion "
            f"{_interval(found, 'prioritised_share', 100, '%')}"
        )
        print(
            f"  lead           median {_number(found['lead_days_median'])} days among prioritised; "
            f"{_number(found['lead_days_mean_unconditional'])} days over all pairs "
            f"{_interval(found, 'lead_days_mean_unconditional', 1, ' days')}"
        )
        _say_nulls(found["nulls"])
    if found["reasoning"]:
        print(f"  language model {found['reasoning']}")
    gate = found["leak_gate"] or {}
    words = (
        f"{'passed' if gate.get('passed') else 'NOT passed'}: {gate.get('leaks', 0)} leaks" if gate else "not assessed"
    )
    print(f"  leak gate      {words} in {gate.get('documents', 0):,} scored documents")


def _say_nulls(nulls: Mapping[str, Any] | None) -> None:
    from zebrawatch.reports.figures import against_nulls

    for line in against_nulls({"nulls": nulls}, 0):
        worst = line.worst
        scale = 100 if line.unit == "%" else 1
        print(
            f"  against chance {line.title.lower()}: {scale * line.observed:.1f} {line.unit} observed, "
            f"{scale * worst.value:.1f} {line.unit} by the hardest null ({worst.name})"
        )


def _number(value: Any) -> str:
    return "not measured" if value is None else f"{value:,.1f}"


def _share(value: Any) -> str:
    return "not measured" if value is None else f"{100 * value:.1f}%"


def _interval(found: Mapping[str, Any], name: str, scale: float, unit: str) -> str:
    pair = (found.get("ci95") or {}).get(name)
    return f"(95% interval {scale * pair[0]:.1f} to {scale * pair[1]:.1f}{unit})" if pair and None not in pair else ""
