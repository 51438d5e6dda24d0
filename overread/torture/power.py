"""Simulated power cuts: everything is killed, and of the disk only what was synced is left.

The listener runs with a library preloaded that writes down what it does to its data folder (``shim.c``); afterwards
the folder is built again from what had been synced (``recording.py``). PostgreSQL lies outside: it syncs its own
commits, and its promise is not tried here.
"""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from overread.torture.checker import Verdict, check_promise
from overread.torture.instances import CR, MR, Kind
from overread.torture.ledger import Ledger, read_ledger
from overread.torture.load import MIX, Load
from overread.torture.outcome import Outcome
from overread.torture.recording import Disk
from overread.torture.shim import Shim
from overread.torture.stand import Stand
from overread.torture.sync_order import AnswersInOrder
from storage.postgres.database_copy import (
    at_database,
    close_database,
    copy_database,
    database_name,
    drop_database,
)
from storage.postgres.engine import open_database
from storage.postgres.recorded_instances import recorded_count

_IMPORTED, _ONLY_SPOOLED = 40, 30
# Syncs that the promise does not need, and what they are for.
_NOT_PROMISED = {
    "fsync of data/spool/log/*/*.seg": "reserves a new segment's blocks; the sync of a record would make them durable",
}


@dataclass
class _Cut:
    """What is left of one power cut: the record of the disk, the sender's ledger, the database as it was."""

    disk: Path
    record: Path
    ledger: Path
    database_url: str
    owner_url: str


def power(rounds: int, source: random.Random) -> Outcome:
    """Cut the power again and again, in turns with nothing unsynced left and with some of it left by chance."""
    outcome = Outcome("power", f"{rounds} power cuts")
    with Stand("power") as stand:
        shim = Shim(stand.folder)
        for number in range(rounds):
            then = _only_the_spool if number % 3 == 2 else None
            cut = _cut(stand, shim, source, f"cut_{number}", source.uniform(0.1, 1.0), then=then)
            luck = random.Random(source.random()) if number % 2 else None  # noqa: S311
            outcome.add(_recover(stand, cut, Disk(cut.record), luck), stand)
            _forget(cut)
    return outcome


def fsync_errors(rounds: int, source: random.Random) -> Outcome:
    """Let a part of all syncs fail under load, then cut the power: what was acknowledged had a sync that worked."""
    outcome = Outcome("fsync", f"{rounds} runs with failing syncs, each ended by a power cut")
    with Stand("fsync") as stand:
        shim = Shim(stand.folder)
        for number in range(rounds):
            cut = _cut(stand, shim, source, f"cut_{number}", 1.5, failing=source.randrange(10, 60))
            outcome.add(_recover(stand, cut, Disk(cut.record), None), stand)
            _forget(cut)
    return outcome


def order(rounds: int, source: random.Random) -> Outcome:
    """For every answer of success under load: the instance and its names were synced before the answer left."""
    outcome = Outcome("order", f"{rounds} recorded runs")
    with Stand("order") as stand:
        shim = Shim(stand.folder)
        for number in range(rounds):
            cut = _cut(stand, shim, source, f"cut_{number}", 2.0)
            answers = AnswersInOrder(cut.record, {one.sop_instance_uid: one.size for one in read_ledger(cut.ledger)})
            outcome.acknowledged += answers.checked
            if answers.too_early:
                outcome.fault(f"{len(answers.too_early)} answers came before their syncs.", stand)
            _forget(cut)
    return outcome


def answers_without_each_sync(source: random.Random) -> dict[str, AnswersInOrder]:
    """The answers of one recorded run, judged as they were (the empty key), and with each kind of sync taken out."""
    with Stand("order") as stand:
        cut = _cut(stand, Shim(stand.folder), source, "cut", 1.0)
        sizes = {one.sop_instance_uid: one.size for one in read_ledger(cut.ledger)}
        return {name: AnswersInOrder(cut.record, sizes, name) for name in ("", *Disk(cut.record).syncs)}


