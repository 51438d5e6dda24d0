"""Diameters and surfaces against other people's programs, published numbers and shapes that can be computed by hand."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import ConvexHull

from inference.findings.diameters import diameters
from inference.findings.mesh_surface import mesh_surface_mm2

NAN = np.nan
# The digital phantom of the Image Biomarker Standardisation Initiative (arXiv:1612.07003, section 1), 2 mm voxels.
IBSI_PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [NAN, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, NAN, NAN], [1, 1, 1, 1, 1], [1, 1, NAN, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, NAN, NAN], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)


def _blob(seed: int, shape: tuple[int, int, int] = (4, 40, 50)) -> np.ndarray:
    """A shape without any order, on several slices."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 4, 4))
    return noise > np.quantile(noise, 0.8)


def _feret_of_corners(mask: np.ndarray, rows: float, columns: float) -> float:
    """ITK's largest distance between pixels, of an image whose pixels are the corners of the mask's pixels."""
    corners = ndimage.binary_dilation(np.pad(mask, ((0, 1), (0, 1))), np.array([[1, 1], [1, 1]]), origin=(-1, -1))
    corners |= np.pad(mask, ((0, 1), (0, 1)))
    image = sitk.GetImageFromArray(corners.astype(np.uint8))
    image.SetSpacing((columns, rows))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    # In ITK all pixels of a label of one connected part only; here the parts of a slice count together.
    shape.Execute(image)
    return float(shape.GetFeretDiameter(1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.9)])
def test_the_longest_diameter_is_that_of_itk(seed: int, spacing: tuple[float, float]) -> None:
    """Of all slices the one with the largest distance between corners of pixels, also where pixels are not square."""
    mask = _blob(seed)
    feret = [_feret_of_corners(one, *spacing) for one in mask]

    found = diameters(mask, *spacing)

    assert found is not None
    assert found[0].length_mm == pytest.approx(max(feret), abs=1e-6)
    assert found[0].slice == int(np.argmax(feret))
    ends = found[0].ends * (spacing[1], spacing[0])
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(found[0].length_mm)


@pytest.mark.parametrize("seed", range(8))
def test_the_other_diameter_is_the_longest_one_across(seed: int) -> None:
    """Among very many parallel lines through SciPy's hull none is longer; it stands at right angles to the first."""
    spacing = 0.7, 1.9
    mask = _blob(seed)

    found = diameters(mask, *spacing)

    assert found is not None
    longest, across = (chord.ends * (spacing[1], spacing[0]) for chord in found)
    along, sideways = longest[1] - longest[0], across[1] - across[0]
    assert abs(along @ sideways) < 1e-6 * np.linalg.norm(along) * np.linalg.norm(sideways)
    assert found[1].slice == found[0].slice
    lengths = _lengths_across(mask[found[0].slice], spacing, along / np.linalg.norm(along))
    assert lengths.max() <= found[1].length_mm + 1e-6
    assert lengths.max() == pytest.approx(found[1].length_mm, rel=2e-3)


def _lengths_across(mask: np.ndarray, spacing: tuple[float, float], along: np.ndarray) -> np.ndarray:
    """How long the hull is across a direction, at 4,000 places along it: upper border less lower border."""
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.column_stack((columns + x, rows + y)) for x, y in product((0, 1), repeat=2)])
    hull = corners[ConvexHull(corners).vertices] * (spacing[1], spacing[0])
    turned = hull @ np.column_stack((along, (-along[1], along[0])))
    places = np.linspace(turned[:, 0].min(), turned[:, 0].max(), 4000)
    heights = np.full((2, len(places)), np.nan)
    for (x0, y0), (x1, y1) in zip(turned, np.roll(turned, -1, axis=0), strict=True):
        if x0 == x1:
            continue
        inside = (places >= min(x0, x1)) & (places <= max(x0, x1))
        at = y0 + (y1 - y0) * (places[inside] - x0) / (x1 - x0)
        heights[0, inside] = np.fmin(heights[0, inside], at)
        heights[1, inside] = np.fmax(heights[1, inside], at)
    return np.asarray(heights[1] - heights[0])


