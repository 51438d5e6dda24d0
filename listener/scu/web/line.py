"""Requests to one destination: how long each may take, how long an answer may be, and why there is none.

Nothing comes from the environment (no proxy, no .netrc), no redirect is followed and no cookie is kept: requests go to
the host of the settings and nowhere else.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from listener.scu.lane_settings import LaneKeys
from listener.scu.pace import Pace
from listener.scu.tls import TlsFilesUnusable, client_context, why_tls_failed
from listener.scu.tls_settings import TlsKeys
from listener.scu.verdict import NoAnswer

_SLOWEST_BYTES_PER_SECOND = 50_000  # below this a link is taken for dead
_LOOK_SECONDS = 0.2
_PIECE_BYTES = 1 << 16
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")

# These would tell addresses with UIDs in them, and what a peer says.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)


class NoReply(StrEnum):
    """Why a request has no answer."""

    UNKNOWN_HOST = "unknown-host"
    UNREACHABLE = "unreachable"
    NO_TLS = "no-tls"
    NOTHING_TO_SHOW = "nothing-to-show"  # the file of ours that we would be known by
    NO_GRANTING_SERVER = "no-granting-server"
    NOT_GRANTED = "not-granted"
    GRANT_UNUSABLE = "grant-unusable"
    BROKEN = "broken"
    TOO_SLOW = "too-slow"
    INTERRUPTED = "interrupted"


class Unanswered(Exception):
    """A request has no answer; the text of the error stays behind, because it may repeat what a peer sent."""

    def __init__(self, why: NoReply | NoAnswer) -> None:
        """Of TLS there is more to say than that there is no answer; those words are of ``NoAnswer``."""
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class WebDeadlines:
    """How long each step may take, in seconds."""

    connect: float = 10.0
    silence: float = 30.0  # while we send
    answer: float = 60.0  # to one request, to the end of its body, beyond the time that its size takes
    total: float = 1800.0


def deadlines_of(keys: LaneKeys) -> WebDeadlines:
    """As the settings of a destination say."""
    return WebDeadlines(connect=keys.connect_seconds, answer=keys.answer_seconds, total=keys.longest_transfer_seconds)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; ``body`` is ``None`` where it is longer than we read."""

    status: int
    body: bytes | None
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is read as it comes, once."""

    status: int
    content_type: str
    pieces: Iterator[bytes]


class WebLine:
    """A connection to one destination, cut when ``stopped`` says so or when an answer takes too long.

    A server may trickle for ever without being silent; cutting the socket ends that.
    """

    def __init__(
        self,
        stopped: Callable[[], bool],
        tls: TlsKeys,
        deadlines: WebDeadlines | None = None,
    ) -> None:
        self._stopped = stopped
        self._tls = tls
        self._deadlines = deadlines or WebDeadlines()
        self._client: httpx.Client | None = None
        self._over_at = time.monotonic() + self._deadlines.total
        self._due_at = self._over_at
        self._socket: socket.socket | None = None
        self._was_cut = False
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._cut_when_due, name="web-line", daemon=True)

    def __enter__(self) -> "WebLine":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()
        if self._client is not None:
            self._client.close()

    def wait(self, pace: Pace, size: int, objects: int) -> None:
        """Wait for the turn of so many objects of ``size`` bytes in all, which is none of the total time."""
        seconds = pace.take_turn(size, objects)
        self._over_at += seconds
        self._due_at = self._over_at
        pace.wait(seconds, self._stopped)

    def beside(self, tls: TlsKeys) -> "WebLine":
        """Another line, as patient as this one and cut when this one is."""
        return WebLine(self._stopped, tls, self._deadlines)

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Iterable[bytes] | bytes = b"",
        size: int = 0,
        most_bytes: int = 1 << 20,
    ) -> Reply:
        """Send one request of ``size`` bytes and read its answer, of at most ``most_bytes``.

        Raises:
            Unanswered: there is no whole answer.
            OSError: ``content`` could not be read.
        """
        allowed = self._deadlines.answer + size / _SLOWEST_BYTES_PER_SECOND
        self._due_at = min(time.monotonic() + self._deadlines.connect + allowed, self._over_at)
        self._was_cut = False
        if self._stopped() or time.monotonic() >= self._over_at:
            raise Unanswered(self._why(None))
        timeout = httpx.Timeout(allowed, connect=self._deadlines.connect, write=self._deadlines.silence)
        extensions: dict[str, Any] = {"trace": self._note}
        if self._tls.tls_server_name:
            extensions["sni_hostname"] = self._tls.tls_server_name
        client = self._opened(url)
        try:
            with client.stream(
                method, url, headers=dict(headers), content=content, timeout=timeout, extensions=extensions
            ) as response:
                reply = _read(response, most_bytes)
            client.cookies.clear()
            if self._was_cut:  # an answer without a length would seem to be whole
                raise Unanswered(self._why(None))
            return reply
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unanswered(self._why(error)) from None
        finally:
            self._due_at = self._over_at

    @contextmanager
    def reading(self, url: str, headers: Mapping[str, str]) -> Iterator["Stream"]:
        """Ask for something large, and read its answer piece by piece within the total time.

        Raises:
            Unanswered: there is no answer, or it broke off; also while pieces are read.
        """
        self._due_at, self._was_cut = self._over_at, False
        if self._stopped() or time.monotonic() >= self._over_at:
            raise Unanswered(self._why(None))
        timeout = httpx.Timeout(self._deadlines.answer, connect=self._deadlines.connect)
        extensions: dict[str, Any] = {"trace": self._note}
        if self._tls.tls_server_name:
            extensions["sni_hostname"] = self._tls.tls_server_name
        client = self._opened(url)
        try:
            with client.stream("GET", url, headers=dict(headers), timeout=timeout, extensions=extensions) as response:
                yield Stream(response.status_code, response.headers.get("content-type", ""), self._pieces(response))
            client.cookies.clear()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unanswered(self._why(error)) from None

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        yield from response.iter_raw(_PIECE_BYTES)
        if self._was_cut:  # an answer without a length would seem to be whole
            raise Unanswered(self._why(None))

    def _opened(self, url: str) -> httpx.Client:
        """The client, made when it is needed: files of ours are read then, and only where there is TLS."""
        if self._client is None:
            try:
                context = (
                    client_context(self._tls) if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                )
            except TlsFilesUnusable as unusable:
                raise Unanswered(unusable.why) from None
            self._client = httpx.Client(
                verify=context,
                follow_redirects=False,
                trust_env=False,
                headers={"User-Agent": "overread", "Accept-Encoding": "identity"},
            )
        return self._client

    def _why(self, error: BaseException | None) -> NoReply | NoAnswer:
        if self._stopped():
            return NoReply.INTERRUPTED
        if error is None or time.monotonic() >= self._due_at:
            return NoReply.TOO_SLOW
        causes = list(_causes(error))
        of_tls = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
        if of_tls is not None:
            why = why_tls_failed(of_tls)
            return NoReply.NO_TLS if why is NoAnswer.TLS_NOT_SPOKEN else why
        return next((why for kind, why in _BY_CAUSE if any(isinstance(each, kind) for each in causes)), NoReply.BROKEN)

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep hold of the socket as soon as it is connected."""
        if event in _CONNECTED:
            self._socket = info["return_value"].get_extra_info("socket")

    def _cut_when_due(self) -> None:
        while not self._done.wait(_LOOK_SECONDS):
            is_due = self._stopped() or time.monotonic() >= self._due_at
            held = self._socket
            if is_due and held is not None:
                self._was_cut = True
                try:
                    # Not the method of a TLS socket, which would take the session away under the reading thread.
                    socket.socket.shutdown(held, socket.SHUT_RDWR)
                except OSError:
                    self._socket = None


# The first that is among the causes of an error decides.
_BY_CAUSE: tuple[tuple[type[BaseException], NoReply], ...] = (
    (socket.gaierror, NoReply.UNKNOWN_HOST),
    (UnicodeError, NoReply.UNKNOWN_HOST),
    (httpx.InvalidURL, NoReply.UNKNOWN_HOST),
    (httpx.ConnectError, NoReply.UNREACHABLE),
    (httpx.ConnectTimeout, NoReply.UNREACHABLE),
    (httpx.TimeoutException, NoReply.TOO_SLOW),
)


def _causes(error: BaseException) -> Iterable[BaseException]:
    """The error, and what led to it; at most a handful."""
    at: BaseException | None = error
    for _ in range(8):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def _read(response: httpx.Response, most_bytes: int) -> Reply:
    """As it came: what is compressed although we asked for no compression stays so, and cannot be read."""
    header, content = response.headers, bytearray()
    body = None
    for piece in response.iter_raw():
        content += piece
        if len(content) > most_bytes:
            break
    else:
        body = bytes(content)
    return Reply(response.status_code, body, header.get("retry-after", ""))
