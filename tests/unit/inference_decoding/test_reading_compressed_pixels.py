"""Compressed images give the numbers that were put in, decoded in processes that may be lost."""

import os
import re
import signal
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from inference.decoding import child, pool
from inference.decoding.pool import DecodingPool
from inference.errors import DecodersUnavailable, UnusableInput
from inference.imaging.frame_reader import ImageValues
from inference.imaging.pixel_format import PixelFormat
from inference.imaging.series_reader import read_headers
from inference.imaging.volume import load_volume
from storage.domain.study import StoredInstance
from tests.peers.compressed import ENCODINGS, compress, picture
from tests.peers.synthetic_series import as_kept, kept, slice_headers

RLE = UID("1.2.840.10008.1.2.5")
FORM = PixelFormat(40, 52, 16, 12, 11, False)
GOOD = ENCODINGS["rle"][1](picture())


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecodingPool]:
    """A pool as a reader has it."""
    made = DecodingPool()
    yield made
    made.close()


def _values(instance: StoredInstance, decoders: DecodingPool) -> np.ndarray:
    (header,) = read_headers([instance])
    return ImageValues({instance.header.sop_instance_uid: instance}, lambda: decoders).of(header)


def _fault(instance: StoredInstance, decoders: DecodingPool) -> str:
    with pytest.raises(UnusableInput) as fault:
        _values(instance, decoders)
    return fault.value.reason.code


def _compressed(name: str, folder: Path, bits: int = 12) -> tuple[StoredInstance, Dataset, np.ndarray]:
    (ds,) = slice_headers(count=1)
    pixels = picture(bits=bits)
    compress(ds, name, [pixels])
    (instance,) = kept([ds], folder)
    return instance, ds, pixels


@pytest.mark.parametrize(
    ("name", "bits"), [(name, bits) for name in ENCODINGS for bits in (8, 12) if (name, bits) != ("jpeg-baseline", 12)]
)
def test_every_encoding_gives_what_was_encoded(tmp_path: Path, decoders: DecodingPool, name: str, bits: int) -> None:
    """Lossless ones exactly; the others within what their quality costs."""
    instance, _, pixels = _compressed(name, tmp_path, bits)

    found = _values(instance, decoders)

    assert np.abs(found - pixels).max() <= ENCODINGS[name][2]


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        *("JPEG2000.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "JPEGLSNearLossless_16.dcm"),
        *("JPEGLSNearLossless_08.dcm", "JPEG-lossy.dcm", "rtdose_rle.dcm"),
    ],
)
def test_files_of_others_read_as_their_uncompressed_twins_or_as_elsewhere(
    tmp_path: Path, decoders: DecodingPool, name: str
) -> None:
    """Files that other toolkits wrote, signed ones and multi-frame ones among them."""
    path, instance = _file_of_others(name, tmp_path)
    headers = read_headers([instance])
    images = ImageValues({instance.header.sop_instance_uid: instance}, lambda: decoders)

    found = np.stack([images.of(header) for header in headers])

    expected = _expected(path, name)
    if expected is not None:
        slope, intercept = float(headers[0].get("RescaleSlope", 1)), float(headers[0].get("RescaleIntercept", 0))
        assert (found == (expected.reshape(found.shape) * slope + intercept).astype(np.float32)).all()
    assert found.std() > 0


def _file_of_others(name: str, folder: Path) -> tuple[str, StoredInstance]:
    path = get_testdata_file(name, download=False)
    assert path is not None
    ds = dcmread(path)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber, ds.Modality, ds.PatientID = "1.2", "1.3", 1, "MR", "P1"
    ds.save_as(folder / "image.dcm", enforce_file_format=True)
    return path, as_kept(ds, folder / "image.dcm")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(("SC_rgb_dcmtk_+eb+cr.dcm", 0), ("SC_rgb_dcmtk_+eb+cy+n1.dcm", 9), ("SC_rgb_dcmtk_+eb+cy+s2.dcm", 2)),
        *(("SC_jpeg_no_color_transform_2.dcm", 0), ("SC_rgb_jpeg_app14_dcmd.dcm", 0), ("SC_rgb_rle_16bit.dcm", 0)),
        *(("SC_rgb_gdcm_KY.dcm", 0), ("SC_rgb_jls_lossy_sample.dcm", 0), ("examples_jpeg2k.dcm", 0)),
    ],
)
def test_the_luminance_of_colours_is_that_of_the_colours_that_others_see(
    tmp_path: Path, decoders: DecodingPool, name: str, most: float
) -> None:
    """RGB, YBR_FULL, YBR_FULL_422 and YBR_RCT: the weights of BT.601 on pydicom's red, green and blue.

    YBR holds colours beyond what red, green and blue can show, which are cut off there and keep their Y here.
    """
    path, instance = _file_of_others(name, tmp_path)

    found = _values(instance, decoders)

    seen = pixel_array(path, raw=False).astype(np.float64)
    expected = seen @ [0.299, 0.587, 0.114] / (257 if "16bit" in name else 1)
    assert found.std() > 1
    assert np.abs(found - expected).max() <= most + 1e-3


