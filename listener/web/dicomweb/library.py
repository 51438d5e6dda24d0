"""Finding what a path names, opening it, and leaving a row of who asked: what every retrieval begins with."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.exceptions import HTTPException

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import Addresses, checked_path_uid
from listener.web.dicomweb.dicom_file import DicomFile, UnreadableFile, read_dicom_file
from listener.web.dicomweb.frames import FrameSource, frame_source
from listener.web.uploads import remote_address
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.search import HeldObject
from storage.ports.audit import AuditTrail
from storage.ports.studies import StudyIndex

RETRIEVE_STATUSES: dict[int, str] = {
    200: "What was asked for.",
    206: "All of it whose files are there; an operator has been told of the others.",
    400: "A UID, a list of frames, a tag or a parameter is malformed.",
    401: "Nobody is logged in.",
    403: "The account may not see images.",
    404: "Nothing is held under these UIDs, or the instance has no such frame or value.",
    406: "It is not held, or not rendered, in a media type and transfer syntax that the client takes.",
    422: "The pixels contradict the attributes, or are too many to decode; retrieve it as application/dicom.",
    429: "Too many logins failed; wait as Retry-After says.",
    503: "The database does not answer, or as many pictures as may be made are being made; ask again later.",
}
INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
FRAMES_LIMIT = 10_000

FrameList = Annotated[
    str,
    Path(
        description="Numbers of frames from 1 on, separated by commas.",
        json_schema_extra={"pattern": r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"},
    ),
]
ViewsImages = Annotated[Principal, Depends(require(Permission.VIEW_IMAGES))]


class Library:
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


@contextmanager
def readable() -> Iterator[None]:
    """Raises HTTPException: 422, the instance cannot be read as its attributes say."""
    try:
        yield
    except UnreadableFile:
        raise HTTPException(422, RETRIEVE_STATUSES[422]) from None


def opened(held: HeldObject) -> DicomFile:
    """The attributes of an instance.

    Raises:
        HTTPException: 404, its file is missing.
        UnreadableFile: the bytes are no data set.
    """
    try:
        return read_dicom_file(held.path)
    except FileNotFoundError:
        raise HTTPException(404, "The file of this instance is missing; an operator can restore it.") from None


def frames_of(held: HeldObject, file: DicomFile) -> FrameSource:
    """Where its frames are.

    Raises:
        HTTPException: 404, it has none that we can cut.
        UnreadableFile: attributes and bytes contradict each other.
    """
    source = frame_source(held.path, file)
    if source is None:
        raise HTTPException(404, "The instance has no frames that can be retrieved alone; retrieve it whole.")
    return source


def frame_numbers(frames: str) -> list[int]:
    """The numbers in a path.

    Raises:
        HTTPException: 400.
    """
    names = frames.split(",")
    if len(names) > FRAMES_LIMIT or not all(re.fullmatch(r"[1-9][0-9]{0,8}", name, re.ASCII) for name in names):
        raise HTTPException(400, "The frames are no list of numbers from 1 on, separated by commas.")
    return [int(name) for name in names]


def location_of(addresses: Addresses, held: HeldObject) -> str:
    """Where an instance can be retrieved."""
    return addresses.instance(held.study_instance_uid, held.series_instance_uid, held.sop_instance_uid)
