"""Which Specific Character Set (0008,0005) an object is written in (PS3.3 section C.12.1.1.2).

It is the source's, whose patient and study are then copied byte for byte, unless a text of ours would be lost in it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

from pydicom.charset import convert_encodings, decode_bytes, default_encoding, encode_string
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, TEXT_VR_DELIMS

_CHARACTER_SET = Tag(0x0008, 0x0005)
_LOST = frozenset("\ufffd\x1b")  # what is read of a byte, and of an escape, that the character set does not have
_SPELT = str.maketrans({
    "≥": ">=", "≤": "<=", "±": "+/-", "×": "x", "µ": "u", "μ": "u", "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O",
    "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"',
})  # fmt: skip
_MOST_CHARACTERS = {"SH": 16, "LO": 64}  # in one value (PS3.5 section 6.2)


def as_received(source: Dataset) -> Dataset:
    """A copy that can be read while ``source`` keeps the bytes of what nobody has read of it."""
    image = Dataset()
    image.update(source)
    return image


def settle_character_set(sop: Dataset, image: Dataset, source: Dataset) -> None:
    """Have an object hold each of its texts; its elements that are ``image``'s own are those copied from it.

    ``image`` is ``source`` ``as_received``. Where a text of ours does not fit, the whole object is in UTF-8. Where the
    source's own text cannot be told from its bytes, these and its character set stay, and our text that
    does not fit becomes ASCII.
    """
    copied = [one for tag, one in sop.items() if isinstance(one, DataElement) and _is_copied(tag, one, image)]
    encodings = convert_encodings(sop.get("SpecificCharacterSet"))
    ours = [one for one in _texts(sop, image) if not all(_holds(encodings, text) for text in _values(one))]
    readable = _readable(copied, encodings)
    if not readable:
        _keep_bytes(sop, copied, source)
    if ours and readable:
        _write_in_utf_8(sop, copied)
    for element in () if readable else ours:
        _write_in_ascii(element)


def _is_copied(tag: int, element: DataElement | RawDataElement, image: Dataset) -> bool:
    return tag in image and image.get_item(tag) is element


def _texts(data_set: Dataset, image: Dataset) -> Iterator[DataElement]:
    """Our elements with text at every level; what stands as bytes is ASCII, or the source's."""
    for tag, element in data_set.items():
        if isinstance(element, RawDataElement) or _is_copied(tag, element, image):
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item, image)
        elif element.VR in CUSTOMIZABLE_CHARSET_VR:
            yield element


def _values(element: DataElement) -> list[str]:
    value = element.value
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    texts = [str(one) for one in values if one is not None]
    return [part for text in texts for part in re.split("[=^]", text)] if element.VR == "PN" else texts


def _holds(encodings: Sequence[str], text: str) -> bool:
    if text.isascii():
        return True
    if not _has_letters(encodings, text) or (encodings[0] == default_encoding and _is_latin(text)):
        return False
    return decode_bytes(encode_string(text, encodings), encodings, TEXT_VR_DELIMS) == text


def _has_letters(encodings: Sequence[str], text: str) -> bool:
    """Whether each letter is of ASCII or of a set that is named; the default one is more to pydicom than it is."""
    named = [encoding for encoding in encodings if encoding != default_encoding]
    return all(letter.isascii() or any(_encodes(encoding, letter) for encoding in named) for letter in text)


def _encodes(encoding: str, letter: str) -> bool:
    try:
        encoded = letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return encoding != "shift_jis" or len(encoded) == 1  # of which DICOM has only JIS X 0201


def _is_latin(text: str) -> bool:
    """Whether pydicom would write a letter as the byte that it is in Latin-1, where the default set is the first."""
    return any("\x80" <= letter <= "\xff" for letter in text)


def _readable(elements: Iterable[DataElement], encodings: Sequence[str]) -> bool:
    for element in elements:
        if element.VR == "SQ":
            for item in map(deepcopy, element.value):  # reading changes it
                own = item.get("SpecificCharacterSet")
                if not _readable(list(item), convert_encodings(own) if own else encodings):
                    return False
        elif element.VR in CUSTOMIZABLE_CHARSET_VR:
            text = "".join(_values(element))
            if not _LOST.isdisjoint(text) or not _has_letters(encodings, text):
                return False
    return True


def _keep_bytes(sop: Dataset, copied: Iterable[DataElement], source: Dataset) -> None:
    """Undo the reading of text."""
    for element in copied:
        raw: object = source.get_item(element.tag)
        if element.VR in CUSTOMIZABLE_CHARSET_VR and isinstance(raw, RawDataElement) and raw.value:
            sop[element.tag] = DataElement(element.tag, element.VR, raw.value, validation_mode=IGNORE)


def _write_in_utf_8(sop: Dataset, copied: Iterable[DataElement]) -> None:
    for element in copied:
        sop[element.tag] = _without_bytes(element)
    # A new element, because the old one is the source's.
    sop[_CHARACTER_SET] = DataElement(_CHARACTER_SET, "CS", "ISO_IR 192")


def _without_bytes(element: DataElement) -> DataElement:
    """The element without bytes in the source's character set, which pydicom would write as they are."""
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [_decoded(item) for item in element.value])
    if element.VR == "PN" and not element.is_empty:
        names = [element.value] if element.VM == 1 else element.value
        return DataElement(element.tag, "PN", [str(name) for name in names], validation_mode=IGNORE)
    return element


def _decoded(item: Dataset) -> Dataset:
    read = deepcopy(item)  # reading changes it
    return Dataset({element.tag: _without_bytes(element) for element in read if element.tag != _CHARACTER_SET})


def _write_in_ascii(element: DataElement) -> None:
    most = _MOST_CHARACTERS.get(element.VR)
    texts = [_ascii(str(text))[:most] for text in ([element.value] if element.VM == 1 else element.value)]
    element.value = texts[0] if element.VM == 1 else texts


def _ascii(text: str) -> str:
    """The text without marks on its letters; a letter that has no other form is its number, so none become one."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text.translate(_SPELT)))
    return "".join(
        letter if letter.isascii() else "" if unicodedata.combining(letter) else f"U+{ord(letter):04X}"
        for letter in letters
    )
