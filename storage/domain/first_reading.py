"""What is read of an instance once, when it is imported, beyond the few attributes that the door reads.

Nothing of it is on the way to the acknowledgement.
"""

from dataclasses import dataclass

from storage.domain.ai_object import AiDeclaration, ai_declaration
from storage.domain.image_record import ImageRecord, image_record

_HEAD = 64 * 1024  # bytes that are looked at where it is not known where the pixels begin


@dataclass(frozen=True, slots=True)
class FirstReading:
    """What an instance says of its image, and of whether an algorithm made it; ``None`` for what it does not say."""

    image: ImageRecord | None = None
    declares: AiDeclaration | None = None


def first_reading(data_set: memoryview | bytes, sop_class_uid: str, transfer_syntax_uid: str) -> FirstReading:
    """Read a data set, or its first mebibyte. Never raises on what a peer sent."""
    image = image_record(data_set, transfer_syntax_uid)
    head = bytes(data_set[: image.head_length if image is not None else _HEAD])
    return FirstReading(image, ai_declaration(head, sop_class_uid, transfer_syntax_uid))
