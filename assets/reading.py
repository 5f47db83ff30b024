"""The language model's requests and answers, as the reports read them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from assets.night_run import NightRun
from zebrawatch.reports.readings import ANSWERED, ASKED, Readings
from zebrawatch.schemas import LLM_REQUESTS, LLM_RESPONSES


def readings_of(run: NightRun, subjects: Sequence[int] | None = None) -> Readings:
    """What was asked and answered up to the run's last night, about some patients or about all."""
    until = pc.field("night") <= pc.scalar(run.nights.last)
    wanted = until if subjects is None else until & pc.field("subject_id").isin(list(subjects))
    asked = run.lake.arrow(LLM_REQUESTS, list(ASKED), rows=wanted).to_pylist()
    answers = run.lake.arrow(LLM_RESPONSES, list(ANSWERED), rows=wanted).to_pylist()
    return Readings(asked, answers, run.policy.threshold)
