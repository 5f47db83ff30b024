"""What all pages share: who is asking, what they may see, how a page is made and how an answer is guarded."""

from __future__ import annotations

import functools
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import jinja2
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.configuration import Configuration
from review import sessions
from review.audit_trail import SECURITY, Deed, record
from review.records import Records
from review.sessions import Limits, Session
from zebrawatch.errors import ZebrawatchError
from zebrawatch.reports.pages import signed
from zebrawatch.reports.pictures import diverging_bar
from zebrawatch.reports.risk import MEANING as RISK_MEANING
from zebrawatch.reports.risk import percent
from zebrawatch.reports.statement import Provenance, statement

HERE = Path(__file__).parent
LARGEST_FORM = 64 * 1024
COOKIE, PRE_COOKIE = "zebrawatch_session", "zebrawatch_form"

AREAS: Mapping[str, tuple[str, ...]] = {
    "reviewer": ("worklist", "policy"),
    "auditor": ("worklist", "audit", "agreement", "dashboard", "policy"),
    "dashboard": ("dashboard",),
    "admin": ("accounts", "agreement", "dashboard", "policy"),
}
"""What each role sees. An auditor reads charts and decides nothing; an admin and the dashboard see no patient."""

AREA_NAMES = {
    "worklist": "Worklist", "audit": "Audit trail", "agreement": "Agreement", "dashboard": "Dashboard",
    "accounts": "Accounts", "policy": "Policy",
}  # fmt: skip

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'none'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


@dataclass
class Site:
    """One running application."""

    configuration: Configuration
    records: Records
    engine: sa.Engine
    key: bytes
    opted_out: frozenset[int] = frozenset()
    notes: list[str] = field(default_factory=list)

    @property
    def secure(self) -> bool:
        """Whether people reach it by https, so that cookies must never travel without."""
        return self.configuration.review.public_url.startswith("https://")

    @property
    def limits(self) -> Limits:
        """How long a session lasts."""
        review = self.configuration.review
        return Limits(timedelta(minutes=review.idle_minutes), timedelta(hours=review.session_hours))

    @property
    def cookie(self) -> str:
        """The session cookie's name; `__Host-` binds it to this host where there is https."""
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    @functools.cached_property
    def templates(self) -> jinja2.Environment:
        """Templates; everything they print is escaped."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        environment.globals.update(
            signed=signed, percent=percent, diverging_bar=diverging_bar, risk_meaning=RISK_MEANING
        )
        environment.filters["short"] = lambda key: key[:8]
        environment.filters["lower_first"] = lambda text: text[:1].lower() + text[1:]
        return environment

    def statement(self) -> str:
        """OUTCOMES' statement for the footer."""
        snapshot = self.records.snapshot()
        if snapshot is None:
            return (
                "Screening aid, not a diagnosis and not a cleared medical device; a clinician must review the chart. "
                "No flag does not mean no rare disease. No night is published yet."
            )
        known = snapshot.identity.get("knowledge", {})
        releases = "; ".join(f"{name} {known[name]}" for name in sorted(known) if name != "version") or "not told"
        reasoning = snapshot.identity.get("reasoning")
        told = reasoning if isinstance(reasoning, Mapping) else {}
        model = str(told["model"]) if told.get("model") else None
        if model and str(told.get("clinical_use")).lower() == "false":
            model += " (for trying out, not clinically useful)"
        arms = ("evidence", "reasoning") if model else ("evidence",)
        checked = snapshot.percentage.words if snapshot.percentage else None
        return statement(Provenance(self.records.data_kind, arms, releases, snapshot.night, model, checked))


def site_of(request: Request) -> Site:
    """The application a request came to."""
    site: Site = request.app.state.site
    return site


