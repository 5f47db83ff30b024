"""The review application over HTTP: who gets in, who sees what, and that nothing written is ever lost."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE
from zoneinfo import ZoneInfo

import httpx
import pytest
import review_lake
import sqlalchemy as sa
from lxml import html
from review_lake import DELETED, FABRY, HUNTER, MERGED, MPS2, UNFLAGGED, WITHDRAWN
from starlette.testclient import TestClient

from connectors.configuration import replaced
from connectors.review_database import read_verdicts
from review import accounts, audit_trail, readings
from review.app import make_app
from review.database import AUDIT_TRAIL, OUTBOX, SESSIONS, VERDICTS, DatabaseError, open_database
from review.episodes import alerts_on
from review.outbox import Letter, bundle_of, waiting
from review.records import Snapshot
from review.web import COOKIE, Site
from zebrawatch.errors import ConfigurationError, LakeError
from zebrawatch.fhir.writeback import WriteBackError

HUNTER_FLAG = f"{HUNTER}:2025-06-10"
PASSWORD = "a long enough password"


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, site: Site, login: str | None = None) -> None:
        self.site = site
        self.client = TestClient(make_app(site), base_url="http://127.0.0.1", follow_redirects=True)
        if login:
            self.log_in(login)

    def log_in(self, login: str, password: str = PASSWORD) -> str:
        page = self.client.get("/login").text
        form = {"csrf": field(page, "csrf"), "next": field(page, "next"), "login": login, "password": password}
        return self.client.post("/login", data=form).text

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def judge(self, flag: str, answer: str, reason: str, page: str = "", **more: str) -> str:
        page = page or self.get(f"/flags/{flag}")
        names = ("csrf", "stage", "seen", "stamp")
        form = {name: field(page, name, 'action="/flags/') for name in names}
        return self.client.post(
            f"/flags/{flag}/verdict", data={**form, "verdict": answer, "reason": reason, **more}
        ).text


def field(page: str, name: str, after: str = "") -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page[page.find(after) if after else 0 :])
    assert found, name
    return found.group(1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    site = review_lake.make(folder)
    _ = site.records.knowledge, site.records.ontology
    site.engine.dispose()
    return folder


@pytest.fixture
def site(template: Path) -> Iterator[Site]:
    """The application with a fresh database and the lake as first published."""
    from review.app import make_site

    for file in template.glob("lake-state/review.db*"):
        file.unlink()
    site = make_site(review_lake.configuration(template))
    before = site.records.lake.version("flags")
    for login, role in (
        ("ada", "reviewer"),
        ("ben", "reviewer"),
        ("aud", "auditor"),
        ("das", "dashboard"),
        ("adm", "admin"),
    ):
        accounts.create_account(
            site.engine, login, login.title(), role, PASSWORD, "Practitioner/7" if login == "ada" else None
        )
    yield site
    if site.records.lake.version("flags") != before:
        review_lake.publish(site.records.lake, {"flags": review_lake.rows()["flags"]})
        nights = site.records.lake.arrow(review_lake.TABLES["nights"]).to_pylist()
        site.records.lake._write_nights([row for row in nights if row["night"] == review_lake.NIGHT])
    site.engine.dispose()


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


# -- who gets in -------------------------------------------------------------------------------------------------------


def test_nobody_sees_anything_before_log_in(site: Site) -> None:
    stranger = Person(site).client
    for path in ("/", "/worklist", f"/flags/{HUNTER_FLAG}", "/dashboard", "/audit", "/audit/export", "/accounts"):
        answer = stranger.get(path)
        assert answer.url.path == "/login"
        assert "Macroglossia" not in answer.text
    sent = stranger.post(f"/flags/{HUNTER_FLAG}/verdict", data={"verdict": "plausible", "reason": "kept words"})
    assert sent.status_code == 401
    assert "kept words" in sent.text


@pytest.mark.parametrize(
    ("login", "open_to", "shut"),
    [
        (
            "ada",
            ["/worklist", f"/flags/{HUNTER_FLAG}", "/policy"],
            ["/audit", "/audit/export", "/agreement", "/dashboard", "/accounts"],
        ),
        ("aud", ["/worklist", f"/flags/{HUNTER_FLAG}", "/audit", "/agreement", "/dashboard", "/policy"], ["/accounts"]),
        ("das", ["/dashboard"], ["/worklist", f"/flags/{HUNTER_FLAG}", "/audit", "/agreement", "/accounts", "/policy"]),
        ("adm", ["/accounts", "/agreement", "/dashboard", "/policy"], ["/worklist", f"/flags/{HUNTER_FLAG}", "/audit"]),
    ],
)
def test_each_role_sees_only_its_own(site: Site, login: str, open_to: list[str], shut: list[str]) -> None:
    person = Person(site, login)
    for path in open_to:
        person.get(path)
    for path in shut:
        assert "does not see this page" in person.get(path, 403)
    if login in ("das", "adm"):
        seen = "".join(person.get(path) for path in open_to)
        assert f"{HUNTER:016x}" not in seen and f"{HUNTER:016x}"[:8] not in seen and str(HUNTER) not in seen


def test_an_auditor_decides_nothing(site: Site) -> None:
    auditor = Person(site, "aud")
    csrf = field(auditor.get("/worklist"), "csrf")
    for what in ("verdict", "assign", "snooze"):
        assert auditor.client.post(f"/flags/{HUNTER_FLAG}/{what}", data={"csrf": csrf}).status_code == 403
    assert "Macroglossia" in auditor.get(f"/flags/{HUNTER_FLAG}")
    assert readings.verdicts_on(site.engine) == []


def test_wrong_passwords_are_counted_whether_or_not_the_name_exists(site: Site) -> None:
    for login in ("ada", "nobody"):
        person = Person(site)
        said = [person.log_in(login, "wrong password") for _ in range(6)]
        assert all("Name or password is wrong" in one for one in said[:5])
        assert "Too many wrong passwords" in said[5]
    assert "Too many wrong passwords" in Person(site).log_in("ada")


def test_a_form_from_elsewhere_is_not_taken(site: Site) -> None:
    ada = Person(site, "ada")
    form = {"csrf": "guessed", "verdict": "plausible", "reason": "from elsewhere", "stage": "chart"}
    refused = ada.client.post(f"/flags/{HUNTER_FLAG}/verdict", data=form)
    assert refused.status_code == 403
    assert "from elsewhere" in refused.text
    good = {**form, "csrf": field(ada.get("/worklist"), "csrf")}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ada.client.post(f"/flags/{HUNTER_FLAG}/verdict", data=good, headers=headers).status_code == 403
    assert ada.client.post("/logout", data={"csrf": "x" * 70_000}).status_code == 413
    assert readings.verdicts_on(site.engine) == []


def test_every_answer_carries_its_guards_and_asks_nobody(site: Site) -> None:
    ada = Person(site, "ada")
    for path in ("/worklist", f"/flags/{HUNTER_FLAG}", "/login", "/static/review.css", "/nowhere"):
        answer = ada.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", answer.text)
        assert " style=" not in answer.text and " onclick" not in answer.text
    assert ada.client.get("/worklist", headers={"host": "evil.example"}).status_code == 400
    cookie = next(one for one in ada.client.cookies.jar if one.name == COOKIE)
    assert cookie.has_nonstandard_attr("HttpOnly")


def test_the_way_on_after_log_in_stays_on_this_site(site: Site) -> None:
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0ax", "/login"):
        person = Person(site)
        csrf = field(person.client.get("/login").text, "csrf")
        form = {"csrf": csrf, "next": wanted, "login": "ada", "password": PASSWORD}
        answer = person.client.post("/login", data=form, follow_redirects=False)
        assert answer.headers["location"] in ("/worklist", "/%0d%0ax")


# -- sessions ----------------------------------------------------------------------------------------------------------


def expire(site: Site, **back: float) -> None:
    with site.engine.begin() as connection:
        connection.execute(SESSIONS.update().values(seen_at=datetime.now(UTC) - timedelta(**back)))


def test_a_verdict_sent_after_the_session_expired_comes_back_into_its_form(site: Site) -> None:
    ada = Person(site, "ada")
    page = ada.get(f"/flags/{HUNTER_FLAG}")
    expire(site, minutes=31)
    said = ada.judge(HUNTER_FLAG, "plausible", 'big tongue & "hernias"', page)
    assert "What you wrote is kept" in said
    assert readings.verdicts_on(site.engine) == []
    stranger = Person(site, "ben")
    assert "big tongue" not in stranger.get(f"/flags/{HUNTER_FLAG}")
    ada.log_in("ada")
    again = ada.get(f"/flags/{HUNTER_FLAG}")
    assert "big tongue &amp; &#34;hernias&#34;</textarea>" in again
    assert re.search(r'value="plausible" required checked', again)
    ada.judge(HUNTER_FLAG, "plausible", "big tongue", again)
    assert "big tongue</textarea>" not in ada.get(f"/flags/{HUNTER_FLAG}").split("Your verdict")[0]
    assert [one.reason for one in readings.verdicts_on(site.engine)] == ["big tongue"]


def test_a_session_ends_by_idleness_by_age_by_log_out_and_when_shut_out(site: Site) -> None:
    for end in ("idle", "age", "log out", "shut out"):
        ada = Person(site, "ada")
        page = ada.get("/worklist")
        if end == "idle":
            expire(site, minutes=31)
        elif end == "age":
            with site.engine.begin() as connection:
                connection.execute(SESSIONS.update().values(created_at=datetime.now(UTC) - timedelta(hours=13)))
        elif end == "log out":
            ada.client.post("/logout", data={"csrf": field(page, "csrf")})
        else:
            known = next(one for one in accounts.list_accounts(site.engine) if one["login"] == "ada")
            accounts.disable(site.engine, known["id"], True)
        assert ada.client.get("/worklist").url.path == "/login"
    assert "Name or password is wrong" in Person(site).log_in("ada")


# -- worklist ----------------------------------------------------------------------------------------------------------


def keys(page: str) -> list[str]:
    return re.findall(r'class="go" href="/flags/([^"]+)"', page)


def test_the_worklist_filters_sorts_and_pages(site: Site) -> None:
    ada = Person(site, "ada")
    first = ada.get("/worklist")
    assert len(keys(first)) == 25 and "Page 1 of 2" in first
    assert keys(first)[0] == HUNTER_FLAG  # standing, of high risk
    assert set(keys(first)) & set(keys(ada.get("/worklist?page=2"))) == set()
    assert keys(ada.get("/worklist?page=99")) == keys(ada.get("/worklist?page=2"))
    assert keys(ada.get("/worklist?risk=high")) == [HUNTER_FLAG]
    assert keys(ada.get("/worklist?state=withdrawn")) == [f"{WITHDRAWN}:2024-09-01"]
    assert len(keys(ada.get("/worklist?disease=fabry"))) == 25
    assert "Nothing matches" in ada.get("/worklist?disease=<script>")
    assert keys(ada.get("/worklist?sort=-risk&page=2"))[-1] == HUNTER_FLAG
    assert keys(ada.get("/worklist?night=2024-12-01")) == [f"{WITHDRAWN}:2024-09-01"]
    assert "standing" in ada.get("/worklist?night=2024-12-01")
    ada.get("/worklist?night=tomorrow&page=-1&sort=nothing&state=x&risk=y")


def test_random_readings_are_drawn_once_a_month_with_their_weight(site: Site) -> None:
    ada = Person(site, "ada")
    drawn = keys(ada.get("/worklist?state=sample"))
    assert drawn == keys(ada.get("/worklist?state=sample")) and len(drawn) == 2
    people = {int(one.split(":")[1]) for one in drawn}
    assert people <= {UNFLAGGED, review_lake.SURVIVOR}  # no alert, alive, not merged away, not deleted
    assert {one.sampling_weight for one in readings.assignments(site.engine, "sample")} == {1.0}
    said = ada.judge(drawn[0], "explained otherwise", "well")
    assert "kept" in said
    verdict = readings.verdicts_on(site.engine)[0]
    assert (verdict.reading, verdict.flag_state, verdict.sampling_weight) == ("sample", "sample", 1.0)
    assert "threshold" in ada.get(f"/flags/{drawn[0]}")


# -- the patient page --------------------------------------------------------------------------------------------------


def test_the_chart_comes_first_and_the_ranking_after_it_was_judged(site: Site) -> None:
    ada = Person(site, "ada")
    page = ada.get(f"/flags/{HUNTER_FLAG}")
    assert "Glycosaminoglycans" in page and "coarse facial features" in page
    for later in ("Mucopolysaccharidosis", "<mark", "Why now", "never looked for", "log10", "IDS"):
        assert later not in page
    after = ada.judge(HUNTER_FLAG, "plausible", "tongue and hernia")
    assert "Your reading of the chart is kept" in after
    for now in (
        "Mucopolysaccharidosis",
        '<mark class="for"',
        '<mark class="against"',
        "Why now",
        "never looked for",
        "IDS",
    ):
        assert now in after
    assert "90 %" in after and "Spleno" in after  # expected in nine of ten
    assert "said to be absent" in after


def test_the_best_common_explanation_and_what_would_decide_are_those_stored_with_the_score(site: Site) -> None:
    ada = Person(site, "ada")
    page = " ".join(re.sub("<[^>]+>", " ", ada.judge(HUNTER_FLAG, "plausible", "coarse face")).split())
    assert (
        "Look for splenomegaly, which nobody has written about: found, it would add +0.91; surely absent, −0.66" in page
    )
    assert "Best common explanation Iron deficiency anemia" in page


def test_a_percentage_is_shown_only_with_a_hundred_confirmed_events_behind_it(site: Site) -> None:
    """And only for nights after the last one it was fitted on."""
    ada = Person(site, "ada")
    assert "so no percentage" in ada.judge(HUNTER_FLAG, "plausible", "coarse face")
    for through, shown in (("2025-05-31", True), ("2025-06-30", False)):
        fitted = {"slope": 1.0, "offset": -2.0, "prior": 0.002, "prevalence": 0.002, "fitted_through": through,
                  "n_events": 140, "n_controls": 9000}  # fmt: skip
        review_lake.publish(site.records.lake, {"flags": review_lake.rows()["flags"]}, percentage=fitted)
        page = ada.get(f"/flags/{HUNTER_FLAG}")
        assert ("17 %" in page) is shown and ("so no percentage" in page) is not shown
        assert f"Local validation: {through}, n = 140" in page


def test_a_reviewer_does_not_see_the_other_verdict_before_giving_one(site: Site) -> None:
    Person(site, "ada").judge(HUNTER_FLAG, "plausible", "words of the first")
    ben = Person(site, "ben")
    assert "second reading" in ben.get("/worklist")
    assert "plausible</strong>" not in ben.get("/worklist")
    assert "words of the first" not in ben.get(f"/flags/{HUNTER_FLAG}")
    said = ben.judge(HUNTER_FLAG, "unsure", "words of the second")
    assert "words of the first" in said
    assert [(one.reading, one.verdict) for one in readings.verdicts_on(site.engine)] == [
        ("first", "plausible"),
        ("second", "unsure"),
    ]


def test_markup_in_a_note_stays_text(site: Site) -> None:
    ada = Person(site, "ada")
    for page in (ada.get(f"/flags/{HUNTER_FLAG}"), ada.judge(HUNTER_FLAG, "unsure", "<b>bold</b>")):
        assert "&lt;script&gt;" in page
        assert "<script>document" not in page and "<img" not in page and "<b>bold" not in page


def test_a_merged_patient_is_read_whole_and_a_deleted_one_not_at_all(site: Site) -> None:
    ada = Person(site, "ada")
    page = ada.get(f"/flags/{MERGED}:2025-04-01")
    assert "was merged into this patient" in page
    assert "Told before the merge." in page and "Told after the merge." in page
    assert "deleted this patient" in ada.get(f"/flags/{DELETED}:2025-04-02", 410)
    csrf = field(ada.get("/worklist"), "csrf")
    form = {"csrf": csrf, "stage": "chart", "verdict": "unsure", "reason": "my words"}
    answer = ada.client.post(f"/flags/{DELETED}:2025-04-02/verdict", data=form)
    assert answer.status_code == 409 and "my words" in answer.text
    assert "publishes no alert" in ada.get("/flags/9:2025-01-01", 404)


def answered(site: Site, monkeypatch: pytest.MonkeyPatch, counts: bool, none: float) -> None:
    """The reasoning arm has read the chart: one quote stands, one does not; it puts another disease first."""

    def disease(name: str, disease_id: str, *quotes: str) -> dict[str, object]:
        told = [{"note_id": "DocumentReference/a1", "text": quote} for quote in quotes]
        resolution, test = {"disease_id": disease_id}, "enzyme activity in leukocytes"
        about = {"rank": 1, "name": name, "resolution": resolution, "probability": 0.4, "struck": 1}
        return {**about, "supporting": told, "against": [], "next_test": test}

    found = [disease("Fabry disease", FABRY, "coarse facial features", "words that nobody wrote")]
    differential = {"verdict": "accepted", "consistent": None, "no_rare_disease": none, "diseases": found}
    confirm = {"verdict": "accepted", "consistent": "no", "commoner_explanation": "adenoid hypertrophy", "diseases": []}
    rows = tuple(
        {"subject_id": HUNTER, "night": review_lake.NIGHT, "judged": json.dumps(one), "reasoning": "because <b>",
         "counts": counts}
        for one in (confirm, differential)
    )  # fmt: skip
    monkeypatch.setattr(type(site.records), "_answers", lambda *_: rows)


def test_what_the_model_read_is_shown_with_the_quotes_that_stand(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(site, monkeypatch, counts=True, none=0.1)
    page = Person(site, "aud").get(f"/flags/{HUNTER_FLAG}")
    assert re.search(r'<mark class="for" title="[^"]*model, for Fabry disease[^"]*">coarse facial features', page)
    assert "2 quotes stood in no note and count for nothing" in page
    assert "enzyme activity in leukocytes" in page and "adenoid hypertrophy" in page
    assert "because &lt;b&gt;" in page and "for trying out" not in page
    assert keys(Person(site, "ada").get("/worklist?disagree=1")) == [HUNTER_FLAG]


def test_a_model_that_is_tried_out_disagrees_with_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(site, monkeypatch, counts=False, none=0.9)
    assert "counts for nothing" in Person(site, "aud").get(f"/flags/{HUNTER_FLAG}")
    assert "arms disagree" not in Person(site, "ada").get("/worklist")


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_two_reviewers_at_once_are_both_kept_and_told(site: Site) -> None:
    ada, ben = Person(site, "ada"), Person(site, "ben")
    pages = ada.get(f"/flags/{HUNTER_FLAG}"), ben.get(f"/flags/{HUNTER_FLAG}")
    ada.judge(HUNTER_FLAG, "plausible", "one", pages[0])
    said = ben.judge(HUNTER_FLAG, "already known", "two", pages[1])
    assert "While you were reading, this alert was also judged by Ada (plausible)" in said
    assert [one.verdict for one in readings.verdicts_on(site.engine)] == ["plausible", "already known"]


def test_a_verdict_on_an_alert_withdrawn_meanwhile_is_kept_and_goes_nowhere(site: Site) -> None:
    ada = Person(site, "ada")
    ada.judge(HUNTER_FLAG, "plausible", "chart")
    page = ada.get(f"/flags/{HUNTER_FLAG}")
    lake = site.records.lake
    review_lake.withdraw(lake, HUNTER, datetime(2025, 6, 10).date(), review_lake.soon(1))
    final = page[page.index('id="verdict"') :]
    said = ada.judge(HUNTER_FLAG, "plausible", "still", final, confirmed="1", disease_id=MPS2)
    assert "was withdrawn on 2025-07-01 (suspected) after you opened it" in said
    assert readings.verdicts_on(site.engine)[-1].flag_state == "withdrawn"
    assert outbox(site) == []


def outbox(site: Site) -> list[tuple[str, str]]:
    with site.engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX).order_by(OUTBOX.c.id)).mappings().all()
    return [(row["action"], row["disease_id"]) for row in rows]


def final(person: Person, answer: str, **more: str) -> str:
    page = person.get(f"/flags/{HUNTER_FLAG}")
    return person.judge(HUNTER_FLAG, answer, "because", page[page.index('id="verdict"') :], **more)


def test_only_what_a_clinician_confirms_goes_to_the_outbox_and_comes_back(site: Site) -> None:
    ada = Person(site, "ada")
    ada.judge(HUNTER_FLAG, "plausible", "chart", confirmed="1", disease_id=MPS2)
    assert outbox(site) == []  # the ranking was not even shown
    final(ada, "plausible")
    assert outbox(site) == []
    final(ada, "unsure", confirmed="1", disease_id=MPS2)
    assert outbox(site) == []
    assert "waits in the outbox" in final(ada, "plausible", confirmed="1", disease_id=MPS2)
    assert "already on its way" in final(ada, "plausible", confirmed="1", disease_id=MPS2)
    assert outbox(site) == [("write", MPS2)]
    final(ada, "plausible", confirmed="1", disease_id=FABRY)
    assert outbox(site) == [("write", MPS2), ("retract", MPS2), ("write", FABRY)]
    assert "will be taken back" in final(ada, "explained otherwise")
    assert outbox(site)[3:] == [("retract", FABRY)]
    assert "one of the diseases shown" in final(ada, "plausible", confirmed="1", disease_id="OMIM:1")
    with site.engine.connect() as connection:
        payload = connection.execute(sa.select(OUTBOX.c.payload).limit(1)).scalar_one()
    assert payload["clinician"] == {"login": "ada", "name": "Ada", "practitioner": "Practitioner/7"}
    assert payload["disease"]["risk"] == "high"


@pytest.mark.parametrize(("reason", "taken_back"), [("source removed", True), ("suspected", False)])
def test_what_was_written_is_taken_back_when_the_alert_falls(site: Site, reason: str, taken_back: bool) -> None:
    ada = Person(site, "ada")
    ada.judge(HUNTER_FLAG, "plausible", "chart")
    final(ada, "plausible", confirmed="1", disease_id=MPS2)
    snapshot = site.records.snapshot()
    assert snapshot is not None
    assert readings.retract_fallen(site.engine, alerts_on(snapshot, snapshot.night)) == 0
    review_lake.withdraw(site.records.lake, HUNTER, datetime(2025, 6, 10).date(), review_lake.soon(1), reason)
    ada.get("/worklist")
    ada.get("/worklist")
    assert outbox(site) == [("write", MPS2), *([("retract", MPS2)] if taken_back else [])]


def confirmed(site: Site) -> tuple[Letter, Snapshot]:
    ada = Person(site, "ada")
    ada.judge(HUNTER_FLAG, "plausible", "chart")
    final(ada, "plausible", confirmed="1", disease_id=MPS2)
    snapshot = site.records.snapshot()
    assert snapshot is not None
    (letter,) = waiting(site.engine)
    return letter, snapshot


def test_the_letter_tells_the_ehr_what_the_lake_holds(site: Site) -> None:
    letter, snapshot = confirmed(site)
    found = bundle_of(letter, site.records, snapshot, to_portals=False)
    risk, provenance, task = (entry["resource"] for entry in found["entry"])
    assert [one["resourceType"] for one in (risk, provenance, task)] == ["RiskAssessment", "Provenance", "Task"]
    assert risk["subject"] == {"reference": f"Patient/pat-{HUNTER}"}
    assert [one["reference"] for one in risk["basis"]] == ["DocumentReference/a2", "DocumentReference/a1"]
    (prediction,) = risk["prediction"]
    assert prediction["outcome"]["coding"][0]["code"] == MPS2.partition(":")[2]
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "high" and "probabilityDecimal" not in prediction
    assert "Screening aid, not a diagnosis" in risk["note"][0]["text"]
    assert task["owner"] == {"display": "Ada", "reference": "Practitioner/7"}
    assert all(entry["request"]["ifNoneExist"].startswith("_tag=") for entry in found["entry"])
    assert "macroglossia again" not in json.dumps(found)  # references to notes, and nothing of their text


@pytest.mark.parametrize(
    ("since", "sentence"),
    [
        ({"deleted": True}, "deleted since the flag was confirmed"),
        ({"restricted": True}, "restricted since the flag was confirmed"),
        ({"merged_into": 1004}, "merged into another since"),
        (None, "deleted since the flag was confirmed"),
    ],
)
def test_a_patient_changed_since_the_flag_was_confirmed_is_not_written_about(
    site: Site, since: dict[str, object] | None, sentence: str
) -> None:
    letter, snapshot = confirmed(site)
    patients = {**snapshot.patients, HUNTER: {**snapshot.patients[HUNTER], **(since or {})}}
    if since is None:
        del patients[HUNTER]
    with pytest.raises(WriteBackError, match=sentence):
        bundle_of(letter, site.records, dataclasses.replace(snapshot, patients=patients), to_portals=False)
    assert outbox(site) == [("write", MPS2)]


def test_a_verdict_needs_an_answer_and_a_final_one_a_reason(site: Site) -> None:
    ada = Person(site, "ada")
    assert "Choose one verdict" in ada.judge(HUNTER_FLAG, "certain", "kept words")
    assert "kept words" in ada.judge(HUNTER_FLAG, "certain", "kept words")
    ada.judge(HUNTER_FLAG, "unsure", "")
    page = ada.get(f"/flags/{HUNTER_FLAG}")
    assert "Give a reason" in ada.judge(HUNTER_FLAG, "unsure", "  ", page[page.index('id="verdict"') :])
    assert len(readings.verdicts_on(site.engine)) == 1


def test_assigning_and_snoozing_show_on_the_worklist(site: Site) -> None:
    ada, ben = Person(site, "ada"), Person(site, "ben")
    csrf = field(ada.get("/worklist"), "csrf")
    number = {one["login"]: str(one["id"]) for one in accounts.list_accounts(site.engine)}
    path = f"/flags/{HUNTER_FLAG}"
    assert "Assigned." in ada.client.post(f"{path}/assign", data={"csrf": csrf, "account_id": number["ben"]}).text
    assert keys(ben.get("/worklist?read=mine")) == [HUNTER_FLAG] and "yours" in ben.get("/worklist?read=mine")
    assert "Only a reviewer" in ada.client.post(f"{path}/assign", data={"csrf": csrf, "account_id": number["aud"]}).text
    ada.client.post(f"{path}/snooze", data={"csrf": csrf, "days": "30"})
    assert keys(ada.get("/worklist?read=snoozed")) == [HUNTER_FLAG]
    assert HUNTER_FLAG not in keys(ada.get("/worklist?state=open"))
    assert HUNTER_FLAG in keys(ben.get("/worklist?state=open"))
    ada.client.post(f"{path}/snooze", data={"csrf": csrf, "days": "0"})
    assert keys(ada.get("/worklist?read=snoozed")) == []


def test_kappa_is_agreement_beyond_chance() -> None:
    """Of 50 pairs 35 agree (0.7); the margins (25, 25 and 30, 20) expect 0.5: kappa is 0.2 / 0.5."""
    made = []
    for n, (one, other) in enumerate(
        [("plausible", "plausible")] * 20 + [("plausible", "unsure")] * 5
        + [("unsure", "plausible")] * 10 + [("unsure", "unsure")] * 15
    ):  # fmt: skip
        for reader, answer in ((1, one), (2, other)):
            made.append(
                readings.Verdict(
                    n * 2 + reader, f"f{n}", n, None, review_lake.NIGHT, "chart", answer, "", "first", None, False,
                    "standing", reader, f"R{reader}", datetime.now(UTC),
                )
            )  # fmt: skip
    agreed = readings.agreement(made)
    assert (agreed.pairs, agreed.agree) == (50, 35)
    assert agreed.kappa == pytest.approx(0.4)
    assert agreed.interval is not None and agreed.interval[0] < 0.4 < agreed.interval[1]
    assert readings.agreement(made[:2]).kappa is None
    assert readings.agreement([one for one in made if one.account_id == 1]).pairs == 0


POLICY = """[[policy]]
from = 2025-01-01
by = "Dr. Ada Okafor"
why = "First policy."
threshold = 0.008

