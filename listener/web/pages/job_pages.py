"""Jobs: the list, and what an operator does about one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from listener.web.access import Permission, Principal, require
from listener.web.pages.desk import Desk
from listener.web.pages.forms import checked_form, local_path
from listener.web.pages.live import live_region
from listener.web.pages.rendering import render
from storage.domain.identifiers import checked_uid
from storage.domain.job import JobKind, JobState, Priority

_ROWS = 100

Viewer = Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]
Operator = Annotated[Principal, Depends(require(Permission.OPERATE_JOBS))]


def job_router(desk: Desk) -> APIRouter:
    """``/jobs`` and the changes of a job or a study's work."""
    router = APIRouter(include_in_schema=False)

    @router.get("/jobs")
    def listed(
        request: Request,
        viewer: Viewer,
        state: JobState | Literal[""] = "",
        kind: JobKind | Literal[""] = "",
        before: int | None = None,
    ) -> Response:
        """Jobs, newest first; those of shadows only for those who operate jobs."""
        live = live_region(desk)
        rows = desk.reading.jobs(
            state=state or None,
            kind=kind or None,
            before=before,
            shadow=None if viewer.may(Permission.OPERATE_JOBS) else False,
            rows=_ROWS + 1,
        )
        return render(
            request,
            "jobs.html",
            live=live,
            jobs=rows[:_ROWS],
            older=rows[_ROWS - 1]["id"] if len(rows) > _ROWS else None,
            state=state,
            states=list(JobState),
            kind=kind,
            kinds=list(JobKind),
            first_page=before is None,
        )

    @router.post("/jobs/{job_id}/cancel", dependencies=[Depends(checked_form)])
    def cancel(operator: Operator, job_id: int, back: Annotated[str, Form()] = "") -> Response:
        """Stop a job that waits or runs."""
        desk.jobs.cancel(job_id, operator.name)
        return RedirectResponse(local_path(back, "/jobs"), 303)

    @router.post("/jobs/{job_id}/prioritise", dependencies=[Depends(checked_form)])
    def prioritise(operator: Operator, job_id: int, back: Annotated[str, Form()] = "") -> Response:
        """Have a job that waits done before all that is not STAT."""
        desk.jobs.prioritise(job_id, Priority.STAT, operator.name)
        return RedirectResponse(local_path(back, "/jobs"), 303)

    @router.post("/jobs/{job_id}/resubmit", dependencies=[Depends(checked_form)])
    def resubmit(operator: Operator, job_id: int, back: Annotated[str, Form()] = "") -> Response:
        """Have the work of a finished job done again."""
        desk.jobs.resubmit(job_id, operator.name)
        return RedirectResponse(local_path(back, "/jobs"), 303)

    @router.post("/studies/{study_instance_uid}/submit", dependencies=[Depends(checked_form)])
    def submit(operator: Operator, study_instance_uid: str) -> Response:
        """Have a study analysed by the algorithms that have not looked at it."""
        uid = checked_uid(study_instance_uid, "The address")
        desk.jobs.submit(uid, operator.name)
        return RedirectResponse(f"/studies/{uid}", 303)

    return router
