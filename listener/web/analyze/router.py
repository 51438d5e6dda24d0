"""``POST /api/v1/analyze`` and what can be asked afterwards."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from listener.web.access import Permission, Principal, require
from listener.web.analyze.answer import PREFIX, address_of, analysis_of, pictures_of, received
from listener.web.analyze.models import Analysis
from listener.web.analyze.submission import Submission
from listener.web.body import bounded_body, require_plain_body
from listener.web.dicomweb.addresses import PathUid, checked_path_uid
from listener.web.intake import InstanceTooLarge
from listener.web.multipart_reader import MalformedMultipart, MultipartReader, content_type_of
from listener.web.pictures.pool import DecoderPool
from listener.web.problem import Problem
from listener.web.set_aside_allowance import AllowanceSpent
from listener.web.uploads import Uploads, remote_address
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import DatabaseUnavailable, UnknownRecord
from storage.ports.audit import AuditTrail
from storage.ports.facts import Facts
from storage.ports.objects import EvidenceStore
from storage.ports.studies import StudyExplainer, StudySettlement

LONGEST_WAIT = 120
_SETTLE_SECONDS = 15.0  # for the rows of what was just stored; after that the housekeeper settles it
_LOOK_SECONDS = 0.1
_SLOWEST_LOOK_SECONDS = 2.0
_WAITERS = 20  # answers that may be waited for at once; each asks the database now and then

Analyzes = Annotated[Principal, Depends(require(Permission.ANALYZE))]
Wait = Annotated[
    int, Query(ge=0, le=LONGEST_WAIT, description="How many seconds to wait for the end before answering.")
]
Number = Annotated[int, Path(ge=1, le=10**6, description="The number of the picture, from 1 on.")]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body, the UID or a parameter of the address is not understood."},
    401: {"model": Problem, "description": "Nobody is logged in."},
    403: {"model": Problem, "description": "The account may not have images analysed."},
    404: {"model": Problem, "description": "No such study or picture is known."},
    422: {"model": Problem, "description": "A field or file is not usable, or fields are missing."},
    429: {"model": Problem, "description": "Too many logins failed, or too many files were refused; wait."},
    503: {"model": Problem, "description": "The database does not answer, or nothing can be stored now; try again."},
}
_UPLOAD_PROBLEMS = _PROBLEMS | {
    408: {"model": Problem, "description": "The body came too slowly."},
    409: {
        "model": Problem,
        "description": "A file was refused: other bytes under its UID, malformed, or another study.",
    },
    413: {"model": Problem, "description": "The body, a file or a picture is too large."},
    415: {
        "model": Problem,
        "description": "The body is no multipart/form-data, is compressed, or holds another format.",
    },
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "modality": {
                            "type": "string",
                            "maxLength": 16,
                            "description": "What made the pictures, such as MR or DX; needed for PNG and JPEG, "
                            "before the files.",
                            "examples": ["MR"],
                        },
                        "body_part": {
                            "type": "string",
                            "maxLength": 16,
                            "description": "Body Part Examined of the pictures, if known.",
                            "examples": ["HEAD"],
                        },
                        "patient_age": {
                            "type": "string",
                            "maxLength": 4,
                            "description": "The patient's age for pictures, in years, or as 054Y, 006M, 002W or 010D; "
                            "algorithms with limits of age need it.",
                            "examples": ["54"],
                        },
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "DICOM files of one study, or PNG or JPEG pictures.",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class AnalyzeDesk:
    """What the API works with."""

    uploads: Uploads
    settlement: StudySettlement
    explainer: StudyExplainer
    evidence: EvidenceStore
    trail: AuditTrail
    decoders: DecoderPool


def analyze_router(desk: AnalyzeDesk) -> APIRouter:
    """The API for those without a PACS."""
    router = APIRouter(prefix=PREFIX, tags=["Analysis"])
    waiting = _Waiting(desk)

    @router.post(
        "/analyze",
        status_code=202,
        response_model=Analysis,
        responses={
            200: {"model": Analysis, "description": "It was waited for, and it is finished."},
            **_UPLOAD_PROBLEMS,
        },
        openapi_extra=_FORM,
        summary="Have images analysed",
    )
    async def analyze(request: Request, response: Response, principal: Analyzes, wait: Wait = 0) -> Analysis:
        """Store the files as one study, and have it analysed at once by every active algorithm.

        What is answered is on stable storage. `Location` says where to ask for the findings.
        """
        _require_known_parameters(request)
        submission = await _submitted(request, principal, desk)
        uid = submission.study_instance_uid
        await _settled(desk, submission, principal.name)
        try:
            answer = await waiting.for_end(request, uid, wait)
        except DatabaseUnavailable:  # the files are stored all the same
            answer = None
        answer = answer or received(uid, len(submission.sop_instance_uids))
        response.headers["Location"] = address_of(uid)
        response.status_code = 200 if wait and answer.finished else 202
        return answer

    @router.get("/analyses/{study_instance_uid}", responses=_PROBLEMS, summary="Where an analysis stands")
    async def analysis(request: Request, study_instance_uid: PathUid, principal: Analyzes, wait: Wait = 0) -> Analysis:
        """The state of a study, and once it is analysed its findings."""
        uid = checked_path_uid(study_instance_uid)
        await run_sync(_record_look, desk.trail, request, principal, uid, "analysis")
        answer = await waiting.for_end(request, uid, wait)
        if answer is None:
            raise UnknownRecord("No such study is known here.")
        return answer

    @router.get(
        "/analyses/{study_instance_uid}/pictures/{number}",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "The picture."}, **_PROBLEMS},
        summary="A picture of a result",
    )
    def picture(request: Request, study_instance_uid: PathUid, number: Number, principal: Analyzes) -> Response:
        """The picture with this number, from 1 on, as it was frozen with its result."""
        uid = checked_path_uid(study_instance_uid)
        facts = _facts(desk.explainer, uid)
        pictures = pictures_of(facts) if facts else []
        if number > len(pictures):
            raise UnknownRecord("There is no such picture.")
        path = desk.evidence.evidence(pictures[number - 1][1]["sha256"])
        if not path.is_file():
            raise UnknownRecord("The file of this picture is missing; an operator can restore it from a backup.")
        _record_look(desk.trail, request, principal, uid, "picture")
        return Response(path.read_bytes(), media_type="image/png")  # small, and never in ranges

    return router


def _require_known_parameters(request: Request) -> None:
    """Refuse what would be ignored: a misspelt ``wait`` is not answered as if nothing had been asked.

    Raises:
        HTTPException: 400.
    """
    if set(request.query_params) - {"wait"}:
        raise HTTPException(400, "The address has a parameter other than wait; leave it out.", {"Connection": "close"})


async def _submitted(request: Request, principal: Principal, desk: AnalyzeDesk) -> Submission:
    require_plain_body(request)
    told = content_type_of(request.headers.get("content-type", ""))
    if told.media_type != "multipart/form-data":
        raise HTTPException(415, "Files are taken as multipart/form-data; send them so.", {"Connection": "close"})
    uploads = desk.uploads
    await uploads.refuse_when_full()
    with uploads.places.taken(principal.name):
        submission = Submission(uploads.intake(request, principal), desk.decoders)
        broken = "The web request ended early."
        try:
            chunks = bounded_body(request, uploads.limits)
            await submission.take(MultipartReader(chunks, told.parameters.get("boundary", "")))
            broken = ""
        except MalformedMultipart as error:
            raise HTTPException(400, broken := str(error)) from None
        except InstanceTooLarge as error:
            raise HTTPException(413, broken := str(error), {"Connection": "close"}) from None
        except AllowanceSpent as error:
            raise HTTPException(
                429, broken := str(error), {"Connection": "close", "Retry-After": str(error.seconds)}
            ) from None
        except ClientDisconnect:
            raise HTTPException(400, "The sender went away before the end of the body.") from None
        except HTTPException as refusal:
            broken = str(refusal.detail)
            raise
        finally:
            await submission.intake.close(broken)
    return submission


async def _settled(desk: AnalyzeDesk, submission: Submission, actor: str) -> None:
    """Make the study stable as soon as it has its rows; while the database is away, the housekeeper does it later."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    uid, instances = submission.study_instance_uid, submission.sop_instance_uids
    while time.monotonic() < deadline:
        try:
            if await run_sync(desk.settlement.settle_now, uid, instances, actor):
                return
        except DatabaseUnavailable:
            return
        await asyncio.sleep(_LOOK_SECONDS)


