"""The demo's PACS and modality, with each other and with peers that share no code with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import uid
from pynetdicom import AE

from overread.demo.modality import PushFailed, push
from overread.demo.pacs import DemoPacs
from storage.domain.result import EvidenceRole, FrozenEvidence
from tests.peers.dcmtk import Storescu
from tests.peers.evidence_files import data_set_bytes
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs

_RESULTS = {
    uid.SegmentationStorage,
    uid.UID("1.2.840.10008.5.1.4.1.1.66.7"),  # Label Map Segmentation
    uid.ParametricMapStorage,
    uid.SecondaryCaptureImageStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.Comprehensive3DSRStorage,
    uid.EncapsulatedPDFStorage,
    uid.RTStructureSetStorage,
}
Freeze = Callable[..., FrozenEvidence]


def test_the_demo_keeps_what_its_modality_pushes(tmp_path: Path, freeze_evidence: Freeze) -> None:
    """Every file arrives with the data set it had, and progress counts each one."""
    files = [freeze_evidence(EvidenceRole.SEGMENTATION, 40_000), freeze_evidence(EvidenceRole.REPORT)]
    counted: list[int] = []

    with DemoPacs(tmp_path / "pacs") as pacs:
        push(
            [file.path for file in files],
            host="127.0.0.1",
            port=pacs.port,
            called_ae_title="DEMOPACS",
            progress=counted.append,
        )
        held = pacs.objects()

    assert counted == [1, 2]
    assert [(each.sop_class_uid, each.sop_instance_uid) for each in held] == [
        (file.sop_class_uid, file.sop_instance_uid) for file in files
    ]
    assert [data_set_bytes(each.path.read_bytes()) for each in held] == [
        data_set_bytes(file.path.read_bytes()) for file in files
    ]
    assert all(each.study_instance_uid for each in held)


def test_the_demo_pacs_takes_a_second_send_and_refuses_other_bytes(
    tmp_path: Path, freeze_evidence: Freeze, storescu: Storescu
) -> None:
    """The same bytes again are a success without a copy; other bytes under the UID get 0x0111 and change nothing."""
    file = freeze_evidence(EvidenceRole.REPORT)
    altered = tmp_path / "altered.dcm"
    altered.write_bytes(file.path.read_bytes().replace(b"Nobody^Test", b"Nobody^Tess"))

    with DemoPacs(tmp_path / "pacs") as pacs:
        again = [storescu(pacs.port, [file.path], called_ae_title="DEMOPACS") for _ in range(2)]
        other = storescu(pacs.port, [altered], called_ae_title="DEMOPACS")
        (held,) = pacs.objects()

    assert [sent.returncode for sent in again] == [0, 0]
    assert "0x111" in other.stdout + other.stderr
    assert held.received_count == 2
    assert b"Nobody^Test" in held.path.read_bytes()
    assert len(list((tmp_path / "pacs").iterdir())) == 1


def test_the_demo_pacs_takes_every_kind_of_result(tmp_path: Path) -> None:
    """Whatever a profile sends finds a presentation context, parametric maps and label maps too."""
    caller = AE()
    for kind in _RESULTS:
        caller.add_requested_context(kind, uid.ExplicitVRLittleEndian)

    with DemoPacs(tmp_path / "pacs") as pacs:
        association = caller.associate("127.0.0.1", pacs.port, ae_title="DEMOPACS")
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        association.release()

    assert accepted == _RESULTS


def test_the_modality_pushes_to_a_real_orthanc(freeze_evidence: Freeze, orthanc: Orthanc) -> None:
    """Orthanc holds what was pushed."""
    file = freeze_evidence(EvidenceRole.REPORT)

    push([file.path], host="127.0.0.1", port=orthanc.dicom_port, called_ae_title="ANY")

    assert len(orthanc.json("GET", "/instances")) == 1


def test_the_modality_names_the_file_that_was_refused(freeze_evidence: Freeze, recording_pacs: RecordingPacs) -> None:
    """A refusal ends the push with one sentence that has the file's name and the status."""
    file = freeze_evidence(EvidenceRole.REPORT)
    recording_pacs.answer(0xA700)

    with pytest.raises(PushFailed, match=rf"{file.path.name} was refused with status 0xA700"):
        push([file.path], host="127.0.0.1", port=recording_pacs.port, called_ae_title="PACS")


def test_the_modality_sends_an_image_again_whose_answer_it_missed(
    freeze_evidence: Freeze, recording_pacs: RecordingPacs
) -> None:
    """An answer that is lost after the image was kept costs a second association, not the push."""
    files = [freeze_evidence(EvidenceRole.REPORT), freeze_evidence(EvidenceRole.SEGMENTATION, 4_000)]
    counted: list[int] = []
    recording_pacs.abort_next(after_storing=True)

    push(
        [file.path for file in files],
        host="127.0.0.1",
        port=recording_pacs.port,
        called_ae_title="PACS",
        progress=counted.append,
    )

    assert counted == [1, 2]
    assert {uid: len(kept) for uid, kept in recording_pacs.contents.items()} == {
        file.sop_instance_uid: 1 for file in files
    }


def test_the_modality_names_the_image_that_is_never_answered(
    freeze_evidence: Freeze, recording_pacs: RecordingPacs
) -> None:
    """A peer that breaks off every time ends the push with one sentence that has the file's name."""
    file = freeze_evidence(EvidenceRole.REPORT)
    for _ in range(3):
        recording_pacs.abort_next()

    with pytest.raises(PushFailed, match=rf"{file.path.name} was not acknowledged"):
        push([file.path], host="127.0.0.1", port=recording_pacs.port, called_ae_title="PACS")


def test_the_modality_says_that_nobody_answers(freeze_evidence: Freeze) -> None:
    """Without a peer the push ends with one sentence that has its address."""
    file = freeze_evidence(EvidenceRole.REPORT)

    with pytest.raises(PushFailed, match=r"No association with PACS at 127\.0\.0\.1 port 1;"):
        push([file.path], host="127.0.0.1", port=1, called_ae_title="PACS")


def test_the_modality_refuses_what_is_not_dicom(tmp_path: Path) -> None:
    """A file that is not Part 10 is named before anything is sent."""
    path = tmp_path / "notes.txt"
    path.write_text("not an image")

    with pytest.raises(PushFailed, match=r"notes\.txt is not a readable DICOM"):
        push([path], host="127.0.0.1", port=1, called_ae_title="PACS")


def test_orthanc_sends_a_study_to_a_modality(
    freeze_evidence: Freeze, recording_pacs: RecordingPacs, start_orthanc: Callable[..., Orthanc]
) -> None:
    """The Orthanc of these tests can be a sender too."""
    orthanc = start_orthanc({"pacs": ("PACS", "127.0.0.1", recording_pacs.port)})
    file = freeze_evidence(EvidenceRole.REPORT)
    orthanc.upload(file.path)
    (study,) = orthanc.json("GET", "/studies?expand")

    orthanc.send_study(study["MainDicomTags"]["StudyInstanceUID"], "pacs")

    assert [uid for uid, _ in recording_pacs.received] == [file.sop_instance_uid]