[[policy]]
from = 2025-06-20
by = "Dr. Ben Adeyemi"
why = "The clinic is <closed>."
threshold = 0.01
withdraw_below = 0.009
budget = 5
suspended = ["OMIM:301500"]

[[policy]]
from = 2026-01-01
by = "Dr. Ada Okafor"
why = "Open again."
threshold = 0.01
"""


def test_the_policy_page_tells_what_holds_and_why(site: Site, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    kept = site.configuration
    site.configuration = replaced(kept, "policy", file=str(tmp_path / "policy.toml"))
    try:
        page = html.fromstring(Person(site, "aud").get("/policy"))
        found = page.xpath("//table[contains(@class, 'policy')]/tbody/tr")
        rows = [" ".join(row.text_content().split()) for row in found]
        assert [row[:10] for row in rows] == ["2026-01-01", "2025-06-20", "2025-01-01"]
        assert ["holds" in row[:18] for row in rows] == [False, True, False]
        assert "not yet" in rows[0]
        assert "withdrawn below 0.009" in rows[1] and "at most 5 new alerts a night" in rows[1]
        assert "suspended: Fabry disease (OMIM:301500)" in rows[1]
        assert "The clinic is <closed>." in rows[1] and "Dr. Ben Adeyemi" in rows[1]
        (tmp_path / "policy.toml").write_text(POLICY.replace("threshold = 0.008", "threshold = 8"))
        told = Person(site, "aud").get("/policy", 400)
        assert "entry 1, threshold" in told
    finally:
        site.configuration = kept
    assert "no policy file is named" in Person(site, "ada").get("/policy")


def test_agreement_is_told_to_admin_and_auditor(site: Site) -> None:
    for login, answer in (("ada", "plausible"), ("ben", "plausible")):
        Person(site, login).judge(HUNTER_FLAG, answer, "x")
    for login in ("aud", "adm"):
        assert "1 of 1 pairs agree" in Person(site, login).get("/agreement")


# -- audit trail -------------------------------------------------------------------------------------------------------


def test_every_look_and_deed_is_in_the_trail_as_an_audit_event(site: Site) -> None:
    from fhir.resources.R4B.auditevent import AuditEvent

    ada = Person(site, "ada")
    ada.get("/worklist")
    ada.judge(HUNTER_FLAG, "plausible", "secret words")
    ada.get("/audit", 403)
    Person(site).log_in("ada", "wrong password")
    auditor = Person(site, "aud")
    lines = auditor.get("/audit/export").splitlines()
    events = [AuditEvent.model_validate_json(line) for line in lines]
    told = [json.loads(line) for line in lines]
    kinds = [(one["subtype"][0]["display"], one["outcome"]) for one in told]
    for expected in (
        ("log in", "0"),
        ("worklist", "0"),
        ("look", "0"),
        ("verdict", "0"),
        ("refused", "8"),
        ("log in", "8"),
    ):
        assert expected in kinds
    looks = [one for one in told if one["subtype"][0]["display"] == "look"]
    assert looks[0]["entity"][0]["what"]["identifier"]["value"] == f"{HUNTER:016x}"
    assert looks[0]["agent"][0]["who"]["identifier"]["value"] == "ada"
    assert len(events) == len(lines)
    whole = "\n".join(lines)
    for never in ("secret words", "pat-1001", "macroglossia", PASSWORD):
        assert never not in whole
    page = auditor.get(f"/audit?patient={HUNTER:016x}")
    assert "the chain of hashes is whole" in page and "look" in page


def test_the_trail_and_verdicts_cannot_be_changed_and_a_break_shows(site: Site) -> None:
    Person(site, "ada").judge(HUNTER_FLAG, "unsure", "x")
    for table in (AUDIT_TRAIL, VERDICTS):
        for change in (table.delete(), table.update().values(flag_id="other")):
            with pytest.raises(sa.exc.DatabaseError, match="append-only"), site.engine.begin() as connection:
                connection.execute(change)
    assert audit_trail.check(site.engine)[1] is None
    with site.engine.begin() as connection:  # somebody with the file in hand
        connection.exec_driver_sql("DROP TRIGGER audit_trail_no_update")
        connection.exec_driver_sql("UPDATE audit_trail SET event = replace(event, 'ada', 'ben') WHERE id = 2")
    assert audit_trail.check(site.engine)[1] == 2
    assert "breaks at event 2" in Person(site, "aud").get("/audit")


# -- accounts, database, lake ------------------------------------------------------------------------------------------


def test_an_admin_makes_accounts_that_log_in_once_told(site: Site) -> None:
    admin = Person(site, "adm")
    csrf = field(admin.get("/accounts"), "csrf")
    form = {"csrf": csrf, "what": "create", "login": "Cleo", "name": "Cleo", "role": "dashboard", "practitioner": ""}
    told = admin.client.post("/accounts", data=form).text
    found = re.search(r"cleo logs in with (\S+)\. It is", told)
    assert found
    assert "Dashboard" in Person(site).log_in("cleo", found.group(1))
    assert "already an account" in admin.client.post("/accounts", data=form).text
    assert "A role is one of" in admin.client.post("/accounts", data={**form, "login": "dora", "role": "god"}).text
    number = {one["login"]: str(one["id"]) for one in accounts.list_accounts(site.engine)}
    shut = {"csrf": csrf, "what": "disable", "account_id": number["adm"]}
    assert "by another admin" in admin.client.post("/accounts", data=shut).text


def test_first_accounts_are_one_of_each_role_on_made_data_and_one_admin_on_real(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a' / 'review.db'}")
    first = accounts.first_accounts(engine, demo=True)
    again = accounts.first_accounts(engine, demo=True)
    assert [role for _, role, _ in first] == list(accounts.ROLES)
    assert {login for login, _, _ in first} == {login for login, _, _ in again}
    assert {password for *_, password in first} & {password for *_, password in again} == set()
    real = open_database(f"sqlite:///{tmp_path / 'b' / 'review.db'}")
    assert [role for _, role, _ in accounts.first_accounts(real, demo=False)] == ["admin"]
    assert accounts.first_accounts(real, demo=False) == []
    assert stat.S_IMODE((tmp_path / "a" / "review.db").stat().st_mode) == 0o600
    with engine.connect() as connection:
        hashes = connection.exec_driver_sql("SELECT password_hash FROM accounts").scalars().all()
    assert all(one.startswith("$argon2id$") for one in hashes)


def test_verdicts_reach_the_lake_as_a_snapshot(site: Site) -> None:
    assert read_verdicts("sqlite:////nowhere/review.db", ZoneInfo("UTC")) is None
    Person(site, "ada").judge(HUNTER_FLAG, "plausible", "tongue")
    made = read_verdicts(site.configuration.review_database, ZoneInfo("Europe/Berlin"))
    assert made is not None
    (row,) = made.to_pylist()
    assert (row["subject_id"], row["verdict"], row["reviewer"], row["stage"]) == (HUNTER, "plausible", "ada", "chart")
    assert row["given_at"].astimezone(ZoneInfo("Europe/Berlin")).date() == row["known_night"]


def test_a_database_or_lake_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    for url in ("postgresql+psycopg2://u:secret@127.0.0.1:1/none", "sqlite:////proc/none/review.db", "nonsense"):
        with pytest.raises(DatabaseError) as caught:
            open_database(url)
        assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="review database"):
        read_verdicts("postgresql+psycopg2://u:secret@127.0.0.1:1/none", ZoneInfo("UTC"))
    from review.app import make_site

    with pytest.raises(LakeError, match="zebrawatch screen"):
        make_site(review_lake.configuration(tmp_path))
    newer = open_database(f"sqlite:///{tmp_path / 'review.db'}")
    with newer.begin() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99'")
    newer.dispose()
    with pytest.raises(DatabaseError, match="upgrade"):
        open_database(f"sqlite:///{tmp_path / 'review.db'}")


def test_an_empty_lake_says_what_to_do(tmp_path: Path) -> None:
    from connectors.lake import Lake
    from review.app import make_site

    settings = review_lake.configuration(tmp_path)
    Lake.open(settings.lake_folder, create=True)
    site = make_site(settings)
    accounts.create_account(site.engine, "ada", "Ada", "reviewer", PASSWORD)
    assert "zebrawatch screen" in Person(site, "ada").get("/worklist")


def test_what_fails_says_its_kind_and_nothing_of_a_patient(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ada = Person(site, "ada")

    def broken(*_: object) -> None:
        raise ValueError("Jane Doe, MRN 4711")

    monkeypatch.setattr(type(site.records), "patient", broken)
    client = TestClient(make_app(site), base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.cookies = ada.client.cookies
    answer = client.get(f"/flags/{HUNTER_FLAG}")
    said = answer.text + "".join(capfd.readouterr())
    assert answer.status_code == 500 and "ValueError" in said
    assert "Jane" not in said and "4711" not in said and str(HUNTER) not in said


def test_the_command_prints_accounts_that_log_in_and_logs_no_patient(template: Path) -> None:
    environment = {
        **os.environ, "ZEBRAWATCH_SITE__KEY_FILE": str(template / "site.key"),
        "ZEBRAWATCH_KNOWLEDGE__FOLDER": str(template / "knowledge"),
        "ZEBRAWATCH_REVIEW__DATABASE": f"sqlite:///{template / 'command' / 'review.db'}",
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "pipelines.commands.main",
        "review",
        "--port",
        "0",
        "--lake",
        str(template / "lake"),
    ]
    with subprocess.Popen(command, stdout=PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ready: "):
                break
        accounts_told = dict(re.findall(r"^ {2}(\w+) +\S+ +(\S+)$", "".join(said), re.MULTILINE))
        assert set(accounts_told) == set(accounts.ROLES)
        address = said[-1].split()[1].rstrip("/")
        with httpx.Client(base_url=address, follow_redirects=True) as client:
            csrf = field(client.get("/login").text, "csrf")
            form = {"csrf": csrf, "next": "", "login": "demo-reviewer", "password": accounts_told["reviewer"]}
            assert "Worklist" in client.post("/login", data=form).text
            assert "coarse facial features" in client.get(f"/flags/{HUNTER_FLAG}").text
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "Traceback" not in rest
    for never in (str(HUNTER), f"{HUNTER:016x}", "pat-1001", "macroglossia"):
        assert never not in rest


# -- OpenID Connect ----------------------------------------------------------------------------------------------------


def test_a_hospital_account_logs_in_with_the_role_it_claims(tmp_path: Path) -> None:
    from openid_issuer import Issuer

    issuer = Issuer()
    with review_lake.serving(issuer.app()) as issuer.address:
        settings = {"oidc_issuer": issuer.address, "oidc_client_id": "zebrawatch"}
        site = review_lake.make(tmp_path, **settings)
        person = Person(site)
        assert "hospital account" in person.get("/login")
        assert "Worklist" in follow(person, "/login/openid")
        assert "Dr. Clara" in person.get("/worklist")
        issuer.claims = {**issuer.claims, "roles": ["dashboard", "reviewer"], "name": "Dr. Clara M."}
        other = Person(site)
        assert "Dashboard" in follow(other, "/login/openid")  # the role that sees least
        assert len(accounts.list_accounts(site.engine)) == 1
        assert "does not see this page" in other.get("/worklist", 403)
        issuer.claims = {"sub": "u2", "name": "Someone", "roles": ["cook"]}
        assert "has no role here" in follow(Person(site), "/login/openid")
        issuer.audience = "another application"
        assert "could not be checked" in follow(Person(site), "/login/openid")
        back = Person(site).client.get("/login/openid/back?code=x&state=forged")
        assert back.status_code == 401 and "not accepted" in back.text
        known = accounts.list_accounts(site.engine)[0]
        assert known["issuer"] == issuer.address
        assert accounts.authenticate(site.engine, known["login"], "", "x") is None  # has no password


def follow(person: Person, path: str) -> str:
    """Follow a log-in through the hospital's issuer and back; the client itself stays with the application."""
    away = person.client.get(path, follow_redirects=False)
    assert away.status_code == 302, away.text
    back = httpx.get(away.headers["location"]).headers["location"]
    return person.client.get(back.replace("http://127.0.0.1", "", 1)).text
