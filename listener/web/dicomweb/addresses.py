"""The addresses under which we offer what we hold."""

from typing import Annotated

from fastapi import Path, Request
from starlette.exceptions import HTTPException

from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier

PREFIX = "/dicom-web"
VIEWER_PREFIX = "/ohif"
VIEWER_DICOMWEB = VIEWER_PREFIX + PREFIX  # the same for the viewer beside the dashboard, by its reader's session

# A UID in a path. What it must look like is told here and checked by `checked_path_uid`, which answers 400.
PathUid = Annotated[
    str,
    Path(
        description="A UID (PS3.5 section 9.1).",
        json_schema_extra={"pattern": r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*$", "maxLength": 64},
    ),
]


class Addresses:
    """URLs as this client reaches us."""

    def __init__(self, request: Request) -> None:
        by_session = request.url.path.startswith(f"{VIEWER_DICOMWEB}/")
        self._base = str(request.base_url).rstrip("/") + (VIEWER_DICOMWEB if by_session else PREFIX)

    def study(self, study_instance_uid: str) -> str:
        """Where a study can be retrieved."""
        return f"{self._base}/studies/{study_instance_uid}"

    def series(self, study_instance_uid: str, series_instance_uid: str) -> str:
        """Where a series can be retrieved."""
        return f"{self.study(study_instance_uid)}/series/{series_instance_uid}"

    def instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> str:
        """Where an instance can be retrieved."""
        return f"{self.series(study_instance_uid, series_instance_uid)}/instances/{sop_instance_uid}"


def checked_path_uid(value: str) -> str:
    """A UID that stands in a path.

    Raises:
        HTTPException: 400, it does not follow the Standard; it is not repeated.
    """
    try:
        return checked_uid(value, "The UID in the path")
    except InvalidIdentifier:
        raise HTTPException(400, "The UID in the path is not valid (PS3.5 section 9.1); correct it.") from None
