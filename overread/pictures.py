"""Pictures of a segmentation over its images, drawn from the DICOM objects that were sent, for a quick look.

They are made from the Segmentation itself, frame by frame on the source image that the frame names, so they show
what a viewer would show. Nothing of the patient's identity is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread

MARK = "AI result, not verified"

_TILE = 420  # pixels of a tile's longer side
_MONTAGE = 6  # slices in the acquisition plane
_FILL = 0.3  # opacity of a segment's inside; its outline is opaque
_PLANES = ("axial", "coronal", "sagittal")  # the plane whose normal is the volume's axis 0, 1, 2
_SIDES = (("R", "L"), ("R", "L"), ("A", "P"))  # of the patient at the left and right edge of each plane's tile
_NICE_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # mm on a scale bar

Volume = npt.NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Segment:
    label: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Scene:
    """Grey values 0 to 1 and segments as (foot to head, front to back, right to left), with mm between voxels."""

    grey: Volume
    masks: dict[int, npt.NDArray[np.bool_]]
    segments: dict[int, _Segment]
    spacing: tuple[float, float, float]
    acquired: int  # the axis along which the images were stacked


def overlay_pictures(sources: Sequence[Dataset | Path], seg: Dataset | Path, folder: Path) -> list[Path]:
    """Write one PNG per plane into ``folder`` and return their paths, the acquisition plane first.

    The acquisition plane is a montage of slices across the segments, the two others are reconstructed through
    the middle of the largest segment, in true proportions. ``sources`` may be in any order; ``folder`` is made if
    it is missing.

    Raises:
        ValueError: a frame of the segmentation names an image that is not among the sources.
    """
    images = _in_order([one if isinstance(one, Dataset) else dcmread(one) for one in sources])
    scene = _scene(images, seg if isinstance(seg, Dataset) else dcmread(seg))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for axis in sorted(range(3), key=lambda one: one != scene.acquired):
        tiles = [_tile(scene, axis, index) for index in _chosen_slices(scene, axis)]
        path = folder / f"overlay-{_PLANES[axis]}.png"
        _montage(tiles).save(path)
        paths.append(path)
    return paths


def _in_order(images: list[Dataset]) -> list[Dataset]:
    axes = np.array(images[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(axes[0], axes[1])
    return sorted(images, key=lambda image: float(np.dot(normal, np.array(image.ImagePositionPatient, float))))


def _scene(images: list[Dataset], seg: Dataset) -> _Scene:
    axes = np.array(images[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(axes[0], axes[1])
    gap = _gap(images, normal)
    # Directions of the array's axes (slice, row, column) and the spacing along them.
    directions = np.array([normal, axes[1], axes[0]])
    spacing = (gap, float(images[0].PixelSpacing[0]), float(images[0].PixelSpacing[1]))
    order, flips = _towards_patient_axes(directions)

    def turned(volume: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        return np.flip(volume.transpose(order), tuple(axis for axis in range(3) if flips[axis]))

    return _Scene(
        grey=turned(_grey(images)),
        masks={number: turned(mask) for number, mask in _masks(images, seg).items()},
        segments={int(item.SegmentNumber): _segment(item) for item in seg.SegmentSequence},
        spacing=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
        acquired=order.index(0),
    )


def _gap(images: list[Dataset], normal: npt.NDArray[np.float64]) -> float:
    positions = [float(np.dot(normal, np.array(image.ImagePositionPatient, float))) for image in images]
    if len(positions) > 1:
        return float(np.median(np.diff(positions))) or 1.0
    return float(images[0].get("SliceThickness") or 1.0)


def _towards_patient_axes(directions: npt.NDArray[np.float64]) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axis lies nearest to foot-head, front-back and right-left, and whether it runs the other way."""
    weight = np.abs(directions)
    best = max(
        ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3),
        key=lambda order: weight[order[0], 2] + weight[order[1], 1] + weight[order[2], 0],
    )
    head, back, left = (bool(directions[best[i], 2 - i] < 0) for i in range(3))
    return best, (head, back, left)


def _grey(images: list[Dataset]) -> Volume:
    planes = [
        image.pixel_array.astype(np.float32) * float(image.get("RescaleSlope", 1) or 1)
        + float(image.get("RescaleIntercept", 0) or 0)
        for image in images
    ]
    volume = np.stack(planes)
    low, high = _window(images[0], volume)
    grey = np.clip((volume - low) / np.float32(max(high - low, 1e-6)), 0, 1).astype(np.float32)
    return 1 - grey if images[0].PhotometricInterpretation == "MONOCHROME1" else grey


def _window(image: Dataset, volume: Volume) -> tuple[float, float]:
    center, width = image.get("WindowCenter"), image.get("WindowWidth")
    if center is not None and width is not None:
        first = [float(np.atleast_1d(value)[0]) for value in (center, width)]
        return first[0] - first[1] / 2, first[0] + first[1] / 2
    low, high = np.percentile(volume, (1, 99))
    return float(low), float(high)


