"""What the routes that take instances share: where they go, and how much may come."""

from dataclasses import dataclass, field

from fastapi import Request

from listener.scp.store import StoreHandler
from listener.web.access import Principal
from listener.web.body import BodyLimits, UploadPlaces
from listener.web.intake import Intake
from listener.web.set_aside_allowance import SetAsideAllowance


@dataclass(frozen=True, slots=True)
class Uploads:
    """The handler that decides, the limits, and the places for bodies being received."""

    handler: StoreHandler
    places: UploadPlaces
    limits: BodyLimits
    max_instance_bytes: int
    allowance: SetAsideAllowance = field(default_factory=SetAsideAllowance)

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
