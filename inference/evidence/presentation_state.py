"""Findings as lines over their images: softcopy presentation states (PS3.3 sections A.33.1 and A.33.2).

All lines are in one layer, which viewers switch on and off, and each names its finding by the tracking identifiers
of the segmentation and the report. Only images that carry a line are referenced, and each shows the mark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from highdicom.color import CIELabColor
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from PIL import ImageCms
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from inference.evidence.attributes import (
    MANUFACTURER,
    MODEL_NAME,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.measured_lines import DrawnLine, lines_on
from inference.evidence.outline import MOST_POINTS, Polyline, box_outline, contours
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.source_display import is_inverse, modality_lut, show_true_proportions, softcopy_vois
from inference.evidence.sources import image_stand_in
from inference.findings.classification import KeyImage
from inference.imaging.pixel_format import is_colour
from storage.domain.finding import Finding
from storage.domain.result import EvidenceObject, EvidenceRole

_LAYER = GraphicLayer("AI", order=1, description="AI result", display_color=CIELabColor.from_rgb(255, 214, 10))
_LONGEST_TEXT = 1024  # characters of Unformatted Text Value (0070,0006) of VR ST
_PROFILE_CLASS, _PROFILE_DATE = slice(12, 16), slice(24, 36)  # bytes of an ICC profile
_TEXT = (0.02, 0.98, 0.15)  # left and right edge of the text, and its lower one, as parts of the image


@dataclass(frozen=True, slots=True)
class Shape:
    """The lines of one finding on the image at place ``index`` of the sources, around so many ``pixels``.

    ``lengths`` are those along which its lengths were measured on this image.
    """

    index: int
    pixels: int
    label: str
    finding: Finding
    lines: tuple[Polyline, ...]
    lengths: tuple[DrawnLine, ...] = ()


def segment_shapes(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]) -> list[Shape]:
    """The edges of every segment on every slice that carries it, slice by slice, and its diameters where they are."""
    return [
        Shape(
            index,
            int(one.areas[index]),
            one.segment.label,
            one.finding,
            tuple(part.points for part in contours(labels[index] == one.segment.number)),
            tuple(lines_on(context, one, index)),
        )
        for index in range(len(labels))
        for one in found
        if one.areas[index]
    ]


def region_shapes(keys: Sequence[KeyImage]) -> list[Shape]:
    """The salient region of each class that is present, as a box on its key image; of a detection, on each image."""
    return [
        Shape(index, int(index == key.index), key.classification.label, key.finding, (box_outline(*region),))
        for key in keys
        if key.region is not None
        for index, region in key.places or ((key.index, key.region),)
    ]


def build_presentation_states(context: EvidenceContext, shapes: Sequence[Shape]) -> tuple[EvidenceObject, ...]:
    """The presentation states that show these shapes, all in one series; none when there is no shape.

    There is one state for all images, or one for each group of images that share a Modality LUT, a size and a colour
    model, which a state has once. Where a series has many such groups, as PET has one for each image, the shapes of
    the images on which a finding is largest are shown and no others.
    """
    groups = _groups(context, shapes)
    if len(groups) > 1:
        groups = _groups(context, list(_largest(shapes)))
    return tuple(_state(context, group, place) for place, group in enumerate(groups, start=1))


def _groups(context: EvidenceContext, shapes: Sequence[Shape]) -> list[list[Shape]]:
    groups: dict[tuple[object, ...], list[Shape]] = {}
    for shape in shapes:
        source = context.sources[shape.index]
        alike = (source.SOPClassUID, source.Rows, source.Columns, is_colour(source), is_inverse(source))
        groups.setdefault((*alike, modality_lut(source).to_json()), []).append(shape)
    return list(groups.values())


def _largest(shapes: Sequence[Shape]) -> Iterator[Shape]:
    best: dict[str, Shape] = {}
    for shape in sorted(shapes, key=lambda one: (one.pixels, -one.index)):
        best[shape.finding.tracking_uid] = shape
    indices = {shape.index for shape in best.values()}
    return (shape for shape in shapes if shape.index in indices)


def _state(context: EvidenceContext, shapes: Sequence[Shape], place: int) -> EvidenceObject:
    indices = list(dict.fromkeys(shape.index for shape in shapes))
    sources = [context.sources[index] for index in indices]
    images = [_stand_in(source) for source in sources]
    is_color = is_colour(sources[0])
    make = ColorSoftcopyPresentationState if is_color else GrayscaleSoftcopyPresentationState
    profile: dict[str, Any] = {"icc_profile": _srgb()} if is_color else {}
    state = make(
        referenced_images=images,
        series_instance_uid=context.identity.uid("presentation-state-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid(f"presentation-state {place}"),
        instance_number=place,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=service_version(),
        device_serial_number=context.identity.service_serial_number(),
        content_label="AI_FINDINGS",
        content_description=context.mark,
        graphic_layers=[_LAYER],
        graphic_annotations=[
            _annotation(context, image, [shape for shape in shapes if shape.index == index])
            for index, image in zip(indices, images, strict=True)
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
        **profile,
    )
    if not is_color:
        state.update(modality_lut(sources[0]))
        windows = softcopy_vois(sources, images)
        if windows:
            state.SoftcopyVOILUTSequence = windows
        state.PresentationLUTShape = "INVERSE" if is_inverse(sources[0]) else "IDENTITY"
    show_true_proportions(state.DisplayedAreaSelectionSequence[0], sources[0])
    moment = context.local_started_at
    state.PresentationCreationDate, state.PresentationCreationTime = DA(moment.date()), TM(moment.time())
    return complete(state, context, EvidenceRole.PRESENTATION_STATE, series_description(context, "contours"))


def _annotation(context: EvidenceContext, image: Dataset, shapes: Sequence[Shape]) -> GraphicAnnotation:
    rows, columns = float(image.Rows), float(image.Columns)
    left, right, lower = _TEXT
    words = "\r\n".join([context.short_mark, *(shape.label for shape in shapes)])
    return GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=_LAYER,
        graphic_objects=[
            GraphicObject(
                graphic_type="POLYLINE",
                graphic_data=piece,
                units="PIXEL",
                tracking_id=shape.finding.tracking_identifier,
                tracking_uid=shape.finding.tracking_uid,
            )
            for shape in shapes
            for line in (*shape.lines, *(one.points for one in shape.lengths))
            for piece in _pieces(line)
        ],
        text_objects=[
            TextObject(
                text_value=words[:_LONGEST_TEXT],
                units="PIXEL",
                bounding_box=(left * columns, left * rows, right * columns, lower * rows),
            ),
            *(_length(shape, line) for shape in shapes for line in shape.lengths),
        ],
    )


def _length(shape: Shape, line: DrawnLine) -> TextObject:
    """The length at the end of its line."""
    column, row = line.points[-1]
    return TextObject(
        text_value=line.words,
        units="PIXEL",
        anchor_point=(float(column), float(row)),
        tracking_id=shape.finding.tracking_identifier,
        tracking_uid=shape.finding.tracking_uid,
    )


def _pieces(line: Polyline) -> list[Polyline]:
    """The line, or pieces of it that end where the next one begins, where it has too many points for one."""
    return [line[start : start + MOST_POINTS + 1] for start in range(0, len(line) - 1, MOST_POINTS)]


def _stand_in(source: Dataset) -> Dataset:
    image = image_stand_in(source)
    image.SamplesPerPixel = (
        3 if is_colour(source) else 1
    )  # highdicom asks for 3, also of a palette, which is colour too
    return image


@cache
def _srgb() -> bytes:
    """The sRGB profile, of class Input Device as color presentation states want it, and dated on no day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_PROFILE_CLASS], profile[_PROFILE_DATE] = b"scnr", bytes(12)
    return bytes(profile)
