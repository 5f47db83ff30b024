"""Log in, log out, change one's password; OpenID Connect where the hospital has it."""

from __future__ import annotations

import hmac
import re
import warnings
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connectors.configuration import Configuration
from review import sessions
from review.accounts import (
    Account,
    TooManyTriesError,
    account_of_issuer,
    authenticate,
    set_password,
)
from review.audit_trail import LOG_IN, SECURITY, Deed, record
from review.sessions import Session
from review.web import (
    AREAS,
    PRE_COOKIE,
    Site,
    address_of,
    guarded,
    message,
    new_token,
    page,
    read_form,
    site_of,
    with_cookie,
)
from zebrawatch.errors import ConfigurationError

OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9:._~%/-]*\Z")


def home_of(account: Account) -> str:
    """The first page of a role."""
    return f"/{AREAS[account.role][0]}"


@guarded("")
def home(_request: Request, session: Session, _form: FormData) -> Response:
    """To the first page of one's role."""
    return RedirectResponse(home_of(session.account), 303)


async def login_page(request: Request) -> Response:
    """The log-in form."""
    return await run_in_threadpool(_form_page, request, "", 200)


async def log_in(request: Request) -> Response:
    """Check name and password, begin a session."""
    form = await read_form(request)
    if isinstance(form, Response):
        return form
    return await run_in_threadpool(_log_in, request, form)


def _log_in(request: Request, form: FormData) -> Response:
    site, address = site_of(request), address_of(request)
    expected = request.cookies.get(PRE_COOKIE, "")
    if not expected or not hmac.compare_digest(str(form.get("csrf", "")), expected):
        return _form_page(request, "This form had grown old; please try once more.", 403)
    login = str(form.get("login", ""))
    try:
        account = authenticate(site.engine, login, str(form.get("password", "")), address)
    except TooManyTriesError as error:
        return _form_page(request, f"Too many wrong passwords. Try again in {error.minutes} minutes.", 429)
    if account is None:
        with site.engine.begin() as connection:
            record(connection, login, address, Deed(LOG_IN, "log in", "E", refused=True))
        return _form_page(request, "Name or password is wrong.", 401)
    return _begun(request, account, str(form.get("next", "")))


def _begun(request: Request, account: Account, wanted: str) -> Response:
    site = site_of(request)
    with site.engine.begin() as connection:
        record(connection, account, address_of(request), Deed(LOG_IN, "log in", "E"))
    token = sessions.begin(site.engine, account)
    target = wanted if OWN_PATH.match(wanted) and wanted not in ("/", "/login") else home_of(account)
    return with_cookie(RedirectResponse(target, 303), site, site.cookie, token)


def _form_page(request: Request, trouble: str, status: int) -> Response:
    site, query = site_of(request), request.query_params
    csrf = new_token()
    response = page(
        request, "login.html", None, status, trouble=trouble, csrf=csrf, next=query.get("next", ""),
        kept=query.get("kept") == "1", expired=query.get("expired") == "1",
        openid=bool(site.configuration.review.oidc_issuer),
    )  # fmt: skip
    return with_cookie(response, site, PRE_COOKIE, csrf)


@guarded("")
def log_out(request: Request, session: Session, _form: FormData) -> Response:
    """End the session."""
    site = site_of(request)
    sessions.end(site.engine, session)
    with site.engine.begin() as connection:
        record(connection, session.account, address_of(request), Deed(LOG_IN, "log out", "E"))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(site.cookie, path="/", secure=site.secure, httponly=True, samesite="lax")
    return response


@guarded("")
def own_account(request: Request, session: Session, form: FormData) -> Response:
    """Change one's own password."""
    site, trouble = site_of(request), ""
    if request.method == "POST":
        now, new = str(form.get("password", "")), str(form.get("new", ""))
        try:
            known = authenticate(site.engine, session.account.login, now, address_of(request))
        except TooManyTriesError as error:
            return message(request, session, "Too many tries", f"Try again in {error.minutes} minutes.", 429)
        if known is None:
            trouble = "The present password is wrong."
        elif new != str(form.get("again", "")):
            trouble = "The two new passwords differ."
        else:
            set_password(site.engine, session.account.id, new)
            with site.engine.begin() as connection:
                record(connection, session.account, address_of(request), Deed(SECURITY, "password changed", "U"))
            return RedirectResponse("/login", 303)
    return page(request, "account.html", session, 400 if trouble else 200, trouble=trouble)


# -- OpenID Connect ----------------------------------------------------------------------------------------------------


def openid_client(configuration: Configuration) -> Any:
    """The client for the hospital's issuer, found by discovery; None where none is set.

    ConfigurationError where its secret cannot be read.
    """
    review = configuration.review
    if not review.oidc_issuer:
        return None
    try:
        secret = Path(review.oidc_client_secret_file).read_text().strip() if review.oidc_client_secret_file else None
    except OSError:
        raise ConfigurationError(
            f"There is no file {review.oidc_client_secret_file} (review.oidc_client_secret_file)."
        ) from None
    with warnings.catch_warnings():  # authlib warns of its next release's HTTP library
        warnings.simplefilter("ignore", DeprecationWarning)
        from authlib.integrations.starlette_client import OAuth
    oauth = OAuth()
    oauth.register(
        "hospital",
        client_id=review.oidc_client_id,
        client_secret=secret,
        server_metadata_url=review.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile fhirUser", "code_challenge_method": "S256"},
    )
    return oauth.hospital


def _own_address(request: Request, site: Site, name: str) -> str:
    public = site.configuration.review.public_url.rstrip("/")
    return f"{public}{request.app.url_path_for(name)}" if public else str(request.url_for(name))


async def openid_begin(request: Request) -> Response:
    """To the hospital's log-in."""
    client = request.app.state.openid
    if client is None:
        return await run_in_threadpool(_form_page, request, "OpenID Connect is not set up here.", 404)
    try:
        answer: Response = await client.authorize_redirect(
            request, _own_address(request, site_of(request), "openid_back")
        )
    except Exception:  # whatever an unreachable or misconfigured issuer raises, the form is the answer
        return await run_in_threadpool(_form_page, request, "The hospital's log-in cannot be reached.", 502)
    return answer


async def openid_back(request: Request) -> Response:
    """Back from the hospital's log-in: code, state and nonce are checked, then a session begins."""
    site, client = site_of(request), request.app.state.openid
    if client is None:
        return await run_in_threadpool(_form_page, request, "OpenID Connect is not set up here.", 404)
    from authlib.integrations.base_client import OAuthError

    try:
        token = await client.authorize_access_token(request)
        claims = dict(token.get("userinfo") or {})
    except OAuthError:
        return await run_in_threadpool(_form_page, request, "The hospital's log-in was not accepted.", 401)
    except Exception:  # a token that does not verify, an issuer that fell silent
        return await run_in_threadpool(_form_page, request, "The hospital's log-in could not be checked.", 502)
    return await run_in_threadpool(_openid_account, request, site, claims)


def _openid_account(request: Request, site: Site, claims: dict[str, Any]) -> Response:
    review = site.configuration.review
    account = account_of_issuer(site.engine, review.oidc_issuer, claims, review.oidc_role_claim) if claims else None
    if account is None:
        with site.engine.begin() as connection:
            who = str(claims.get("preferred_username") or claims.get("sub") or "unknown")
            record(connection, who, address_of(request), Deed(LOG_IN, "log in", "E", refused=True))
        trouble = f"Your hospital account has no role here (claim {review.oidc_role_claim}); ask your administrator."
        return _form_page(request, trouble, 403)
    return _begun(request, account, "")