def _masks(images: list[Dataset], seg: Dataset) -> dict[int, npt.NDArray[np.bool_]]:
    place = {str(image.SOPInstanceUID): index for index, image in enumerate(images)}
    shape = (len(images), int(images[0].Rows), int(images[0].Columns))
    masks = {int(item.SegmentNumber): np.zeros(shape, np.bool_) for item in seg.SegmentSequence}
    frames = seg.pixel_array.reshape(-1, *shape[1:])
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        if source not in place:
            raise ValueError("The segmentation was made from an image that was not given.")
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks[number][place[source]] |= frame.astype(np.bool_)
    return masks


def _segment(item: Dataset) -> _Segment:
    from highdicom.color import CIELabColor

    lab = item.get("RecommendedDisplayCIELabValue")
    rgb = CIELabColor.from_dicom_value(lab).to_rgb(clip=True) if lab is not None else (255, 0, 0)
    return _Segment(str(item.SegmentLabel), (int(rgb[0]), int(rgb[1]), int(rgb[2])))


def _chosen_slices(scene: _Scene, axis: int) -> list[int]:
    others = tuple(one for one in range(3) if one != axis)
    areas = sum(np.count_nonzero(mask, axis=others) for mask in scene.masks.values())
    used = np.flatnonzero(areas)
    if not used.size:
        return [scene.grey.shape[axis] // 2]
    if axis != scene.acquired:
        largest = max(scene.masks.values(), key=lambda mask: int(np.count_nonzero(mask)))
        return [int(np.median(np.nonzero(largest)[axis]))]
    # Each segment where it is largest, so that a small one is not passed over; then evenly over all of them.
    wanted = [int(np.argmax(np.count_nonzero(mask, axis=others))) for mask in scene.masks.values() if mask.any()]
    wanted += [int(used[round(one)]) for one in np.linspace(0, used.size - 1, _MONTAGE)]
    chosen = sorted(list(dict.fromkeys(wanted))[:_MONTAGE])
    return chosen[::-1] if axis == 0 else chosen  # from the head downwards, as axial slices are read


def _tile(scene: _Scene, axis: int, index: int) -> Image.Image:
    down, across = (one for one in range(3) if one != axis)
    size_mm = (scene.grey.shape[across] * scene.spacing[across], scene.grey.shape[down] * scene.spacing[down])
    per_mm = _TILE / max(size_mm)
    size = (max(round(size_mm[0] * per_mm), 1), max(round(size_mm[1] * per_mm), 1))

    def plane(volume: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        cut: npt.NDArray[_Scalar] = np.take(volume, index, axis)
        return cut[::-1] if down == 0 else cut  # the head is up

    grey = Image.fromarray((plane(scene.grey) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    picture = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2).astype(np.float32)
    for number, volume in scene.masks.items():
        mask = np.asarray(Image.fromarray(plane(volume).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
        _paint(picture, mask, scene.segments[number].rgb)
    tile = Image.fromarray(picture.round().astype(np.uint8))
    _write(tile, scene, axis, per_mm)
    return tile


def _paint(picture: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], rgb: tuple[int, int, int]) -> None:
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    color = np.array(rgb, np.float32)
    picture[mask] = picture[mask] * (1 - _FILL) + color * _FILL
    picture[mask & ~inside] = color


def _write(tile: Image.Image, scene: _Scene, axis: int, per_mm: float) -> None:
    """The mark, the legend, the patient's sides and a scale bar, inside the image, where no cropping loses them."""
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(size=13)

    def text(position: tuple[float, float], words: str, fill: tuple[int, int, int]) -> None:
        draw.text(position, words, fill=fill, font=font, stroke_width=2, stroke_fill=(0, 0, 0))

    text((6, 4), MARK, (255, 255, 255))
    for line, number in enumerate(sorted(scene.segments)):
        text((6, 20 + 15 * line), scene.segments[number].label, scene.segments[number].rgb)
    left, right_side = _SIDES[axis]
    text((6, tile.height / 2), left, (255, 255, 255))
    text((tile.width - 8 - draw.textlength(right_side, font=font), tile.height / 2), right_side, (255, 255, 255))
    length = max((one for one in _NICE_LENGTHS if one * per_mm <= tile.width / 3), default=1)
    right, bottom = tile.width - 8, tile.height - 8
    for fill, width in (((0, 0, 0), 6), ((255, 255, 255), 2)):
        draw.line([(right - length * per_mm, bottom), (right, bottom)], fill=fill, width=width)
    words = f"{length} mm"
    text((right - draw.textlength(words, font=font), bottom - 18), words, (255, 255, 255))


def _montage(tiles: list[Image.Image]) -> Image.Image:
    columns = min(len(tiles), 3)
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, ((index % columns) * width, (index // columns) * height))
    return sheet
