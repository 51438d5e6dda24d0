"""Stored instances become pixels only when they are what was received and what their header says."""

import hashlib
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from inference.errors import UnusableInput
from inference.imaging import series_reader
from inference.imaging.frame_reader import ImageValues, _open
from inference.imaging.series_reader import check_budget, read_headers
from inference.imaging.volume import load_volume
from storage.domain.study import StoredInstance
from tests.peers.synthetic_series import as_kept, kept, slice_headers, with_pixels

VALUES = np.arange(6 * 5 * 4).reshape(6, 5, 4)


def _loaded(folder: Path, datasets: list[Dataset]):
    instances = kept(datasets, folder)
    by_uid = {instance.header.sop_instance_uid: instance for instance in instances}
    return load_volume(by_uid, read_headers(list(reversed(instances))))


def read_pixels(instance: StoredInstance) -> np.ndarray:
    """The values of the one image of an instance."""
    (header,) = read_headers([instance])
    return ImageValues({instance.header.sop_instance_uid: instance}).of(header)


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


@pytest.mark.parametrize(
    ("slope", "intercept", "code"),
    [
        ("1", "-1024", "unreadable"),
        ("2", "0", "unreadable"),
        (None, "-1", "unreadable"),
        ("1", "0", ""),
        (None, "0", ""),
    ],
)
def test_a_slice_without_the_rescale_of_the_others_is_refused(
    tmp_path: Path, slope: str | None, intercept: str, code: str
) -> None:
    """Its stored values would be taken for Hounsfield units; where nothing is rescaled in the others, all is well."""

    def edit(index: int, ds: Dataset) -> None:
        for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
            if index == 3 or value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)

    series = with_pixels(slice_headers(edit=edit), VALUES)

    if code:
        assert _fault(_loaded, tmp_path, series) == code
    else:
        assert (_loaded(tmp_path, series).values == VALUES).all()


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
        ("PhotometricInterpretation", "RGB", "not-monochrome"),
        ("SamplesPerPixel", 3, "not-monochrome"),
        ("BitsAllocated", 12, "no-pixel-data"),
        ("Rows", 0, "no-pixel-data"),
    ],
)
def test_images_of_another_kind_are_named(keyword: str, value: object, code: str) -> None:
    """Colour images are refused by name, and so are headers that describe no image."""
    header = slice_headers(count=1)[0]
    setattr(header, keyword, value)

    assert _fault(series_reader.pixel_bytes, header) == code


def test_a_file_that_is_not_what_was_received_is_refused(tmp_path: Path) -> None:
    """One flipped bit on the disk is noticed before anything is concluded from it."""
    (instance,) = kept(slice_headers(count=1), tmp_path)
    content = bytearray(instance.path.read_bytes())
    content[-1] ^= 1
    instance.path.write_bytes(content)

    assert _fault(read_headers, [replace(instance, image=None)]) == "damaged-object"
    assert _fault(read_pixels, instance) == "damaged-object"


def test_a_header_that_is_not_what_was_received_is_refused(tmp_path: Path) -> None:
    """The part before the pixels is believed by a digest of its own, without the pixels being read."""
    (instance,) = kept(slice_headers(count=1), tmp_path)
    content = bytearray(instance.path.read_bytes())
    assert instance.image is not None
    instance.path.write_bytes(content[: -(instance.image.pixel_length or 0)])
    assert len(read_headers([instance])) == 1  # the pixels are not looked at
    content[series_reader.data_set_start(content) + 20] ^= 1
    instance.path.write_bytes(content)

    assert _fault(read_headers, [instance]) == "damaged-object"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not recorded"])
