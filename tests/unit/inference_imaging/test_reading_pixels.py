"""Stored instances become pixels only when they are what was received and what their header says."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from inference.errors import UnusableInput
from inference.imaging import series_reader
from inference.imaging.series_reader import check_budget, read_headers, read_pixels
from inference.imaging.volume import load_volume
from tests.peers.synthetic_series import as_kept, kept, slice_headers, with_pixels

VALUES = np.arange(6 * 5 * 4).reshape(6, 5, 4)


def _loaded(folder: Path, datasets: list[Dataset]):
    instances = kept(datasets, folder)
    by_uid = {instance.header.sop_instance_uid: instance for instance in instances}
    return load_volume(by_uid, read_headers(list(reversed(instances))))


def _fault(call, *arguments: object) -> str:
    with pytest.raises(UnusableInput) as fault:
        call(*arguments)
    return fault.value.reason.code


def test_a_volume_holds_the_values_in_slice_order(tmp_path: Path) -> None:
    """Slice, row and column are where the files put them."""
    volume = _loaded(tmp_path, with_pixels(slice_headers(), VALUES))

    assert volume.values.dtype == np.float32
    assert (volume.values == VALUES).all()
    assert [int(header.InstanceNumber) for header in volume.headers] == [1, 2, 3, 4, 5, 6]


def test_each_slice_is_rescaled_by_its_own_header(tmp_path: Path) -> None:
    """Rescale Slope and Intercept may differ from slice to slice, as in PET."""

    def edit(index: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = index + 1, -10

    volume = _loaded(tmp_path, with_pixels(slice_headers(edit=edit), VALUES))

    assert (volume.values == VALUES * np.arange(1, 7)[:, None, None] - 10).all()


def test_run_length_encoded_pixels_are_read(tmp_path: Path) -> None:
    """RLE Lossless gives the same numbers as uncompressed pixels."""
    datasets = with_pixels(slice_headers(), VALUES)
    kept(datasets, tmp_path)
    for ds in datasets:
        ds.compress(RLELossless)

    assert (_loaded(tmp_path, datasets).values == VALUES).all()


def test_truncated_pixels_are_never_read_as_whole(tmp_path: Path) -> None:
    """A slice with fewer bytes than its header promises is refused, though pydicom reads the file."""
    datasets = slice_headers()
    datasets[2].PixelData = bytes(10)

    assert _fault(_loaded, tmp_path, datasets) == "short-pixel-data"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_file_that_arrived_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    """An instance whose sender stopped early has one of three names, and is never analysed."""
    (ds,) = slice_headers(count=1, size=(64, 64))
    (instance,) = kept([ds], tmp_path)
    content = instance.path.read_bytes()
    instance.path.write_bytes(content[: int(len(content) * share)])

    assert _fault(read_pixels, as_kept(ds, instance.path)) in {"short-pixel-data", "no-pixel-data", "unreadable"}


def test_an_instance_without_pixel_data_is_refused(tmp_path: Path) -> None:
    """Attributes that describe an image do not make one."""
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], tmp_path)
    del ds.PixelData
    ds.save_as(instance.path, enforce_file_format=True)

    assert _fault(read_pixels, as_kept(ds, instance.path)) == "no-pixel-data"


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless])
def test_pixels_that_do_not_decode_are_refused(tmp_path: Path, syntax: str) -> None:
    """Garbage behind a compressed transfer syntax ends with a name, not with a crash."""
    from pydicom.encaps import encapsulate

    (ds,) = slice_headers(count=1)
    kept([ds], tmp_path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([b"\x07" * 100])
    ds["PixelData"].VR = "OB"

    (instance,) = kept([ds], tmp_path)

    assert _fault(read_pixels, instance) == "undecodable-pixel-data"


def test_the_budget_counts_before_anything_is_decoded(tmp_path: Path) -> None:
    """A header that promises 65,535 x 65,535 pixels costs no memory."""
    header = slice_headers(count=1, size=(65535, 65535))[0]

    assert _fault(check_budget, [header]) == "too-many-pixels"


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("NumberOfFrames", 2, "multi-frame"),
        ("PhotometricInterpretation", "RGB", "not-monochrome"),
        ("SamplesPerPixel", 3, "not-monochrome"),
        ("BitsAllocated", 12, "no-pixel-data"),
        ("Rows", 0, "no-pixel-data"),
    ],
)
def test_images_of_another_kind_are_named(keyword: str, value: object, code: str) -> None:
    """Multi-frame and colour images are refused by name, and so are headers that describe no image."""
    header = slice_headers(count=1)[0]
    setattr(header, keyword, value)

    assert _fault(series_reader.pixel_bytes, header) == code


def test_a_file_that_is_not_what_was_received_is_refused(tmp_path: Path) -> None:
    """One flipped bit on the disk is noticed before anything is concluded from it."""
    (instance,) = kept(slice_headers(count=1), tmp_path)
    content = bytearray(instance.path.read_bytes())
    content[-1] ^= 1
    instance.path.write_bytes(content)

    assert _fault(read_headers, [instance]) == "damaged-object"
    assert _fault(read_pixels, instance) == "damaged-object"


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """A missing file is an administrator's business, so it does not end as an internal error."""
    (instance,) = kept(slice_headers(count=1), tmp_path)

    assert _fault(read_headers, [replace(instance, path=tmp_path / "gone.dcm")]) == "missing-object"


def test_a_deflated_instance_is_read(tmp_path: Path) -> None:
    """Deflated Explicit VR Little Endian is read when it stays small."""
    datasets = with_pixels(slice_headers(), VALUES)
    kept(datasets, tmp_path)
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    assert (_loaded(tmp_path, datasets).values == VALUES).all()


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inflation stops at the limit, before pydicom sees the data set."""
    monkeypatch.setattr(series_reader, "_INFLATED_LIMIT", 2**22)
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], tmp_path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(instance.path, enforce_file_format=True)
    content = instance.path.read_bytes()
    start = series_reader._data_set_start(content)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(bytes(2**25)) + deflater.flush()
    instance.path.write_bytes(content[:start] + bomb)

    assert _fault(read_headers, [as_kept(ds, instance.path)]) == "inflates-too-large"


def test_values_that_need_a_table_are_refused(tmp_path: Path) -> None:
    """A Modality LUT that is left out would give wrong numbers."""

    def edit(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.ModalityLUTType = "US"
        ds.ModalityLUTSequence = [item]

    assert _fault(_loaded, tmp_path, slice_headers(edit=edit)) == "modality-lut"


def test_the_error_never_repeats_what_the_file_says(tmp_path: Path) -> None:
    """Sentences are ours alone, so a patient's name cannot travel in them."""
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], tmp_path)
    content = instance.path.read_bytes()
    start = series_reader._data_set_start(content)
    instance.path.write_bytes(content[:start] + b"\x10\x00\x10\x00PN\x08\x00Doe^Jane" + b"\xff" * 30)

    with pytest.raises(UnusableInput) as fault:
        read_pixels(as_kept(ds, instance.path))

    assert "Doe" not in str(fault.value)
    assert fault.value.__cause__ is None