def address_of(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client else ""


def page(request: Request, template: str, session: Session | None, status: int = 200, **values: Any) -> Response:
    """A page of the application, with its frame: navigation, sentences left by the last form, footer."""
    site = site_of(request)
    areas = AREAS[session.account.role] if session else ()
    frame = {
        "session": session,
        "areas": [(name, AREA_NAMES[name]) for name in areas],
        "notice": sessions.told(site.engine, session) if session else None,
        "statement": site.statement(),
        "made_data": site.records.data_kind == "made",
        "path": request.url.path,
    }
    return HTMLResponse(site.templates.get_template(template).render(**frame, **values), status)


def message(request: Request, session: Session | None, title: str, text: str, status: int, kept: str = "") -> Response:
    """A page that says one thing. `kept` is text that was written and must not be lost."""
    return page(request, "message.html", session, status, title=title, text=text, kept=kept)


Handler = Callable[[Request, Session, FormData], Response]


def guarded(area: str, *, roles: tuple[str, ...] = ()) -> Callable[[Handler], Callable[[Request], Awaitable[Response]]]:
    """Let in who is logged in and may see an area (and, where `roles` are given, has one of them); check CSRF on forms.

    `area` "" is for everyone logged in. A form sent when the session has expired is kept and shown again after log-in.
    """

    def wrap(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            site = site_of(request)
            form = await read_form(request)
            if isinstance(form, Response):
                return form
            token = request.cookies.get(site.cookie, "")
            session = await run_in_threadpool(sessions.find, site.engine, token, site.limits) if token else None
            if session is None:
                return await run_in_threadpool(_expired, request, form, token)
            allowed = not area or area in AREAS[session.account.role]
            if not allowed or (roles and session.account.role not in roles):
                return await run_in_threadpool(_refused, request, session)
            if request.method == "POST" and not hmac.compare_digest(str(form.get("csrf", "")), session.csrf):
                text = "This form does not belong to your session. Open the page again and send it from there."
                return message(request, session, "The form was not taken", text, 403, str(form.get("reason", "")))
            try:
                return await run_in_threadpool(handler, request, session, form)
            except ZebrawatchError as error:
                kept = str(form.get("reason", "")) if request.method == "POST" else ""
                return message(request, session, "That did not work", str(error), 400, kept)

        return endpoint

    return wrap


async def read_form(request: Request) -> FormData | Response:
    """The form of a POST, of at most 64 kB, sent from our own pages; an answer where it is not."""
    if request.method != "POST":
        return FormData()
    origin = request.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != request.headers.get("host")
    if foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return message(request, None, "The form was not taken", "It was sent from another site.", 403)
    length = request.headers.get("content-length", "")
    kind = request.headers.get("content-type", "")
    if not length.isdecimal() or int(length) > LARGEST_FORM:
        return message(request, None, "The form is too long", f"It may hold {LARGEST_FORM // 1024} kB.", 413)
    if not kind.startswith("application/x-www-form-urlencoded"):
        return message(request, None, "The form was not taken", "It is not a form of ours.", 415)
    return await request.form(max_fields=100)


KEPT_FIELDS = ("verdict", "reason", "disease_id", "stage", "until", "account_id")


def _expired(request: Request, form: FormData, token: str) -> Response:
    """To the log-in page. What was being sent is kept with the expired session, for whoever it belonged to."""
    site = site_of(request)
    if request.method == "POST" and (reason := str(form.get("reason", ""))):
        path = request.url.path.rpartition("/")[0]
        draft = {"path": path, **{name: str(form[name]) for name in KEPT_FIELDS if name in form}}
        if not token or not sessions.keep_draft(site.engine, token, draft):
            text = "Your session is not known any more. Log in again; what you wrote stands below to be copied."
            return message(request, None, "Log in again", text, 401, reason)
        return RedirectResponse(f"/login?next={path}&kept=1", 303)
    path = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={path}" + ("&expired=1" if token else ""), 303)


def _refused(request: Request, session: Session) -> Response:
    site = site_of(request)
    with site.engine.begin() as connection:
        deed = Deed(SECURITY, "refused", "R", facts={"area": request.url.path.split("/")[1]}, refused=True)
        record(connection, session.account, address_of(request), deed)
    text = f"The role {session.account.role} does not see this page."
    return message(request, session, "Not for this role", text, 403)


def with_cookie(response: Response, site: Site, name: str, value: str) -> Response:
    """Set a cookie that scripts cannot read and other sites cannot send with a form."""
    response.set_cookie(name, value, httponly=True, samesite="lax", secure=site.secure, path="/")
    return response


def new_token() -> str:
    """A random token for a form sent before log-in."""
    return secrets.token_urlsafe(24)


class SecurityHeaders:
    """Headers on every answer, so that a page runs nothing and asks nobody but this server."""

    def __init__(self, app: ASGIApp, secure: bool = False) -> None:
        self.app = app
        extra = {"Strict-Transport-Security": "max-age=31536000"} if secure else {}
        self.headers = {name.lower().encode(): value.encode() for name, value in {**HEADERS, **extra}.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass through, adding headers that the answer does not set itself."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in self.headers.items() if name not in given]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self.app(scope, receive, guarded_send)
