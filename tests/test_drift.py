"""The drift watch: it warns of what changed, keeps silent about chance and about too little, and can suspend."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from lake_rows import arrow

from assets.drift import SUSPENDED_FILE, WATCHED, suspend, suspended, watched
from assets.night_run import NightRun
from connectors.lake import Lake
from zebrawatch.outcome.drift import drift
from zebrawatch.schemas import FINDINGS, FLAGS, NOTES, Table

LAST = date(2025, 6, 30)


def night(back: int) -> date:
    return LAST - timedelta(days=back)


def every_night(rate: float, recent: float | None = None, seed: int = 5) -> tuple[dict[date, float], dict[date, float]]:
    """Poisson counts of 100 a night at `rate`, the last four weeks at `recent`."""
    chance = np.random.default_rng(seed)
    rates = {night(back): (recent if recent is not None and back < 28 else rate) for back in range(210)}
    return {n: float(chance.poisson(100 * r)) for n, r in rates.items()}, dict.fromkeys(rates, 100.0)


def test_chance_is_not_drift_and_a_halved_rate_is() -> None:
    calm = [drift("x", *every_night(0.05, seed=seed), LAST) for seed in range(40)]
    assert sum(one.drifts for one in calm) <= 1
    fell = drift("x", *every_night(0.05, 0.02), LAST)
    assert fell.drifts
    assert (fell.z or 0) < -3
    assert fell.recent == pytest.approx(0.02, rel=0.3)


def test_two_poisson_rates_by_hand() -> None:
    """10 in 100 nights-of-exposure against 100 in 2000, without scatter: z = 0.05 / sqrt(110/2100 (1/100 + 1/2000))."""
    counts = {night(1): 10.0, night(40): 100.0}
    told = drift("x", counts, {night(1): 100.0, night(40): 2000.0}, LAST)
    assert told.z == pytest.approx(0.05 / (110 / 2100 * (1 / 100 + 1 / 2000)) ** 0.5)


def test_what_scattered_before_must_move_further() -> None:
    counts, exposure = every_night(0.05, 0.08)
    wild = {
        n: count * (2.2 if n.toordinal() // 7 % 2 else 0.2) if n < night(27) else count for n, count in counts.items()
    }
    assert drift("x", counts, exposure, LAST).drifts
    assert not drift("x", wild, exposure, LAST).drifts


def test_too_little_is_not_judged() -> None:
    assert drift("x", {night(40): 3.0, night(1): 3.0}, {night(40): 100.0, night(1): 10.0}, LAST).z is None
    assert drift("x", {}, {}, LAST).recent is None


def run_with(tmp_path: Path, tables: dict[str, list[dict[str, Any]]], *, on: bool = True) -> NightRun:
    def read(table: Table, columns: list[str] | None = None, *, rows: Any) -> pa.Table:
        found = arrow(table, tables.get(table.name, ())).filter(rows)
        return found.select(columns) if columns else found

    return cast(
        NightRun,
        SimpleNamespace(
            lake=SimpleNamespace(arrow=read, root=tmp_path),
            nights=SimpleNamespace(first=LAST, last=LAST),
            configuration=SimpleNamespace(policy=SimpleNamespace(suspend_on_drift=on)),
        ),
    )


def raised(n: date, disease: str) -> dict[str, Any]:
    shown = [{"rank": 1, "disease_id": disease, "disease_name": disease, "posterior": 0.1, "log10_lr": 1.0}]
    return {"subject_id": 1, "night": n, "action": "raise", "backlog": False, "shown": shown}


def test_every_rate_is_watched_even_over_empty_tables(tmp_path: Path) -> None:
    told = watched(run_with(tmp_path, {}))
    assert [one.name for one in told] == list(WATCHED)
    assert not any(one.drifts for one in told)


def test_twice_as_many_findings_a_note_are_seen(tmp_path: Path) -> None:
    nights = [night(back) for back in range(200)]
    notes = [{"known_night": n} for n in nights for _ in range(5)]
    findings = [
        {"known_night": n, "origin": "text", "copied_from": None}
        for n in nights
        for _ in range(20 if n > night(28) else 10)
    ]
    told = {one.name: one for one in watched(run_with(tmp_path, {NOTES.name: notes, FINDINGS.name: findings}))}
    assert told["drift_findings"].drifts
    assert (told["drift_findings"].recent, told["drift_findings"].baseline) == (4.0, 2.0)
    assert not told["drift_duplication"].drifts


def test_a_disease_that_suddenly_leads_is_suspended_from_the_next_night_on(tmp_path: Path) -> None:
    flags = [raised(night(back), "OMIM:1" if back < 20 or back % 5 == 0 else "OMIM:2") for back in range(200)]
    flags += [raised(night(back), "OMIM:2") for back in range(30, 200)]
    assert suspend(run_with(tmp_path, {FLAGS.name: flags}, on=False)) == []
    assert suspend(run_with(tmp_path, {FLAGS.name: flags})) == ["OMIM:1"]
    assert suspend(run_with(tmp_path, {FLAGS.name: flags})) == [], "once is enough"
    assert json.loads((tmp_path / SUSPENDED_FILE).read_text()) == {"OMIM:1": str(LAST)}
    lake = Lake(tmp_path)
    assert suspended(lake, LAST) == frozenset(), "the night that saw it stands as it is"
    assert suspended(lake, LAST + timedelta(days=1)) == {"OMIM:1"}
