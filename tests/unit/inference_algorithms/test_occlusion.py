"""Where a network without maps looks, found out by covering parts of the image."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from inference.algorithms.classification_manifest import MOST_RUNS, ClassificationManifest
from inference.algorithms.engine import ImageScores
from inference.algorithms.image_scoring import Highest
from inference.algorithms.manifest import parse_manifest
from inference.algorithms.occlusion import with_occlusion_maps
from tests.peers.tiny_classifier import MANIFEST, manifest_with

OCCLUSION = {"method": "occlusion", "patch": 4, "stride": 2, "fill": 0}
SECOND = MANIFEST["outputs"]["classes"][0] | {"index": 1, "label": "Other", "site": None}


class _LooksAt:
    """A classifier with two classes: each is as probable as one square of the input is bright."""

    def __init__(self, *squares: tuple[slice, slice]) -> None:
        self.squares = squares
        self.batches: list[int] = []

    def score(self, batch: np.ndarray) -> ImageScores:
        self.batches.append(len(batch))
        means = [batch[:, 0][(slice(None), *square)].mean(axis=(1, 2)) for square in self.squares]
        return ImageScores(np.stack(means, axis=1).astype(np.float32), None)


def _manifest(saliency: dict[str, Any] | None = OCCLUSION, **image: Any) -> ClassificationManifest:
    document = manifest_with(
        inference={"saliency_output": None},
        image=image,
        outputs={"classes": [MANIFEST["outputs"]["classes"][0], SECOND]},
    )
    manifest = parse_manifest(document | {"saliency": saliency})
    assert isinstance(manifest, ClassificationManifest)
    return manifest


def _image(rows: int = 32, columns: int = 32) -> np.ndarray:
    """Values of 1000 to 2000, which the manifest's window makes 0.5 to 1."""
    return np.random.default_rng(1).uniform(1000, 2000, (rows, columns)).astype(np.float32)


FIRST, OTHER = (slice(8, 12), slice(20, 24)), (slice(24, 28), slice(4, 8))
SCORES = [Highest(3, 0.9, None), Highest(3, 0.7, None)]


def test_the_map_is_highest_where_the_network_looks() -> None:
    """Each class has its maximum in its own square and nothing where no patch touches it."""
    network = _LooksAt(FIRST, OTHER)

    maps = [one.activation for one in with_occlusion_maps(SCORES, lambda _: _image(), network, _manifest())]

    for activation, square in zip(maps, (FIRST, OTHER), strict=True):
        assert activation is not None
        assert activation.shape == (32, 32)
        inside = np.zeros((32, 32), bool)
        inside[square] = True
        assert inside[np.unravel_index(np.argmax(activation), activation.shape)]
        assert activation[inside].min() > activation[~inside].max() * 0.3
        near = np.zeros((32, 32), bool)
        near[square[0].start - 4 : square[0].stop + 4, square[1].start - 4 : square[1].stop + 4] = True
        assert activation[~near].max() == activation[~near].min() == 0


def test_every_image_is_run_once_in_batches() -> None:
    """Two classes on one image share the runs; two images have a round each, and a batch is what the manifest says."""
    network = _LooksAt(FIRST, OTHER)
    with_occlusion_maps(SCORES, lambda _: _image(), network, _manifest())
    assert network.batches == [1, *[4] * 56, 1]  # 15 x 15 patches in batches of 4, after the image itself

    asked: list[int] = []
    twice = [Highest(3, 0.9, None), Highest(5, 0.7, None)]
    with_occlusion_maps(twice, lambda index: (asked.append(index), _image())[1], network, _manifest())
    assert asked == [3, 5]


def test_the_borders_that_were_added_are_not_covered() -> None:
    """With ``pad`` a wide image has borders of 0 above and below, where no patch and no map is."""
    network = _LooksAt((slice(16, 20), slice(0, 4)), OTHER)

    first, _ = with_occlusion_maps(SCORES, lambda _: _image(16, 32), network, _manifest())

    assert first.activation is not None
    assert first.activation[:8].max() == first.activation[24:].max() == 0
    assert np.argmax(first.activation.max(axis=1)) in range(16, 20)
    assert sum(network.batches) == 1 + 7 * 15


def test_rounding_is_no_place() -> None:
    """A network that hardly minds what is covered looks nowhere."""

    class _Indifferent:
        def score(self, batch: np.ndarray) -> ImageScores:
            noise = batch[:, 0, :4, :4].mean(axis=(1, 2)) * 1e-4
            return ImageScores(np.stack([0.5 + noise, 0.5 - noise], axis=1).astype(np.float32), None)

    maps = with_occlusion_maps(SCORES, lambda _: _image(), _Indifferent(), _manifest())

    assert [float(np.abs(one.activation).max()) for one in maps if one.activation is not None] == [0, 0]


def test_what_covers_is_the_mean_or_a_value() -> None:
    """An even image covered by its own mean loses nothing, covered by 0 it does."""
    even = np.full((32, 32), 1500, np.float32)
    even[0, 0] += 1
    network = _LooksAt(FIRST, OTHER)

    mean, _ = with_occlusion_maps(SCORES, lambda _: even, network, _manifest(OCCLUSION | {"fill": "mean"}))
    zero, _ = with_occlusion_maps(SCORES, lambda _: even, network, _manifest())

    assert mean.activation is not None
    assert zero.activation is not None
    assert mean.activation.max() == 0
    assert zero.activation.max() > 0.1


def test_without_the_section_nothing_is_run() -> None:
    """Scores pass as they are, also with the maps of the network's own."""
    network = _LooksAt(FIRST, OTHER)

    assert with_occlusion_maps(SCORES, lambda _: _image(), network, _manifest(None)) == SCORES
    assert network.batches == []


@pytest.mark.parametrize(
    ("saliency", "words"),
    [
        ({"stride": 5}, "stride is at most patch"),
        ({"patch": 1, "stride": 1}, "more than 1024 times"),
        ({"fill": 2}, "less than or equal to 1"),
        ({"method": "gradient"}, "occlusion"),
    ],
)
def test_what_cannot_be_done_is_refused(saliency: dict[str, Any], words: str) -> None:
    """The manifest bounds the runs, before any image is there."""
    with pytest.raises(ValidationError, match=words):
        _manifest(OCCLUSION | saliency)


def test_a_network_has_maps_of_its_own_or_is_asked() -> None:
    """Both at once would leave open which map is meant."""
    with pytest.raises(ValidationError, match="maps of its own"):
        parse_manifest(MANIFEST | {"saliency": OCCLUSION})


def test_the_bound_counts_the_runs() -> None:
    """No image has more patches than the bound was compared with."""
    manifest = _manifest()
    network = _LooksAt(FIRST, OTHER)
    with_occlusion_maps(SCORES[:1] * 2, lambda _: _image(), network, manifest)

    assert manifest.saliency is not None
    assert sum(network.batches) - 1 <= manifest.saliency.most_runs((32, 32)) <= MOST_RUNS
