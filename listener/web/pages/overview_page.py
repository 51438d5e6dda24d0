"""The first page: how it goes, and what needs a look."""

from fastapi import APIRouter, Depends, Request, Response

from listener.scu.settings import DestinationSettings
from listener.web.access import Permission, require
from listener.web.pages.desk import SUMMARY_DAYS, Desk
from listener.web.pages.live import live_region
from listener.web.pages.rendering import render
from storage.domain.study import StudyState
from storage.ports.facts import Facts

_ORDER = tuple(StudyState)


def overview_router(desk: Desk) -> APIRouter:
    """``/``."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"], dependencies=[Depends(require(Permission.VIEW_STATUS))])
    def overview(request: Request) -> Response:
        """Counts, troubles, spool and destinations."""
        live = live_region(desk)
        summary = desk.reading.summary(SUMMARY_DAYS)
        counts = summary["studies"]
        try:
            disk = desk.disk_use()
        except OSError:
            disk = None
        return render(
            request,
            "overview.html",
            live=live,
            days=SUMMARY_DAYS,
            summary=summary,
            states=[(state, counts.get(state, 0)) for state in _ORDER],
            disk=disk,
            alarms=desk.monitoring.drift()["alarms"],
            destinations=[_destination(place, summary) for place in desk.destinations],
            waiting=[job for job in summary["jobs"] if job["state"] in ("scheduled", "in_progress")],
        )

    return router


def _destination(place: DestinationSettings, summary: Facts) -> Facts:
    """A configured destination with its counts."""
    own = {row["state"]: row for row in summary["deliveries"] if row["destination"] == place.name}
    unproven = {row["destination"]: row["objects"] for row in summary["proofs"]}
    acknowledged = own.get("acknowledged", {})
    return {
        "name": place.name,
        "address": place.address,
        "waiting": own.get("waiting", {}).get("deliveries", 0),
        "acknowledged": acknowledged.get("deliveries", 0),
        "refused": own.get("refused", {}).get("deliveries", 0),
        "unproven": unproven.get(place.name, 0) if place.proof_policy() or place.name in unproven else None,
        "last_acknowledged_at": acknowledged.get("last_acknowledged_at"),
        "paused": any(lane["destination"] == place.name for lane in summary["paused"]),
    }
