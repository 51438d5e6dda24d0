"""What a refused or failed request is answered with: a status and one sentence, never a stack."""

import contextlib
import logging
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from listener.errors import ListenerError
from listener.web.access import WEBSOCKET, NotAuthenticated, NotPermitted
from listener.web.dicomweb.addresses import VIEWER_PREFIX
from listener.web.login import address_of, is_for_programs
from listener.web.pages.forms import FormRefused
from listener.web.pages.live import TooManyStreams
from listener.web.pages.rendering import render
from listener.web.password_check import TooManyAttempts
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.errors import (
    AccountRefused,
    DatabaseUnavailable,
    InvalidIdentifier,
    InvalidTransition,
    StorageError,
    SubscriberOfAnother,
    UnknownRecord,
    WorklistFull,
)
from storage.ports.audit import AuditTrail

log = logging.getLogger(__name__)

_STATUS_OF: dict[type[Exception], int] = {
    NotAuthenticated: 401,
    NotPermitted: 403,
    FormRefused: 403,
    TooManyAttempts: 429,
    TooManyStreams: 503,
    InvalidIdentifier: 404,
    UnknownRecord: 404,
    InvalidTransition: 409,
    AccountRefused: 409,
    SubscriberOfAnother: 403,
    WorklistFull: 503,
    DatabaseUnavailable: 503,
    StorageError: 500,
    ListenerError: 400,
}
_CHALLENGES = 'Basic realm="Overread", charset="UTF-8", Bearer realm="Overread"'
_SENTENCES = {
    404: "There is no such page.",
    405: "This address does not take that kind of request.",
    413: "The request is larger than this page takes.",
}


def add_error_handlers(app: FastAPI, trail: AuditTrail) -> None:
    """Answer every error in our words, as a page to browsers and as JSON to programs; a denial is audited."""

    def told(request: Request, error: Exception) -> Response:
        status = next(_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF)
        if isinstance(error, NotPermitted):
            _audit_denial(trail, request, error)
        if status == 500:
            log.error("%s", error)
        if isinstance(error, NotAuthenticated) and not is_for_programs(request.url.path):
            return _to_login(request)
        headers = {"WWW-Authenticate": _CHALLENGES} if status == 401 else {}
        if isinstance(error, TooManyAttempts):
            headers["Retry-After"] = str(error.seconds)
        return _answer(request, status, str(error), headers)

    for error_class in _STATUS_OF:
        app.add_exception_handler(error_class, told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    told = str(error.detail)
    unsaid = told == HTTPStatus(error.status_code).phrase  # the framework's own word
    sentence = _SENTENCES.get(error.status_code, told) if unsaid else told
    return _answer(request, error.status_code, sentence, dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> Response:
    """Which parameters are not valid; never what they held, which may be anything."""
    if not isinstance(error, RequestValidationError):
        raise error
    named = sorted({".".join(map(str, problem["loc"][1:])) for problem in error.errors()})
    return _answer(request, 422, f"Not valid: {', '.join(named) or 'the request'}.", {})


def _unexpected(request: Request, error: Exception) -> Response:
    """`listener.web.hardening` writes the log line; the error's text may repeat anything and is not told."""
    return _answer(request, 500, "This is a fault of ours; the log says where.", {})


def _answer(request: Request, status: int, sentence: str, headers: dict[str, str]) -> Response:
    path = request.url.path
    if is_for_programs(path) or path.startswith("/health"):
        return JSONResponse({"detail": sentence}, status, headers)
    page = render(request, "error.html", status=status, sentence=sentence)
    page.status_code = status
    page.headers.update(headers)
    return page


def _to_login(request: Request) -> Response:
    wanted = request.url.path if request.method == "GET" else "/"
    if wanted.startswith(f"{VIEWER_PREFIX}/"):  # what it shows stands in the query
        wanted += f"?{request.url.query}"
    return RedirectResponse("/login" if wanted == "/" else f"/login?next={quote(wanted)}", 303)


def _audit_denial(trail: AuditTrail, request: Request, error: NotPermitted) -> None:
    """The refusal stands whether or not its row can be written."""
    route = request.scope.get("route")
    details: dict[str, str | int | float | None] = {
        "permission": str(error.permission),
        "method": request.scope.get("method", WEBSOCKET),
        "path": str(getattr(route, "path", "")),
        "address": address_of(request),
    }
    event = AuditEvent(AuditAction.ACCESS_DENIED, error.principal.name, AuditOutcome.MINOR_FAILURE, details=details)
    with contextlib.suppress(StorageError):
        trail.record(event)
