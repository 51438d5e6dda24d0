"""Coming in and going out."""

import hmac
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from listener.web.access import Permission, open_to_all, require
from listener.web.login import AccountGate, address_of
from listener.web.pages.desk import Desk
from listener.web.pages.forms import FormRefused, checked_form, local_path
from listener.web.pages.rendering import render
from listener.web.password_check import LoginRefused, TooManyAttempts

_FORM_COOKIE_SECONDS = 3600


def login_router(desk: Desk, gate: AccountGate) -> APIRouter:
    """``/login`` and ``/logout``."""
    router = APIRouter(include_in_schema=False)
    form_cookie = "__Host-overread-form" if gate.secure_cookie else "overread-form"

    def form(request: Request, wanted: str, name: str = "", problem: str = "", status: int = 200) -> Response:
        proof = request.cookies.get(form_cookie) or secrets.token_urlsafe(16)
        page = render(
            request,
            "login.html",
            proof=proof,
            wanted=wanted,
            name=name,
            problem=problem,
            no_accounts=not any(account.disabled_at is None for account in desk.accounts.all()),
        )
        page.status_code = status
        _set_cookie(page, form_cookie, proof, gate.secure_cookie, _FORM_COOKIE_SECONDS)
        return page

    @router.api_route("/login", methods=["GET", "HEAD"], dependencies=[Depends(open_to_all)])
    def show(request: Request, next: str = "/") -> Response:
        """The form."""
        return form(request, local_path(next))

    @router.post("/login", dependencies=[Depends(open_to_all)])
    def log_in(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        proof: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",
    ) -> Response:
        """Check name and password and start a session."""
        expected = request.cookies.get(form_cookie, "")
        if not expected or not hmac.compare_digest(proof.encode(), expected.encode()):
            raise FormRefused("The form was left open for too long, or cookies are off; open the page again.")
        try:
            token = gate.log_in(name.strip().lower(), password, address_of(request))
        except LoginRefused as error:
            return form(request, local_path(next), name, str(error), 401)
        except TooManyAttempts as error:
            answer = form(request, local_path(next), name, str(error), 429)
            answer.headers["Retry-After"] = str(error.seconds)
            return answer
        answer = RedirectResponse(local_path(next), 303)
        _set_cookie(answer, gate.cookie_name, token, gate.secure_cookie, None)
        return answer

    @router.post("/logout", dependencies=[Depends(require(Permission.VIEW_STATUS)), Depends(checked_form)])
    def log_out(request: Request) -> Response:
        """End the session."""
        gate.log_out(request)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(gate.cookie_name, secure=gate.secure_cookie, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    return router


def _set_cookie(answer: Response, name: str, value: str, secure: bool, seconds: int | None) -> None:
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict")
