"""How long a study is waited for by who sent it, and what the evidence says in words."""

import pytest
from pydantic import ValidationError

from storage.domain.completeness import (
    NAMING,
    EvidenceKind,
    Named,
    Source,
    SourcePatience,
    Word,
    geometry_evidence,
    naming_evidence,
)
from storage.domain.slice_positions import Slice
from storage.settings import StudySettings

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def test_a_source_has_what_its_entry_sets_and_the_rest_of_everybody() -> None:
    """An account is not the AE title of the same letters; blanks around a title mean nothing."""
    settings = StudySettings.model_validate(
        {
            "quiet_seconds": 60,
            "evidence": ["geometry"],
            "sources": [
                {"ae_title": "CT1", "quiet_seconds": 20, "evidence": ["commitment"]},
                {"account": "CT1", "longest_wait_seconds": 90, "evidence": []},
            ],
        }
    )
    patience = settings.patience()

    assert patience.with_all([Source("CT1 ")]) == SourcePatience(20, 7200, 5, frozenset({EvidenceKind.COMMITMENT}))
    assert patience.with_all([Source("CT1", web=True)]) == SourcePatience(60, 90, 5)
    assert patience.with_all([]) == SourcePatience(60, 7200, 5, frozenset({EvidenceKind.GEOMETRY}))
    assert (patience.soonest(), patience.shortest_longest_wait()) == (5, 90)
    assert patience.believes(EvidenceKind.COMMITMENT, Source("CT1"))
    assert not patience.believes(EvidenceKind.COMMITMENT, Source("CT2"))


def test_a_study_of_several_senders_waits_as_for_the_slowest() -> None:
    """Each number is the largest, and all their evidence counts."""
    settings = StudySettings.model_validate(
        {"sources": [{"ae_title": "CT1", "quiet_seconds": 300}, {"ae_title": "CT2", "evidence": ["geometry"]}]}
    )

    both = settings.patience().with_all([Source("CT1"), Source("CT2")])

    assert both == SourcePatience(300, 7200, 5, frozenset({EvidenceKind.GEOMETRY}))


def test_without_evidence_that_ends_the_wait_nothing_is_looked_at_before_the_quiet_time() -> None:
    """The housekeeper asks every second; a gap can only extend."""
    assert StudySettings(evidence=(EvidenceKind.GEOMETRY,)).patience().soonest() == 60


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([{}], id="neither"),
        pytest.param([{"ae_title": "CT1", "account": "ct1"}], id="both"),
        pytest.param([{"ae_title": "CT1"}, {"ae_title": "CT1 "}], id="twice"),
        pytest.param([{"ae_title": "CT1", "evidence": ["quiet"]}], id="not-to-be-chosen"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(entries: list[dict[str, object]]) -> None:
    """One sender an entry, one entry a sender, and only evidence that can be chosen."""
    with pytest.raises(ValidationError):
        StudySettings.model_validate({"sources": entries})


@pytest.mark.parametrize(
    ("absent", "unnamed", "word", "sentence"),
    [
        (0, 0, Word.WHOLE, "CT1 asked for storage commitment of 9 instances; all had arrived, and no other."),
        (2, 0, Word.LACKING, "CT1 asked for storage commitment of 9 instances, 2 of which had not arrived."),
        (2, 3, Word.LACKING, "CT1 asked for storage commitment of 9 instances, 2 of which had not arrived."),
        (
            0,
            1,
            Word.SILENT,
            "CT1 asked for storage commitment of 9 instances, and 1 instance had arrived that it did not name.",
        ),
    ],
)
def test_requests_say_that_a_study_is_whole_only_if_they_name_all_of_it(
    absent: int, unnamed: int, word: Word, sentence: str
) -> None:
    """What lacks weighs more than what was not named."""
    for kind, did in NAMING.items():
        evidence = naming_evidence(kind, [Source("CT1")], Named(9, absent, unnamed))

        told = sentence.replace("asked for storage commitment of", did)
        assert (evidence.kind, evidence.word, evidence.sentence) == (kind, word, told)
    assert NAMING[EvidenceKind.AVAILABILITY] == "notified the availability of"


def test_what_never_comes_is_told_and_does_not_keep_a_study_from_being_whole() -> None:
    """Results of ours that the peer lists as well; with something set aside nothing is said to be whole."""
    ours = naming_evidence(EvidenceKind.AVAILABILITY, [Source("PACS")], Named(4, 0, 0, ours=2))
    both = naming_evidence(EvidenceKind.AVAILABILITY, [Source("PACS")], Named(4, 0, 0, aside=1, ours=2))

    told = "PACS notified the availability of 4 instances (2 of them results of ours, and not waited for)"
    assert (ours.word, ours.sentence) == (Word.WHOLE, f"{told}; all others had arrived, and no more.")
    told = (
        "(1 of them set aside when they came, 2 of them results of ours, and not waited for); all others had arrived."
    )
    assert both.word is Word.SILENT
    assert both.sentence.endswith(told)


def test_gaps_are_told_by_series() -> None:
    """The first five by name, so that the sentence stays one."""
    holed = [Slice((0.0, 0.0, float(z)), _AXIAL) for z in range(12) if z != 4]
    few = geometry_evidence({"1.2.2": holed, "1.2.1": holed[:3]})
    many = geometry_evidence({f"1.2.{number}": holed for number in range(7)})

    assert few.sentence == "By the positions of its images, series 1.2.2 lacked 1 image."
    assert many.sentence.endswith("series 1.2.4 lacked 1 image; so did 2 other series.")
    assert geometry_evidence({"1.2.1": holed[:3]}).word is Word.SILENT
