"""Pictures of a segmentation over its images, drawn from the DICOM object that is sent, for a quick look.

They are made from the Segmentation itself, frame by frame on the source image that the frame names, so they show
what a viewer would show. Nothing of the patient's identity is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from highdicom.color import CIELabColor
from PIL import Image
from pydicom import Dataset, dcmread

from inference.evidence.drawing import BLACK, WHITE, Pen, png
from inference.evidence.references import referred_image
from inference.evidence.segment_findings import Labels
from inference.evidence.windowing import Grey, Table, Window, windowing
from inference.imaging.extent import Box, extent
from inference.imaging.frames import image_key
from inference.imaging.volume import Volume
from storage.domain.result import EvidenceObject, ResultPicture

_TILE = 420  # pixels of a tile's longer side
_MONTAGE = 6  # slices in the acquisition plane
_FILL = 0.3  # opacity of a segment's inside; its outline is opaque
_PLANES = ("axial", "coronal", "sagittal")  # the plane whose normal is the volume's axis 0, 1, 2
_SIDES = (("R", "L"), ("R", "L"), ("A", "P"))  # of the patient at the left and right edge of each plane's tile
_NICE_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # mm on a scale bar

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Segment:
    label: str
    rgb: tuple[int, int, int]


_NOTHING = _Segment("Nothing found", WHITE)


@dataclass(frozen=True, slots=True)
class _Scene:
    """Values and labels as (foot to head, front to back, right to left), with mm between voxels."""

    values: Grey
    window: Window | Table
    labels: Labels
    box: Box | None  # of the labels that holds all segments
    segments: dict[int, _Segment]
    spacing: tuple[float, float, float]
    acquired: int  # the axis along which the images were stacked
    mark: str


def overlay_pictures(volume: Volume, seg: EvidenceObject | None, mark: str) -> tuple[ResultPicture, ...]:
    """The pictures of ``overlays``, titled by their planes."""
    return tuple(ResultPicture(title, png(picture)) for title, picture in overlays(volume, seg, mark))


def overlays(volume: Volume, seg: EvidenceObject | None, mark: str) -> Iterator[tuple[str, Image.Image]]:
    """One picture per plane with the plane's name, the acquisition plane first.

    The acquisition plane is a montage of slices across the segments, the two others are reconstructed through
    the middle of the largest segment, in true proportions. Without a segmentation, because nothing was found, the
    middle of the volume is shown and it is said that nothing was found.

    Raises:
        ValueError: a frame of the segmentation names an image that is not among the volume's.
    """
    scene = _scene(volume, dcmread(BytesIO(seg.part10)) if seg is not None else None, mark)
    for axis in sorted(range(3), key=lambda one: one != scene.acquired):
        tiles = [_tile(scene, axis, index) for index in _chosen_slices(scene, axis)]
        yield _PLANES[axis].capitalize(), _montage(tiles)


def _scene(volume: Volume, seg: Dataset | None, mark: str) -> _Scene:
    spacing = volume.geometry.spacing_mm
    # Directions of the array's axes (slice, row, column).
    order, flips = _towards_patient_axes((volume.geometry.affine[:3, :3] / np.asarray(spacing)).T)

    def turned(values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        return np.flip(values.transpose(order), tuple(axis for axis in range(3) if flips[axis]))

    labels = turned(_labels(volume, seg))
    return _Scene(
        values=turned(volume.values),
        window=windowing(volume.headers[0], volume.values),
        labels=labels,
        box=extent(labels),
        segments={int(item.SegmentNumber): _segment(item) for item in seg.SegmentSequence} if seg is not None else {},
        spacing=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
        acquired=order.index(0),
        mark=mark,
    )


def _towards_patient_axes(directions: npt.NDArray[np.float64]) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axis lies nearest to foot-head, front-back and right-left, and whether it runs the other way."""
    weight = np.abs(directions)
    best = max(
        ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3),
        key=lambda order: weight[order[0], 2] + weight[order[1], 1] + weight[order[2], 0],
    )
    head, back, left = (bool(directions[best[i], 2 - i] < 0) for i in range(3))
    return best, (head, back, left)


