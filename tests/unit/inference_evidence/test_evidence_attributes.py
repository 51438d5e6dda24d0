"""What every evidence object carries beside its findings."""

import datetime
import logging
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import highdicom
import numpy as np
import pytest
from highdicom import _standard_utils
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import read_tables_of_the_standard
from inference.evidence.build import EvidenceContext, build_evidence
from storage.domain.result import EvidenceObject
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)

COPIED = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "InstitutionName",
)  # fmt: skip


def _build(context: EvidenceContext) -> tuple[EvidenceObject, ...]:
    source = context.sources[0]
    labels = make_labels((len(context.sources), source.Rows, source.Columns))
    return build_evidence(context, labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))


def _datasets(context: EvidenceContext) -> list[Dataset]:
    return [dcmread(BytesIO(one.part10)) for one in _build(context)]


def _bytes_of(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword)
    assert element is not None
    if keyword == "SpecificCharacterSet":  # pydicom decodes this one while reading
        return str(element.value).encode()
    assert isinstance(element.value, bytes | None), "not as read from the file"
    return element.value or b""


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Müller^Jürgen=山田^太郎", "ISO_IR 192"),
        ("Buc^Jérôme", "ISO_IR 100"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("Doe^Jane", None),
        ("Doe^Jane^^^=", "ISO_IR 192"),
    ],
    ids=["utf-8", "latin-1", "japanese", "default", "empty-components"],
)
def test_patient_and_study_are_copied_byte_for_byte(name: str, character_set: str | Sequence[str] | None) -> None:
    """Every evidence object repeats the source's patient and study in the source's own bytes (S10)."""
    series = SourceSeries(patient_name=name, character_set=character_set)
    source = make_series(series)[0]
    expected = {keyword: _bytes_of(source, keyword) for keyword in COPIED if keyword in source}

    for dataset in _datasets(make_context(make_series(series))):
        assert {keyword: _bytes_of(dataset, keyword) for keyword in COPIED if keyword in dataset} == expected


def test_the_report_of_an_untidy_source_is_filed_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """A missing type 2 attribute, an unknown sex or an odd name does not stop a result, and no name is logged."""
    caplog.set_level(logging.DEBUG)
    sources = make_series()
    for image in sources:
        del image.AccessionNumber, image.StudyTime
        image.PatientSex, image.PatientName = "W", "JANE DOE WITHOUT CARETS"

    for dataset in _datasets(make_context(sources)):
        assert dataset.PatientName == "JANE DOE WITHOUT CARETS"
        assert dataset.PatientSex == "W"
        assert dataset.AccessionNumber == ""
    assert "JANE" not in caplog.text


