"""What was found, as attributes (PS3.18 tables 10.6.3-3 to 10.6.3-5).

Rows answer what can be searched for. What no row holds, such as a patient's name, comes from the file of an instance.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pydicom.datadict import dictionary_keyword
from pydicom.tag import Tag

from listener.web.dicomweb.addresses import Addresses
from listener.web.dicomweb.dicom_file import UnreadableFile, read_dicom_file
from listener.web.dicomweb.dicom_json import Attributes, attribute, json_attributes
from storage.domain.search import FoundInstance, FoundSeries, FoundStudy

_OF_STUDY = (
    *("StudyTime", "TimezoneOffsetFromUTC", "ReferringPhysicianName", "StudyDescription", "PatientName"),
    *("PatientBirthDate", "PatientSex", "StudyID"),
)
_OF_SERIES = (
    *("SeriesDescription", "SeriesNumber", "BodyPartExamined", "PerformedProcedureStepStartDate"),
    "PerformedProcedureStepStartTime",
)
_OF_INSTANCE = ("InstanceNumber", "NumberOfFrames", "Rows", "Columns", "BitsAllocated")
_UTF8 = attribute("SpecificCharacterSet", "ISO_IR 192")  # JSON is UTF-8, whatever the file was
_ONLINE = attribute("InstanceAvailability", "ONLINE")


def study_attributes(study: FoundStudy, addresses: Addresses, included: Collection[int] = ()) -> Attributes:
    """One study."""
    return (
        _UTF8
        | _from_file(study.example, _OF_STUDY, included)
        | _ONLINE
        | attribute("StudyDate", study.study_date.strftime("%Y%m%d") if study.study_date else "")
        | attribute("AccessionNumber", study.accession_number)
        | attribute("ModalitiesInStudy", *study.modalities)
        | attribute("RetrieveURL", addresses.study(study.study_instance_uid))
        | attribute("PatientID", study.patient_id)
        | attribute("StudyInstanceUID", study.study_instance_uid)
        | attribute("NumberOfStudyRelatedSeries", study.series_count)
        | attribute("NumberOfStudyRelatedInstances", study.instance_count)
    )


def series_attributes(series: FoundSeries, addresses: Addresses, included: Collection[int] = ()) -> Attributes:
    """One series, without the attributes of its study but its UID."""
    study_uid = series.study.study_instance_uid
    return (
        _UTF8
        | _from_file(series.example, _OF_SERIES, included)
        | _unless_empty("SeriesDescription", series.series_description)
        | _unless_empty("SeriesNumber", series.series_number)
        | _unless_empty("BodyPartExamined", series.body_part_examined)
        | attribute("Modality", series.modality)
        | attribute("RetrieveURL", addresses.series(study_uid, series.series_instance_uid))
        | attribute("StudyInstanceUID", study_uid)
        | attribute("SeriesInstanceUID", series.series_instance_uid)
        | attribute("NumberOfSeriesRelatedInstances", series.instance_count)
    )


def instance_attributes(found: FoundInstance, addresses: Addresses, included: Collection[int] = ()) -> Attributes:
    """One instance, with the UIDs and the modality of its series."""
    instance = found.instance
    return (
        _UTF8
        | _from_file(instance.path, _OF_INSTANCE, included)
        | _ONLINE
        | attribute("SOPClassUID", instance.sop_class_uid)
        | attribute("SOPInstanceUID", instance.sop_instance_uid)
        | attribute("AvailableTransferSyntaxUID", instance.transfer_syntax_uid)
        | attribute("Modality", found.series.modality)
        | attribute(
            "RetrieveURL",
            addresses.instance(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid),
        )
        | attribute("StudyInstanceUID", instance.study_instance_uid)
        | attribute("SeriesInstanceUID", instance.series_instance_uid)
        | _unless_empty("InstanceNumber", instance.instance_number)
    )


def _unless_empty(keyword: str, value: str | int | None) -> Attributes:
    return {} if value in ("", None) else attribute(keyword, value)


def _from_file(path: Path, keywords: Collection[str], included: Collection[int]) -> Attributes:
    """Attributes of a file; those that it lacks, or that cannot be read, are there without a value."""
    names = [*keywords, *(dictionary_keyword(tag) for tag in included)]
    empty: Attributes = {}
    for keyword in names:
        empty |= attribute(keyword)
    with suppress(UnreadableFile, OSError):
        tags = [int(Tag(keyword)) for keyword in ("SpecificCharacterSet", *names)]
        found = json_attributes(read_dicom_file(path, tags).data_set)
        return empty | {key: value for key, value in found.items() if key in empty}
    return empty
