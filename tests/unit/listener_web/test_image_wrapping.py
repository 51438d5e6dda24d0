"""Pictures become DICOM images with the same pixels, and with nothing else that their files said."""

import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread

from listener.web.analyze.image_wrapping import Wrapping, is_picture
from listener.web.pictures.pool import DecoderPool, TooManyPixels, UndecodablePixels

DECODERS = DecoderPool(1)
GREY = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8


@pytest.fixture(autouse=True, scope="module")
def _end_of_decoders():
    """The child that decodes ends with these tests."""
    yield
    DECODERS.close()


def encoded(values: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """The values as a picture's file."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def wrapped(content: bytes):
    """The picture as a DICOM image, read back."""
    return dcmread(io.BytesIO(b"".join(Wrapping(DECODERS.picture, "MR", "HEAD").wrap(content, 1))))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (GREY, "MONOCHROME2"),
        (GREY[:3, :5], "MONOCHROME2"),
        (GREY.astype(np.uint16) * 257, "MONOCHROME2"),
        (np.dstack([GREY, GREY, GREY]), "MONOCHROME2"),
        (np.dstack([GREY, GREY[::-1], GREY]), "RGB"),
    ],
)
def test_the_pixels_are_those_of_the_picture(values, kind):
    """Grey values stay as they are, also of 16 bits; a colour picture that is grey all over becomes grey."""
    image = wrapped(encoded(values))

    assert image.PhotometricInterpretation == kind
    expected = values[..., 0] if values.ndim == 3 and kind == "MONOCHROME2" else values
    assert (image.pixel_array == expected).all()
    assert "LossyImageCompression" not in image


def test_a_jpeg_is_marked_as_lossy():
    """What JPEG lost stays lost, and the image says so."""
    image = wrapped(encoded(GREY, "JPEG", quality=90))

    assert (image.LossyImageCompression, image.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert np.abs(image.pixel_array.astype(int) - GREY).mean() < 8


def test_nothing_else_that_the_file_says_is_kept():
    """Comments and EXIF may name a patient; the image carries fresh UIDs, no name, and the modality that was told."""
    comment = PngInfo()
    comment.add_text("Comment", "CANARY^NAME")
    exif = Image.Exif()
    exif[0x010E] = "CANARY description"

    for content in (encoded(GREY, pnginfo=comment), encoded(GREY, "JPEG", exif=exif, comment=b"CANARY")):
        part10 = b"".join(Wrapping(DECODERS.picture, "DX", "CHEST").wrap(content, 3))
        image = dcmread(io.BytesIO(part10))
        assert b"CANARY" not in part10
        assert (image.PatientName, image.Modality, image.BodyPartExamined, image.InstanceNumber) == (
            "",
            "DX",
            "CHEST",
            3,
        )
    assert len({Wrapping(DECODERS.picture, "DX").study_instance_uid for _ in range(3)}) == 3


def test_a_picture_that_was_taken_on_its_side_is_set_upright():
    """The orientation that EXIF states is applied, since nothing else of it is kept."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees

    image = wrapped(encoded(GREY, exif=exif))

    assert (image.pixel_array == np.rot90(GREY, -1)).all()


def test_the_image_is_valid_dicom(tmp_path):
    """dciodvfy finds no error in a grey, a colour and a lossy image."""
    for number, content in enumerate(
        (encoded(GREY), encoded(np.dstack([GREY, GREY[::-1], GREY])), encoded(GREY, "JPEG"))
    ):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(b"".join(Wrapping(DECODERS.picture, "MR", "HEAD").wrap(content, 1)))
        judged = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []


def _claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""
    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))
        for name, content in chunks
    )


@pytest.mark.parametrize("size", [(60000, 60000), (70000, 2), (2, 70000)])
def test_a_picture_that_says_it_is_huge_is_refused_before_it_is_decoded(size):
    """The size is known from the header; nothing is allocated for it."""
    with pytest.raises(TooManyPixels):
        wrapped(_claiming(*size))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        encoded(GREY)[:60],
        encoded(np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8), "JPEG")[:300],
        encoded(GREY, "GIF"),
        encoded(GREY, "TIFF"),
        encoded(GREY, "BMP"),
        b"\xff\xd8\xff" + bytes(500),
    ],
)
def test_what_is_no_whole_png_or_jpeg_is_refused(content):
    """Cut, empty and other formats are told as one kind of failure; only two decoders can be reached."""
    with pytest.raises(UndecodablePixels):
        wrapped(content)


def test_only_png_and_jpeg_count_as_pictures():
    """A file is told by its first bytes, never by its name."""
    assert is_picture(encoded(GREY))
    assert is_picture(encoded(GREY, "JPEG"))
    assert not is_picture(encoded(GREY, "GIF"))
    assert not is_picture(b"PK\x03\x04")
