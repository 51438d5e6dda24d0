"""The DICOM JSON Model (PS3.18 annex F): attributes as dictionaries that JSON can carry."""

from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

Attributes = dict[str, Any]
MEDIA_TYPE = "application/dicom+json"


def key_of(keyword: str) -> str:
    """The key of an attribute: its tag as eight hexadecimal digits."""
    return f"{Tag(keyword):08X}"


def attribute(keyword: str, *values: object) -> Attributes:
    """One attribute by its keyword; what is empty has no Value (PS3.18 section F.2.5)."""
    key = key_of(keyword)
    vr = dictionary_VR(Tag(int(key, 16)))
    present = [{"Alphabetic": value} if vr == "PN" else value for value in values if value not in (None, "")]
    return {key: {"vr": vr, "Value": present} if present else {"vr": vr}}
