"""Networks behind one call for each task: float32 tensors in, checked float32 tensors out, wherever they run."""

from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Protocol

import numpy as np

from inference.algorithms.activation import activate
from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes
from inference.algorithms.checked_output import ImageScores, checked_input, checked_output, checked_scores
from inference.algorithms.classification_manifest import ImageInference
from inference.algorithms.detection_manifest import BoxInference
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.providers import CPU, CUDA, wanted_providers
from inference.algorithms.remote_model import remote_models
from inference.algorithms.runner import Runner
from inference.algorithms.segmentation_manifest import Inference
from inference.algorithms.session import Placement, Session
from inference.algorithms.tensor import Tensor
from inference.errors import InvalidOutput
from inference.settings import WorkerSettings
from inference.turns import DEVICE

__all__ = ["CPU", "CUDA", "Classifier", "Detector", "Engine", "ImageScores", "Predictor", "wanted_providers"]


class Predictor(Protocol):
    """What the pipeline asks of a network."""

    def predict(self, batch: Tensor) -> Tensor:
        """Run the network on (batch, channel, three axes).

        Raises:
            UnusableInput: ``not-finite``: what it is given is not all numbers.
            PredictionFailed: the runtime could not do it.
            InvalidOutput: the output is not finite or, but for the manifest's output margin, not of the input's size.
        """
        ...


class Classifier(Protocol):
    """What the pipeline asks of a network that classifies images."""

    def score(self, batch: Tensor) -> ImageScores:
        """Run the network on (batch, 1, rows, columns).

        Raises:
            UnusableInput: ``not-finite``: what it is given is not all numbers.
            PredictionFailed: the runtime could not do it.
            InvalidOutput: the probabilities are none, or the outputs are not finite or not of the batch's size.
        """
        ...


class Detector(Protocol):
    """What the pipeline asks of a network that finds boxes."""

    def detect(self, image: Tensor) -> ImageBoxes:
        """Run the network on one image, (1, channel, rows, columns), or one window of a volume, (1, 1, three axes).

        Raises:
            UnusableInput: ``not-finite``: what it is given is not all numbers.
            PredictionFailed: the runtime could not do it.
            InvalidOutput: the outputs are no boxes with scores and classes.
        """
        ...


class Engine:
    """The resident networks of one algorithm, built from bytes that were checked before.

    Jobs that score or detect at a time take turns at the device, batch by batch; of a volume, who predicts its windows
    takes the turn for all of them.
    Several members, and passes over mirrored windows, are averaged: each is one more run.
    """

    def __init__(self, algorithm: VerifiedAlgorithm, settings: WorkerSettings, cache: Path | None = None) -> None:
        """Build the sessions.

        ``cache`` is a folder in which TensorRT and OpenVINO keep what they compiled, by the artifact's digest.

        Raises:
            InvalidAlgorithm: the runtime does not accept a network.
            OutOfMemory, DeviceFull: there is not memory enough for a session.
            DeviceUnavailable: the device asked for is not there, or the server cannot be reached.
            ArtifactUnavailable: the server runs something else.
        """
        run = algorithm.manifest.inference
        self._runners = _runners(algorithm, settings, cache)
        self.provider: str = self._runners[0].provider
        self._input = run.input
        if isinstance(run, BoxInference):
            self._boxes, self._box_axes = (run.boxes, run.scores, run.labels), run.box_axes
            return
        self._output = run.output
        self._saliency_output = run.saliency_output if isinstance(run, ImageInference) else None
        self._margin = (0, 0) if isinstance(run, ImageInference) else run.output_margin
        self._ends_in_probabilities = isinstance(run, Inference) and run.activation == "none"
        self._each = run.activation if isinstance(run, Inference) and run.activation_of == "each" else "none"
        mirrored = () if isinstance(run, ImageInference) else run.mirror_axes
        self._mirrors = list(_mirrors(mirrored))

    @property
    def outdated(self) -> bool:
        """Whether a server has begun to serve something else, so that this engine gives no more results."""
        return any(runner.outdated for runner in self._runners)

    def predict(self, batch: Tensor) -> Tensor:
        """See ``Predictor.predict``."""
        checked_input(batch)
        total: Tensor | None = None
        for runner in self._runners:
            for axes in self._mirrors:
                part = self._part(runner, batch, axes)
                if total is not None and part.shape != total.shape:
                    raise _different_members()
                total = part if total is None else np.add(total, part, out=total)
        assert total is not None  # noqa: S101 - there is a member and a pass
        passes = len(self._runners) * len(self._mirrors)
        return total if passes == 1 else np.divide(total, passes, out=total)

    def _part(self, runner: Runner, batch: Tensor, axes: tuple[int, ...]) -> Tensor:
        (output,) = runner.run(self._input, np.flip(batch, axes), [self._output])
        part = checked_output(batch, output, self._margin, probabilities=self._ends_in_probabilities)
        for one in part if self._each != "none" else ():
            activate(one, self._each)
        return np.flip(part, axes)

    def sizes(self, batch: Tensor) -> list[tuple[int, ...]]:
        """The shape of what each network gives for a batch, of which nothing is concluded.

        Raises:
            PredictionFailed: the runtime could not do it.
            VaryingOutput: a network gave another one for other values.
        """
        return [runner.run(self._input, batch, [self._output])[0].shape for runner in self._runners]

    def detect(self, image: Tensor) -> ImageBoxes:
        """See ``Detector.detect``."""
        checked_input(image)
        with DEVICE:
            boxes, scores, labels = self._runners[0].run(self._input, image, self._boxes)
        return checked_boxes(boxes, scores, labels, self._box_axes)

    def score(self, batch: Tensor) -> ImageScores:
        """See ``Classifier.score``."""
        checked_input(batch)
        named = [self._output] + ([self._saliency_output] if self._saliency_output else [])
        scores = []
        for runner in self._runners:
            with DEVICE:
                probabilities, *maps = runner.run(self._input, batch, named)
            scores.append(checked_scores(batch, probabilities, maps[0] if maps else None))
        return scores[0] if len(scores) == 1 else _averaged(scores)


def _runners(algorithm: VerifiedAlgorithm, settings: WorkerSettings, cache: Path | None) -> list[Runner]:
    if settings.device == "remote":
        return remote_models(algorithm, settings)
    manifest = algorithm.manifest
    kept = None if cache is None else cache / algorithm.artifact_sha256
    placement = Placement(settings.device, settings.threads, manifest.inference.precision, kept)
    return [Session(model, placement, manifest.title) for model in algorithm.networks]


def _mirrors(axes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The axes to turn round for each pass: none, each by itself, each pair, and so on; 2 stands before the first."""
    counts = range(len(axes) + 1)
    for chosen in chain.from_iterable(combinations(axes, count) for count in counts):
        yield tuple(axis + 2 for axis in chosen)


def _different_members() -> InvalidOutput:
    return InvalidOutput("The algorithm's networks differ in what they give; nothing was concluded from them.")


def _averaged(scores: list[ImageScores]) -> ImageScores:
    """The mean of what several networks gave. Raises InvalidOutput."""
    for arrays in ([one.probabilities for one in scores], [one.maps for one in scores if one.maps is not None]):
        if len({array.shape for array in arrays}) > 1:  # which numpy would stretch, if one has a single class
            raise _different_members()
    maps = [one.maps for one in scores if one.maps is not None]
    probabilities: Tensor = np.mean([one.probabilities for one in scores], axis=0, dtype=np.float32)
    return ImageScores(probabilities, np.mean(maps, axis=0, dtype=np.float32) if maps else None)
