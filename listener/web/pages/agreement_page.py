"""Agreement: what share of the findings of each version was accepted by readers."""

from fastapi import APIRouter, Depends, Request, Response

from listener.web.access import Permission, require
from listener.web.pages.desk import Desk
from listener.web.pages.rendering import render
from storage.ports.facts import Facts

PLOT_WIDTH, PLOT_HEIGHT = 240, 24  # of one row, in the units of the drawing
_EDGE = 6  # at both ends of the axis, so that a point at 0 % or 100 % is drawn whole


def agreement_router(desk: Desk) -> APIRouter:
    """``/agreement``."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.VIEW_STATUS))])

    @router.get("/agreement")
    def agreement(request: Request) -> Response:
        """Every version with a result that readers were shown, in counts; no study and no reader is named."""
        rows = [{**row, "plot": interval_plot(row)} for row in desk.feedback.agreement()]
        return render(request, "agreement.html", rows=rows, axis=place, width=PLOT_WIDTH, height=PLOT_HEIGHT)

    return router


def interval_plot(row: Facts) -> dict[str, float] | None:
    """Where point and interval of a share lie in the drawing; ``None`` where nothing was judged."""
    if row["share"] is None:
        return None
    return {name: place(row[name]) for name in ("share", "low", "high")}


def place(share: float) -> float:
    """Where a share from 0 to 1 lies on the axis, from the left edge of the drawing."""
    return round(_EDGE + share * (PLOT_WIDTH - 2 * _EDGE), 1)
