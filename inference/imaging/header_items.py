"""How many sequence items a header may have before pydicom reads it, which takes some 40 microseconds for each."""

from inference.errors import UnusableInput

MOST_ITEMS = 200_000  # of one file: 20,000 frames, which is our limit, with ten items each
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # (FFFE,E000) in little and in big endian (PS3.5 section 7.5)


def refuse_too_many_items(content: bytes, start: int = 0) -> None:
    """Refuse a file with more items than an image has, from its bytes from ``start`` on, without looking at elements.

    Bytes of other values that look like the head of an item count too, and so do the fragments of encapsulated pixel
    data: that makes the count larger than it is, never smaller, wherever and however sequences are hidden.

    Raises:
        UnusableInput: ``unreadable``.
    """
    if sum(content.count(tag, start) for tag in _ITEM_TAGS) > MOST_ITEMS:
        raise UnusableInput(
            "unreadable",
            f"An instance has more than {MOST_ITEMS} sequence items, which is our limit; send it without them.",
        )
