"""Frames of multi-frame instances are read as the same images alone would be."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from inference.algorithms.manifest import Manifest, parse_manifest
from inference.errors import UnusableInput
from inference.imaging import encapsulated, frame_reader, frames
from inference.imaging.encapsulated import frame_places
from inference.imaging.frames import frame_number, image_key
from inference.imaging.image_series import open_series, order_images
from inference.imaging.series_reader import read_headers
from inference.imaging.series_selection import select_series
from inference.imaging.volume import Volume, load_volume
from storage.domain.study import StoredInstance
from tests.peers import tiny_algorithm, tiny_classifier
from tests.peers.multi_frame import enhanced
from tests.peers.synthetic_series import kept, slice_headers, with_pixels

VALUES = np.arange(6 * 5 * 4).reshape(6, 5, 4)
MIXED = [3, 0, 5, 1, 4, 2]  # the order of frames in the instance


def _images(edit: Any = None) -> list[Dataset]:
    return with_pixels(slice_headers(edit=edit), VALUES)


def _mixed(images: list[Dataset], edit: Any = None) -> Dataset:
    return enhanced([images[place] for place in MIXED], edit=edit)


def _loaded(instances: list[StoredInstance]) -> Volume:
    return load_volume({one.header.sop_instance_uid: one for one in instances}, read_headers(instances))


def _manifest(**contract: Any) -> Manifest:
    return parse_manifest(tiny_algorithm.manifest_with(input=contract))


def _classifier(**contract: Any) -> Manifest:
    return parse_manifest(tiny_classifier.manifest_with(input={"modalities": ["MR", "US"], **contract}))


def _fault(call: Any, *arguments: object) -> str:
    with pytest.raises(UnusableInput) as fault:
        call(*arguments)
    return fault.value.reason.code


def test_frames_make_the_volume_that_the_images_alone_make(tmp_path: Path) -> None:
    """Values, grid and order are those of the same images sent one by one, whatever the order of the frames."""

    def edit(index: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = index + 1, -10, "US"

    images = _images(edit)
    (tmp_path / "one").mkdir()
    alone = _loaded(kept(images, tmp_path))
    together = _loaded(kept([_mixed(images)], tmp_path / "one"))

    np.testing.assert_array_equal(together.values, alone.values)
    np.testing.assert_array_equal(together.geometry.affine, alone.geometry.affine)
    assert together.geometry.frame_of_reference_uid == alone.geometry.frame_of_reference_uid
    assert [frame_number(header) for header in together.headers] == [MIXED.index(place) + 1 for place in range(6)]
    assert len({image_key(header) for header in together.headers}) == 6
    assert len({header.SOPInstanceUID for header in together.headers}) == 1


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless],
)
def test_frames_are_read_in_every_way_they_are_sent(tmp_path: Path, syntax: str) -> None:
    """Native frames lie behind each other, compressed ones in fragments; each is the same picture."""
    instance = _mixed(_images())
    if syntax in (RLELossless, JPEG2000Lossless):
        instance["PixelData"].VR = "OW"
        instance.compress(syntax) if syntax == RLELossless else _as_jpeg_2000(instance)
    elif syntax == ExplicitVRBigEndian:
        instance.PixelData = np.frombuffer(instance.PixelData, "<u2").astype(">u2").tobytes()
        instance["PixelData"].VR = "OW"
    instance.file_meta.TransferSyntaxUID = syntax

    np.testing.assert_array_equal(_loaded(kept([instance], tmp_path)).values, VALUES)


def _as_jpeg_2000(instance: Dataset) -> None:
    from io import BytesIO

    from PIL import Image

    pixels = np.frombuffer(instance.PixelData, "<u2").reshape(-1, instance.Rows, instance.Columns)
    frames_ = []
    for frame in pixels:
        buffer = BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        frames_.append(buffer.getvalue())
    instance.PixelData = encapsulate(frames_, has_bot=False)
    instance["PixelData"].VR = "OB"


def test_an_instance_of_frames_is_checked_once_and_read_frame_by_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of a large file is not computed for each of its frames, and no more than a frame is held."""
    checks: list[int] = []
    check = frame_reader._check
    monkeypatch.setattr(frame_reader, "_check", lambda *args: (checks.append(1), check(*args))[1])
    instances = kept([_mixed(_images())], tmp_path)
    headers, _ = order_images(read_headers(instances))
    series = open_series({one.header.sop_instance_uid: one for one in instances}, headers)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file is read as a whole"))

    for index in (4, 0, 4):
        np.testing.assert_array_equal(series.values(index), VALUES[index])

    assert checks == [1]


