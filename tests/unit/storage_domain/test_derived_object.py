"""Which SOP classes count as images."""

import pytest

from storage.domain.derived_object import exclusion_by_class
from storage.domain.study import EXCLUSION_SENTENCES, ExclusionRule

_STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    "suffix",
    ["11.1", "11.8", "30", "66", "66.1", "66.4", "66.5", "66.7", "67", "88.33", "88.59", "91.1", "104.1", "481.3"],
)
def test_objects_about_images_start_no_analysis(suffix: str) -> None:
    """Presentation states, registrations, segmentations, reports, documents and the like are excluded by their rule."""
    assert exclusion_by_class(_STORAGE + suffix) is ExclusionRule.DERIVED_OBJECT


@pytest.mark.parametrize(
    "suffix", ["1", "1.1", "2", "2.1", "4", "4.1", "6.1", "7", "20", "77.1.6", "128", "130", "481.1"]
)
def test_images_count(suffix: str) -> None:
    """Images of every modality count, secondary captures too, and so does what the table does not name."""
    assert exclusion_by_class(_STORAGE + suffix) is None


def test_a_longer_uid_is_another_class() -> None:
    """Only whole components of a UID are compared."""
    assert exclusion_by_class(_STORAGE + "301") is None
    assert exclusion_by_class(_STORAGE + "111.1") is None


def test_each_rule_has_its_sentence() -> None:
    """Whatever sets an instance aside can say so."""
    assert set(EXCLUSION_SENTENCES) == set(ExclusionRule)
