"""The few processes that decode for us: one job each at a time, ended when they take too long, replaced when lost."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from listener.errors import ListenerError
from listener.web.pictures.child import HEADER
from listener.web.pictures.frame_description import FrameDescription, Wish, to_json
from listener.web.pictures.picture_file import DecodedPicture

log = logging.getLogger(__name__)

_ANSWER_LIMIT = 2**29  # bytes; more is no answer of ours
_TOLD_LIMIT = 2**16
_JOBS_OF_A_CHILD = 500  # then a fresh one takes over
_KEPT_VARIABLES = ("PYTHONPATH", "LD_LIBRARY_PATH")


class UndecodablePixels(ListenerError):
    """The pixels cannot be decoded; retrieve the instance as application/dicom."""


class TooManyPixels(ListenerError):
    """There are more pixels than are decoded here."""


class DecodersBusy(ListenerError):
    """As many pictures as may be decoded at once are being decoded; ask again later."""


class DecoderPool:
    """Decodes in children; a child that dies costs its job and nothing else."""

    def __init__(self, size: int = 2, *, deadline: float = 20.0, patience: float = 10.0) -> None:
        """A job may take ``deadline`` seconds; who finds all children at work waits for ``patience`` seconds."""
        self._places = threading.BoundedSemaphore(size)
        self._deadline = deadline
        self._patience = patience
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False
        self.lost = 0  # children that died or were ended at work

    def frame(self, frame: FrameDescription, wish: Wish, content: Callable[[], bytes]) -> bytes:
        """One frame as the bytes of a picture; ``content`` is asked for its bytes once there is a child for it.

        Raises:
            UndecodablePixels: the bytes are not what the description says, or end the child.
            DecodersBusy: nothing was decoded.
        """
        _, picture = self._done(to_json(frame, wish), content)
        return picture

    def picture(self, content: bytes) -> DecodedPicture:
        """The pixels of a PNG or JPEG.

        Raises:
            UndecodablePixels, TooManyPixels, DecodersBusy: as above.
        """
        told, pixels = self._done({"picture": True}, lambda: content)
        try:
            mode, width, height = str(told["mode"]), int(told["width"]), int(told["height"])
            expected = width * height * {"L": 1, "I;16": 2, "RGB": 3}[mode]
        except (LookupError, TypeError, ValueError):
            raise UndecodablePixels from None
        if len(pixels) != expected:
            raise UndecodablePixels
        return DecodedPicture(mode, width, height, bool(told.get("is_jpeg")), pixels)

    def close(self) -> None:
        """End the children."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _done(self, told: Mapping[str, Any], content: Callable[[], bytes]) -> tuple[dict[str, Any], bytes]:
        if not self._places.acquire(timeout=self._patience):
            raise DecodersBusy
        try:
            given = content()
            with self._lock:
                child = self._idle.pop() if self._idle else None
            child = child or _Child()
            try:
                answer, result = child.ask(told, given, self._deadline)
            except _Lost:
                self.lost += 1
                log.warning("A process that decoded a picture was lost (%s); its job was refused.", child.end())
                raise UndecodablePixels from None
            self._put_back(child)
        finally:
            self._places.release()
        if "refused" in answer:
            raise TooManyPixels if answer["refused"] == "too many pixels" else UndecodablePixels
        return answer, result

    def _put_back(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed and child.jobs < _JOBS_OF_A_CHILD:
                self._idle.append(child)
                return
        child.end()


class _Lost(Exception):
    """The child died, was ended, or answers nonsense."""


class _Child:
    def __init__(self) -> None:
        self.jobs = 0
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "listener.web.pictures.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a decoder says may repeat what it met
            cwd="/",
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        )

    def ask(self, told: Mapping[str, Any], content: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        """Give it a job and wait for the answer. Raises _Lost."""
        self.jobs += 1
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None  # noqa: S101 - both are pipes
        assert answers is not None  # noqa: S101
        alarm = threading.Timer(deadline, self._process.kill)
        alarm.start()
        try:
            encoded = json.dumps(told).encode()
            requests.write(HEADER.pack(len(encoded), len(content)) + encoded)
            requests.write(content)
            requests.flush()
            told_size, content_size = HEADER.unpack(_read(answers, HEADER.size))
            if told_size > _TOLD_LIMIT or content_size > _ANSWER_LIMIT:
                raise _Lost
            answer = json.loads(_read(answers, told_size))
            if not isinstance(answer, dict):
                raise _Lost
            return answer, _read(answers, content_size)
        except (OSError, ValueError) as error:
            raise _Lost from error
        finally:
            alarm.cancel()

    def end(self) -> str:
        """End it, whatever it does; returns how it ended."""
        died = self._process.poll()
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        ended = self._process.wait()
        return f"signal {-ended}" if ended < 0 else f"status {ended if died is None else died}"


def _read(source: IO[bytes], size: int) -> bytes:
    content = source.read(size)
    if len(content) != size:
        raise _Lost
    return content