def test_the_diameters_of_a_box_and_of_an_ellipse_are_known() -> None:
    """A box of 3 x 4 mm has a diagonal of 5 mm, and across it 2 * 3 * 4 / 5; an ellipse has its axes."""
    box = np.zeros((2, 10, 10), bool)
    box[1, 2:5, 3:7] = True
    found = diameters(box, 1, 1)
    assert found is not None
    assert [one.length_mm for one in found] == pytest.approx([5, 4 * 3.75 / 4])
    assert (found[0].slice, found[0].ends.tolist()) == (1, [[3, 2], [7, 5]])

    row, column = np.indices((200, 200)) + 0.5
    ellipse = (((row - 100) * 0.5 / 20) ** 2 + ((column - 100) / 80) ** 2 <= 1)[None]
    found = diameters(ellipse, 0.5, 1)
    assert found is not None
    assert [one.length_mm for one in found] == pytest.approx([160, 40], abs=1.2)


def test_one_pixel_has_its_diagonal_and_nothing_has_none() -> None:
    """The smallest region is one pixel; an empty one has no diameter."""
    pixel = np.zeros((1, 3, 3), bool)
    assert diameters(pixel, 1, 1) is None
    pixel[0, 2, 2] = True
    found = diameters(pixel, 3, 4)
    assert found is not None
    assert [one.length_mm for one in found] == pytest.approx([5, 3.75])


def test_of_equal_slices_the_first_is_measured() -> None:
    """The same mask has the same line each time, whichever slice would do as well."""
    found = diameters(np.ones((4, 3, 3), bool), 1, 1)

    assert found is not None
    assert found[0].slice == 0
    assert found[0].ends.tolist() == [[0, 0], [3, 3]]


def test_the_surface_is_that_of_the_ibsi_phantom() -> None:
    """The initiative's consensus for its phantom is 388 mm², within 3 (arXiv:1612.07003, feature C0JK)."""
    assert mesh_surface_mm2(~np.isnan(IBSI_PHANTOM), np.eye(3) * 2) == pytest.approx(388, abs=3)


def test_turned_and_mirrored_masks_have_the_same_surface() -> None:
    """However the grid runs through a mask, its area is one."""
    mask = _blob(3, (7, 12, 15))
    areas = [
        mesh_surface_mm2(mask.transpose(order)[tuple(slice(None, None, step) for step in steps)], np.eye(3))
        for order in permutations(range(3))
        for steps in product((1, -1), repeat=3)
    ]

    assert areas == pytest.approx([areas[0]] * 48, rel=1e-12)


def test_the_surface_of_simple_shapes_is_known() -> None:
    """A voxel is an octahedron; a large box has its sides, less what its edges and corners are cut."""
    voxel = np.ones((1, 1, 1), bool)
    assert mesh_surface_mm2(voxel, np.diag([2.0, 2.0, 2.0])) == pytest.approx(4 * np.sqrt(3))
    assert mesh_surface_mm2(np.zeros((3, 3, 3), bool), np.eye(3)) == 0

    # Each edge of a box of a x b x c voxels is cut at 45 degrees, half a voxel from it; each corner is a triangle.
    a, b, c = 20, 30, 40
    sides = 2 * ((a - 1) * (b - 1) + (b - 1) * (c - 1) + (a - 1) * (c - 1))
    edges = 4 * ((a - 1) + (b - 1) + (c - 1)) * np.sqrt(0.5)
    corners = 8 * np.sqrt(3) / 8
    assert mesh_surface_mm2(np.ones((a, b, c), bool), np.eye(3)) == pytest.approx(sides + edges + corners)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (1.0, 0.6, 2.0)])
def test_the_surface_of_an_ellipsoid_is_near_that_of_itk(spacing: tuple[float, float, float]) -> None:
    """ITK counts crossings of lines in 13 directions (Crofton); a mesh of steps is 7 to 15 % above, never below."""
    grid = (np.indices((60, 90, 90)) - np.array([30, 45, 45]).reshape(3, 1, 1, 1)) * np.reshape(spacing, (3, 1, 1, 1))
    mask = (grid[0] / 22) ** 2 + (grid[1] / 25) ** 2 + (grid[2] / 20) ** 2 <= 1
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOn()
    shape.Execute(image)

    assert 1.0 < mesh_surface_mm2(mask, np.diag(spacing)) / shape.GetPerimeter(1) < 1.17


def test_a_sheared_grid_has_the_surface_of_its_shape() -> None:
    """The steps between voxels need not be at right angles: a sheared box has parallelograms for sides."""
    sheared = np.array([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    large = mesh_surface_mm2(np.ones((60, 60, 60), bool), sheared)

    assert large == pytest.approx(60 * 60 * 2 * (1 + 1 + np.sqrt(1.25)), rel=0.03)
    assert large > 1.02 * mesh_surface_mm2(np.ones((60, 60, 60), bool), np.eye(3))
