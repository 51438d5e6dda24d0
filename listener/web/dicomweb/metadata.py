"""The attributes of an instance without its bulk data (PS3.18 section 10.4.1.1.2), as DICOM JSON."""

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from listener.web.dicomweb.dicom_file import MALFORMED_VALUE, DicomFile, UnreadableFile, read_dicom_file
from listener.web.dicomweb.dicom_json import Attributes, attribute, json_attributes
from storage.domain.search import HeldObject

_INLINE_LIMIT = 64 * 1024  # bytes of a binary value; larger ones are fetched by their address
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def instance_metadata(held: HeldObject, location: str) -> Attributes | None:
    """The attributes of one instance that can be retrieved at ``location``; ``None`` when its file is not there.

    An instance that cannot be read as DICOM is told by what its row says.
    """
    try:
        return _metadata(read_dicom_file(held.path), held.transfer_syntax_uid, location)
    except UnreadableFile:
        return (
            attribute("SOPClassUID", held.sop_class_uid)
            | attribute("SOPInstanceUID", held.sop_instance_uid)
            | attribute("AvailableTransferSyntaxUID", held.transfer_syntax_uid)
            | attribute("StudyInstanceUID", held.study_instance_uid)
            | attribute("SeriesInstanceUID", held.series_instance_uid)
        )
    except OSError:
        return None


def binary_value(file: DicomFile, tag: int) -> bytes | None:
    """The value of a binary attribute; ``None`` when there is none.

    Raises:
        UnreadableFile: it cannot be read.
    """
    try:
        element = file.data_set.get(tag)
        if element is None or element.VR not in BINARY_VRS or not isinstance(element.value, bytes):
            return None
        return element.value
    except MALFORMED_VALUE as error:
        raise UnreadableFile from error


def _metadata(file: DicomFile, transfer_syntax_uid: str, location: str) -> Attributes:
    data_set, bulk = file.data_set, {}
    try:
        for element in _large_values(data_set):
            bulk[f"{element.tag:08X}"] = {"vr": str(element.VR), "BulkDataURI": _bulk(location, element.tag)}
            del data_set[element.tag]
    except MALFORMED_VALUE as error:
        raise UnreadableFile from error
    answer = json_attributes(data_set)
    if file.pixels is not None:
        bulk[f"{file.pixels.tag:08X}"] = {"vr": file.pixels.vr, "BulkDataURI": _bulk(location, file.pixels.tag)}
    utf8 = attribute("SpecificCharacterSet", "ISO_IR 192")
    return dict(sorted((answer | bulk | utf8 | attribute("AvailableTransferSyntaxUID", transfer_syntax_uid)).items()))


def _large_values(data_set: Dataset) -> list[DataElement]:
    return [
        element
        for element in data_set
        if element.VR in BINARY_VRS and isinstance(element.value, bytes) and len(element.value) > _INLINE_LIMIT
    ]


def _bulk(location: str, tag: int) -> str:
    return f"{location}/bulkdata/{tag:08x}"
