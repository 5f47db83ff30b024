"""Four nights of the screen on a live FHIR server: what changes, what is deleted, who is merged. Made data."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tiny_hospital
from fault_proxy import FaultProxy, Rule, fault_proxy
from fetch_nursery import nursery
from sekmet_server import Sekmet, ndjson, sekmet
from test_fhir_text import cda, pdf

from assets.audit import flag_named, rebuild
from connectors import configuration
from connectors.fhir_server import FhirServer
from connectors.lake import Lake
from pipelines.runner import run_nights
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.nights import NightRange
from zebrawatch.schemas import EVENTS, FINDINGS, FLAGS, NOTES, PATIENTS, QUARANTINE, REFERRED, Table
from zebrawatch.timeline.asof import spans

KEY = b"k" * 32
FIRST = datetime.now(UTC).date() + timedelta(days=1)  # what the server stamps today is known by then
SECOND, THIRD, FOURTH = (FIRST + timedelta(days=n) for n in (1, 2, 3))
STATUS = r"GET /fhir/bulk-status/"

EYES = "Eyes: ectopia lentis on both sides, high myopia. Arachnodactyly. Pectus excavatum."
HEART = "Echo: aortic root aneurysm. Scoliosis and joint hypermobility. Striae distensae."
ATROPINE = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1223", "display": "atropine"}
FORMS: dict[str, tuple[str, bytes]] = {
    "plain": ("text/plain", b"Tall stature."),
    "html": ("text/html", b"<html><body><p>Clinic: <b>tall</b> stature.</p></body></html>"),
    "rtf": ("application/rtf", rb"{\rtf1\ansi Long slender fingers. Tall stature.\par}"),
    "pdf": ("application/pdf", pdf("High palate. Tall stature.")),
    "cda": (
        "application/hl7-cda+xml",
        cda(
            "<structuredBody><component><section><title>Exam</title><text>Tall stature.</text></section></component>"
            "</structuredBody>"
        ).encode(),
    ),
}


def linked(form: str) -> Iterator[dict[str, Any]]:
    """A note of patient `forms` whose text lies in a Binary."""
    kind, content = FORMS[form]
    data = base64.b64encode(content).decode()
    yield {"resourceType": "Binary", "id": f"b-{form}", "contentType": kind, "data": data}
    attachment = {"contentType": kind, "url": f"Binary/b-{form}"}
    yield tiny_hospital.note(f"n-{form}", "forms", "2025-03-03", "", content=[{"attachment": attachment}])


def first_night() -> Iterator[dict[str, Any]]:
    names = ("maria", "double", "survivor", "carla", "paul", "forms", "otto", "gone")
    yield from (tiny_hospital.patient(name) for name in names)
    for form in FORMS:
        yield from linked(form)
    for name in ("maria", "double"):
        yield tiny_hospital.note(f"eyes-{name}", name, "2025-03-03", EYES)
        yield tiny_hospital.note(f"heart-{name}", name, "2025-03-04", HEART)
    yield tiny_hospital.note("s1", "survivor", "2025-03-01", "Sore throat for three days. Fever.")
    yield tiny_hospital.note("c1", "carla", "2025-03-01", "Seizures since infancy.")
    yield tiny_hospital.note("p1", "paul", "2025-03-02", "Ptosis on the left.")
    yield tiny_hospital.note("o1", "otto", "2025-03-04", "Low back pain after lifting.")
    yield order("drops-double", "double")


def order(name: str, patient: str) -> dict[str, Any]:
    """An order of the drops, whose Medication the server gets on the second night."""
    return {
        "resourceType": "MedicationRequest", "id": name, "status": "active", "intent": "order",
        "subject": {"reference": f"Patient/{patient}"}, "authoredOn": "2025-03-04T10:00:00Z",
        "medicationReference": {"reference": "Medication/drops"},
    }  # fmt: skip


class Hospital:
    """A server behind a proxy that tells of deletions, as others do and this one does not; and the screen's job."""

    def __init__(self, base: Path, server: Sekmet, proxy: FaultProxy) -> None:
        self._server, self._proxy, self._lake = server, proxy, base / "lake"
        (base / "site.key").write_bytes(KEY)
        self._settings = {
            "lake__folder": str(self._lake),
            "source__location": proxy.url,
            "site__key_file": str(base / "site.key"),
            "site__first_live_night": str(FOURTH + timedelta(days=1)),
        }

    def night(self, night: date, *changed: dict[str, Any], deleted: tuple[str, ...] = ()) -> None:
        self._server.put(*changed)
        self._proxy.reset()
        if deleted:
            for reference in deleted:
                self._server.delete(reference)
            entries = [{"request": {"method": "DELETE", "url": reference}} for reference in deleted]
            told = ndjson([{"resourceType": "Bundle", "type": "transaction", "entry": entries}])
            file = {"type": "Bundle", "url": f"{self._proxy.root}/fhir/bulk-files/x/deleted.ndjson", "count": 1}
            self._proxy.rewrite_json(STATUS, lambda manifest: manifest | {"deleted": [file]})
            self._proxy.rules.append(Rule("deleted.ndjson", answer=(200, {}, told)))
        for name, value in self._settings.items():
            os.environ[f"ZEBRAWATCH_{name.upper()}"] = value
        run_nights(configuration.load(), NightRange(night, night), lambda _: None)

    @property
    def lake(self) -> Lake:
        return Lake.open(self._lake, published=True)


