"""Proving a replay: the engine twice over random sub-cohorts, once on everything, once on what a night could hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow.compute as pc

from assets import evidence, screen
from assets.night_run import NightRun
from assets.replay import Corner, copy_manifests
from connectors.lake import Lake
from zebrawatch.nights import NightRange
from zebrawatch.outcome.proof import NOT_ASSESSABLE, Difference, Draw, difference, draws, measured_look_ahead
from zebrawatch.schemas import CANDIDATES, EVENTS, FLAGS, NOTES, PATIENTS, SUSPICIONS

STEPS = (
    evidence.findings, evidence.namings, evidence.background, evidence.candidates, screen.suspicions, screen.flags,
)  # fmt: skip
COMPARED = (CANDIDATES, SUSPICIONS, FLAGS)
SEED = 7


@dataclass(frozen=True)
class Proved:
    """One proof: the night, how many patients, and each table's differences."""

    night: date
    patients: int
    tables: tuple[Difference, ...]

    @property
    def differing(self) -> int:
        """Rows that differ, in all tables."""
        return sum(table.differing for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """Counts only."""
        tables = [asdict(table) for table in self.tables]
        return {"night": self.night.isoformat(), "patients": self.patients, "differing": self.differing,
                "tables": tables}  # fmt: skip


def prove(corner: Corner, n: int, say: Callable[[str], None]) -> list[Proved]:
    """Prove `n` random nights of a finished replay on random sub-cohorts, in scratch lakes that are taken away again.

    Nothing but patients, notes and events is taken over: texts are read again in both lakes.
    """
    lake = Lake.open(corner.folder)
    place = lake.scratch / "proofs"
    shutil.rmtree(place, ignore_errors=True)
    last = lake.nights()[-1].night
    known = _known_nights(lake, last)
    found = []
    try:
        for number, draw in enumerate(draws(known, n, SEED), start=1):
            say(f"Proof {number} of {n}: night {draw.night}, {len(draw.subjects)} patients")
            found.append(_proved(corner, lake, draw, place / str(number), last))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return found


def _known_nights(lake: Lake, last: date) -> dict[int, list[date]]:
    found: dict[int, list[date]] = {}
    for table in (PATIENTS, NOTES, EVENTS):
        rows = lake.arrow(table, ["subject_id", "known_night"], rows=pc.field("known_night") <= pc.scalar(last))
        for row in rows.group_by(["subject_id", "known_night"]).aggregate([]).to_pylist():
            found.setdefault(row["subject_id"], []).append(row["known_night"])
    return found


def _proved(corner: Corner, lake: Lake, draw: Draw, place: Path, last: date) -> Proved:
    first = min(min(nights) for subject, nights in _known_nights(lake, last).items() if subject in draw.subjects)
    whole = _cut(lake, place / "whole", draw.subjects, None)
    _run(corner, whole, NightRange(first, last))
    cut = _cut(lake, place / "cut", draw.subjects, draw.night)
    eve = draw.night - timedelta(days=1)
    if first <= eve:
        _run(corner, cut, NightRange(first, eve))
    _run(corner, cut, NightRange(draw.night, draw.night))
    tables = tuple(difference(whole.arrow(table), cut.arrow(table), table, draw.night) for table in COMPARED)
    return Proved(draw.night, len(draw.subjects), tables)


def _cut(lake: Lake, place: Path, subjects: tuple[int, ...], night: date | None) -> Lake:
    """A lake that holds these patients' rows only, and of them what was known by `night` (None: all)."""
    cut = Lake.open(place, create=True)
    pulls = [folder.name for folder in sorted(lake.raw.iterdir()) if folder.is_dir()]
    copy_manifests(lake, cut, pulls)
    rows = pc.field("subject_id").isin(list(subjects))
    if night is not None:
        rows = rows & (pc.field("known_night") <= pc.scalar(night))
    cut.take_rows({table: lake.arrow(table, rows=rows) for table in (PATIENTS, NOTES, EVENTS)}, pulls=pulls)
    return cut


def _run(corner: Corner, lake: Lake, nights: NightRange) -> None:
    """The steps from reading on, over these nights, published so that the next nights find their state."""
    run = NightRun(corner.configuration, lake, f"proof-{lake.root.name}-{nights}", nights, _silent)
    run.landmarks = corner.plan.landmarks
    run.start_spark()
    for step in STEPS:
        step(run)
    identity = {"nights": str(nights), "pulls": [pull.name for pull in run.pulls()], "readers": run.readers}
    lake.publish(nights, list(run.written.values()), identity, run.run_id)


def _silent(text: str) -> None:
    del text


def look_ahead(archive_folder: Path, corner: Corner) -> list[dict[str, Any]] | str:
    """Archived nights against a later full export, by resource and rule; the sentence where not both exist.

    The archive is the lake that the replay lies in, where it grew by more than one pull; the export is the replay's own
    source, a folder.
    """
    if corner.source_lake is not None or not (archive_folder / "lake.json").is_file():
        return NOT_ASSESSABLE
    archive = Lake.open(archive_folder)
    nights = archive.nights()
    if not nights or len(nights[-1].identity.get("pulls", ())) < 2:
        return NOT_ASSESSABLE
    return measured_look_ahead(_versions(archive), _versions(Lake.open(corner.folder)), nights[-1].night)


def _versions(lake: Lake) -> pd.DataFrame:
    columns = ["version", "resource_type", "available_rule", "known_night"]
    frames = [
        lake.arrow(table, [key, *columns]).rename_columns(["resource_id", *columns]).to_pandas(date_as_object=True)
        for table, key in ((NOTES, "note_id"), (EVENTS, "event_id"))
    ]
    return cast(pd.DataFrame, pd.concat(frames, ignore_index=True)).drop_duplicates(["resource_id", "version"])
