"""ONNX Runtime behind one call for each task: float32 tensors in, checked float32 tensors out."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ImageInference
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.tensor import Tensor
from inference.errors import DeviceUnavailable, InvalidAlgorithm, InvalidOutput, PredictionFailed
from inference.settings import WorkerSettings

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ROUNDING = 1e-5  # what float32 arithmetic may leave beyond 0 or 1


class Predictor(Protocol):
    """What the pipeline asks of a network."""

    def predict(self, batch: Tensor) -> Tensor:
        """Run the network on (batch, channel, three axes).

        Raises:
            PredictionFailed: the runtime could not do it.
            InvalidOutput: the output is not finite or, but for the manifest's output margin, not of the input's size.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Probabilities as (image, class) and, where the network gives them, maps as (image, class, h, w)."""

    probabilities: Tensor
    maps: Tensor | None


class Classifier(Protocol):
    """What the pipeline asks of a network that classifies images."""

    def score(self, batch: Tensor) -> ImageScores:
        """Run the network on (batch, 1, rows, columns).

        Raises:
            PredictionFailed: the runtime could not do it.
            InvalidOutput: the probabilities are none, or the outputs are not finite or not of the batch's size.
        """
        ...


def wanted_providers(device: str, offered: list[str]) -> list[str]:
    """The execution providers to ask for, best first.

    Raises:
        DeviceUnavailable: ``cuda`` is asked for and the installed runtime does not offer it.
    """
    if device == "cpu":
        return [CPU]
    if CUDA in offered:
        return [CUDA, CPU]
    if device == "cuda":
        raise DeviceUnavailable
    return [CPU]


class Engine:
    """One resident session, built from bytes that were checked before."""

    def __init__(self, algorithm: VerifiedAlgorithm, settings: WorkerSettings) -> None:
        """Build the session.

        Raises:
            InvalidAlgorithm: the runtime does not accept the network.
            DeviceUnavailable: the device asked for is not there.
        """
        # Imported here: only the worker may load it, and it takes a second.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # its own lines say nothing that our errors do not
        providers = wanted_providers(settings.device, onnxruntime.get_available_providers())
        self._failures = _runtime_errors()
        try:
            self._session = onnxruntime.InferenceSession(algorithm.model_bytes, options, providers=providers)
        except self._failures as error:
            raise InvalidAlgorithm(
                f"ONNX Runtime does not accept the network of {algorithm.manifest.title} ({type(error).__name__}); "
                "export it again."
            ) from None
        self.provider: str = self._session.get_providers()[0]
        if settings.device == "cuda" and self.provider != CUDA:
            raise DeviceUnavailable
        run = algorithm.manifest.inference
        self._input, self._output = run.input, run.output
        self._saliency_output = run.saliency_output if isinstance(run, ImageInference) else None
        self._margin = (0, 0) if isinstance(run, ImageInference) else run.output_margin

    def predict(self, batch: Tensor) -> Tensor:
        """See ``Predictor.predict``."""
        (output,) = self._run(batch, [self._output])
        return checked_output(batch, output, self._margin)

    def score(self, batch: Tensor) -> ImageScores:
        """See ``Classifier.score``."""
        named = [self._output] + ([self._saliency_output] if self._saliency_output else [])
        probabilities, *maps = self._run(batch, named)
        return checked_scores(batch, probabilities, maps[0] if maps else None)

    def _run(self, batch: Tensor, outputs: list[str]) -> list[NDArray[Any]]:
        try:
            produced: list[NDArray[Any]] = self._session.run(
                outputs, {self._input: np.ascontiguousarray(batch, np.float32)}
            )
        except self._failures as error:
            raise PredictionFailed(_failure(error)) from None
        return produced


def checked_output(batch: Tensor, output: NDArray[Any], margin: tuple[int, ...]) -> Tensor:
    """Return the output if something may be concluded from it.

    Raises:
        InvalidOutput: it holds NaN or infinity, or does not cover the input within its margin voxel by voxel.
    """
    covered = tuple(size - 2 * gap for size, gap in zip(batch.shape[2:], margin, strict=True))
    if output.ndim != batch.ndim or output.shape[0] != batch.shape[0] or output.shape[2:] != covered:
        raise InvalidOutput("The algorithm's output does not cover its input; nothing was concluded from it.")
    if not np.isfinite(output).all():
        raise InvalidOutput
    return output.astype(np.float32, copy=False)


def checked_scores(batch: Tensor, probabilities: NDArray[Any], maps: NDArray[Any] | None) -> ImageScores:
    """Return the outputs if something may be concluded from them.

    Raises:
        InvalidOutput: they hold NaN or infinity, are not one line per image, or the probabilities are not in 0 to 1.
    """
    fits = probabilities.ndim == 2 and len(probabilities) == len(batch)
    if maps is not None:
        fits = fits and maps.ndim == 4 and maps.shape[:2] == probabilities.shape and min(maps.shape[2:]) > 0
    if not fits:
        raise InvalidOutput("The algorithm's outputs do not fit its input image by image; nothing was concluded.")
    if not np.isfinite(probabilities).all() or (maps is not None and not np.isfinite(maps).all()):
        raise InvalidOutput
    if probabilities.min() < -_ROUNDING or probabilities.max() > 1 + _ROUNDING:
        raise InvalidOutput("The algorithm's output is no probability, because it is not in 0 to 1; export it anew.")
    return ImageScores(
        np.clip(probabilities, 0, 1).astype(np.float32),
        None if maps is None else maps.astype(np.float32, copy=False),
    )


def _failure(error: Exception) -> str:
    """One sentence for the kind of failure; the runtime has one class for many kinds, so its words decide too."""
    kind, words = type(error).__name__, str(error)
    if kind in ("InvalidArgument", "InvalidGraph", "NotImplemented", "ValueError"):
        return f"ONNX Runtime rejects what the network is given ({kind}); compare its input with the manifest."
    if isinstance(error, MemoryError) or "allocate memory" in words or "out of memory" in words.lower():
        return f"The network asks for more memory than the machine gives ({kind}); free memory or use smaller windows."
    return (
        f"ONNX Runtime failed while running the network ({kind}); check the exported network and the device's driver."
    )


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*named, RuntimeError, ValueError, MemoryError)
