"""The study by which an administrator tries a destination: how it is marked, and what of it is sent.

The mark is the Patient ID (0010,0020), which no patient has. Whatever carries it is never analysed: not when the
destination sends it back to us, and not when another Overread that stands behind the same PACS receives it.
"""

from dataclasses import dataclass
from pathlib import Path

from storage.domain.result import EvidenceForm

SELF_TEST_PATIENT_ID = "OVERREAD-SELFTEST"
SELF_TEST_PATIENT_NAME = "OVERREAD^SELFTEST"
SELF_TEST_DESCRIPTION = "Overread self-test, not a patient"


def is_self_test(patient_id: str) -> bool:
    """Whether the self-test's mark stands in this Patient ID, in whatever case.

    A PACS may have put a prefix of the site before it or an issuer behind it, or have changed the case.
    """
    return SELF_TEST_PATIENT_ID in patient_id.upper()


@dataclass(frozen=True, slots=True)
class SelfTestInstance:
    """One instance of the self-test in a Part 10 file; ``form`` is ``None`` for a source image."""

    form: EvidenceForm | None
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The study: source images first, then one instance of each form that there is an encoder for."""

    study_instance_uid: str
    instances: tuple[SelfTestInstance, ...]

    @property
    def forms(self) -> frozenset[EvidenceForm]:
        """The forms that could be made."""
        return frozenset(one.form for one in self.instances if one.form is not None)
