"""What hundreds of headers of a series say alike, read once."""

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

# Those that are read of every image anyway. None is a patient's text, which is copied as it was received.
_ALIKE = tuple(
    Tag(keyword)
    for keyword in (
        "ImageType",
        "SOPClassUID",
        "Modality",
        "SliceThickness",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "ImageOrientationPatient",
        "FrameOfReferenceUID",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "Rows",
        "Columns",
        "PixelSpacing",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
    )
)
_As = tuple[int, str | None, bytes | None, bool, bool]


class SharedElements:
    """The elements of headers so far; pydicom takes 30 microseconds to read one."""

    def __init__(self) -> None:
        self._read: dict[_As, DataElement] = {}

    def share(self, header: Dataset) -> None:
        """Let a header have the elements of those before it wherever its bytes are theirs.

        What cannot be read stays as it is, for whoever asks for it.
        """
        elements = dict(header.items())  # as they were read; asking the header for each costs as much as half of this
        for tag in _ALIKE:
            kept = elements.get(tag)
            if not isinstance(kept, RawDataElement):
                continue
            key = tag, kept.VR, kept.value, kept.is_implicit_VR, kept.is_little_endian
            known = self._read.get(key)
            if known is not None:
                header[tag] = known
                continue
            try:
                self._read[key] = header[tag]
            except Exception:  # noqa: BLE001, S112 - pydicom raises what it likes; whoever asks meets it, and names it
                continue
