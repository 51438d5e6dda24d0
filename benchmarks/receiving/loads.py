"""What is sent, and the two senders: DCMTK's storescu for rates, our own for the time of each answer."""

import contextlib
import os
import pickle
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overread.torture.dcmtk_sender import dcmtk
from overread.torture.instances import Instance, Kind, make_instance, new_uid
from overread.torture.sender import Sender

_HEAD = 1024  # both places of the SOP Instance UID lie in these first bytes of a file


@dataclass(frozen=True)
class Answers:
    """What a sender saw: instances a second, seconds until each answer, the digests of what it sent."""

    rate: float
    times: list[float]
    sent: dict[str, str]

    def percentile(self, share: float) -> float:
        """The response time that this share of the answers did not exceed, in milliseconds."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Files:
    """``count`` files of one kind, spread over any number of folders; each send gives every file a new UID in place."""

    def __init__(self, folder: Path, kind: Kind, count: int, source: random.Random) -> None:
        self.kind = kind
        self._source = source
        self._folder = folder
        study = new_uid(source)
        self._paths: list[Path] = []
        self._instances: list[Instance] = []
        folder.mkdir(parents=True)
        for number in range(count):
            instance = make_instance(kind, source, study, number + 1, noise=number % 4)
            path = folder / f"{number:05}.dcm"
            instance.write(path)
            self._paths.append(path)
            self._instances.append(instance)

    def renew(self) -> dict[str, str]:
        """Give every file a UID that was never sent; return UID and digest of each."""
        sent = {}
        for number, path in enumerate(self._paths):
            old, new = self._instances[number].sop_instance_uid.encode(), new_uid(self._source)
            with path.open("r+b") as file:
                head = file.read(_HEAD)
                file.seek(0)
                file.write(head.replace(old, new.encode()))
            before = self._instances[number]
            self._instances[number] = Instance(
                before.kind, before.study_instance_uid, new, before.head.replace(old, new.encode()), before.block
            )
            sent[new] = self._instances[number].sha256()
        return sent

    def storescu(self, port: int, called: str, associations: int, *, nagle: bool = False) -> Answers:
        """One storescu per association, all at once; every instance must be acknowledged."""
        sent = self.renew()
        environment = os.environ | {"TCP_NODELAY": "0" if nagle else "1"}
        command = [
            dcmtk("storescu") or "storescu",
            "-q",
            "-R",
            "-pdu",
            "131072",
            "--max-send-pdu",
            "131072",
            "-aec",
            called,
            "127.0.0.1",
        ]
        os.sync()  # what an earlier receiver left unwritten is not to be paid by this one
        start = time.perf_counter()
        senders = [
            subprocess.Popen([*command, str(port), *map(str, self._paths[part::associations])], env=environment)
            for part in range(associations)
        ]
        statuses = [sender.wait() for sender in senders]
        elapsed = time.perf_counter() - start
        if any(statuses):
            raise OSError("storescu was refused or cut off")
        return Answers(len(sent) / elapsed, [], sent)

    def nagle(self, port: int, called: str, associations: int) -> Answers:
        """The same from a sender that leaves Nagle's algorithm on, as Debian installs it."""
        return self.storescu(port, called, associations, nagle=True)

    def timed(self, port: int, called: str, associations: int) -> Answers:
        """Our own sender, a process per association."""
        sent = self.renew()
        os.sync()
        start = time.perf_counter()
        reports = _in_processes(
            [
                lambda part=part: _timed_stores(port, called, self.kind, self._instances[part::associations])
                for part in range(associations)
            ]
        )
        elapsed = time.perf_counter() - start
        return Answers(len(sent) / elapsed, [each for report in reports for each in report], sent)


def _timed_stores(port: int, called: str, kind: Kind, instances: list[Instance]) -> list[float]:
    times = []
    with Sender(port, kind.sop_class_uid, called=called) as sender:
        for instance in instances:
            start = time.perf_counter()
            status = sender.store(instance)
            times.append(time.perf_counter() - start)
            if status != 0:
                raise OSError(f"answered with 0x{status:04X}")
    return times


def _in_processes(tasks: list[Callable[[], list[float]]]) -> list[list[float]]:
    """Run each in a process of its own, so that none waits for another's interpreter."""
    readers = []
    for task in tasks:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with contextlib.suppress(BaseException), os.fdopen(writer, "wb") as out:
                out.write(pickle.dumps(task()))
            os._exit(0)
        os.close(writer)
        readers.append((child, reader))
    reports = []
    for child, reader in readers:
        with os.fdopen(reader, "rb") as source:
            content = source.read()
        os.waitpid(child, 0)
        if not content:
            raise OSError("a sender was refused or cut off")
        reports.append(pickle.loads(content))  # noqa: S301 - our own child wrote it
    return reports


def echo_milliseconds(port: int, called: str, count: int) -> float:
    """The median time of a C-ECHO on one association."""
    times = []
    with Sender(port, called=called) as sender:
        for _ in range(count):
            start = time.perf_counter()
            sender.echo()
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def associations_per_second(port: int, called: str, seconds: float) -> float:
    """How many associations are opened and released one after another."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        with Sender(port, called=called):
            count += 1
    return count / (time.perf_counter() - start)
