"""The auditor's pages from made facts: all is told, what weighs nothing is folded, and what a night missed."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from typing import Any

import pytest
from lxml import html
from report_samples import IDENTITY, alerted_patient, provenance_sample

from zebrawatch.reports.audit import (
    Change,
    Check,
    Deed,
    FlagAudit,
    Lineage,
    Link,
    Missed,
    NightAudit,
    NightFlag,
    PulledFile,
    flag_page,
    night_page,
)
from zebrawatch.reports.data import Lateness, QuarantineReason
from zebrawatch.reports.from_audit import missed_by

NIGHT = date(2025, 6, 30)
LINKS = (
    Link("Data Docs (Great Expectations)", "file:///state/data_docs/index.html"),
    Link("Dagster run", "http://127.0.0.1:3000/runs/1", "opens while `dagster dev` runs"),
    Link("MLflow run", "http://127.0.0.1:5000/#/search", "opens while `mlflow ui` runs"),
)
FLAG = FlagAudit(
    flag_id="1:2025-06-30",
    verdict="The flag was rebuilt.",
    sound=True,
    provenance=provenance_sample(),
    patient=alerted_patient(0),
    changes=(Change(NIGHT, "raise", "threshold", 0.0123, 0.008, ("1. Fabry disease",)),),
    checks=(
        Check("notes", "3 rows", "3 rows", "same"),
        Check("flags", "1 rows", "2 rows", "differs", "only stored: 1"),
    ),
    not_rebuilt=("A background is missing.",),
    other_versions={"code": ("0.1.0+a", "0.1.0+b")},
    lineage=(
        Lineage("Hypohidrosis", 1.31, "hardly <b>sweats", "DocumentReference/1", "abc", NIGHT, "p/Doc.ndjson", 7),
        Lineage("Cough, absent", 0.001, "no cough", "DocumentReference/2", "def", NIGHT, "", 0),
    ),
    quarantined=("Observation: no time (Observation.ndjson, line 9)",),
    decided=(Deed("2025-07-01 09:00 UTC", "Dr. Ada", "plausible (final, first reading)", "burning feet"),),
    looked=(Deed("2025-07-01 08:58 UTC", "ada (reviewer)", "look"),),
    reviewed=True,
    protocol={"digest, then": "protocol@1"},
    deviations=("The alert policy's threshold was 0.01; the protocol says 0.008.",),
    links=LINKS,
    identity=IDENTITY,
)
NIGHT_AUDIT = NightAudit(
    night=NIGHT,
    nights="2025-06-24..2025-06-30",
    generation=2,
    stale=False,
    verdict="All 2 raw files are as pulled.",
    sound=True,
    provenance=provenance_sample(),
    checks=(Check("flags", "c2.1", "c2.1", "same"),),
    files=(PulledFile("p1", "Patient.ndjson", 10, 10, True), PulledFile("p1", "Encounter.ndjson", 5, 4, False)),
    quarantine=(QuarantineReason("Observation", "no time", 3),),
    gate="Leak gate: 2 namings.",
    gate_passed=False,
    recall="Recall of the suspicion detector: 97 %.",
    lateness=(Lateness("Observation", 22, 0.1, 0.5, {"filed": 22}),),
    drift=(("notes.ks", "0.31"),),
    flags=(NightFlag("00ab:2025-06-30", "raise", "threshold", "Fabry disease"),),
    missed=(Missed("00cd", "Dent disease", NIGHT, "7 on 2025-06-29", "3", "miss"),),
    deviations=(),
    links=LINKS,
    identity=IDENTITY,
)


@pytest.mark.parametrize("text", [flag_page(FLAG), night_page(NIGHT_AUDIT)], ids=["flag", "night"])
def test_links_lead_somewhere_and_nothing_is_asked_from_outside(text: str) -> None:
    page = html.document_fromstring(text)
    ids = list(page.xpath("//@id"))
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.xpath("//a/@href[starts-with(., '#')]")} <= set(ids)
    assert not page.xpath("//script | //img | //link[@rel='stylesheet'] | //iframe")
    assert "<b>sweats" not in text


def test_a_flag_s_page_tells_all_that_an_auditor_asks() -> None:
    page = html.document_fromstring(flag_page(FLAG))
    told = " ".join(page.text_content().split())
    for words in (
        "A background is missing.", "only stored: 1", "0.1.0+b", "p/Doc.ndjson, line 7", "not in the raw files",
        "Dr. Ada", "burning feet", "ada (reviewer)", "protocol@1", "the protocol says 0.008", "no time",
        "http://127.0.0.1:3000/runs/1", "Data Docs", "MLflow run", "Screening aid, not a diagnosis",
    ):  # fmt: skip
        assert words in told, words
    folded = page.xpath("//details[summary[contains(., 'without weight')]]")
    assert [re.sub(r"\s+", " ", one.text_content()).strip()[:24] for one in folded[-1:]] == ["1 finding without weight"]
    assert "Cough, absent" in folded[-1].text_content()
    assert page.xpath("//p[contains(@class, 'verdict')]/@class") == ["verdict"]


def test_a_night_s_page_tells_what_was_counted_and_what_did_not_hold() -> None:
    page = html.document_fromstring(night_page(NIGHT_AUDIT))
    told = " ".join(page.text_content().split())
    for words in (
        "The gate did not hold: no figure of this night may be quoted.", "changed", "no time", "Recall", "filed 22",
        "notes.ks", "00ab:2025-06-30", "Dent disease", "7 on 2025-06-29", "No deviation from the protocol was found.",
        "Data Docs",
    ):  # fmt: skip
        assert words in told, words
    assert page.xpath("//p[contains(@class, 'verdict')]/@class") == ["verdict odd"]
    calm = dataclasses.replace(NIGHT_AUDIT, gate_passed=True)
    assert html.document_fromstring(night_page(calm)).xpath("//p[contains(@class, 'verdict')]/@class") == ["verdict"]


def pair(source: str, **facts: Any) -> dict[str, Any]:
    return {"label_source": source, "pair_class": "at risk", "prioritised": False, "suspicion_night": NIGHT, **facts}


def test_missed_cases_are_those_of_the_leading_figures_each_once() -> None:
    both = [
        pair("labels", n=1), pair("records", n=2), pair("labels", n=3, prioritised=True),
        pair("labels", n=4, pair_class="prevalent"), pair("labels", n=5, suspicion_night=date(2025, 7, 1)),
    ]  # fmt: skip
    assert [row["n"] for row in missed_by(both, NIGHT)] == [1]
    assert [row["n"] for row in missed_by([pair("records", n=2)], NIGHT)] == [2]
    assert missed_by([], NIGHT) == []
