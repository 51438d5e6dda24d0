"""Running an acceptance set: each case through the pipeline of the jobs, judged, told in numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from inference.acceptance.acceptance_set import AcceptanceCase, ReadAcceptanceSet
from inference.acceptance.judging import CaseOutcome, failed, judged
from inference.algorithms.manifest import Manifest, load_manifest
from inference.errors import (
    DeviceFull,
    InvalidAcceptanceSet,
    InvalidOutput,
    ModelChildLost,
    OutOfMemory,
    PredictionFailed,
    UnusableInput,
)
from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.result_uids import USUAL_NAMING
from inference.model_child.messages import Analysis
from inference.model_child.places import places
from inference.model_child.process import ModelChild
from inference.settings import WorkerSettings
from listener.errors import ListenerError
from listener.scp.instance_header import read_header
from storage.domain.algorithm import RegisteredAlgorithm
from storage.domain.image_record import image_record
from storage.domain.study import StableStudy, StoredInstance
from storage.objects.part10 import data_set_offset, digests_of

_NO_SECRET = bytes(32)  # what is made here is thrown away, so its UIDs need not be ours
_WORDS_LIMIT = 4000
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class AcceptanceRun:
    """The outcome of a set, and the digest of the set."""

    sha256: str
    outcomes: tuple[CaseOutcome, ...]

    @property
    def short(self) -> tuple[CaseOutcome, ...]:
        """The cases that fell short."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    def details(self) -> dict[str, str | int | float | None]:
        """What the audit row keeps: how many, and each number, those that fell short first."""
        ordered = sorted(self.outcomes, key=lambda outcome: outcome.passed)
        return {
            "acceptance_sha256": self.sha256,
            "cases": len(self.outcomes),
            "passed": len(self.outcomes) - len(self.short),
            "numbers": "; ".join(outcome.words for outcome in ordered)[:_WORDS_LIMIT],
        }


def run_acceptance(
    algorithm: RegisteredAlgorithm,
    acceptance: ReadAcceptanceSet,
    worker: WorkerSettings,
    received: Callable[[str], StableStudy],
) -> AcceptanceRun:
    """Analyse every case as a worker would, and judge it; ``received`` finds a study that is here by its UID.

    Raises:
        InvalidAcceptanceSet: a case cannot be tried; the message says which and why.
        InvalidAlgorithm, ArtifactUnavailable, DeviceUnavailable: the algorithm cannot be loaded.
        DeviceFull: its device has no room now.
        ModelChildNotStarted: there is no process to run it in.
        UnknownRecord: a study is not here.
    """
    manifest = load_manifest(algorithm.folder)
    place = places(worker)[0]
    child = ModelChild(place.settings, place.limits)  # as a worker has it: a network of strangers may end it, or never
    try:
        outcomes = tuple(
            _outcome(case, acceptance.folder, _Trial(algorithm, manifest, child), received) for case in acceptance.cases
        )
    finally:
        child.end()
    return AcceptanceRun(acceptance.sha256, outcomes)


@dataclass(frozen=True, slots=True)
class _Trial:
    """The version that is tried, and what tries it."""

    algorithm: RegisteredAlgorithm
    manifest: Manifest
    child: ModelChild


def _outcome(case: AcceptanceCase, folder: Path, trial: _Trial, received: Callable[[str], StableStudy]) -> CaseOutcome:
    study = received(case.study) if case.study is not None else study_in(folder / (case.series or ""), case.name)
    asked = Analysis(study, trial.algorithm, datetime.now(UTC), _NO_SECRET, DEFAULT_FORMS, USUAL_NAMING)
    try:
        made = trial.child.ask(asked)
    except (UnusableInput, ModelChildLost) as error:
        return failed(case, error.reason.code)
    except OutOfMemory:
        return failed(case, "out-of-memory")
    except DeviceFull:
        raise  # others' work fills it, which says nothing of the version
    except PredictionFailed:
        return failed(case, "prediction-failed")
    except InvalidOutput:
        return failed(case, "invalid-output")
    return judged(case, folder, trial.manifest, made)


def study_in(folder: Path, name: str) -> StableStudy:
    """The study in a folder of DICOM files, as if it had been received.

    Raises:
        InvalidAcceptanceSet: there is none, or files of several studies.
    """
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())[:_MOST_FILES]
        instances = tuple(_instances(paths))
    except OSError as error:
        raise InvalidAcceptanceSet(
            f"The images of case {name} cannot be read ({error.strerror}); restore them."
        ) from None
    studies = {instance.header.study_instance_uid for instance in instances}
    if len(studies) != 1:
        raise InvalidAcceptanceSet(
            f"The folder of case {name} holds images of {len(studies)} studies; give those of one."
        )
    first = instances[0].header
    return StableStudy(
        first.study_instance_uid, 1, first.patient_id, first.issuer_of_patient_id, datetime.now(UTC), instances
    )


def _instances(paths: list[Path]) -> Iterator[StoredInstance]:
    """The DICOM files among these; what is none, such as a list of names, is passed over."""
    for path in paths:
        try:
            meta = pydicom.filereader.read_file_meta_info(path)
        except InvalidDicomError:
            continue
        content = path.read_bytes()
        data_set = content[data_set_offset(content) :]
        try:
            header = read_header(
                str(meta.MediaStorageSOPClassUID),
                str(meta.MediaStorageSOPInstanceUID),
                str(meta.TransferSyntaxUID),
                data_set,
            )
        except (ListenerError, AttributeError):
            raise InvalidAcceptanceSet(f"{path} is no instance that would be received; restore it.") from None
        image = image_record(data_set, header.transfer_syntax_uid)
        yield StoredInstance(header, path, digests_of([data_set]).sha256, len(data_set), image)
