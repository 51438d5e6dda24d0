"""Classification of many images, keeping of each class only the image where it is most probable."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.algorithms.engine import Classifier
from inference.algorithms.tensor import Tensor
from inference.errors import InvalidOutput
from inference.imaging.plane import network_input


@dataclass(frozen=True, slots=True)
class Highest:
    """The image on which a class is most probable, the first of several equal ones, with its map if there is one."""

    image: int
    probability: float
    activation: Tensor | None


def score_images(
    classifier: Classifier,
    planes: Iterable[tuple[int, Tensor]],
    indices: Sequence[int],
    batch: int,
    image: ImagePreprocessing | None = None,
) -> list[Highest]:
    """The highest score of each class, named by its position in the output; none where there is no plane.

    ``planes`` are prepared images, each with the number that ``Highest.image`` repeats; they are taken batch by
    batch, so that a long series is never held as a whole. ``image`` says which channels the network takes,
    one if it is left out.

    Raises:
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the output is no result, or has no position for a class.
    """
    highest: dict[int, Highest] = {}
    for numbered in _batches(planes, batch):
        stacked = np.stack([plane for _, plane in numbered])
        scores = classifier.score(network_input(stacked, image) if image else stacked[:, np.newaxis])
        if scores.probabilities.shape[1] <= max(indices):
            raise InvalidOutput("The algorithm's output has no position for one of its classes.")
        for index in indices:
            best = int(np.argmax(scores.probabilities[:, index]))
            probability = float(scores.probabilities[best, index])
            if index not in highest or probability > highest[index].probability:
                activation = scores.maps[best, index].copy() if scores.maps is not None else None
                highest[index] = Highest(numbered[best][0], probability, activation)
    return [highest[index] for index in indices if highest]


def _batches(planes: Iterable[tuple[int, Tensor]], size: int) -> Iterator[list[tuple[int, Tensor]]]:
    left = iter(planes)
    while taken := list(islice(left, size)):
        yield taken
