"""Which series of a study an algorithm accepts, with a sentence for each that it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom import Dataset

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.manifest import Manifest
from inference.algorithms.manifest_parts import ANY_SPACING_MM, AcquisitionCondition, InputContract
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.errors import UnusableInput
from inference.imaging.body_part import shown_body_part
from inference.imaging.frames import MULTI_FRAME_CLASSES, SINGLE_FRAMES_CLASSES, differences, frame_number
from inference.imaging.geometry import Geometry, order_slices
from inference.imaging.image_series import Layout, order_images
from inference.imaging.modality import shown_modality
from inference.imaging.patient_age import age_years
from inference.imaging.pixel_format import pixel_formats
from inference.imaging.series_reader import read_headers
from storage.domain.job import Reason, Refusal
from storage.domain.study import StoredInstance

_DERIVED = frozenset({"SEG", "SR", "PR", "KO", "DOC", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SC", "OT", "ANN"})
# Sound images that are no single volume, such as diffusion series, cine loops and unlabelled localizers.
_OTHER_KINDS = frozenset(
    {"multi-frame", "several-volumes", "not-monochrome", "duplicate-positions", "mixed-orientation"}
)
_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})  # PS3.3 sections C.8.1.1, C.8.11.5


@dataclass(frozen=True)
class AcceptedSeries:
    """A series that meets the input contract, with the headers of its images in slice order.

    ``geometry`` is the grid of a series that is taken for a volume.
    """

    series_instance_uid: str
    series_number: int | None
    headers: list[Dataset]
    instances: dict[str, StoredInstance]  # by SOP Instance UID
    geometry: Geometry | None = None


@dataclass(frozen=True)
class Selection:
    """The series to analyse, or ``None``; a refusal for every series that the contract does not accept.

    ``ranked_lower`` are those that it accepts as well, each with why another was taken.
    """

    accepted: AcceptedSeries | None
    refusals: tuple[Refusal, ...]
    ranked_lower: tuple[Refusal, ...] = ()


def select_series(instances: Sequence[StoredInstance], manifest: Manifest) -> Selection:
    """Choose the series with the most images among those accepted, then the lowest Series Number.

    Raises:
        UnusableInput: the study has a series for this algorithm, but none that can be used; the first fault found
            in the largest of them is the reason.
    """
    refusals: list[Refusal] = []
    faults: list[tuple[int, UnusableInput]] = []
    accepted: list[AcceptedSeries] = []
    for uid, members in _by_series(instances).items():
        try:
            accepted.append(_accept(uid, members, manifest))
        except _Refused as refused:
            refusals.append(Refusal(uid, refused.reason))
        except UnusableInput as fault:
            refusals.append(Refusal(uid, fault.reason))
            if fault.reason.code not in _OTHER_KINDS:
                faults.append((len(members), fault))
    if not accepted and faults:
        worst = max(faults, key=lambda entry: entry[0])[1]
        worst.refusals = tuple(refusals)
        raise worst
    if not accepted:
        return Selection(None, tuple(refusals))
    chosen, *others = sorted(accepted, key=_rank)
    return Selection(chosen, tuple(refusals), tuple(_ranked_lower(other, chosen) for other in others))


def _by_series(instances: Sequence[StoredInstance]) -> dict[str, list[StoredInstance]]:
    series: dict[str, list[StoredInstance]] = {}
    for instance in instances:
        series.setdefault(instance.header.series_instance_uid, []).append(instance)
    return series


def _rank(series: AcceptedSeries) -> tuple[int, bool, int, str]:
    number = series.series_number
    return -len(series.headers), number is None, number or 0, series.series_instance_uid


def _ranked_lower(series: AcceptedSeries, chosen: AcceptedSeries) -> Refusal:
    """Why an accepted series was not taken, in the words of ``_rank``."""
    images, most = len(series.headers), len(chosen.headers)
    if images < most:
        why = f"has more images ({most} instead of {images})"
    elif series.series_number == chosen.series_number:
        why = "has as many images, the same Series Number and the lower UID"
    else:
        why = f"has as many images and the lower Series Number ({chosen.series_number})"
    sentence = f"It could be analysed too, but series {chosen.series_instance_uid} {why}."
    return Refusal(series.series_instance_uid, Reason("ranked-lower", sentence))


class _Refused(Exception):
    """The contract does not accept the series."""

    def __init__(self, code: str, sentence: str) -> None:
        self.reason = Reason(code, sentence)
        super().__init__(sentence)


def _accept(uid: str, members: list[StoredInstance], manifest: Manifest) -> AcceptedSeries:
    """Check from the cheapest to the dearest: rows of storage, then headers, then geometry."""
    _check_summary(members, manifest)
    headers = _of_accepted_views(read_headers(members), manifest)
    _check_colour(headers, manifest)
    _check_header(headers, manifest)
    ordered, geometry = _in_order(headers, manifest)
    by_uid = {member.header.sop_instance_uid: member for member in members}
    return AcceptedSeries(uid, members[0].header.series_number, ordered, by_uid, geometry)


def _check_colour(headers: list[Dataset], manifest: Manifest) -> None:
    """Every header describes an image that we can read, and colours only where the manifest takes them."""
    if any(form.is_colour for form in pixel_formats(headers)) and manifest.input.colour == "refuse":
        raise UnusableInput("not-monochrome", f"The images are in colour; {manifest.title} takes grey values.")


def _in_order(headers: list[Dataset], manifest: Manifest) -> tuple[list[Dataset], Geometry | None]:
    """A segmentation needs a volume; a classification takes images as they are, and the geometry they state."""
    if isinstance(manifest, SegmentationManifest) and manifest.input.projection:
        return _projection(headers, manifest), None
    frames = [header for header in headers if frame_number(header) is not None]
    without_place = {str(frame.SOPClassUID) for frame in frames if not frame.get("ImagePositionPatient")}
    if isinstance(manifest, ClassificationManifest | DetectionManifest):
        if without_place - SINGLE_FRAMES_CLASSES:
            raise _no_place()
        images, layout = order_images(headers)
        _check_layout(layout, manifest)
        return images, None
    if frames and not any(frame.get("ImagePositionPatient") for frame in frames):
        raise _no_place()
    slices, geometry = _volume(headers, frames)
    spacing = geometry.spacing_mm
    _check_layout(Layout(geometry.plane, spacing[0], max(spacing[1:]), spacing[0] * len(slices)), manifest)
    return slices, geometry


def _projection(headers: list[Dataset], manifest: Manifest) -> list[Dataset]:
    """One radiograph, whose pixels need no place in the patient."""
    if frame_number(headers[0]) is not None:
        raise _no_place()
    if len(headers) > 1:
        raise _Refused(
            "several-images", f"The series has {len(headers)} images of such a view; {manifest.title} takes one."
        )
    images, layout = order_images(headers)
    _check_layout(layout, manifest)
    return images


def _no_place() -> UnusableInput:
    return UnusableInput(
        "multi-frame", "The series has multi-frame images whose frames have no place in the patient, such as a film."
    )


def _volume(headers: list[Dataset], frames: list[Dataset]) -> tuple[list[Dataset], Geometry]:
    try:
        return order_slices(headers)
    except UnusableInput:
        count, words = differences(frames)
        if count == 1:
            raise
        raise UnusableInput(
            "several-volumes",
            f"The frames are no single volume: they differ in {_listed(words, 'and')}; send each volume as a series.",
        ) from None


def _check_summary(members: list[StoredInstance], manifest: Manifest) -> None:
    contract, title, first = manifest.input, manifest.title, members[0].header
    modality = first.modality
    if modality in _DERIVED:
        raise _Refused("derived-result", "The series holds derived objects, no acquired images.")
    if modality not in contract.modalities:
        raise _Refused(
            "modality-not-accepted",
            f"The series is {shown_modality(modality, 'of unknown modality')}; "
            f"{title} takes {_listed(contract.modalities)}.",
        )
    # What stands in functional groups, storage does not know: how many frames there are, and of which body part.
    told_later = any(member.header.sop_class_uid in MULTI_FRAME_CLASSES for member in members)
    if first.body_part_examined or not told_later:
        _check_body_part(first.body_part_examined, contract, title)
    _check_description(first.series_description, contract, title)
    _check_count(len(members), contract, title, counted=not told_later)


def _check_body_part(stated: str, contract: InputContract, title: str) -> None:
    part = stated.upper()
    if contract.body_parts and not part:
        raise _Refused(
            "body-part-unknown", f"Body Part Examined is missing; {title} takes {_listed(contract.body_parts)}."
        )
    if contract.body_parts and part not in {wanted.upper() for wanted in contract.body_parts}:
        raise _Refused(
            "body-part-not-accepted",
            f"Body Part Examined is {shown_body_part(part)}; {title} takes {_listed(contract.body_parts)}.",
        )


def _check_count(count: int, contract: InputContract, title: str, *, counted: bool = True) -> None:
    """``counted`` says whether there are no more than these."""
    if counted and count < contract.min_slices:
        raise _Refused(
            "too-few-slices", f"The series has {count} slices; {title} needs at least {contract.min_slices}."
        )
    if count > contract.max_slices:
        raise _Refused(
            "too-many-slices", f"The series has {count} slices; {title} takes at most {contract.max_slices}."
        )


def _check_description(description: str, contract: InputContract, title: str) -> None:
    for pattern in contract.excluded_series_descriptions:
        if fnmatchcase(description.casefold()[:64], pattern.casefold()):
            raise _Refused(
                "series-description-excluded", f"The series description matches {pattern!r}, which {title} leaves out."
            )


def _of_accepted_views(headers: list[Dataset], manifest: Manifest) -> list[Dataset]:
    """The images of the views that the algorithm takes, by View Position (0018,5101)."""
    wanted, title = manifest.input.view_positions, manifest.title
    if not wanted:
        return headers
    taken = [header for header in headers if _view(header) in wanted]
    if taken:
        return taken
    if not any(_view(header) for header in headers):
        raise _Refused("view-unknown", f"View Position is missing; {title} takes {_listed(wanted)}.")
    view = _view(headers[0])
    stated = view if view in _VIEWS else "not a defined term"
    raise _Refused("view-not-accepted", f"View Position is {stated}; {title} takes {_listed(wanted)}.")


def _view(header: Dataset) -> str:
    return str(header.get("ViewPosition") or "").strip().upper()


def _check_acquisition(header: Dataset, contract: InputContract, title: str) -> None:
    for excluded in contract.excluded_acquisitions:
        if all(_holds(condition, header) for condition in excluded.when):
            raise _Refused("acquisition-excluded", f"The images look like {excluded.label}; {title} leaves these out.")


def _holds(condition: AcquisitionCondition, header: Dataset) -> bool:
    """Whether an image is known to meet a condition."""
    values = [str(one).strip() for one in _several(header.get(condition.attribute)) if one not in (None, "")]
    if condition.one_of or condition.none_of:
        words = {one.upper() for one in values}
        return (
            bool(words)
            and not words & {one.upper() for one in condition.none_of}
            and (not condition.one_of or bool(words & {one.upper() for one in condition.one_of}))
        )
    try:
        number = float(values[0])
    except (IndexError, ValueError):
        return False
    low, high = condition.at_least, condition.at_most
    return (low is None or number >= low) and (high is None or number <= high)


def _check_header(headers: list[Dataset], manifest: Manifest) -> None:
    contract, title = manifest.input, manifest.title
    _check_count(len(headers), contract, title)
    if frame_number(headers[0]) is not None:
        _check_body_part(str(headers[0].get("BodyPartExamined") or ""), contract, title)
    for header in headers:
        image_type = {str(value).upper() for value in _several(header.get("ImageType"))}
        if "LOCALIZER" in image_type:
            raise _Refused("localizer", "The series is a localizer, which is only for planning.")
    if contract.min_age_years is not None or contract.max_age_years is not None:
        age = age_years(headers[0])
        if age is None:
            raise _Refused(
                "patient-age-unknown", f"The patient's age is not told and follows from no dates; {title} has limits."
            )
        low, high = contract.min_age_years or 0.0, contract.max_age_years
        if age < low or (high is not None and age > high):
            raise _Refused("patient-age-not-accepted", f"The patient's age is outside the limits of {title}.")
    _check_acquisition(headers[0], contract, title)
    smallest = min(min(header.Rows, header.Columns) for header in headers)
    if smallest < contract.min_matrix:
        raise _Refused(
            "matrix-too-small", f"The images are {smallest} pixels wide or high; {title} needs {contract.min_matrix}."
        )


def _check_layout(layout: Layout, manifest: Manifest) -> None:
    contract, title = manifest.input, manifest.title
    if contract.plane not in ("any", layout.plane):
        plane = layout.plane or "in no known plane"
        raise _Refused("plane-not-accepted", f"The series is {plane}; {title} takes {contract.plane} series.")
    _check_coverage(layout.coverage_mm, contract, title)
    _check_spacing("slice", layout.slice_spacing_mm, contract.max_slice_spacing_mm, title)
    _check_spacing("pixel", layout.pixel_spacing_mm, contract.max_pixel_spacing_mm, title)


def _check_coverage(covered: float | None, contract: InputContract, title: str) -> None:
    low, high = contract.min_coverage_mm, contract.max_coverage_mm
    if not low and high is None:
        return
    shown = f"{covered:.0f} mm" if covered is not None else "an unknown length"
    if covered is None or covered < low:
        raise _Refused("coverage-too-small", f"The series covers {shown}; {title} needs at least {low:.0f} mm.")
    if high is not None and covered > high:
        raise _Refused("coverage-too-large", f"The series covers {shown}; {title} takes at most {high:.0f} mm.")


def _check_spacing(what: str, spacing: float | None, limit: float, title: str) -> None:
    if spacing is None and limit >= ANY_SPACING_MM:
        return
    if spacing is None or spacing > limit:
        apart = f"{spacing:.1f} mm apart" if spacing is not None else "at unknown distances"
        raise _Refused(f"{what}-spacing-too-large", f"The {what}s are {apart}; {title} takes up to {limit:g} mm.")


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _listed(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