def _labels(volume: Volume, seg: Dataset | None) -> Labels:
    labels = np.zeros(volume.geometry.shape, np.uint8)
    if seg is None:
        return labels
    place = {image_key(header): index for index, header in enumerate(volume.headers)}
    for number, groups in enumerate(seg.PerFrameFunctionalGroupsSequence):
        source = referred_image(groups.DerivationImageSequence[0].SourceImageSequence[0])
        if source not in place:
            raise ValueError("The segmentation was made from an image that was not given.")
        segment = np.uint8(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        np.copyto(labels[place[source]], segment, where=_frame(seg, number))
    return labels


def _frame(seg: Dataset, number: int) -> npt.NDArray[np.bool_]:
    """One frame alone: all of them unpacked are eight times the object (PS3.5 section 8.2)."""
    size = seg.Rows * seg.Columns
    first, end = number * size, (number + 1) * size
    packed = np.frombuffer(seg.PixelData, np.uint8, -(-end // 8) - first // 8, first // 8)
    bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + size]
    return bits.reshape(seg.Rows, seg.Columns).view(np.bool_)


def _segment(item: Dataset) -> _Segment:
    lab = item.get("RecommendedDisplayCIELabValue")
    rgb = CIELabColor.from_dicom_value(lab).to_rgb(clip=True) if lab is not None else (255, 0, 0)
    return _Segment(str(item.SegmentLabel), (int(rgb[0]), int(rgb[1]), int(rgb[2])))


def _chosen_slices(scene: _Scene, axis: int) -> list[int]:
    areas = _areas(scene, axis)
    used = np.flatnonzero(np.sum(areas, axis=0)) if areas else np.array([], int)
    if not used.size:
        return [scene.values.shape[axis] // 2]
    if axis != scene.acquired:
        largest = max(areas, key=lambda area: int(area.sum()))
        return [_middle(largest)]
    # Each segment where it is largest, so that a small one is not passed over; then evenly over all of them.
    wanted = [int(np.argmax(area)) for area in areas if area.any()]
    wanted += [int(used[round(one)]) for one in np.linspace(0, used.size - 1, _MONTAGE)]
    chosen = sorted(list(dict.fromkeys(wanted))[:_MONTAGE])
    return chosen[::-1] if axis == 0 else chosen  # from the head downwards, as axial slices are read


def _areas(scene: _Scene, axis: int) -> list[npt.NDArray[np.int_]]:
    """For each segment how many voxels each slice of this plane has."""
    others = tuple(one for one in range(3) if one != axis)
    areas = [np.zeros(scene.labels.shape[axis], int) for _ in scene.segments]
    if scene.box is not None:
        inside = scene.labels[scene.box]
        for area, number in zip(areas, sorted(scene.segments), strict=True):
            area[scene.box[axis]] = np.count_nonzero(inside == number, axis=others)
    return areas


def _middle(area: npt.NDArray[np.int_]) -> int:
    """The slice with half of the segment's voxels on either side."""
    return int(np.searchsorted(np.cumsum(area), area.sum() / 2))


def _tile(scene: _Scene, axis: int, index: int) -> Image.Image:
    down, across = (one for one in range(3) if one != axis)
    size_mm = (scene.values.shape[across] * scene.spacing[across], scene.values.shape[down] * scene.spacing[down])
    per_mm = _TILE / max(size_mm)
    size = (max(round(size_mm[0] * per_mm), 1), max(round(size_mm[1] * per_mm), 1))

    def plane(volume: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        cut: npt.NDArray[_Scalar] = np.take(volume, index, axis)
        return cut[::-1] if down == 0 else cut  # the head is up

    shown = (scene.window.grey(plane(scene.values)) * 255).astype(np.uint8)
    grey = Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR)
    picture = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2).astype(np.float32)
    labels = np.asarray(Image.fromarray(plane(scene.labels)).resize(size, Image.Resampling.NEAREST))
    for number, segment in scene.segments.items():
        _paint(picture, labels == number, segment.rgb)
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
    pen = Pen(tile)
    pen.text((6, 4), scene.mark)
    legend = [scene.segments[number] for number in sorted(scene.segments)] or [_NOTHING]
    for line, segment in enumerate(legend):
        pen.text((6, 20 + 15 * line), segment.label, segment.rgb)
    left, right_side = _SIDES[axis]
    pen.text((6, tile.height / 2), left)
    pen.text((tile.width - 8 - pen.width(right_side), tile.height / 2), right_side)
    length = max((one for one in _NICE_LENGTHS if one * per_mm <= tile.width / 3), default=1)
    right, bottom = tile.width - 8, tile.height - 8
    for fill, width in ((BLACK, 6), (WHITE, 2)):
        pen.draw.line([(right - length * per_mm, bottom), (right, bottom)], fill=fill, width=width)
    words = f"{length} mm"
    pen.text((right - pen.width(words), bottom - 18), words)


def _montage(tiles: list[Image.Image]) -> Image.Image:
    columns = min(len(tiles), 3)
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, ((index % columns) * width, (index // columns) * height))
    return sheet
