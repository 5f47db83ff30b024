"""`zebrawatch doctor`: is everything ready for a night? What is wrong, in words, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ZebrawatchError

if TYPE_CHECKING:
    from connectors.configuration import Configuration
    from connectors.doctor import Check


class ReadinessError(ZebrawatchError):
    """A check failed."""


def doctor(
    source: Annotated[
        str | None, typer.Option(help="Folder or FHIR server to check (default: source.location).")
    ] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Check this machine, the lake, the knowledge, Dagster's history and the source; keeps no records."""
    from connectors.machine import check_machine

    found = settings(config, source__location=source, lake__folder=str(lake) if lake else None)
    with Progress() as progress:
        checks = check_machine(found)
        checks.append(check_dagster(found))
        checks.append(check_reasoning(found))
        progress.say(f"Checking the source {_address(found.source.location)}")
        checks += check_source(found)
    for check in checks:
        print(f"{_mark(check):4}  {check.name:22} {check.says}" + (f" {check.next_step}" if check.next_step else ""))
    if json_line:
        print(
            json.dumps({"ready": all(check.passed for check in checks), "checks": [_plain(check) for check in checks]})
        )
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise ReadinessError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}.")


def check_source(found: Configuration) -> list[Check]:
    """The checks of the source, a server or a folder."""
    from connectors.configuration import Source
    from connectors.doctor import Check, check_folder, check_server
    from connectors.fhir_server import FhirServer

    folder = Path(found.source.location)
    if not found.source_is_server and folder == Path(Source().location) and not folder.exists():
        return [Check("folder", False, "the demo hospital is not made yet.", "`make demo` makes it.")]
    if not found.source_is_server:
        return check_folder(folder)
    try:
        return check_server(FhirServer.of_settings(found.source), found.source.resource_types)
    except ZebrawatchError as error:
        return [Check("server", False, str(error))]


def check_dagster(found: Configuration) -> Check:
    """Dagster's instance: its storage answers. None is made where there is none yet."""
    from connectors.doctor import Check

    if not (found.state_folder / "dagster").is_dir():
        return Check("Dagster", True, f"no history yet; the first run makes it in {found.state_folder / 'dagster'}.")
    try:
        from pipelines.runner import instance_of

        with instance_of(found) as instance:
            runs = instance.get_runs_count()
            quiet = not instance.telemetry_enabled
    except Exception as error:
        # whatever storage is configured may fail in a way of its own; its text may hold a password
        return Check("Dagster", False, f"its storage does not answer ({type(error).__name__}).", "See dagster.yaml.")
    if not quiet:
        return Check("Dagster", False, "telemetry is on.", "Set telemetry.enabled: false in dagster.yaml.")
    return Check("Dagster", True, f"{runs:,} runs in its history, telemetry off.")


def check_reasoning(found: Configuration) -> Check:
    """The reasoning arm: off, or its model and vLLM's environment are there."""
    from connectors.doctor import Check
    from connectors.reasoning_settings import profile_of

    if not found.reasoning.enabled:
        return Check("reasoning arm", True, "off; the evidence arm screens alone (docs/reasoning.md).")
    try:
        profile = profile_of(found.reasoning)
    except ZebrawatchError as error:
        return Check("reasoning arm", False, str(error))
    ask = "" if profile.clinical_use else "It is for trying out only: its answers are not clinically useful."
    return Check("reasoning arm", True, f"{profile.name} by {found.reasoning.backend}.", ask)


def _mark(check: Check) -> str:
    """`ok`, `FAIL`, or `ask` for what passed and still asks something of the reader."""
    return "FAIL" if not check.passed else "ask" if check.next_step else "ok"


def _plain(check: Check) -> dict[str, object]:
    return {"name": check.name, "status": _mark(check).lower(), "says": check.says, "next_step": check.next_step}


def _address(location: str) -> str:
    """A location as it may be shown: without query, user or password."""
    head, _, rest = location.partition("://")
    return f"{head}://{rest.partition('?')[0].rpartition('@')[2]}" if rest else location
