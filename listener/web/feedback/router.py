"""``/api/v1/studies/{study}/feedback``: the verdicts on a study's results."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from listener.web.access import Permission, Principal, require
from listener.web.analyze.answer import PREFIX
from listener.web.dicomweb.addresses import PathUid, checked_path_uid
from listener.web.feedback.models import GivenVerdict, JudgedFinding, JudgedResult, NewVerdict, StudyVerdicts
from listener.web.problem import Problem
from listener.web.uploads import remote_address
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.feedback import Feedback, FeedbackSource, Verdict, about, things_of
from storage.errors import UnknownRecord
from storage.ports.audit import AuditTrail
from storage.ports.facts import Facts
from storage.ports.feedback import FeedbackBook
from storage.ports.studies import StudyExplainer

_LARGEST_BODY = 16 * 1024

Viewer = Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]
Reader = Annotated[Principal, Depends(require(Permission.GIVE_FEEDBACK))]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The UID of the address is not understood."},
    401: {"model": Problem, "description": "Nobody is logged in."},
    403: {"model": Problem, "description": "The account may not do this."},
    404: {"model": Problem, "description": "No such study, result or finding is known."},
    429: {"model": Problem, "description": "Too many logins failed; wait."},
    503: {"model": Problem, "description": "The database does not answer; try again."},
}
_TAKING_PROBLEMS = _PROBLEMS | {
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "The body is not a verdict as it is described here."},
}


def feedback_api_router(book: FeedbackBook, explainer: StudyExplainer, trail: AuditTrail) -> APIRouter:
    """Reading and giving verdicts."""
    router = APIRouter(prefix=PREFIX, tags=["Feedback"])

    @router.get("/studies/{study_instance_uid}/feedback", responses=_PROBLEMS, summary="Verdicts on a study's results")
    def told(request: Request, study_instance_uid: PathUid, viewer: Viewer) -> StudyVerdicts:
        """Each finding of each result of the study, with every verdict on it; results in shadow are not among them."""
        uid = checked_path_uid(study_instance_uid)
        details: dict[str, str | int | float | None] = {"what": "feedback", "address": remote_address(request)}
        trail.record(AuditEvent(AuditAction.STUDY_VIEWED, viewer.name, study_instance_uid=uid, details=details))
        facts = explainer.explain(uid)
        if facts["study"] is None or facts["study_instance_uid"] != uid:
            raise UnknownRecord("No such study is known here.")
        results = [_result(result, facts["feedback"]) for result in facts["results"] if result["analysed"]]
        return StudyVerdicts(study_instance_uid=uid, results=results)

    @router.post(
        "/studies/{study_instance_uid}/feedback",
        status_code=204,
        responses=_TAKING_PROBLEMS,
        summary="Accept or reject a finding",
    )
    def give(request: Request, study_instance_uid: PathUid, reader: Reader, verdict: NewVerdict) -> Response:
        """Say of a finding, or of a result that found nothing, whether it is right; the newest verdict counts.

        The same said again by the same account changes nothing.
        """
        uid = checked_path_uid(study_instance_uid)
        said = Feedback(
            verdict.result_id, verdict.tracking_uid, Verdict(verdict.verdict), FeedbackSource.API, reader.name
        )
        book.give(uid, said, remote_address(request))
        return Response(status_code=204)

    outer = APIRouter()
    outer.include_router(router, max_body_size=_LARGEST_BODY)
    return outer


def _result(result: Facts, feedback: list[Facts]) -> JudgedResult:
    given: dict[str | int, list[GivenVerdict]] = {}
    for row in feedback:
        verdict = GivenVerdict(**{name: row[name] for name in GivenVerdict.model_fields})
        given.setdefault(about(row["result_id"], row["tracking_uid"]), []).append(verdict)
    return JudgedResult(
        result_id=result["result_id"],
        algorithm=f"{result['algorithm_name']} {result['algorithm_version']}",
        revision=result["revision"],
        findings=[
            JudgedFinding(
                tracking_uid=thing.tracking_uid,
                name=thing.name,
                said=thing.said,
                verdicts=given.get(about(result["result_id"], thing.tracking_uid), []),
            )
            for thing in things_of(result["findings"])
        ],
    )
