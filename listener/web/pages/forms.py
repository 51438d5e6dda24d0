"""What a form that changes something must prove: that it is ours, of this session."""

import hmac
from typing import Annotated

from fastapi import Form, Request

from listener.errors import ListenerError
from listener.web.login import AccountGate, form_token

FORM_FIELD = "form_token"
MAXIMUM_FORM_BYTES = 64 * 1024


class FormRefused(ListenerError):
    """The form is not one of this session; open the page again and repeat what you did."""


def checked_form(request: Request, sent: Annotated[str, Form(alias=FORM_FIELD)] = "") -> None:
    """Raises FormRefused unless the form carries what only a page of this session knows."""
    gate: AccountGate = request.app.state.gate
    token = gate.token(request)
    if token is None or not hmac.compare_digest(sent.encode(), form_token(token).encode()):
        raise FormRefused


def local_path(wanted: str, otherwise: str = "/") -> str:
    """The path if it leads to a page of ours, else another one; never to another site."""
    is_local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_local and "\\" not in wanted else otherwise
