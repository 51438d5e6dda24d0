"""Whether the web door lives, and whether it can do its work."""

import logging
from collections.abc import Callable, Mapping

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from listener.web.access import open_to_all
from storage.errors import StorageError

log = logging.getLogger(__name__)

Check = Callable[[], object]

_ASKED = ["GET", "HEAD"]  # some that watch want no body


def health_router(checks: Mapping[str, Check]) -> APIRouter:
    """``/health/live`` and ``/health/ready``; each check returns, or raises StorageError or OSError."""
    router = APIRouter(dependencies=[Depends(open_to_all)], include_in_schema=False)

    @router.api_route("/health/live", methods=_ASKED)
    async def live() -> dict[str, str]:
        """Answers as long as the process does."""
        return {"status": "live"}

    @router.api_route("/health/ready", methods=_ASKED)
    def ready() -> JSONResponse:
        """200 when every check passes, else 503 with the names of those that do not."""
        failing = [name for name, check in checks.items() if not _passes(check)]
        if failing:
            return JSONResponse({"status": "not ready", "failing": failing}, status_code=503)
        return JSONResponse({"status": "ready"})

    return router


def _passes(check: Check) -> bool:
    try:
        check()
    except (StorageError, OSError):
        return False
    return True
