"""Right or wrong: what a reader says of a result, on the page of its study."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from listener.web.access import Permission, Principal, require
from listener.web.login import address_of
from listener.web.pages.desk import Desk
from listener.web.pages.forms import checked_form
from storage.domain.feedback import Feedback, FeedbackSource, Verdict, about, standing, things_of
from storage.domain.identifiers import checked_uid
from storage.ports.facts import Facts

Reader = Annotated[Principal, Depends(require(Permission.GIVE_FEEDBACK))]
Spoken = Literal[Verdict.ACCEPT, Verdict.REJECT]


def feedback_router(desk: Desk) -> APIRouter:
    """What the buttons beside a finding do."""
    router = APIRouter(include_in_schema=False)

    @router.post("/studies/{study_instance_uid}/results/{result_id}/feedback", dependencies=[Depends(checked_form)])
    def give(
        request: Request,
        reader: Reader,
        study_instance_uid: str,
        result_id: int,
        verdict: Annotated[Spoken, Form()],
        tracking_uid: Annotated[str, Form(max_length=64)] = "",
    ) -> Response:
        """Accept or reject one finding, or a result that found nothing."""
        uid = checked_uid(study_instance_uid, "The address")
        said = Feedback(result_id, tracking_uid, Verdict(verdict), FeedbackSource.DASHBOARD, reader.name)
        desk.feedback.give(uid, said, address_of(request))
        return RedirectResponse(f"/studies/{uid}#feedback-{result_id}", 303)

    return router


def judged(facts: Facts) -> dict[int, list[Facts]]:
    """By the id of a result, everything of it that can be judged, each with the verdict that counts."""
    counts = standing(facts["feedback"])
    return {
        result["result_id"]: [
            {"thing": thing, "verdict": counts.get(about(result["result_id"], thing.tracking_uid))}
            for thing in things_of(result["findings"])
        ]
        for result in facts["results"]
        if result["analysed"]
    }
