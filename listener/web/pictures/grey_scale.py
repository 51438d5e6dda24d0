"""From the stored values of a grey image to what is shown: modality, window, inversion (PS3.4 annex N.2)."""

import math
from collections.abc import Callable, Iterable

from listener.web.pictures.codecs import GreySamples
from listener.web.pictures.frame_description import FrameDescription, Table, Window

_EIGHT_PIXELS = [bytes((byte >> bit & 1) for bit in range(8)) for byte in range(256)]  # the first is the lowest bit


def shown(frame: FrameDescription, samples: GreySamples) -> bytes:
    """One byte per pixel."""
    if samples.bits == 1:
        content = b"".join(map(_EIGHT_PIXELS.__getitem__, samples.content))[: frame.pixels]
        return content.translate(_bytes_of(frame, samples.value, range(256), content))
    if samples.bits == 8:
        return samples.content.translate(_bytes_of(frame, samples.value, range(256), samples.content))
    numbers = memoryview(samples.content).cast("H" if samples.bits == 16 else "I")
    used = set(numbers)
    if samples.bits == 16:
        return bytes(map(_bytes_of(frame, samples.value, range(65536), used).__getitem__, numbers))
    listed = sorted(used)
    of = dict(zip(listed, _bytes_of(frame, samples.value, listed, used), strict=True))
    return bytes(map(of.__getitem__, numbers))


def _bytes_of(
    frame: FrameDescription, value: Callable[[int], int], numbers: Iterable[int], used: Iterable[int]
) -> bytes:
    """The byte that is shown for each of these samples; ``used`` are those that stand in the frame."""
    modality = _modality(frame)
    show = _display(frame, modality, {value(number) for number in set(used)})
    inverted = frame.photometric == "MONOCHROME1"
    answer = bytearray()
    for number in numbers:
        stored = value(number)
        level = 0 if stored == frame.padding else show(modality(stored))
        answer.append(255 - level if inverted and stored != frame.padding else level)
    return bytes(answer)


def _modality(frame: FrameDescription) -> Callable[[int], float]:
    if frame.modality_table is not None:
        return _looked_up(frame.modality_table)
    slope, intercept = frame.slope, frame.intercept
    return lambda stored: stored * slope + intercept


def _display(frame: FrameDescription, modality: Callable[[int], float], stored: set[int]) -> Callable[[float], int]:
    if frame.window is not None:
        return _windowed(frame.window)
    if frame.table is not None:
        look_up, most = _looked_up(frame.table), (1 << frame.table.bits) - 1
        return lambda value: _byte(look_up(int(value)) * 255 / most)
    values = [modality(each) for each in stored if each != frame.padding] or [0.0]
    low, high = min(values), max(values)
    return _windowed(Window((low + high) / 2, max(high - low, 1e-9), "LINEAR_EXACT"))


def _looked_up(table: Table) -> Callable[[int], float]:
    entries, first, last = table.entries, table.first, len(table.entries) - 1
    return lambda value: entries[min(max(value - first, 0), last)]


def _windowed(window: Window) -> Callable[[float], int]:
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        return lambda value: _byte(255 / (1 + math.exp(min(-4 * (value - center) / width, 700))))
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width <= 0:
        return lambda value: 255 if value > center else 0
    return lambda value: _byte(((value - center) / width + 0.5) * 255)


def _byte(level: float) -> int:
    return min(max(round(level), 0), 255)
