"""The web application: its parts put together, nothing served that declares no permission."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI

from listener.web.access import Gate, guards
from listener.web.errors import add_error_handlers
from listener.web.health import Check, health_router
from storage.ports.audit import AuditTrail


def create_app(
    *, gate: Gate, trail: AuditTrail, checks: Mapping[str, Check], routers: Sequence[APIRouter] = ()
) -> FastAPI:
    """The application with the routers of its parts.

    ``gate`` tells who makes a request; denials go to ``trail``; ``checks`` say whether the door is ready. What holds
    for every request whatever its route stands in `listener.web.hardening`, around this application.

    Raises:
        ListenerError: a route declares neither a permission nor that it is open to all.
    """
    # The pages that FastAPI offers for its OpenAPI document load scripts from elsewhere, so they are left out.
    app = FastAPI(title="Overread", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.gate = gate
    add_error_handlers(app, trail)
    app.include_router(health_router(checks))
    for router in routers:
        app.include_router(router)
    list(guards(app))
    return app
