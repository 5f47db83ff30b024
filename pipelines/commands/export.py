"""`zebrawatch export`: the lake's contents in forms that other people's tools read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, open_lake, settings
from pipelines.commands.progress import Progress
from zebrawatch.errors import ConfigurationError, LakeError, ZebrawatchError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from connectors.configuration import Configuration
    from review.outbox import Letter
    from review.records import Snapshot

app = typer.Typer(no_args_is_help=True, help="Write the lake's contents in forms that other tools read.")


@app.command()
def meds(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    text: Annotated[bool, typer.Option("--text", help="Put the notes' text into text_value too.")] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Write the timeline as a MEDS data set, as of the last published night. It is patient data."""
    from connectors.meds_export import export_meds

    found = settings(config, lake__folder=str(lake) if lake else None)
    opened = open_lake(lake)
    with Progress() as progress:
        done = export_meds(
            opened, out, name=found.site.name, with_text=text, opted_out=_opted_out(found), progress=progress.say
        )
    rows = f"{done.rows:,} rows of {done.patients:,} patients, {done.notes:,} of them notes"
    print(f"Wrote {rows}, with {done.codes:,} codes, to {done.folder}.")
    if done.left_out:
        print(
            f"Left out: {done.left_out:,} rows without a code, or of patients who are restricted, opted out or unknown."
        )
    if json_line:
        told = {"folder": str(done.folder), "patients": done.patients, "rows": done.rows, "notes": done.notes}
        print(json.dumps({**told, "codes": done.codes, "shards": done.shards, "left_out": done.left_out}))


@app.command()
def ehr(
    send: Annotated[
        bool, typer.Option("--send/--dry-run", help="Write to the EHR; without it nothing is sent, only shown.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the pauses after failed attempts to end.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Try what the server had refused, too.")] = False,
    show: Annotated[
        Path | None, typer.Option("--out", help="Dry run: folder below the lake to put the transactions into.")
    ] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Write flags that a named clinician confirmed to the EHR, take back those that fell. A dry run unless --send."""
    from functools import partial

    from connectors.ehr import EhrServer
    from review.database import open_database
    from review.outbox import Sent, bundle_of, waiting
    from review.outbox import send as send_all
    from review.records import Records

    found = settings(config, lake__folder=str(lake) if lake else None)
    opened = open_lake(lake)
    records = Records(found, opened)
    snapshot = records.snapshot()
    if snapshot is None:
        raise LakeError("No night is published yet; `zebrawatch screen` makes some.")
    engine = open_database(found.review_database)
    _queue_fallen(engine, snapshot)
    compose = partial(bundle_of, records=records, snapshot=snapshot, to_portals=found.ehr.release_to_portals)
    if not send:
        letters = waiting(engine, failed_too=again)
        for letter in letters:
            print(f"  would {letter.action:7} {letter.key}  {_tried(letter)}")
            _shown(letter, compose, opened.root, show)
        print(f"{len(letters)} waiting. Nothing was sent; `zebrawatch export ehr --send` sends.")
        told = {"sent": False, "waiting": len(letters)}
    else:
        with EhrServer.of_settings(found.ehr) as server:
            sent: Sent = send_all(engine, server, compose, at_once=now, failed_too=again)
        for line in sent.lines:
            print(f"  {line}")
        print(f"{sent.done} done, {sent.waiting} waiting, {sent.failed} refused.")
        told = {"sent": True, "done": sent.done, "waiting": sent.waiting, "failed": sent.failed}
    if json_line:
        print(json.dumps(told))
    if told.get("failed") or (send and told["waiting"]):
        raise typer.Exit(1)


def _queue_fallen(engine: Engine, snapshot: Snapshot) -> None:
    """Put retractions of flags that have fallen since into the outbox."""
    from review.episodes import alerts_on
    from review.readings import retract_fallen

    retract_fallen(engine, alerts_on(snapshot, snapshot.night))


def _tried(letter: Letter) -> str:
    return (
        f"tried {letter.attempts} times, next {letter.due:%Y-%m-%d %H:%M} UTC" if letter.attempts else "not yet tried"
    )


def _shown(letter: Letter, compose: Callable[[Letter], dict[str, Any]], lake: Path, folder: Path | None) -> None:
    """Compose a letter, so that a dry run finds what would fail; keep it where a folder in the lake is named."""
    if letter.action != "write":
        return
    try:
        bundle = compose(letter)
    except ZebrawatchError as error:
        print(f"    {error}")
        return
    if folder is not None:
        place = (lake / folder).resolve()
        if not place.is_relative_to(lake.resolve()):
            raise ConfigurationError("--out must lie in the lake: the transactions hold patient data.")
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place / f"{letter.key}.json").write_text(json.dumps(bundle, indent=1, ensure_ascii=False) + "\n")


def _opted_out(found: Configuration) -> frozenset[int]:
    """Pseudonymous keys of the patients in policy.opt_out_file; ConfigurationError where it cannot be read."""
    from connectors.configuration import site_key
    from zebrawatch.fhir.subjects import subject_id_of

    listed = found.policy.opt_out_file
    if not listed:
        return frozenset()
    try:
        names = Path(listed).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"The opt-out list {listed} cannot be read (policy.opt_out_file).") from None
    key = site_key(found)
    return frozenset(subject_id_of(name, key) for name in names)
