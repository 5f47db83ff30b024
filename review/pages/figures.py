"""Pages without patients: dashboard, agreement between readers, the alert policy, accounts, audit trail."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup
from selectolax.lexbor import LexborHTMLParser
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from connectors.policies import policies_of
from connectors.published import PAGE
from review import accounts, audit_trail, readings, sessions
from review.audit_trail import EXPORT, SECURITY, Deed, record
from review.database import AUDIT_TRAIL, DatabaseError, reading
from review.readings import ANSWERS, FINAL
from review.records import Records
from review.sessions import Session
from review.web import AREAS, HEADERS, Site, address_of, guarded, message, page, site_of
from zebrawatch.reports.figures import gate_words, headlines
from zebrawatch.reports.suppression import floor_of, shown_count

EVENTS_A_PAGE = 50


# -- dashboard ---------------------------------------------------------------------------------------------------------


@guarded("dashboard")
def dashboard(request: Request, session: Session, _form: FormData) -> Response:
    """Aggregates only; small cells are hidden."""
    site = site_of(request)
    folder = last_report(site)
    result = _json(folder / "result.json") if folder else {}
    snapshot = site.records.snapshot()
    floor = floor_of(site.records.data_kind)
    patients = len(snapshot.patients) if snapshot else 0
    whole = _published(site)
    main = whole.css_first("main") if whole else None
    gate, held = gate_words(result)
    return page(
        request, "dashboard.html", session, published=Markup(main.inner_html) if main and main.inner_html else None,
        figures=headlines(result, patients, floor) if result else (),
        night=snapshot.night if snapshot else None, report=folder is not None,
        screened=shown_count(patients, floor), floor=floor, gate=gate, held=held,
    )  # fmt: skip


@guarded("dashboard")
def published_style(request: Request, _session: Session, _form: FormData) -> Response:
    """The published page's own style, for the part of ours that holds it."""
    page = _published(site_of(request))
    style = page.css_first("style") if page else None
    return Response(f"@scope (.published) {{\n{style.text() if style else ''}\n}}", media_type="text/css")


def _published(site: Site) -> LexborHTMLParser | None:
    """The dashboard page that the last night published (connectors.published); None before there is one."""
    file = site.configuration.published_folder / PAGE
    return LexborHTMLParser(file.read_text(encoding="utf-8")) if file.is_file() else None


@guarded("dashboard")
def summary(request: Request, session: Session, _form: FormData) -> Response:
    """The summary report of the last night, as it lies in the lake: one page, its style inside."""
    folder = last_report(site_of(request))
    if folder is None:
        return message(request, session, "No report yet", "The lake holds no summary report.", 404)
    policy = HEADERS["Content-Security-Policy"].replace("style-src 'self'", "style-src 'unsafe-inline'")
    text = (folder / "summary.html").read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def last_report(site: Site) -> Path | None:
    """Folder of the reports of the last published range of nights."""
    snapshot = site.records.snapshot()
    folder = site.records.lake.reports / str(snapshot.identity.get("nights", "")) if snapshot else None
    return folder if folder and (folder / "summary.html").is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


# -- agreement ---------------------------------------------------------------------------------------------------------


@guarded("agreement")
def agreement(request: Request, session: Session, _form: FormData) -> Response:
    """How well two readers agree, what was answered, and what random readings found."""
    site = site_of(request)
    verdicts = readings.verdicts_on(site.engine)
    firsts = [one for one in verdicts if one.reading != "sample"]
    flags: dict[str, list[readings.Verdict]] = {}
    for one in verdicts:
        flags.setdefault(one.flag_id, []).append(one)
    held = [next(iter(readings.standing(given).values())) for given in flags.values()]
    finals = Counter(one.verdict for one in held if one.reading != "sample")
    sample = [one for one in held if one.reading == "sample"]
    drawn = readings.assignments(site.engine, "sample")
    changed = sum(1 for given in flags.values() if _changed(given))
    return page(
        request, "agreement.html", session, agreed=readings.agreement(firsts), answers=ANSWERS, finals=finals,
        read=sum(finals.values()), changed=changed, share=site.configuration.review.second_reading_share,
        drawn=len(drawn), sample=Counter(one.verdict for one in sample), sampled=len(sample),
        missed=sum(one.sampling_weight or 0.0 for one in sample if one.verdict == "plausible"),
    )  # fmt: skip


def _changed(given: list[readings.Verdict]) -> bool:
    """Whether a reader answered differently once the ranking was shown."""
    first: dict[int, str] = {}
    for one in given:
        if one.stage != FINAL:
            first.setdefault(one.account_id, one.verdict)
        elif first.get(one.account_id, one.verdict) != one.verdict:
            return True
    return False


# -- the alert policy --------------------------------------------------------------------------------------------------


@guarded("policy")
def policy(request: Request, session: Session, _form: FormData) -> Response:
    """The alert policy's history: what holds on the last published night, since when, who decided it and why."""
    site = site_of(request)
    records, snapshot = site.records, site.records.snapshot()
    history = policies_of(site.configuration, records.knowledge)
    holding = history.entry(snapshot.night) if snapshot else history.entries[-1]
    entries = [
        {"entry": one, "holds": one is holding, "from_file": one.since > date.min,
         "words": one.in_words(_named(records)), "later": snapshot is not None and one.since > snapshot.night}
        for one in reversed(history.entries)
    ]  # fmt: skip
    return page(
        request, "policy.html", session, entries=entries, night=snapshot.night if snapshot else None,
        file=Path(site.configuration.policy.file).name, drift=site.configuration.policy.suspend_on_drift,
    )  # fmt: skip


