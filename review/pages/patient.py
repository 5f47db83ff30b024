"""The patient page: the chart first; when the reviewer has judged it, what the screen made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from review import chart, readings, sessions
from review.accounts import list_accounts
from review.audit_trail import PATIENT_RECORD, Deed, record
from review.episodes import (
    Alert,
    absence,
    alert_on,
    alerts_on,
    read_twice,
    sample_of,
    survivor,
)
from review.readings import ANSWERS, CHART, FINAL, Assignment, Given, Verdict
from review.records import Snapshot
from review.sessions import Session
from review.timeline import timeline
from review.web import Site, address_of, guarded, message, page, site_of

SNOOZES = ((7, "a week"), (30, "a month"), (90, "three months"))


@dataclass(frozen=True)
class Case:
    """What a page is about: an alert, or a patient drawn at random."""

    flag_id: str
    subject_id: int
    read_on: date
    alert: Alert | None
    drawn: Assignment | None

    @property
    def weight(self) -> float | None:
        """Sampling weight of a random reading."""
        return self.drawn.sampling_weight if self.drawn else None


def case_of(site: Site, snapshot: Snapshot, flag_id: str) -> Case | None:
    """The case of an id; None where there is none."""
    sample = sample_of(flag_id)
    if sample is not None:
        drawn = next((one for one in readings.assignments(site.engine, "sample") if one.flag_id == flag_id), None)
        return Case(flag_id, sample[0], sample[1], None, drawn) if drawn else None
    alert = alert_on(snapshot.flags.get(flag_id, ()), snapshot.night)
    return Case(flag_id, alert.subject_id, alert.read_on, alert, None) if alert else None


@guarded("worklist")
def patient(request: Request, session: Session, _form: FormData) -> Response:
    """A patient's page."""
    site, flag_id = site_of(request), request.path_params["flag_id"]
    snapshot = site.records.snapshot()
    case = case_of(site, snapshot, flag_id) if snapshot else None
    if snapshot is None or case is None:
        return message(request, session, "No such alert", f"The lake publishes no alert {flag_id}.", 404)
    trouble = absence(snapshot, survivor(snapshot, case.subject_id))
    with site.engine.begin() as connection:
        deed = Deed(PATIENT_RECORD, "look", "R", (case.subject_id,), flag_id, refused=trouble is not None)
        record(connection, session.account, address_of(request), deed)
    if trouble:
        text = f"{trouble} Its chart cannot be opened; verdicts given before are kept."
        return message(request, session, "This chart is closed", text, 410)
    return _page(request, session, site, snapshot, case)


def _page(request: Request, session: Session, site: Site, snapshot: Snapshot, case: Case) -> Response:
    given = readings.verdicts_on(site.engine, subject=case.subject_id)
    here = [one for one in given if one.flag_id == case.flag_id]
    mine = [one for one in here if one.account_id == session.account.id]
    reads = session.account.role == "reviewer"
    revealed = not reads or bool(mine)
    subject = survivor(snapshot, case.subject_id)
    night = _night(request, snapshot, case, revealed)
    rows = site.records.patient(snapshot, subject, night)
    zone = site.configuration.zone
    made: Any = None
    alerts = [one for one in alerts_on(snapshot, night) if one.subject_id in rows.subjects]
    if revealed:
        raised = case.alert.raised if case.alert else None
        made = chart.judged(rows, site.records, zone, request.query_params.get("d"), raised)
    percentage = snapshot.percentage.of(made.p_any, night) if made and made.ranked and snapshot.percentage else None
    told = made.chart if made else chart.chart_of(rows, zone)
    picture = timeline(rows, site.records, zone, alerts if revealed else (), made.chosen if made else None)
    assigned = [one for one in readings.assignments(site.engine) if one.flag_id == case.flag_id]
    return page(
        request, "patient.html", session, case=case, chart=told, made=made, picture=picture, revealed=revealed,
        percentage=percentage, fitted=snapshot.percentage, reads=reads, night=night,
        last=snapshot.night, alert=case.alert, alerts=alerts,
        earlier=[one for one in given if one.flag_id != case.flag_id] if revealed else [],
        here=here if revealed else [], mine=mine[-1] if mine else None, answers=ANSWERS,
        seen=max((one.id for one in here), default=0), draft=_draft(session, case),
        merged=subject != case.subject_id, twice=case.alert is not None and read_twice(
            case.flag_id, site.key, site.configuration.review.second_reading_share),
        assigned=next((one for one in assigned if one.kind == "assign"), None),
        snoozed=next((one for one in assigned if one.kind == "snooze" and one.account_id == session.account.id), None),
        reviewers=_reviewers(site) if reads else [], snoozes=SNOOZES,
        changes=_changes(snapshot, case), confirmed=_confirmed(here),
    )  # fmt: skip


def _night(request: Request, snapshot: Snapshot, case: Case, revealed: bool) -> date:
    """The night as of which the chart is shown; later than the alert's own only after it was judged."""
    try:
        asked = date.fromisoformat(request.query_params.get("night", ""))
    except ValueError:
        return case.read_on
    first = case.alert.raised if case.alert else case.read_on
    return min(max(asked, first), snapshot.night if revealed else case.read_on)


