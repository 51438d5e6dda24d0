"""What is told of an inference that ended without a result: the images that were looked at, and one report on them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.algorithms.identity import AlgorithmIdentity
from inference.algorithms.manifest import read_manifest
from inference.errors import InvalidAlgorithm, UnusableInput
from inference.evidence.context import EvidenceContext
from inference.evidence.not_analysed_report import SeriesLookedAt, build_not_analysed_report, not_analysed_text
from inference.evidence.result_uids import USUAL_NAMING, ResultIdentity, SeriesNaming
from inference.imaging.series_reader import read_headers
from storage.domain.algorithm import RegisteredAlgorithm
from storage.domain.coded_concept import CodedConcept
from storage.domain.not_analysed import OTHER_KIND, EndedInference
from storage.domain.result import NewResult
from storage.domain.study import InstanceHeader, StableStudy, StoredInstance
from storage.errors import UnknownRecord

_ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
_PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")


def tell(
    study: StableStudy,
    ended: EndedInference,
    algorithm: AlgorithmIdentity,
    site_secret: bytes,
    naming: SeriesNaming = USUAL_NAMING,
) -> NewResult:
    """The "Not analysed" report on one revision of a study.

    It refers to the images of every series that is of the algorithm's kind, or of all series where none is known to be.
    Nothing is decoded, and headers are read one by one for whose the study is: whatever ended the analysis must not end
    this.
    ``naming`` is how the site calls the series of results.

    Raises:
        UnknownRecord: the revision holds no image.
        UnusableInput: ``patient-mix``, when the images do not say one patient; no report could be filed for two.
    """
    if ended.reason.code == "patient-mix":
        raise _two_patients()
    spoken_of = _spoken_of(study.instances, ended)
    if not spoken_of:
        raise UnknownRecord(f"Revision {study.revision} of study {study.study_instance_uid} holds no image to tell of.")
    identity = ResultIdentity(
        site_secret,
        study.study_instance_uid,
        tuple(instance.sha256 for instance in spoken_of),
        algorithm.artifact_sha256,
        algorithm.manifest_sha256,
        naming,
    )
    context = EvidenceContext(_sources(spoken_of), _no_values, algorithm, ended.started_at, identity)
    series = _series(study.instances, ended)
    report = build_not_analysed_report(context, ended.reason, series)
    return NewResult(
        series_instance_uid=spoken_of[0].header.series_instance_uid,
        input_sop_instance_uids=tuple(instance.header.sop_instance_uid for instance in spoken_of),
        artifact_sha256=algorithm.artifact_sha256,
        execution_provider="",
        findings=(),
        report_text=not_analysed_text(context, ended.reason, series),
        evidence=(report,),
    )


def _no_values(_: int) -> NDArray[np.float32]:
    raise ValueError("A report that there is no result shows no pixels.")


def identity_of(registered: RegisteredAlgorithm) -> AlgorithmIdentity:
    """Who looked at the study, without loading the model, which may be what failed.

    Where the folder is not what was registered any more, the registration alone speaks, and the mark is that of
    research.
    """
    try:
        read = read_manifest(registered.folder)
    except (InvalidAlgorithm, OSError):
        read = None
    if read is not None and read.sha256 == registered.manifest_sha256:
        return replace(read.manifest.algorithm_identity(read.sha256), artifact_sha256=registered.artifact_sha256)
    return AlgorithmIdentity(
        name=registered.name,
        version=registered.version,
        manufacturer="unknown",
        artifact_sha256=registered.artifact_sha256,
        manifest_sha256=registered.manifest_sha256,
        family=_ARTIFICIAL_INTELLIGENCE,
        use="research",
    )


def _spoken_of(instances: Sequence[StoredInstance], ended: EndedInference) -> tuple[StoredInstance, ...]:
    of_its_kind = {one.series_instance_uid for one in ended.refusals if one.reason.code not in OTHER_KIND}
    chosen = tuple(one for one in instances if one.header.series_instance_uid in of_its_kind)
    return chosen or tuple(instances)


def _series(instances: Sequence[StoredInstance], ended: EndedInference) -> tuple[SeriesLookedAt, ...]:
    refusals = {refusal.series_instance_uid: refusal.reason for refusal in ended.refusals}
    members: dict[str, list[InstanceHeader]] = {}
    for instance in instances:
        members.setdefault(instance.header.series_instance_uid, []).append(instance.header)
    return tuple(
        SeriesLookedAt(uid, headers[0].modality, headers[0].series_number, len(headers), refusals.get(uid))
        for uid, headers in members.items()
    )


def _sources(instances: Sequence[StoredInstance]) -> tuple[Dataset, ...]:
    """The images as far as a report needs them; the first says whose study it is, from the first header to be read."""
    first: tuple[int, Dataset] | None = None
    whose = _Whose()
    for place, header in _readable(instances):
        whose.agree_with(header)
        first = first or (place, header)
    others = [_from_row(one.header) for one in instances]
    if first is None:
        return tuple(others)
    place, header = first
    return (header, *others[:place], *others[place + 1 :])


class _Whose:
    """Whose images were read so far; what an image leaves empty contradicts nobody."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def agree_with(self, header: Dataset) -> None:
        """Raises UnusableInput, ``patient-mix``, when this image names another patient."""
        for keyword in _PATIENT:
            said = str(header.get(keyword) or "").rstrip("^ ").casefold()
            if said and self._said.setdefault(keyword, said) != said:
                raise _two_patients()


def _two_patients() -> UnusableInput:
    return UnusableInput(
        "patient-mix",
        "The images do not all name one patient, so no report can be filed for them; "
        "correct them at the sender and send them again.",
    )


def _readable(instances: Sequence[StoredInstance]) -> Iterator[tuple[int, Dataset]]:
    for place, instance in enumerate(instances):
        try:
            header = read_headers([instance])[0]
        except UnusableInput:
            continue
        if _is_of(header, instance.header):
            yield place, header


def _is_of(header: Dataset, row: InstanceHeader) -> bool:
    named = (header.get("StudyInstanceUID"), header.get("SOPInstanceUID"), header.get("SOPClassUID"))
    return named == (row.study_instance_uid, row.sop_instance_uid, row.sop_class_uid)


def _from_row(row: InstanceHeader) -> Dataset:
    """What storage knows of an image: enough to file a report by, without the patient's name."""
    source = Dataset()
    source.SOPClassUID = row.sop_class_uid
    source.SOPInstanceUID = row.sop_instance_uid
    source.StudyInstanceUID = row.study_instance_uid
    source.SeriesInstanceUID = row.series_instance_uid
    source.Modality = row.modality
    source.SpecificCharacterSet = "ISO_IR 192"
    source.PatientName = source.PatientBirthDate = source.PatientSex = ""
    source.PatientID = row.patient_id
    if row.issuer_of_patient_id:
        source.IssuerOfPatientID = row.issuer_of_patient_id
    source.StudyDate = _da(row.study_date)
    source.StudyTime = source.ReferringPhysicianName = source.StudyID = ""
    source.AccessionNumber = row.accession_number
    return source


def _da(day: date | None) -> str:
    return f"{day:%Y%m%d}" if day else ""
