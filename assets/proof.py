"""Proving a replay: what it says of random sub-cohorts against the runs of nights that begin at the untouched lines."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow.compute as pc

from assets import evidence, raw, screen, timeline
from assets.night_run import NightRun
from assets.replay import Corner, copy_manifests
from connectors.lake import Lake
from connectors.manifest import MANIFEST_NAME
from connectors.pulls import PULL_FILE, Pull, pulls_of
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.proof import NOT_ASSESSABLE, Difference, Draw, difference, draws, measured_look_ahead
from zebrawatch.outcome.untouched import Untouched
from zebrawatch.schemas import CANDIDATES, EVENTS, FLAGS, NOTES, PATIENTS, SUSPICIONS
from zebrawatch.timeline.splits import lines_of, splits_of

DECODING = (timeline.referred, raw.quarantine, timeline.patient_rows, timeline.notes, timeline.events)
STEPS = (
    evidence.findings, evidence.namings, evidence.background, evidence.candidates, screen.suspicions, screen.flags,
)  # fmt: skip
DECODED = (PATIENTS, NOTES, EVENTS)
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

    One side begins with the rows that the replay decoded, and runs the engine over all nights. The other begins with
    the untouched lines, cut at the night by code of its own (zebrawatch.outcome.untouched): they are decoded again, and
    the night before and the night itself are run as they would have been. LakeError where the lines are gone.
    """
    lake = Lake.open(corner.folder)
    place = lake.scratch / "proofs"
    shutil.rmtree(place, ignore_errors=True)
    last = lake.nights()[-1].night
    known = _known_nights(lake, last)
    found = []
    try:
        drawn = draws(known, n, SEED)
        say("Looking for the untouched lines of the patients drawn")
        source = _Source.of(corner, lake, {subject for draw in drawn for subject in draw.subjects})
        for number, draw in enumerate(drawn, start=1):
            say(f"Proof {number} of {n}: night {draw.night}, {len(draw.subjects)} patients")
            first = min(night for subject in draw.subjects for night in known[subject])
            found.append(_proved(corner, lake, source, draw, place / str(number), NightRange(first, last)))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return found


def _known_nights(lake: Lake, last: date) -> dict[int, list[date]]:
    found: dict[int, list[date]] = {}
    for table in DECODED:
        rows = lake.arrow(table, ["subject_id", "known_night"], rows=pc.field("known_night") <= pc.scalar(last))
        for row in rows.group_by(["subject_id", "known_night"]).aggregate([]).to_pylist():
            found.setdefault(row["subject_id"], []).append(row["known_night"])
    return found


def _proved(corner: Corner, lake: Lake, source: _Source, draw: Draw, place: Path, nights: NightRange) -> Proved:
    whole = _rows_of(lake, place / "replay", draw.subjects)
    _run(corner, whole, nights)
    own = _night_s_own(corner, source, draw, place / "night", nights.first)
    ours = pc.field("subject_id").isin(list(draw.subjects))
    decoded = [difference(lake.arrow(table, rows=ours), own.arrow(table), table, draw.night) for table in DECODED]
    judged = [difference(whole.arrow(table), own.arrow(table), table, draw.night) for table in COMPARED]
    return Proved(draw.night, len(draw.subjects), (*decoded, *judged))


def _rows_of(lake: Lake, place: Path, subjects: tuple[int, ...]) -> Lake:
    """A lake that begins with these patients' rows of the replay."""
    cut = Lake.open(place, create=True)
    pulls = [folder.name for folder in sorted(lake.raw.iterdir()) if folder.is_dir()]
    copy_manifests(lake, cut, pulls)
    rows = pc.field("subject_id").isin(list(subjects))
    cut.take_rows({table: lake.arrow(table, rows=rows) for table in DECODED}, pulls=pulls)
    return cut


