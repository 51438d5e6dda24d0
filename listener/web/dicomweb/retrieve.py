"""WADO-RS (PS3.18 section 10.4): instances, metadata, frames and bulk data, as stored and in pieces."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from listener.web.dicomweb.addresses import Addresses, PathUid
from listener.web.dicomweb.dicom_file import PIXEL_TAGS
from listener.web.dicomweb.dicom_json import MEDIA_TYPE, dumped
from listener.web.dicomweb.frames import OCTETS, FrameSource
from listener.web.dicomweb.library import (
    FRAMES_LIMIT,
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
from listener.web.dicomweb.media_types import ANY, Wanted, require_json, wanted
from listener.web.dicomweb.metadata import binary_value, instance_metadata
from listener.web.dicomweb.multipart_writer import OutgoingPart, multipart_response, pieces_of
from listener.web.problem import described
from storage.domain.search import HeldObject

_WHOLE: dict[str, Any] = {
    kind: {} for kind in ("multipart/related", "application/dicom", MEDIA_TYPE, OCTETS, "image/*", "video/*")
}
_RESPONSES = described(RETRIEVE_STATUSES, {200: _WHOLE, 206: _WHOLE})
_DICOM = "application/dicom"

HexTag = Annotated[
    str, Path(description="A tag as hexadecimal digits.", json_schema_extra={"pattern": r"^[0-9A-Fa-f]{8}$"})
]


def retrieve_router(library: Library) -> APIRouter:
    """The addresses of everything that can be retrieved."""
    router = APIRouter(responses=_RESPONSES)

    @router.get("/studies/{study}", response_class=Response, summary="Retrieve a study")
    def study_(request: Request, study: PathUid, principal: ViewsImages) -> Response:
        """Every instance of the study, received or made by us, as stored."""
        return _instances(request, library.find(request, principal, "instances", study))

    @router.get("/studies/{study}/series/{series}", response_class=Response, summary="Retrieve a series")
    def series_(request: Request, study: PathUid, series: PathUid, principal: ViewsImages) -> Response:
        """Every instance of the series, as stored."""
        return _instances(request, library.find(request, principal, "instances", study, series))

    @router.get(INSTANCE, response_class=Response, summary="Retrieve an instance")
    def instance_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, principal: ViewsImages
    ) -> Response:
        """The instance as stored; alone where the client takes application/dicom."""
        return _instances(request, library.find(request, principal, "instances", study, series, instance))

    @router.get("/studies/{study}/metadata", response_class=Response, summary="Retrieve the metadata of a study")
    def study_metadata(request: Request, study: PathUid, principal: ViewsImages) -> Response:
        """The attributes of every instance of the study."""
        return _metadata(request, library.find(request, principal, "metadata", study))

    @router.get("/studies/{study}/series/{series}/metadata", response_class=Response, summary="Metadata of a series")
    def series_metadata(request: Request, study: PathUid, series: PathUid, principal: ViewsImages) -> Response:
        """The attributes of every instance of the series."""
        return _metadata(request, library.find(request, principal, "metadata", study, series))

    @router.get(INSTANCE + "/metadata", response_class=Response, summary="Metadata of an instance")
    def instance_metadata_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, principal: ViewsImages
    ) -> Response:
        """The attributes of the instance."""
        return _metadata(request, library.find(request, principal, "metadata", study, series, instance))

    @router.get(INSTANCE + "/frames/{frames}", response_class=Response, summary="Retrieve frames")
    def frames_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, frames: FrameList, principal: ViewsImages
    ) -> Response:
        """The frames with these numbers, separated by commas; the first is 1."""
        numbers = frame_numbers(frames)
        [held] = library.find(request, principal, "frames", study, series, instance)
        with readable():
            source = frames_of(held, opened(held))
        if max(numbers) > source.count:
            raise HTTPException(404, f"The instance has {source.count} frames; ask for one of them.")
        return _frames(request, held, source, numbers)

    @router.get(INSTANCE + "/bulkdata/{tag}", response_class=Response, summary="Retrieve a bulk value")
    def bulkdata_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, tag: HexTag, principal: ViewsImages
    ) -> Response:
        """The value that a BulkDataURI in the metadata stands for; encapsulated pixels come frame by frame."""
        if not re.fullmatch(r"[0-9A-Fa-f]{8}", tag):
            raise HTTPException(400, "The tag is not eight hexadecimal digits.")
        [held] = library.find(request, principal, "bulkdata", study, series, instance)
        return _bulk_value(request, held, int(tag, 16))

    return router


def _instances(request: Request, held: Sequence[HeldObject]) -> Response:
    present = [each for each in held if each.path.is_file()]
    if not present:
        raise HTTPException(404, "The files of these instances are missing; an operator can restore them.")
    status = 200 if len(present) == len(held) else 206
    for each in wanted(request):
        if not all(each.takes_syntax(instance.transfer_syntax_uid) for instance in present):
            continue
        if len(held) == 1 and each.media_type == _DICOM:
            return StreamingResponse(
                pieces_of(present[0].path),
                media_type=_dicom_type(present[0]),
                headers={"Content-Length": str(present[0].path.stat().st_size)},
            )
        if each.takes_part(_DICOM):
            parts = (OutgoingPart(_dicom_type(instance), pieces_of(instance.path)) for instance in present)
            return multipart_response(parts, _DICOM, status)
    raise _not_acceptable(present)


def _dicom_type(held: HeldObject) -> str:
    return f"{_DICOM}; transfer-syntax={held.transfer_syntax_uid}"


def _metadata(request: Request, held: Sequence[HeldObject]) -> Response:
    require_json(request)
    addresses = Addresses(request)

    def pieces() -> Iterator[bytes]:
        before = b"["
        for each in held:
            found = instance_metadata(each, location_of(addresses, each))
            if found is not None:
                yield before + dumped(found)
                before = b","
        yield b"[]" if before == b"[" else b"]"

    return StreamingResponse(pieces(), media_type=MEDIA_TYPE)


def _frames(request: Request, held: HeldObject, source: FrameSource, numbers: list[int]) -> Response:
    location = location_of(Addresses(request), held)
    for each in wanted(request):
        content_type = _frame_type(each, source)
        if content_type and each.multipart:
            with readable():  # what cannot be read should be told before the answer begins
                source.frame(numbers[0])
            parts = (
                OutgoingPart(content_type, (frame,), f"{location}/frames/{number}")
                for number, frame in zip(numbers, source.frames(numbers), strict=True)
            )
            return multipart_response(parts, content_type.partition(";")[0])
        if content_type and len(numbers) == 1:
            with readable():
                return Response(source.frame(numbers[0]), media_type=content_type)
    raise _not_acceptable([held])


def _frame_type(each: Wanted, source: FrameSource) -> str:
    """How a frame is told to a client that takes this; empty when it cannot have it.

    A client that takes octets gets encoded frames only if it says that any transfer syntax will do: they are
    otherwise pixels for it.
    """
    takes = each.takes_part if each.multipart else each.takes
    if source.native:
        return OCTETS if takes(OCTETS) and each.takes_syntax(source.transfer_syntax_uid) else ""
    encoded = f"{{}}; transfer-syntax={source.transfer_syntax_uid}"
    if takes(source.media_type) and each.takes_syntax(source.transfer_syntax_uid) and source.media_type != OCTETS:
        return encoded.format(source.media_type)
    if takes(OCTETS) and each.transfer_syntax in (ANY, source.transfer_syntax_uid):
        return encoded.format(OCTETS)
    return ""


def _bulk_value(request: Request, held: HeldObject, tag: int) -> Response:
    with readable():
        file = opened(held)
        pixels = file.pixels if file.pixels is not None and file.pixels.tag == tag else None
        if pixels is not None and pixels.length is None:
            source = frames_of(held, file)
            return _frames(request, held, source, list(range(1, min(source.count, FRAMES_LIMIT) + 1)))
        value = None if tag in PIXEL_TAGS else binary_value(file, tag)
    if pixels is not None:
        return _octets(request, held, pieces_of(held.path, pixels.offset, pixels.length))
    if value is None:
        raise HTTPException(404, "The instance has no such value.")
    return _octets(request, held, iter([value]))


def _octets(request: Request, held: HeldObject, pieces: Iterator[bytes]) -> Response:
    for each in wanted(request):
        if each.takes_part(OCTETS):
            return multipart_response([OutgoingPart(OCTETS, pieces)], OCTETS)
        if each.takes(OCTETS):
            return StreamingResponse(pieces, media_type=OCTETS)
    raise _not_acceptable([held])


def _not_acceptable(held: Sequence[HeldObject]) -> HTTPException:
    syntaxes = ", ".join(sorted({each.transfer_syntax_uid for each in held})[:5])
    return HTTPException(
        406, f"This is held in transfer syntax {syntaxes} and not transcoded; accept that, or transfer-syntax=*."
    )
