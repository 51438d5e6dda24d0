"""Senders under way: several modalities at once that note each answer and come back until they owe nothing."""

import random
import threading
import time
from collections.abc import Callable, Sequence

from overread.errors import TortureFailed
from overread.torture.dcmtk_sender import has_dcmtk, send_with_storescu
from overread.torture.instances import CR, CT, MR, Instance, Kind, make_instance, new_uid
from overread.torture.ledger import SUCCESS, Ledger
from overread.torture.sender import Sender
from overread.torture.stand import Stand

MIX: tuple[Kind, ...] = (MR, MR, MR, MR, MR, MR, CT, CT, CT, CR)  # the largest goes another way through the spool
_PAUSE = 0.05
_REFUSED_PAUSE = 0.2
_ANSWER_SECONDS = 30.0
_FINISH_SECONDS = 300.0


def make_study(source: random.Random, count: int, mix: Sequence[Kind] = MIX) -> list[Instance]:
    """Instances of one study, of kinds drawn from ``mix``, those of one kind together."""
    study = new_uid(source)
    drawn = [make_instance(source.choice(mix), source, study, number + 1, noise=number % 3) for number in range(count)]
    return sorted(drawn, key=lambda instance: instance.kind.name)  # an association of ours takes one SOP Class


class Load:
    """``senders`` threads; each sends one study after another, every instance until it was answered with success.

    The first of them has DCMTK's storescu send, where that is installed and nothing asks for a slow pace.
    As a context manager it begins with the block and gives up what is owed if the block raises.
    """

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        source: random.Random,
        *,
        senders: int = 4,
        instances: int = 20,
        mix: Sequence[Kind] = MIX,
        pause: float = 0.0,
    ) -> None:
        self._port, self._ledger, self._pause = port, ledger, pause
        self._no_more, self._give_up = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self.statuses: dict[int | None, int] = {}
        seeds = [source.randrange(2**32) for _ in range(senders)]
        self._threads = [
            threading.Thread(
                target=self._send_studies,
                args=(_studies(seed, instances, mix), number == 0 and not pause and has_dcmtk()),
            )
            for number, seed in enumerate(seeds)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.abandon()

    def wait_for_more(self, count: int, stand: Stand) -> None:
        """Wait until so many more were acknowledged; raises TortureFailed when they are not."""
        goal = self.acknowledged + count
        stand.wait_until(lambda: self.acknowledged >= goal, f"{count} more instances are acknowledged")

    def finish(self) -> None:
        """Begin no further study and wait until nothing is owed.

        Raises:
            TortureFailed: the listener did not take the rest.
        """
        self._no_more.set()
        deadline = time.monotonic() + _FINISH_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.1))
            if thread.is_alive():
                self.abandon()
                raise TortureFailed(f"After {_FINISH_SECONDS:.0f} s the senders still owe instances.")

    def abandon(self) -> None:
        """Stop after the message under way, whatever is owed."""
        self._no_more.set()
        self._give_up.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> int:
        """How many answers of success there were so far."""
        return self.statuses.get(SUCCESS, 0)

    def _send_studies(self, next_study: Callable[[], list[Instance]], dcmtk: bool) -> None:
        while not self._no_more.is_set():
            owed = next_study()
            digests = {instance.sop_instance_uid: instance.sha256() for instance in owed}
            while owed and not self._give_up.is_set():
                kept = self._with_storescu(owed, digests) if dcmtk else self._send_some(owed, digests)
                owed = [one for one in owed if one.sop_instance_uid not in kept]

    def _with_storescu(self, owed: list[Instance], digests: dict[str, str]) -> set[str]:
        def note(instance: Instance, status: int | None) -> None:
            self._note(instance, digests, status)

        kept = send_with_storescu(self._port, owed, note, self._give_up.is_set)
        if len(kept) < len(owed):
            self._give_up.wait(_REFUSED_PAUSE)
        return kept

    def _send_some(self, owed: list[Instance], digests: dict[str, str]) -> set[str]:
        """Send those of one kind over one association as long as it stands; return the UIDs of successes."""
        instances = [one for one in owed if one.kind is owed[0].kind]
        kept: set[str] = set()
        under_way: Instance | None = None
        try:
            with Sender(self._port, instances[0].kind.sop_class_uid, seconds=_ANSWER_SECONDS) as sender:
                for instance in instances:
                    if self._give_up.is_set():
                        break
                    under_way = instance
                    status = sender.store(instance)
                    under_way = None
                    self._note(instance, digests, status)
                    if status == SUCCESS:
                        kept.add(instance.sop_instance_uid)
                    self._give_up.wait(self._pause if status == SUCCESS else _REFUSED_PAUSE)
        except OSError:
            if under_way is not None:
                self._note(under_way, digests, None)
            self._give_up.wait(_PAUSE)
        return kept

    def _note(self, instance: Instance, digests: dict[str, str], status: int | None) -> None:
        self._ledger.note(instance, digests[instance.sop_instance_uid], status)
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1


def _studies(seed: int, instances: int, mix: Sequence[Kind]) -> Callable[[], list[Instance]]:
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return lambda: make_study(source, instances, mix)