def _draft(session: Session, case: Case) -> dict[str, Any] | None:
    """What was being written about this case when the session expired."""
    draft = session.draft
    return draft if draft and str(draft.get("path", "")).endswith(f"/{case.flag_id}") else None


def _reviewers(site: Site) -> list[dict[str, Any]]:
    return [one for one in list_accounts(site.engine) if one["role"] == "reviewer" and not one["disabled"]]


def _changes(snapshot: Snapshot, case: Case) -> list[dict[str, Any]]:
    """What happened to the alert, night by night: raised, list changed, withdrawn; what was first then."""
    told = {"raise": "raised", "show": "list changed", "withdraw": "withdrawn"}
    found = []
    for row in snapshot.flags.get(case.flag_id, ()):
        first = row["shown"][0]["disease_name"] if row["shown"] else ""
        reason = row["reason"] if row["action"] == "withdraw" or row["reason"] != "threshold" else ""
        reason = "" if row["action"] == "show" else reason
        found.append({"night": row["night"], "what": told[row["action"]], "reason": reason, "first": first})
    return found


def _confirmed(here: list[Verdict]) -> Verdict | None:
    last = [one for one in here if one.stage == FINAL]
    return last[-1] if last and last[-1].confirmed else None


# -- forms -------------------------------------------------------------------------------------------------------------


def _case(request: Request, site: Site) -> tuple[Snapshot, Case] | None:
    snapshot = site.records.snapshot()
    case = case_of(site, snapshot, request.path_params["flag_id"]) if snapshot else None
    return (snapshot, case) if snapshot and case else None


def _back(case: Case, place: str = "") -> Response:
    return RedirectResponse(f"/flags/{case.flag_id}{place}", 303)


@guarded("worklist", roles=("reviewer",))
def verdict(request: Request, session: Session, form: FormData) -> Response:
    """Keep a verdict."""
    site = site_of(request)
    found = _case(request, site)
    reason = str(form.get("reason", ""))
    if found is None:
        text = "This alert is not published any more, so the verdict could not be kept. What you wrote stands below."
        return message(request, session, "No such alert", text, 409, reason)
    snapshot, case = found
    if trouble := absence(snapshot, survivor(snapshot, case.subject_id)):
        text = f"{trouble} The verdict was not kept; what you wrote stands below."
        return message(request, session, "This chart is closed", text, 409, reason)
    seen, stage = str(form.get("seen", "0")), str(form.get("stage", ""))
    given = Given(
        str(form.get("verdict", "")), reason, stage, str(form.get("disease_id", "")) or None,
        form.get("confirmed") == "1", int(seen) if seen.isdecimal() else 0,
    )  # fmt: skip
    opened = _as_opened(case, str(form.get("stamp", "")))
    flag = opened or (case.flag_id, case.subject_id, case.read_on, case.weight)
    kept = readings.give(site.engine, session.account, address_of(request), flag, given, case.alert)
    if _draft(session, case):
        sessions.drop_draft(site.engine, session)
    first = "Your reading of the chart is kept. Below is what the screen made of it."
    sentences = [first if stage == CHART else "Your verdict is kept.", *kept.sentences]
    sessions.tell(site.engine, session, sentences, "care" if kept.sentences else "good")
    return _back(case)


def _as_opened(case: Case, stamp: str) -> Alert | None:
    """The alert as it stood when the form was opened, as far as it matters: whether it was withdrawn since."""
    alert = case.alert
    if alert is None or not alert.withdrawn or not stamp.endswith(":open"):
        return alert
    return Alert(**{**{name: getattr(alert, name) for name in Alert.__dataclass_fields__}, "withdrawn": None})


@guarded("worklist", roles=("reviewer",))
def assign(request: Request, session: Session, form: FormData) -> Response:
    """Assign the chart to a reviewer, or to nobody."""
    site = site_of(request)
    found = _case(request, site)
    if found is None:
        return message(request, session, "No such alert", "This alert is not published any more.", 409)
    case = found[1]
    chosen = str(form.get("account_id", ""))
    flag = (case.flag_id, case.subject_id, case.read_on)
    account = int(chosen) if chosen.isdecimal() else None
    readings.assign(site.engine, session.account, address_of(request), flag, kind="assign", account_id=account)
    sessions.tell(site.engine, session, ["Assigned." if account else "Assigned to nobody."])
    return _back(case)


@guarded("worklist", roles=("reviewer",))
def snooze(request: Request, session: Session, form: FormData) -> Response:
    """Let the chart sleep for whoever asks."""
    site = site_of(request)
    found = _case(request, site)
    if found is None:
        return message(request, session, "No such alert", "This alert is not published any more.", 409)
    snapshot, case = found
    days = str(form.get("days", "0"))
    until = snapshot.night + timedelta(days=min(int(days), 365)) if days.isdecimal() and int(days) else None
    flag = (case.flag_id, case.subject_id, case.read_on)
    readings.assign(
        site.engine, session.account, address_of(request), flag, kind="snooze", account_id=session.account.id,
        until=until,
    )  # fmt: skip
    sessions.tell(site.engine, session, [f"Sleeps for you until {until}." if until else "Woken."])
    return RedirectResponse("/worklist", 303) if until else _back(case)
