"""What a destination is owed follows from its profile and from nothing else."""

import re
from pathlib import Path

import pytest

from storage.domain.result import ALTERNATIVES, EvidenceForm, EvidenceRole, FrozenEvidence, stand_ins
from storage.domain.viewer_profile import ANY, PROFILES, ViewerProfile, choices, wanted_forms, without_a_form

_PAGE = Path(__file__).parents[3] / "docs/reference/viewer-profiles.md"
_F = EvidenceForm


def evidence(form: EvidenceForm, uid: str = "1.2.3") -> FrozenEvidence:
    """Something in this form."""
    return FrozenEvidence(EvidenceRole.REPORT, "1.2", uid, "1.3", "1.2.840.10008.1.2.1", Path("x"), "a" * 64, 1, form)


def test_the_table_and_its_page_are_equal() -> None:
    """Every chain of every profile stands in the documentation with its reason, and nothing else does."""
    written = [
        tuple(cell.replace("`", "").strip() for cell in line.strip("|").split("|"))
        for line in _PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]

    assert written == [
        (profile.name, " → ".join(chain), why)
        for profile in PROFILES.values()
        for chain, why in zip(profile.chains, profile.why, strict=True)
    ]


def test_every_form_is_explained_beside_what_it_says_the_same_as() -> None:
    """The page has a row for each form; forms of one content, and no others, have the same second column."""
    rows = [line.strip("|").split("|") for line in _PAGE.read_text().splitlines() if re.match(r"\| [a-z]", line)]
    content = {cells[0].strip(): cells[1].strip() for cells in rows if len(cells) == 4}

    told = {form: content.pop(form) for form in EvidenceForm}
    assert set(content) <= {"profile", "form"}
    assert {frozenset(form for form in told if told[form] == word) for word in told.values()} == {
        *map(frozenset, ALTERNATIVES),
        *(frozenset([form]) for form in EvidenceForm if not any(form in chain for chain in ALTERNATIVES)),
    }


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_form_stands_in_one_chain_only(profile: ViewerProfile) -> None:
    """Two chains of a profile never want the same form, or one object would answer for two things."""
    forms = [form for chain in profile.chains for form in chain]

    assert len(forms) == len(set(forms))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_profile_sends_two_forms_of_one_content(profile: ViewerProfile) -> None:
    """What only repeats another form is never in a chain of its own."""
    for alternatives in ALTERNATIVES:
        assert len([chain for chain in profile.chains if set(chain) & set(alternatives)]) <= 1


def test_what_is_made_is_the_union_of_what_destinations_may_need() -> None:
    """Stand-ins are made before the first send, because nothing is made afterwards."""
    assert wanted_forms([ANY, PROFILES["weasis"]]) == ANY.forms | PROFILES["weasis"].forms
    assert {_F.COMPREHENSIVE, _F.ENHANCED, _F.BASIC_TEXT} <= wanted_forms([ANY])


def test_without_destinations_no_stand_in_is_made() -> None:
    """A result that goes nowhere is kept in its first forms."""
    assert wanted_forms([]) & {_F.COMPREHENSIVE, _F.ENHANCED, _F.BASIC_TEXT} == set()
    assert {_F.BINARY, _F.COMPREHENSIVE_3D, _F.SECONDARY_CAPTURE} <= wanted_forms([])


def test_a_destination_is_owed_one_of_each_chain() -> None:
    """Forms of one chain are one choice, best first; what the profile does not show is not wanted."""
    basic, best, contours = evidence(_F.BASIC_TEXT), evidence(_F.COMPREHENSIVE_3D), evidence(_F.PRESENTATION_STATE)

    (choice,), unwanted = choices(ANY, [basic, best, contours])

    assert choice.forms == ((_F.COMPREHENSIVE_3D, (best,)), (_F.BASIC_TEXT, (basic,)))
    assert unwanted == (contours,)


def test_a_form_that_is_there_is_the_choice() -> None:
    """The rest of it is owed, also where the profile no longer has that form; others of the content stand behind."""
    rest, labels, picture = evidence(_F.BINARY_PER_SEGMENT), evidence(_F.LABEL_MAP), evidence(_F.SECONDARY_CAPTURE)

    (segmentation, further), unwanted = choices(
        PROFILES["ohif"], [labels, rest, picture], frozenset({_F.BINARY_PER_SEGMENT})
    )

    assert segmentation.begun == (_F.BINARY_PER_SEGMENT,)
    assert segmentation.forms == ((_F.BINARY_PER_SEGMENT, (rest,)), (_F.LABEL_MAP, (labels,)))
    assert further.begun == ()
    assert unwanted == ()


def test_a_segmentation_and_a_report_are_wanted_in_some_form() -> None:
    """Named is what has no form of the profile, unless the destination has it already; pictures may be left out."""
    labels, basic, picture = evidence(_F.LABEL_MAP), evidence(_F.BASIC_TEXT), evidence(_F.SECONDARY_CAPTURE)
    slicer = PROFILES["slicer"]

    assert without_a_form(ANY, [labels, basic, picture]) == (("segmentation", (labels,)),)
    assert without_a_form(slicer, [labels, basic, picture]) == (("report", (basic,)),)
    assert without_a_form(slicer, [basic, picture], frozenset({_F.COMPREHENSIVE})) == ()
    assert without_a_form(slicer, [basic, evidence(_F.ENHANCED), picture]) == ()


def test_a_picture_stands_in_for_contours_only_where_the_profile_says_so() -> None:
    """Weasis is owed the presentation state or the picture; any PACS the picture."""
    picture, contours = evidence(_F.SECONDARY_CAPTURE), evidence(_F.PRESENTATION_STATE)

    (choice,), _ = choices(PROFILES["weasis"], [picture, contours])
    (plain,), _ = choices(ANY, [picture, contours])

    assert [form for form, _ in choice.forms] == [_F.PRESENTATION_STATE, _F.SECONDARY_CAPTURE]
    assert [form for form, _ in plain.forms] == [_F.SECONDARY_CAPTURE]


def test_the_first_form_of_a_content_stands_in_for_nothing() -> None:
    """Of several forms the best is the result; a form without a better one is the result too."""
    assert stand_ins([_F.BASIC_TEXT, _F.ENHANCED, _F.SECONDARY_CAPTURE]) == {_F.BASIC_TEXT}
    assert stand_ins([_F.BINARY_PER_SEGMENT, _F.BINARY]) == {_F.BINARY_PER_SEGMENT}
