"""Threats T5, T8 and T9 as far as they concern reading: deep data sets, bombs, and images that were cut off."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from inference.errors import UnusableInput
from inference.imaging import deflated as deflated_reader
from inference.imaging import series_reader
from inference.imaging.frame_reader import ImageValues
from inference.imaging.header_items import MOST_ITEMS, refuse_too_many_items
from inference.imaging.series_reader import read_headers
from storage.domain.study import StoredInstance
from storage.objects.part10 import data_set_offset
from tests.fuzz.hostile_images import UID_OF_IMAGES, image
from tests.peers.compressed import ENCODINGS, compress, picture
from tests.peers.synthetic_series import as_kept, kept, slice_headers

_ENDLESS = struct.pack("<L", 2**32 - 1)
_SEQUENCE = struct.pack("<HH2sH", 0x0008, 0x1140, b"SQ", 0)
_HIDDEN = struct.pack("<HH2sH", 0x0009, 0x1001, b"UN", 0)
_ITEM = b"\xfe\xff\x00\xe0"
_CLOSED = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _ending(instance: StoredInstance) -> str:
    try:
        (header,) = read_headers([instance])
        values = ImageValues({instance.header.sop_instance_uid: instance}).of(header)
    except UnusableInput as fault:
        return fault.reason.code
    assert np.isfinite(values).all()
    return "read"


def _before_the_image(folder: Path, elements: bytes, *, deflated: bool = False) -> StoredInstance:
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], folder)
    content = instance.path.read_bytes()
    start = data_set_offset(content)
    data_set = elements + content[start:]
    if deflated:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        data_set = packer.compress(data_set) + packer.flush()
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    instance.path.write_bytes(content[:start] + data_set)
    return as_kept(ds, instance.path)


@pytest.mark.parametrize("depth", [50, 200, 1000, 20_000])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
@pytest.mark.parametrize("head", [_SEQUENCE, _HIDDEN], ids=["SQ", "UN"])
def test_nesting_ends_with_a_reason(tmp_path: Path, depth: int, closed: bool, head: bytes) -> None:
    """T5: sequences in sequences without lengths neither end the process nor are read beyond what Python bears."""
    level = head + _ENDLESS + _ITEM + _ENDLESS

    ending = _ending(_before_the_image(tmp_path, level * depth + _CLOSED * depth * closed))

    assert ending in ({"read", "unreadable"} if closed and depth == 50 else {"unreadable", "no-pixel-data"})


def test_nesting_with_lengths_and_many_private_creators_are_read_past(tmp_path: Path) -> None:
    """T5: what is stepped over by its length costs nothing, and 50,000 private creators are only elements."""
    nested = b""
    for _ in range(2000):
        nested = _SEQUENCE + struct.pack("<L", len(nested) + 8) + _ITEM + struct.pack("<L", len(nested)) + nested
    creators = b"".join(
        struct.pack("<HH2sH2s", 9 + 2 * (n // 240), 16 + n % 240, b"LO", 2, b"T ") for n in range(50_000)
    )

    assert _ending(_before_the_image(tmp_path, nested)) == "read"
    assert _ending(_before_the_image(tmp_path, creators)) in {"read", "unreadable"}


_A_MILLION_ITEMS = (_ITEM + bytes(4)) * 1_000_000


@pytest.mark.parametrize(
    "elements",
    [
        _SEQUENCE + _ENDLESS + _A_MILLION_ITEMS + b"\xfe\xff\xdd\xe0\0\0\0\0",
        _SEQUENCE + struct.pack("<L", len(_A_MILLION_ITEMS)) + _A_MILLION_ITEMS,
        _HIDDEN + _ENDLESS + _A_MILLION_ITEMS + b"\xfe\xff\xdd\xe0\0\0\0\0",
        _SEQUENCE + _ENDLESS + _ITEM + _ENDLESS + _SEQUENCE + _ENDLESS + _A_MILLION_ITEMS + _CLOSED[8:] + _CLOSED,
    ],
    ids=["without length", "with length", "as UN", "in an item"],
)
@pytest.mark.parametrize("deflated", [False, True], ids=["plain", "deflated"])
def test_a_million_empty_items_are_refused_before_the_header_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elements: bytes, deflated: bool
) -> None:
    """T5: pydicom would take 40 seconds for them, so it does not see them."""
    instance = _before_the_image(tmp_path, elements, deflated=deflated)

    def never(*_: object, stop_before_pixels: bool, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(series_reader, "read_meta", lambda _: instance_meta(deflated))
    for reader in (series_reader, deflated_reader):
        monkeypatch.setattr(reader, "dcmread", never)

    with pytest.raises(UnusableInput, match="sequence items") as fault:
        read_headers([instance])

    assert fault.value.reason.code == "unreadable"


def instance_meta(deflated: bool) -> FileMetaDataset:
    """What the file meta information says."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    return meta