def test_a_jpeg_may_say_that_its_rgb_is_stored_as_ycbcr(tmp_path: Path, decoders: DecodingPool) -> None:
    """As some cameras' writers do it: Photometric Interpretation RGB, and Adobe's segment with a transform."""
    (ds,) = slice_headers(count=1)
    colours = np.stack([picture(bits=8, seed=seed) for seed in range(3)], axis=-1)
    encoded = imagecodecs.jpeg8_encode(colours, level=98, colorspace="RGB", outcolorspace="YCBCR")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    compress(ds, "jpeg-baseline", [picture(bits=8)])
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.PixelData = encapsulate([encoded[:2] + adobe + encoded[2:]])
    (instance,) = kept([ds], tmp_path)

    found = _values(instance, decoders)

    assert np.abs(found - colours @ [0.299, 0.587, 0.114]).mean() < 3


def test_colours_in_a_lossless_jpeg_are_kept(tmp_path: Path, decoders: DecodingPool) -> None:
    """Process 14 with three components, which say that they are red, green and blue."""
    (ds,) = slice_headers(count=1)
    colours = np.stack([picture(bits=8, seed=seed) for seed in range(3)], axis=-1)
    encoded = imagecodecs.jpeg8_encode(colours, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")
    compress(ds, "jpeg-lossless-sv1", [picture(bits=8)])
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.PixelData = encapsulate([encoded])
    (instance,) = kept([ds], tmp_path)

    found = _values(instance, decoders)

    assert np.abs(found - colours @ [0.299, 0.587, 0.114]).max() < 1e-3


def _expected(path: str, name: str) -> np.ndarray | None:
    """What the uncompressed twin of a file holds, or what pydicom makes of the file itself, if it can."""
    twin = next((stem for stem in ("MR_small", "emri_small") if name.startswith(stem)), None)
    source = get_testdata_file(f"{twin}.dcm", download=False) if twin else path
    try:
        return dcmread(source).pixel_array
    except (RuntimeError, NotImplementedError):
        return None


def test_a_series_is_decoded_into_one_volume(tmp_path: Path, decoders: DecodingPool) -> None:
    """Slices stand where they belong whichever child had them, recorded at import or not."""
    pictures = [picture(seed=number) for number in range(12)]
    datasets = slice_headers(count=12)
    for ds, pixels in zip(datasets, pictures, strict=True):
        compress(ds, "jpeg-ls", [pixels])
    instances = kept(datasets, tmp_path)
    by_uid = {one.header.sop_instance_uid: one for one in instances}

    volume = load_volume(by_uid, read_headers(instances))

    assert (volume.values == np.stack(pictures)).all()


def test_signed_values_are_signed_again(tmp_path: Path, decoders: DecodingPool) -> None:
    """12 bits in two's complement travel through a codec that knows unsigned numbers."""
    pixels = picture().astype(np.int16) - 2048
    (ds,) = slice_headers(count=1)
    compress(ds, "jpeg-lossless", [(pixels & 0xFFF).astype(np.uint16)])
    ds.PixelRepresentation = 1
    (instance,) = kept([ds], tmp_path)

    assert (_values(instance, decoders) == pixels).all()


def test_a_frame_in_several_fragments_is_put_together(tmp_path: Path, decoders: DecodingPool) -> None:
    """An encoder may cut a frame anywhere (PS3.5 section A.4)."""
    (ds,) = slice_headers(count=1)
    compress(ds, "rle", [picture()])
    ds.PixelData = encapsulate([GOOD], fragments_per_frame=5)
    (instance,) = kept([ds], tmp_path)

    assert (_values(instance, decoders) == picture()).all()


@pytest.mark.parametrize("name", ["jpeg-lossless", "jpeg-ls", "jpeg-2000-lossless", "htj2k-lossless", "jpeg-extended"])
def test_a_codestream_of_another_size_is_not_decoded(tmp_path: Path, decoders: DecodingPool, name: str) -> None:
    """A small header over a large codestream costs the child no memory; the image is refused."""
    _, ds, _ = _compressed(name, tmp_path)
    compress(ds, name, [np.zeros((3000, 3000), np.uint16)])
    ds.Rows = ds.Columns = 16
    (instance,) = kept([ds], tmp_path)
    with decoders.decoded(RLE, FORM, GOOD):
        pass
    before = _peaks(decoders)

    assert _fault(instance, decoders) == "undecodable-pixel-data"
    assert max(_peaks(decoders).values()) - max(before.values()) < 9000 * 2  # kB; the pixels alone were 17,578


def _peaks(decoders: DecodingPool) -> dict[int, int]:
    """The most memory that each idle child ever had, in kB."""
    pids = [one._process.pid for one in decoders._idle]
    texts = {pid: (Path("/proc") / str(pid) / "status").read_text() for pid in pids}
    return {pid: int(text.split("VmHWM:")[1].split()[0]) for pid, text in texts.items()}


def test_a_frame_beyond_the_budget_is_refused_before_a_child_sees_it() -> None:
    """65,535 x 65,535 pixels are counted from the header; no child is started for them."""
    unused = DecodingPool()
    with pytest.raises(UnusableInput) as fault, unused.decoded(RLE, PixelFormat(65535, 65535, 16, 16, 15, False), GOOD):
        pass

    assert fault.value.reason.code == "too-many-pixels"
    assert unused._idle == []


def _end(process: int, how: signal.Signals) -> None:
    """Of a stopped process, which notices some signals only when it goes on."""
    os.kill(process, how)
    os.kill(process, signal.SIGCONT)


def _doomed(monkeypatch: pytest.MonkeyPatch, endings: Sequence[signal.Signals]) -> None:
    """Have the next children hang, and be ended from outside while they are waited for."""
    taken, left = DecodingPool._taken, iter(endings)

    def doomed(of: DecodingPool) -> pool._Child:
        one = taken(of)
        how = next(left, None)
        if how is not None:
            one._process.send_signal(signal.SIGSTOP)
        if how not in (None, signal.SIGSTOP):
            threading.Timer(0.3, _end, (one._process.pid, how)).start()
        return one

    monkeypatch.setattr(DecodingPool, "_taken", doomed)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_one_child_that_is_lost_costs_no_image(monkeypatch: pytest.MonkeyPatch, ending: signal.Signals) -> None:
    """Whatever signal ended it, a fresh child has the image once more."""
    made = DecodingPool(1)
    _doomed(monkeypatch, [ending])
    try:
        with made.decoded(RLE, FORM, GOOD) as samples:
            assert (samples == picture()).all()
        assert made.lost == 1
    finally:
        made.close()


def test_an_image_that_loses_two_children_is_refused_by_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence tells instance, series, step and both signals; the next image has a fresh child."""
    (ds,) = slice_headers(count=1)
    ds.InstanceNumber, ds.SeriesNumber = 12, 3
    compress(ds, "rle", [picture()])
    (instance,) = kept([ds], tmp_path)
    made = DecodingPool(1)
    _doomed(monkeypatch, [signal.SIGKILL, signal.SIGSEGV])
    try:
        with pytest.raises(UnusableInput) as fault:
            _values(instance, made)
        assert fault.value.reason.code == "undecodable-pixel-data"
        assert fault.value.reason.sentence == (
            "The Pixel Data of instance 12 of series 3, sent as RLE Lossless, cannot be decoded (in the step decode "
            "one process was ended by signal 9 (SIGKILL) and then another one was ended by signal 11 (SIGSEGV)); "
            "send it uncompressed."
        )
        assert made.lost == 2
        assert (_values(instance, made) == picture()).all()
    finally:
        made.close()


def test_two_images_may_each_lose_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss counts against the image at which it was, not against those that were asked for together with it."""
    pixels = picture((1000, 1000))
    frame = PixelFormat(1000, 1000, 16, 12, 11, False), ENCODINGS["jpeg-2000-lossless"][1](pixels)
    answer, doomed = pool._Child._answer, {0, 1}

    def killed(child: pool._Child, seconds: float) -> str:
        """A large image takes longer than the way from its predecessor's answer to this kill."""
        if child.frames and child.answered in doomed:
            doomed.remove(child.answered)
            os.kill(child._process.pid, signal.SIGKILL)
        return answer(child, seconds)

    monkeypatch.setattr(pool._Child, "_answer", killed)
    made = DecodingPool(1)
    try:
        with made.decoded_together(UID(ENCODINGS["jpeg-2000-lossless"][0]), [frame, frame]) as found:
            assert all((one == pixels).all() for one in found)
        assert made.lost == 2
        assert not doomed
    finally:
        made.close()


def test_frames_that_are_asked_for_together_lie_side_by_side(decoders: DecodingPool) -> None:
    """Frames of different sizes, in one request to one child, have each their own samples."""
    pictures = [picture((40 + 8 * number, 52), seed=number) for number in range(pool.FRAMES_TOGETHER)]
    frames = [(PixelFormat(*one.shape, 16, 12, 11, False), ENCODINGS["jpeg-ls"][1](one)) for one in pictures]

    with decoders.decoded_together(UID(ENCODINGS["jpeg-ls"][0]), frames) as found:
        assert all((one == other).all() for one, other in zip(found, pictures, strict=True))
    with decoders.decoded_together(UID(ENCODINGS["jpeg-ls"][0]), frames[::-1]) as found:
        assert all((one == other).all() for one, other in zip(found, pictures[::-1], strict=True))


def test_memory_that_was_enough_for_a_small_frame_grows_for_a_large_one() -> None:
    """The limit of the frame before is none for the memory of the next: 90 million pixels after two thousand."""
    made = DecodingPool(1)
    large = np.zeros((9000, 10_000), np.uint16)
    try:
        with made.decoded(RLE, FORM, GOOD):
            pass
        with made.decoded(
            UID(ENCODINGS["jpeg-ls"][0]), PixelFormat(9000, 10_000, 16, 12, 11, False), ENCODINGS["jpeg-ls"][1](large)
        ) as samples:
            assert not samples.any()
    finally:
        made.close()


def test_the_first_image_with_a_fault_is_the_one_that_is_told(tmp_path: Path, decoders: DecodingPool) -> None:
    """A damaged codestream before a file that is gone is what the fault says, though it is decoded after reading."""
    datasets = slice_headers(count=16)
    for number, ds in enumerate(datasets):
        compress(ds, "jpeg-ls", [picture(seed=number)])
    datasets[0].PixelData = encapsulate([b"\xff\xd8" + bytes(40)])
    instances = kept(datasets, tmp_path)
    headers = read_headers(instances)
    instances[1].path.unlink()
    images = ImageValues({one.header.sop_instance_uid: one for one in instances}, lambda: decoders)

    with pytest.raises(UnusableInput) as fault:
        images.fill(headers, np.empty((16, 40, 52), np.float32))

    assert fault.value.reason.code == "undecodable-pixel-data"


def test_a_child_that_hangs_is_ended() -> None:
    """One that was stopped costs its time by the clock; the image is decoded by a fresh one."""
    impatient = DecodingPool(1)
    try:
        with impatient.decoded(RLE, FORM, GOOD):
            pass
        impatient._idle[0]._process.send_signal(signal.SIGSTOP)
        impatient._seconds = 1.0
        with impatient.decoded(RLE, FORM, GOOD) as samples:
            assert (samples == picture()).all()
        assert impatient.lost == 1
    finally:
        impatient.close()


def test_an_image_at_which_two_children_hang_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told how long was waited, not the signal with which we ended them: for the first a third of the time."""
    impatient = DecodingPool(1, seconds=0.6)
    _doomed(monkeypatch, [signal.SIGSTOP, signal.SIGSTOP])
    try:
        with (
            pytest.raises(UnusableInput, match=r"within 0\.2 s and then .* within 0\.6 s") as fault,
            impatient.decoded(RLE, FORM, GOOD),
        ):
            pass
        assert "signal" not in fault.value.reason.sentence
        assert impatient.lost == 2
    finally:
        impatient.close()


def test_two_children_decode_at_a_time() -> None:
    """A second frame does not wait for the first, a third one does."""
    two = DecodingPool(2)
    try:
        with (
            two.decoded(RLE, FORM, GOOD) as first,
            two.decoded(RLE, FORM, ENCODINGS["rle"][1](picture(seed=1))) as second,
        ):
            assert (first == picture()).all()
            assert (second == picture(seed=1)).all()
            assert not two._places.acquire(blocking=False)
        assert len(two._idle) == 2
    finally:
        two.close()


def test_children_end_with_their_pool_and_outlive_threads() -> None:
    """The thread that asked first may end; the child lives on until the pool is closed."""
    made = DecodingPool(1)

    def ask() -> int:
        with made.decoded(RLE, FORM, GOOD):
            pass
        return int(made._idle[0]._process.pid)

    pids = []
    for _ in range(2):
        with ThreadPoolExecutor(1) as one:
            pids.append(one.submit(ask).result())
    assert len(set(pids)) == 1
    made.close()

    assert not (Path("/proc") / str(pids[0])).exists()


def test_the_child_has_little_to_lose(decoders: DecodingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, time, files and core dumps are limited, no privilege can be gained, no secret is in its environment."""
    monkeypatch.setenv("OVERREAD_SECRET", "canary")
    made = DecodingPool(1)
    with made.decoded(RLE, FORM, GOOD):
        pass
    folder = Path("/proc") / str(made._idle[0]._process.pid)
    limits = {line[:26].strip(): line[26:].split() for line in (folder / "limits").read_text().splitlines()[1:]}
    names = {each.partition("=")[0] for each in (folder / "environ").read_text().split("\0") if each}
    privileges = (folder / "status").read_text()
    made.close()

    assert int(limits["Max address space"][0]) < int(limits["Max address space"][1]) == child._MOST
    assert limits["Max file size"][0] == limits["Max core file size"][0] == "0"
    assert limits["Max cpu time"][0] != "unlimited"
    assert "NoNewPrivs:\t1" in privileges
    assert names <= {*pool._KEPT_VARIABLES, *pool._ENVIRONMENT, "LC_CTYPE"}


def test_a_child_that_is_lost_while_it_starts_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is started at once, and no image is counted as having lost it."""
    started = pool._started
    left = iter([True])

    def doomed(memory: int) -> "subprocess.Popen[bytes]":
        process = started(memory)
        if next(left, False):
            process.kill()
        return process

    monkeypatch.setattr(pool, "_started", doomed)
    made = DecodingPool(1)
    try:
        with made.decoded(RLE, FORM, GOOD) as samples:
            assert (samples == picture()).all()
        assert made.lost == 0
    finally:
        made.close()


def test_a_pool_that_cannot_start_a_child_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the image, so the job is tried again."""
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    made = DecodingPool(1)
    try:
        with pytest.raises(DecodersUnavailable), made.decoded(RLE, FORM, GOOD):
            pass
    finally:
        made.close()


def test_the_shared_memory_cannot_be_taken_away(decoders: DecodingPool) -> None:
    """A child that was taken over can neither shrink what we look at nor grow it beyond its limit."""
    with decoders.decoded(RLE, FORM, GOOD):
        pass
    memory = decoders._idle[-1]._memory

    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)


