"""Pictures of frames show what an independent reading shows, and whatever is decoded, the pool goes on."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing, pixel_array

from listener.web.dicomweb.dicom_file import UnreadableFile, read_dicom_file
from listener.web.dicomweb.frame_attributes import NotRendered, frame_description
from listener.web.dicomweb.frames import FrameSource, frame_source
from listener.web.pictures.frame_description import FrameDescription, Viewport, Window, Wish
from listener.web.pictures.pool import DecoderPool, DecodersBusy, UndecodablePixels

PNG = Wish("image/png")


@pytest.fixture(scope="module")
def decoders():
    """One child for these tests."""
    pool = DecoderPool(1)
    yield pool
    pool.close()


def opened(name: str, number: int = 1) -> tuple[FrameDescription, FrameSource]:
    """A frame of one of pydicom's test files."""
    path = Path(get_testdata_file(name, download=False))
    file = read_dicom_file(path)
    source = frame_source(path, file)
    assert source is not None
    return frame_description(file, number), source


def drawn(decoders: DecoderPool, name: str, wish: Wish = PNG, number: int = 1) -> Image.Image:
    """The picture of a frame."""
    frame, source = opened(name, number)
    return Image.open(io.BytesIO(decoders.frame(frame, wish, lambda: source.frame(number))))


def windowed(name: str) -> np.ndarray:
    """The same by pydicom: modality values through the instance's first window, or from least to most."""
    instance = dcmread(get_testdata_file(name, download=False))
    values = apply_modality_lut(pixel_array(instance, index=0), instance)
    if "WindowCenter" in instance:
        # its range of output is that of the stored values
        shown = apply_windowing(values, instance).astype(float)
        low, high = _range_of(instance)
        return np.clip((shown - low) / (high - low) * 255, 0, 255)
    values = values.astype(float)
    return (values - values.min()) / max(values.max() - values.min(), 1) * 255


def _range_of(instance) -> tuple[float, float]:
    bits, signed = instance.BitsStored, instance.PixelRepresentation
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(instance.get("RescaleSlope", 1)), float(instance.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


@pytest.mark.parametrize(
    "name",
    [
        *("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"),
        *("rtdose_1frame.dcm", "rtdose_rle_1frame.dcm", "693_J2KI.dcm", "JPEG2000.dcm", "examples_overlay.dcm"),
    ],
)
def test_grey_is_what_pydicom_shows(decoders: DecoderPool, name: str) -> None:
    """Sign, rescale and window, native and compressed, of 16 and 32 bits: within one step of grey."""
    picture = np.asarray(drawn(decoders, name)).astype(float)

    assert np.abs(picture - windowed(name)).max() <= 1.01


@pytest.mark.parametrize(
    "name",
    [
        *("SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_small_odd.dcm", "SC_ybr_full_422_uncompressed.dcm"),
        *("examples_palette.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_jpeg_no_color_transform.dcm", "examples_rgb_color.dcm"),
        *("SC_rgb_dcmtk_+eb+cr.dcm", "examples_ybr_color.dcm", "examples_jpeg2k.dcm"),
    ],
)
def test_colour_is_what_pydicom_shows(decoders: DecoderPool, name: str) -> None:
    """RGB by pixel and by plane, YBR whole and subsampled, palettes, JPEG, JPEG 2000 and RLE."""
    instance = dcmread(get_testdata_file(name, download=False))
    expected = pixel_array(instance, index=0, raw=False)
    if instance.PhotometricInterpretation == "PALETTE COLOR":
        expected = apply_color_lut(expected, instance)
    if expected.dtype == np.uint16:
        expected = (expected >> 8).astype(np.uint8)

    picture = np.asarray(drawn(decoders, name))

    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected.astype(int)).max() <= 2


def test_a_frame_of_many_is_the_one_that_was_asked_for(decoders: DecoderPool) -> None:
    """The second frame is not the first, compressed and native."""
    instance = dcmread(get_testdata_file("rtdose.dcm", download=False))
    values = pixel_array(instance, index=7).astype(float)

    picture = np.asarray(drawn(decoders, "rtdose.dcm", number=8)).astype(float)

    assert np.abs(picture - (values - values.min()) / (values.max() - values.min()) * 255).max() <= 1.01


def test_a_window_and_monochrome_1_are_shown(decoders: DecoderPool) -> None:
    """Half of the window is mid-grey; MONOCHROME1 is its negative."""
    pixels = bytes(range(256))
    frame = FrameDescription(
        "1.2.840.10008.1.2.1", 16, 16, 1, 8, 8, 7, False, "MONOCHROME2", window=Window(101, 51, "LINEAR")
    )
    negative = FrameDescription(
        "1.2.840.10008.1.2.1", 16, 16, 1, 8, 8, 7, False, "MONOCHROME1", window=Window(101, 51, "LINEAR")
    )

    shown, inverted = (
        np.asarray(Image.open(io.BytesIO(decoders.frame(each, PNG, lambda: pixels)))).ravel()
        for each in (frame, negative)
    )

    assert (shown[:76] == 0).all()
    assert (shown[126:] == 255).all()
    assert (shown[100], shown[101]) == (125, 130)  # PS3.3 section C.11.2.1.2.1
    assert (shown + inverted == 255).all()


