"""A thread that starts processes and lives as long as we do.

The kernel ends a child that asked for it (PR_SET_PDEATHSIG) with the thread that started it, not with our process: a
child that was started by the thread of one job would die when that job ends.
"""

import queue
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future

_Process = subprocess.Popen[bytes]
_waiting: "queue.SimpleQueue[tuple[Callable[[], _Process], Future[_Process]]]" = queue.SimpleQueue()
_lock = threading.Lock()
_starter: threading.Thread | None = None


def start(launch: Callable[[], _Process]) -> _Process:
    """Call ``launch`` in that thread and return the process. Raises what it raises."""
    global _starter
    with _lock:
        if _starter is None:
            _starter = threading.Thread(target=_serve, name="starts-children", daemon=True)
            _starter.start()
    started: Future[_Process] = Future()
    _waiting.put((launch, started))
    return started.result()


def _serve() -> None:
    while True:
        launch, started = _waiting.get()
        try:
            started.set_result(launch())
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            started.set_exception(error)