_DCMTK = {
    "lossless, first order": ["dcmcjpeg", "+e1"],
    "lossless, predictor 6": ["dcmcjpeg", "+el", "+sv", "6"],
    "JPEG-LS": ["dcmcjpls", "+el"],
    "RLE": ["dcmcrle"],
    "implicit": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "fragments": ["dcmcjpls", "+el", "+fs", "1"],
}


@pytest.mark.parametrize("how", _DCMTK)
@pytest.mark.parametrize("signed", [0, 1])
def test_what_dcmtk_encodes_is_read(tmp_path: Path, decoders: DecodingPool, how: str, signed: int) -> None:
    """Every form that DCMTK can give an image has the values of the original, negative ones too."""
    pixels = picture((80, 70)).astype(np.int32) - 2048 * signed
    (ds,) = slice_headers(count=1, size=(80, 70))
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, signed
    ds.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
    (plain,) = kept([ds], tmp_path)
    command, *options = _DCMTK[how]
    subprocess.run([command, *options, str(plain.path), str(tmp_path / "made.dcm")], check=True, capture_output=True)
    made = dcmread(tmp_path / "made.dcm")
    instance = as_kept(made, tmp_path / "made.dcm")

    assert made.file_meta.TransferSyntaxUID != ds.file_meta.TransferSyntaxUID
    assert (_values(instance, decoders) == pixels).all()


