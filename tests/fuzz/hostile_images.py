"""Mutated and hostile images, made of a seed, on their way into a volume: each is loaded or ends with a reason.

``python -m tests.fuzz.hostile_images [--count N] [--seed N]`` makes a series of each image with sound neighbours, and
reads headers, orders, decodes and rescales it in this process, which must not die, hang or grow. What it prints is how
many ended how; the exit status is 1 when one ended otherwise, and the image is kept beside its name.
"""

import argparse
import hashlib
import io
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from inference.decoding.pool import shared
from inference.errors import UnusableInput
from inference.imaging.series_reader import read_headers
from inference.imaging.volume import load_volume
from storage.domain.image_record import image_record
from storage.domain.study import StoredInstance
from storage.errors import DamagedObject
from storage.objects.part10 import data_set_offset
from tests.peers.compressed import ENCODINGS, compress, picture
from tests.peers.synthetic_series import kept, slice_headers, with_pixels

NATIVE = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big-endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
}
SYNTAXES = [*NATIVE, *ENCODINGS]
_SIZE = (48, 40)
UID_OF_IMAGES = "1.2.3.4.5.6.7"
_SECONDS = 60  # for one image, on a machine that does other things too
_MEMORY = 1536 * 1024  # kB that this process may have had at its peak

Hostile = tuple[str, bytes]  # a name that says what was done, and a Part 10 file
Mutation = Callable[[random.Random, str], bytes]


class _TooSlow(BaseException):
    """One image took too long; not an Exception, so that no boundary takes it for its own."""


def image(name: str, edit: Callable[[Dataset], None] = lambda ds: None, size: tuple[int, int] = _SIZE) -> bytes:
    """A good image in a transfer syntax, changed by ``edit`` before it is written."""
    (ds,) = slice_headers(count=1, size=size)
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = UID_OF_IMAGES, "1.2.8", "1.2.9"
    pixels = picture(size, 8 if name == "jpeg-baseline" else 12)
    if name in NATIVE:
        order = ">u2" if name == "big-endian" else "<u2"
        ds.PixelData = pixels.astype(order).tobytes()
        ds.BitsStored, ds.HighBit = 12, 11
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID(NATIVE[name])
    else:
        compress(ds, name, [pixels])
    edit(ds)
    return written(ds)


