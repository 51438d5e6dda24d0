"""To a network's grid and back: directions, sizes and voxel centres."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from scipy import ndimage

from inference.algorithms.manifest_parts import Intensity
from inference.algorithms.segmentation_manifest import Preprocessing
from inference.errors import UnusableInput
from inference.imaging.geometry import order_slices
from inference.imaging.intensity import scale_intensity
from inference.imaging.resampling import grid_map, resample, to_network_grid
from inference.imaging.volume import Volume
from tests.peers.synthetic_series import slice_headers

RANDOM = np.random.default_rng(3)
AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
ORIENTATIONS = ["".join(letters) for axes in permutations(["LR", "AP", "SI"]) for letters in product(*axes)]


def _volume(orientation: tuple[float, ...] = AXIAL, size: tuple[int, int] = (5, 4), count: int = 6) -> Volume:
    headers, geometry = order_slices(slice_headers(count=count, orientation=orientation, size=size))
    return Volume(RANDOM.normal(size=geometry.shape).astype(np.float32), geometry, tuple(headers))


@pytest.mark.parametrize("source", [AXIAL, CORONAL, SAGITTAL])
@pytest.mark.parametrize("wanted", ORIENTATIONS)
def test_each_axis_runs_where_the_letters_say(source: tuple[int, ...], wanted: str) -> None:
    """A ramp along the patient's left, posterior and superior rises or falls along the axis that names it."""
    volume = _volume(source)
    slices, rows, columns = np.indices(volume.geometry.shape)
    voxels = np.stack([slices, rows, columns, np.ones_like(slices)])
    patient = np.einsum("ij,jklm->iklm", volume.geometry.affine, voxels)
    for letter, axis, sign in (("L", 0, 1), ("R", 0, -1), ("P", 1, 1), ("A", 1, -1), ("S", 2, 1), ("I", 2, -1)):
        if letter not in wanted:
            continue
        ramp = Volume(patient[axis].astype(np.float32), volume.geometry, volume.headers)

        turned, _ = to_network_grid(ramp, Preprocessing(orientation=wanted))

        steps = np.diff(turned, axis=wanted.index(letter))
        assert (np.sign(steps) == sign).all()


@pytest.mark.parametrize("wanted", [None, *ORIENTATIONS])
def test_turning_there_and_back_changes_nothing(wanted: str | None) -> None:
    """Without resampling the way back is exact for every orientation."""
    volume = _volume()
    turned, mapping = to_network_grid(volume, Preprocessing(orientation=wanted))

    assert (mapping.back(turned, anti_aliasing=True) == volume.values).all()


def test_resampling_aligns_outer_edges() -> None:
    """Doubling and halving keep a linear ramp where it was, voxel centre by voxel centre."""
    ramp = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((8, 4, 4), np.float32)

    halved = resample(ramp, (2.0, 1.0, 1.0), (4, 4, 4), anti_aliasing=False)
    doubled = resample(ramp, (0.5, 1.0, 1.0), (16, 4, 4), anti_aliasing=False)

    assert halved[:, 0, 0] == pytest.approx([0.5, 2.5, 4.5, 6.5])
    assert doubled[1:-1, 0, 0] == pytest.approx(np.arange(1, 15) / 2 - 0.25)


def test_a_block_comes_back_where_it_was() -> None:
    """A box that is taken to a coarse grid and back has its centre where it was, to a tenth of a voxel."""
    volume = _volume(size=(48, 40), count=30)
    box = np.zeros(volume.geometry.shape, np.float32)
    box[6:15, 20:37, 4:19] = 1
    mapping = grid_map(volume.geometry, Preprocessing(orientation="LAS", target_size=(16, 16, 16)))

    back = mapping.back(mapping.forward(box, anti_aliasing=True), anti_aliasing=True)

    assert ndimage.center_of_mass(back >= 0.5) == pytest.approx(ndimage.center_of_mass(box), abs=0.1)
    assert (back >= 0.5).sum() == pytest.approx(box.sum(), rel=0.1)


def test_a_target_spacing_is_met_exactly_and_covers_everything() -> None:
    """The network's voxels have the wanted size, and the last source voxel is not cut off."""
    volume = _volume()
    mapping = grid_map(volume.geometry, Preprocessing(target_spacing_mm=(3.0, 0.5, 1.5)))

    assert mapping.factors == pytest.approx((1.5, 0.5, 1.0))
    assert mapping.target_shape == (4, 10, 4)
    assert np.all(np.array(mapping.target_shape) * mapping.factors >= volume.geometry.shape)


