"""What a network made of each pixel, as Parametric Maps over the source images (PS3.3 section A.75).

A map has a frame for every image of a stack, in the order of their places along the slice normal, because OHIF 3.13
and dcmqi 1.5.7 lay frames on images by counting both. Values are float32, because dcmqi reads nothing else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from inference.errors import UnusableInput
from inference.evidence.attributes import (
    LONG_STRING,
    MANUFACTURER,
    MODEL_NAME,
    algorithm_equipment,
    complete,
    series_description,
    stated_side,
)
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.explicit_vr import encoded, sequence
from inference.evidence.float_frames import FloatFrames, Plane
from inference.evidence.references import name_frames, places_by_stand_in
from inference.evidence.segment_findings import FoundSegment
from inference.evidence.sources import image_stand_ins, one_pixel, state_losses
from inference.findings.classification import KeyImage
from inference.findings.segmentation import Probabilities
from inference.imaging.geometry import order_slices
from storage.domain.coded_concept import CodedConcept
from storage.domain.result import EvidenceObject, EvidenceRole

MOST_BYTES = 2**30  # of all maps of one result

_PROBABILITY = CodedConcept("110854", "DCM", "Fractional Probabilistic Segmentation")
# Of a map of the network's own, and of one that was made by covering parts of the image, for which CID 7180 has the
# general concept only.
_CLASS_ACTIVATION = CodedConcept("130402", "DCM", "Class activation")
_SALIENCY = CodedConcept("130404", "DCM", "Saliency")
_OCCLUSION = "Occlusion sensitivity: what the probability lost where parts of the key image were covered."
_WHOLE_BODY = CodedConcept("38266002", "SCT", "Entire body")
_STRUCTURES = ("123037004", "91723000")  # SCT: a segment of this category is a part of the body itself
_LONGEST_NAME = 20  # characters of a label in the series description
_FRAME_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_ALIGNED = 4  # OHIF counts bytes of float32 where it should count values


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A value of 0 to 1 for each pixel of some images.

    ``planes`` gives one plane for each place in the sources that it is asked for. ``quantity`` is from CID 7180,
    ``region`` from CID 4031. ``kind`` is what the series is called, and ``derivation`` says how the values were made
    where the quantity leaves that open.
    """

    label: str
    content_label: str
    explanation: str
    quantity: CodedConcept
    region: CodedConcept
    planes: Callable[[Sequence[int]], Iterator[Plane]]
    kind: str = "map"
    derivation: str = ""


def probability_field(one: FoundSegment, probabilities: Probabilities) -> Field:
    """How sure the network is of a segment, in every voxel; also where it is not sure enough."""
    segment = one.segment

    def planes(indices: Sequence[int]) -> Iterator[Plane]:
        values = probabilities.of(segment.number)
        return (np.clip(values[index], 0, 1) for index in indices)

    structure = segment.type if segment.category.value in _STRUCTURES else _WHOLE_BODY
    return Field(
        segment.label,
        "AI_PROBABILITY",
        f"Probability of {segment.label}",
        _PROBABILITY,
        segment.site or structure,
        planes,
    )


def saliency_field(key: KeyImage) -> Field:
    """Where on its key image the network looked for a class, relative to where it looked most."""
    saliency = key.saliency
    if saliency is None:
        raise ValueError("A class without a saliency map has no field.")

    def planes(indices: Sequence[int]) -> Iterator[Plane]:
        return (saliency if index == key.index else np.zeros_like(saliency) for index in indices)

    label, region = key.classification.label, key.finding.site or _WHOLE_BODY
    if key.occluded:
        explanation = f"Occlusion sensitivity of {label}, 1 is most"
        return Field(label, "AI_OCCLUSION", explanation, _SALIENCY, region, planes, "occlusion map", _OCCLUSION)
    explanation = f"What speaks for {label}, 1 is most"
    return Field(label, "AI_SALIENCY", explanation, _CLASS_ACTIVATION, region, planes)


