"""Receivers of HL7 over MLLP: python-hl7's server as an honest one, and one that answers as a test says."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hl7
import hl7.mllp

Rude = Callable[[socket.socket, threading.Event], None]


@dataclass
class MllpReceiver:
    """What came, as python-hl7 reads it."""

    port: int = 0
    messages: list[hl7.Message] = field(default_factory=list)


@contextmanager
def honest_receiver(context: ssl.SSLContext | None = None, code: str = "AA") -> Iterator[MllpReceiver]:
    """python-hl7's own server; it acknowledges each message with this code."""
    receiver, loop, ready = MllpReceiver(), asyncio.new_event_loop(), threading.Event()

    async def take(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                message = await reader.readmessage()
                receiver.messages.append(message)
                writer.writemessage(message.create_ack(code))
                await writer.drain()

    async def serve() -> None:
        server = await hl7.mllp.start_hl7_server(take, host="127.0.0.1", port=0, encoding="utf-8", ssl=context)
        receiver.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(serve())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


@contextmanager
def rude_receiver(answer: Rude, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Reads a message, perhaps under TLS, and does as the test says; the port."""
    door, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            caller, _ = door.accept()
            with caller if context is None else context.wrap_socket(caller, server_side=True) as caller:
                content = b""
                while b"\x1c\r" not in content:
                    content += caller.recv(4096)
                answer(caller, ended)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield door.getsockname()[1]
    finally:
        ended.set()
        door.close()
        thread.join(10)
