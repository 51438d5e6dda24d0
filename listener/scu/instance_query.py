"""Look one instance up at a destination (C-FIND as SCU at the IMAGE level, PS3.4 section C.4.1)."""

from enum import StrEnum
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association

STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")  # Study Root Query/Retrieve Information Model - FIND
_PENDING = (0xFF00, 0xFF01)


class Found(StrEnum):
    """What the destination says of one instance."""

    FOUND = "found"
    NOT_FOUND = "not-found"
    OTHER_CLASS = "other-class"  # under another SOP Class UID than it was sent with
    NOT_ASKED = "not-asked"


class Sought(Protocol):
    """An instance to look for."""

    @property
    def series_instance_uid(self) -> str:
        """Its series."""
        ...

    @property
    def sop_class_uid(self) -> str:
        """Its SOP Class."""
        ...

    @property
    def sop_instance_uid(self) -> str:
        """Its own UID."""
        ...


class QueryRefused(Exception):
    """A C-FIND ended with another status than success; ``None`` when it did not end."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        super().__init__()


def look_for(association: Association, study_instance_uid: str, one: Sought) -> Found:
    """Ask for one instance, with the unique keys of the levels above (PS3.4 section C.4.1.2.1).

    Raises:
        QueryRefused: the destination did not answer, or refused.
    """
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    keys.StudyInstanceUID = study_instance_uid
    keys.SeriesInstanceUID = one.series_instance_uid
    keys.SOPInstanceUID = one.sop_instance_uid
    keys.SOPClassUID = ""
    found, status = Found.NOT_FOUND, None
    try:
        for answer, match in association.send_c_find(keys, STUDY_ROOT_FIND):
            status = answer.get("Status")
            if (
                status in _PENDING
                and match is not None
                and str(match.get("SOPInstanceUID", "")) == one.sop_instance_uid
            ):
                # SOP Class UID is an optional key: who leaves it out has not said otherwise.
                found = (
                    Found.FOUND
                    if str(match.get("SOPClassUID") or one.sop_class_uid) == one.sop_class_uid
                    else Found.OTHER_CLASS
                )
    except (RuntimeError, ValueError):
        raise QueryRefused(None) from None
    if status != 0x0000:
        raise QueryRefused(status)
    return found
