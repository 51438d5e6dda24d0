"""Accounts, for administrators: who may come in, and locking somebody out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from listener.web.access import Permission, Principal, require
from listener.web.pages.desk import Desk
from listener.web.pages.forms import checked_form
from listener.web.pages.rendering import render
from storage.domain.account import is_account_name
from storage.errors import AccountRefused, UnknownRecord

Administrator = Annotated[Principal, Depends(require(Permission.MANAGE_USERS))]


def user_router(desk: Desk) -> APIRouter:
    """``/users``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/users")
    def listed(request: Request, administrator: Administrator) -> Response:
        """Every account."""
        return render(request, "users.html", accounts=desk.accounts.all())

    @router.post("/users/{name}/disable", dependencies=[Depends(checked_form)])
    def disable(administrator: Administrator, name: str) -> Response:
        """Lock an account out at once."""
        if name == administrator.name:
            raise AccountRefused("Your own account can only be disabled by another administrator.")
        desk.accounts.disable(_checked(name), administrator.name)
        return RedirectResponse("/users", 303)

    @router.post("/users/{name}/enable", dependencies=[Depends(checked_form)])
    def enable(administrator: Administrator, name: str) -> Response:
        """Let a disabled account in again."""
        desk.accounts.enable(_checked(name), administrator.name)
        return RedirectResponse("/users", 303)

    return router


def _checked(name: str) -> str:
    if not is_account_name(name):
        raise UnknownRecord("There is no account of this name.")
    return name
