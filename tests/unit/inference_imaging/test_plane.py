"""One image to a classifier's input, and the classifier's map back to the image."""

import numpy as np
import pytest

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.algorithms.manifest_parts import Intensity
from inference.errors import UnusableInput
from inference.imaging.plane import image_box, map_to_image, network_input, prepare_plane


def _image(size: tuple[int, int], fit: str = "pad", **intensity: object) -> ImagePreprocessing:
    method = Intensity.model_validate(intensity or {"method": "minmax"})
    return ImagePreprocessing.model_validate({"size": size, "fit": fit, "intensity": method.model_dump()})


def test_an_image_is_padded_in_the_middle_and_keeps_its_proportions() -> None:
    """A wide image fills the width; above and below it are equal borders of 0."""
    values = np.full((20, 40), 5, np.float32)
    values[:, :20] = 1

    plane = prepare_plane(values, _image((8, 8)))

    assert plane.shape == (8, 8)
    assert plane.dtype == np.float32
    assert (plane[:2] == 0).all()
    assert (plane[6:] == 0).all()
    assert (plane[2:6, :4] == 0).all()
    assert (plane[2:6, 4:] == 1).all()


def test_a_stretched_image_fills_the_input() -> None:
    """With ``stretch`` there is no border, whatever the proportions."""
    values = np.tile(np.arange(40, dtype=np.float32), (20, 1))

    plane = prepare_plane(values, _image((8, 8), "stretch"))

    assert plane[:, 0] == pytest.approx(np.zeros(8))
    assert plane[:, -1] == pytest.approx(np.ones(8))


def test_shrinking_averages_and_growing_interpolates() -> None:
    """Pixels that become larger are means of what they cover, so that thin structures do not vanish by chance."""
    lines = np.tile(np.array([0, 1], np.float32), (8, 16))
    window = {"method": "window", "center": 0.5, "width": 1.0}

    assert prepare_plane(lines, _image((8, 16), "stretch", **window)) == pytest.approx(np.full((8, 16), 0.5))
    grown = prepare_plane(np.array([[0, 1]], np.float32), _image((1, 8), "stretch", **window))
    assert (np.diff(grown[0]) >= 0).all()
    assert ((grown > 0) & (grown < 1)).any()


def test_percentiles_become_0_and_1() -> None:
    """A few hot pixels do not darken the rest of the image."""
    values = np.linspace(0, 100, 10_000, dtype=np.float32).reshape(100, 100)
    values[0, 0] = 1e6

    plane = prepare_plane(values, _image((100, 100), method="percentile", percentiles=[1, 99]))

    assert plane[50, 50] == pytest.approx((values[50, 50] - 1) / 98, abs=0.01)
    assert (plane.min(), plane.max()) == (0, 1)


def test_percentiles_that_coincide_give_way_to_the_whole_range() -> None:
    """An image that is dark but for a few pixels still shows them."""
    values = np.zeros((50, 50), np.float32)
    values[25, 25] = 7

    assert prepare_plane(values, _image((50, 50), method="percentile", percentiles=[1, 99]))[25, 25] == 1


@pytest.mark.parametrize("intensity", [{"method": "minmax"}, {"method": "window", "center": 3, "width": 1}])
def test_an_image_that_shows_nothing_is_refused(intensity: dict[str, object]) -> None:
    """No network is asked about an empty image, whatever the scaling would make of it."""
    with pytest.raises(UnusableInput) as refusal:
        prepare_plane(np.full((5, 5), 3, np.float32), _image((4, 4), **intensity))

    assert refusal.value.reason.code == "empty-image"


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (512, 512), (7, 100)])
def test_a_map_comes_back_to_where_it_was_seen(fit: str, shape: tuple[int, int]) -> None:
    """A bright corner of the image is, after preparing and mapping back, a bright corner of the image."""
    values = np.zeros(shape, np.float32)
    values[: shape[0] // 3, : shape[1] // 3] = 1
    image = _image((32, 32), fit)

    back = map_to_image(prepare_plane(values, image), shape, image)

    assert back.shape == shape
    row, column = np.unravel_index(int(np.argmax(back)), shape)
    assert values[row, column] == 1
    assert np.abs(back - values).mean() < 0.1


def test_a_box_lies_within_the_input() -> None:
    """An image as thin as a line still has one row of the input."""
    box = image_box((1, 1000), _image((32, 32)))

    assert (box.top, box.left, box.rows, box.columns) == (15, 0, 1, 32)


def test_a_network_of_photographs_is_given_its_channels() -> None:
    """Each channel is the image less a mean by a deviation; without them there is one channel, the image."""
    image = ImagePreprocessing.model_validate(
        {"size": (1, 2), "channels": {"mean": [0.5, 0.25], "deviation": [0.5, 0.25]}}
    )
    planes = np.array([[[0.0, 1.0]]], np.float32)

    assert network_input(planes, image).tolist() == [[[[-1, 1]], [[-1, 3]]]]
    assert network_input(planes, _image((1, 2))).tolist() == [[[[0, 1]]]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": {"mean": [0.5, 0.5], "deviation": [0.5]}},
        {"intensity": {"method": "minmax", "range": [-1, 1]}},
        {"intensity": {"method": "minmax", "mean_and_deviation": [0, 1]}},
    ],
)
def test_what_comes_after_zero_to_one_is_said_with_channels(wrong: dict[str, object]) -> None:
    """A manifest whose scaling would not be applied, or only in part, is refused."""
    with pytest.raises(ValueError, match=r"channel"):
        ImagePreprocessing.model_validate({"size": (8, 8), **wrong})
