"""Viewer profiles of a site's own, in the settings file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from overread.errors import InvalidSettings
from overread.settings import Settings, load_settings
from storage.domain.result import EvidenceForm
from storage.domain.viewer_profile import PROFILES

_F = EvidenceForm
DESTINATION = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\nprofile = "ward"\n'

Load = Callable[[str], Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """The settings of a file with a destination of the profile ward, and these lines below [[profiles]]."""

    def of(lines: str) -> Settings:
        path = tmp_path / "overread.toml"
        path.write_text(f"{DESTINATION}[[profiles]]\n{lines}", encoding="utf-8")
        monkeypatch.setenv("OVERREAD_CONFIG", str(path))
        return load_settings()

    return of


def test_what_a_profile_sets_is_its_own_and_the_rest_as_in_its_base(load: Load) -> None:
    """A destination may have it, and delivery and worker find it under its name."""
    settings = load(
        'name = "ward"\nbased_on = "weasis"\n'
        'segmentation = ["label-map", "binary"]\nfurther = [["secondary-capture"]]\n'
    )

    ward = settings.viewer_profiles()[settings.destinations[0].profile]
    assert ward.segmentation == (_F.LABEL_MAP, _F.BINARY)
    assert ward.further == ((_F.SECONDARY_CAPTURE,),)
    assert ward.report == PROFILES["weasis"].report
    assert ward.transfer_syntaxes == PROFILES["weasis"].transfer_syntaxes
    assert len(ward.why) == len(ward.chains)


def test_one_object_per_structure_takes_the_place_of_the_binary_forms(load: Load) -> None:
    """The order of the chain stays, and so does what is said of frames that share bytes."""
    ward = load('name = "ward"\nbased_on = "ohif"\none_object_per_structure = true\n').viewer_profiles()["ward"]

    assert ward.segmentation == (_F.BINARY_PER_SEGMENT, _F.LABEL_MAP, _F.BINARY_PER_SEGMENT_UNALIGNED)
    assert ward.further == PROFILES["ohif"].further


def test_the_example_of_the_documentation_can_be_used(load: Load) -> None:
    """What is copied from the page is a profile, named as the destination here names it."""
    page = (Path(__file__).parents[3] / "docs/reference/viewer-profiles.md").read_text(encoding="utf-8")
    example = page.split("```toml\n[[profiles]]\n")[1].split("```")[0]

    assert load(example).viewer_profiles()["ward"].segmentation == (_F.BINARY, _F.BINARY_UNALIGNED, _F.LABEL_MAP)


def test_without_a_base_it_is_like_any_pacs(load: Load) -> None:
    """A profile that sets nothing else has another name only; nothing further is a list that is empty."""
    assert load('name = "ward"\n').viewer_profiles()["ward"].chains == PROFILES["any"].chains
    assert load('name = "ward"\nfurther = []\n').viewer_profiles()["ward"].further == ()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'name = "ward"\nsegmentation = ["binray"]\n',
            r"entry 1 of segmentation in entry 1 of profiles in .*, line \d+, is not",
        ),
        ('name = "ward"\nsegmentation = ["binary", "binary"]\n', "ward names binary twice"),
        ('name = "ward"\nfurther = [["basic-text"]]\n', "ward names basic-text twice"),
        (
            'name = "ward"\nsegmentation = ["binary", "basic-text"]\n',
            "ward has basic-text in segmentation, but that is a form of a report; put it into report",
        ),
        (
            'name = "ward"\nreport = ["label-map"]\n',
            "ward has label-map in report, but that is a form of a segmentation; put it into segmentation",
        ),
        (
            'name = "ward"\nsegmentation = ["label-map"]\none_object_per_structure = true\n',
            "ward has one_object_per_structure, but label-map stands first .*; begin with binary, or remove",
        ),
        (
            'name = "ward"\none_object_per_structure = true\nsegmentation = ["label-map", "binary"]\n',
            "ward has one_object_per_structure, but label-map stands first",
        ),
        (
            'name = "ward"\nsegmentation = ["label-map"]\n',
            r"anything of the chain label-map is written in, .*; add 1\.2\.840\.10008\.1\.2\.5 to transfer_syntaxes",
        ),
        ('name = "ward"\nfurther = [["structure-set"]]\n', r"chain structure-set .* add 1\.2\.840\.10008\.1\.2 to"),
        (
            'name = "ward"\ntransfer_syntaxes = ["1.2.840.10008.1.2.4.70"]\n',
            r"chain binary → binary-unaligned .* add 1\.2\.840\.10008\.1\.2\.1 to transfer_syntaxes",
        ),
        ('name = "ward"\nfurther = [["label-map"]]\n', "binary and label-map in two chains, but they say the same"),
        (
            'name = "ward"\nsegmentation = ["binary", "binary-per-segment"]\none_object_per_structure = true\n',
            "ward names binary-per-segment twice",
        ),
        ('name = "ward"\nsegmentation = []\n', "ward has an empty chain; name a form in it"),
        ('name = "ward"\nfurther = [[]]\n', "ward has an empty chain"),
        ('name = "ward"\ntransfer_syntaxes = []\n', "ward has no transfer syntax"),
        ('name = "ward"\nbased_on = "ohfi"\n', "ohfi is no profile of this release; base it on one of any, ohif"),
        ('name = "ohif"\n', "ohif is a profile of this release; give yours another name"),
        ('name = "ward"\n[[profiles]]\nname = "ward"\n', r"two \[\[profiles\]\] are named ward"),
        ('name = "wards"\n', "pacs has the profile ward, which is none of any, .*wards"),
        ('name = "ward"\nsegmentations = ["binary"]\n', "segmentations .* is not a setting"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(load: Load, lines: str, told: str) -> None:
    """Unknown and doubled forms, empty chains, unknown and shipped names: each is refused before anything starts."""
    with pytest.raises(InvalidSettings, match=told):
        load(lines)
