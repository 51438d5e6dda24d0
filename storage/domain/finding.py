"""What an algorithm found, before it becomes DICOM evidence."""

from dataclasses import dataclass, field

from storage.domain.coded_concept import CodedConcept


@dataclass(frozen=True, slots=True)
class MeasuredLine:
    """The straight line that a length was measured along, by its two ends.

    ``image_points`` are (column, row) on the image, origin at the top left corner of its top left pixel (PS3.3 section
    C.18.6); ``patient_points_mm`` are the same points as (x, y, z) in the patient's coordinates, LPS in mm (PS3.3
    section C.18.9), ``None`` on a radiograph. ``frame_number`` says which frame of the instance it is, from 1;
    ``None`` for an instance that is one image.
    """

    sop_instance_uid: str
    frame_number: int | None
    image_points: tuple[tuple[float, ...], tuple[float, ...]]
    patient_points_mm: tuple[tuple[float, ...], tuple[float, ...]] | None

    @property
    def image(self) -> tuple[str, int | None]:
        """What tells the image from all others."""
        return self.sop_instance_uid, self.frame_number


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its meaning and its UCUM unit (PS3.16 TID 300).

    ``derivation`` says how it was condensed from many values, such as (373098007, SCT, "Mean"); ``line`` says where a
    length was measured.
    """

    name: CodedConcept
    value: float
    unit: CodedConcept
    derivation: CodedConcept | None = None
    line: MeasuredLine | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classification says of one class: how probable it is on the image where it is most probable.

    ``threshold_origin`` is a sentence on where the threshold came from; the class counts as ``present`` from the
    threshold on. ``images_examined`` of the ``images`` analysed were shown to the network; the others show nothing,
    less than the algorithm asks for, or are none that it looks at. ``key_frame_number`` says which frame of the key
    instance it is, from 1; ``None`` for an instance that is one image.
    """

    label: str
    probability: float
    threshold: float
    threshold_origin: str
    present: bool
    key_sop_instance_uid: str
    images_examined: int
    images: int
    key_frame_number: int | None = None

    @property
    def key_image(self) -> tuple[str, int | None]:
        """What tells the key image from all others."""
        return self.key_sop_instance_uid, self.key_frame_number


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """A box on one image: its edges in pixels, origin at the top left corner of the top left pixel, and its score."""

    sop_instance_uid: str
    frame_number: int | None
    top: float
    left: float
    bottom: float
    right: float
    score: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Where one thing was found; no box where nothing of a class was.

    ``reached`` says how many findings of its class reached the threshold, also where no more than some are told of.
    ``candidates`` says how many boxes of the class the network gave, sure or not, of which in a volume no more than the
    1000 surest below the threshold count: where it gave none, no probability is known.
    """

    boxes: tuple[DetectedBox, ...]
    reached: int
    candidates: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for: what it is, where it is, and how large or how probable.

    ``tracking_uid`` and ``tracking_identifier`` are the same in the segmentation, the report and the
    presentation state that speak of it (PS3.16 TID 1501). ``made_by`` are phrases on how a segment's voxels were
    chosen, such as ``threshold 0.5 (chosen on validation)``. ``label`` is what a segment is called where people read,
    as in segmentation and pictures; empty for a class, which has its own.
    """

    kind: CodedConcept
    site: CodedConcept | None
    tracking_identifier: str
    tracking_uid: str
    measurements: tuple[Measurement, ...] = field(default=())
    classification: Classification | None = None
    detection: Detection | None = None
    made_by: tuple[str, ...] = ()
    label: str = ""

    @property
    def is_scored(self) -> bool:
        """Whether a probability is known: not of a class of which a detection has no box at all, however unsure."""
        return self.detection is None or self.detection.candidates > 0
