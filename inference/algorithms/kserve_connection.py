"""HTTP to an inference server: one connection that is kept, a deadline for each answer, a bound on its size."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.algorithms.kserve_tensors import HEADER_LENGTH, Request
from inference.errors import DeviceUnavailable, InferenceError, PredictionFailed
from inference.settings import WorkerSettings

_CHUNK = 2**20
_CLOSED = "closed the connection before it answered"
_MOST_JSON = 2**20  # of metadata


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer whose body came as a whole."""

    status: int
    header_length: str | None
    body: bytearray


class Connection:
    """The server of ``[worker] remote_url``; no redirect is followed, and no word of an answer stands in an error."""

    def __init__(self, settings: WorkerSettings) -> None:
        where = urlsplit(settings.remote_url)
        self._tls = where.scheme == "https"
        self._host, self._port = where.hostname or "", where.port or (443 if self._tls else 80)
        self._prefix = where.path.rstrip("/")
        self._timeout = settings.remote_timeout_s
        self._most = int(settings.remote_answer_mib * 2**20)
        self._ca, self._token_file = settings.remote_ca, settings.remote_token_file
        self._http: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None  # under it, from before TLS begins
        self.place = f"{self._host}:{self._port}"

    def ask(self, path: str) -> dict[str, Any] | None:
        """The JSON object at a path, or ``None`` where the server has none there.

        Raises:
            DeviceUnavailable: the server cannot be reached, or does not answer as it should.
        """
        reply = self._exchange("GET", path, None, _MOST_JSON)
        if reply.status in (400, 404, 405, 501):
            return None
        self._refuse(reply.status)
        try:
            told = json.loads(reply.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise DeviceUnavailable(
                f"What answers at {self.place} is no inference server of the KServe v2 protocol; correct remote_url."
            )
        return told

    def post(self, path: str, request: Request) -> Reply:
        """What the server answers to an inference request.

        Raises:
            DeviceUnavailable: the server cannot be reached, is too slow, or has no such model.
            PredictionFailed: it rejects the request, or its answer is larger than it may be.
        """
        reply = self._exchange("POST", path, request, self._most)
        if reply.status in (400, 413, 415, 422):
            raise PredictionFailed(
                f"The inference server at {self.place} rejects what the network is given (status {reply.status}); "
                "compare its model with the manifest."
            )
        self._refuse(reply.status)
        return reply

    def close(self) -> None:
        """Give the connection up; the next request makes another."""
        if self._http is not None:
            self._http.close()
            self._http = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _refuse(self, status: int) -> None:
        if status == 200:
            return
        why = {
            401: "does not let us in; correct remote_token_file",
            403: "does not let us in; correct remote_token_file",
            404: "has no such model; load it there, or correct remote_model",
        }.get(status, "does not answer as it should; look at its log")
        raise DeviceUnavailable(f"The inference server at {self.place} {why} (status {status}).")

    def _exchange(self, method: str, path: str, request: Request | None, most: int) -> Reply:
        kept = self._http is not None
        try:
            return self._once(method, path, request, most)
        except ConnectionError as error:
            if not kept:
                raise self._gone(_CLOSED if isinstance(error, ConnectionResetError) else _unheard(error)) from None
        # A connection that was kept may have been closed at its other end since; the request is a new one's first.
        try:
            return self._once(method, path, request, most)
        except ConnectionError as error:
            raise self._gone(_CLOSED if isinstance(error, ConnectionResetError) else _unheard(error)) from None

    def _once(self, method: str, path: str, request: Request | None, most: int) -> Reply:
        late = threading.Event()
        watch = threading.Timer(self._timeout, self._cut, [late])
        watch.daemon = True
        watch.start()
        failed: Exception | None = None
        try:
            reply = self._answered(method, path, request, most, late)
        except (OSError, http.client.HTTPException, InferenceError, ValueError) as error:
            failed = error
        finally:
            watch.cancel()
        if failed is None and not late.is_set():
            return reply
        self.close()
        if late.is_set() or isinstance(failed, TimeoutError):  # once cut off, whatever it looks like
            raise self._too_slow() from None
        if isinstance(failed, ConnectionError | InferenceError):
            raise failed
        raise self._gone(_unheard(failed)) from None

    def _answered(self, method: str, path: str, request: Request | None, most: int, late: threading.Event) -> Reply:
        if self._http is None:
            self._http = self._connected(late)
        parts = request.parts if request else None  # one by one: a batch is not copied to be sent
        self._http.request(method, self._prefix + path, parts, self._headers(request))
        response = self._http.getresponse()
        content = self._read(response, most)
        if response.will_close:
            self.close()
        return Reply(response.status, response.getheader(HEADER_LENGTH), content)

    def _read(self, response: http.client.HTTPResponse, most: int) -> bytearray:
        told = response.length
        if told is not None and told > most:
            raise self._too_large()
        content = bytearray()
        while chunk := response.read(min(_CHUNK, most + 1 - len(content))):
            content += chunk
            if len(content) > most:
                raise self._too_large()
        if told is not None and len(content) < told:
            raise self._gone("ended its answer before it was complete")
        return content

    def _headers(self, request: Request | None) -> Mapping[str, str]:
        headers = {"Accept": "application/json, application/octet-stream"}
        if request is not None:
            headers["Content-Length"] = str(sum(len(part) for part in request.parts))
            headers["Content-Type"] = (
                "application/json" if request.header_length is None else "application/octet-stream"
            )
            if request.header_length is not None:
                headers[HEADER_LENGTH] = str(request.header_length)
        if self._token_file:
            try:
                headers["Authorization"] = f"Bearer {Path(self._token_file).read_text(encoding='ascii').strip()}"
            except (OSError, UnicodeDecodeError):
                raise DeviceUnavailable(f"{self._token_file} cannot be read; correct remote_token_file.") from None
        return headers

    def _connected(self, late: threading.Event) -> http.client.HTTPConnection:
        context = self._context() if self._tls else None
        self._socket = _reached(self._host, self._port, time.monotonic() + self._timeout)
        self._socket.settimeout(self._timeout)
        _stop_if(late)  # whoever cuts does so after that, and now sees the socket
        if context is None:
            connection = http.client.HTTPConnection(self._host, self._port)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, context=context)
            secure = context.wrap_socket(self._socket, server_hostname=self._host, do_handshake_on_connect=False)
            self._socket = secure
            _stop_if(late)
            secure.do_handshake()
        connection.sock = self._socket
        return connection

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca or None)
        except OSError:
            raise DeviceUnavailable(f"{self._ca} holds no certificates; correct remote_ca.") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _cut(self, late: threading.Event) -> None:
        """End what is under way: a server that trickles would otherwise be waited for as long as it likes."""
        late.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _too_slow(self) -> DeviceUnavailable:
        return DeviceUnavailable(
            f"The inference server at {self.place} did not answer within {self._timeout:g} s; look at its load, or "
            "raise remote_timeout_s."
        )

    def _too_large(self) -> PredictionFailed:
        return PredictionFailed(
            f"The answer of the inference server at {self.place} is larger than it may be; look at its model, or raise "
            "remote_answer_mib."
        )

    def _gone(self, how: str) -> DeviceUnavailable:
        return DeviceUnavailable(f"The inference server at {self.place} {how}; look whether it runs.")


def _stop_if(late: threading.Event) -> None:
    if late.is_set():
        raise TimeoutError


def _reached(host: str, port: int, ends: float) -> socket.socket:
    """A socket to the first address of the host that answers until then. Raises OSError."""
    failure: OSError = TimeoutError()
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        left = ends - time.monotonic()
        if left <= 0:
            break
        reached = socket.socket(family, kind, protocol)
        try:
            reached.settimeout(left)
            reached.connect(address)
        except OSError as error:
            reached.close()
            failure = error
        else:
            return reached
    raise failure


def _unheard(error: Exception | None) -> str:
    return f"cannot be talked to ({type(error).__name__})"
