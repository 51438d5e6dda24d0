"""``/dicom-web/workitems``: create, search, retrieve, update, claim, complete, cancel (PS3.18 chapter 11)."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import PREFIX, Addresses, PathUid, checked_path_uid
from listener.web.dicomweb.dicom_json import MEDIA_TYPE
from listener.web.dicomweb.media_types import require_json
from listener.web.problem import described
from listener.web.uploads import remote_address
from listener.web.ups import answer
from listener.web.ups.data_set import anonymous, at_creation, at_update, data_set_of
from listener.web.ups.search_query import read_workitem_query
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.identifiers import is_uid
from storage.domain.search import Page
from storage.domain.workitem import SUCCESS, NewWorkitem, WorkitemRefused, WorkitemRequest, WorkitemState
from storage.domain.workitem_attributes import ATTRIBUTES, SEARCH_KEYS, TRANSACTION_UID, first
from storage.ports.audit import AuditTrail
from storage.ports.workitems import CancelWish, Worklist

ViewsWorkitems = Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]
WorksOnWorkitems = Annotated[Principal, Depends(require(Permission.ANALYZE))]

_REQUESTS = {
    WorkitemState.SCHEDULED: WorkitemRequest.SCHEDULE,
    WorkitemState.IN_PROGRESS: WorkitemRequest.CLAIM,
    WorkitemState.COMPLETED: WorkitemRequest.COMPLETE,
    WorkitemState.CANCELED: WorkitemRequest.CANCEL,
}
_STATE = ATTRIBUTES["ProcedureStepState"].tag
_CANCEL_INFORMATION = ("00741238", "0074100E", "0074100A", "0074100C")  # PS3.4 Table CC.2.2-1
_UID_PARAMETERS = ("workitem", "AffectedSOPInstanceUID")
_LOCK_PARAMETERS = ("transaction-uid", "transaction")

STATUSES: dict[int, str] = {
    200: "It was done; a Warning says where it was so already.",
    400: "The body or the address is not understood, or the Transaction UID is missing or incorrect.",
    401: "Nobody is logged in.",
    403: "The account may not do this.",
    404: "There is no such workitem.",
    406: "The client takes no application/dicom+json.",
    408: "The body came too slowly.",
    409: "The state of the workitem does not allow it.",
    413: "The body is too large.",
    415: "The body is no application/dicom+json, or is compressed.",
    429: "Too many logins failed; wait as Retry-After says.",
    503: "The database does not answer, or as many workitems are held as may be; try again later.",
}
_ANY = {"type": "object"}
_ITEM = {MEDIA_TYPE: {"schema": _ANY}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": _ANY}}}}


def statuses(*wanted: int, item: dict[int, Any] | None = None, **more: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI document; ``_201`` and the like have words of their own."""
    told = {status: STATUSES[status] for status in (*wanted, 400, 401, 403, 429, 503)}
    told |= {int(status.strip("_")): sentence for status, sentence in more.items()}
    return described(told, item or {status: {} for status in told if status < 300})


_SENT = (408, 413, 415)