def test_anti_aliasing_takes_the_mean_of_what_it_drops() -> None:
    """A fine checkerboard becomes grey instead of black or white."""
    board = (np.indices((32, 32, 32)).sum(0) % 2).astype(np.float32)

    smooth = resample(board, (4.0,) * 3, (8, 8, 8), anti_aliasing=True)

    assert smooth[2:-2, 2:-2, 2:-2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        (Intensity(), [0, 50, 200]),
        (Intensity(method="max"), [0, 0.25, 1]),
        (Intensity(method="minmax"), [0, 0.25, 1]),
        (Intensity(method="window", center=50, width=100), [0, 0.5, 1]),
        (Intensity(method="zscore"), [-0.98058, -0.39223, 1.37281]),
    ],
)
def test_intensities_are_scaled_as_named(intensity: Intensity, expected: list[float]) -> None:
    """Each method gives the numbers that its definition gives by hand."""
    assert scale_intensity(np.array([0, 50, 200], np.float32), intensity) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["max", "minmax", "zscore"])
def test_an_image_that_shows_nothing_is_refused(method: str) -> None:
    """Dividing by zero would make a result out of nothing."""
    with pytest.raises(UnusableInput) as fault:
        scale_intensity(np.zeros((2, 2, 2), np.float32), Intensity(method=method))

    assert fault.value.reason.code == "empty-image"


def _centre_mm(values: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The centre of mass, from the outer corner, in mm."""
    return (np.array(ndimage.center_of_mass(values)) + 0.5) * spacing


def test_a_field_lies_in_the_middle_of_the_volume() -> None:
    """The middle of the volume is the middle of the field, whatever the spacings and whether it cuts or fills up."""
    volume = _volume(size=(40, 30), count=20)  # 40 mm, 40 mm, 45 mm
    values = np.zeros(volume.geometry.shape, np.float32)
    values[8:12, 16:24, 12:18] = 100
    blob = Volume(values, volume.geometry, volume.headers)
    wanted = Preprocessing(target_spacing_mm=(1, 2, 1), field=(30, 40, 45), fill=-7, anti_aliasing=False)

    resampled, mapping = to_network_grid(blob, wanted)
    mapping.fill_outside(resampled, -7)

    assert resampled.shape == mapping.target_shape == (30, 40, 45)
    assert _centre_mm(np.maximum(resampled, 0), (1, 2, 1)) == pytest.approx((15, 40, 22.5), abs=0.1)
    assert (resampled[:, :10] == -7).all()
    assert (resampled[:, -10:] == -7).all()
    assert (resampled[:, 10:30] >= 0).all()
    assert _centre_mm(mapping.back(resampled, anti_aliasing=False), (2, 1, 1.5)) == pytest.approx(
        (20, 20, 22.5), abs=0.1
    )


def test_nothing_is_found_outside_the_field() -> None:
    """Where the network did not look, there is no probability; the edge of the field is not carried on."""
    volume = _volume(size=(40, 30), count=20)
    _, mapping = to_network_grid(volume, Preprocessing(target_spacing_mm=(2, 2, 2), field=(10, 10, 10), fill=0))

    back = mapping.back(np.ones((10, 10, 10), np.float32), anti_aliasing=True)

    assert back[10, 20, 15] == pytest.approx(1)
    assert back[:5].max() == back[-5:].max() == back[:, :10].max() == back[:, :, -8:].max() == 0
    assert back[5:15, 10:30, 9:21].min() == pytest.approx(1)


def test_values_may_end_around_zero_or_with_a_stated_mean() -> None:
    """A window of 400 around 0 becomes -0.5 to 0.5; a mean and a deviation are reached whatever the values were."""
    values = np.array([-1000, -200, 0, 200, 3000], np.float32)

    window = scale_intensity(values, Intensity(method="window", center=0, width=400, range=(-0.5, 0.5)))
    lower = scale_intensity(values, Intensity(method="minmax", upper=0.25, range=(-0.5, 0.5)))
    stated = scale_intensity(
        values, Intensity(method="percentile", percentiles=(0, 100), mean_and_deviation=(0.4, 0.2))
    )

    assert lower == pytest.approx([-0.5, 0.3, 0.5, 0.5, 0.5])
    assert window == pytest.approx([-0.5, -0.5, 0, 0.5, 0.5])
    assert (stated.mean(), stated.std()) == pytest.approx((0.4, 0.2), abs=1e-5)


def test_voxels_beyond_the_budget_are_refused_before_anything_is_resampled() -> None:
    """Images of 300 mm a pixel are none that voxels of a millimetre can be made of."""
    geometry = _volume().geometry
    coarse = replace(geometry, affine=geometry.affine * np.array([300.0, 300.0, 300.0, 1.0]))

    with pytest.raises(UnusableInput) as refused:
        grid_map(coarse, Preprocessing(target_spacing_mm=(1.0, 1.0, 0.25)))

    assert refused.value.reason.code == "too-many-pixels"
