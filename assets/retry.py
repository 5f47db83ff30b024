"""Retry: quarantined lines read once more after a fix of code or configuration, from their untouched bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.night_run import context_of
from connectors.configuration import Configuration, site_key
from connectors.lake import Lake
from connectors.manifest import Manifest, fresh_partial, publish
from connectors.pulls import RETRY, Pull, pulls_of, write_clock
from zebrawatch.errors import LakeError
from zebrawatch.fhir.decode import DecodeContext, decode_lines
from zebrawatch.nights import NightRange
from zebrawatch.schemas import QUARANTINE


@dataclass(frozen=True)
class Retry:
    """What a retry is about to read: `lines` in quarantine (`readable` of them decode now), and the nights to make."""

    lines: int
    readable: int
    nights: NightRange | None


def prepare_retry(configuration: Configuration, reasons: Sequence[str]) -> Retry:
    """Put the quarantined lines with these reasons (all, where there are none) up for another reading.

    What waits becomes a pull of its own, without files: its lines are those of the quarantine. Lines of a source that
    held the past (a backload) become known on the night of their `available_at`, so that nights from there on are to be
    made again; lines of polled nights are known from the last published night, on which they are first seen in a form
    that can be used (DESIGN, "Time"). `nights` is None where no line decodes. LakeError where nothing is published.
    """
    lake = Lake.open(configuration.lake_folder)
    with lake.writing(configuration.lake.lock_wait_seconds):
        lake.recover()
        published = lake.nights()
        if not published:
            raise LakeError("No night is published yet; `zebrawatch screen` comes first.")
        last, now = published[-1].night, datetime.now(UTC)
        rows = _waiting(lake, reasons)
        backloads = {pull.name for pull in pulls_of(lake.raw) if pull.backload}
        context = context_of(configuration, site_key(configuration), RETRY, now)
        readable, firsts = 0, []
        for backload in (True, False):
            part = [row for row in rows if (row["pull"] in backloads) is backload]
            nights = [night for row in part if (night := _first_night(row["line"], context)) is not None]
            readable += len(nights)
            if nights:
                firsts.append(min(nights) if backload else last)
                _announce(lake, part, reasons, backload, last, now)
    first = max(min(firsts), published[0].night) if firsts else None
    return Retry(len(rows), readable, NightRange(min(first, last), last) if first else None)


def _waiting(lake: Lake, reasons: Sequence[str]) -> list[dict[str, Any]]:
    wanted = pc.field("reason").isin(pa.array(reasons, pa.string())) if reasons else None
    return list(lake.arrow(QUARANTINE, ["pull", "file", "line_number", "line"], rows=wanted).to_pylist())


def _first_night(line: bytes, context: DecodeContext) -> date | None:
    """The first night of a line's rows, by when they could be shown; None where the line is refused."""
    firsts = [context.pulled_at.date()]
    for batch in decode_lines([(0, line)], "", context):
        kind = batch.column("kind")[0].as_py()
        if kind == "quarantine":
            return None
        found = batch.column(kind).field("available_at") if kind in ("patient", "note", "event") else None
        if found is not None and (first := pc.min(found).as_py()) is not None:
            firsts.append(first.date())
    return min(firsts)


def _announce(
    lake: Lake, rows: Iterable[dict[str, Any]], reasons: Sequence[str], backload: bool, night: date, now: datetime
) -> None:
    digest = hashlib.sha256(now.isoformat().encode())
    pulls = set()
    for row in rows:
        digest.update(hashlib.sha256(row["line"]).digest())
        pulls.add(row["pull"])
    fingerprint = digest.hexdigest()
    destination = lake.raw / f"{night}-{RETRY}-{fingerprint[:12]}"
    manifest = Manifest("quarantine", RETRY, str(lake.about().get("data_kind", "real")), None, (), fingerprint)
    again = Pull(
        destination.name, destination, manifest, night, backload, now, tuple(sorted(pulls)), tuple(sorted(reasons))
    )
    partial = fresh_partial(destination)
    write_clock(partial, again)
    publish(partial, destination, manifest)
