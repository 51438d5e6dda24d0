"""The HTTP server around the application: its socket, its encryption, how it stops."""

import asyncio
import errno
import functools
import logging
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from listener.errors import ListenerError, WebPortBusy
from listener.scp.tls import FOR_OTHERS, SUITES
from listener.web.channel_protocol import ChannelProtocol
from listener.web.client_certificate import watched
from listener.web.connection_caps import HEADER_LIMIT, protocol_for
from listener.web.settings import WebSettings

_BACKLOG = 2048
_GRACE_SECONDS = 10  # for requests in progress when a stop comes
_HEAD_SECONDS = 30  # from a connection, or the answer before, to the end of the next request's header
_HANDSHAKE_SECONDS = 5
_WEBSOCKET_MESSAGE = 1024  # bytes; nobody has to tell us anything over one
_TICKS_BETWEEN_LOOKS = 10  # uvicorn ticks ten times a second


def run(
    app: ASGIApp,
    web: WebSettings,
    stopping: threading.Event,
    announce: Callable[[int], None],
    certificate_refused: Callable[[str], None],
    *,
    websockets: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or ``stopping``, which a signal sets too; ``announce`` is told the port.

    ``certificate_refused`` is told, in a thread of its own, why a client's certificate ended a handshake.

    Raises:
        ListenerError: certificate or key cannot be used, or the port cannot be had.
    """
    encryption = _encryption(web, certificate_refused)
    listening = _listening_socket(web)
    logging.getLogger("uvicorn.error").addFilter(_is_no_refused_handshake)
    config = uvicorn.Config(
        app,
        http=protocol_for(web.behind_proxy),
        h11_max_incomplete_event_size=HEADER_LIMIT,
        log_config=None,
        access_log=False,  # paths hold identifiers
        server_header=False,
        proxy_headers=False,  # listener.web.hardening believes them, from the stated proxy only
        ws=ChannelProtocol if websockets else "none",
        ws_max_size=_WEBSOCKET_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        ssl_context_factory=(lambda *_: encryption) if encryption else None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    try:
        announce(int(listening.getsockname()[1]))
        with _signals_do_not_kill():
            _Server(config, stopping).run(sockets=[listening])
    finally:
        listening.close()


def _is_no_refused_handshake(record: logging.LogRecord) -> bool:
    """uvicorn calls it an error when a WebSocket is refused with an answer; whoever knocks could fill the log."""
    return "without completing handshake" not in str(record.msg)


class _Server(uvicorn.Server):
    """uvicorn's server; a stop ends the streams of open pages first, which would otherwise outlast the grace.

    It also closes connections on which no request comes; uvicorn would keep them for ever, anybody's and any number.
    """

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._silent: dict[H11Protocol, tuple[RequestResponseCycle | None, float]] = {}

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        self._stopping.set()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; who has begun TLS must come to its end soon, for until then no cap counts the connection."""
        loop = asyncio.get_running_loop()
        if self.config.ssl is not None:
            # uvicorn passes no such setting on
            patient = functools.partial(loop.create_server, ssl_handshake_timeout=_HANDSHAKE_SECONDS)
            loop.create_server = patient  # type: ignore[method-assign]
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now."""
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            self._close_silent_connections(time.monotonic())
        return await super().on_tick(counter) or self._stopping.is_set()

    def _close_silent_connections(self, now: float) -> None:
        """Close those that have waited for a whole header since the same last answer for too long."""
        silent: dict[H11Protocol, tuple[RequestResponseCycle | None, float]] = {}
        for connection in list(self.server_state.connections):
            if not isinstance(connection, H11Protocol):
                continue
            answered = connection.cycle
            if answered is not None and not answered.response_complete:
                continue
            before, since = self._silent.get(connection, (answered, now))
            silent[connection] = (answered, since if before is answered else now)
            if now - silent[connection][1] > _HEAD_SECONDS:
                connection.transport.close()
        self._silent = silent


def _encryption(web: WebSettings, certificate_refused: Callable[[str], None]) -> ssl.SSLContext | None:
    """TLS 1.2 or 1.3 with the certificate of the settings, or ``None`` without one.

    Raises:
        ListenerError: certificate or key cannot be used.
    """
    if not web.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    try:
        context.load_cert_chain(web.tls_certificate, web.tls_key, password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ListenerError(
            "[web] tls_certificate and tls_key are not a certificate and its key, as PEM and without a password, in "
            "files that this account may read; correct the paths or the files."
        ) from error
    if Path(web.tls_key).stat().st_mode & FOR_OTHERS:
        raise ListenerError("[web] tls_key may be read by every account of this machine; chmod 600 its file.")
    if web.tls_client_ca:
        _ask_for_certificates(context, web.tls_client_ca, certificate_refused)
    return context


def _ask_for_certificates(context: ssl.SSLContext, authorities: str, refused: Callable[[str], None]) -> None:
    """Ask clients for a certificate; browsers have none, but who shows one must be what it says.

    Raises:
        ListenerError: the authorities cannot be used.
    """
    try:
        context.load_verify_locations(authorities)
    except (OSError, ValueError) as error:
        raise ListenerError(
            "[web] tls_client_ca is no file with certificates as PEM that this account may read; correct it."
        ) from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET  # who showed a certificate must show it again
    context.num_tickets = 0

    def told(reason: str) -> None:  # in the midst of the handshake, where nothing may wait
        asyncio.get_running_loop().run_in_executor(None, refused, reason)

    context.sslobject_class = watched(told)


def _listening_socket(web: WebSettings) -> socket.socket:
    """A bound socket; made by us, because uvicorn ends the process when it cannot make one.

    Raises:
        WebPortBusy: another program has the port.
        ListenerError: the address cannot be listened on.
    """
    try:
        family, *_, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # already now, so that whoever is told the port is not refused
    except OSError as error:
        raise _bind_error(web, error) from error
    return listening


def _bind_error(web: WebSettings, error: OSError) -> ListenerError:
    if error.errno == errno.EADDRINUSE:
        return WebPortBusy(
            f"Port {web.port} on {web.host} is already in use; stop the other program or set another [web] port."
        )
    return ListenerError(
        f"The web door cannot listen on {web.host} port {web.port} ({error.strerror}); correct [web] host or port."
    )


@contextmanager
def _signals_do_not_kill() -> Iterator[None]:
    """uvicorn stops by itself on SIGTERM and SIGINT and then raises the signal again, which must not end us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ignore(_number: int, _frame: FrameType | None) -> None:
        pass

    previous = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
