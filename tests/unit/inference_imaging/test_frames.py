"""Frames of multi-frame instances are read as the same images alone would be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
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
from inference.imaging import frame_reader, frames
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
