"""How far two versions overlap, in memory that does not grow with the number of structures."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless, SegmentationStorage

from inference.acceptance.masks import masks_of
from inference.monitoring import overlap
from inference.monitoring.overlap import overlaps
from storage.domain.result import ActiveOutline, EvidenceForm, EvidenceObject, EvidenceRole


def _segmentation(masks: dict[str, np.ndarray]) -> bytes:
    """A BINARY Segmentation of (image, row, column) arrays, with a frame of each structure on each image."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SegmentationType = SegmentationStorage, "1.2.3", "BINARY"
    segments, frames = [], []
    for number, (label, mask) in enumerate(masks.items(), start=1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        segments.append(segment)
        for image in range(len(mask)):
            frame, identified, derived, source = Dataset(), Dataset(), Dataset(), Dataset()
            identified.ReferencedSegmentNumber = number
            source.ReferencedSOPInstanceUID = f"1.2.{image + 1}"
            derived.SourceImageSequence = [source]
            frame.SegmentIdentificationSequence, frame.DerivationImageSequence = [identified], [derived]
            frames.append(frame)
    voxels = np.concatenate(list(masks.values()))
    ds.SegmentSequence, ds.PerFrameFunctionalGroupsSequence = segments, frames
    ds.NumberOfFrames, ds.Rows, ds.Columns = voxels.shape
    ds.SamplesPerPixel = ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = ds.PixelRepresentation = 0
    ds.PhotometricInterpretation, ds.PixelData = "MONOCHROME2", pack_bits(voxels.astype(np.uint8))
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _made(part10: bytes) -> EvidenceObject:
    def pieces() -> Iterator[bytes]:
        yield from (part10[start : start + 4096] for start in range(0, len(part10), 4096))

    return EvidenceObject(
        EvidenceRole.SEGMENTATION, SegmentationStorage, "1.2.3", "1.2", ExplicitVRLittleEndian, list(pieces()),
        EvidenceForm.BINARY,
    )  # fmt: skip


def _blobs(seed: int, shape: tuple[int, int, int] = (3, 7, 5)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.5


def test_the_dice_of_each_structure_is_that_of_its_voxels(tmp_path: Path) -> None:
    """Also where frames begin in the middle of a byte; a structure that one of the two lacks has 0."""
    here, there = {"A": _blobs(1), "B": _blobs(2)}, {"B": _blobs(3), "A": _blobs(4), "C": _blobs(5)}
    (tmp_path / "active.dcm").write_bytes(_segmentation(there))

    found = overlaps([_made(_segmentation(here))], ActiveOutline("1", tmp_path / "active.dcm"))

    expected = {one: 2 * (here[one] & there[one]).sum() / (here[one].sum() + there[one].sum()) for one in "AB"}
    assert found == pytest.approx({f"Dice of {one} with 1": dice for one, dice in {**expected, "C": 0}.items()})


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_a_mask_is_the_same_however_it_is_stored(syntax: str) -> None:
    """Packed bits are unpacked as pydicom does it; what is compressed is decoded by pydicom."""
    masks = {"A": _blobs(1, (3, 8, 6)), "B": _blobs(2, (3, 8, 6))}
    ds = dcmread(io.BytesIO(_segmentation(masks)))
    if syntax == RLELossless:
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelData = 7, np.concatenate(list(masks.values())).astype(np.uint8).tobytes()
        ds.compress(RLELossless)
    ds.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)

    found = masks_of(dcmread(io.BytesIO(written.getvalue())))

    assert list(found) == list(masks)
    assert all(list(mask) == [(f"1.2.{image}", 1) for image in (1, 2, 3)] for mask in found.values())
    assert all((np.stack(list(mask.values())) == masks[label]).all() for label, mask in found.items())


def test_many_structures_are_compared_in_the_memory_of_their_bits(tmp_path: Path) -> None:
    """24 structures of 8 slices, 50 million voxels as bytes, take a few times their 6 MB as bits."""
    blobs = np.zeros((8, 512, 512), bool)
    blobs[:, 100:200, 100:200] = True
    content = _segmentation({f"Structure {number}": blobs for number in range(24)})
    (tmp_path / "active.dcm").write_bytes(content)
    evidence, active = [_made(content)], ActiveOutline("1", tmp_path / "active.dcm")
    tracemalloc.start()

    found = overlaps(evidence, active)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(found.values()) == {1.0}
    assert len(found) == 24
    assert peak < 6 * len(content)


def test_what_the_job_may_not_hold_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is one of both objects together: where they are larger there is no Dice, and the job goes on."""
    content = _segmentation({"A": _blobs(1)})
    (tmp_path / "active.dcm").write_bytes(content)
    evidence, active = [_made(content)], ActiveOutline("1", tmp_path / "active.dcm")

    for bytes_of_both, found in ((2 * len(content), {"Dice of A with 1": 1.0}), (2 * len(content) - 1, {})):
        monkeypatch.setattr(overlap, "limit_bytes", lambda most=bytes_of_both: 8 * most)
        assert overlaps(evidence, active) == found
