"""``/dicom-web/workitems/{workitem}/subscribers/{aet}``: who is told of what (PS3.18 sections 11.10 to 11.12)."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.exceptions import HTTPException

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import PREFIX, PathUid, checked_path_uid
from listener.web.ups import answer
from listener.web.ups.router import statuses
from listener.web.ups.search_query import add_key
from storage.domain.workitem import SUCCESS, WorkitemRefused
from storage.domain.workitem_event import FILTERED_UID, WORKLIST_UID
from storage.ports.workitems import Subscriptions

WorksOnWorkitems = Annotated[Principal, Depends(require(Permission.ANALYZE))]
Requester = Annotated[
    str,
    Path(
        description="The AE title under which the account is told (PS3.5 section 6.2).",
        json_schema_extra={"pattern": r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$", "maxLength": 16},
    ),
]
_AE_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?", re.ASCII)
_PARAMETERS = {
    "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("deletionlock", "filter")]
}


def subscriptions_router(subscriptions: Subscriptions) -> APIRouter:
    """Subscribe, unsubscribe, suspend."""
    router = APIRouter(prefix=PREFIX, tags=["Worklist"])

    @router.post(
        "/workitems/{workitem}/subscribers/{aet}",
        status_code=201,
        response_class=Response,
        responses=statuses(404, _201="It is subscribed; Content-Location says where the channel is opened."),
        openapi_extra=_PARAMETERS,
        summary="Subscribe to a workitem, or to the worklist",
    )
    def subscribe(request: Request, workitem: PathUid, aet: Requester, principal: WorksOnWorkitems) -> Response:
        """The UID 1.2.840.10008.5.1.4.34.5 stands for the worklist, …34.5.1 for what matches the filter."""
        target, title = checked_path_uid(workitem), checked_ae_title(aet)
        lock, keys = _wanted(request, filtered=target == FILTERED_UID)
        try:
            subscriptions.subscribe(target, title, principal.name, deletion_lock=lock, keys=keys)
        except WorkitemRefused as error:
            return answer.refused(error)
        return answer.plain(SUCCESS, 201, {"Content-Location": channel_address(request, title)})

    @router.delete(
        "/workitems/{workitem}/subscribers/{aet}",
        response_class=Response,
        responses=statuses(200, 404),
        summary="Unsubscribe from a workitem, or from all",
    )
    def unsubscribe(workitem: PathUid, aet: Requester, principal: WorksOnWorkitems) -> Response:
        """The UID of the worklist ends every subscription of the AE title."""
        try:
            subscriptions.unsubscribe(checked_path_uid(workitem), checked_ae_title(aet), principal.name)
        except WorkitemRefused as error:
            return answer.refused(error)
        return answer.plain(SUCCESS)

    @router.post(
        "/workitems/{workitem}/subscribers/{aet}/suspend",
        response_class=Response,
        responses=statuses(200, 404),
        summary="Subscribe to no further new workitems",
    )
    def suspend(workitem: PathUid, aet: Requester, principal: WorksOnWorkitems) -> Response:
        """What the AE title is subscribed to already it stays subscribed to."""
        if checked_path_uid(workitem) not in (WORKLIST_UID, FILTERED_UID):
            raise HTTPException(404, "Only a subscription to the worklist is suspended; unsubscribe from a workitem.")
        subscriptions.suspend(checked_ae_title(aet), principal.name)
        return answer.plain(SUCCESS)

    return router


def checked_ae_title(value: str) -> str:
    """An AE title that stands in a path.

    Raises:
        HTTPException: 400, it does not follow the Standard; it is not repeated.
    """
    if not _AE_TITLE.fullmatch(value):
        raise HTTPException(400, "The AE title in the path is not valid (PS3.5 section 6.2); correct it.")
    return value


def channel_address(request: Request, ae_title: str) -> str:
    """Where this client opens its channel."""
    return (
        str(request.url.replace(scheme="wss" if request.url.scheme == "https" else "ws", query="")).split(PREFIX)[0]
        + f"{PREFIX}/subscribers/{quote(ae_title)}"
    )


def _wanted(request: Request, *, filtered: bool) -> tuple[bool, dict[str, tuple[str, ...]]]:
    """The deletion lock and the keys: parameters of their own, or ``filter=KEY=VALUE,KEY=VALUE``."""
    lock, keys = False, dict[str, tuple[str, ...]]()
    for name, value in request.query_params.multi_items():
        if name == "deletionlock":
            if value not in ("true", "false"):
                raise HTTPException(400, "deletionlock is neither true nor false.")
            lock = value == "true"
        elif name == "filter":
            for part in value.split(","):
                add_key(keys, *(part.split("=", 1) if "=" in part else (part, "")))
        else:
            add_key(keys, name, value)
    if keys and not filtered:
        raise HTTPException(400, f"Only a subscription to {FILTERED_UID} has a filter; leave it out.")
    return lock, keys
