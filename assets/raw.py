"""Raw: the night's NDJSON as it came, and what of it could not be used."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema

from assets.night_run import NightRun, context_of
from connectors.fhir_server import FhirServer, pull_server
from connectors.folder import fingerprint_folder, pull_folder
from connectors.manifest import Manifest
from connectors.pulls import RETRY, Pull
from connectors.review_database import read_verdicts
from zebrawatch.errors import ConfigurationError, LakeError, SourceError
from zebrawatch.fhir.decode import DECODED_SCHEMA, DecodeContext
from zebrawatch.schemas import EVENTS, NOTES, PATIENTS, QUARANTINE, REFERRED, VERDICTS
from zebrawatch.timeline.rows import (
    AWAITING,
    Known,
    PullClock,
    PullRows,
    awaited,
    decode,
    decode_again,
    quarantined,
    rows_of_pull,
    still_quarantined,
    whole_lines,
)


def raw_fhir(run: NightRun) -> dict[str, Any]:
    """Pull what is new at the source, whole or not at all; take back what a killed run left behind."""
    run.lake.migrate()
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
    if run.lake.taken_over or _only_retries(run):
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


def _only_retries(run: NightRun) -> bool:
    """Whether this run makes published nights again because of a retry: the source is asked on its own night."""
    last = run.lake.last_night()
    retries = any(pull.manifest.kind == RETRY for pull in run.new_pulls())
    return retries and last is not None and run.asked is not None and run.asked.last <= last.night


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


def _context(run: NightRun, pull: Pull) -> DecodeContext:
    return context_of(run.configuration, run.site_key, pull.name, pull.pulled_at, run.lake.scratch / "texts")


def decoded(run: NightRun, pull: Pull) -> DataFrame:
    """The decoded rows of a pull and of the quarantined lines it completes, made once."""
    place = run.lake.scratch / "decoded" / pull.name
    if not (place / "complete").is_file():
        shutil.rmtree(place, ignore_errors=True)
        run.say(f"Reading {pull.manifest.lines:,} lines of FHIR")
        decode(run.spark, pull.splits(), _context(run, pull)).write.partitionBy("kind").parquet(str(place / "rows"))
        _decode_again(run, pull, place)
        (place / "complete").touch()
    rows = _stored(run, place / "rows")
    return rows.unionByName(_stored(run, place / "again")) if (place / "again").is_dir() else rows


def _stored(run: NightRun, place: Path) -> DataFrame:
    schema = from_arrow_schema(DECODED_SCHEMA, prefer_timestamp_ntz=False)
    return run.spark.read.schema(schema).option("basePath", str(place)).parquet(str(place))


def _decode_again(run: NightRun, pull: Pull, place: Path) -> None:
    """Decode the quarantined lines that this pull may complete, or that a retry names."""
    if pull.name not in {new.name for new in run.new_pulls()}:
        return
    waiting = run.table(QUARANTINE).where(~F.col("pull").isin(_not_before(run, pull)))
    if pull.again:
        lines = waiting.where(F.col("pull").isin(*pull.again))
        lines = lines.where(F.col("reason").isin(*pull.reasons)) if pull.reasons else lines
    elif pc.any(pc.is_in(run.lake.arrow(QUARANTINE, ["reason"])["reason"], pa.array(AWAITING))).as_py():
        lines = awaited(_stored(run, place / "rows"), waiting)
    else:
        return
    lines.select(*QUARANTINE.schema.names).write.parquet(str(place / "lines"))
    again = decode_again(_lines(run, pull), _context(run, pull))
    again.write.partitionBy("kind").parquet(str(place / "again"))


def _lines(run: NightRun, pull: Pull) -> DataFrame:
    """The quarantined lines that a pull reads again."""
    schema = from_arrow_schema(QUARANTINE.schema, prefer_timestamp_ntz=False)
    return run.spark.read.schema(schema).parquet(str(run.lake.scratch / "decoded" / pull.name / "lines"))


def _not_before(run: NightRun, pull: Pull) -> list[str]:
    """Names of this pull and of those after it: what they brought was not known yet."""
    names = [each.name for each in run.pulls()]
    return names[names.index(pull.name) :]


def rows(run: NightRun, pull: Pull) -> PullRows:
    """What a pull adds to the timeline, judged once a run."""
    if pull.name in run.pull_rows:
        return run.pull_rows[pull.name]
    place = run.lake.scratch / "decoded" / pull.name / "judged" / run.run_id

    def keep(name: str, frame: DataFrame) -> DataFrame:
        if not (place / name / "_SUCCESS").is_file():
            frame.write.mode("overwrite").parquet(str(place / name))
        return run.spark.read.schema(frame.schema).parquet(str(place / name))

    made = rows_of_pull(decoded(run, pull), _known(run, pull), clock(run, pull), keep)
    run.pull_rows[pull.name] = made
    return made


def _known(run: NightRun, pull: Pull) -> Known:
    """What the pulls before this one left: published ones stand in the tables, others are taken up by this run."""
    later = _not_before(run, pull)
    new = [each for each in run.new_pulls() if each.name not in later]
    tables = {"patients": PATIENTS, "notes": NOTES, "events": EVENTS, "referred": REFERRED}
    frames = {name: run.table(table) for name, table in tables.items()}
    if len(later) + len(new) == len(run.pulls()):
        frames = {name: frame.limit(0) for name, frame in frames.items()}
    else:
        unpublished = [*later, *(each.name for each in new)]
        frames = {name: frame.where(~F.col("pull").isin(unpublished)) for name, frame in frames.items()}
    for each in new:
        added = rows(run, each)
        frames = {
            name: frame.unionByName(getattr(added, name).select(*frame.columns)) for name, frame in frames.items()
        }
    return Known(**frames)


def clock(run: NightRun, pull: Pull) -> PullClock:
    """By which clock a pull's rows go."""
    return PullClock(run.configuration.site.timezone, pull.seen_night, pull.backload)


