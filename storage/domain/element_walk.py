"""Walks the first elements of an encoded data set (PS3.5 section 7) without decoding what it steps over.

pydicom's reader recurses into sequences, warns with the values it meets and fails in many ways on hostile bytes. A
door, and the import behind it, need the opposite: no recursion, a bound on the work, one kind of failure. So this is
the one place where we read the encoding ourselves; everything else uses pydicom.
"""

import struct
from dataclasses import dataclass

from storage.errors import MissingSequence, UnreadableDataSet

_ELEMENT_LIMIT = 50_000  # elements and items stepped over before a header counts as unreadable
_DEPTH_LIMIT = 64  # levels of sequences with undefined length; deep structured reports have about 20
_VALUE_LIMIT = 16 * 1024  # bytes; nothing we want from a header is longer

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_DELIMITER = 0xFFFEE00D
_SEQUENCE_DELIMITER = 0xFFFEE0DD
_DELIMITER_SIZE = 8  # bytes: a tag, and a length of 0
_PIXEL_DATA = 0x7FE00010
_PIXELS_OF_ANY_KIND = 0x7FE00008  # float, double and integer ones follow each other

# PS3.5 table 7.1-1 and 7.1-2: which value representations have 32-bit and 16-bit lengths.
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS"}
    | {b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)

_SHORT_LITTLE = struct.Struct("<HHxxH")  # tag and length of an element with a 16-bit length
_SHORT_BIG = struct.Struct(">HHxxH")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written: with or without VR, and in which byte order."""

    implicit_vr: bool
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    vr: bytes  # empty where the encoding has none
    length: int
    start: int  # of the value

    @property
    def end(self) -> int:
        return self.start + self.length


def wanted_values(data: bytes, encoding: Encoding, wanted: frozenset[int]) -> dict[int, bytes]:
    """The raw values of the wanted top-level elements, by tag; stops behind the highest wanted tag.

    Raises:
        UnreadableDataSet: the bytes are not elements, end in the middle of one, or ask for too much work.
    """
    return _Walk(data, _sniffed(data, encoding)).values(wanted)


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the Pixel Data element begins, and its value; the length is ``None`` when that is encapsulated."""

    start: int
    value: int
    length: int | None


def values_before_pixels(
    data: bytes, encoding: Encoding, wanted: frozenset[int]
) -> tuple[dict[int, bytes], PixelPlace | None]:
    """The raw values of the wanted top-level elements before Pixel Data, and its place, which ``data`` may end behind.

    Nothing after it is looked at. The place is ``None`` when there is no Pixel Data, or it holds floats.

    Raises:
        UnreadableDataSet: as above.
    """
    return _Walk(data, _sniffed(data, encoding)).before_pixels(wanted)


def item_values(
    data: bytes, encoding: Encoding, sequence: int, wanted: frozenset[int], limit: int
) -> list[dict[int, bytes]]:
    """The raw values of the wanted elements of each item of a top-level sequence; what is nested in them is skipped.

    Raises:
        MissingSequence: it is not there.
        UnreadableDataSet: as above, or there are more than ``limit`` items.
    """
    return _Walk(data, _sniffed(data, encoding)).items(sequence, wanted, limit)


def item_parts(data: bytes, encoding: Encoding, sequence: int, limit: int) -> list[bytes]:
    """The encoded content of each item of a top-level sequence, to be walked in turn; what is behind it is not read.

    Raises:
        MissingSequence: it is not there.
        UnreadableDataSet: as above, or there are more than ``limit`` items.
    """
    return _Walk(data, _sniffed(data, encoding)).parts(sequence, limit)


def _sniffed(data: bytes, encoding: Encoding) -> Encoding:
    """Some senders write explicit VR where implicit was agreed, or the reverse; the first element tells."""
    has_vr = data[4:6] in _LONG_VRS | _SHORT_VRS
    return Encoding(implicit_vr=not has_vr, big_endian=encoding.big_endian)


