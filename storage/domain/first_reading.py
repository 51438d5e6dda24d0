"""What is read of an instance once, when it is imported, beyond the few attributes that the door reads.

Nothing of it is on the way to the acknowledgement.
"""

from dataclasses import dataclass

from storage.domain.ai_object import AiDeclaration, ai_declaration
from storage.domain.image_record import ImageRecord, image_record
from storage.domain.series_attributes import SeriesAttributes, series_attributes

_HEAD = 64 * 1024  # bytes that are looked at where it is not known where the pixels begin


@dataclass(frozen=True, slots=True)
class FirstReading:
    """What an instance says of its image, of whether an algorithm made it, and of its series.

    ``None`` stands for what it does not say, or was not asked for.
    """

    image: ImageRecord | None = None
    declares: AiDeclaration | None = None
    attributes: SeriesAttributes | None = None


def first_reading(
    data_set: memoryview | bytes, sop_class_uid: str, transfer_syntax_uid: str, *, of_series: bool = True
) -> FirstReading:
    """Read a data set, or its first mebibyte. Never raises on what a peer sent.

    What it says of its series is left out unless ``of_series``: one instance of each is enough.
    """
    image = image_record(data_set, transfer_syntax_uid)
    head = bytes(data_set[: image.head_length if image is not None else _HEAD])
    return FirstReading(
        image,
        ai_declaration(head, sop_class_uid, transfer_syntax_uid),
        series_attributes(head, transfer_syntax_uid) if of_series else None,
    )
