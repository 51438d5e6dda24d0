"""Bad input ends in a named state that `overread explain` tells in a sentence, and nothing crashes."""

import io
from pathlib import Path

import pydicom
from pydicom.filewriter import dcmwrite
from pydicom.uid import MRImageStorage, generate_uid

from tests.end_to_end.conftest import Product, destination, write_series
from tests.peers.raw_sender import EXPLICIT, associated, send
from tests.peers.recording_pacs import RecordingPacs

_MR = str(MRImageStorage)


def test_bad_input_ends_in_named_states_and_nothing_crashes(
    product: Product, bright_voxels: Path, recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """Garbage, images without pixels, a modality that nothing takes, a cut-off object: each has its sentence.

    One product receives them all, beside a good study that comes through; no role had to be started again.
    """
    product.settings |= destination(recording_pacs.port)
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    before = {role: product.role(role) for role in ("listen", "work", "deliver", "housekeep")}

    garbage_uid = generate_uid()
    assert _push(product, {garbage_uid: b"this is not a DICOM data set" * 20}) == [0xC000]
    no_pixels = write_series(tmp_path / "no-pixels")
    assert set(_push(product, _edited(no_pixels.paths, without_pixels=True))) == {0x0000}
    other_modality = write_series(tmp_path / "ct", Modality="CT")
    assert set(_push(product, _edited(other_modality.paths))) == {0x0000}
    cut_off = write_series(tmp_path / "cut-off")
    assert set(_push(product, _edited(cut_off.paths, cut=500))) == {0x0000}
    two_patients = write_series(tmp_path / "two-patients")
    assert set(_push(product, _edited(two_patients.paths, second_patient=True))) == {0x0000}
    good = write_series(tmp_path / "good")
    assert set(_push(product, _edited(good.paths))) == {0x0000}

    product.wait_for_study(good.study_instance_uid, "done")
    product.wait_for_study(no_pixels.study_instance_uid, "failed")
    product.wait_for_study(cut_off.study_instance_uid, "failed")
    product.wait_for_study(other_modality.study_instance_uid, "not-analysed")
    product.wait_for_study(two_patients.study_instance_uid, "parked")

    assert "unparsable" in product.explain(garbage_uid)
    assert "0xC000" in product.explain(garbage_uid)
    assert "no-pixel-data" in product.explain(no_pixels.study_instance_uid)
    assert "short-pixel-data" in product.explain(cut_off.study_instance_uid)
    told = 'The "Not analysed" report of bright-voxels 1.0 was made'
    product.wait_until(lambda: told in product.explain(cut_off.study_instance_uid), "the failure was told")
    assert told not in product.explain(other_modality.study_instance_uid)
    assert "The series is CT; bright-voxels 1.0 takes MR." in product.explain(other_modality.study_instance_uid)
    assert "patient" in product.explain(two_patients.study_instance_uid)
    after = {role: product.role(role) for role in before}
    assert after == before
    assert product.silent_instances() == []
    assert "Traceback" not in product.log()


def test_an_unknown_uid_is_told_and_the_exit_status_is_not_0(product: Product) -> None:
    """`overread explain` of something never received says so, also when nothing runs."""
    assert product.command("db", "upgrade").returncode == 0

    done = product.command("explain", "1.2.3")

    assert done.returncode == 1
    assert "No study, series or instance 1.2.3 is known here" in done.stderr
    assert "Phantom^Test" not in product.command("explain", "Phantom^Test").stderr


def _push(product: Product, data_sets: dict[str, bytes]) -> list[int | None]:
    """Send the data sets over one association as they are; the statuses that came back."""
    with associated(product.port, contexts=((_MR, EXPLICIT),)) as association:
        return [
            send(association, data_set, uid, number, sop_class_uid=_MR)
            for number, (uid, data_set) in enumerate(data_sets.items(), 1)
        ]


def _edited(
    paths: list[Path], *, without_pixels: bool = False, cut: int = 0, second_patient: bool = False
) -> dict[str, bytes]:
    """The data sets of the files, encoded, with one kind of fault in the last of them."""
    encoded = {}
    for number, path in enumerate(paths, 1):
        instance = pydicom.dcmread(path)
        last = number == len(paths)
        if last and without_pixels:
            del instance.PixelData
        if last and second_patient:
            instance.PatientID = "PHANTOM-2"
        buffer = io.BytesIO()
        dcmwrite(buffer, instance, enforce_file_format=True)
        content = buffer.getvalue()
        start = 144 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
        encoded[str(instance.SOPInstanceUID)] = content[start : len(content) - (cut if last else 0)]
    return encoded
