"""Small frozen evidence for tests of delivery: valid file meta information, and a data set that is just big enough."""

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole, FrozenEvidence

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
SOP_CLASS = {EvidenceRole.SEGMENTATION: SEGMENTATION, EvidenceRole.REPORT: COMPREHENSIVE_3D_SR}


FORM = {EvidenceRole.SEGMENTATION: EvidenceForm.BINARY, EvidenceRole.REPORT: EvidenceForm.COMPREHENSIVE_3D}
CLASS_OF_FORM = {
    EvidenceForm.LABEL_MAP: "1.2.840.10008.5.1.4.1.1.66.7",
    EvidenceForm.COMPREHENSIVE: "1.2.840.10008.5.1.4.1.1.88.33",
    EvidenceForm.ENHANCED: "1.2.840.10008.5.1.4.1.1.88.22",
    EvidenceForm.BASIC_TEXT: "1.2.840.10008.5.1.4.1.1.88.11",
}


def evidence_object(
    role: EvidenceRole, payload: int = 2000, study_instance_uid: str | None = None, form: EvidenceForm | None = None
) -> EvidenceObject:
    """One evidence object with ``payload`` bytes in a private element.

    The data set begins with a group length, which pydicom drops whenever it decodes and encodes: whoever does that
    on the way is found out.
    """
    data_set = Dataset()
    data_set.SOPClassUID = CLASS_OF_FORM.get(form or FORM[role], SOP_CLASS[role])
    data_set.SOPInstanceUID = generate_uid()
    data_set.StudyInstanceUID = study_instance_uid or generate_uid()
    data_set.SeriesInstanceUID = generate_uid()
    data_set.PatientName = "Nobody^Test"
    data_set.PatientID = "T1"
    data_set.Modality = "SEG" if role is EvidenceRole.SEGMENTATION else "SR"
    data_set.SeriesNumber = 9001
    data_set.InstanceNumber = 1
    data_set.private_block(0x0009, "OVERREAD TEST", create=True).add_new(0x01, "OB", b"\x5a" * payload)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, data_set, enforce_file_format=True)
    plain = buffer.getvalue()
    start = len(plain) - len(data_set_bytes(plain))
    group_length = plain.index(b"\x09\x00\x10\x00LO") - start
    part10 = plain[:start] + b"\x08\x00\x00\x00UL\x04\x00" + group_length.to_bytes(4, "little") + plain[start:]
    return EvidenceObject(
        role=role,
        sop_class_uid=data_set.SOPClassUID,
        sop_instance_uid=data_set.SOPInstanceUID,
        series_instance_uid=data_set.SeriesInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        pieces=(part10,),
        form=form or FORM[role],
    )


def frozen(folder: Path, evidence: EvidenceObject) -> FrozenEvidence:
    """``evidence`` as storage would hold it, in ``folder``."""
    sha256 = hashlib.sha256(evidence.part10).hexdigest()
    path = folder / f"{sha256}.dcm"
    path.write_bytes(evidence.part10)
    return FrozenEvidence(
        role=evidence.role,
        sop_class_uid=evidence.sop_class_uid,
        sop_instance_uid=evidence.sop_instance_uid,
        series_instance_uid=evidence.series_instance_uid,
        transfer_syntax_uid=evidence.transfer_syntax_uid,
        path=path,
        sha256=sha256,
        size=len(evidence.part10),
        form=evidence.form,
    )


def data_set_bytes(part10: bytes) -> bytes:
    """What follows the file meta information (PS3.10 section 7.1), found by its group length alone."""
    assert part10[128:132] == b"DICM"
    assert part10[132:140] == b"\x02\x00\x00\x00UL\x04\x00"
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


@pytest.fixture
def freeze_evidence(tmp_path: Path) -> Callable[..., FrozenEvidence]:
    """Make one frozen evidence object: ``freeze_evidence(role, payload=2000)``."""
    return lambda role, payload=2000: frozen(tmp_path, evidence_object(role, payload))
