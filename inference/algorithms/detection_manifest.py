"""The manifest of a detection: single images in, boxes with a score and a class each out."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from inference.algorithms.classification_manifest import ClassOutputs, ImageContract, ImagePreprocessing
from inference.algorithms.manifest_parts import Artifact, Execution, ManifestCore
from inference.algorithms.manifest_text import Text


class BoxInference(Execution):
    """How the network is run: (1, 1, rows, cols) in; boxes (n, 4), scores (n,) and class numbers (n,) of the image out.

    A box is x of its left edge, y of its upper edge, x of its right edge and y of its lower edge, in pixels of the
    input, origin at the top left corner of the top left pixel. Scores are in 0 to 1.
    """

    box_axes: ClassVar[int] = 2

    input: Text = "input"
    boxes: Text = "boxes"
    scores: Text = "scores"
    labels: Text = Field(default="labels", description="Numbers of classes, int64, int32 or float32 without fractions.")

    @model_validator(mode="after")
    def _outputs_differ(self) -> Self:
        if len({self.boxes, self.scores, self.labels}) < 3:
            raise ValueError("boxes, scores and labels are three outputs")
        return self


class BoxOutputs(ClassOutputs):
    """What is concluded from the boxes; ``index`` of a class is its number in ``labels``, others are left out."""

    nms_iou: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=(
            "Of two boxes of a class, on an image or in a volume, that overlap by more (intersection over union), the "
            "surer one stays."
        ),
    )
    most_findings: int = Field(
        default=20, ge=1, le=100, description="Of a series; of more than these, the ones with the highest scores."
    )


class DetectionOutputs(BoxOutputs):
    """What is concluded from the boxes of single images."""

    merge_iou: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Boxes of a class on neighbouring slices that overlap by as much are one finding; stacks only.",
    )


class DetectionManifest(ManifestCore):
    """``algorithm.yaml`` of an algorithm that says where on each image something is."""

    task: Literal["detection"]
    input: ImageContract
    image: ImagePreprocessing
    inference: BoxInference = BoxInference()
    outputs: DetectionOutputs

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        refuse_members(self.artifact)
        return self


def refuse_members(artifact: Artifact) -> None:
    """Raises ValueError."""
    if artifact.members:
        raise ValueError("boxes of several networks are not averaged; a detection has one network")