def build_parametric_maps(context: EvidenceContext, fields: Sequence[Field]) -> tuple[EvidenceObject, ...]:
    """One object per field, each in a series of its own, of which viewers show one object only.

    None is made of images that are no even stack: the Standard wants a frame of reference, and OHIF gives up where it
    cannot make a volume of them. It does so too where Rows * Columns is no multiple of 4. Nor is any made when all of
    them were larger than ``MOST_BYTES``.
    """
    indices = _stack(context.sources)
    pixels = int(context.sources[0].Rows) * int(context.sources[0].Columns)
    if pixels % _ALIGNED or len(fields) * len(indices) * pixels * np.float32().nbytes > MOST_BYTES:
        return ()
    return tuple(_map(context, field, indices) for field in fields if indices)


def _stack(sources: Sequence[Dataset]) -> list[int]:
    """The images in the order of their places, or nothing where they are no even stack in one frame of reference."""
    places = {id(source): index for index, source in enumerate(sources)}
    try:
        return [places[id(source)] for source in order_slices(sources)[0]]
    except UnusableInput:
        return []


def _map(context: EvidenceContext, field: Field, indices: Sequence[int]) -> EvidenceObject:
    """What highdicom makes of images of one pixel; the pixels are written behind it."""
    uid = context.identity.uid
    sources = [context.sources[index] for index in indices]
    first = sources[0]
    made = ParametricMap(
        source_images=[one_pixel(image) for image in image_stand_ins(sources)],
        pixel_array=np.zeros((len(indices), 1, 1), np.float32),
        series_instance_uid=uid(f"parametric-map-series {field.label}"),
        series_number=1,
        sop_instance_uid=uid(f"parametric-map {field.label}"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=service_version(),
        device_serial_number=context.identity.service_serial_number(),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(field)],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=field.content_label,
        content_description=context.mark,
        contributing_equipment=[algorithm_equipment(context)],
    )
    _put_in_order(made, places_by_stand_in(sources))
    for frame in made.PerFrameFunctionalGroupsSequence if field.derivation else ():
        frame.DerivationImageSequence[0].DerivationDescription = field.derivation
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid(f"parametric-map-dimensions {field.label}")
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(first, field)]
    made.Rows, made.Columns = first.Rows, first.Columns
    state_losses(made, context.sources)
    del made.FloatPixelData
    frames = FloatFrames(len(indices), int(first.Rows) * int(first.Columns), lambda: field.planes(indices))
    what = f"{field.kind} of {field.label[:_LONGEST_NAME].rstrip()}"
    description = series_description(context, what)
    name_frames([made], context.sources)  # before the groups are taken out
    return complete(made, context, EvidenceRole.PARAMETRIC_MAP, description, frames, encoded=_taken(made))


def _taken(made: ParametricMap) -> dict[BaseTag, bytes]:
    """Take what describes the frames out of the object, encoded; pydicom takes a millisecond for each of them."""
    try:
        groups = sequence(_FRAME_GROUPS, map(encoded, made[_FRAME_GROUPS].value))
    except ValueError:  # letters, which want their character set
        return {}
    del made[_FRAME_GROUPS]
    return {_FRAME_GROUPS: groups}


def _put_in_order(made: ParametricMap, places: Mapping[str, int]) -> None:
    """Describe the frames in the order of these images; highdicom begins at the far end."""

    def place(frame: Dataset) -> int:
        return places[str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)]

    frames = sorted(made.PerFrameFunctionalGroupsSequence, key=place)
    for number, frame in enumerate(frames, start=1):
        frame.FrameContentSequence[0].DimensionIndexValues = number
    made.PerFrameFunctionalGroupsSequence = frames


def _mapping(field: Field) -> RealWorldValueMapping:
    return RealWorldValueMapping(
        lut_label=field.content_label,
        lut_explanation=field.explanation[:LONG_STRING],
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1,
        intercept=0,
        quantity_definition=item_code(field.quantity),
    )


def _anatomy(source: Dataset, field: Field) -> Dataset:
    """The Frame Anatomy (PS3.3 section C.7.6.16.2.8); unpaired, unless the images state a side."""
    item = Dataset()
    item.AnatomicRegionSequence = [item_code(field.region)]
    item.FrameLaterality = stated_side(source) or "U"
    return item
