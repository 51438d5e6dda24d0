"""Who may do what at the web door: a literal table, and the dependency that every route declares.

``docs/reference/web-access.md`` holds the same table route by route; a test walks the application and holds them equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.requests import HTTPConnection

from listener.errors import ListenerError
from storage.domain.account import Role


class Permission(StrEnum):
    """What a request can need."""

    VIEW_STATUS = "view-status"  # counts and states; no patient's data
    VIEW_STUDIES = "view-studies"  # studies with their identifiers, reports and pictures
    VIEW_IMAGES = "view-images"  # instances and frames as received
    STORE_INSTANCES = "store-instances"
    ANALYZE = "analyze"
    OPERATE_JOBS = "operate-jobs"
    GIVE_FEEDBACK = "give-feedback"
    READ_AUDIT = "read-audit"
    MANAGE_USERS = "manage-users"
    READ_METRICS = "read-metrics"


_VIEWER = frozenset({Permission.VIEW_STATUS, Permission.VIEW_STUDIES, Permission.VIEW_IMAGES})
_OPERATOR = _VIEWER | {
    Permission.STORE_INSTANCES,
    Permission.ANALYZE,
    Permission.OPERATE_JOBS,
    Permission.READ_METRICS,
}

# An administrator does not read the audit trail, and an auditor sees no study: who is watched does not watch. Only
# who reads images judges results: a click of whoever looks after the service must not count as an opinion.
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER | {Permission.GIVE_FEEDBACK},
    Role.OPERATOR: _OPERATOR,
    Role.ADMINISTRATOR: _OPERATOR | {Permission.MANAGE_USERS},
    Role.AUDITOR: frozenset({Permission.VIEW_STATUS, Permission.READ_AUDIT}),
}

# Programs authenticate with each request here; everywhere else a browser has a session.
WEBSOCKET = "WEBSOCKET"  # stands for the method where a route opens one
BASIC_PREFIXES = ("/dicom-web", "/api", "/metrics")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request."""

    name: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        """Whether one of the roles grants it."""
        return any(permission in PERMISSIONS[role] for role in self.roles)


class NotAuthenticated(ListenerError):
    """Log in first."""


class NotPermitted(ListenerError):
    """Your account may not do this; ask an administrator for the role that may."""

    def __init__(self, principal: Principal, permission: Permission) -> None:
        self.principal = principal
        self.permission = permission
        super().__init__()


class Gate(Protocol):
    """Tells who makes a request; `app.state.gate` holds the one in force."""

    def authenticate(self, request: Request) -> Principal | None:
        """The principal of a request, by session or by name and password, or ``None``.

        Raises:
            ListenerError: too many attempts failed before this one.
            DatabaseUnavailable: nobody can be told from anybody now.
        """
        ...


class Guard:
    """A dependency that lets a request pass for a principal with one permission, and gives that principal."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: HTTPConnection) -> Principal:
        """Raises NotAuthenticated or NotPermitted; the opening of a WebSocket is a request like any other."""
        gate: Gate = request.app.state.gate
        principal = gate.authenticate(cast(Request, request))
        if principal is None:
            raise NotAuthenticated
        request.state.principal = principal
        if not principal.may(self.permission):
            raise NotPermitted(principal, self.permission)
        return principal


def require(permission: Permission) -> Guard:
    """The dependency for a route: ``Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]``."""
    return Guard(permission)


def open_to_all() -> None:
    """The dependency of a route that needs no login; each one is a decision, listed in docs/reference/web-access.md."""


def guards(app: FastAPI) -> Iterator[tuple[str, str, Permission | None]]:
    """Every route as method, path and the permission it needs (``None``: open to all).

    Raises:
        ListenerError: a route declares neither a permission nor that it is open.
    """
    for route in iter_route_contexts(app.routes):
        for method in sorted(route.methods or {WEBSOCKET}):
            yield method, str(route.path), _guard_of(route)


def _guard_of(route: RouteContext) -> Permission | None:
    declared = list(_calls(route.dependant)) if hasattr(route, "dependant") else []
    permissions = [call.permission for call in declared if isinstance(call, Guard)]
    if permissions:
        return permissions[0]
    if open_to_all in declared:
        return None
    raise ListenerError(f"The route {route.path} declares no permission, so it is not served; report this as a fault.")


def _calls(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)
