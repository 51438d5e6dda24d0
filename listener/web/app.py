"""The web application: its parts put together, nothing served that declares no permission."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI

from listener.web.access import Gate, guards
from listener.web.errors import add_error_handlers
from listener.web.health import Check, health_router


def create_app(*, gate: Gate, checks: Mapping[str, Check], routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application with the routers of its parts.

    ``gate`` tells who makes a request; ``checks`` say whether the door is ready.

    Raises:
        ListenerError: a route declares neither a permission nor that it is open to all.
    """
    # The pages that FastAPI offers for its OpenAPI document load scripts from elsewhere, so they are left out.
    app = FastAPI(title="Overread", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.gate = gate
    add_error_handlers(app)
    app.include_router(health_router(checks))
    for router in routers:
        app.include_router(router)
    list(guards(app))
    return app
