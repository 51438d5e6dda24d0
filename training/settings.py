"""The training configuration, one YAML file; each key is described by its consequence."""

import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.algorithms.classification_manifest import ImageContract, ImagePreprocessing
from inference.algorithms.manifest_parts import Code, Color, Identity
from inference.algorithms.manifest_text import Text
from inference.algorithms.schema_problem import first_problem
from training.errors import InvalidConfiguration

_CHANNELS = Annotated[int, Field(ge=1, le=1024)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(_Part):
    """A plain convolutional network, its last map averaged into one number: small enough for two CPU cores."""

    channels: tuple[_CHANNELS, ...] = Field(
        default=(16, 32, 48, 64, 64),
        min_length=2,
        max_length=6,
        description="Of each block; all but the last halve the size, so the activation map has size / 2^(blocks - 1).",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of the last map's channels left out at random.")


class AugmentationSettings(_Part):
    """How training images are varied, each time anew; validation and test images never are."""

    probability: float = Field(default=0.9, ge=0, le=1, description="Of turning, moving and scaling an image.")
    rotate_degrees: float = Field(default=12, ge=0, le=180, description="Largest turn to either side.")
    shift: float = Field(default=0.08, ge=0, le=0.5, description="Largest move along each axis, as a part of the size.")
    scale: float = Field(default=0.12, ge=0, lt=1, description="Largest change of size, as a part of it.")
    mirror: bool = Field(default=True, description="Left and right may be exchanged.")
    flip: bool = Field(default=False, description="Up and down may be exchanged.")
    contrast: float = Field(
        default=0.25, ge=0, lt=1, description="Grey values are raised to 1 - this up to 1 / (1 - this)."
    )
    blanks: float = Field(
        default=0.25,
        ge=0,
        le=10,
        description="Images of pure noise per group, as negatives: series begin and end in air; 0 adds none.",
    )
    noise: float = Field(default=0.02, ge=0, le=1, description="Standard deviation of Gaussian noise, white being 1.")


class LearningSettings(_Part):
    """How long and how fast; the learning rate follows one cycle (up, then down to nearly nothing)."""

    epochs: int = Field(
        default=30, ge=1, le=10_000, description="At most; a shorter cycle also learns slower at its end."
    )
    batch: int = Field(default=16, ge=2, le=4096, description="Images per step.")
    learning_rate: float = Field(default=3e-3, gt=0, lt=1, description="At the top of the cycle.")
    weight_decay: float = Field(default=1e-2, ge=0, description="Of AdamW; more of it gives smaller weights.")
    copies: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Of a group of n near-duplicates, an epoch draws n to this power: 0 draws one, 1 draws all.",
    )
    averaging: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="The judged and kept weights are a running mean over about 1 / (1 - this) steps; 0 is none.",
    )
    patience: int = Field(default=12, ge=1, description="Epochs without a better validation loss before it ends early.")
    seed: int = Field(default=1, ge=0, description="The same seed, machine and versions give the same weights.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes every core this process may use.")


class ThresholdSettings(_Part):
    """From which probability on an image counts as positive; always chosen on the validation split."""

    rule: Literal["sensitivity", "youden"] = Field(
        default="sensitivity",
        description="sensitivity: the highest threshold that finds at least that share of the positive images; "
        "youden: the one with the largest sensitivity + specificity.",
    )
    at_least: float = Field(default=0.9, gt=0, le=1, description="The sensitivity wanted on validation; for that rule.")


class EvaluationSettings(_Part):
    """How the figures and their intervals are made."""

    replicates: int = Field(default=2000, ge=100, le=100_000, description="Bootstrap samples of groups per interval.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Of the intervals.")
    bins: int = Field(default=10, ge=2, le=50, description="Of the reliability curve.")


class FindingSettings(_Part):
    """What a positive image means, as reports and pictures will say it."""

    label: Text
    finding: Code
    site: Code | None = None
    rgb: Color = Field(default=(255, 80, 40), description="Its colour in pictures.")


class AlgorithmSettings(_Part):
    """What the exported manifest says of the algorithm; training does not need it, a radiologist does."""

    identity: Identity
    input: ImageContract
    finding: FindingSettings


class TrainingSettings(_Part):
    """The whole of a training configuration."""

    dataset: Path = Field(description="The folder that `overread dataset` made; seen from this file's folder.")
    image: ImagePreprocessing = Field(description="The preprocessing, word for word as the worker will do it.")
    network: NetworkSettings = NetworkSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    learning: LearningSettings = LearningSettings()
    threshold: ThresholdSettings = ThresholdSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    algorithm: AlgorithmSettings


def load_training_settings(path: Path) -> TrainingSettings:
    """Read a configuration; its ``dataset`` becomes a path seen from here.

    Raises:
        InvalidConfiguration: it is missing, no YAML or not of the schema; the message names the key.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"{path} cannot be read ({error.strerror}); give the configuration file.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InvalidConfiguration(f"{path} is not valid YAML; mend its syntax.") from None
    try:
        settings = TrainingSettings.model_validate(document)
    except ValidationError as error:
        raise InvalidConfiguration(
            f"{path}: {first_problem(error)}; see docs/reference/training.schema.json."
        ) from None
    return settings.model_copy(update={"dataset": path.parent / settings.dataset})


def json_schema() -> str:
    """The schema of a configuration as JSON Schema text; ``docs/reference/training.schema.json`` is this."""
    return json.dumps(TrainingSettings.model_json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
