"""WADO-RS rendered (PS3.18 section 10.4.1.1.4): pictures of single frames, decoded in a process that may be lost."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from listener.web.dicomweb.addresses import Addresses, PathUid
from listener.web.dicomweb.dicom_file import DicomFile
from listener.web.dicomweb.frame_attributes import NotRendered, frame_description, representative_frame
from listener.web.dicomweb.frames import FrameSource
from listener.web.dicomweb.library import (
    INSTANCE,
    RETRIEVE_STATUSES,
    FrameList,
    Library,
    ViewsImages,
    frame_numbers,
    frames_of,
    location_of,
    opened,
    readable,
)
from listener.web.dicomweb.media_types import wanted
from listener.web.dicomweb.multipart_writer import OutgoingPart, multipart_response
from listener.web.dicomweb.picture_wish import (
    require_known_parameters,
    wanted_quality,
    wanted_viewport,
    wanted_window,
)
from listener.web.pictures.frame_description import Viewport, Window, Wish
from listener.web.pictures.pool import DecoderPool, DecodersBusy, UndecodablePixels
from listener.web.problem import described
from storage.domain.search import HeldObject

_MEDIA_TYPES = ("image/jpeg", "image/png")  # the first is the default of PS3.18 table 8.7.4-1
_PICTURES: dict[str, Any] = {kind: {} for kind in (*_MEDIA_TYPES, "multipart/related")}
_RESPONSES = described({k: v for k, v in RETRIEVE_STATUSES.items() if k != 206}, {200: _PICTURES})
_FRAMES_AT_ONCE = 100
_PARAMETERS = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": description,
            "schema": {"type": "string", "pattern": pattern},
        }
        for name, description, pattern in (
            (
                "window",
                "Center, width, and one of linear, linear-exact and sigmoid.",
                r"^-?[0-9]{1,6}(\.[0-9]{1,4})?,[1-9][0-9]{0,5},(linear|linear-exact|sigmoid)$",
            ),
            (
                "viewport",
                "The picture's width and height; then left, top, width and height of what it shows.",
                r"^[1-9][0-9]{0,2},[1-9][0-9]{0,2}$",
            ),
            ("quality", "Of a JPEG, from 1 to 100.", r"^[1-9][0-9]?$"),
        )
    ]
}


def rendered_router(library: Library, decoders: DecoderPool) -> APIRouter:
    """``/rendered`` of instances and frames."""
    router = APIRouter(responses=_RESPONSES)

    @router.get(
        INSTANCE + "/rendered", response_class=Response, openapi_extra=_PARAMETERS, summary="A picture of an instance"
    )
    def instance_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, principal: ViewsImages
    ) -> Response:
        """The only frame, or the one that stands for all: Representative Frame Number, else the first."""
        wishes = _wishes(request)
        [held] = library.find(request, principal, "rendered", study, series, instance)
        return _rendered(request, decoders, held, None, *wishes)

    @router.get(
        INSTANCE + "/frames/{frames}/rendered",
        response_class=Response,
        openapi_extra=_PARAMETERS,
        summary="Pictures of frames",
    )
    def frames_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, frames: FrameList, principal: ViewsImages
    ) -> Response:
        """The frames with these numbers, separated by commas; several come as parts."""
        numbers, wishes = frame_numbers(frames), _wishes(request)
        [held] = library.find(request, principal, "rendered", study, series, instance)
        return _rendered(request, decoders, held, numbers, *wishes)

    return router


def _wishes(request: Request) -> tuple[Wish, Window | None]:
    require_known_parameters(request)
    viewport: Viewport | None = wanted_viewport(request)
    return Wish(quality=wanted_quality(request), viewport=viewport), wanted_window(request)


def _rendered(
    request: Request,
    decoders: DecoderPool,
    held: HeldObject,
    numbers: list[int] | None,
    wish: Wish,
    window: Window | None,
) -> Response:
    with readable():
        file = opened(held)
        source = frames_of(held, file)
        numbers = numbers or [representative_frame(file, source.count)]
    if max(numbers) > source.count:
        raise HTTPException(404, f"The instance has {source.count} frames; ask for one of them.")
    if len(numbers) > _FRAMES_AT_ONCE:
        raise HTTPException(400, f"More than {_FRAMES_AT_ONCE} pictures are asked for; ask for fewer at a time.")
    media_type, alone = _negotiated(request, len(numbers))

    def picture(number: int) -> bytes:
        return _picture(decoders, file, source, number, replace(wish, media_type=media_type), window)

    first = picture(numbers[0])  # what cannot be decoded should be told before the answer begins
    if alone:
        return Response(first, media_type=media_type)
    location = location_of(Addresses(request), held)
    parts = (
        OutgoingPart(media_type, (first if at == 0 else picture(number),), f"{location}/frames/{number}/rendered")
        for at, number in enumerate(numbers)
    )
    return multipart_response(parts, media_type)


def _picture(
    decoders: DecoderPool, file: DicomFile, source: FrameSource, number: int, wish: Wish, window: Window | None
) -> bytes:
    try:
        with readable():
            frame = frame_description(file, number)
            if window is not None:
                frame = replace(frame, window=window, table=None)
            return decoders.frame(frame, wish, lambda: source.frame(number))
    except NotRendered as error:
        raise HTTPException(406, str(error)) from None
    except UndecodablePixels as error:
        raise HTTPException(422, str(error)) from None
    except DecodersBusy as error:
        raise HTTPException(503, str(error), {"Retry-After": "5"}) from None


def _negotiated(request: Request, count: int) -> tuple[str, bool]:
    """The media type of each picture, and whether one comes alone.

    Raises:
        HTTPException: 406, the client takes none of ours.
    """
    for each in wanted(request):
        for media_type in _MEDIA_TYPES:
            if count == 1 and each.takes(media_type):
                return media_type, True
            if each.takes_part(media_type):
                return media_type, False
    told = "image/jpeg or image/png" if count == 1 else 'multipart/related; type="image/jpeg" or "image/png"'
    raise HTTPException(406, f"Pictures are answered as {told}; accept one of these.")