def test_a_viewport_keeps_proportions(decoders: DecoderPool) -> None:
    """The picture fits, and may show a part of the image; JPEG is JPEG."""
    whole = drawn(decoders, "CT_small.dcm", Wish("image/jpeg", 80, Viewport(64, 32)))
    part = drawn(decoders, "CT_small.dcm", Wish("image/png", 80, Viewport(500, 500, 64, 0, 32, 64)))

    assert (whole.format, whole.size) == ("JPEG", (32, 32))
    assert (part.format, part.size) == ("PNG", (250, 500))


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "ExplVR_BigEnd.dcm", "image_dfl.dcm"])
def test_what_is_not_rendered_is_named(name: str) -> None:
    """Other transfer syntaxes are refused before anything is decoded."""
    path = Path(get_testdata_file(name, download=False))

    with pytest.raises(NotRendered):
        frame_description(read_dicom_file(path), 1)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 65535), ("BitsStored", 40), ("HighBit", 3), ("BitsAllocated", 8), ("Columns", 0)],
)
def test_impossible_attributes_are_refused_before_decoding(keyword: str, value: int) -> None:
    """A header may claim anything; a picture of more pixels than allowed is not begun."""
    file = read_dicom_file(Path(get_testdata_file("CT_small.dcm", download=False)))
    setattr(file.data_set, keyword, value)
    if keyword == "Rows":
        file.data_set.Columns = value

    with pytest.raises((UnreadableFile, NotRendered)):
        frame_description(file, 1)


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "693_J2KI.dcm"])
def test_mutated_frames_end_no_more_than_their_job(decoders: DecoderPool, name: str) -> None:
    """Bytes changed, cut and swapped: each is a picture or undecodable, and the next good one is drawn."""
    frame, source = opened(name)
    good, rng = source.frame(1), random.Random(1)

    for _ in range(60):
        bad = bytearray(good[: rng.randrange(len(good))] if rng.random() < 0.2 else good)
        for _ in range(rng.randrange(1, 20)):
            if bad:
                bad[rng.randrange(min(len(bad), 400))] = rng.randrange(256)
        try:
            Image.open(io.BytesIO(decoders.frame(frame, PNG, lambda bad=bytes(bad): bad))).verify()
        except UndecodablePixels:
            continue

    assert decoders.frame(frame, PNG, lambda: good)


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
def test_a_codestream_that_is_larger_than_its_header_says_is_not_decoded(decoders: DecoderPool, kind: str) -> None:
    """A few kilobytes that would become 64 million pixels, under a header of 100 by 100, cost the child no memory."""
    syntax = {"JPEG2000": "1.2.840.10008.1.2.4.90", "JPEG": "1.2.840.10008.1.2.4.50"}[kind]
    bomb = io.BytesIO()
    Image.new("L", (8000, 8000)).save(bomb, kind, **({"no_jp2": True} if kind == "JPEG2000" else {}))
    frame = FrameDescription(syntax, 100, 100, 1, 8, 8, 7, False, "MONOCHROME2")

    with pytest.raises(UndecodablePixels):
        decoders.frame(frame, PNG, bomb.getvalue)

    status = (Path("/proc") / str(decoders._idle[0]._process.pid) / "status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 60 * 1024  # kilobytes; one byte per pixel alone were 62,500


def test_a_child_that_dies_or_hangs_costs_its_job_only() -> None:
    """Killed at work or past its deadline, the job is refused, counted, and the next one has a fresh child."""
    pool = DecoderPool(1, deadline=0.0)
    frame, source = opened("CT_small.dcm")
    try:
        with pytest.raises(UndecodablePixels):
            pool.frame(frame, PNG, lambda: source.frame(1))
        assert pool.lost == 1
        pool._deadline = 60.0
        assert pool.frame(frame, PNG, lambda: source.frame(1))
        pool._idle[0]._process.kill()
        with pytest.raises(UndecodablePixels):
            pool.frame(frame, PNG, lambda: source.frame(1))
        assert pool.frame(frame, PNG, lambda: source.frame(1))
        assert pool.lost == 2
    finally:
        pool.close()


def test_more_than_the_children_can_do_is_told() -> None:
    """Who waits too long is told to come again, instead of waiting behind everybody."""
    pool = DecoderPool(1, patience=0.01)
    frame, source = opened("CT_small.dcm")
    try:

        def nested() -> bytes:
            with pytest.raises(DecodersBusy):
                pool.frame(frame, PNG, lambda: source.frame(1))
            return source.frame(1)

        assert pool.frame(frame, PNG, nested)
    finally:
        pool.close()


def test_the_child_has_little_to_lose(decoders: DecoderPool) -> None:
    """Memory, files and core dumps are limited, no privilege can be gained, and no secret is in its environment."""
    frame, source = opened("CT_small.dcm")
    decoders.frame(frame, PNG, lambda: source.frame(1))
    folder = Path("/proc") / str(decoders._idle[0]._process.pid)

    limits = {line[:26].strip(): line[26:].split() for line in (folder / "limits").read_text().splitlines()[1:]}
    assert limits["Max address space"][0] == str(1536 * 2**20)
    assert limits["Max file size"][0] == limits["Max core file size"][0] == "0"
    assert limits["Max cpu time"][0] != "unlimited"
    assert "NoNewPrivs:\t1" in (folder / "status").read_text()
    names = {each.partition("=")[0] for each in (folder / "environ").read_text().split("\0") if each}
    assert names <= {"PYTHONPATH", "LD_LIBRARY_PATH"}
