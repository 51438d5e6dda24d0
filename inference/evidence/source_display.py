"""How a source image wants its pixels shown, as a presentation state repeats it (PS3.3 sections C.11.1 and C.11.8).

A presentation state replaces the image's own Modality LUT and window, so one that leaves them out changes the picture.
"""

import math
from collections.abc import Sequence

from highdicom import ReferencedImageSequence
from pydicom import Dataset

from inference.imaging.image_series import pixel_spacing

_NARROWEST_LINEAR = 1.0  # the least Window Width of the function LINEAR (PS3.3 section C.11.2.1.2)


def modality_lut(source: Dataset) -> Dataset:
    """The Modality LUT of the image; nothing where it has none."""
    shown = Dataset()
    if "ModalityLUTSequence" in source:
        shown["ModalityLUTSequence"] = source["ModalityLUTSequence"]
    elif source.get("RescaleSlope") is not None and source.get("RescaleIntercept") is not None:
        shown["RescaleIntercept"], shown["RescaleSlope"] = source["RescaleIntercept"], source["RescaleSlope"]
        shown.RescaleType = source.get("RescaleType") or "US"
    return shown


def softcopy_vois(sources: Sequence[Dataset], known_as: Sequence[Dataset]) -> list[Dataset]:
    """The windows of the images, each with the images that it belongs to where there are several.

    ``known_as`` are the images as the presentation state refers to them.
    """
    windows: list[tuple[Dataset, list[Dataset]]] = []
    for source, image in zip(sources, known_as, strict=True):
        window = _window(source)
        images = next((images for known, images in windows if known == window), None)
        if images is None:
            windows.append((window, [image]))
        else:
            images.append(image)
    stated = [(window, images) for window, images in windows if len(window)]
    for window, images in stated:
        if len(images) < len(sources):
            window.ReferencedImageSequence = ReferencedImageSequence(images)
    return [window for window, _ in stated]


def _window(source: Dataset) -> Dataset:
    shown = Dataset()
    if source.get("VOILUTSequence"):
        shown.VOILUTSequence = [source.VOILUTSequence[0]]
        return shown
    function = str(source.get("VOILUTFunction") or "LINEAR")
    try:
        center, width = (_first(source, word) for word in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError):
        return shown
    if not (math.isfinite(center) and math.isfinite(width)):
        return shown
    if width >= _NARROWEST_LINEAR or (function != "LINEAR" and width > 0):
        shown.WindowCenter, shown.WindowWidth = center, width
        if function != "LINEAR":
            shown.VOILUTFunction = function
    return shown


def _first(source: Dataset, word: str) -> float:
    value = source.get(word)
    return float(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value)


def is_inverse(source: Dataset) -> bool:
    """Whether low values are shown white."""
    return bool(source.get("PhotometricInterpretation") == "MONOCHROME1")


def show_true_proportions(area: Dataset, source: Dataset) -> None:
    """Give a Displayed Area Selection item the shape of the image's pixels."""
    spacing = pixel_spacing(source)
    if spacing is not None:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = list(spacing)
    elif source.get("PixelAspectRatio"):
        area.PresentationPixelAspectRatio = source.PixelAspectRatio