class _Walk:
    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self._data = data
        self._encoding = encoding
        self._steps = 0
        self._limit = len(data)  # of the sequence whose items are read

    def values(self, wanted: frozenset[int]) -> dict[int, bytes]:
        """One turn for each element that the wanted ones stand behind: this is run for every instance."""
        data, size, encoding = self._data, len(self._data), self._encoding
        short = _SHORT_BIG if encoding.big_endian else _SHORT_LITTLE
        found: dict[int, bytes] = {}
        last, offset = max(wanted), 0
        while offset < size:
            vr = data[offset + 4 : offset + 6]
            if vr in _SHORT_VRS and size - offset >= short.size and not encoding.implicit_vr:
                self._steps += 1
                group, number, length = short.unpack_from(data, offset)
                tag, start = group << 16 | number, offset + short.size
            else:
                element = self._element(offset, encoding)
                tag, start, length = element.tag, element.start, element.length
            if tag > last and found:
                break
            if length == _UNDEFINED:
                offset = self._skip_sequence(element)
                continue
            offset = start + length
            if offset > size or self._steps > _ELEMENT_LIMIT:
                raise UnreadableDataSet()
            if tag in wanted:
                if length > _VALUE_LIMIT:
                    raise UnreadableDataSet()
                found[tag] = data[start:offset]
        if not found:
            raise UnreadableDataSet()
        return found

    def before_pixels(self, wanted: frozenset[int]) -> tuple[dict[int, bytes], PixelPlace | None]:
        found: dict[int, bytes] = {}
        offset = 0
        while offset < len(self._data):
            element = self._element(offset, self._encoding)
            if element.tag >= _PIXELS_OF_ANY_KIND:
                if element.tag != _PIXEL_DATA:
                    break
                length = None if element.length == _UNDEFINED else element.length
                return found, PixelPlace(offset, element.start, length)
            if element.length == _UNDEFINED:
                offset = self._skip_sequence(element)
                continue
            offset = self._end(element)
            if element.tag in wanted and element.length <= _VALUE_LIMIT:
                found[element.tag] = self._data[element.start : offset]
        return found, None

    def items(self, sequence: int, wanted: frozenset[int], limit: int) -> list[dict[int, bytes]]:
        offset = self._inside_of(sequence)
        found: list[dict[int, bytes]] = []
        while offset < self._limit:
            item = self._element(offset, self._encoding)
            if item.tag == _SEQUENCE_DELIMITER:
                break
            if item.tag != _ITEM or len(found) == limit:
                raise UnreadableDataSet()
            values, offset = self._item(item, wanted)
            found.append(values)
        return found

    def parts(self, sequence: int, limit: int) -> list[bytes]:
        offset = self._inside_of(sequence)
        found: list[bytes] = []
        while offset < self._limit:
            item = self._element(offset, self._encoding)
            if item.tag == _SEQUENCE_DELIMITER:
                break
            if item.tag != _ITEM or len(found) == limit:
                raise UnreadableDataSet()
            _, offset = self._item(item, frozenset())
            end = offset - _DELIMITER_SIZE if item.length == _UNDEFINED else offset
            found.append(self._data[item.start : end])
        return found

    def _inside_of(self, sequence: int) -> int:
        """Where the first item of a top-level sequence is; nothing behind the sequence is looked at any more."""
        offset = 0
        while offset < len(self._data):
            element = self._element(offset, self._encoding)
            if element.tag == sequence:
                self._limit = len(self._data) if element.length == _UNDEFINED else self._end(element)
                self._encoding = _inside(element, self._encoding)
                return element.start
            offset = self._skip_sequence(element) if element.length == _UNDEFINED else self._end(element)
        raise MissingSequence()

    def _item(self, item: _Element, wanted: frozenset[int]) -> tuple[dict[int, bytes], int]:
        """The wanted values of one item, and the offset behind it."""
        end = self._limit if item.length == _UNDEFINED else self._end(item)
        offset = item.start
        values: dict[int, bytes] = {}
        while offset < end:
            element = self._element(offset, self._encoding)
            if element.tag == _ITEM_DELIMITER:
                return values, element.start
            if element.length == _UNDEFINED:
                offset = self._skip_sequence(element)
                continue
            offset = self._end(element)
            if element.tag in wanted and element.length <= _VALUE_LIMIT:
                values[element.tag] = self._data[element.start : offset]
        return values, offset

    def _element(self, offset: int, encoding: Encoding) -> _Element:
        self._steps += 1
        if self._steps > _ELEMENT_LIMIT:
            raise UnreadableDataSet()
        order = ">" if encoding.big_endian else "<"
        try:
            group, number = struct.unpack_from(order + "HH", self._data, offset)
            tag, vr = group << 16 | number, b""
            if encoding.implicit_vr or group == 0xFFFE:
                (length,) = struct.unpack_from(order + "L", self._data, offset + 4)
                return _Element(tag, vr, length, offset + 8)
            vr = self._data[offset + 4 : offset + 6]
            if vr in _LONG_VRS:
                (length,) = struct.unpack_from(order + "L", self._data, offset + 8)
                return _Element(tag, vr, length, offset + 12)
            if vr in _SHORT_VRS:
                (length,) = struct.unpack_from(order + "H", self._data, offset + 6)
                return _Element(tag, vr, length, offset + 8)
        except struct.error:
            raise UnreadableDataSet() from None
        raise UnreadableDataSet()

    def _end(self, element: _Element) -> int:
        if element.end > len(self._data):
            raise UnreadableDataSet()
        return element.end

    def _skip_sequence(self, element: _Element) -> int:
        """The offset behind a sequence of undefined length, found level by level without recursion."""
        levels = [_inside(element, self._encoding)]  # the encoding of each open sequence or item
        offset = element.start
        expects_item = [True]  # for each level: between the items of a sequence, or inside an item
        while levels:
            if len(levels) > _DEPTH_LIMIT:
                raise UnreadableDataSet()
            part = self._element(offset, levels[-1])
            offset = part.start
            delimiter = _SEQUENCE_DELIMITER if expects_item[-1] else _ITEM_DELIMITER
            if part.tag == delimiter:
                levels.pop()
                expects_item.pop()
            elif expects_item[-1] and part.tag != _ITEM:
                raise UnreadableDataSet()
            elif part.length == _UNDEFINED:
                levels.append(_inside(part, levels[-1]))
                expects_item.append(not expects_item[-1])
            else:
                offset = self._end(part)
        return offset


def _inside(element: _Element, encoding: Encoding) -> Encoding:
    """A sequence that is written as UN is in implicit VR little endian (PS3.5 section 6.2.2 notes 2 and 4)."""
    return Encoding(implicit_vr=True) if element.vr == b"UN" else encoding
