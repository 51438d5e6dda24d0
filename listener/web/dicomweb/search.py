"""QIDO-RS (PS3.18 section 10.6): studies, series and instances by their attributes, our results among them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import Addresses, PathUid, checked_path_uid
from listener.web.dicomweb.dicom_json import MEDIA_TYPE, Attributes, dumped
from listener.web.dicomweb.media_types import require_json
from listener.web.dicomweb.search_query import KEYS, STUDY_KEYS, Level, SearchQuery, read_query
from listener.web.dicomweb.search_response import instance_attributes, series_attributes, study_attributes
from listener.web.problem import described
from listener.web.uploads import remote_address
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.search import Found, FoundInstance, FoundSeries, FoundStudy
from storage.ports.audit import AuditTrail
from storage.ports.studies import StudyIndex

SEARCH_STATUSES: dict[int, str] = {
    200: "What was found, `[]` when nothing was; X-Total-Count says how much there is in all.",
    400: "A query parameter is not understood; nothing was searched.",
    401: "Nobody is logged in.",
    403: "The account may not see images.",
    406: "The client takes no application/dicom+json.",
    429: "Too many logins failed; wait as Retry-After says.",
    503: "The database does not answer; ask again later.",
}
_FOUND = {MEDIA_TYPE: {"schema": {"type": "array", "items": {"type": "object"}}}}
_RESPONSES = described(SEARCH_STATUSES, {200: _FOUND})
_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."

ViewsImages = Annotated[Principal, Depends(require(Permission.VIEW_IMAGES))]
_Thing = TypeVar("_Thing", FoundStudy, FoundSeries, FoundInstance)


def search_router(index: StudyIndex, trail: AuditTrail) -> APIRouter:
    """The six addresses of a search."""
    router = APIRouter(responses=_RESPONSES)

    def studies(request: Request, principal: Principal) -> Response:
        query, addresses = _query(request, Level.STUDIES), Addresses(request)
        found = index.search_studies(query.search_keys(), query.page(Level.STUDIES))
        _record(trail, principal, request, Level.STUDIES, query, found.total)
        return _answer(found, query, lambda study: study_attributes(study, addresses, query.included))

    def series(request: Request, principal: Principal, **uids: str) -> Response:
        query, addresses = _query(request, Level.SERIES, **uids), Addresses(request)
        found = index.search_series(query.search_keys(), query.page(Level.SERIES))
        _record(trail, principal, request, Level.SERIES, query, found.total)
        return _answer(found, query, lambda each: series_attributes(each, addresses, query.included))

    def instances(request: Request, principal: Principal, **uids: str) -> Response:
        query, addresses = _query(request, Level.INSTANCES, **uids), Addresses(request)
        found = index.search_instances(query.search_keys(), query.page(Level.INSTANCES))
        _record(trail, principal, request, Level.INSTANCES, query, found.total)
        return _answer(found, query, lambda each: instance_attributes(each, addresses, query.included))

    @router.get(
        "/studies", openapi_extra=_parameters(STUDY_KEYS), response_class=Response, summary="Search for studies"
    )
    def all_studies(request: Request, principal: ViewsImages) -> Response:
        """Studies, newest first."""
        return studies(request, principal)

    @router.get("/series", openapi_extra=_parameters(KEYS), response_class=Response, summary="Search for series")
    def all_series(request: Request, principal: ViewsImages) -> Response:
        """Series of any study."""
        return series(request, principal)

    @router.get("/instances", openapi_extra=_parameters(KEYS), response_class=Response, summary="Search for instances")
    def all_instances(request: Request, principal: ViewsImages) -> Response:
        """Instances of any study."""
        return instances(request, principal)

    @router.get(
        "/studies/{study}/series",
        openapi_extra=_parameters(KEYS),
        response_class=Response,
        summary="Search in a study for series",
    )
    def series_of_study(request: Request, study: PathUid, principal: ViewsImages) -> Response:
        """Series of one study."""
        return series(request, principal, study_instance_uid=study)

    @router.get(
        "/studies/{study}/instances",
        openapi_extra=_parameters(KEYS),
        response_class=Response,
        summary="Search in a study",
    )
    def instances_of_study(request: Request, study: PathUid, principal: ViewsImages) -> Response:
        """Instances of one study."""
        return instances(request, principal, study_instance_uid=study)

    @router.get(
        "/studies/{study}/series/{series_uid}/instances",
        openapi_extra=_parameters(KEYS),
        response_class=Response,
        summary="Search in a series for instances",
    )
    def instances_of_series(request: Request, study: PathUid, series_uid: PathUid, principal: ViewsImages) -> Response:
        """Instances of one series."""
        return instances(request, principal, study_instance_uid=study, series_instance_uid=series_uid)

    return router


def _query(request: Request, level: Level, **uids: str) -> SearchQuery:
    require_json(request)
    query = read_query(request, level)
    query.keys |= {name: (checked_path_uid(uid),) for name, uid in uids.items()}
    return query


def _record(
    trail: AuditTrail, principal: Principal, request: Request, level: Level, query: SearchQuery, total: int
) -> None:
    """Who searched, by which keys, and how much that found; the values of the keys may name a patient."""
    studies = query.keys.get("study_instance_uid", ())
    trail.record(
        AuditEvent(
            AuditAction.STUDIES_QUERIED,
            principal.name,
            study_instance_uid=studies[0] if len(studies) == 1 else "",
            details={
                "level": str(level),
                "keys": ", ".join(sorted(set(query.asked))),
                "found": total,
                "address": remote_address(request),
            },
        )
    )


def _answer(found: Found[_Thing], query: SearchQuery, attributes: Callable[[_Thing], Attributes]) -> Response:
    headers, warnings = {}, []
    if found.total:
        headers["X-Total-Count"] = str(found.total)
    left = found.total - query.offset - len(found.things)
    if left > 0:
        warnings.append(f"There are {left} additional results that can be requested")
    if query.fuzzy:
        warnings.append(_FUZZY)
    if warnings:
        headers["Warning"] = ", ".join(f'299 overread "{warning}"' for warning in warnings)
    return Response(dumped([attributes(thing) for thing in found.things]), headers=headers, media_type=MEDIA_TYPE)


def _parameters(keys: Sequence[str]) -> dict[str, Any]:
    """The query parameters for the OpenAPI document; they are read in search_query.py."""
    numbers = {name: {"type": "integer", "minimum": 0} for name in ("limit", "offset")}
    texts = {name: {"type": "string"} for name in ("includefield", "fuzzymatching", *keys)}
    return {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in (numbers | texts).items()]
    }
