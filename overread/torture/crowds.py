"""Very many peers: honest ones that stay for minutes, and hostile ones beside honest ones."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable

from overread.torture.instances import MR
from overread.torture.ledger import SUCCESS, Ledger
from overread.torture.load import make_study
from overread.torture.outcome import Outcome
from overread.torture.processes import Holdings, holdings
from overread.torture.sender import Sender
from overread.torture.stand import Stand

_ASSOCIATIONS = 200
_SETTLED_SECONDS = 60.0
_TOLERANCE = 0.05
_PER_ADDRESS = 20  # as from several modalities; the listener has a cap for each
_HOSTILE, _HONEST = 500, 10
_HOSTILE_ADDRESSES = 25
_FIRST_PDU_HEAD = struct.pack(">BxL", 1, 200)


def associations(minutes: float, source: random.Random) -> Outcome:
    """200 associations that stay open and store now and then: nothing fails, and nothing grows after minute one."""
    outcome = Outcome("associations", f"{_ASSOCIATIONS} associations for {minutes:g} minutes")
    with Stand("associations") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        crowd = _Crowd(stand, ledger, source, _ASSOCIATIONS, pause=4.0)
        settled = min(_SETTLED_SECONDS, minutes * 60 / 2)
        time.sleep(settled)
        before = holdings(stand.listener_pid)
        time.sleep(max(minutes * 60 - settled, 0))
        after = holdings(stand.listener_pid)
        crowd.end(outcome, stand)
        outcome.done += f"; {_shown(before)} at {settled:.0f} s, {_shown(after)} at the end"
        for what in ("threads", "descriptors", "memory_bytes"):
            if abs(getattr(after, what) - getattr(before, what)) > _TOLERANCE * getattr(before, what):
                outcome.fault(f"The listener's {what.replace('_', ' ')} changed by more than 5 %.", stand)
        stand.wait_until_imported()
        outcome.judge(stand)
    return outcome


def hostile(minutes: float, source: random.Random) -> Outcome:
    """500 sockets that are silent, trickle, speak TLS by half or announce huge lengths, beside 10 honest senders."""
    outcome = Outcome("hostile", f"{_HOSTILE} hostile sockets beside {_HONEST} honest senders for {minutes:g} minutes")
    with Stand("hostile") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        stop = threading.Event()
        attack = threading.Thread(target=_attack, args=(stand.port, stop))
        attack.start()
        crowd = _Crowd(stand, ledger, source, _HONEST, pause=0.1, anew=True)
        try:
            time.sleep(minutes * 60)
        finally:
            crowd.end(outcome, stand)
            stop.set()
            attack.join()
        stand.wait_until_imported()
        outcome.judge(stand)
    return outcome


class _Crowd:
    """Honest senders that may not fail once; with ``anew`` each store has an association of its own."""

    def __init__(
        self, stand: Stand, ledger: Ledger, source: random.Random, count: int, *, pause: float, anew: bool = False
    ) -> None:
        self._port, self._ledger, self._pause, self._anew = stand.port, ledger, pause, anew
        self._stop = threading.Event()
        self._failures: list[str] = []
        seeds = [source.randrange(2**32) for _ in range(count)]
        addresses = [f"127.0.2.{number // _PER_ADDRESS + 1}" for number in range(count)]
        self._threads = [threading.Thread(target=self._send, args=one) for one in zip(seeds, addresses, strict=True)]
        for thread in self._threads:
            thread.start()

    def end(self, outcome: Outcome, stand: Stand) -> None:
        """Stop them; each failure is a fault."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            outcome.fault(f"{len(self._failures)} honest sends failed, the first with: {self._failures[0]}", stand)

    def _send(self, seed: int, address: str) -> None:
        source = random.Random(seed)  # noqa: S311
        while not self._stop.is_set():
            try:
                with Sender(self._port, MR.sop_class_uid, seconds=30, source=address) as sender:
                    while not self._stop.is_set():
                        (instance,) = make_study(source, 1, (MR,))
                        status = sender.store(instance)
                        self._ledger.note(instance, instance.sha256(), status)
                        if status != SUCCESS:
                            self._failures.append(f"status 0x{status:04X}")
                        self._stop.wait(self._pause * source.uniform(0.5, 1.5))
                        if self._anew:
                            break
            except OSError as error:
                self._failures.append(str(error))
                self._stop.wait(self._pause)


def _attack(port: int, stop: threading.Event) -> None:
    """Hold as many hostile sockets as there may be; one that is closed is opened again."""
    sockets: list[tuple[socket.socket, Callable[[socket.socket], None]]] = []
    turn = 0
    try:
        while not stop.wait(0.02):
            if len(sockets) < _HOSTILE:
                for _ in range(min(50, _HOSTILE - len(sockets))):
                    turn += 1
                    opened = _open(port, f"127.0.1.{turn % _HOSTILE_ADDRESSES + 1}")
                    if opened is not None:
                        sockets.append((opened, _WAYS[turn % len(_WAYS)]))
            alive = []
            for hostile_socket, act in sockets:
                try:
                    act(hostile_socket)
                    alive.append((hostile_socket, act))
                except BlockingIOError:
                    alive.append((hostile_socket, act))
                except OSError:
                    hostile_socket.close()
            sockets = alive
    finally:
        for hostile_socket, _ in sockets:
            hostile_socket.close()


def _open(port: int, source: str) -> socket.socket | None:
    try:
        opened = socket.create_connection(("127.0.0.1", port), timeout=1, source_address=(source, 0))
    except OSError:
        return None
    opened.setblocking(False)
    return opened


def _look(peer: socket.socket) -> None:
    """Notice when the peer has closed."""
    if peer.recv(4096) == b"":
        raise ConnectionResetError


def _trickle(peer: socket.socket) -> None:
    if random.random() < 0.02:  # noqa: S311 - about a byte a second
        peer.send(_FIRST_PDU_HEAD[:1])
    _look(peer)


def _half_tls(peer: socket.socket) -> None:
    if random.random() < 0.02:  # noqa: S311
        peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    _look(peer)


def _huge_length(peer: socket.socket) -> None:
    if random.random() < 0.02:  # noqa: S311
        peer.send(b"\x01\x00\xff\xff\xff\xff" + bytes(1000))
    _look(peer)


_WAYS: tuple[Callable[[socket.socket], None], ...] = (_look, _trickle, _half_tls, _huge_length)


def _shown(held: Holdings) -> str:
    return f"{held.threads} threads, {held.descriptors} descriptors, {held.memory_bytes / 2**20:.0f} MiB"
