"""Write-back to a live FHIR server that refuses what is not valid R4: once, taken back, and through a dead server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from fault_proxy import FaultProxy, Rule, fault_proxy
from jwcrypto import jwk
from sekmet_server import Sekmet, free_port, sekmet

from connectors.configuration import Ehr
from connectors.ehr import EhrServer, UnreachableError
from review.database import OUTBOX, open_database
from review.outbox import Letter, send, waiting
from zebrawatch.errors import ConfigurationError, ZebrawatchError
from zebrawatch.fhir.decode import DecodeContext, decode_lines
from zebrawatch.fhir.writeback import NO_DISCLOSURE, ConfirmedFlag, WriteBackError, write_bundle

NOW = datetime(2025, 6, 30, 9, 0, tzinfo=UTC)
KINDS = ("RiskAssessment", "Provenance", "Task")


def flag(key: str, **facts: Any) -> ConfirmedFlag:
    plain: dict[str, Any] = {
        "key": key, "patient_id": "maria", "night": date(2025, 6, 29), "confirmed_at": NOW, "disease_id": "OMIM:154700",
        "disease_name": "Marfan syndrome", "risk": "moderate", "log10_lr": 3.21, "clinician": "Dr. Ada Okafor",
        "practitioner": "Practitioner/okafor", "sources": ("DocumentReference/m2",), "method": "0.1.0+abc",
        "model": "none", "statement": "Screening aid, not a diagnosis.",
    }  # fmt: skip
    return ConfirmedFlag(**(plain | facts))


def compose(letter: Letter) -> dict[str, Any]:
    return write_bundle(flag(letter.key, disease_id=letter.disease_id, clinician=letter.payload["clinician"]["name"]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    with sekmet(tmp_path_factory.mktemp("ehr"), validation="strict") as running:
        running.put(
            {"resourceType": "Patient", "id": "maria"},
            {"resourceType": "Practitioner", "id": "okafor"},
            {"resourceType": "DocumentReference", "id": "m2", "status": "current",
             "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}]},
        )  # fmt: skip
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> sa.Engine:
    return open_database(f"sqlite:///{tmp_path / 'review.db'}")


def put(outbox: sa.Engine, subject: int, action: str = "write", clinician: str = "Dr. Ada Okafor", **more: Any) -> None:
    with outbox.begin() as connection:
        connection.execute(
            OUTBOX.insert().values(
                flag_id=f"{subject}:2025-06-01", subject_id=subject, disease_id="OMIM:154700", night=date(2025, 6, 29),
                action=action, state="waiting", attempts=0, created_at=NOW,
                payload={"clinician": {"name": clinician}, **more},
            )
        )  # fmt: skip


def rows(outbox: sa.Engine) -> list[Mapping[str, Any]]:
    with outbox.connect() as connection:
        return list(connection.execute(sa.select(OUTBOX).order_by(OUTBOX.c.id)).mappings())


def stored(server: Sekmet, kind: str, subject: int) -> list[dict[str, Any]]:
    found = httpx.get(f"{server.url}/{kind}", params={"_count": "200"}).json().get("entry", [])
    key = f"{subject:016x}."
    return [
        one["resource"] for one in found
        if any(tag.get("code", "").startswith(key) for tag in one["resource"]["meta"]["tag"])
    ]  # fmt: skip


def test_a_confirmed_flag_is_written_whole_and_under_a_name(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 1)
    with EhrServer(server.url) as ehr:
        assert send(outbox, ehr, compose, now=NOW).done == 1
    (risk,), (provenance,), (task,) = (stored(server, kind, 1) for kind in KINDS)
    (prediction,) = risk["prediction"]
    assert prediction["outcome"]["coding"][0] == {
        "system": "http://www.omim.org", "code": "154700", "display": "Marfan syndrome",
    }  # fmt: skip
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "moderate"
    assert "probabilityDecimal" not in prediction
    assert risk["basis"] == [{"reference": "DocumentReference/m2"}]
    assert "Screening aid, not a diagnosis" in risk["note"][0]["text"]
    assert provenance["target"][0]["reference"] == f"RiskAssessment/{risk['id']}"
    assert provenance["agent"][1]["who"]["display"] == "Dr. Ada Okafor"
    assert task["focus"]["reference"] == f"RiskAssessment/{risk['id']}"
    assert task["owner"]["reference"] == "Practitioner/okafor"


def test_a_percentage_is_written_only_where_the_site_may_show_one(server: Sekmet, outbox: sa.Engine) -> None:
    """For any disease, which is what was calibrated, beside the word for this one."""
    put(outbox, 12)
    told = {"percentage": 12.34, "checked_on": "2025-05-31, n = 140"}
    with EhrServer(server.url) as ehr:
        send(outbox, ehr, lambda letter: write_bundle(flag(letter.key, **told)), now=NOW)
    (risk,) = stored(server, "RiskAssessment", 12)
    word, percent = risk["prediction"]
    assert "probabilityDecimal" not in word and word["qualitativeRisk"]["coding"][0]["code"] == "moderate"
    assert percent["probabilityDecimal"] == 12 and "2025-05-31, n = 140" in percent["rationale"]
    assert "Any listed rare disease" in percent["outcome"]["text"]


def test_portals_do_not_show_it_unless_the_site_says_so(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 2)
    with EhrServer(server.url) as ehr:
        send(outbox, ehr, compose, now=NOW)
    assert all(one["meta"]["security"][0]["code"] == "NOPAT" for kind in KINDS for one in stored(server, kind, 2))
    assert NO_DISCLOSURE["code"] not in json.dumps(write_bundle(flag("k", to_portals=True)))


def test_sent_again_it_is_written_once(server: Sekmet, outbox: sa.Engine) -> None:
    """The server took the first attempt, and its answer was lost; a second transaction comes even though one stands."""
    put(outbox, 3)

    class LosesItsAnswer:
        def transact(self, bundle: Mapping[str, Any]) -> None:
            ehr.transact(bundle)
            raise UnreachableError("The EHR server gives no answer.")

        def find(self, kind: str, query: str) -> list[dict[str, Any]]:
            return ehr.find(kind, query)

    with EhrServer(server.url) as ehr:
        first = send(outbox, LosesItsAnswer(), compose, now=NOW)
        assert (first.done, first.waiting) == (0, 1)
        (letter,) = waiting(outbox)
        ehr.transact(compose(letter))
        again = send(outbox, ehr, compose, now=NOW, at_once=True)
    assert again.lines[0].endswith("was written before")
    assert [len(stored(server, kind, 3)) for kind in KINDS] == [1, 1, 1]


def test_a_flag_that_falls_is_taken_back(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 4)
    put(outbox, 4, "retract", reason="the alert was withdrawn: source removed")
    with EhrServer(server.url) as ehr:
        assert send(outbox, ehr, compose, now=NOW).done == 2
        put(outbox, 4, "retract", reason="again")
        assert send(outbox, ehr, compose, now=NOW).lines[0].endswith("nothing of it stands in the EHR")
    (risk,), (task,) = stored(server, "RiskAssessment", 4), stored(server, "Task", 4)
    assert risk["status"] == task["status"] == "entered-in-error"
    assert "source removed" in risk["note"][-1]["text"]
    reasons = [one.get("reason", [{}])[0].get("text") for one in stored(server, "Provenance", 4)]
    assert "the alert was withdrawn: source removed" in reasons


def test_confirmed_again_after_it_fell_it_is_written_anew(server: Sekmet, outbox: sa.Engine) -> None:
    for action in ("write", "retract", "write"):
        put(outbox, 5, action)
    with EhrServer(server.url) as ehr:
        assert send(outbox, ehr, compose, now=NOW).done == 3
    assert sorted(one["status"] for one in stored(server, "RiskAssessment", 5)) == ["entered-in-error", "final"]


def test_a_dead_server_loses_nothing(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 6)
    put(outbox, 6, "retract")
    put(outbox, 7)
    with EhrServer(f"http://127.0.0.1:{free_port()}/fhir", timeout_seconds=2) as nobody:
        first = send(outbox, nobody, compose, now=NOW)
        early = send(outbox, nobody, compose, now=NOW + timedelta(seconds=30))
        second = send(outbox, nobody, compose, now=NOW + timedelta(minutes=2))
    assert (first.done, first.waiting, first.failed) == (0, 3, 0)
    assert "gives no answer" in first.lines[0]
    assert [row["attempts"] for row in rows(outbox)] == [2, 0, 1]  # the pause of the first lets the third be tried
    assert "tried 1 times, waits until 2025-06-30 09:01 UTC" in early.lines[0]
    assert (len(early.lines), second.waiting) == (2, 3)
    with EhrServer(server.url) as ehr:
        assert send(outbox, ehr, compose, at_once=True).done == 3
    assert [one["status"] for one in stored(server, "RiskAssessment", 6)] == ["entered-in-error"]
    assert [one["status"] for one in stored(server, "RiskAssessment", 7)] == ["final"]


def test_pauses_grow_to_six_hours(outbox: sa.Engine) -> None:
    put(outbox, 8)
    moment, pauses = NOW, []
    with EhrServer(f"http://127.0.0.1:{free_port()}/fhir", timeout_seconds=2) as nobody:
        for _ in range(11):
            send(outbox, nobody, compose, now=moment)
            (letter,) = waiting(outbox)
            pauses.append((letter.due - moment) / timedelta(minutes=1))
            moment = letter.due
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 360


def test_what_the_server_refuses_is_kept_and_told(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 9)

    def invalid(letter: Letter) -> dict[str, Any]:
        bundle = compose(letter)
        bundle["entry"][2]["resource"]["status"] = None
        return bundle

    with EhrServer(server.url) as ehr:
        sent = send(outbox, ehr, invalid, now=NOW)
        assert sent.failed == 1
        assert "status 4" in sent.lines[0]
        assert "maria" not in sent.lines[0]
        assert [row["state"] for row in rows(outbox)] == ["failed"]
        assert [stored(server, kind, 9) for kind in KINDS] == [[], [], []]  # a transaction: all of it or none
        assert send(outbox, ehr, compose, now=NOW, failed_too=True).done == 1


def test_nothing_goes_out_without_a_clinician_s_name(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 10, clinician="  ")
    with EhrServer(server.url) as ehr:
        sent = send(outbox, ehr, compose, now=NOW)
    assert (sent.done, sent.failed) == (0, 1)
    assert "name of the clinician" in sent.lines[0]
    assert stored(server, "RiskAssessment", 10) == []


@pytest.mark.parametrize(("facts", "word"), [({"risk": "huge"}, "no word for a risk"), ({"patient_id": ""}, "no id")])
def test_what_cannot_be_written_is_said_in_one_sentence(facts: dict[str, Any], word: str) -> None:
    with pytest.raises(WriteBackError, match=word) as error:
        write_bundle(flag("k", **facts))
    assert isinstance(error.value, ZebrawatchError)


def test_what_a_clinician_confirmed_is_not_called_negligible() -> None:
    risk = write_bundle(flag("k", risk="negligible"))["entry"][0]["resource"]
    assert risk["prediction"][0]["qualitativeRisk"]["coding"][0]["code"] == "low"
    assert "at least 'low' for what a clinician confirmed" in risk["prediction"][0]["rationale"]
    assert "negligible" not in json.dumps(risk)


def test_what_we_wrote_is_dropped_and_counted_when_it_comes_back(server: Sekmet, outbox: sa.Engine) -> None:
    put(outbox, 11)
    with EhrServer(server.url) as ehr:
        send(outbox, ehr, compose, now=NOW)
    lines = [json.dumps(one).encode() for kind in KINDS for one in stored(server, kind, 11)]
    context = DecodeContext("p", b"k" * 32, "UTC", NOW)
    batches = [batch.to_pylist() for batch in decode_lines(enumerate(lines, 1), "mixed.ndjson", context)]
    kinds = {row["kind"] for batch in batches for row in batch}
    skipped = [row["skipped"] for batch in batches for row in batch]
    assert kinds == {"skipped"}
    assert {row["resource_type"]: row["reason"] for row in skipped} == dict.fromkeys(KINDS, "written by Zebrawatch")
    assert sum(row["lines"] for batch in batches for row in batch) == 3


# -- signing in --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> jwk.JWK:
    return jwk.JWK.generate(kty="EC", crv="P-384", kid="write", alg="ES384", use="sig")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key: jwk.JWK) -> Iterator[FaultProxy]:
    client = {"client_id": "writer", "jwks": {"keys": [key.export_public(as_dict=True)]}}
    # sekmet asks for a right to write every type before it takes any transaction; we ask for three types
    auth = {"types": ["smart", "bearer"], "tokens": ["loader"], "smart_clients": [client], "enforce_scopes": False}
    with fault_proxy() as proxy, sekmet(tmp_path_factory.mktemp("guarded"), auth, proxy.root, "strict") as live:
        proxy.upstream = live.url.removesuffix("/fhir")
        live.put({"resourceType": "Patient", "id": "maria"}, token="loader")
        yield proxy


@pytest.fixture
def smart(guarded: FaultProxy, key: jwk.JWK, tmp_path: Path) -> tuple[FaultProxy, Ehr]:
    guarded.reset()
    file = tmp_path / "key.json"
    file.write_text(key.export_private())
    return guarded, Ehr(url=f"{guarded.root}/fhir", client_id="writer", key_file=str(file))


def written(proxy: FaultProxy, subject: int) -> int:
    found = httpx.get(f"{proxy.root}/fhir/RiskAssessment", headers={"Authorization": "Bearer loader"}).json()
    return sum(f"{subject:016x}." in json.dumps(one) for one in found.get("entry", []))


def test_it_signs_in_with_a_key_of_its_own_and_again_when_the_token_ends(
    smart: tuple[FaultProxy, Ehr], outbox: sa.Engine
) -> None:
    proxy, settings = smart
    put(outbox, 31)
    proxy.rules.append(Rule("POST /fhir$", times=1, answer=(401, {}, b"")))
    with EhrServer.of_settings(settings) as ehr:
        sent = send(outbox, ehr, compose_alone, now=NOW)
    assert (sent.done, written(proxy, 31)) == (1, 1), sent.lines
    asked = [one.body.decode() for one in proxy.seen if one.line == "POST /auth/token"]
    assert len(set(asked)) == len(asked) == 2, "each assertion is new"
    assert "system%2FRiskAssessment.write" in asked[0] and "Patient" not in asked[0]


def compose_alone(letter: Letter) -> dict[str, Any]:
    return write_bundle(flag(letter.key, practitioner=None, sources=()))


def test_a_sign_in_that_is_refused_loses_nothing_and_tells_no_secret(
    smart: tuple[FaultProxy, Ehr], outbox: sa.Engine, tmp_path: Path
) -> None:
    _, settings = smart
    other = jwk.JWK.generate(kty="EC", crv="P-384", kid="write", alg="ES384")
    (tmp_path / "other.json").write_text(other.export_private())
    put(outbox, 32)
    with EhrServer.of_settings(msgspec.structs.replace(settings, key_file=str(tmp_path / "other.json"))) as ehr:
        sent = send(outbox, ehr, compose_alone, now=NOW)
    assert (sent.done, sent.waiting, sent.failed) == (0, 1, 0)
    assert "does not accept the sign-in" in sent.lines[0]
    said = str(sent) + str(rows(outbox)) + repr(ehr)
    assert other.export_private(as_dict=True)["d"] not in said and "eyJ" not in said
    with EhrServer.of_settings(settings) as ehr:
        assert send(outbox, ehr, compose_alone, now=NOW, at_once=True).done == 1


def test_a_key_without_a_client_and_a_secret_over_plain_http_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="both a client id and a private key"):
        EhrServer.of_settings(Ehr(url="https://ehr/fhir", key_file="k.pem"))
    with pytest.raises(ConfigurationError, match="https only"):
        EhrServer.of_settings(Ehr(url="http://ehr/fhir", client_id="me", key_file="k.pem"))
    with pytest.raises(ConfigurationError, match="is empty: name the FHIR server"):
        EhrServer.of_settings(Ehr())
