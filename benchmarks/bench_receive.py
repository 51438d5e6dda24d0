"""How fast instances are received, side by side: Overread, DCMTK's storescp, Orthanc and pynetdicom, in one run.

Same sender, same data, receivers in turns, round by round. Overread has each instance on stable storage before it
answers; what each of the others syncs stands in the table. After each receiver's turn what it stored is counted, for
Overread compared byte for byte: a receiver that lost something is shown as such. Run as

    .venv/bin/python benchmarks/bench_receive.py [--quick | --smoke] [--huge] [--json FILE] [--rounds N] [--kind CT] …

Needs DCMTK and Orthanc. The rates come from DCMTK's storescu with Nagle's algorithm off (TCP_NODELAY=1, for its own
receivers and for Orthanc too); one row is with it on, sender and receivers as Debian installs them. Response times
come from a sender of our own.
Figures with the machine they were measured on stand in docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from receiving.loads import Answers, Files, associations_per_second, echo_milliseconds
from receiving.process_figures import forget_peaks, usage
from receiving.receivers import Orthanc, Overread, Pynetdicom, Receiver, Storescp

from overread.torture.dcmtk_sender import dcmtk
from overread.torture.instances import CT, DX, HUGE, MR, Kind, make_instance, new_uid
from overread.torture.sender import Sender

OURS = "overread listen"
AS_INSTALLED = ", as installed"  # with Nagle's algorithm on; measured only with a sender that is so too
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Size:
    """How much is sent in one run of this program."""

    rounds: int
    loads: tuple[tuple[Kind, int, tuple[int, ...]], ...]  # kind, instances, numbers of associations
    echoes: int
    opening_seconds: float


FULL = Size(3, ((CT, 400, (1, 4, 8, 32)), (MR, 800, (1, 4, 8, 32)), (DX, 24, (1, 4))), 1000, 2.0)
QUICK = Size(1, ((CT, 128, (1, 4, 8, 32)), (MR, 256, (1, 4)), (DX, 8, (1,))), 300, 0.5)
SMOKE = Size(1, ((CT, 4, (2,)), (MR, 4, (2,))), 3, 0.05)


@dataclass(frozen=True)
class Figure:
    """One measurement; milliseconds and bytes, ``None`` where it does not apply."""

    receiver: str
    what: str
    associations: int
    rate: float | None
    cpu_ms: float | None = None
    behind_cpu_ms: float | None = None
    database_cpu_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    peak_rss: int | None = None
    rows_after_s: float | None = None
    wrong: int = 0
    failed: str = ""


def main() -> int:
    """Measure, print the table, write the JSON; 1 when anything that was acknowledged is not stored."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="about three minutes")
    options.add_argument("--smoke", action="store_true", help="seconds; the figures mean nothing")
    options.add_argument("--huge", action="store_true", help="also send an object of 2 GB, for its memory")
    options.add_argument("--rounds", type=int, help="how often each receiver is measured")
    options.add_argument("--only", action="append", default=[], help="only receivers whose name has this in it")
    options.add_argument("--kind", action="append", choices=["CT", "MR", "DX"], default=[], help="only such images")
    options.add_argument("--associations", action="append", type=int, default=[], help="only so many at once")
    options.add_argument("--json", type=Path, help="write every figure, with machine and versions, into this file")
    chosen = options.parse_args()
    size = _narrowed(SMOKE if chosen.smoke else QUICK if chosen.quick else FULL, chosen.kind, chosen.associations)
    folder = Path(tempfile.mkdtemp(prefix="overread-bench-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to pass
    receivers = [one for one in _receivers(folder) if not chosen.only or any(name in one.label for name in chosen.only)]
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        for receiver in receivers:
            receiver.start()
            cleanup.callback(receiver.stop)
        figures = _measure(receivers, folder, size, chosen.rounds or size.rounds, huge=chosen.huge)
    report = {"machine": _machine(), "synced": {one.label: one.synced for one in receivers}}
    print("; ".join(f"{name}: {value}" for name, value in _machine().items()))
    _print_tables(figures, [one.label for one in receivers])
    if chosen.json:
        chosen.json.write_text(json.dumps({**report, "figures": [asdict(one) for one in figures]}, indent=1))
    return 1 if any(one.wrong for one in figures) else 0


def _narrowed(size: Size, kinds: list[str], numbers: list[int]) -> Size:
    loads = [
        (kind, count, tuple(many for many in all_numbers if not numbers or many in numbers))
        for kind, count, all_numbers in size.loads
        if not kinds or kind.name in kinds
    ]
    return replace(size, loads=tuple(loads))


def _receivers(folder: Path) -> list[Receiver]:
    fast = ("--fork", "--max-pdu", "131072", "+B")
    return [
        Overread(OURS, folder / "overread"),
        Storescp("storescp", folder / "storescp"),
        Storescp("storescp --fork", folder / "fork", "--fork"),
        Storescp("storescp --fork, fastest", folder / "fastest", *fast),
        Orthanc("Orthanc", folder / "orthanc"),
        Storescp("storescp --fork" + AS_INSTALLED, folder / "fork-installed", "--fork", nodelay=False),
        Orthanc("Orthanc" + AS_INSTALLED, folder / "orthanc-installed", nodelay=False),
        Pynetdicom("pynetdicom durable", folder / "durable", "durable"),
        Pynetdicom("pynetdicom plain", folder / "plain", "plain"),
    ]


def _measure(receivers: list[Receiver], folder: Path, size: Size, rounds: int, *, huge: bool) -> list[Figure]:
    source = random.Random(4)  # noqa: S311
    loads = [(Files(folder / "sent" / kind.name, kind, count, source), many) for kind, count, many in size.loads]
    figures: list[Figure] = []
    tuned = [receiver for receiver in receivers if not receiver.label.endswith(AS_INSTALLED)]
    untuned = [receiver for receiver in receivers if receiver.label == OURS or receiver not in tuned]
    for _ in range(rounds):
        for files, many in loads:
            name = files.kind.name
            for associations in many:
                for receiver in tuned:
                    figures += [
                        _run(receiver, f"{name}, storescu", associations, files.storescu),
                        _run(receiver, f"{name}, own sender", associations, files.timed),
                    ]
        for receiver in untuned:
            figures.append(_run(receiver, "CT, storescu as installed (Nagle)", 1, loads[0][0].nagle))
        for receiver in tuned:
            echo = echo_milliseconds(receiver.port, receiver.called, size.echoes)
            figures.append(Figure(receiver.label, "C-ECHO", 1, None, p50_ms=echo))
            opened = associations_per_second(receiver.port, receiver.called, size.opening_seconds)
            figures.append(Figure(receiver.label, "associations one after another", 1, opened))
    if huge:
        for receiver in tuned:
            figures.append(_run(receiver, "2 GB, own sender", 1, _huge))
    return figures


def _run(receiver: Receiver, what: str, associations: int, send: Callable[[int, str, int], Answers]) -> Figure:
    """One receiver's turn: send, wait for the rows, look at what was used, verify what was kept."""
    forget_peaks(receiver.pid)
    before = receiver.usage()
    with _PeakSampler(receiver.pid) as sampler:
        try:
            answers = send(receiver.port, receiver.called, associations)
        except OSError as error:
            time.sleep(1.0)
            receiver.clear()
            return Figure(receiver.label, what, associations, None, failed=str(error))
        answered = time.perf_counter()
        receiver.settle(len(answers.sent))
        rows_after = time.perf_counter() - answered
    used, count = receiver.usage() - before, len(answers.sent)
    return Figure(
        receiver=receiver.label,
        what=what,
        associations=associations,
        rate=answers.rate,
        cpu_ms=1000 * used.cpu / count,
        behind_cpu_ms=1000 * used.behind_cpu / count if used.behind_cpu else None,
        database_cpu_ms=1000 * used.database_cpu / count if used.database_cpu else None,
        p50_ms=answers.percentile(0.5) if answers.times else None,
        p99_ms=answers.percentile(0.99) if answers.times else None,
        peak_rss=max(used.peak_rss, sampler.peak),
        rows_after_s=rows_after if isinstance(receiver, Overread) else None,
        wrong=receiver.wrong(answers.sent),
    )


class _PeakSampler:
    """The largest resident set while children come and go."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid, self._stop = pid, threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "_PeakSampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, usage(self._pid).peak_rss)


def _huge(port: int, called: str, _: int) -> Answers:
    instance = make_instance(HUGE, random.Random(), new_uid(random.Random()), 1)  # noqa: S311
    sent = {instance.sop_instance_uid: instance.sha256()}
    start = time.perf_counter()
    with Sender(port, HUGE.sop_class_uid, called=called, seconds=300) as sender:
        status = sender.store(instance)
    elapsed = time.perf_counter() - start
    if status != 0:
        raise OSError(f"answered with 0x{status:04X}")
    return Answers(1 / elapsed, [elapsed], sent)


def _print_tables(figures: list[Figure], labels: list[str]) -> None:
    grouped: dict[tuple[str, int], dict[str, list[Figure]]] = defaultdict(lambda: defaultdict(list))
    for figure in figures:
        grouped[figure.what, figure.associations][figure.receiver].append(figure)
    heads = ("rate /s", "ours/this", "CPU ms", "import ms", "DB ms", "p50 ms", "p99 ms", "RSS MB", "rows after s")
    for (what, associations), by_receiver in grouped.items():
        print(f"\n{what}, {associations} association{'s' * (associations > 1)}")
        print(f"  {'':26}" + "".join(f"{head:>13}" for head in heads))
        ours = _median(by_receiver.get(OURS, []), "rate")
        for label in labels:
            found = by_receiver.get(label, [])
            if not found:
                continue
            rate = _median(found, "rate")
            cells = [
                rate,
                ours / rate if ours and rate else None,
                *(_median(found, name) for name in ("cpu_ms", "behind_cpu_ms", "database_cpu_ms", "p50_ms", "p99_ms")),
                (_median(found, "peak_rss") or 0) / 1e6 or None,
                _median(found, "rows_after_s"),
            ]
            note = next((one.failed for one in found if one.failed), "")
            lost = sum(one.wrong for one in found)
            note += f" {lost} MISSING OR ALTERED" if lost else ""
            print(f"  {label:26}" + "".join(f"{_shown(cell):>13}" for cell in cells) + (f"  {note}" if note else ""))


def _median(figures: list[Figure], name: str) -> float | None:
    values = [value for one in figures if (value := getattr(one, name)) is not None]
    return statistics.median(values) if values else None


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine() -> dict[str, str]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{os.cpu_count()} x {cpu}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pynetdicom": version("pynetdicom"),
        "dcmtk": _first_line(dcmtk("storescp") or "storescp", "--version"),
        "orthanc": _first_line("/usr/sbin/Orthanc", "--version"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
    }


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip("$ ") if done.stdout else "unknown"


if __name__ == "__main__":
    sys.exit(main())