def quarantine(run: NightRun) -> dict[str, Any]:
    """Every line that could not be used, whole, with the reason; lines that can be used now leave."""
    reasons: Counter[str] = Counter()
    left = 0
    for pull in run.new_pulls():
        unusable = rows(run, pull).unusable
        late = whole_lines(run.spark, pull.splits(), unusable, pull.name)
        run.keep(run.lake.write(quarantined(decoded(run, pull)).unionByName(late), QUARANTINE, pull.name))
        reasons.update(_reasons(run, [pull.name]))
        left += _settle(run, pull, unusable)
    return {
        "rows": sum(reasons.values()),
        "by_reason": dict(reasons),
        "used after all": left,
        "waiting_by_reason": dict(_reasons(run)),
    }


def _reasons(run: NightRun, pulls: Sequence[str] | None = None) -> Counter[str]:
    wanted = None if pulls is None else pc.field("pull").isin(pa.array(pulls, pa.string()))
    return Counter(run.lake.arrow(QUARANTINE, ["reason"], rows=wanted)["reason"].to_pylist())


def _settle(run: NightRun, pull: Pull, unusable: DataFrame) -> int:
    """Take the lines that were decoded again and could be used out of quarantine; how many they are.

    Those that could not stay, with the reason of now. Their bytes stay in `raw/` either way.
    """
    if not (run.lake.scratch / "decoded" / pull.name / "lines").is_dir():
        return 0
    lines = _lines(run, pull)
    kept = still_quarantined(lines, unusable, _context(run, pull))
    key = list(QUARANTINE.key)
    left = 0
    for name in sorted(row["pull"] for row in lines.select("pull").distinct().collect()):
        before = run.table(QUARANTINE).where(F.col("pull") == name)
        others = before.join(lines.select(*key), key, "left_anti")
        after = others.select(*QUARANTINE.schema.names).unionByName(kept.where(F.col("pull") == name))
        count = before.count()
        left += count - run.keep(run.lake.write(after, QUARANTINE, name)).rows
    return left


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