def test_the_items_of_20000_frames_are_read(tmp_path: Path) -> None:
    """T5: as many frames as we take, with some items each, are no attack; what is refused here is refused later."""
    refuse_too_many_items((_ITEM + bytes(4)) * MOST_ITEMS)
    items = (_ITEM + bytes(4)) * 20_000

    instance = _before_the_image(tmp_path, _SEQUENCE + _ENDLESS + items + b"\xfe\xff\xdd\xe0\0\0\0\0")

    assert _ending(instance) == "read"


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "rle"])
@pytest.mark.parametrize("honest", [True, False], ids=["header agrees", "header is small"])
def test_a_codestream_that_claims_900_megapixels_is_not_decoded(tmp_path: Path, name: str, honest: bool) -> None:
    """T8: the budget is counted from the header, and a codestream of another size than the header's is refused."""
    (ds,) = slice_headers(count=1)
    pixels = picture((64, 64), 8 if name == "jpeg-baseline" else 12)
    compress(ds, name, [pixels])
    encoded = ENCODINGS[name][1](pixels)
    for kind in (">HH", ">LL"):
        encoded = encoded.replace(struct.pack(kind, 64, 64), struct.pack(kind, 30_000, 30_000))
    assert encoded != ENCODINGS[name][1](pixels)
    ds.PixelData = encapsulate([encoded])
    if honest:
        ds.Rows = ds.Columns = 30_000

    assert _ending(kept([ds], tmp_path)[0]) == ("too-many-pixels" if honest else "undecodable-pixel-data")


def test_run_lengths_that_claim_more_or_less_than_the_header_are_refused(tmp_path: Path) -> None:
    """T8: a segment of repeats beyond the frame, one that is short, and offsets outside of the frame."""
    header = struct.pack("<16L", 2, 64, 66, *[0] * 13)
    for number, content in enumerate(
        (
            header + b"\x81\x00" * 5000,
            header + b"\x81\x00" * 2,
            struct.pack("<16L", 2, 2**31, 2**32 - 1, *[0] * 13) + bytes(64),
            struct.pack("<16L", 2**32 - 1, *[64] * 15) + bytes(64),
        )
    ):
        (ds,) = slice_headers(count=1)
        compress(ds, "rle", [picture()])
        ds.PixelData = encapsulate([content])
        folder = tmp_path / str(number)
        folder.mkdir()

        assert _ending(kept([ds], folder)[0]) == "undecodable-pixel-data"


@pytest.mark.parametrize("name", ["implicit", "explicit", "big-endian", "deflated", *ENCODINGS])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not recorded"])
def test_an_image_that_arrived_cut_off_is_never_taken_for_a_whole_one(
    tmp_path: Path, name: str, share: float, recorded: bool
) -> None:
    """T9: whatever part arrived of whatever kind of image, it has a reason and no values."""
    (ds,) = slice_headers(count=1)
    (instance,) = kept([ds], tmp_path)
    content = image(name)
    start = data_set_offset(content)
    instance.path.write_bytes(content[: start + int((len(content) - start) * share)])
    syntax = {"implicit": "1.2.840.10008.1.2", "big-endian": "1.2.840.10008.1.2.2"}
    ds.SOPInstanceUID = UID_OF_IMAGES
    ds.file_meta.TransferSyntaxUID = syntax.get(name) or _syntax_of(content)
    arrived = as_kept(ds, instance.path)

    ending = _ending(arrived if recorded else replace(arrived, image=None))

    assert ending in {"unreadable", "no-pixel-data", "short-pixel-data", "undecodable-pixel-data"}


def _syntax_of(content: bytes) -> str:
    at = content.index(b"\x02\x00\x10\x00UI")
    return content[at + 8 : at + 8 + content[at + 6]].rstrip(b"\0").decode()
