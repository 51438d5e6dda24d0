"""Monitoring: how each algorithm works on each scanner, and whether what it is given has changed."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response

from listener.web.access import Permission, require
from listener.web.pages.desk import SUMMARY_DAYS, Desk
from listener.web.pages.rendering import render
from storage.domain.job_statistics import Stage
from storage.ports.facts import Facts

PLOT_WIDTH, PLOT_HEIGHT = 240, 56  # in the units of the drawing


def monitoring_router(desk: Desk) -> APIRouter:
    """``/monitoring``."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.VIEW_STATUS))])

    @router.get("/monitoring")
    def monitoring(request: Request) -> Response:
        """Every algorithm that has done something lately, by scanner and protocol."""
        facts = desk.monitoring.overview(SUMMARY_DAYS)
        for algorithm in facts["algorithms"]:
            for group in algorithm["groups"]:
                group["plots"] = _plots(group["drift"])
        return render(
            request,
            "monitoring.html",
            days=facts["days"],
            algorithms=facts["algorithms"],
            alarms=facts["alarms"],
            stages=list(Stage),
            width=PLOT_WIDTH,
            height=PLOT_HEIGHT,
        )

    return router


def _plots(drift: Facts | None) -> list[Facts]:
    """For each place where values were looked at, the outlines of baseline and window over the bins that hold any."""
    plots = []
    for place, shares in (drift["plots"] if drift else {}).items():
        baseline, window = _of_interest(shares["baseline"], shares["window"])
        highest = max((*baseline, *window, 1e-9))
        plots.append({"place": place, "baseline": steps(baseline, highest), "window": steps(window, highest)})
    return plots


def _of_interest(baseline: Sequence[float], window: Sequence[float]) -> tuple[list[float], list[float]]:
    """Both without the bins at either end that are empty in both."""
    used = [place for place, both in enumerate(zip(baseline, window, strict=True)) if any(both)]
    if not used:
        return [], []
    part = slice(max(used[0] - 1, 0), used[-1] + 2)
    return list(baseline[part]), list(window[part])


def steps(shares: Sequence[float], highest: float) -> str:
    """The outline of bars, one of each share, as the points of an SVG polygon that fills the drawing."""
    if not shares:
        return ""
    points = [f"0,{PLOT_HEIGHT}"]
    for place, share in enumerate(shares):
        left, right = (PLOT_WIDTH * edge / len(shares) for edge in (place, place + 1))
        top = PLOT_HEIGHT * (1 - share / highest)
        points += [f"{left:.1f},{top:.1f}", f"{right:.1f},{top:.1f}"]
    return " ".join([*points, f"{PLOT_WIDTH},{PLOT_HEIGHT}"])
