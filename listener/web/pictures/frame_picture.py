"""One frame as the bytes of a PNG or JPEG; runs in the child only."""

import io

from PIL import Image

from listener.web.pictures.codecs import Undecodable, colour_picture, grey_samples
from listener.web.pictures.frame_description import PIXEL_LIMIT, FrameDescription, Table, Viewport, Wish
from listener.web.pictures.grey_scale import shown


def frame_picture(frame: FrameDescription, wish: Wish, content: bytes) -> bytes:
    """Decode, choose what is shown, encode.

    Raises:
        Undecodable: the bytes are not what the description says.
    """
    if not 0 < frame.pixels <= PIXEL_LIMIT:
        raise Undecodable
    picture = _cut(_decoded(frame, content), wish.viewport)
    file = io.BytesIO()
    if wish.media_type == "image/png":
        picture.save(file, "PNG", compress_level=3)
    else:
        picture.save(file, "JPEG", quality=wish.quality)
    return file.getvalue()


def _decoded(frame: FrameDescription, content: bytes) -> Image.Image:
    if frame.samples == 3:
        return colour_picture(frame, content)
    samples, size = grey_samples(frame, content), (frame.columns, frame.rows)
    if frame.photometric != "PALETTE COLOR":
        return Image.frombytes("L", size, shown(frame, samples))
    indices = samples.content if samples.bits == 8 else memoryview(samples.content).cast("H")
    bands = []
    for table in frame.palette:
        levels = bytes(_level(table, samples.value(number)) for number in range(1 << samples.bits))
        bands.append(Image.frombytes("L", size, bytes(map(levels.__getitem__, indices))))
    return Image.merge("RGB", bands)


def _level(table: Table, value: int) -> int:
    """An index before or past the table takes its first or last entry (PS3.3 section C.7.6.3.1.5)."""
    entry = table.entries[min(max(value - table.first, 0), len(table.entries) - 1)]
    return entry >> 8 if table.bits > 8 else entry & 0xFF


def _cut(picture: Image.Image, viewport: Viewport | None) -> Image.Image:
    """The wanted rectangle, scaled into the viewport with its proportions kept (PS3.18 section 8.3.5.1.3)."""
    if viewport is None:
        return picture
    width = viewport.source_width or picture.width - viewport.left
    height = viewport.source_height or picture.height - viewport.top
    right, lower = min(viewport.left + width, picture.width), min(viewport.top + height, picture.height)
    if viewport.left >= right or viewport.top >= lower:
        raise Undecodable
    picture = picture.crop((viewport.left, viewport.top, right, lower))
    scale = min(viewport.width / picture.width, viewport.height / picture.height)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
