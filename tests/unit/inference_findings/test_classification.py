"""From images to the highest score of each class, and from a map to the region that is most salient."""

from collections.abc import Iterator

import numpy as np
import pytest

from inference.algorithms.engine import ImageScores
from inference.algorithms.image_scoring import score_images
from inference.errors import InvalidOutput
from inference.findings.saliency import relative, salient_region


class _Table:
    """A classifier whose answers are a table: the value of the plane is its line."""

    def __init__(self, probabilities: list[list[float]], maps: bool = True) -> None:
        self.probabilities = np.array(probabilities, np.float32)
        self.maps = maps
        self.batches: list[int] = []

    def score(self, batch: np.ndarray) -> ImageScores:
        self.batches.append(len(batch))
        lines = batch[:, 0, 0, 0].astype(int)
        scores = self.probabilities[lines]
        maps = np.broadcast_to(lines[:, None, None, None], (*scores.shape, 2, 2)) if self.maps else None
        return ImageScores(scores, None if maps is None else maps.astype(np.float32))


def _planes(count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Planes that carry their line, numbered from 100 so that numbers and lines cannot be confused."""
    for line in range(count):
        yield 100 + line, np.full((2, 2), line, np.float32)


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_each_class_keeps_the_image_where_it_is_highest(batch: int) -> None:
    """Whatever the batches are, the highest probability wins, the first of equal ones, with its own map."""
    table = _Table([[0.1, 0.5], [0.9, 0.2], [0.3, 0.7], [0.9, 0.7], [0.2, 0.1]])

    first, second = score_images(table, _planes(5), [0, 1], batch)

    assert (first.image, second.image) == (101, 102)
    assert (first.probability, second.probability) == pytest.approx((0.9, 0.7))
    assert first.activation is not None
    assert second.activation is not None
    assert (first.activation[0, 0], second.activation[0, 0]) == (1, 2)
    assert max(table.batches) <= batch
    assert sum(table.batches) == 5


def test_classes_are_taken_by_their_position() -> None:
    """Only the positions that the manifest names are looked at, in its order."""
    table = _Table([[0.1, 0.2, 0.3]], maps=False)

    scores = score_images(table, _planes(1), [2, 0], 4)

    assert [score.probability for score in scores] == pytest.approx([0.3, 0.1])
    assert scores[0].activation is None


def test_a_class_without_a_position_is_no_result() -> None:
    """A network with open extents that gives too few classes is found out when it runs."""
    with pytest.raises(InvalidOutput, match="no position"):
        score_images(_Table([[0.1]]), _planes(1), [1], 4)


def test_no_image_gives_no_score() -> None:
    """Nothing was asked, so nothing is concluded."""
    assert score_images(_Table([[0.1]]), _planes(0), [0], 4) == []


def test_a_map_is_relative_to_its_highest_value() -> None:
    """What speaks against the class counts as nothing; a map that is nowhere positive is none."""
    assert relative(np.array([[-4, 0], [1, 2]], np.float32)) == pytest.approx(np.array([[0, 0], [0.5, 1]]))  # type: ignore[comparison-overlap]
    assert relative(np.array([[-4, 0]], np.float32)) is None


def test_the_salient_region_is_the_part_with_the_peak() -> None:
    """The box holds the connected part above half of the peak; another part, even a larger one, is left out."""
    saliency = np.zeros((20, 30), np.float32)
    saliency[2:5, 3:8] = 0.6
    saliency[3, 4] = 1.0
    saliency[8:18, 10:28] = 0.9

    assert salient_region(saliency) == (2, 3, 5, 8)