def test_a_damaged_file_of_frames_is_refused(tmp_path: Path) -> None:
    """One flipped bit is noticed before a frame is read, also when the headers were read before."""
    (instance,) = kept([_mixed(_images())], tmp_path)
    headers = read_headers([instance])
    content = bytearray(instance.path.read_bytes())
    content[-1] ^= 1
    instance.path.write_bytes(content)

    assert _fault(load_volume, {instance.header.sop_instance_uid: instance}, headers) == "damaged-object"
    instance.path.unlink()
    assert _fault(load_volume, {instance.header.sop_instance_uid: instance}, headers) == "missing-object"


@pytest.mark.parametrize("followed", [False, True])
def test_fewer_pixels_than_frames_are_refused(tmp_path: Path, followed: bool) -> None:
    """Frames that are not there are not invented, nor read from what stands behind the pixels."""
    instance = _mixed(_images())
    instance.PixelData = instance.PixelData[:-2]
    if followed:
        instance.DataSetTrailingPadding = bytes(100)

    assert _fault(_loaded, kept([instance], tmp_path)) == "short-pixel-data"


@pytest.mark.parametrize(
    "sent", [encapsulate([b"\x07" * 100] * 2), b"\xfe\xff\x00\xe0\0\0\0\0" * 7], ids=["two-of-six", "empty"]
)
def test_compressed_frames_that_are_missing_are_refused(tmp_path: Path, sent: bytes) -> None:
    """An encapsulated stream with too few fragments, or with nothing in them, ends with a name."""

    instance = _mixed(_images())
    instance.file_meta.TransferSyntaxUID = RLELossless
    instance.PixelData = sent
    instance["PixelData"].VR = "OB"

    assert _fault(_loaded, kept([instance], tmp_path)) in {"undecodable-pixel-data", "unreadable"}


_END_OF_ITEMS = b"\xfe\xff\xdd\xe0\0\0\0\0"


def _item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(value)) + value


def _in_fragments(pieces: int, table: Any, extended: bool = False) -> Dataset:
    """Six frames in JPEG 2000, each in so many fragments, ``table`` makes a table of the true offsets."""
    instance = _mixed(_images())
    _as_jpeg_2000(instance)
    instance.file_meta.TransferSyntaxUID = JPEG2000Lossless
    items, offsets, at = [], [], 0
    for frame in generate_frames(instance.PixelData, number_of_frames=6):
        offsets.append(at)
        even = len(frame) // pieces // 2 * 2
        for piece in range(pieces):
            items.append(_item(frame[piece * even : (piece + 1) * even if piece < pieces - 1 else None]))
            at += len(items[-1])
    told = table(offsets) if table else []
    basic = b"" if extended else struct.pack(f"<{len(told)}L", *told)
    if extended:
        instance.ExtendedOffsetTable = struct.pack(f"<{len(told)}Q", *told)
        instance.ExtendedOffsetTableLengths = struct.pack(f"<{len(told)}Q", *([100] * len(told)))
    instance.PixelData = _item(basic) + b"".join(items) + _END_OF_ITEMS
    instance["PixelData"].is_undefined_length = True
    return instance


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(("table", "extended"), [(None, False), (list, False), (list, True)])
def test_the_fragments_of_a_frame_are_found_by_a_table_or_by_its_end(
    tmp_path: Path, pieces: int, table: Any, extended: bool
) -> None:
    """One fragment or several, with a Basic or Extended Offset Table or none: each frame is its own picture."""
    instance = _in_fragments(pieces, table, extended)

    np.testing.assert_array_equal(_loaded(kept([instance], tmp_path)).values, VALUES)


