"""The process that decodes: it reads a request on its standard input, answers on its output, and may die of either.

Started by `listener.web.pictures.pool` as ``python -m listener.web.pictures.child``, with no secret in its environment.
A message is the length of its JSON (4 bytes), that of its content (8 bytes), and both.
"""

import ctypes
import json
import os
import resource
import struct
from typing import Any, BinaryIO

from listener.web.pictures.frame_description import from_json
from listener.web.pictures.frame_picture import frame_picture
from listener.web.pictures.picture_file import TooManyPixels, decoded

HEADER = struct.Struct("<LQ")
_MEMORY = 1536 * 2**20
_CPU_SECONDS = 15
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS (prctl(2))


def main() -> None:
    """Answer requests until there are no more."""
    _confine()
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        while header := requests.read(HEADER.size):
            told_size, content_size = HEADER.unpack(header)
            told, content = json.loads(requests.read(told_size)), requests.read(content_size)
            _grant_time()
            _write(answers, *_answer(told, content))


def _answer(told: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        if "frame" in told:
            return {}, frame_picture(*from_json(told), content)
        picture = decoded(content)
        size = {"mode": picture.mode, "width": picture.width, "height": picture.height, "is_jpeg": picture.is_jpeg}
        return size, picture.content
    except TooManyPixels:
        return {"refused": "too many pixels"}, b""
    except Exception:  # noqa: BLE001 - decoders fail in many ways, and this is the boundary around them
        return {"refused": "undecodable"}, b""


def _write(answers: BinaryIO, told: dict[str, Any], content: bytes) -> None:
    encoded = json.dumps(told).encode()
    answers.write(HEADER.pack(len(encoded), len(content)) + encoded)
    answers.write(content)
    answers.flush()


def _confine() -> None:
    """Give up what decoding does not need."""
    for limit, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),  # a core file would hold pixels
        (resource.RLIMIT_NOFILE, 32),
    ):
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _grant_time() -> None:
    """Let the kernel end us when one request takes too much of the processor."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS, hard))


if __name__ == "__main__":
    main()