def ups_router(worklist: Worklist, trail: AuditTrail) -> APIRouter:
    """The worklist."""
    router = APIRouter(prefix=PREFIX, tags=["Worklist"])

    @router.post(
        "/workitems",
        status_code=201,
        response_class=Response,
        responses=statuses(409, *_SENT, _201="It was created; Location says where it is."),
        openapi_extra=_BODY
        | {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _UID_PARAMETERS]},
        summary="Create a workitem",
    )
    async def create(request: Request, principal: WorksOnWorkitems) -> Response:
        """Its UID stands in the address (`?workitem=UID`, `?UID`) or in the body."""
        uid, attributes, left_out = at_creation(await data_set_of(request), _uid_in(request))
        refusal = await _done(lambda: worklist.create(NewWorkitem(uid, attributes), principal.name))
        if refusal is not None:
            return refusal
        where = answer.address_of(request, uid)
        status = answer.with_modifications(left_out, SUCCESS, 0xB300)
        return answer.plain(status, 201, {"Location": where, "Content-Location": where})

    @router.get(
        "/workitems",
        response_class=Response,
        responses=statuses(200, 406, item={200: {MEDIA_TYPE: {"schema": {"type": "array", "items": _ANY}}}}),
        openapi_extra={
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string"}}
                for name in ("limit", "offset", "includefield", "fuzzymatching", *SEARCH_KEYS)
            ]
        },
        summary="Search for workitems",
    )
    def search(request: Request, principal: ViewsWorkitems) -> Response:
        """The most urgent first, and of these the oldest."""
        require_json(request)
        query = read_workitem_query(request)
        found = worklist.search(query.keys, Page(query.limit, query.offset))
        details: dict[str, str | int | float | None] = {
            "level": "workitems",
            "keys": ", ".join(sorted(query.keys)),
            "found": found.total,
            "address": remote_address(request),
        }
        trail.record(AuditEvent(AuditAction.STUDIES_QUERIED, principal.name, details=details))
        return answer.found(found.things, found.total, query, Addresses(request))

    @router.get(
        "/workitems/{workitem}",
        response_class=Response,
        responses=statuses(200, 404, 406, item={200: _ITEM}),
        summary="Retrieve a workitem",
    )
    def retrieve(request: Request, workitem: PathUid, principal: ViewsWorkitems) -> Response:
        """All of it but its Transaction UID."""
        require_json(request)
        try:
            held = worklist.get(checked_path_uid(workitem))
        except WorkitemRefused as error:
            return answer.refused(error)
        details: dict[str, str | int | float | None] = {"workitem": workitem, "address": remote_address(request)}
        trail.record(AuditEvent(AuditAction.WORKITEM_VIEWED, principal.name, details=details))
        return answer.answered(held, Addresses(request))

    @router.post(
        "/workitems/{workitem}",
        response_class=Response,
        responses=statuses(200, 404, 409, *_SENT),
        openapi_extra=_BODY
        | {"parameters": [{"name": "transaction-uid", "in": "query", "schema": {"type": "string"}}]},
        summary="Update a workitem",
    )
    async def update(request: Request, workitem: PathUid, principal: WorksOnWorkitems) -> Response:
        """Replace attributes; of one in progress with its Transaction UID, in the address or in the body."""
        uid, sent = checked_path_uid(workitem), await data_set_of(request)
        lock = _lock_in(request) or str(first(sent, TRANSACTION_UID) or "")
        changes, left_out = at_update(sent)
        return await _status(
            lambda: answer.with_modifications(left_out, worklist.update(uid, changes, lock, principal.name), 0xB305)
        )

    @router.put(
        "/workitems/{workitem}/state",
        response_class=Response,
        responses=statuses(200, 404, 409, *_SENT),
        openapi_extra=_BODY,
        summary="Claim, complete or cancel a workitem",
    )
    async def change_state(request: Request, workitem: PathUid, principal: WorksOnWorkitems) -> Response:
        """The body has Procedure Step State and Transaction UID; who claims makes the latter up."""
        uid, sent = checked_path_uid(workitem), await data_set_of(request)
        wanted = first(sent, _STATE)
        if wanted not in set(WorkitemState):
            raise HTTPException(400, "Procedure Step State (0074,1000) is no state of a workitem; correct it.")
        lock, asked = str(first(sent, TRANSACTION_UID) or ""), _REQUESTS[WorkitemState(wanted)]
        return await _status(lambda: worklist.change_state(uid, asked, lock, principal.name))

    @router.post(
        "/workitems/{workitem}/cancelrequest",
        status_code=202,
        response_class=Response,
        responses=statuses(404, 409, *_SENT, _202="The request was taken; its performer decides."),
        openapi_extra={"requestBody": _BODY["requestBody"] | {"required": False}},
        summary="Request that a workitem is canceled",
    )
    async def request_cancel(request: Request, workitem: PathUid, principal: WorksOnWorkitems) -> Response:
        """By who does not perform it; the body may say why."""
        uid = checked_path_uid(workitem)
        sent = await data_set_of(request) if _has_body(request) else {}
        wish = CancelWish({tag: anonymous(value) for tag, value in sent.items() if tag in _CANCEL_INFORMATION})
        return await _status(lambda: worklist.request_cancel(uid, wish, principal.name), 202)

    return router


async def _done(change: Callable[[], None]) -> Response | None:
    """The refusal of a change, or ``None`` once it is made."""
    try:
        await run_sync(change)
    except WorkitemRefused as error:
        return answer.refused(error)
    return None


async def _status(change: Callable[[], Any], http: int | None = None) -> Response:
    try:
        return answer.plain(await run_sync(change), http)
    except WorkitemRefused as error:
        return answer.refused(error)


def _uid_in(request: Request) -> str:
    """The UID in the address: by the names of two editions of the Standard, or alone (PS3.18 section 11.4.1)."""
    told = [request.query_params[name] for name in _UID_PARAMETERS if name in request.query_params]
    if not told and re.fullmatch(r"[0-9.]+", request.url.query):
        told = [request.url.query]
    if told and not is_uid(told[0]):
        raise HTTPException(400, "The UID in the address is not valid (PS3.5 section 9.1); correct it.")
    return told[0] if told else ""


def _lock_in(request: Request) -> str:
    told = [request.query_params[name] for name in _LOCK_PARAMETERS if name in request.query_params]
    if not told and re.fullmatch(r"[0-9.]+", request.url.query):
        told = [request.url.query]
    return told[0] if told else ""


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in request.headers
