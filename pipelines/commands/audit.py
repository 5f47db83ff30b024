"""`zebrawatch audit`: make a flag again, or look over a whole night, and write a bundle for the auditor."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, open_lake, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ConfigurationError

if TYPE_CHECKING:
    from assets.audit_bundle import Bundle, Reviewed
    from connectors.configuration import Configuration


def audit(
    what: Annotated[
        str,
        typer.Argument(help="A flag, as `SUBJECT:NIGHT` or by a patient's key; or the word `night`.", metavar="FLAG"),
    ],
    day: Annotated[str | None, typer.Argument(help="After `night`: the night, YYYY-MM-DD.", metavar="[DATE]")] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Make a flag again from its patient's raw lines and compare; `audit night DATE` looks over a night.

    Writes a folder with a page and its JSON into the lake. The status is 1 where what was made again differs.
    """
    found = settings(config, lake__folder=str(lake) if lake else None)
    opened = open_lake(lake)
    night = _night(what, day)
    with Progress() as progress:
        from assets import audit_bundle

        bundle = (
            audit_bundle.audit_night(found, opened, night, progress.say)
            if night
            else audit_bundle.audit_flag(
                found, opened, what, lambda flag, who: _reviewed(found, flag, who), progress.say
            )
        )
        _link_back(found, night or _last_change(bundle), bundle)
    print(bundle.verdict)
    for check in bundle.facts["checks"]:
        print(f"  {check['what']:12} {check['state']:12} {check['stored']}{_against(check)}")
    for line in bundle.facts.get("not_rebuilt", ()):
        print(f"  {line}")
    for name, (then, today) in bundle.facts.get("other_versions", {}).items():
        print(f"  another {name} today: {today} (then {then})")
    print(f"Bundle: {bundle.page}   (patient data: stays in the lake)")
    if json_line:
        print(json.dumps({"sound": bundle.sound, "verdict": bundle.verdict, "bundle": str(bundle.folder)}))
    if not bundle.sound:
        raise typer.Exit(1)


def _against(check: dict[str, str]) -> str:
    return f"  against  {check['again']}" if check["state"] == "differs" else ""


def _night(what: str, day: str | None) -> date | None:
    if what != "night":
        if day is not None:
            raise ConfigurationError("Give one flag, or `night` and a date: `zebrawatch audit night 2025-06-30`.")
        return None
    try:
        return date.fromisoformat(day or "")
    except ValueError:
        raise ConfigurationError(
            f"'{day or ''}' is not a date; give one as YYYY-MM-DD: `zebrawatch audit night 2025-06-30`."
        ) from None


def _last_change(bundle: Bundle) -> date:
    return date.fromisoformat(str(bundle.facts["changes"][-1]["night"]))


def _reviewed(found: Configuration, flag_id: str, subject_id: int) -> Reviewed:
    """Verdicts on a flag and looks at its patient, from the review application's database where there is one."""
    import sqlalchemy as sa

    from assets.audit_bundle import Reviewed
    from review.database import ACCOUNTS, AUDIT_TRAIL, VERDICTS, open_database, reading
    from zebrawatch.reports.audit import Deed

    url = found.review_database
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return Reviewed()
    engine = open_database(url)
    verdicts = (
        sa.select(VERDICTS, ACCOUNTS.c.name.label("reviewer"))
        .join(ACCOUNTS, ACCOUNTS.c.id == VERDICTS.c.account_id)
        .where(VERDICTS.c.flag_id == flag_id)
        .order_by(VERDICTS.c.id)
    )
    looks = sa.select(AUDIT_TRAIL).where(AUDIT_TRAIL.c.subject_id == subject_id).order_by(AUDIT_TRAIL.c.id)
    with reading(engine) as connection:
        given, seen = connection.execute(verdicts).all(), connection.execute(looks).all()
    decided = [
        Deed(
            f"{one.created_at:%Y-%m-%d %H:%M} UTC", one.reviewer,
            f"{one.verdict} ({one.stage}, {one.reading} reading{', confirmed for the EHR' if one.confirmed else ''})",
            one.reason,
        )
        for one in given
    ]  # fmt: skip
    looked = [Deed(f"{row.recorded:%Y-%m-%d %H:%M} UTC", f"{row.agent} ({row.role})", row.subtype) for row in seen]
    return Reviewed(True, tuple(decided), tuple(looked))


def _link_back(found: Configuration, night: date, bundle: Bundle) -> None:
    """Tell Dagster and MLflow of the bundle, so that their pages lead to it; they are told its place and no more."""
    import dagster as dg

    from connectors.lake import Lake
    from connectors.mlflow_runs import MlflowStore, tag_run
    from pipelines.runner import instance_of

    live = night >= found.site.first_live_night
    with instance_of(found) as instance:
        instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=dg.AssetKey(["published"] if live else ["past", "published"]),
                partition=str(night) if live else None,
                metadata={"audit": dg.MetadataValue.path(str(bundle.page)), "sound": bundle.sound},
            )
        )
    lake = Lake.open(found.lake_folder)
    nights = next(one.identity["nights"] for one in lake.nights() if one.night == night)
    result = lake.reports / str(nights) / "result.json"
    run_id = json.loads(result.read_text()).get("mlflow") if result.is_file() else None
    if run_id:
        state = found.state_folder
        store = MlflowStore(state / "mlflow.db", state / "mlflow-artifacts", "nights")
        tag_run(store, run_id, f"audit.{bundle.folder.name}", str(bundle.page))
