"""What may be asked of an archive, and which of its answers are believed."""

from datetime import date

import pytest
from pydantic import ValidationError

from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.matching import FoundSeries, FoundStudy, UnusableQuery, newest_first, query_of


@pytest.mark.parametrize(
    "text",
    [
        "PatientID=*",
        "PatientID=1\\\\2",
        "StudyInstanceUID=1.2.?",
        "Modality",
        "PatientName=DOE",
        "StudyDate=today",
        "",
        "Modality=",
    ],
)
def test_a_query_that_could_match_others_or_cannot_be_read_is_refused(text: str) -> None:
    """Wild cards where an identity is meant, unknown keys and values that are none are refused at once."""
    with pytest.raises(UnusableQuery):
        query_of(text)


def test_answers_that_do_not_meet_the_query_are_left_out() -> None:
    """Another patient, another modality or a day out of the range is no match, whatever the archive says."""
    query = query_of("PatientID=P1 Modality=CT StudyDate=20200101-20201231")
    match = FoundStudy("1.2", "P1", study_date=date(2020, 6, 1), modalities=("SR", "CT"))

    assert query.holds(match)
    for other in (
        FoundStudy("1.2", "P12", study_date=date(2020, 6, 1), modalities=("CT",)),
        FoundStudy("1.2", "P1", study_date=date(2021, 1, 1), modalities=("CT",)),
        FoundStudy("1.2", "P1", study_date=date(2020, 6, 1), modalities=("MR",)),
    ):
        assert not query.holds(other)


def test_what_an_archive_does_not_say_of_a_series_does_not_exclude_it() -> None:
    """A body part that is said must match; one that is not said may be the one."""
    asked = query_of("Modality=CT BodyPartExamined=CHEST").of_series

    assert asked == {"BodyPartExamined": "CHEST", "Modality": "CT"}
    assert FoundSeries("1", {"Modality": "CT", "BodyPartExamined": ""}).meets(asked)
    assert FoundSeries("1", {"Modality": "CT", "BodyPartExamined": "chest"}).meets(asked)
    assert not FoundSeries("1", {"Modality": "CT", "BodyPartExamined": "HEAD"}).meets(asked)
    assert not FoundSeries("1", {"Modality": "SR", "BodyPartExamined": "CHEST"}).meets(asked)


def test_the_newest_studies_come_first_and_those_without_a_date_last() -> None:
    """By day, then by time."""
    studies = [
        FoundStudy("none"),
        FoundStudy("old", study_date=date(2019, 1, 1)),
        FoundStudy("late", study_date=date(2020, 1, 1), study_time="1200"),
        FoundStudy("early", study_date=date(2020, 1, 1), study_time="0800"),
    ]

    assert [one.study_instance_uid for one in newest_first(studies)] == ["late", "early", "old", "none"]


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "dimse", "ae_title": "A", "host": "h", "port": 1, "retrieve": "wado-rs"},
        {"kind": "web", "url": "https://h/dicom-web", "retrieve": "c-get"},
        {"kind": "dimse", "host": "h", "port": 1},
        {"kind": "web"},
        {"kind": "web", "url": "http://pacs.example/dicom-web", "token_file": "t"},
    ],
)
def test_an_archive_that_could_not_be_asked_is_refused_in_words_of_archives(keys: dict[str, object]) -> None:
    """What lacks or contradicts is told before anything is asked, and no destination is named."""
    with pytest.raises(ValidationError) as refused:
        ArchiveSettings.model_validate({"name": "pacs", **keys})

    assert "destination" not in str(refused.value)
    assert "stow" not in str(refused.value)
