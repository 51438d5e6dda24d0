"""WADO-RS (PS3.18 section 10.4): instances, metadata, frames and bulk data, as stored and in pieces."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import Addresses, PathUid, checked_path_uid
from listener.web.dicomweb.dicom_file import PIXEL_TAGS, DicomFile, UnreadableFile, read_dicom_file
from listener.web.dicomweb.dicom_json import MEDIA_TYPE, dumped
from listener.web.dicomweb.frames import OCTETS, FrameSource, frame_source
from listener.web.dicomweb.media_types import ANY, Wanted, require_json, wanted
from listener.web.dicomweb.metadata import BINARY_VRS, instance_metadata
from listener.web.dicomweb.multipart_writer import OutgoingPart, multipart_response, pieces_of
from listener.web.problem import described
from listener.web.uploads import remote_address
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.search import HeldObject
from storage.ports import AuditTrail, StudyIndex

RETRIEVE_STATUSES: dict[int, str] = {
    200: "What was asked for.",
    206: "All of it whose files are there; an operator has been told of the others.",
    400: "A UID, a list of frames or a tag is malformed.",
    401: "Nobody is logged in.",
    403: "The account may not see images.",
    404: "Nothing is held under these UIDs, or the instance has no such frame or value.",
    406: "It is not held in a media type and transfer syntax that the client takes; nothing is transcoded.",
    422: "The pixels of the instance contradict its attributes; retrieve it as application/dicom.",
    429: "Too many logins failed; wait as Retry-After says.",
    503: "The database does not answer; ask again later.",
}
_WHOLE: dict[str, Any] = {
    kind: {} for kind in ("multipart/related", "application/dicom", MEDIA_TYPE, OCTETS, "image/*", "video/*")
}
_RESPONSES = described(RETRIEVE_STATUSES, {200: _WHOLE, 206: _WHOLE})
_DICOM = "application/dicom"
_FRAMES_LIMIT = 10_000
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"

FrameList = Annotated[
    str,
    Path(
        description="Numbers of frames from 1 on, separated by commas.",
        json_schema_extra={"pattern": r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"},
    ),
]
HexTag = Annotated[
    str, Path(description="A tag as hexadecimal digits.", json_schema_extra={"pattern": r"^[0-9A-Fa-f]{8}$"})
]
ViewsImages = Annotated[Principal, Depends(require(Permission.VIEW_IMAGES))]


class _Library:
    """Finds what a path names, and leaves a row of who asked for it."""

    def __init__(self, index: StudyIndex, trail: AuditTrail) -> None:
        self._index = index
        self._trail = trail

    def find(self, request: Request, principal: Principal, what: str, *uids: str) -> tuple[HeldObject, ...]:
        """The objects of a study, series or instance; ``what`` of them is retrieved.

        Raises:
            HTTPException: 400 or 404.
        """
        found = self._index.objects(*(checked_path_uid(uid) for uid in uids))
        if not found:
            raise HTTPException(404, "Nothing is held under these UIDs.")
        details: dict[str, str | int | float | None] = {
            "what": what,
            "instances": len(found),
            "address": remote_address(request),
        }
        if len(uids) > 1:
            details["series_instance_uid"] = uids[1]
        if len(uids) > 2:
            details["sop_instance_uid"] = uids[2]
        self._trail.record(
            AuditEvent(AuditAction.INSTANCES_RETRIEVED, principal.name, study_instance_uid=uids[0], details=details)
        )
        return found


def retrieve_router(index: StudyIndex, trail: AuditTrail) -> APIRouter:
    """The addresses of everything that can be retrieved."""
    router = APIRouter(responses=_RESPONSES)
    library = _Library(index, trail)

    @router.get("/studies/{study}", response_class=Response, summary="Retrieve a study")
    def study_(request: Request, study: PathUid, principal: ViewsImages) -> Response:
        """Every instance of the study, received or made by us, as stored."""
        return _instances(request, library.find(request, principal, "instances", study))

    @router.get("/studies/{study}/series/{series}", response_class=Response, summary="Retrieve a series")
    def series_(request: Request, study: PathUid, series: PathUid, principal: ViewsImages) -> Response:
        """Every instance of the series, as stored."""
        return _instances(request, library.find(request, principal, "instances", study, series))

    @router.get(_INSTANCE, response_class=Response, summary="Retrieve an instance")
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

    @router.get(_INSTANCE + "/metadata", response_class=Response, summary="Metadata of an instance")
    def instance_metadata_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, principal: ViewsImages
    ) -> Response:
        """The attributes of the instance."""
        return _metadata(request, library.find(request, principal, "metadata", study, series, instance))

    @router.get(_INSTANCE + "/frames/{frames}", response_class=Response, summary="Retrieve frames")
    def frames_(
        request: Request, study: PathUid, series: PathUid, instance: PathUid, frames: FrameList, principal: ViewsImages
    ) -> Response:
        """The frames with these numbers, separated by commas; the first is 1."""
        numbers = _numbers(frames)
        [held] = library.find(request, principal, "frames", study, series, instance)
        with _readable():
            source = _frame_source(held, _opened(held))
        if max(numbers) > source.count:
            raise HTTPException(404, f"The instance has {source.count} frames; ask for one of them.")
        return _frames(request, held, source, numbers)

    @router.get(_INSTANCE + "/bulkdata/{tag}", response_class=Response, summary="Retrieve a bulk value")
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
            found = instance_metadata(each, _location(addresses, each))
            if found is not None:
                yield before + dumped(found)
                before = b","
        yield b"[]" if before == b"[" else b"]"

    return StreamingResponse(pieces(), media_type=MEDIA_TYPE)


def _frames(request: Request, held: HeldObject, source: FrameSource, numbers: list[int]) -> Response:
    location = _location(Addresses(request), held)
    for each in wanted(request):
        content_type = _frame_type(each, source)
        if content_type and each.multipart:
            with _readable():  # what cannot be read should be told before the answer begins
                source.frame(numbers[0])
            parts = (
                OutgoingPart(content_type, (frame,), f"{location}/frames/{number}")
                for number, frame in zip(numbers, source.frames(numbers), strict=True)
            )
            return multipart_response(parts, content_type.partition(";")[0])
        if content_type and len(numbers) == 1:
            with _readable():
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
    with _readable():
        file = _opened(held)
        pixels = file.pixels if file.pixels is not None and file.pixels.tag == tag else None
        if pixels is not None and pixels.length is None:
            source = _frame_source(held, file)
            return _frames(request, held, source, list(range(1, min(source.count, _FRAMES_LIMIT) + 1)))
        element = None if tag in PIXEL_TAGS else file.data_set.get(tag)
    if pixels is not None:
        return _octets(request, held, pieces_of(held.path, pixels.offset, pixels.length))
    if element is None or element.VR not in BINARY_VRS or not isinstance(element.value, bytes):
        raise HTTPException(404, "The instance has no such value.")
    return _octets(request, held, iter([element.value]))


def _octets(request: Request, held: HeldObject, pieces: Iterator[bytes]) -> Response:
    for each in wanted(request):
        if each.takes_part(OCTETS):
            return multipart_response([OutgoingPart(OCTETS, pieces)], OCTETS)
        if each.takes(OCTETS):
            return StreamingResponse(pieces, media_type=OCTETS)
    raise _not_acceptable([held])


@contextmanager
def _readable() -> Iterator[None]:
    """Raises HTTPException: 422, the instance cannot be read as its attributes say."""
    try:
        yield
    except UnreadableFile:
        raise HTTPException(422, RETRIEVE_STATUSES[422]) from None


def _opened(held: HeldObject) -> DicomFile:
    try:
        return read_dicom_file(held.path)
    except FileNotFoundError:
        raise HTTPException(404, "The file of this instance is missing; an operator can restore it.") from None


def _frame_source(held: HeldObject, file: DicomFile) -> FrameSource:
    source = frame_source(held.path, file)
    if source is None:
        raise HTTPException(404, "The instance has no frames that can be retrieved alone; retrieve it whole.")
    return source


def _numbers(frames: str) -> list[int]:
    names = frames.split(",")
    if len(names) > _FRAMES_LIMIT or not all(re.fullmatch(r"[1-9][0-9]{0,8}", name, re.ASCII) for name in names):
        raise HTTPException(400, "The frames are no list of numbers from 1 on, separated by commas.")
    return [int(name) for name in names]


def _location(addresses: Addresses, held: HeldObject) -> str:
    return addresses.instance(held.study_instance_uid, held.series_instance_uid, held.sop_instance_uid)


def _not_acceptable(held: Sequence[HeldObject]) -> HTTPException:
    syntaxes = ", ".join(sorted({each.transfer_syntax_uid for each in held})[:5])
    return HTTPException(
        406, f"This is held in transfer syntax {syntaxes} and not transcoded; accept that, or transfer-syntax=*."
    )
