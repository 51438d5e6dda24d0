"""What a refused or failed request is answered with: a status and one sentence, never a stack."""

import logging
import traceback

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from listener.web.access import NotAuthenticated, NotPermitted
from storage.errors import DatabaseUnavailable, InvalidTransition, StorageError, UnknownRecord

log = logging.getLogger(__name__)

_STATUS_OF: dict[type[Exception], int] = {
    NotAuthenticated: 401,
    NotPermitted: 403,
    UnknownRecord: 404,
    InvalidTransition: 409,
    DatabaseUnavailable: 503,
    StorageError: 500,
}
_UNEXPECTED = "This is a fault of ours; the log says where."


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in our words."""
    for error_class in _STATUS_OF:
        app.add_exception_handler(error_class, _told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)


def _told(request: Request, error: Exception) -> JSONResponse:
    status = next(_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF)
    headers = {"WWW-Authenticate": 'Basic realm="Overread", charset="UTF-8"'} if status == 401 else None
    return JSONResponse({"detail": str(error)}, status, headers)


def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """One line in the log, without the error's text, which may repeat anything."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("unexpected %s in %s (%s line %d)", type(error).__name__, place.name, place.filename, place.lineno)
    return JSONResponse({"detail": _UNEXPECTED}, 500)
