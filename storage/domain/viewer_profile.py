"""What a destination's viewers can show: one literal table, and the choice that is made from it.

The same table stands in `docs/reference/viewer-profiles.md`; a test holds the two equal. A chain is a list of forms
that say the same thing, best first: a destination is sent the first one that it takes, and no other of the chain.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from storage.domain.result import ALTERNATIVES, PER_SEGMENT, EvidenceForm, FrozenEvidence

Chain = tuple[EvidenceForm, ...]

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"

_F = EvidenceForm
# What the encoders write each form in; everything else is in Explicit VR Little Endian.
_WRITTEN_IN = {_F.LABEL_MAP: RLE_LOSSLESS, _F.STRUCTURE_SET: IMPLICIT_VR_LITTLE_ENDIAN}
_EVERY_REPORT = (_F.COMPREHENSIVE_3D, _F.COMPREHENSIVE, _F.ENHANCED, _F.BASIC_TEXT)
_REPORT_OR_DOCUMENT = (*_EVERY_REPORT, _F.DOCUMENT)


@dataclass(frozen=True, slots=True)
class ViewerProfile:
    """One kind of viewer.

    ``further`` holds a chain for each other thing that is wanted. ``why`` has one line of reason for each chain, in the
    order of ``chains``.
    """

    name: str
    segmentation: Chain
    report: Chain
    further: tuple[Chain, ...]
    transfer_syntaxes: tuple[str, ...]
    why: tuple[str, ...]

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Every chain, in the order in which they are sent."""
        return (self.segmentation, *self.further, self.report)

    @property
    def forms(self) -> frozenset[EvidenceForm]:
        """Everything that may be sent to such a destination, stand-ins included."""
        return frozenset(form for chain in self.chains for form in chain)

    @property
    def is_told_of_no_result(self) -> bool:
        """Whether a "Not analysed" report can go to such a destination; there is one as basic-text only."""
        return EvidenceForm.BASIC_TEXT in self.forms


def transfer_syntax_of(form: EvidenceForm) -> str:
    """The UID of the one transfer syntax in which a form is written."""
    return _WRITTEN_IN.get(form, EXPLICIT_VR_LITTLE_ENDIAN)


PROFILES: dict[str, ViewerProfile] = {
    profile.name: profile
    for profile in (
        ViewerProfile(
            "any",
            segmentation=(_F.BINARY, _F.BINARY_UNALIGNED),
            further=((_F.SECONDARY_CAPTURE,),),
            report=_REPORT_OR_DOCUMENT,
            transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN,),
            why=(
                "binary is what every reader tried shows; a label map is not known everywhere",
                "a picture is shown everywhere",
                "the coordinates where they are known, and at least the sentences; a document where no report is taken",
            ),
        ),
        ViewerProfile(
            "ohif",
            segmentation=(_F.BINARY, _F.LABEL_MAP, _F.BINARY_UNALIGNED),
            further=((_F.PARAMETRIC_MAP,), (_F.SECONDARY_CAPTURE,)),
            report=_REPORT_OR_DOCUMENT,
            transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS),
            why=(
                "binary is right unless frames share bytes, and a label map is exact then; fractional is refused",
                "drawn as a colour overlay",
                "an ordinary series; presentation states and key objects are not shown, so they are not sent",
                "coordinates are drawn with their numbers; a report without TID 1500 is a page of text; documents open",
            ),
        ),
        ViewerProfile(
            "slicer",
            segmentation=(_F.BINARY, _F.BINARY_UNALIGNED, _F.LABEL_MAP),
            further=((_F.PARAMETRIC_MAP,),),
            report=(_F.COMPREHENSIVE_3D, _F.COMPREHENSIVE, _F.ENHANCED),
            transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS),
            why=(
                "QuantitativeReporting finds only a binary one from the report; a fractional one is inflated",
                "read by dcmqi",
                "TID 1500 in these three classes; it reads no text",
            ),
        ),
        ViewerProfile(
            "weasis",
            segmentation=(_F.BINARY, _F.BINARY_UNALIGNED, _F.LABEL_MAP, _F.FRACTIONAL),
            further=(
                (_F.PARAMETRIC_MAP,),
                (_F.PRESENTATION_STATE, _F.SECONDARY_CAPTURE),
                (_F.KEY_OBJECTS,),
            ),
            report=_REPORT_OR_DOCUMENT,
            transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS),
            why=(
                "all four since 4.7, the shared bytes of binary ones included",
                "shown as an image",
                "contours on the images themselves; a picture of them where they are not taken",
                "its own list of key images",
                "every template is a page, and 2D coordinates are drawn; those in space are not; it opens documents",
            ),
        ),
        ViewerProfile(
            "planning",
            segmentation=(_F.BINARY, _F.BINARY_UNALIGNED),
            further=((_F.STRUCTURE_SET,),),
            report=_EVERY_REPORT,
            transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN),
            why=(
                "for systems that read segmentations as well",
                "what radiotherapy planning draws and plans on",
                "the numbers beside the contours",
            ),
        ),
    )
}
ANY = PROFILES["any"]


def own_profile(
    name: str,
    base: ViewerProfile,
    *,
    segmentation: Chain | None = None,
    further: tuple[Chain, ...] | None = None,
    report: Chain | None = None,
    transfer_syntaxes: tuple[str, ...] | None = None,
    one_object_per_structure: bool = False,
) -> ViewerProfile:
    """A profile of a site's own: as ``base`` but for what is given.

    ``one_object_per_structure`` puts into the place of each binary form the one that has an object for each segment.

    Raises:
        ValueError: in one sentence, why these chains cannot be.
    """
    chain = base.segmentation if segmentation is None else segmentation
    if one_object_per_structure:
        _check_begins_with_binary(name, chain)
    own = ViewerProfile(
        name,
        tuple(PER_SEGMENT.get(form, form) for form in chain) if one_object_per_structure else chain,
        base.report if report is None else report,
        base.further if further is None else further,
        base.transfer_syntaxes if transfer_syntaxes is None else transfer_syntaxes,
        (),
    )
    _check(own)
    return replace(own, why=("as this site has set it",) * len(own.chains))