# -- the night's own run, from the untouched lines ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The pulls that a replay rests on, with their untouched lines about the patients drawn."""

    pulls: tuple[Pull, ...]
    names: Mapping[int, str]
    """Id of the Patient in the source, by subject."""
    untouched: Untouched

    @classmethod
    def of(cls, corner: Corner, lake: Lake, subjects: Collection[int]) -> _Source:
        rows = lake.arrow(PATIENTS, ["subject_id", "source_id"], rows=pc.field("subject_id").isin(list(subjects)))
        names = {row["subject_id"]: row["source_id"] for row in rows.to_pylist()}
        held = {folder.name for folder in lake.raw.iterdir()}
        pulls = tuple(pull for pull in pulls_of(_with_lines(lake).raw) if pull.name in held)
        untouched = Untouched()
        for pull in pulls:
            files = [file.name for file in pull.manifest.files]
            if missing := [name for name in files if not (pull.folder / name).is_file()]:
                raise LakeError(
                    f"A proof begins at the untouched lines, and {missing[0]} of pull {pull.name} is no longer in "
                    f"{pull.folder.parent}."
                )
            configuration = corner.configuration
            untouched.collect(
                pull.name, files, partial(_lines, pull.folder), names.values(), configuration.availability,
                configuration.zone,
            )  # fmt: skip
        return cls(pulls, names, untouched)

    def arrivals(self, night: date) -> list[Pull]:
        """Pulls that were here by a night: a backload always (its lines are cut), others from the night they came."""
        return [pull for pull in self.pulls if pull.backload or pull.seen_night <= night]


def _with_lines(lake: Lake) -> Lake:
    """The lake whose `raw/` holds the lines: this one, or the one that its rows were taken over from."""
    while origin := lake.taken_over.get("lake"):
        lake = Lake.open(Path(origin))
    return lake


def _lines(folder: Path, name: str) -> Iterator[bytes]:
    for split in splits_of(folder, [name]):
        for _, line in lines_of(split):
            yield line


def _night_s_own(corner: Corner, source: _Source, draw: Draw, place: Path, first: date) -> Lake:
    """The lake of a hospital that has these patients and pulled nothing after the night, run up to and on it."""
    lake = Lake.open(place, create=True)
    names = [source.names[subject] for subject in draw.subjects if subject in source.names]
    eve = draw.night - timedelta(days=1)
    if first <= eve:
        _arrive(corner, lake, source, source.arrivals(eve), names, draw.night)
        _run(corner, lake, NightRange(first, eve))
    _arrive(corner, lake, source, source.arrivals(draw.night), names, draw.night)
    _run(corner, lake, NightRange(draw.night, draw.night))
    return lake


def _arrive(
    corner: Corner, lake: Lake, source: _Source, pulls: Sequence[Pull], names: Sequence[str], night: date
) -> None:
    """Put the pulls' lines of these patients into the lake's `raw/`, cut at the night, and decode one pull at a time.

    What an earlier pull left waiting enters with a later one, so they do not arrive together.
    """
    for pull in pulls:
        folder = lake.raw / pull.name
        if folder.exists():
            continue
        lines = source.untouched.cut(pull.name, names, night)
        if not any(lines.values()) and not lake.exists(PATIENTS):
            continue
        folder.mkdir(mode=0o700)
        for name, own in lines.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            packed = gzip.compress if name.endswith(".gz") else bytes
            (folder / name).write_bytes(packed(b"".join(line + b"\n" for line in own)))
        (folder / MANIFEST_NAME).write_text(pull.manifest.to_json())
        (folder / PULL_FILE).write_bytes((pull.folder / PULL_FILE).read_bytes())
        run = NightRun(corner.configuration, lake, f"{_named(lake)}-{pull.name}", None, _silent)
        run.start_spark()
        for step in DECODING:
            step(run)
        if not lake.nights():
            arrived = [*lake.taken_over.get("pulls", ()), pull.name]
            lake.describe(taken_over={"pulls": arrived, "versions": {}})


def _run(corner: Corner, lake: Lake, nights: NightRange) -> None:
    """The steps from reading on, over these nights, published so that the next nights find their state."""
    run = NightRun(corner.configuration, lake, f"{_named(lake)}-{nights}", nights, _silent)
    run.landmarks = corner.plan.landmarks
    run.start_spark()
    for step in STEPS:
        step(run)
    identity = {"nights": str(nights), "pulls": [pull.name for pull in run.pulls()], "readers": run.readers}
    lake.publish(nights, list(run.written.values()), identity, run.run_id)


def _named(lake: Lake) -> str:
    """How runs in a proof's lake are named: no two alike, since workers keep a run's scorer."""
    return f"proof-{lake.root.parent.name}-{lake.root.name}"


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
