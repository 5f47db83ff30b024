"""What a change of the alert policy would have done on the last nights: stored scores folded again, without Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from assets.night_run import NightRun
from connectors.configuration import Configuration
from connectors.lake import Lake
from connectors.policies import policies_of
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CANDIDATES, FLAGS, PATIENTS, SUSPICIONS
from zebrawatch.screen.alerts import SCORE_COLUMNS, scores_of
from zebrawatch.screen.policy import Effect, Patient, PolicyHistory, facts_of_patient, preview


@dataclass(frozen=True)
class Comparison:
    """The last nights under the policy that held, and under another from their first night on."""

    nights: NightRange
    screened: int
    now: Effect
    then: Effect

    def per_week(self, effect: Effect) -> float:
        """New alerts a week."""
        return effect.new_alerts / len(self.nights) * 7


def compare(configuration: Configuration, lake: Lake, file: Path, last: int) -> Comparison:
    """Fold the last nights twice: as they were, and as if the newest entry of `file` had held from the first of them.

    LakeError where no night is published; ConfigurationError where the file has a mistake.
    """
    published = lake.nights()
    if not published:
        raise LakeError("No night is published yet; `zebrawatch screen` makes some.")
    first, end = published[0].night, published[-1].night
    nights = NightRange(max(first, end - timedelta(days=last - 1)), end)
    run = NightRun(configuration, lake, "preview", NightRange(first, end), lambda _: None)
    held = run.policies
    newest = policies_of(configuration, run.knowledge, str(file)).entries[-1]
    proposed = held.then(replace(newest, since=nights.first))
    lowest = min(one.policy.threshold for one in (*held.entries, *proposed.entries))
    patients = list(_patients(run, lowest))
    now, _ = preview(patients, held, nights, first)
    then, _ = preview(patients, proposed, nights, first)
    return Comparison(nights, _screened(lake), now, then)


def held_on(configuration: Configuration, lake: Lake) -> tuple[PolicyHistory, date]:
    """The policy of the configuration, and the last published night."""
    published = lake.nights()
    night = published[-1].night if published else date.today()
    run = NightRun(configuration, lake, "preview", NightRange(night, night), lambda _: None)
    return run.policies, night


def _screened(lake: Lake) -> int:
    return int(pc.count_distinct(lake.arrow(PATIENTS, ["subject_id"])["subject_id"]).as_py())


def _patients(run: NightRun, lowest: float) -> Iterable[Patient]:
    """Patients whom any of the thresholds could concern: others can neither be alerted nor have been."""
    reaching = run.lake.arrow(CANDIDATES, ["subject_id"], rows=pc.field("p_any") >= lowest)["subject_id"]
    wanted = pc.field("subject_id").isin(pc.unique(reaching))
    scores = _by_subject(run.lake.arrow(CANDIDATES, list(SCORE_COLUMNS), rows=wanted).to_pylist())
    flags = _by_subject(run.lake.arrow(FLAGS, rows=wanted).to_pylist())
    columns = [
        "subject_id",
        "version",
        "known_night",
        "available_at",
        "death_time",
        "restricted",
        "deleted",
        "merged_into",
    ]
    versions = _by_subject(run.lake.arrow(PATIENTS, columns, rows=wanted).to_pylist())
    suspected: dict[int, date] = {}
    for row in run.lake.arrow(SUSPICIONS, ["subject_id", "known_night"], rows=wanted).to_pylist():
        suspected[row["subject_id"]] = min(row["known_night"], suspected.get(row["subject_id"], row["known_night"]))
    for subject, rows in scores.items():
        facts = facts_of_patient(versions.get(subject, ()), suspected.get(subject), subject in run.opted_out, run.zone)
        yield Patient(subject, scores_of(rows), facts, flags.get(subject, ()))


def _by_subject(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["subject_id"], []).append(row)
    return found
