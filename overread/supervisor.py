"""All roles on this machine: each a process of its own, started, watched, started again when it dies."""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from overread.cli import TEMPORARY_FAILURE
from overread.errors import RoleFailed
from storage.postgres.child_process import end_with_parent

_LOG = logging.getLogger(__name__)

ROLES = ("listen", "web", "work", "deliver", "housekeep")

_WATCH_SECONDS = 0.2
_STOP_SECONDS = 30.0  # the grace a role has to finish or give back what it holds
_FIRST_START_SECONDS = 30.0  # an error within this time of the very first start is one of the settings
_SETTLED_SECONDS = 2.0  # a role that lives this long is not in a loop of deaths
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass
class _Role:
    name: str
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    start_again_at: float | None = field(default=None)


def role_command(name: str) -> list[str]:
    """The command of one role; -P keeps a folder named `storage` in the current one from winning over ours."""
    return [sys.executable, "-P", "-m", "overread", name]


class Supervisor:
    """Runs the roles with ``environment`` until told to stop.

    A role that is killed or crashes is started again, at once the first time, then with growing pauses. A role that
    ends by itself with an error right after its first start has a wrong setting: everything is stopped.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        commands: Mapping[str, Sequence[str]] | None = None,
        output: IO[bytes] | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to run ``commands`` (by default the roles of Overread); their output goes to ``output``.

        ``watch`` is called again and again meanwhile, to look after what the roles need.
        """
        self._environment = dict(environment)
        self._commands = commands if commands is not None else {name: role_command(name) for name in ROLES}
        self._output = output
        self._watch = watch
        self._roles: list[_Role] = []

    def process_ids(self) -> dict[str, int]:
        """The process of each role as it is now."""
        return {role.name: role.process.pid for role in self._roles}

    def run(self, stop: threading.Event, started: Callable[[], None] = lambda: None) -> None:
        """Start the roles and watch them until ``stop`` is set, then end them.

        Raises:
            RoleFailed: a role could not start; the others have been ended.
        """
        try:
            for name in self._commands:
                self._roles.append(_Role(name, self._launch(name), time.monotonic()))
            started()
            while not stop.wait(_WATCH_SECONDS):
                self._watch()
                for role in self._roles:
                    self._look_after(role)
        finally:
            self._end_all()

    def _launch(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._commands[name],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # Ctrl-C reaches us, and we end the roles in order
            preexec_fn=end_with_parent(signal.SIGTERM),
        )

    def _look_after(self, role: _Role) -> None:
        now = time.monotonic()
        if role.start_again_at is not None:
            if now >= role.start_again_at:
                role.process, role.started, role.start_again_at = self._launch(role.name), now, None
            return
        code = role.process.poll()
        if code is None:
            return
        age = now - role.started
        if code not in (0, TEMPORARY_FAILURE) and code > 0 and role.deaths == 0 and age < _FIRST_START_SECONDS:
            raise RoleFailed(f"`overread {role.name}` could not start; its own message stands above.")
        role.deaths = role.deaths + 1 if age < _SETTLED_SECONDS else 1
        pause = 0.0 if role.deaths == 1 else min(2.0 ** (role.deaths - 1), _LONGEST_PAUSE_SECONDS)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        _LOG.warning("`overread %s` %s; it starts again in %.0f s", role.name, how, pause)
        role.start_again_at = now + pause

    def _end_all(self) -> None:
        running = [role for role in self._roles if role.process.poll() is None]
        for role in running:
            role.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for role in running:
            try:
                role.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _LOG.warning("`overread %s` did not end within %.0f s and is killed", role.name, _STOP_SECONDS)
                role.process.kill()
                role.process.wait()


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Within the block, SIGTERM, SIGINT and SIGHUP set ``stop`` instead of ending the process.

    A terminal that is closed sends SIGHUP, of which nohup has us know nothing, and then it stays so.
    """
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