def test_native_pixels_are_read_alike_with_and_without_a_record(tmp_path: Path, syntax: UID, recorded: bool) -> None:
    """Instances of an earlier release give the numbers that pydicom gives; so do those whose pixels are found by the
    record of their import, signed ones with something in their unused bits among them.
    """

    def edit(index: int, ds: Dataset) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, index % 2
        ds.RescaleSlope, ds.RescaleIntercept = "0.5", "-1024"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        words = np.random.default_rng(index).integers(0, 2**16, (5, 4))
        ds.PixelData = words.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()

    instances = kept(slice_headers(edit=edit), tmp_path)
    expected = np.stack([dcmread(one.path).pixel_array * np.float32(0.5) - np.float32(1024) for one in instances])
    given = [one if recorded else replace(one, image=None) for one in instances]
    by_uid = {one.header.sop_instance_uid: one for one in given}

    volume = load_volume(by_uid, read_headers(given))

    assert all((one.image is not None) is recorded for one in given)
    assert (volume.values == expected).all()
    assert volume.values.min() < -1024 < volume.values.max()


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_bytes_in_big_endian_words_are_read_in_their_order(tmp_path: Path, vr: str) -> None:
    """DCMTK turns the bytes of words when it writes big endian, also where a word holds two pixels of a byte each."""
    ds = _of_bytes(np.arange(25, dtype=np.uint8), vr)
    instance = _in_big_endian(tmp_path, ds)

    assert instance.image is not None
    assert (read_pixels(instance) == np.arange(25).reshape(5, 5)).all()


def test_frames_of_bytes_in_big_endian_words_are_refused(tmp_path: Path) -> None:
    """A frame with an odd number of pixels ends amid a word; nobody sends such clips, so they are not guessed at."""
    ds = _of_bytes(np.arange(50, dtype=np.uint8), "OW")
    ds.NumberOfFrames = 2
    instance = _in_big_endian(tmp_path, ds)

    assert _fault(_open, instance) == "undecodable-pixel-data"


def _of_bytes(samples: np.ndarray, vr: str) -> Dataset:
    (ds,) = slice_headers(count=1, size=(5, 5))
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.add_new("PixelData", vr, samples.tobytes() + bytes(samples.size % 2))
    return ds


def _in_big_endian(folder: Path, ds: Dataset) -> StoredInstance:
    (instance,) = kept([ds], folder)
    turned = folder / "turned.dcm"
    subprocess.run(["dcmconv", "+tb", str(instance.path), str(turned)], check=True)
    return as_kept(dcmread(turned), turned)


def test_the_first_fault_in_slice_order_is_told(tmp_path: Path) -> None:
    """Several slices are read at a time; which fault is told does not depend on which is found first."""
    instances = kept(slice_headers(count=30), tmp_path)
    headers = read_headers(instances)
    for number, spoil in (
        (29, lambda path: path.unlink()),
        (7, lambda path: path.write_bytes(path.read_bytes() + b"x")),
    ):
        spoil(instances[number].path)
    by_uid = {one.header.sop_instance_uid: one for one in instances}

    for _ in range(5):
        assert _fault(load_volume, by_uid, headers) == "damaged-object"


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


class _CountingZlib:
    """Adds up what every inflater yields, ours and pydicom's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inflated = 0
        self._inflater, self._at_once = zlib.decompressobj, zlib.decompress
        monkeypatch.setattr(zlib, "decompressobj", self._counted_inflater)
        monkeypatch.setattr(zlib, "decompress", self._counted_at_once)

    def _counted_inflater(self, *arguments: int) -> object:
        inflater, count = self._inflater(*arguments), self._count

        class Counted:
            eof = property(lambda _: inflater.eof)
            unconsumed_tail = property(lambda _: inflater.unconsumed_tail)

            def decompress(self, *arguments: object) -> bytes:
                return count(inflater.decompress(*arguments))

        return Counted()

    def _counted_at_once(self, *arguments: object) -> bytes:
        return self._count(self._at_once(*arguments))

    def _count(self, produced: bytes) -> bytes:
        self.inflated += len(produced)
        return produced


def _bombs(folder: Path, count: int, edit: Callable[[Dataset], None]) -> list[StoredInstance]:
    """Deflated instances that take little room on disk."""
    datasets = slice_headers(count=count)
    for ds in datasets:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        edit(ds)
    instances = kept(datasets, folder)
    assert all(instance.size < 2**20 for instance in instances)
    return instances


def _private_mebibytes(count: int) -> Callable[[Dataset], None]:
    return lambda ds: ds.private_block(0x0009, "TESTS", create=True).add_new(0x01, "OB", bytes(count * 2**20))


def test_a_large_private_element_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """96 MiB before the Pixel Data cost no more than the 16 MiB that an instance may have beside its pixels."""
    (bomb,) = _bombs(tmp_path, 1, _private_mebibytes(96))

    for read in (lambda: read_headers([bomb]), lambda: read_pixels(bomb)):
        counting = _CountingZlib(monkeypatch)
        assert _fault(read) == "inflates-too-large"
        assert 0 < counting.inflated <= 16 * 2**20


def test_pixel_data_is_not_inflated_beyond_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """96 MiB of Pixel Data under a header of 40 bytes of pixels are refused after 40 bytes and 16 MiB."""
    (bomb,) = _bombs(tmp_path, 1, lambda ds: setattr(ds, "PixelData", bytes(96 * 2**20)))
    read_headers([bomb])  # the header in itself is sound, and is read without the rest
    counting = _CountingZlib(monkeypatch)

    assert _fault(read_pixels, bomb) == "inflates-too-large"
    assert counting.inflated <= 2**16 + 16 * 2**20 + 40


def test_a_deflated_image_is_inflated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header costs the first 8 KiB, its pixels the whole data set once, and the values are those of the image."""
    (ds,) = slice_headers(count=1, size=(512, 512))
    pixels = np.random.default_rng(1).integers(0, 4096, (512, 512), np.uint16)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.PixelData = pixels.tobytes()
    (instance,) = kept([ds], tmp_path)
    counting = _CountingZlib(monkeypatch)

    (header,) = read_headers([instance])
    assert 0 < counting.inflated <= 2**13
    values = ImageValues({instance.header.sop_instance_uid: instance}).of(header)

    assert (values == pixels).all()
    assert counting.inflated < 2**13 + pixels.nbytes + 2**13


