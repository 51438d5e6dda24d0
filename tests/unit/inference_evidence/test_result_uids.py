"""UIDs of results."""

import re
from dataclasses import fields, replace

import pytest

from inference.evidence.result_uids import ResultIdentity, SeriesNaming
from storage.domain.identifiers import checked_uid

IDENTITY = ResultIdentity(
    site_secret=b"secret",
    study_instance_uid="1.2.3",
    input_sha256s=("aa", "bb"),
    artifact_sha256="cc",
    manifest_sha256="dd",
)


def test_the_same_result_has_the_same_uids() -> None:
    """Two processes that know the same things derive the same UID; it is pinned because frozen files repeat it."""
    assert IDENTITY.uid("report") == replace(IDENTITY).uid("report")
    assert IDENTITY.uid("report") == "2.25.73172145892676110368911892315429643489"


def test_a_uid_follows_the_standard() -> None:
    """A derived UID is 2.25. and an integer, at most 64 characters long (PS3.5 section B.2)."""
    for role in ("segmentation", "report", "tracking liver"):
        assert checked_uid(IDENTITY.uid(role), "SOPInstanceUID")
        assert re.fullmatch(r"2\.25\.[1-9][0-9]*", IDENTITY.uid(role))


@pytest.mark.parametrize(
    "other",
    [
        replace(IDENTITY, site_secret=b"another"),
        replace(IDENTITY, study_instance_uid="1.2.4"),
        replace(IDENTITY, input_sha256s=("aa",)),
        replace(IDENTITY, input_sha256s=("aab", "b")),
        replace(IDENTITY, artifact_sha256="ee"),
        replace(IDENTITY, manifest_sha256="ee"),
        replace(IDENTITY, naming=SeriesNaming(number_base=5000)),
        replace(IDENTITY, naming=SeriesNaming(description_prefix="AI")),
    ],
    ids=["site", "study", "fewer-inputs", "shifted-inputs", "model", "manifest", "series-numbers", "series-names"],
)
def test_anything_else_has_other_uids(other: ResultIdentity) -> None:
    """Another site, study, input or model, or other names in the objects, give another UID for the same role."""
    assert other.uid("report") != IDENTITY.uid("report")


def test_the_revision_of_the_study_is_no_part_of_a_uid() -> None:
    """The same images give the same objects in every revision, or two services could answer each other for ever."""
    assert "revision" not in {field.name for field in fields(ResultIdentity)}


def test_roles_differ() -> None:
    """No two roles of one result share a UID."""
    roles = ("segmentation", "segmentation-series", "report", "report-series", "tracking 1", "tracking 2")

    assert len({IDENTITY.uid(role) for role in roles}) == len(roles)


def test_the_order_of_the_inputs_does_not_matter() -> None:
    """A result has the same UIDs in whatever order its images arrived."""
    assert replace(IDENTITY, input_sha256s=("bb", "aa")).uid("report") == IDENTITY.uid("report")


def test_the_device_changes_with_the_model_alone() -> None:
    """The algorithm is one device in all studies, and another device with other model bytes (IHE AIR)."""
    assert replace(IDENTITY, study_instance_uid="9.9").device_uid() == IDENTITY.device_uid()
    assert replace(IDENTITY, artifact_sha256="ee").device_uid() != IDENTITY.device_uid()


def test_the_secret_is_not_printed() -> None:
    """A logged identity tells nothing of the site's secret."""
    assert "secret" not in repr(IDENTITY)
