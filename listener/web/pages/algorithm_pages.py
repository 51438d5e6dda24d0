"""Algorithms: what is installed, and what its makers say."""

from fastapi import APIRouter, Depends, Request, Response

from listener.web.access import Permission, require
from listener.web.pages.card_html import card_html
from listener.web.pages.desk import Desk
from listener.web.pages.rendering import render
from storage.domain.algorithm_history import more_of, what_happened


def algorithm_router(desk: Desk) -> APIRouter:
    """``/algorithms`` and one algorithm's card."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.VIEW_STATUS))])

    @router.get("/algorithms")
    def listed(request: Request) -> Response:
        """Every installed version, newest first."""
        return render(request, "algorithms.html", algorithms=desk.algorithms.all())

    @router.get("/algorithms/{name}/{version}")
    def shown(request: Request, name: str, version: str) -> Response:
        """One version with its digests, its history, what its jobs came to, and its card."""
        algorithm = desk.algorithms.find(name, version)
        return render(
            request,
            "algorithm.html",
            algorithm=algorithm,
            card=card_html(desk.card(algorithm)),
            history=desk.algorithms.history(name, version),
            what_happened=what_happened,
            more_of=more_of,
            results=desk.algorithms.result_counts(name, version),
        )

    return router
