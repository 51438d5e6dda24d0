"""The audit trail, for those who watch."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from listener.web.access import Permission, Principal, require
from listener.web.login import address_of
from listener.web.pages.desk import Desk
from listener.web.pages.rendering import render
from storage.domain.audit_event import AuditAction, AuditEvent

_ROWS = 100


def audit_router(desk: Desk) -> APIRouter:
    """``/audit``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/audit")
    def listed(
        request: Request,
        auditor: Annotated[Principal, Depends(require(Permission.READ_AUDIT))],
        action: AuditAction | Literal[""] = "",
        actor: str = "",
        study: str = "",
        before: int | None = None,
    ) -> Response:
        """Rows, newest first; that they were read is a row too."""
        actor, study = actor.strip(), study.strip()
        rows = desk.reading.audit(
            action=action or None,
            actor=actor or None,
            study_instance_uid=study or None,
            before=before,
            rows=_ROWS + 1,
        )
        desk.trail.record(
            AuditEvent(
                AuditAction.AUDIT_READ,
                auditor.name,
                details={"rows": len(rows[:_ROWS]), "address": address_of(request)},
            )
        )
        return render(
            request,
            "audit.html",
            rows=rows[:_ROWS],
            older=rows[_ROWS - 1]["id"] if len(rows) > _ROWS else None,
            action=action,
            actions=list(AuditAction),
            actor=actor,
            study=study,
            first_page=before is None,
        )

    return router
