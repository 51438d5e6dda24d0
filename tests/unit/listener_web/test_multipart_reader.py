"""Whatever pieces a body comes in, and whatever it holds, its parts are found or it is refused by name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.web.multipart_reader import MalformedMultipart, MultipartLimits, MultipartReader
from listener.web.part10_head import read_file_meta
from storage.errors import UnreadableDataSet

BOUNDARY = "b0"
USUAL = MultipartLimits()
CONTENTS = st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n--b", b"\r\n-", b"--b0", b"\r\n\r\n"]), max_size=5)


def read(body: bytes, size: int, limits: MultipartLimits = USUAL, boundary: str = BOUNDARY) -> list:
    """Headers and content of each part of a body that comes in pieces of this size."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def parts() -> list:
        found = []
        async for part in MultipartReader(pieces(), boundary, limits).parts():
            found.append((part.headers, b"".join([chunk async for chunk in part.chunks])))
        return found

    return asyncio.run(parts())


@given(contents=CONTENTS, size=st.integers(1, 50), preamble=st.sampled_from([b"", b"said before\r\n"]))
def test_parts_are_the_same_in_whatever_pieces_they_come(contents: list[bytes], size: int, preamble: bytes) -> None:
    """Delimiters and headers may be cut anywhere; contents that look like a delimiter are content."""
    body = preamble + b"".join(b"--b0\r\nA: 1\r\nB:2 \r\n\r\n%b\r\n" % content for content in contents) + b"--b0--after"

    assert read(body, size) == [({"a": "1", "b": "2"}, content) for content in contents]


@given(body=st.binary(max_size=300), size=st.integers(1, 50))
def test_any_bytes_are_read_or_refused(body: bytes, size: int) -> None:
    """There is one kind of failure."""
    with contextlib.suppress(MalformedMultipart):
        read(body, size)


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        (b"--b0\r\n\r\n\r\n" * 4 + b"--b0--", MultipartLimits(parts=3)),
        (b"--b0\r\nA: " + b"x" * 200 + b"\r\n\r\n\r\n--b0--", MultipartLimits(header_bytes=100)),
        (b"x" * 200 + b"\r\n--b0\r\n\r\n\r\n--b0--", MultipartLimits(preamble_bytes=100)),
        (b"--b0 text\r\n\r\n\r\n--b0--", MultipartLimits()),
        (b"--b0\r\n\r\ncut", MultipartLimits()),
        (b"--b0\r\nA: 1", MultipartLimits()),
        (b"", MultipartLimits()),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_breaks_the_format_or_a_limit_is_refused(body: bytes, limits: MultipartLimits, size: int) -> None:
    """Parts, headers and preamble end at their limits, whether they come at once or byte by byte."""
    with pytest.raises(MalformedMultipart):
        read(body, size, limits)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(("length", "fits"), [(100, True), (101, False)])
def test_a_header_at_its_limit_is_read_in_whatever_pieces_it_comes(size: int, length: int, fits: bool) -> None:
    """Where the end of the header is cut does not decide whether it is too long (found by scripts/fuzz)."""
    body = b"--b0\r\n%s\r\n\r\n\r\n--b0--" % b"A: 1".ljust(length - 2, b"x")
    limits = MultipartLimits(header_bytes=100)

    if fits:
        assert len(read(body, size, limits)) == 1
    else:
        with pytest.raises(MalformedMultipart):
            read(body, size, limits)


@pytest.mark.parametrize("boundary", ["", "b" * 71, "ends with space ", "line\nbreak", "ä", '"'])
def test_a_boundary_is_one_of_the_standard(boundary: str) -> None:
    """Anything else is refused before the body is looked at (RFC 2046 section 5.1.1)."""
    with pytest.raises(MalformedMultipart):
        read(b"--b--", 10, boundary=boundary)


@given(head=st.binary(max_size=200), lead=st.sampled_from([b"", bytes(128) + b"DICM", b"MZ" + bytes(126) + b"DICM"]))
def test_any_file_has_meta_information_or_is_refused(head: bytes, lead: bytes) -> None:
    """The first bytes of a file are read as file meta information or named unreadable; nothing else happens."""
    try:
        meta = read_file_meta(lead + head)
    except UnreadableDataSet:
        return
    assert meta.transfer_syntax_uid