class _Waiting:
    """Looks at studies until their analysis is finished, for a few callers at once."""

    def __init__(self, desk: AnalyzeDesk) -> None:
        self._desk = desk
        self._waiters = 0

    async def for_end(self, request: Request, uid: str, seconds: int) -> Analysis | None:
        """The analysis at its end, or as it is when the time is over; ``None`` when nothing is known of the study."""
        deadline = time.monotonic() + (seconds if self._waiters < _WAITERS else 0)
        self._waiters += 1
        try:
            pause = _LOOK_SECONDS
            while True:
                answer = await run_sync(self._look, uid)
                left = deadline - time.monotonic()
                if (answer is not None and answer.finished) or left <= 0 or await request.is_disconnected():
                    return answer
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)
        finally:
            self._waiters -= 1

    def _look(self, uid: str) -> Analysis | None:
        facts = _facts(self._desk.explainer, uid)
        return None if facts is None else analysis_of(facts)


def _facts(explainer: StudyExplainer, uid: str) -> Facts | None:
    """What is known about a study; ``None`` when nothing is, or when the UID is another thing's."""
    try:
        facts = explainer.explain(uid)
    except UnknownRecord:
        return None
    return facts if facts["study"] is not None and facts["study_instance_uid"] == uid else None


def _record_look(trail: AuditTrail, request: Request, principal: Principal, uid: str, what: str) -> None:
    details: dict[str, str | int | float | None] = {"what": what, "address": remote_address(request)}
    trail.record(AuditEvent(AuditAction.STUDY_VIEWED, principal.name, study_instance_uid=uid, details=details))