def syncs(source: random.Random) -> Outcome:
    """Take out each kind of sync in turn: what is acknowledged must then be lost, or the run above proves nothing."""
    found = mutations(source)
    outcome = Outcome("syncs", f"{len(found) - 1} kinds of sync, each taken out once")
    as_it_is = found.pop("")
    if not as_it_is.holds:
        outcome.faults.append("With all syncs the promise was broken; `--only power` shows it.")
    else:
        outcome.acknowledged = as_it_is.acknowledged
    needless = [name for name, verdict in found.items() if verdict.holds]
    outcome.faults += [
        f"Without the {name} nothing was lost: it is needless, or this run cannot see what it is for."
        for name in needless
        if name not in _NOT_PROMISED
    ]
    return outcome


def mutations(source: random.Random) -> dict[str, Verdict]:
    """Cut the power once; then, for each kind of sync in turn, look at what is left as if it had not been made.

    Half of what was acknowledged is imported before the cut, half still waits in the spool. The key is empty for the
    disk as it was.
    """
    found: dict[str, Verdict] = {}
    with Stand("mutations") as stand:
        shim = Shim(stand.folder)
        cut = _cut(stand, shim, source, "cut", 0.0, then=_half_and_half, mix=(MR, CR))
        for name in ("", *sorted(Disk(cut.record).syncs)):
            disk = Disk(cut.record, forgets=name)
            found[name] = _recover(stand, cut, disk, None)
    return found


def _cut(
    stand: Stand,
    shim: Shim,
    source: random.Random,
    name: str,
    seconds: float,
    *,
    failing: int = 0,
    then: Callable[[Stand, Load], None] | None = None,
    mix: Sequence[Kind] = MIX,
) -> _Cut:
    """Run the listener on an empty disk under load, and kill everything after so many seconds of it."""
    owner_url = stand.server.owner_url
    copy_database(owner_url, name)
    stand.database_url = at_database(stand.server.url, name)
    stand.disk = stand.folder / name
    stand.disk.mkdir()
    cut = _Cut(
        stand.disk,
        stand.folder / f"{name}.record",
        stand.folder / f"{name}.ledger",
        stand.database_url,
        at_database(owner_url, name),
    )
    stand.start_listener(shim.environment(stand.disk, cut.record))
    with Ledger(cut.ledger) as ledger, Load(stand.port, ledger, source, instances=8, mix=mix) as load:
        load.wait_for_more(1, stand)
        shim.set(failing_syncs=failing)
        time.sleep(seconds)
        if then is not None:
            then(stand, load)
        stand.kill_all()
    shim.set()
    return cut


def _half_and_half(stand: Stand, load: Load) -> None:
    """Wait for rows of some, then go on without the database: so the spool has let go of some, and holds some alone."""
    database = open_database(stand.database_url, "overread torture")
    try:
        stand.wait_until(lambda: recorded_count(database) >= _IMPORTED, "instances are imported")
    finally:
        database.close()
    _only_the_spool(stand, load)


def _only_the_spool(stand: Stand, load: Load) -> None:
    """Go on for a while without the database, so that what is acknowledged stays in the spool."""
    close_database(at_database(stand.server.owner_url, database_name(stand.database_url)))
    load.wait_for_more(_ONLY_SPOOLED, stand)


def _recover(stand: Stand, cut: _Cut, disk: Disk, luck: random.Random | None) -> Verdict:
    """Start on what the disk has left, with a copy of the database, let everything be imported, and check."""
    stand.disk = stand.folder / "recovered"
    stand.disk.mkdir()
    copy_database(cut.owner_url, "recovered")
    stand.database_url = at_database(stand.server.url, "recovered")
    try:
        disk.rebuild(stand.disk, luck, cut.disk)
        stand.start_listener()
        stand.wait_until_imported()
        return check_promise(cut.ledger, stand.data_dir, stand.database_url)
    finally:
        stand.kill_all()
        shutil.rmtree(stand.disk)
        drop_database(at_database(cut.owner_url, "recovered"))


def _forget(cut: _Cut) -> None:
    cut.record.unlink()
    shutil.rmtree(cut.disk)
    drop_database(cut.owner_url)