def written(ds: Dataset) -> bytes:
    """A data set as a Part 10 file."""
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _flip(rng: random.Random, content: bytes, first: int, last: int) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        changed[rng.randrange(first, max(first + 1, last))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _pixels_at(content: bytes) -> int:
    at = content.rfind(b"\xe0\x7f\x10\x00")
    return at if at > 0 else len(content) * 2 // 3  # big endian or deflated: somewhere behind


def flipped_pixels(rng: random.Random, name: str) -> bytes:
    """Bits of the pixel data, of the capsule or of a codestream's head."""
    content = image(name)
    start = _pixels_at(content)
    return _flip(rng, content, start, min(len(content), start + rng.choice((60, 200, 100_000))))


def flipped_header(rng: random.Random, name: str) -> bytes:
    """Bits of the elements before the pixels, or of the file meta information."""
    content = image(name)
    return _flip(rng, content, rng.choice((0, 128, data_set_offset(content))), _pixels_at(content))


def cut(rng: random.Random, name: str) -> bytes:
    """The file ends early."""
    content = image(name)
    return content[: rng.choice((1, len(content) // 2, len(content) - 1, rng.randrange(len(content))))]


def wrong_length(rng: random.Random, name: str) -> bytes:
    """Four bytes anywhere are a length that cannot be."""
    content = bytearray(image(name))
    at = rng.randrange(data_set_offset(bytes(content)), len(content) - 4)
    if rng.random() < 0.5:
        at = _pixels_at(bytes(content)) + rng.choice((4, 8, 12, 16, 20, 24))
    content[at : at + 4] = struct.pack("<L", rng.choice((0, 1, 7, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)))
    return bytes(content)


_FORMAT_ATTRIBUTES = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
)


def wrong_format(rng: random.Random, name: str) -> bytes:
    """The header says another size or format than the pixels have."""

    def edit(ds: Dataset) -> None:
        for keyword in rng.sample(_FORMAT_ATTRIBUTES, rng.choice((1, 1, 2))):
            if rng.random() < 0.15:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, rng.choice((0, 1, 2, 3, 7, 8, 12, 16, 32, 64, 39, 41, 47, 4096, 65535)))
        if rng.random() < 0.2:
            ds.PhotometricInterpretation = rng.choice(("RGB", "PALETTE COLOR", "YBR_FULL_422", "", "MONOCHROME1"))

    return image(name, edit)


def lying_frames(rng: random.Random, name: str) -> bytes:
    """Number of Frames is not that of the frames."""
    content = image(name, lambda ds: setattr(ds, "NumberOfFrames", "7777777777"))
    lie = rng.choice((b"0", b"-1", b"2", b"3", b"2147483647", b"9999999999", b"abc", b"1e9", b"1\\2", b"nan", b""))
    return content.replace(b"7777777777", lie.ljust(10))


def bomb(rng: random.Random, name: str) -> bytes:
    """Little on disk, much in memory: the codestream, the header, or both claim it."""
    kind = rng.randrange(3)
    if name in NATIVE or kind == 0:
        rows, columns = rng.choice(((65535, 65535), (30000, 30000), (65535, 2)))
        content = image(name, lambda ds: (setattr(ds, "Rows", rows), setattr(ds, "Columns", columns)))
        if name == "deflated":
            (ds,) = (dcmread(io.BytesIO(image("explicit"))),)
            ds.file_meta.TransferSyntaxUID = UID(NATIVE["deflated"])
            ds.PixelData = bytes(rng.choice((1, 48)) * 2**20)
            content = written(ds)
        return content
    side = 3000 if kind == 1 else 700
    pixels = np.zeros((side, side), np.uint8 if name == "jpeg-baseline" else np.uint16)

    def edit(ds: Dataset) -> None:
        encoded = ENCODINGS[name][1](pixels)
        if kind == 2:
            claimed = rng.choice((9000, 20000, 65535))
            encoded = encoded.replace(struct.pack(">HH", side, side), struct.pack(">HH", claimed, claimed))
            encoded = encoded.replace(struct.pack(">LL", side, side), struct.pack(">LL", claimed, claimed))
            ds.Rows = ds.Columns = claimed
            if rng.random() < 0.5:
                ds.Rows = 64
        ds.PixelData = encapsulate([encoded])

    return image(name, edit)


def _item(content: bytes, length: int | None = None) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content) if length is None else length) + content


def capsule(rng: random.Random, name: str) -> bytes:
    """Fragments that are missing, empty, too many, of no length, or no fragments at all."""
    encoding = name if name in ENCODINGS else "rle"
    good = ENCODINGS[encoding][1](picture(_SIZE, 8 if encoding == "jpeg-baseline" else 12))
    good += b"\0" * (len(good) % 2)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0"
    value = rng.choice(
        (
            b"",
            end,
            _item(b""),
            _item(b"") + end,
            _item(good) + end,
            _item(b"") + _item(b"") + end,
            _item(b"") + _item(good),
            _item(b"") + _item(good, 2**32 - 1) + end,
            _item(b"") + _item(good, len(good) * 2) + end,
            _item(struct.pack("<L", 2**31)) + _item(good) + end,
            _item(struct.pack("<3L", 8, 4, 0)) + _item(good) + end,
            _item(b"") + _item(b"") * 50_000 + _item(good) + end,
            _item(b"") + b"".join(_item(good[at : at + 2]) for at in range(0, len(good), 2)) + end,
            _item(b"") + _item(b"\0" * 64) + end,
            good,
            b"\0" * 1000,
        )
    )
    content = image(encoding)
    return content[: _pixels_at(content) + 12] + value


_ODD_NUMBERS = (
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "0",
    "-1",
    "1e300",
    "1e-300",
    "",
    "x",
    "9" * 400,
    "1\\2\\3\\4",
    "1e5" * 9,
)
_DECIMALS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")


def odd_numbers(rng: random.Random, name: str) -> bytes:
    """Decimal strings that are no numbers, or none that a place or a value can have."""
    keyword, odd = rng.choice(_DECIMALS), rng.choice(_ODD_NUMBERS)
    counts = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    parts = ["1"] * counts.get(keyword, 1)
    parts[rng.randrange(len(parts))] = odd
    return _with_decimal(name, keyword, "\\".join(parts))


