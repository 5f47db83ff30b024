"""Raw: the night's NDJSON as it came, and what of it could not be used."""

from __future__ import annotations

import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from assets.night_run import NightRun, Pull
from connectors.fhir_server import FhirServer, pull_server
from connectors.folder import fingerprint_folder, pull_folder
from connectors.manifest import Manifest
from connectors.review_database import read_verdicts
from zebrawatch.errors import ConfigurationError, LakeError, SourceError
from zebrawatch.fhir.decode import DecodeContext
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, QUARANTINE, VERDICTS
from zebrawatch.timeline.rows import PullClock, PullRows, decode, quarantined, rows_of_pull, whole_lines
from zebrawatch.timeline.splits import Split, splits_of


def raw_fhir(run: NightRun) -> dict[str, Any]:
    """Pull what is new at the source, whole or not at all; take back what a killed run left behind."""
    strayed = run.lake.recover()
    if strayed:
        run.say(f"An earlier run ended half-way; taken back: {', '.join(strayed)}.")
    pull = _pull(run)
    if pull is None:
        source = run.lake.taken_over.get("lake")
        note = f"rows taken over from {source}" if source else "nothing new at the source"
        return {"files": 0, "lines": 0, "bytes": 0, "note": note}
    manifest = pull.manifest
    return {
        "pull": pull.name,
        "kind": manifest.kind,
        "data": manifest.data_kind,
        "files": len(manifest.files),
        "lines": manifest.lines,
        "bytes": manifest.bytes,
        "lines_by_type": manifest.lines_by_type(),
        "notices": list(manifest.notices),
    }


def _pull(run: NightRun) -> Pull | None:
    pulls = run.pulls()
    if run.lake.taken_over:
        return None
    arriving = run.lake.raw / f".arriving-{uuid.uuid4().hex[:8]}"
    if run.configuration.source_is_server:
        since = max((pull.manifest.transaction_time for pull in pulls if pull.manifest.transaction_time), default=None)
        manifest = _from_server(run, run.lake.raw / ".arriving-server", since)
        arriving = run.lake.raw / ".arriving-server"
    else:
        folder = Path(run.configuration.source.location)
        state = fingerprint_folder(folder)
        if any(pull.manifest.source_state == state for pull in pulls):
            return None
        manifest = pull_folder(folder, arriving, progress=run.say, need_patients=not pulls)
    if any(pull.manifest.fingerprint == manifest.fingerprint for pull in pulls):
        shutil.rmtree(arriving)
        return None
    _check_kind(run, manifest)
    pull = run.describe_pull(arriving, manifest, backload=not pulls)
    name = f"{pull.seen_night}-{manifest.fingerprint[:12]}"
    arriving.rename(run.lake.raw / name)
    return next(found for found in run.pulls() if found.name == name)


def _from_server(run: NightRun, destination: Path, since: datetime | None) -> Manifest:
    source = run.configuration.source
    return pull_server(
        FhirServer.of_settings(source), destination, since=since, resource_types=source.resource_types, progress=run.say
    )


def _check_kind(run: NightRun, manifest: Manifest) -> None:
    """Made and real records never share a lake: figures of the one would pass for the other."""
    before = run.lake.about().get("data_kind")
    if before and before != manifest.data_kind:
        raise LakeError(
            f"The lake in {run.lake.root} holds {before} data and the source is {manifest.data_kind}: use another lake "
            "(--lake DIR)."
        )
    run.lake.describe(data_kind=manifest.data_kind, source=manifest.source, site=run.configuration.site.name)


# -- decoding: once a pull, kept in the lake's scratch until the night is published ------------------------------------


def splits(pull: Pull) -> list[Split]:
    """Splits of a pull's files."""
    return splits_of(pull.folder, [file.name for file in pull.manifest.files])


def decoded(run: NightRun, pull: Pull) -> Any:
    """The decoded rows of a pull, made once."""
    place = run.lake.scratch / "decoded" / pull.name
    if not (place / "complete").is_file():
        shutil.rmtree(place, ignore_errors=True)
        run.say(f"Reading {pull.manifest.lines:,} lines of FHIR")
        configuration = run.configuration
        context = DecodeContext(
            pull=pull.name,
            site_key=run.site_key,
            zone=configuration.site.timezone,
            pulled_at=pull.pulled_at,
            availability=configuration.availability,
            validate_share=configuration.conformance.share,
        )
        decode(run.spark, splits(pull), context).write.partitionBy("kind").parquet(str(place / "rows"))
        (place / "complete").touch()
    return run.spark.read.parquet(str(place / "rows"))


def rows(run: NightRun, pull: Pull) -> PullRows:
    """What a pull adds to the timeline."""
    patients, notes, events = (run.table(table).where(f"pull <> '{pull.name}'") for table in (PATIENTS, NOTES, EVENTS))
    known = PullRows(patients, notes, events, run.table(QUARANTINE))
    return rows_of_pull(
        decoded(run, pull), known, PullClock(run.configuration.site.timezone, pull.seen_night, pull.backload)
    )


def quarantine(run: NightRun) -> dict[str, Any]:
    """Every line that could not be used, whole, with the reason."""
    reasons: dict[str, int] = {}
    for pull in run.new_pulls():
        late = whole_lines(run.spark, splits(pull), rows(run, pull).unusable, pull.name)
        run.keep(run.lake.write(quarantined(decoded(run, pull)).unionByName(late), QUARANTINE, pull.name))
        counts = run.lake.arrow(QUARANTINE, ["reason", "pull"])
        for row in counts.group_by(["pull", "reason"]).aggregate([([], "count_all")]).to_pylist():
            if row["pull"] == pull.name:
                reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["count_all"]
    return {"rows": sum(reasons.values()), "by_reason": reasons}


def verdicts(run: NightRun) -> dict[str, Any]:
    """What reviewers decided so far, from the application's database: it trains triage, never a probability."""
    try:
        given = read_verdicts(run.configuration.review_database, run.zone)
    except ConfigurationError as error:
        run.say(f"{error} The verdicts of the last run stand.")  # the screen does not wait for the application
        return {"rows": 0, "note": "the review database could not be read; the last snapshot stands"}
    if given is None:
        return {"rows": 0, "note": "no review application has run yet"}
    run.keep(run.lake.write_snapshot(given, VERDICTS))
    counts = given.group_by("verdict").aggregate([([], "count_all")]).to_pylist()
    return {"rows": given.num_rows, "by_verdict": {row["verdict"]: row["count_all"] for row in counts}}


def check_usable(run: NightRun) -> None:
    """SourceError where a pull brought lines and none of them is of a usable patient."""
    if run.lake.exists(PATIENTS) and run.lake.arrow(PATIENTS, ["subject_id"]).num_rows == 0:
        raise SourceError("No Patient of the source could be used; `zebrawatch quarantine list` says why.")
