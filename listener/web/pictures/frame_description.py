"""What a decoder must know of a frame, and of the picture that is wanted of it; JSON carries it to the child."""

from dataclasses import asdict, dataclass, replace
from typing import Any

PIXEL_LIMIT = 40 * 10**6  # pixels of one frame; the largest mammograms have about 25 million


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table (PS3.3 section C.11.1.1): the entry for ``first``, and those after it."""

    first: int
    bits: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Which values are shown between black and white (PS3.3 section C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class Viewport:
    """Into how many pixels the picture must fit, and which rectangle of the image it shows; 0 is the whole."""

    width: int
    height: int
    left: int = 0
    top: int = 0
    source_width: int = 0
    source_height: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """The picture that is wanted."""

    media_type: str = "image/jpeg"
    quality: int = 90
    viewport: Viewport | None = None


@dataclass(frozen=True, slots=True)
class FrameDescription:
    """One frame as the attributes of its instance describe it (PS3.3 section C.7.6.3)."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    modality_table: Table | None = None
    window: Window | None = None
    table: Table | None = None
    padding: int | None = None
    palette: tuple[Table, ...] = ()

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.rows * self.columns


def to_json(frame: FrameDescription, wish: Wish) -> dict[str, Any]:
    """Both as JSON can carry them."""
    return {"frame": asdict(frame), "wish": asdict(wish)}


def from_json(content: dict[str, Any]) -> tuple[FrameDescription, Wish]:
    """The reverse."""
    frame, wish = FrameDescription(**content["frame"]), Wish(**content["wish"])
    return (
        replace(
            frame,
            modality_table=_table(frame.modality_table),
            table=_table(frame.table),
            window=Window(**frame.window) if frame.window else None,  # type: ignore[arg-type]
            palette=tuple(Table(**each) for each in frame.palette),  # type: ignore[arg-type]
        ),
        replace(wish, viewport=Viewport(**wish.viewport) if wish.viewport else None),  # type: ignore[arg-type]
    )


def _table(content: Any) -> Table | None:  # noqa: ANN401 - what JSON gives
    return Table(**content) if content else None
