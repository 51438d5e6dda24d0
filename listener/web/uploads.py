"""What the routes that take instances share: where they go, and how much may come."""

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.exceptions import HTTPException

from listener.scp.store import StoreHandler
from listener.web.access import Principal
from listener.web.body import BodyLimits, UploadPlaces
from listener.web.intake import Intake
from listener.web.set_aside_allowance import SetAsideAllowance
from storage.errors import SpoolFull, SpoolWriteFailed

_NO_ROOM = "Nothing can be stored durably now, so the body was not read; send it again later."
_RETRY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Uploads:
    """The handler that decides, the limits, and the places for bodies being received."""

    handler: StoreHandler
    require_room: Callable[[], None]  # raises SpoolFull or SpoolWriteFailed
    places: UploadPlaces
    limits: BodyLimits
    max_instance_bytes: int
    allowance: SetAsideAllowance = field(default_factory=SetAsideAllowance)

    async def refuse_when_full(self) -> None:
        """Refuse a body before it is read when nothing of it could be kept.

        Raises:
            HTTPException: 503.
        """
        try:
            await run_sync(self.require_room)
        except (SpoolFull, SpoolWriteFailed):
            raise HTTPException(503, _NO_ROOM, {"Retry-After": str(_RETRY_SECONDS), "Connection": "close"}) from None

    def intake(self, request: Request, principal: Principal) -> Intake:
        """The way into the spool for one request."""
        return Intake(
            self.handler,
            account=principal.name,
            address=remote_address(request),
            max_instance_bytes=self.max_instance_bytes,
            allowance=self.allowance,
        )


def remote_address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""
