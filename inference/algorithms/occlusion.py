"""Where a network without maps of its own looks: parts of an image are covered, and what the probability loses is kept.

Zeiler and Fergus, ECCV 2014, section 4.2. A patch moves over the image as the network sees it; each pixel gets the mean
loss over the patches that covered it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest, Occlusion
from inference.algorithms.engine import Classifier
from inference.algorithms.image_scoring import Highest
from inference.imaging.plane import Box, image_box, network_input, prepare_plane

Plane = NDArray[np.float32]

_LEAST_LOSS = 1e-3  # of a probability; what is below is rounding, which a relative map would show as if it were a place


def with_occlusion_maps(
    highest: Sequence[Highest],
    bright: Callable[[int], Plane],
    classifier: Classifier,
    manifest: ClassificationManifest,
) -> list[Highest]:
    """The highest scores with a map of each, (rows, columns) of the network's input, where the manifest asks for it.

    ``bright`` gives the values of the image at a place, bright things bright. Classes whose probability is highest on
    the same image share the runs of the network; the manifest bounds their number.

    Raises:
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the output is no result.
    """
    saliency = manifest.saliency
    if saliency is None:
        return list(highest)
    indices = [one.index for one in manifest.outputs.classes]
    losses = {
        image: _losses(bright(image), classifier, manifest, saliency)
        for image in dict.fromkeys(one.image for one in highest)
    }
    return [
        replace(one, activation=np.ascontiguousarray(losses[one.image][index]))
        for one, index in zip(highest, indices, strict=True)
    ]


def _losses(values: Plane, classifier: Classifier, manifest: ClassificationManifest, saliency: Occlusion) -> Plane:
    """What each class loses where the image is covered, as (class, row, column)."""
    plane = prepare_plane(values, manifest.image)
    box = image_box((values.shape[0], values.shape[1]), manifest.image)
    fill = float(plane[box.inside].mean()) if saliency.fill == "mean" else saliency.fill
    whole = classifier.score(network_input(plane[np.newaxis], manifest.image)).probabilities[0]
    lost = np.zeros((len(whole), *plane.shape), np.float64)
    covered = np.zeros(plane.shape, np.int64)
    places = _places(box, saliency)
    while batch := list(islice(places, manifest.inference.batch)):
        hidden = np.repeat(plane[np.newaxis], len(batch), axis=0)
        for one, place in zip(hidden, batch, strict=True):
            one[place] = fill
        drops = whole - classifier.score(network_input(hidden, manifest.image)).probabilities
        for drop, place in zip(drops, batch, strict=True):
            lost[(slice(None), *place)] += np.where(np.abs(drop) < _LEAST_LOSS, 0, drop)[:, None, None]
            covered[place] += 1
    return (lost / np.maximum(covered, 1)).astype(np.float32)


def _places(box: Box, saliency: Occlusion) -> Iterator[tuple[slice, slice]]:
    """The patches that cover the image within the network's input; the last of each line ends at its edge."""
    lines = []
    for first, extent in ((box.top, box.rows), (box.left, box.columns)):
        patch = min(saliency.patch, extent)
        starts = [*range(0, extent - patch, saliency.stride), extent - patch]
        lines.append([slice(first + start, first + start + patch) for start in starts])
    rows, columns = lines
    yield from product(rows, columns)