_LIES: dict[str, Any] = {
    "swapped": lambda offsets: [offsets[1], offsets[0], *offsets[2:]],
    "one frame six times": lambda offsets: [0] * 6,
    "the first left out": lambda offsets: [offsets[1], *offsets[1:]],
    "within a fragment": lambda offsets: [offset + 8 for offset in offsets],
    "one too few": lambda offsets: offsets[:-1],
    "far behind": lambda offsets: [*offsets[:-1], 2**32 - 1],
}


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("lie", _LIES)
def test_a_table_of_offsets_that_lies_is_not_followed(tmp_path: Path, lie: str, pieces: int, extended: bool) -> None:
    """No slice is taken for another one because a table says so, as pydicom would."""
    instance = _in_fragments(pieces, _LIES[lie], extended)

    assert _fault(_loaded, kept([instance], tmp_path)) == "undecodable-pixel-data"


def test_offsets_that_began_anew_are_those_of_a_large_instance(tmp_path: Path) -> None:
    """A Basic Offset Table has 32 bits; where pixels have more than 4 GiB its offsets are known but for that."""
    path, large = tmp_path / "large", 2**32 - 16
    with path.open("wb") as file:
        file.write(_item(struct.pack("<2L", 0, 8)) + b"\xfe\xff\x00\xe0" + struct.pack("<L", large))
        file.seek(large, 1)  # a hole: nothing is written there
        file.write(_item(b"\0" * 8) + _item(b"last") + _END_OF_ITEMS)
    with path.open("rb") as file:
        places = frame_places(file, path.stat().st_size, 2, None)

    assert [[length for _, length in frame] for frame in places] == [[large, 8], [4]]


