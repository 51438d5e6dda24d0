"""Which connections the server closes when no request comes on them."""

import threading
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from listener.web import server


class _Cycle:
    def __init__(self, response_complete: bool) -> None:
        self.response_complete = response_complete


class _Connection(H11Protocol):
    """A connection as far as the server looks at it; its transport is itself."""

    def __init__(self, cycle: _Cycle | None) -> None:
        self.cycle = cast(Any, cycle)
        self.transport = cast(Any, self)
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def is_open(self) -> bool:
        return not self._closed


def _looked_at(*connections: _Connection) -> Any:
    looking = server._Server(uvicorn.Config(cast(Any, None)), threading.Event())
    looking.server_state.connections.update(connections)
    return looking._close_silent_connections


def test_the_time_counts_from_the_connection_or_from_the_answer_before() -> None:
    """Neither a new connection nor one with an answer in between is closed early; a silent one is."""
    fresh, used = _Connection(None), _Connection(_Cycle(True))
    look = _looked_at(fresh, used)

    look(0.0)
    look(server._HEAD_SECONDS)
    assert fresh.is_open()
    assert used.is_open()

    used.cycle = cast(Any, _Cycle(True))
    look(server._HEAD_SECONDS + 1)
    assert not fresh.is_open()
    assert used.is_open()

    look(2 * server._HEAD_SECONDS + 2)
    assert not used.is_open()


def test_a_request_that_is_being_answered_is_not_silent() -> None:
    """A long download and the stream of an open page stay, and have their time again afterwards."""
    cycle = _Cycle(False)
    streaming = _Connection(cycle)
    look = _looked_at(streaming)

    look(0.0)
    look(1000.0)
    cycle.response_complete = True
    look(2000.0)
    assert streaming.is_open()

    look(2001.0 + server._HEAD_SECONDS)
    assert not streaming.is_open()