def test_the_same_job_gives_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second attempt, hours later, makes byte-identical files (S12)."""
    context = make_context(make_series())
    first = _build(context)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Later":
            return cls(2031, 12, 24, 18, 30, tzinfo=tz)

    clock = SimpleNamespace(**{**vars(datetime), "datetime": Later})
    for module in (highdicom.base, highdicom.base_content, highdicom.sr.sop):
        monkeypatch.setattr(module, "datetime", clock)
    second = _build(make_context(make_series()))

    assert [one.part10 for one in second] == [one.part10 for one in first]
    assert b"20311224" not in b"".join(one.part10 for one in second)


def test_another_model_gives_other_uids_everywhere() -> None:
    """Results of two versions of a model stand side by side in the archive."""
    mine, other = (_build(make_context(make_series(), artifact_sha256=digit * 64)) for digit in "cd")

    for one, two in zip(mine, other, strict=True):
        assert one.sop_instance_uid != two.sop_instance_uid
        assert one.series_instance_uid != two.series_instance_uid


def test_the_evidence_object_says_what_its_bytes_say() -> None:
    """The identity handed to storage is that inside the file, with our implementation in the file meta information."""
    evidence = _build(make_context(make_series()))

    for one in evidence:
        dataset = dcmread(BytesIO(one.part10))
        meta = dataset.file_meta
        assert (one.sop_class_uid, one.sop_instance_uid) == (dataset.SOPClassUID, dataset.SOPInstanceUID)
        assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (
            one.sop_class_uid,
            one.sop_instance_uid,
        )
        assert one.series_instance_uid == dataset.SeriesInstanceUID
        assert one.transfer_syntax_uid == meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert meta.ImplementationVersionName.startswith("OVERREAD")
        assert "highdicom" not in str(meta.ImplementationVersionName)
    assert len({one.series_instance_uid for one in evidence}) == 3


def test_series_are_numbered_and_labelled() -> None:
    """Series numbers are fixed, and the description names the algorithm, what it is, and the mark (S10)."""
    seg, *pictures, report = _datasets(make_context(make_series()))

    assert (seg.SeriesNumber, report.SeriesNumber) == (9001, 9002)
    assert [(one.SeriesNumber, one.InstanceNumber) for one in pictures] == [(9003, 1), (9003, 2), (9003, 3)]
    assert pictures[0].SeriesDescription == "Sample organ finder key images (RESEARCH, not verified)"
    assert seg.SeriesDescription == "Sample organ finder segmentation (RESEARCH, not verified)"
    assert report.SeriesDescription == "Sample organ finder report (RESEARCH, not verified)"
    assert (seg.SeriesDate, seg.SeriesTime) == (seg.ContentDate, seg.ContentTime)
    assert seg.BodyPartExamined == "CHEST"


def test_a_long_algorithm_name_keeps_the_mark() -> None:
    """The description is cut in the name, never in the mark, and fits LO."""
    context = make_context(make_series())
    long = replace(context, algorithm=replace(context.algorithm, name="An algorithm with a name " * 5))

    for dataset in _datasets(long):
        assert len(dataset.SeriesDescription) <= 64
        assert dataset.SeriesDescription.endswith("(RESEARCH, not verified)")


@pytest.mark.parametrize(("use", "qualification"), [("research", "RESEARCH"), ("product", "PRODUCT")])
def test_the_content_is_qualified(use: str, qualification: str) -> None:
    """Content Qualification is what the manifest declares, and neither is called verified (S11)."""
    context = make_context(make_series())
    context = replace(context, algorithm=replace(context.algorithm, use=use))  # type: ignore[arg-type]

    for dataset in _datasets(context):
        assert dataset.ContentQualification == qualification
        assert "not verified" in dataset.SeriesDescription
        assert ("RESEARCH" in dataset.SeriesDescription) == (use == "research")


def test_the_algorithm_is_a_contributing_device() -> None:
    """The algorithm stands in the Contributing Equipment Sequence with its version and Device UID (S11)."""
    context = make_context(make_series())

    for dataset in _datasets(context):
        (algorithm,) = [item for item in dataset.ContributingEquipmentSequence if "DeviceUID" in item]
        assert algorithm.DeviceUID == context.identity.device_uid()
        assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == ("Sample organ finder", "1.2.3")
        assert algorithm.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert dataset.Manufacturer == "Overread"
        assert dataset.DeviceSerialNumber == context.identity.service_serial_number()
        assert dataset.SoftwareVersions


def test_times_are_read_in_the_zone_of_the_source() -> None:
    """Where the source states its offset from UTC, dates and times of the evidence are meant in it too."""
    sources = make_series()
    for image in sources:
        image.TimezoneOffsetFromUTC = "+0930"

    for dataset in _datasets(make_context(sources)):
        assert dataset.TimezoneOffsetFromUTC == "+0930"
        assert (dataset.ContentDate, dataset.ContentTime) == ("20260304", "143607.890000")


@pytest.mark.parametrize("offset", ["+9999", "+1401", "-1201", "+0960", "0930", "+09:30", "+٠٩٣٠"])
def test_an_offset_that_the_standard_does_not_know_counts_as_absent(offset: str) -> None:
    """PS3.3 section C.12.1.1 allows -1200 to +1400; a mistyped offset costs the zone, not the result."""
    sources = make_series()
    without = make_context(sources).local_started_at
    sources[0].TimezoneOffsetFromUTC = offset
    stated = make_context(sources).local_started_at

    assert (stated, stated.utcoffset()) == (without, without.utcoffset())


@pytest.mark.parametrize(("offset", "minutes"), [("-1200", -720), ("+1400", 840), ("-0330", -210), ("+0000 ", 0)])
def test_the_offsets_at_the_limits_are_followed(offset: str, minutes: int) -> None:
    """Both ends of the allowed range belong to it."""
    sources = make_series()
    sources[0].TimezoneOffsetFromUTC = offset

    assert make_context(sources).local_started_at.utcoffset() == datetime.timedelta(minutes=minutes)


def test_a_large_label_array_is_not_changed() -> None:
    """Neither the numbering nor the even length of the pixels touches the caller's array."""
    series = SourceSeries(shape=(5, 181, 157))
    context, labels = make_context(make_series(series)), make_labels(series.shape)
    before = labels.copy()

    build_evidence(context, labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))

    np.testing.assert_array_equal(labels, before)


def test_the_tables_of_the_standard_are_read_before_the_first_object_needs_them() -> None:
    """After the call highdicom reads none of its files for an object, however many it has."""
    tables = [
        getattr(_standard_utils, f"get_{name}_map") for name in ("sop_class_iod", "iod_module", "module_attribute")
    ]
    for table in tables:
        table.cache_clear()

    read_tables_of_the_standard()

    assert [table.cache_info().currsize for table in tables] == [1, 1, 1]