def _check(profile: ViewerProfile) -> None:
    if not profile.transfer_syntaxes:
        raise ValueError(f"the profile {profile.name} has no transfer syntax, so nothing could be sent; name one")
    if not all(profile.chains):
        raise ValueError(
            f"the profile {profile.name} has an empty chain; name a form in it, or leave the key out to have what "
            "based_on has"
        )
    _check_places(profile)
    forms = [form for chain in profile.chains for form in chain]
    for form in forms:
        if forms.count(form) > 1:
            raise ValueError(f"the profile {profile.name} names {form} twice; let each form stand in one place")
    for alternatives in ALTERNATIVES:
        chains = [chain for chain in profile.chains if {*chain} & {*alternatives}]
        if len(chains) > 1:
            first, second = (next(form for form in chain if form in alternatives) for chain in chains[:2])
            raise ValueError(
                f"the profile {profile.name} has {first} and {second} in two chains, but they say the same; put them "
                "into one"
            )
    for chain in profile.chains:
        written_in = sorted({transfer_syntax_of(form) for form in chain})
        if not {*written_in} & {*profile.transfer_syntaxes}:
            raise ValueError(
                f"the profile {profile.name} has no transfer syntax that anything of the chain {' → '.join(chain)} is "
                f"written in, so nothing of it could be sent; add {' or '.join(written_in)} to transfer_syntaxes"
            )


def _check_places(profile: ViewerProfile) -> None:
    """Refuse a report among segmentations and the reverse, in the words of the key that it belongs to."""
    segmentations, reports = ALTERNATIVES
    for key, chain, others, other_key in (
        ("segmentation", profile.segmentation, reports, "report"),
        ("report", profile.report, segmentations, "segmentation"),
    ):
        for form in chain:
            if form in others:
                raise ValueError(
                    f"the profile {profile.name} has {form} in {key}, but that is a form of a {other_key}; put it into "
                    f"{other_key}"
                )


def _check_begins_with_binary(name: str, segmentation: Chain) -> None:
    if segmentation and not {segmentation[0]} & {*PER_SEGMENT, *PER_SEGMENT.values()}:
        raise ValueError(
            f"the profile {name} has one_object_per_structure, but {segmentation[0]} stands first in its segmentation "
            "and would be sent, with every structure in one object; begin with binary, or remove "
            "one_object_per_structure"
        )


def wanted_forms(profiles: Iterable[ViewerProfile]) -> frozenset[EvidenceForm]:
    """What has to be made for these profiles before the first send; with none, what the profile ``any`` begins with."""
    forms = frozenset[EvidenceForm]().union(*(profile.forms for profile in profiles))
    return forms or frozenset(ANY.forms - {*ANY.report[1:]})


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to be delivered: its instances by form, best form first.

    ``begun`` are the forms of which the destination already has an instance; the rest of those is owed, and nothing of
    any other form.
    """

    forms: tuple[tuple[EvidenceForm, tuple[FrozenEvidence, ...]], ...]
    begun: tuple[EvidenceForm, ...] = ()

    def to_send(self) -> Iterator[FrozenEvidence]:
        """Those that may be sent at all."""
        for form, instances in self.forms:
            if not self.begun or form in self.begun:
                yield from instances

    def instances(self) -> Iterator[FrozenEvidence]:
        """All of them."""
        for _, instances in self.forms:
            yield from instances


def choices(
    profile: ViewerProfile, evidence: Sequence[FrozenEvidence], taken: frozenset[EvidenceForm] = frozenset()
) -> tuple[tuple[Choice, ...], tuple[FrozenEvidence, ...]]:
    """What of a result a destination of this profile is owed one form of, and what it does not want at all.

    ``taken`` are the forms that the destination has an instance of. Such a form is the choice, also when the profile
    has changed since and no longer holds it: a destination never gets a second form of one content.
    """
    found = []
    for chain in profile.chains:
        begun = _begun(chain, taken)
        order = (*begun, *(form for form in chain if form not in begun))
        of_form = [(form, tuple(one for one in evidence if one.form is form)) for form in order]
        present = tuple((form, instances) for form, instances in of_form if instances)
        if present:
            found.append(Choice(present, begun))
    chosen = {form for choice in found for form, _ in choice.forms}
    return tuple(found), tuple(one for one in evidence if one.form not in chosen)


def _begun(chain: Chain, taken: frozenset[EvidenceForm]) -> tuple[EvidenceForm, ...]:
    same = {*chain}.union(*(forms for forms in ALTERNATIVES if {*chain} & {*forms}))
    return tuple(form for form in EvidenceForm if form in taken & same)


def without_a_form(
    profile: ViewerProfile, evidence: Sequence[FrozenEvidence], taken: frozenset[EvidenceForm] = frozenset()
) -> tuple[tuple[str, tuple[FrozenEvidence, ...]], ...]:
    """What a result has of segmentation and report, by that word, where this profile holds none of its forms.

    Every profile wants both. So this is not something that the destination does without, but a form that was not made,
    as after a change of the profile. What it does without, as pictures and a "Not
    analysed" report, is not among it.
    """
    found = []
    for word, forms in zip(("segmentation", "report"), ALTERNATIVES, strict=True):
        there = tuple(one for one in evidence if one.form in forms and one.analysed)
        if there and not {*forms} & taken and not any(one.form in profile.forms for one in there):
            found.append((word, there))
    return tuple(found)