def test_the_headers_of_a_series_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many headers that each stay below the limit of one may not fill the memory together."""
    monkeypatch.setattr(series_reader, "_INFLATED_HEADERS", 5 * 2**20)
    bombs = _bombs(tmp_path, 6, _private_mebibytes(2))
    counting = _CountingZlib(monkeypatch)

    assert _fault(read_headers, bombs) == "inflates-too-large"
    assert counting.inflated < 6 * 2**20


def test_a_deflated_instance_that_ends_early_is_refused(tmp_path: Path) -> None:
    """A deflate stream without an end is no data set, though its beginning would read."""
    (instance,) = _bombs(tmp_path, 1, _private_mebibytes(1))
    instance.path.write_bytes(instance.path.read_bytes()[:-4])
    (ds,) = slice_headers(count=1)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    assert _fault(read_headers, [as_kept(ds, instance.path)]) == "unreadable"


def test_headers_do_not_hold_the_files_they_came_from(tmp_path: Path) -> None:
    """A series of headers costs headers, not all pixels of the series."""
    (header,) = read_headers(kept(slice_headers(count=1), tmp_path))

    assert header.buffer is None


@pytest.mark.parametrize(
    ("syntax", "told"),
    [(JPEGLosslessSV1, "sent as JPEG Lossless"), (JPEG2000Lossless, "sent as JPEG 2000"), ("1.2.3.4", "unknown")],
)
def test_an_undecodable_transfer_syntax_is_named(tmp_path: Path, syntax: str, told: str) -> None:
    """An administrator has to know what to switch off at the sender; a UID that only the peer knows is not shown."""
    (ds,) = slice_headers(count=1)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.PixelData = encapsulate([b"\x07" * 100])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    with (tmp_path / "image.dcm").open("wb") as file:
        dcmwrite(file, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)

    with pytest.raises(UnusableInput) as fault:
        read_pixels(as_kept(ds, tmp_path / "image.dcm"))

    assert fault.value.reason.code == "undecodable-pixel-data"
    assert told in fault.value.reason.sentence
    assert "1.2.3.4" not in fault.value.reason.sentence


def test_a_file_that_cannot_be_read_now_is_not_gone(tmp_path: Path) -> None:
    """Only a missing file is lost; any other trouble of the disk may pass, so it is no fault of the study."""
    (instance,) = kept(slice_headers(count=1), tmp_path)

    with pytest.raises(OSError, match="directory"):
        read_headers([replace(instance, path=tmp_path)])


def test_values_that_need_a_malformed_table_are_refused(tmp_path: Path) -> None:
    """A Modality LUT without its entries would give wrong numbers."""

    def edit(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.ModalityLUTType = "US"
        ds.ModalityLUTSequence = [item]

    assert _fault(_loaded, tmp_path, slice_headers(edit=edit)) == "modality-lut"


@pytest.mark.parametrize("value", [["1", "2"], ["", ""]])
def test_a_rescale_of_several_values_is_refused(tmp_path: Path, value: list[str]) -> None:
    """Nobody knows which of them is meant."""

    def edit(_: int, ds: Dataset) -> None:
        ds.RescaleIntercept, ds.RescaleSlope = 0, value

    assert _fault(_loaded, tmp_path, slice_headers(edit=edit)) == "unreadable"


@pytest.mark.parametrize("slope", ["0", "0.0", "1e-320"])
def test_a_slope_that_makes_everything_the_same_is_refused(tmp_path: Path, slope: str) -> None:
    """Nothing would be found in such a slice, which is no finding; a slice that is blank may have it."""

    def edit(index: int, ds: Dataset) -> None:
        ds.RescaleIntercept, ds.RescaleSlope = 0, slope if index == 2 else 1

    blank = VALUES.copy()
    blank[2] = 7
    assert _fault(_loaded, tmp_path, with_pixels(slice_headers(edit=edit), VALUES)) == "unreadable"
    assert (_loaded(tmp_path, with_pixels(slice_headers(edit=edit), blank)).values[2] == 0).all()


@pytest.mark.parametrize("number", ["inf", "-inf", "1e999", "nan"])
@pytest.mark.parametrize("keyword", ["InstanceNumber", "SeriesNumber"])
def test_a_number_that_is_none_counts_as_missing(tmp_path: Path, keyword: str, number: str) -> None:
    """It is found when the header is read, not after the analysis."""
    (instance,) = kept(slice_headers(count=1), tmp_path)
    content = instance.path.read_bytes()
    tag = tag_for_keyword(keyword)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + b"IS"
    at = content.index(head)
    end = at + 8 + int.from_bytes(content[at + 6 : at + 8], "little")
    value = number.encode() + b" " * (len(number) % 2)
    content = content[:at] + head + len(value).to_bytes(2, "little") + value + content[end:]
    instance.path.write_bytes(content)
    data_set = content[series_reader.data_set_start(content) :]
    spoilt = replace(instance, sha256=hashlib.sha256(data_set).hexdigest(), image=None)

    (header,) = read_headers([spoilt])

    assert header.get(keyword) is None


def test_an_element_of_a_vr_that_is_none_counts_as_missing(tmp_path: Path) -> None:
    """It is found when the header is read, not wherever it is asked for."""
    (instance,) = kept(slice_headers(count=1), tmp_path)
    content = instance.path.read_bytes().replace(b"\x28\x00\x03\x01US", b"\x28\x00\x03\x01U[")
    instance.path.write_bytes(content)
    data_set = content[series_reader.data_set_start(content) :]
    spoilt = replace(instance, sha256=hashlib.sha256(data_set).hexdigest(), image=None)

    assert _fault(read_pixels, spoilt) in {"no-pixel-data", "unreadable"}


@pytest.mark.parametrize(("bits", "signed"), [(16, 0), (8, 0), (16, 1)])
def test_values_are_mapped_by_a_modality_lut(tmp_path: Path, bits: int, signed: int) -> None:
    """Each stored value becomes its entry; those before and behind the table take its first and its last one."""
    first = -2 if signed else 3
    entries = [100, 150, 40, 90]

    def edit(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "SS" if signed else "US", [4, first, bits])
        item.ModalityLUTType = "OD"
        item.add_new("LUTData", "OW", np.array(entries, "<u2" if bits == 16 else "u1").tobytes())
        ds.ModalityLUTSequence, ds.PixelRepresentation = [item], signed

    stored = np.arange(-4, 16).reshape(5, 4) if signed else np.arange(20).reshape(5, 4)
    volume = _loaded(tmp_path, with_pixels(slice_headers(edit=edit), np.stack([stored.astype("<i2").view("<u2")] * 6)))

    assert (volume.values[3] == np.array(entries)[np.clip(stored - first, 0, 3)]).all()


def test_the_error_never_repeats_what_the_file_says(tmp_path: Path) -> None:
    """Sentences are ours alone, so a patient's name cannot travel in them."""
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], tmp_path)
    content = instance.path.read_bytes()
    start = series_reader.data_set_start(content)
    instance.path.write_bytes(content[:start] + b"\x10\x00\x10\x00PN\x08\x00Doe^Jane" + b"\xff" * 30)

    with pytest.raises(UnusableInput) as fault:
        read_pixels(as_kept(ds, instance.path))

    assert "Doe" not in str(fault.value)
    assert fault.value.__cause__ is None