def _named(records: Records) -> Callable[[str], str]:
    """A disease's name with its id."""

    def name_of(disease_id: str) -> str:
        name = records.disease_name(disease_id)
        return f"{name} ({disease_id})" if name else disease_id

    return name_of


# -- accounts ----------------------------------------------------------------------------------------------------------


@guarded("accounts")
def accounts_page(request: Request, session: Session, form: FormData) -> Response:
    """All accounts; make one, shut one out, give a new password."""
    site = site_of(request)
    told = ""
    if request.method == "POST":
        told = _account_change(site, session, form, address_of(request))
        if not told:
            return RedirectResponse("/accounts", 303)
    listed = accounts.list_accounts(site.engine)
    return page(request, "accounts.html", session, accounts=listed, roles=tuple(AREAS), told=told)


def _account_change(site: Site, session: Session, form: FormData, address: str) -> str:
    """Do what the form asks; a sentence with a new password, told once, or nothing."""
    what, told = str(form.get("what", "")), ""
    chosen = str(form.get("account_id", ""))
    if what == "create":
        password = secrets.token_urlsafe(12)
        made = accounts.create_account(
            site.engine, str(form.get("login", "")), str(form.get("name", "")), str(form.get("role", "")), password,
            str(form.get("practitioner", "")) or None,
        )  # fmt: skip
        about, told = made.login, f"{made.login} logs in with {password}. It is shown only now."
    else:
        known = {str(one["id"]): one for one in accounts.list_accounts(site.engine)}
        if chosen not in known:
            raise DatabaseError("There is no such account.")
        about = known[chosen]["login"]
        if int(chosen) == session.account.id:
            raise DatabaseError("Your own account is changed by another admin, or on your account page.")
        if what in ("disable", "enable"):
            accounts.disable(site.engine, int(chosen), what == "disable")
            word = "is shut out" if what == "disable" else "may log in again"
            sessions.tell(site.engine, session, [f"{about} {word}."])
        elif what == "password":
            password = secrets.token_urlsafe(12)
            accounts.set_password(site.engine, int(chosen), password)
            told = f"{about} logs in with {password}. It is shown only now."
        else:
            raise DatabaseError("The form asks for nothing known.")
    with site.engine.begin() as connection:
        action = "C" if what == "create" else "U"
        record(
            connection, session.account, address, Deed(SECURITY, f"account {what}", action, facts={"account": about})
        )
    return told


# -- audit trail -------------------------------------------------------------------------------------------------------


@guarded("audit")
def audit(request: Request, session: Session, _form: FormData) -> Response:
    """Who looked at whom and did what, newest first."""
    site, query = site_of(request), request.query_params
    wanted = _wanted(query.get("who", ""), query.get("what", ""), query.get("patient", ""))
    asked = query.get("page", "1")
    number = max(1, int(asked)) if asked.isdecimal() else 1
    with reading(site.engine) as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(AUDIT_TRAIL).where(wanted)) or 0
        pages = max(1, -(-total // EVENTS_A_PAGE))
        number = min(number, pages)
        rows = connection.execute(
            sa.select(AUDIT_TRAIL).where(wanted).order_by(AUDIT_TRAIL.c.id.desc())
            .limit(EVENTS_A_PAGE).offset((number - 1) * EVENTS_A_PAGE)
        ).mappings().all()  # fmt: skip
        kinds = connection.execute(sa.select(AUDIT_TRAIL.c.subtype).distinct()).scalars().all()
    count, broken = audit_trail.check(site.engine)
    return page(
        request, "audit.html", session, rows=[_told(dict(row)) for row in rows], total=total, page=number, pages=pages,
        count=count, broken=broken, kinds=sorted(kinds), who=query.get("who", ""), what=query.get("what", ""),
        patient=query.get("patient", ""),
    )  # fmt: skip


def _wanted(who: str, what: str, patient: str) -> sa.ColumnElement[bool]:
    wanted: sa.ColumnElement[bool] = sa.true()
    if who:
        wanted &= AUDIT_TRAIL.c.agent == who.strip().lower()
    if what:
        wanted &= AUDIT_TRAIL.c.subtype == what
    if patient:
        wanted &= AUDIT_TRAIL.c.event.contains(f'"value": "{patient.strip().lower()}', autoescape=True)
    return wanted


def _told(row: dict[str, Any]) -> dict[str, Any]:
    event = json.loads(row["event"])
    entities = event.get("entity", [])
    patients = [
        one["what"]["identifier"]["value"]
        for one in entities
        if one.get("what", {}).get("identifier", {}).get("system") == "urn:zebrawatch:subject"
    ]
    facts = [f"{d['type'].replace('_', ' ')}: {d['valueString']}" for one in entities for d in one.get("detail", [])]
    address = event["agent"][0].get("network", {}).get("address", "")
    return {**row, "patients": patients, "facts": facts, "address": address}


@guarded("audit")
def audit_export(request: Request, session: Session, _form: FormData) -> Response:
    """The whole trail as FHIR AuditEvents, one a line."""
    site = site_of(request)
    with site.engine.begin() as connection:
        record(connection, session.account, address_of(request), Deed(EXPORT, "audit export", "R"))
    with reading(site.engine) as connection:
        events = connection.execute(sa.select(AUDIT_TRAIL.c.event).order_by(AUDIT_TRAIL.c.id)).scalars().all()
    headers = {"Content-Disposition": 'attachment; filename="audit-trail.ndjson"'}
    return StreamingResponse((f"{event}\n" for event in events), media_type="application/fhir+ndjson", headers=headers)