def huge_text(rng: random.Random, name: str) -> bytes:
    """A decimal string of up to 60 kB, or in implicit VR of megabytes."""
    size = rng.choice((1000, 60_000, 2**21)) if name == "implicit" else rng.choice((1000, 60_000))
    piece = rng.choice(("1", "1\\", "9.", "-"))
    return _with_decimal(name, rng.choice(_DECIMALS), piece * (size // len(piece)))


def _with_decimal(name: str, keyword: str, text: str) -> bytes:
    """The element is put before the pixels as it is, because no toolkit would write it."""
    name = "explicit" if name == "deflated" else name
    content = image(name, lambda ds: ds.pop(keyword, None))
    order = ">" if name == "big-endian" else "<"
    value = text.encode() + b" " * (len(text) % 2)
    element = struct.pack(order + "HH", *divmod(tag_for_keyword(keyword) or 0, 0x10000))
    if name == "implicit":
        element += struct.pack("<L", len(value))
    else:
        element += b"DS" + struct.pack(order + "H", len(value))
    at = content.rfind(struct.pack(order + "HH", 0x7FE0, 0x10))
    return content[:at] + element + value + content[at:]


def nesting(rng: random.Random, name: str) -> bytes:
    """Sequences as deep or as long as nobody needs, with and without lengths, declared or hidden in UN."""
    depth, kind = rng.choice((50, 200, 1000, 20_000)), rng.randrange(5)
    sequence = struct.pack("<HH", 0x0008, 0x1140) + rng.choice((b"SQ", b"UN")) + b"\0\0"
    endless = struct.pack("<L", 2**32 - 1)
    if kind == 0:  # without lengths, closed or not
        content = (sequence + endless + b"\xfe\xff\x00\xe0" + endless) * depth
        if rng.random() < 0.5:
            content += (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * depth
    elif kind == 1:  # with lengths
        content = b""
        for _ in range(min(depth, 2000)):
            content = sequence + struct.pack("<L", len(content) + 8) + _item(content)
    elif kind == 2:  # items of nothing
        items = _item(b"") * rng.choice((1000, 100_000, 1_000_000))
        content = sequence + endless + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    elif kind == 3:  # an item in an item
        content = sequence + endless + (b"\xfe\xff\x00\xe0" + endless) * depth
    else:  # private creators
        content = b"".join(
            struct.pack("<HH", 9 + 2 * (at // 240), 0x10 + at % 240) + b"LO\2\0T "
            for at in range(rng.choice((240, 50_000)))
        )
    good = image("explicit" if name in NATIVE else name)
    start = data_set_offset(good)
    if kind == 4:
        return good[: _pixels_at(good)] + content + good[_pixels_at(good) :]
    return good[:start] + content + good[start:]


def broken_file(rng: random.Random, name: str) -> bytes:
    """No Part 10 file: nothing, noise, or file meta information that lies."""
    good = image(name)
    return rng.choice(
        (
            b"",
            rng.randbytes(500),
            bytes(128) + b"DICM",
            good[:140] + struct.pack("<L", 2**32 - 1) + good[144:],
            good[:140] + struct.pack("<L", 0) + good[144:],
            good[data_set_offset(good) :],
            good.replace(b"1.2.840.10008.1.2.", b"1.2.840.10008.9.9."),
            good + rng.randbytes(4000),
        )
    )


def lut(rng: random.Random, name: str) -> bytes:
    """A Modality LUT with too few entries, of an odd width, or of nothing."""

    def edit(ds: Dataset) -> None:
        item = Dataset()
        item.add_new(
            "LUTDescriptor", "US", rng.choice(([4, 0, 16], [0, 0, 16], [65535, 0, 16], [4, 65535, 8], [4, 0, 99]))
        )
        item.add_new("LUTData", "OW", bytes(rng.choice((0, 2, 4, 8, 131072))))
        ds.ModalityLUTSequence = rng.choice(([item], [item, item], [Dataset()]))

    return image(name, edit)


def deflate(rng: random.Random, name: str) -> bytes:
    """Deflate streams that end early, go on, or become far more than they are."""
    good = image("deflated")
    start = data_set_offset(good)
    inflated = zlib.decompress(good[start:], -zlib.MAX_WBITS)
    head = inflated[: inflated.find(b"\xe0\x7f\x10\x00")]
    blown = head + struct.pack("<HH2sHL", 9, 0x1001, b"OB", 0, 64 * 2**20) + bytes(64 * 2**20) + inflated[len(head) :]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return rng.choice(
        (
            lambda: good[:start] + good[start:-5],
            lambda: good + b"\0" * 100_000,
            lambda: _flip(rng, good, start, len(good)),
            lambda: good[:start] + packer.compress(blown) + packer.flush(),
            lambda: good[:start] + inflated,
        )
    )()


MUTATIONS: tuple[Mutation, ...] = (
    *(flipped_pixels, flipped_pixels, flipped_header, cut, wrong_length, wrong_format, lying_frames, bomb, capsule),
    *(odd_numbers, huge_text, nesting, broken_file, lut, deflate),
)


def hostile(count: int, seed: int) -> Iterator[Hostile]:
    """So many images; each mutation meets each transfer syntax in turn, and every call gives the same ones."""
    for number in range(count):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        name = SYNTAXES[number % len(SYNTAXES)]  # as many as mutations and one more, so that all pairs are met
        rng = random.Random(f"{seed} {number}")
        yield f"{number:04d}-{mutation.__name__}-{name}", mutation(rng, name)


def _stored(content: bytes, path: Path, like: StoredInstance) -> StoredInstance:
    """The image as the importer leaves it: whatever it is, its bytes are those that arrived."""
    path.write_bytes(content)
    try:
        start = data_set_offset(content)
    except DamagedObject:
        start = min(len(content), 144 + int.from_bytes(content[140:144], "little"))
    data_set = content[start:]
    record = image_record(data_set, _syntax(content))
    header = like.header.__class__(
        *(like.header.sop_class_uid, UID_OF_IMAGES, like.header.study_instance_uid, like.header.series_instance_uid),
        _syntax(content),
    )
    return StoredInstance(header, path, hashlib.sha256(data_set).hexdigest(), len(data_set), record)


def _syntax(content: bytes) -> str:
    at = content.find(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    return content[at + 8 : at + 8 + length].rstrip(b"\0").decode("latin-1") if at > 0 else ""


def ending(content: bytes, folder: Path, neighbours: list[StoredInstance]) -> str:
    """How the image ends: ``loaded``, or the code of its reason, alone as an image and as a slice of a series."""
    instance = _stored(content, folder / "hostile.dcm", neighbours[0])
    try:
        headers = read_headers([instance])
        by_uid = {instance.header.sop_instance_uid: instance} | {one.header.sop_instance_uid: one for one in neighbours}
        for header in headers:  # the importer knows the UID; a flipped one would have been set aside
            header.SOPInstanceUID = instance.header.sop_instance_uid
        load_volume(by_uid, [*headers, *read_headers(neighbours)])
    except UnusableInput as fault:
        return fault.reason.code
    return "loaded"


def neighbours_in(folder: Path) -> list[StoredInstance]:
    """Sound slices beside the first one, which is the hostile one's place."""
    headers = slice_headers(count=4, size=_SIZE, edit=lambda _, ds: setattr(ds, "FrameOfReferenceUID", "1.2.9"))
    return kept(with_pixels(headers[1:], np.zeros((3, *_SIZE))), folder)


def _alarm(_: int, __: FrameType | None) -> None:
    raise _TooSlow


def main() -> int:
    """Load them all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=960)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()))
    asked = options.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _alarm)
    endings: Counter[str] = Counter()
    escaped, slowest = [], (0.0, "")
    with tempfile.TemporaryDirectory(prefix="overread-hostile-") as name:
        folder = Path(name)
        neighbours = neighbours_in(folder)
        for what, content in hostile(asked.count, asked.seed):
            began = time.monotonic()
            signal.alarm(_SECONDS)
            try:
                endings[ending(content, folder, neighbours)] += 1
            except (Exception, _TooSlow) as error:  # noqa: BLE001 - to find these is what it is for
                escaped.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
                (asked.keep / f"{what}.dcm").write_bytes(content)
            finally:
                signal.alarm(0)
            slowest = max(slowest, (time.monotonic() - began, what))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for code, count in endings.most_common():
        print(f"{count:5d} {code}")
    print(f"children lost: {shared().lost}; peak memory: {peak // 1024} MiB; slowest: {slowest[0]:.1f} s {slowest[1]}")
    for line in escaped:
        print(f"ESCAPED {line}")
    if peak > _MEMORY:
        print("TOO MUCH MEMORY")
    print(f"{sum(endings.values())} of {asked.count} ended with a reason or were loaded")
    return 0 if not escaped and peak <= _MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
