"""The WebSocket protocol of the web server, with an end for a peer that takes nothing."""

from asyncio import TimerHandle

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_STUCK_SECONDS = 30.0


class ChannelProtocol(WebSocketsSansIOProtocol):
    """Breaks a connection off whose peer has taken nothing for so long that what is to be sent piles up.

    A ping that is not answered closes it in order, which waits for the peer to take the rest: for ever, and the place
    of the channel with it.
    """

    _stuck: TimerHandle | None = None

    def pause_writing(self) -> None:
        """The peer takes less than there is to send."""
        super().pause_writing()
        self._stuck = self.loop.call_later(_STUCK_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken nearly all of it."""
        self._forget()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