@pytest.fixture(scope="module")
def lake(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake after the four nights."""
    del spark  # the session that all tests share is up before the first run asks for it
    base = tmp_path_factory.mktemp("live")
    before = dict(os.environ)
    of_settings = FhirServer.of_settings
    patch = pytest.MonkeyPatch()
    with nursery() as forks, fault_proxy() as proxy, sekmet(base / "server", public_root=proxy.root) as server:
        proxy.upstream = server.url.removesuffix("/fhir")
        patch.setattr("connectors.fhir_server.start_process", forks)
        patch.setattr(FhirServer, "of_settings", lambda source: replace(of_settings(source), longest_poll_seconds=1))
        hospital = Hospital(base, server, proxy)
        hospital.night(FIRST, *first_night())
        hospital.night(
            SECOND,
            tiny_hospital.note("c1", "carla", "2025-03-01", "Corrected: no seizures. Ataxia since infancy."),
            tiny_hospital.note("o2", "otto", str(FIRST - timedelta(days=1)), "New: hearing loss on both sides."),
            tiny_hospital.note("p1", "paul", "2025-03-02", "Ptosis on the left.", status="entered-in-error"),
            tiny_hospital.patient("gone") | {"deceasedBoolean": True},
            {"resourceType": "Medication", "id": "drops", "code": {"coding": [ATROPINE]}},
            order("drops-otto", "otto"),
            deleted=("DocumentReference/eyes-maria", "DocumentReference/heart-maria"),
        )
        into = [{"type": "replaced-by", "other": {"reference": "Patient/survivor"}}]
        hospital.night(THIRD, tiny_hospital.patient("double") | {"active": False, "link": into})
        hospital.night(FOURTH, tiny_hospital.patient("double"))
        yield hospital.lake
    patch.undo()
    os.environ.clear()
    os.environ.update(before)


def rows(lake: Lake, table: Table, name: str) -> list[dict[str, Any]]:
    subject = subject_id_of(name, KEY)
    return [row for row in lake.arrow(table).to_pylist() if row["subject_id"] == subject]


def flags(lake: Lake, name: str) -> list[tuple[date, str, str]]:
    found = sorted(rows(lake, FLAGS, name), key=lambda row: row["night"])
    return [(row["night"], row["action"], row["reason"]) for row in found if row["action"] != "show"]


def test_every_form_of_a_note_behind_an_address_becomes_text(lake: Lake) -> None:
    notes = {row["note_id"]: row for row in rows(lake, NOTES, "forms")}
    assert set(notes) == {f"DocumentReference/n-{form}" for form in FORMS}
    assert all("all stature" in row["text"] for row in notes.values()), "one form was not read"
    assert lake.arrow(REFERRED, ["kind"])["kind"].to_pylist().count("binary") == len(FORMS)
    assert lake.arrow(QUARANTINE).num_rows == 0


def test_later_nights_bring_only_what_changed(lake: Lake) -> None:
    by_night: dict[date, set[str]] = {}
    for row in lake.arrow(NOTES, ["seen_night", "note_id"]).to_pylist():
        by_night.setdefault(row["seen_night"], set()).add(row["note_id"].removeprefix("DocumentReference/"))
    assert len(by_night[FIRST]) == 13
    assert by_night[SECOND] == {"c1", "o2", "p1", "eyes-maria", "heart-maria"}
    assert set(by_night) == {FIRST, SECOND}
    assert {row["seen_night"] for row in rows(lake, PATIENTS, "double")} == {FIRST, THIRD, FOURTH}


def test_a_correction_a_withdrawal_and_a_deletion_act_from_their_own_night(lake: Lake, spark: Any) -> None:
    stood = spans(lake.read(spark, NOTES), lake.read(spark, EVENTS)).collect()
    ends = {row["source_id"].removeprefix("DocumentReference/"): row["removed_night"] for row in stood
            if row["removed_night"] is not None}  # fmt: skip
    completed = "MedicationRequest/drops-double"  # the order as it stood before its Medication came
    assert ends == dict.fromkeys(("c1", "p1", "eyes-maria", "heart-maria", completed), SECOND)
    corrected = [row for row in rows(lake, FINDINGS, "carla") if row["known_night"] == SECOND]
    assert {(row["hpo_id"], row["assertion"]) for row in corrected} >= {
        ("HP:0001250", "negated"),
        ("HP:0001251", "present"),
    }
    assert [row["known_night"] for row in rows(lake, NOTES, "otto") if row["note_id"].endswith("o2")] == [SECOND]


def test_a_flag_that_rested_on_deleted_notes_is_withdrawn(lake: Lake) -> None:
    assert flags(lake, "maria") == [(FIRST, "raise", "threshold"), (SECOND, "withdraw", "source removed")]


def test_a_merge_hands_the_flag_to_the_survivor_and_an_unmerge_takes_it_back(lake: Lake) -> None:
    assert [change[:2] for change in flags(lake, "survivor")] == [(THIRD, "raise"), (FOURTH, "withdraw")]
    assert [change[:2] for change in flags(lake, "double")] == [
        (FIRST, "raise"), (THIRD, "withdraw"), (FOURTH, "raise"),
    ]  # fmt: skip


def test_each_night_is_published_once(lake: Lake) -> None:
    assert [(night.night, night.generation, night.stale) for night in lake.nights()] == [
        (night, 1, False) for night in (FIRST, SECOND, THIRD, FOURTH)
    ]


def test_a_medication_that_comes_a_night_later_gives_its_order_a_code(lake: Lake) -> None:
    found = sorted(
        (row["seen_night"], row["code"]) for row in rows(lake, EVENTS, "double") if row["event_id"].endswith("-double")
    )
    assert [night for night, _ in found] == [FIRST, SECOND]
    assert found[-1][1].endswith("//1223")


@pytest.mark.parametrize(("name", "night"), [("maria", FIRST), ("double", FIRST), ("survivor", THIRD)])
def test_an_audit_makes_the_flag_again_across_deletion_merge_and_late_completion(
    lake: Lake, name: str, night: date
) -> None:
    flag = flag_named(lake, f"{subject_id_of(name, KEY):016x}:{night}")
    told = rebuild(configuration.load(), lake, flag, lambda _: None)
    assert {one.table: one.verdict for one in told.compared} == {one.table: "same" for one in told.compared}
    assert not told.not_rebuilt
