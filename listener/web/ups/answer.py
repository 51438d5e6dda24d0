"""How the worklist answers: what anybody may see of a workitem, and a status with its Warning."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from listener.web.dicomweb.addresses import PREFIX, Addresses
from listener.web.dicomweb.dicom_json import MEDIA_TYPE, dumped
from listener.web.ups.search_query import WorkitemQuery
from storage.domain.workitem import STATUSES, DataSet, Workitem, WorkitemRefused, WorkitemState, WorkitemStatus
from storage.domain.workitem_attributes import SEARCH_KEYS, TAGS, retrievable, shown

_AGENT = "overread"


def warning(text: str) -> dict[str, str]:
    """The header fields that tell it (PS3.18 section 11, `Warning: 299 {+SERVICE}: …`)."""
    return {"Warning": f"299 {_AGENT}: {text}"} if text else {}


def plain(status: WorkitemStatus, http: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """An answer without a body."""
    return Response(status_code=http or status.http, headers={**warning(status.warning), **(headers or {})})


def refused(error: WorkitemRefused) -> Response:
    """The answer to a request that a workitem's state does not allow."""
    return JSONResponse({"detail": str(error)}, error.status.http, warning(error.status.warning))


def with_modifications(left_out: bool, status: WorkitemStatus, otherwise: int) -> WorkitemStatus:
    """The status, with the warning that something was left out where nothing else is to be told."""
    return STATUSES[otherwise] if left_out and not status.code else status


def data_set(workitem: Workitem, addresses: Addresses) -> DataSet:
    """A workitem as a whole; of what we made it says where this client gets it."""
    known = shown(workitem.sop_instance_uid, workitem.state, workitem.changed_at, workitem.attributes)
    if not workitem.ours or workitem.state is not WorkitemState.COMPLETED:
        return known
    return retrievable(known, lambda study, series: addresses.series(study, series))


def answered(workitem: Workitem, addresses: Addresses) -> Response:
    """One workitem."""
    return Response(dumped(data_set(workitem, addresses)), media_type=MEDIA_TYPE)


def found(workitems: tuple[Workitem, ...], total: int, query: WorkitemQuery, addresses: Addresses) -> Response:
    """The answer to a search: the attributes of its keys, those that are always returned and those asked for."""
    asked = query.included | {SEARCH_KEYS[name][0] for name in query.keys}
    body = [
        {
            tag: value
            for tag, value in data_set(each, addresses).items()
            if query.everything or TAGS[tag].found or tag in asked
        }
        for each in workitems
    ]
    left = total - query.offset - len(workitems)
    headers = warning(f"There are {left} additional results that can be requested") if left > 0 else {}
    headers |= {"X-Total-Count": str(total)} if total else {}
    return Response(dumped(body), headers=headers, media_type=MEDIA_TYPE)


def address_of(request: Request, sop_instance_uid: str) -> str:
    """Where a workitem is, as this client reaches us."""
    return f"{str(request.base_url).rstrip('/')}{PREFIX}/workitems/{sop_instance_uid}"
