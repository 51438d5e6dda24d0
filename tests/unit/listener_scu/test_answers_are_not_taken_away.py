"""The toolkit's reactor is really held while a request waits for its answer."""

import threading
import time

from listener.scu.checkpoint import Checkpoint


class Reactor(threading.Thread):
    """Goes round like the toolkit's, and counts how often it was let through."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.checkpoint = Checkpoint(self)  # type: ignore[arg-type]
        self.passed = 0
        self.ended = False

    def run(self) -> None:
        """Pass the checkpoint again and again."""
        while not self.ended:
            self.checkpoint.wait()
            self.passed += 1


def test_a_reactor_that_was_let_go_for_a_moment_is_held_again():
    """However quickly the checkpoint is opened and closed, nothing passes it after it was closed."""
    reactor = Reactor()
    reactor.start()
    for _ in range(2000):
        reactor.checkpoint.set()
        reactor.checkpoint.clear()
        passed = reactor.passed
        time.sleep(0)
        assert reactor.passed == passed
    reactor.ended = True
    reactor.checkpoint.set()
    reactor.join()


def test_a_reactor_that_has_ended_holds_up_nobody():
    """Closing the checkpoint returns when there is nobody to hold."""
    reactor = Reactor()
    reactor.start()
    reactor.ended = True
    reactor.join()

    reactor.checkpoint.clear()