def test_twenty_thousand_frames_are_found_in_one_pass() -> None:
    """Each head of a fragment is read once; looked for frame by frame they would be read two hundred million times."""
    content = _item(b"") + _item(b"\xff\xd9") * 20_000

    class Counting(BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    file = Counting(content)
    assert len(frame_places(file, len(content), 20_000, None)) == 20_000
    assert file.reads < 25_000


def test_fragments_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight bytes of a file are a fragment of nothing, and a list of all of them would fill the memory."""
    monkeypatch.setattr(encapsulated, "_MOST_FRAGMENTS", 100)
    content = _item(b"") * 200

    assert _fault(frame_places, BytesIO(content), len(content), 6, None) == "undecodable-pixel-data"
    assert _fault(encapsulated.single_frame, memoryview(content)) == "undecodable-pixel-data"


@pytest.mark.parametrize("sequence", list(frames._OF_EACH_OR_NONE))
def test_what_is_said_of_some_frames_only_is_refused(tmp_path: Path, sequence: str) -> None:
    """A frame without its own place or rescale would have those of the instance, or none, and nobody would see it."""
    instance = _mixed(_images())
    of_frames = instance.PerFrameFunctionalGroupsSequence
    shared = instance.SharedFunctionalGroupsSequence[0]
    for groups in of_frames:
        if sequence in shared:
            setattr(groups, sequence, getattr(shared, sequence))
        elif sequence not in groups:
            setattr(groups, sequence, [Dataset()])
    if sequence in shared:
        delattr(shared, sequence)
    delattr(of_frames[2], sequence)
    instance.ImagePositionPatient = [0, 0, 2]

    assert _fault(read_headers, kept([instance], tmp_path)) == "unreadable"


@pytest.mark.parametrize(("frames_stated", "code"), [(7, "unreadable"), (3, "unreadable"), (0, None)])
def test_every_frame_has_to_be_described(tmp_path: Path, frames_stated: int, code: str | None) -> None:
    """Number of Frames and the items that describe frames agree, or nobody knows which is which."""
    instance = _mixed(_images())
    instance.NumberOfFrames = frames_stated

    assert _fault(read_headers, kept([instance], tmp_path)) == (code or "unreadable")


def test_a_number_of_frames_without_end_costs_nothing(tmp_path: Path) -> None:
    """Two thousand million frames that a header promises are refused before a list of them is made."""
    (image,) = with_pixels(slice_headers(count=1), VALUES[:1])
    image.NumberOfFrames = 2**31 - 1

    assert _fault(read_headers, kept([image], tmp_path)) == "too-many-pixels"


def test_a_single_image_is_not_taken_for_a_frame(tmp_path: Path) -> None:
    """What a peer writes into (0008,1160) of a single image, where it means nothing, makes no frame of it."""
    images = _images(lambda _, ds: setattr(ds, "ReferencedFrameNumber", 7))

    assert {frame_number(header) for header in read_headers(kept(images, tmp_path))} == {None}


def _dimension(sequence: str, keyword: str, values: list[object]) -> Any:
    def edit(index: int, groups: Dataset) -> None:
        if sequence not in groups:
            setattr(groups, sequence, [Dataset()])
        setattr(groups[sequence].value[0], keyword, values[index])

    return edit


@pytest.mark.parametrize(
    ("sequence", "keyword", "values", "word"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", [1, 1, 1, 2, 2, 2], "temporal position"),
        ("FrameContentSequence", "StackID", ["1", "1", "1", "2", "2", "2"], "stack"),
        ("MREchoSequence", "EffectiveEchoTime", [10.0, 10.0, 10.0, 90.0, 90.0, 90.0], "echo time"),
        ("MRDiffusionSequence", "DiffusionBValue", [0.0, 0.0, 0.0, 800.0, 800.0, 800.0], "diffusion weight"),
        (
            "MRImageFrameTypeSequence",
            "FrameType",
            [["ORIGINAL", "PRIMARY", "M"]] * 3 + [["ORIGINAL", "PRIMARY", "P"]] * 3,
            "image type",
        ),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", [0.0, 0.0, 0.0, 9.0, 9.0, 9.0], "cardiac"),
    ],
)
def test_frames_of_several_volumes_are_told_apart(
    tmp_path: Path, sequence: str, keyword: str, values: list[object], word: str
) -> None:
    """Two volumes in one instance are not analysed as one, and the sentence says in what they differ."""
    three = _images()[:3]
    instance = enhanced([*three, *three], edit=_dimension(sequence, keyword, values))

    selection = select_series(kept([instance], tmp_path), _manifest())

    assert selection.accepted is None
    (refusal,) = selection.refusals
    assert refusal.reason.code == "several-volumes"
    assert word in refusal.reason.sentence


def test_frames_at_one_place_that_differ_in_nothing_known_are_duplicates(tmp_path: Path) -> None:
    """What is known of single images is said of frames too."""
    three = _images()[:3]

    (refusal,) = select_series(kept([enhanced([*three, *three])], tmp_path), _manifest()).refusals

    assert refusal.reason.code == "duplicate-positions"


def test_one_volume_whose_slices_differ_in_a_dimension_is_one_volume(tmp_path: Path) -> None:
    """A scanner that numbers two slabs as stacks has still made one volume."""
    edit = _dimension("FrameContentSequence", "StackID", ["1", "1", "1", "2", "2", "2"])

    selection = select_series(kept([enhanced(_images(), edit=edit)], tmp_path), _manifest())

    assert selection.accepted is not None


def test_the_frames_are_what_the_contract_counts(tmp_path: Path) -> None:
    """An instance of six frames has six slices."""
    instances = kept([_mixed(_images())], tmp_path)

    def code(**contract: int) -> str:
        (refusal,) = select_series(instances, _manifest(**contract)).refusals
        return refusal.reason.code

    assert code(min_slices=7) == "too-few-slices"
    assert code(min_slices=2, max_slices=5) == "too-many-slices"
    accepted = select_series(instances, _manifest(min_slices=6, max_slices=6)).accepted
    assert accepted is not None
    assert len(accepted.headers) == 6


def test_the_region_of_the_frames_is_a_body_part(tmp_path: Path) -> None:
    """An instance that names its region by a code meets a contract on Body Part Examined, or is refused by it."""
    images = _images()
    for image in images:
        del image.BodyPartExamined

    def anatomy(_: int, groups: Dataset) -> None:
        item = Dataset()
        item.AnatomicRegionSequence = [Dataset()]
        code = codes.SCT.Brain
        item.AnatomicRegionSequence[0].CodeValue, item.AnatomicRegionSequence[0].CodeMeaning = code.value, code.meaning
        item.AnatomicRegionSequence[0].CodingSchemeDesignator = "SCT"
        item.FrameLaterality = "R"
        groups.FrameAnatomySequence = [item]

    instances = kept([_mixed(images, anatomy)], tmp_path)

    accepted = select_series(instances, _manifest(body_parts=["BRAIN"])).accepted
    assert accepted is not None
    assert {(one.BodyPartExamined, one.ImageLaterality) for one in accepted.headers} == {("BRAIN", "R")}
    (refusal,) = select_series(instances, _manifest(body_parts=["CHEST"])).refusals
    assert refusal.reason.code == "body-part-not-accepted"
    assert "BRAIN" in refusal.reason.sentence


def test_a_localizer_among_frames_is_seen(tmp_path: Path) -> None:
    """Frame Type says of frames what Image Type says of images."""

    def edit(_: int, groups: Dataset) -> None:
        item = Dataset()
        item.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
        groups.MRImageFrameTypeSequence = [item]

    (refusal,) = select_series(kept([_mixed(_images(), edit)], tmp_path), _manifest()).refusals

    assert refusal.reason.code == "localizer"


def test_several_instances_of_frames_make_one_volume(tmp_path: Path) -> None:
    """A volume may be sent in parts, with single images among them."""
    images = _images()
    instances = kept([enhanced(images[3:5], "1.2.3.9.1"), enhanced([images[1], images[0]], "1.2.3.9.2")], tmp_path)
    instances += kept([images[2], images[5]], tmp_path)

    volume = _loaded(instances)

    np.testing.assert_array_equal(volume.values, VALUES)
    assert [frame_number(one) for one in volume.headers] == [2, 1, None, 1, 2, None]


def _film(sop_class: str, **values: object) -> Dataset:
    (image,) = with_pixels(slice_headers(count=1), VALUES[:1])
    image.SOPClassUID, image.NumberOfFrames, image.PixelData = sop_class, 6, VALUES.astype("<u2").tobytes()
    for keyword, value in values.items():
        setattr(image, keyword, value)
    return image


@pytest.mark.parametrize(
    ("sop_class", "taken"),
    [
        (UltrasoundMultiFrameImageStorage, True),
        (MultiFrameGrayscaleWordSecondaryCaptureImageStorage, True),
        (XRayAngiographicImageStorage, False),
    ],
)
def test_frames_without_a_place_are_images_where_they_stand_alone(tmp_path: Path, sop_class: str, taken: bool) -> None:
    """A classifier is shown each frame of an ultrasound clip in its order, none of an angiogram; no volume is made."""
    instances = kept([_film(sop_class)], tmp_path)

    (refusal,) = select_series(instances, _manifest()).refusals
    selection = select_series(instances, _classifier())

    assert refusal.reason.code == "multi-frame"
    assert (selection.accepted is not None) == taken
    if selection.accepted is not None:
        series = open_series(selection.accepted.instances, selection.accepted.headers)
        np.testing.assert_array_equal([series.values(index) for index in range(6)], VALUES)
    else:
        assert [one.reason.code for one in selection.refusals] == ["multi-frame"]


def test_the_codes_of_regions_are_those_of_the_standard() -> None:
    """Every code that is known as a body part is one of CID 4 or 4031, or an older form of one."""
    from pydicom.sr._concepts_dict import concepts

    from inference.imaging.anatomic_regions import _BODY_PARTS

    known = {code for names in concepts["SCT"].values() for code in names}
    assert set(_BODY_PARTS) <= known
    assert frames.MULTI_FRAME_CLASSES >= frames.SINGLE_FRAMES_CLASSES
