"""STOW-RS (PS3.18 section 10.5): instances over HTTP into the same spool as C-STORE, piece by piece as they arrive."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from listener.web.access import Permission, Principal, require
from listener.web.body import BodyLimits, bounded_body, require_plain_body
from listener.web.dicomweb.addresses import Addresses, PathUid, checked_path_uid
from listener.web.dicomweb.dicom_json import MEDIA_TYPE
from listener.web.dicomweb.media_types import require_json
from listener.web.dicomweb.store_response import RETRY_SECONDS, STORE_STATUSES, http_status, store_response
from listener.web.intake import InstanceTooLarge, Intake, TooManySetAside
from listener.web.multipart_reader import MalformedMultipart, MultipartReader, Part, content_type_of
from listener.web.problem import described
from listener.web.set_aside_allowance import AllowanceSpent
from listener.web.uploads import Uploads

_DICOM = "application/dicom"
_CLOSE = {"Connection": "close"}  # what is left of the body is not read
_TOLD = {MEDIA_TYPE: {"schema": {"type": "object"}}, "application/json": {"schema": {"type": "object"}}}
_RESPONSES = described(STORE_STATUSES, dict.fromkeys(STORE_STATUSES, _TOLD))
_BODY = {
    "requestBody": {
        "required": True,
        "description": 'One DICOM file (PS3.10) per part; `type="application/dicom"` is a parameter of the media type.',
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def store_router(uploads: Uploads) -> APIRouter:
    """``POST /studies`` and ``POST /studies/{study}``."""
    router = APIRouter()
    StoresInstances = Annotated[Principal, Depends(require(Permission.STORE_INSTANCES))]

    @router.post("/studies", responses=_RESPONSES, openapi_extra=_BODY, summary="Store instances")
    async def store(request: Request, principal: StoresInstances) -> JSONResponse:
        """Every instance that is answered as stored is on stable storage."""
        return await _store(request, principal, uploads, "")

    @router.post("/studies/{study}", responses=_RESPONSES, openapi_extra=_BODY, summary="Store instances of one study")
    async def store_study(request: Request, study: PathUid, principal: StoresInstances) -> JSONResponse:
        """The same for one study: instances of another one fail with 0xA900."""
        return await _store(request, principal, uploads, study)

    return router


async def _store(request: Request, principal: Principal, uploads: Uploads, study: str) -> JSONResponse:
    require_json(request)
    require_plain_body(request)
    boundary = _boundary(request)
    study_instance_uid = checked_path_uid(study) if study else ""
    await uploads.refuse_when_full()
    with uploads.places.taken(principal.name):
        intake = uploads.intake(request, principal)
        refusal = await _take_all(request, intake, uploads.limits, boundary, study_instance_uid)
    return _answer(intake, Addresses(request), refusal)


async def _take_all(
    request: Request, intake: Intake, limits: BodyLimits, boundary: str, study_instance_uid: str
) -> HTTPException | None:
    """Take each part; why the body was not read to its end, or ``None`` when it was."""
    broken = "The web request ended early."
    try:
        reader = MultipartReader(bounded_body(request, limits), boundary)
        async for part in reader.parts():
            await intake.take(_dicom_of(part), study_instance_uid)
        broken = ""
    except MalformedMultipart as error:
        return HTTPException(400, broken := str(error))
    except InstanceTooLarge as error:
        return HTTPException(413, broken := str(error), _CLOSE)
    except TooManySetAside as error:
        return HTTPException(400, broken := str(error), _CLOSE)
    except AllowanceSpent as error:
        return HTTPException(429, broken := str(error), {**_CLOSE, "Retry-After": str(error.seconds)})
    except HTTPException as refusal:
        broken = str(refusal.detail)
        return refusal
    except ClientDisconnect:
        return HTTPException(400, broken := "The sender went away before the end of the body.")
    finally:
        await intake.close(broken)
    return None if intake.taken else HTTPException(400, "The body holds no part; send at least one instance.")


def _answer(intake: Intake, addresses: Addresses, refusal: HTTPException | None) -> JSONResponse:
    if refusal is not None and not intake.taken:
        raise refusal
    status = http_status(intake.taken)
    headers: dict[str, str] = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    if refusal is not None:  # what came before the fault is told: it is stored
        status = refusal.status_code
        headers |= {**(refusal.headers or {}), "Warning": f'299 overread "{refusal.detail}"'}
    return JSONResponse(store_response(intake.taken, addresses), status, headers, MEDIA_TYPE)


def _boundary(request: Request) -> str:
    """The boundary of a multipart/related body of DICOM files.

    Raises:
        HTTPException: 415, it is something else.
    """
    told = content_type_of(request.headers.get("content-type", ""))
    if told.media_type != "multipart/related" or told.parameters.get("type", "").lower() != _DICOM:
        raise HTTPException(
            415,
            'Instances are taken as multipart/related; type="application/dicom"; send them so.',
            {"Accept": 'multipart/related; type="application/dicom"', **_CLOSE},
        )
    return told.parameters.get("boundary", "")


def _dicom_of(part: Part) -> AsyncIterator[bytes]:
    if part.content_type.media_type not in ("", _DICOM):
        raise HTTPException(415, "A part is no application/dicom; send DICOM files only.", _CLOSE)
    return part.chunks