def test_a_child_that_died_without_a_frame_costs_none() -> None:
    """The system ends idle children first where memory is short: the next image is decoded by a fresh one."""
    pool_of_two = DecodingPool()
    try:
        with pool_of_two.decoded(RLE, FORM, GOOD), pool_of_two.decoded(RLE, FORM, GOOD):
            pass
        for one in pool_of_two._idle:
            os.kill(one._process.pid, signal.SIGKILL)
            os.waitid(os.P_PID, one._process.pid, os.WEXITED | os.WNOWAIT)
        with pool_of_two.decoded(RLE, FORM, GOOD) as samples:
            assert (samples == picture()).all()
    finally:
        pool_of_two.close()


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("kept_part", [0.5, 0.9])
def test_half_an_image_is_not_analysed_as_the_whole(
    tmp_path: Path, decoders: DecodingPool, name: str, kept_part: float
) -> None:
    """A frame that was cut off on its way is refused, whatever it was encoded with; some decoders would fill it up."""
    _, ds, _ = _compressed(name, tmp_path)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    ds.PixelData = encapsulate([frame[: int(len(frame) * kept_part) // 2 * 2]])
    (cut_off,) = kept([ds], tmp_path)

    assert _fault(cut_off, decoders) == "undecodable-pixel-data"


def test_what_stands_behind_the_end_of_a_codestream_does_not_matter(tmp_path: Path, decoders: DecodingPool) -> None:
    """Senders fill up frames in odd ways."""
    _, ds, pixels = _compressed("jpeg-lossless-sv1", tmp_path)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    ds.PixelData = encapsulate([frame + b"\xff\x00" * 40])
    (filled_up,) = kept([ds], tmp_path)

    assert (_values(filled_up, decoders) == pixels).all()


_CT = get_testdata_file("CT_small.dcm", download=False)
# Of the encodings that tell of lengths; those of JPEG do not, see docs/decisions/0022-decoding-for-analysis.md.
_TELLING = [name for name in ENCODINGS if not name.startswith("jpeg-") or name.startswith(("jpeg-ls", "jpeg-2000"))]


def _frame_of_ct(name: str) -> tuple[PixelFormat, np.ndarray, bytes]:
    """A real slice and its codestream."""
    pixels = np.clip(dcmread(str(_CT)).pixel_array, 0, 4095).astype(np.uint16)
    return PixelFormat(*pixels.shape, 16, 12, 11, False), pixels, ENCODINGS[name][1](pixels)


@pytest.mark.parametrize("name", _TELLING)
def test_a_slice_that_lost_bytes_in_the_middle_is_refused(decoders: DecodingPool, name: str) -> None:
    """One byte, fifty, or all up to the end: what is left ends as it should, and is no image."""
    form, pixels, good = _frame_of_ct(name)
    middle = len(good) // 2
    with decoders.decoded(UID(ENCODINGS[name][0]), form, good) as samples:
        assert np.abs(samples.astype(int) - pixels).max() <= ENCODINGS[name][2]

    for damaged in (good[:middle] + good[middle + gap :] for gap in (1, 50, middle - 2)):
        with (
            pytest.raises(UnusableInput, match="cannot be decoded") as fault,
            decoders.decoded(UID(ENCODINGS[name][0]), form, damaged),
        ):
            pass
        assert fault.value.reason.code == "undecodable-pixel-data"


@pytest.mark.parametrize("name", ["jpeg-baseline", "jpeg-extended", "jpeg-lossless", "jpeg-lossless-sv1"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
def test_a_jpeg_slice_that_lost_its_last_part_is_refused_though_it_has_an_end(
    decoders: DecodingPool, name: str, part: float
) -> None:
    """The decoder fills it up without a word, and what it fills up with depends on what stands behind the data."""
    form, pixels, _ = _frame_of_ct("jpeg-extended")
    if name == "jpeg-baseline":
        form, pixels = PixelFormat(*pixels.shape, 8, 8, 7, False), (pixels >> 4).astype(np.uint8)
    good = ENCODINGS[name][1](pixels)
    syntax = UID(ENCODINGS[name][0])
    with decoders.decoded(syntax, form, good) as samples:
        assert np.abs(samples.astype(int) - pixels).max() <= ENCODINGS[name][2]

    with pytest.raises(UnusableInput), decoders.decoded(syntax, form, good[: int(len(good) * part)] + b"\xff\xd9"):
        pass


def _dcmtk_complains(name: str, frame: bytes, pixels: np.ndarray, folder: Path) -> bool:
    """Whether DCMTK, decoding this frame, warns of what it fills up or passes over, or cannot decode it."""
    (ds,) = slice_headers(count=1)
    compress(ds, name, [np.zeros_like(pixels)])
    if name.startswith("jpeg-lossless") and pixels.itemsize == 2:
        ds.BitsStored, ds.HighBit = 16, 15
    ds.PixelData = encapsulate([frame])
    (kept_file,) = kept([ds], folder)
    command = ["dcmdjpeg", str(kept_file.path), str(folder / "plain.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode != 0 or bool(re.search("corrupt|premature|extraneous", done.stderr, re.IGNORECASE))


_JPEG_KINDS = {
    "extended": ("jpeg-extended", 12, {"level": 90}),
    "baseline": ("jpeg-baseline", 8, {"level": 75}),
    "baseline of the best quality": ("jpeg-baseline", 8, {"level": 100, "optimize": True}),
    "lossless, predictor 1": ("jpeg-lossless-sv1", 16, {"lossless": True, "predictor": 1}),
    "lossless, predictor 6": ("jpeg-lossless", 16, {"lossless": True, "predictor": 6}),
}


@pytest.mark.parametrize("kind", _JPEG_KINDS)
def test_a_jpeg_of_which_dcmtk_complains_is_refused(tmp_path: Path, decoders: DecodingPool, kind: str) -> None:
    """Bytes are missing in its middle, and those left are too few or too many for its image; a sound one is read."""
    name, bits, options = _JPEG_KINDS[kind]
    form, pixels, _ = _frame_of_ct("jpeg-extended")
    if bits == 8:
        form, pixels = PixelFormat(*pixels.shape, 8, 8, 7, False), (pixels >> 4).astype(np.uint8)
    good = imagecodecs.jpeg8_encode(pixels, bitspersample=bits, **options)
    gaps = [(place * len(good) // 20, gap) for place in range(5, 15, 2) for gap in (3, 50)]
    complaints = 0
    for number, (start, gap) in enumerate([(0, 0), *gaps]):
        frame, folder = good[:start] + good[start + gap :], tmp_path / str(number)
        folder.mkdir()
        refused = True
        with suppress(UnusableInput), decoders.decoded(UID(ENCODINGS[name][0]), form, frame):
            refused = False
        complains = _dcmtk_complains(name, frame, pixels, folder)
        assert refused >= complains
        assert gap or not refused
        complaints += complains
    assert complaints >= 5


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440"])
@pytest.mark.parametrize("size", [(48, 64), (45, 61)])
def test_a_jpeg_in_colour_that_lost_bytes_is_refused(
    decoders: DecodingPool, subsampling: str, size: tuple[int, int]
) -> None:
    """However coarse its chrominance is and wherever its last blocks end; a sound one is as others decode it."""
    colours = np.stack([picture(size, bits=8, seed=seed) for seed in range(3)], axis=-1)
    good = imagecodecs.jpeg8_encode(
        colours, level=95, colorspace="YCBCR", outcolorspace="YCBCR", subsampling=subsampling
    )
    form, syntax = PixelFormat(*size, 8, 8, 7, False, "YBR_FULL"), UID(ENCODINGS["jpeg-baseline"][0])
    with decoders.decoded(syntax, form, good) as samples:
        assert (samples == imagecodecs.jpeg8_decode(good, colorspace="YCBCR", outcolorspace="YCBCR")).all()

    for damaged in (good[:-1500] + good[-1300:], good[:-200] + good[-2:], good[:-2] + bytes(40) + good[-2:]):
        with pytest.raises(UnusableInput), decoders.decoded(syntax, form, damaged):
            pass


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 16])
def test_a_lossless_jpeg_is_complete_where_its_data_end_with_its_image(
    decoders: DecodingPool, predictor: int, bits: int
) -> None:
    """Whatever predicts it: as it is, with a byte too many, and without its last part or bytes in its middle.

    One that lacks a few bytes is refused in nearly all cases; what is left can be as many samples by chance.
    """
    form, pixels, _ = _frame_of_ct("jpeg-lossless")
    if bits == 8:
        form, pixels = PixelFormat(*pixels.shape, 8, 8, 7, False), (pixels >> 4).astype(np.uint8)
    good = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
    end, syntax = len(good) - 2, UID(ENCODINGS["jpeg-lossless"][0])
    for sound in (good, good[:end] + b"\0" + good[end:], good[:end] + b"\xff\xff" + good[end:] + b"\0"):
        with decoders.decoded(syntax, form, sound) as samples:
            assert (samples == pixels).all()

    gaps = [(end - short, short) for short in (8, 40, 400)]
    gaps += [(place * end // 20, gap) for place in range(5, 15) for gap in (3, 50)]
    refused = 0
    for start, gap in gaps:
        with suppress(UnusableInput), decoders.decoded(syntax, form, good[:start] + good[start + gap :]):
            continue
        refused += 1
    assert refused >= len(gaps) - 3


def test_a_lossless_jpeg_in_colour_that_lost_bytes_is_refused(decoders: DecodingPool) -> None:
    """Three components in one scan, red, green and blue: the first of them tells."""
    colours = np.stack([picture((90, 64), bits=8, seed=seed) for seed in range(3)], axis=-1)
    good = imagecodecs.jpeg8_encode(colours, lossless=True, predictor=4, colorspace="RGB", outcolorspace="RGB")
    form, syntax = PixelFormat(90, 64, 8, 8, 7, False, "RGB"), UID(ENCODINGS["jpeg-lossless"][0])
    with decoders.decoded(syntax, form, good) as samples:
        assert (samples == colours).all()

    for damaged in (good[:2000] + good[2050:], good[: len(good) - 50] + good[-2:]):
        with pytest.raises(UnusableInput), decoders.decoded(syntax, form, damaged):
            pass


def test_a_lossless_jpeg_with_restarts_is_read(decoders: DecodingPool) -> None:
    """Its end is looked at as that of other kinds, with other bytes behind the data."""
    form, pixels, good = _frame_of_ct("jpeg-lossless")
    start = good.find(b"\xff\xda")
    one_interval = struct.pack(">HHH", 0xFFDD, 4, pixels.size)  # as long as the image, so no marker follows
    with decoders.decoded(
        UID(ENCODINGS["jpeg-lossless"][0]), form, good[:start] + one_interval + good[start:]
    ) as samples:
        assert (samples == pixels).all()


@pytest.mark.parametrize(
    ("name", "least"), [("jpeg-ls", 8), ("jpeg-ls-near", 8), ("rle", 6), ("htj2k-lossless", 1), ("htj2k", 1)]
)
def test_a_slice_with_other_bytes_in_the_middle_is_refused_where_the_codec_sees_it(
    decoders: DecodingPool, name: str, least: int
) -> None:
    """Of eight damaged slices these notice so many, and none is passed over that a codec found at fault."""
    form, _, good = _frame_of_ct(name)
    refused = 0
    for place in range(8):
        damaged = bytearray(good)
        for step in range(40):
            damaged[len(good) // 4 + (place * 40 + step) * len(good) // 1000] ^= 0x55
        try:
            with decoders.decoded(UID(ENCODINGS[name][0]), form, bytes(damaged)):
                pass
        except UnusableInput:
            refused += 1

    assert refused >= least


@pytest.mark.parametrize("name", ["jpeg-2000-lossless", "htj2k-lossless"])
def test_a_slice_without_one_of_its_tiles_is_refused(decoders: DecodingPool, name: str) -> None:
    """A decoder would leave that part of the image dark; with all of them it is read. Both read this codestream."""
    form, pixels, _ = _frame_of_ct(name)
    start = b"\xff\x90\x00\x0a"
    good = imagecodecs.htj2k_encode(pixels, tile=(64, 64), reversible=True)
    head, *tiles = good.split(start)
    assert len(tiles) == 4
    syntax = UID(ENCODINGS[name][0])
    with decoders.decoded(syntax, form, good) as samples:
        assert (samples == pixels).all()

    with pytest.raises(UnusableInput), decoders.decoded(syntax, form, start.join([head, *tiles[:1], *tiles[2:]])):
        pass


@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_zeros_behind_a_segment_of_run_lengths_do_not_matter(decoders: DecodingPool, padding: int) -> None:
    """A segment is filled up to an even length (PS3.5 section G.3.1), by some with more."""
    with decoders.decoded(RLE, FORM, GOOD + bytes(padding)) as samples:
        assert (samples == picture()).all()
