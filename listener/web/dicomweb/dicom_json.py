"""The DICOM JSON Model (PS3.18 annex F): attributes as dictionaries that JSON can carry."""

import json
import math
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from listener.web.dicomweb.dicom_file import MALFORMED_VALUE

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


def json_attributes(data_set: Dataset) -> Attributes:
    """The attributes of a data set; one that cannot be read, wherever it stands, is left out.

    pydicom would leave out the whole sequence around it, and what does not follow the Standard to the letter.
    """
    answer: Attributes = {}
    for tag in list(data_set.keys()):
        try:
            answer[f"{tag:08X}"] = _json_element(data_set[BaseTag(tag)])
        except MALFORMED_VALUE:
            continue
    return answer


def dumped(value: object) -> bytes:
    """JSON as bytes; also of text that UTF-8 cannot hold."""
    return json.dumps(value).encode("ascii")


def _json_element(element: DataElement) -> Attributes:
    if element.VR == "SQ":
        items = [json_attributes(item) for item in element.value or []]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    answer: Attributes = element.to_json_dict(None, 0)
    if "Value" in answer:
        answer["Value"] = [_finite(value) for value in answer["Value"]]
    return answer


def _finite(value: object) -> object:
    """JSON has no number that is none; PS3.18 section F.2.3 writes such values as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    return value
