"""The application put together: routes, middleware, and the server that runs it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from connectors.configuration import Configuration, site_key
from connectors.lake import Lake
from review.accounts import first_accounts
from review.database import open_database
from review.pages import figures, login, patient, worklist
from review.records import Records
from review.web import HERE, SecurityHeaders, Site, message
from zebrawatch.errors import ConfigurationError, LakeError
from zebrawatch.fhir.subjects import subject_id_of

ROUTES = [
    Route("/", login.home),
    Route("/login", login.login_page, methods=["GET"]),
    Route("/login", login.log_in, methods=["POST"]),
    Route("/login/openid", login.openid_begin),
    Route("/login/openid/back", login.openid_back, name="openid_back"),
    Route("/logout", login.log_out, methods=["POST"]),
    Route("/account", login.own_account, methods=["GET", "POST"]),
    Route("/worklist", worklist.worklist),
    Route("/flags/{flag_id}", patient.patient),
    Route("/flags/{flag_id}/verdict", patient.verdict, methods=["POST"]),
    Route("/flags/{flag_id}/assign", patient.assign, methods=["POST"]),
    Route("/flags/{flag_id}/snooze", patient.snooze, methods=["POST"]),
    Route("/dashboard", figures.dashboard),
    Route("/dashboard/published.css", figures.published_style),
    Route("/dashboard/summary", figures.summary),
    Route("/agreement", figures.agreement),
    Route("/policy", figures.policy),
    Route("/accounts", figures.accounts_page, methods=["GET", "POST"]),
    Route("/audit", figures.audit),
    Route("/audit/export", figures.audit_export),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]


def make_site(configuration: Configuration) -> Site:
    """Open lake and database; ZebrawatchError in one sentence where either cannot be."""
    lake = Lake.open(configuration.lake_folder)
    key = site_key(configuration)
    site = Site(configuration, Records(configuration, lake), open_database(configuration.review_database), key)
    listed = configuration.policy.opt_out_file
    if listed:
        if not Path(listed).is_file():
            raise ConfigurationError(f"There is no opt-out file {listed} (policy.opt_out_file).")
        site.opted_out = frozenset(subject_id_of(name, key) for name in Path(listed).read_text().split())
    return site


def make_app(site: Site) -> Starlette:
    """The ASGI application."""
    review = site.configuration.review
    public = urlsplit(review.public_url).hostname
    hosts = ["127.0.0.1", "localhost", "[::1]", *([public] if public else []), *_named(review.host)]
    secret = hmac.new(site.key, b"review: openid state " + secrets.token_bytes(16), hashlib.sha256).hexdigest()
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(SecurityHeaders, secure=site.secure),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
            Middleware(
                SessionMiddleware, secret_key=secret, session_cookie="zebrawatch_openid", max_age=600,
                path="/login/openid", same_site="lax", https_only=site.secure,
            ),
        ],
        exception_handlers={HTTPException: _not_found, Exception: _failed},
    )  # fmt: skip
    app.state.site = site
    app.state.openid = login.openid_client(site.configuration)
    return app


def _named(host: str) -> list[str]:
    return ["*"] if host in ("0.0.0.0", "::") else [host]


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    text = "There is no such page." if status == 404 else "This page does not take that request."
    return message(request, None, "Nothing here", text, status)


async def _failed(request: Request, error: Exception) -> Response:
    # the error's own text may hold patient data; its kind may not
    area = request.url.path.split("/")[1] or "home"
    print(f"zebrawatch: the page {area} failed with {type(error).__name__}", file=sys.stderr, flush=True)
    if os.environ.get("ZEBRAWATCH_DEBUG"):
        traceback.print_exception(error)
    text = f"The page failed with {type(error).__name__}. Nothing that was kept before is lost; try again."
    return PlainTextResponse(text, 500)


def serve(configuration: Configuration, say: Callable[[str], None], *, make_accounts: bool = True) -> None:
    """Run the application until it is stopped. Port 0 takes a free one; the address is said.

    LakeError where the port is taken.
    """
    site = make_site(configuration)
    review = configuration.review
    try:
        listener = socket.create_server((review.host, review.port), backlog=100)
    except OSError as error:
        raise LakeError(
            f"Port {review.port} on {review.host} cannot be had ({error.strerror}); give another with --port."
        ) from None
    made = site.records.data_kind == "made"
    if make_accounts:
        fresh = first_accounts(site.engine, demo=made)
        if fresh:
            say("Accounts, with passwords that are shown only now:")
        for login_name, role, password in fresh:
            say(f"  {role:<10} {login_name:<16} {password}")
    say("Reading the lake")
    site.records.snapshot()
    _ = site.records.knowledge, site.records.ontology  # the first page shall not wait for them
    address = review.public_url or f"http://{review.host}:{listener.getsockname()[1]}/"
    say(f"Ready: {address} (stop with Ctrl-C)")
    settings = uvicorn.Config(
        make_app(site), log_level="critical", access_log=False, server_header=False, timeout_keep_alive=10,
        proxy_headers=bool(review.public_url), limit_concurrency=200, timeout_graceful_shutdown=5,
    )  # fmt: skip
    uvicorn.Server(settings).run(sockets=[listener])
