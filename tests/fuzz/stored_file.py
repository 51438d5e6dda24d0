"""Any stored file has attributes, JSON, frames and a description for a decoder, or is unreadable; pydicom reads it."""

import io
import os
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from listener.web.dicomweb.dicom_file import UnreadableFile, read_dicom_file
from listener.web.dicomweb.dicom_json import dumped, json_attributes
from listener.web.dicomweb.frame_attributes import NotRendered, frame_description, representative_frame
from listener.web.dicomweb.frames import frame_source
from listener.web.dicomweb.metadata import _metadata, binary_value
from listener.web.pictures.frame_description import PIXEL_LIMIT, Wish, to_json
from tests.peers.raw_sender import CT

_FILE = Path("/dev/shm") / f"overread-fuzz-{os.getpid()}"  # noqa: S108 - in memory, and named by its process

warnings.simplefilter("ignore")


def check(data: bytes) -> None:
    """Read it in every way that a retrieval does."""
    _FILE.write_bytes(data)
    try:
        with suppress(UnreadableFile, NotRendered):
            _read()
    finally:
        _FILE.unlink()


def _read() -> None:
    file = read_dicom_file(_FILE)
    for tag in list(file.data_set.keys()):
        with suppress(UnreadableFile):
            binary_value(file, int(tag))
    dumped(json_attributes(file.data_set))
    with suppress(UnreadableFile):
        dumped(_metadata(read_dicom_file(_FILE), file.transfer_syntax_uid, "address"))
    source = frame_source(_FILE, file)
    if source is None:
        return
    assert len(source.frame(1)) <= _FILE.stat().st_size + 1
    assert 1 <= representative_frame(file, source.count) <= source.count
    frame = frame_description(file, 1)
    assert 0 < frame.pixels <= PIXEL_LIMIT
    dumped(to_json(frame, Wish()))


def _file(syntax: str, pixels: bytes, **attributes: object) -> bytes:
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = UID(CT), UID("1.2.3")
    instance.Rows = instance.Columns = 4
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
    instance.BitsAllocated, instance.BitsStored, instance.HighBit, instance.PixelRepresentation = 16, 12, 11, 0
    instance.WindowCenter, instance.WindowWidth, instance.RescaleSlope, instance.RescaleIntercept = [1, 2], [3, 4], 1, 0
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)
    instance.PixelData = pixels
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = UID(syntax)
    if UID(syntax).is_compressed:
        instance["PixelData"].is_undefined_length = True
        instance["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


_TABLE = _item(LUTDescriptor=[4, 0, 16], LUTData=np.arange(4, dtype="<u2").tobytes())
_PALETTE = {
    f"{colour}PaletteColorLookupTable{what}": value
    for colour in ("Red", "Green", "Blue")
    for what, value in (("Descriptor", [4, 0, 16]), ("Data", bytes(8)))
}

SEEDS = (
    _file("1.2.840.10008.1.2.1", bytes(32), VOILUTSequence=[_TABLE], ModalityLUTSequence=[_TABLE]),
    _file("1.2.840.10008.1.2", bytes(64), NumberOfFrames=2, PixelPaddingValue=0, PatientName="A^B=C"),
    _file("1.2.840.10008.1.2.4.90", encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])),
    _file("1.2.840.10008.1.2.5", encapsulate([bytes(80), bytes(80)]), NumberOfFrames=2),
    _file("1.2.840.10008.1.2.1", bytes(32), PhotometricInterpretation="PALETTE COLOR", **_PALETTE),
    _file(
        "1.2.840.10008.1.2.1",
        bytes(32),
        SharedFunctionalGroupsSequence=[
            _item(FrameVOILUTSequence=[_item(WindowCenter=1, WindowWidth=2, VOILUTFunction="SIGMOID")])
        ],
    ),
)
