"""The same study by many senders at once, and other bytes under a UID that is taken: the first copy stays, one copy."""

import dataclasses
import random
import threading

from overread.errors import TortureFailed
from overread.torture.instances import CT, MR, Instance
from overread.torture.ledger import SUCCESS, Ledger, read_ledger
from overread.torture.load import make_study
from overread.torture.outcome import Outcome
from overread.torture.sender import Sender
from overread.torture.stand import Stand
from storage.postgres.engine import open_database
from storage.postgres.recorded_instances import quarantined_digests

_TIMES, _SENDERS, _INSTANCES = 5, 20, 12
_DUPLICATE = 0x0111


def duplicates(rounds: int, source: random.Random) -> Outcome:
    """Send each study five times by twenty senders at once; then each instance again with other pixels, by two."""
    outcome = Outcome("duplicates", f"{rounds} studies sent {_TIMES} times by {_SENDERS} senders at once, then altered")
    with Stand("duplicates") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        for _ in range(rounds):
            study = make_study(source, _INSTANCES, (MR, CT))
            orders = [source.sample(study, len(study)) for _ in range(_SENDERS)]
            statuses = _at_once(stand.port, ledger, [order * _TIMES for order in orders])
            if statuses != {SUCCESS}:
                outcome.fault(f"The same bytes again were answered with {_named(statuses)}.", stand)
            altered = [_altered(instance) for instance in study]
            statuses = _at_once(stand.port, ledger, [altered, altered[::-1]])
            if statuses != {_DUPLICATE}:
                outcome.fault(f"Other bytes under the same UID were answered with {_named(statuses)}.", stand)
            fresh = make_study(source, _INSTANCES, (MR,))
            both = _at_once(stand.port, ledger, [fresh, [_altered(instance) for instance in fresh]])
            if not both <= {SUCCESS, _DUPLICATE}:
                outcome.fault(f"Two contents at once under one UID were answered with {_named(both)}.", stand)
        stand.wait_until_imported()
        outcome.judge(stand)
        _check_quarantine(outcome, stand)
    return outcome


def _check_quarantine(outcome: Outcome, stand: Stand) -> None:
    """What was answered with 0x0111 is kept in quarantine for whoever decides."""
    database = open_database(stand.database_url, "overread torture")
    try:
        aside = quarantined_digests(database)
    finally:
        database.close()
    refused = {(one.sop_instance_uid, one.sha256) for one in read_ledger(stand.ledger_path) if one.status == _DUPLICATE}
    if refused - aside:
        outcome.fault(f"{len(refused - aside)} altered instances are not in quarantine.", stand)


def _altered(instance: Instance) -> Instance:
    return dataclasses.replace(instance, block=bytes(byte ^ 0xFF for byte in instance.block[:4096]) * 256)


def _at_once(port: int, ledger: Ledger, orders: list[list[Instance]]) -> set[int | None]:
    """Each list by a sender of its own, all at once; return every status that came."""
    statuses: set[int | None] = set()
    failed: list[OSError] = []

    def send(order: list[Instance]) -> None:
        try:
            for kind in {instance.kind for instance in order}:
                with Sender(port, kind.sop_class_uid) as sender:
                    for instance in order:
                        if instance.kind is kind:
                            status = sender.store(instance)
                            ledger.note(instance, instance.sha256(), status)
                            statuses.add(status)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise TortureFailed(f"A sender was cut off: {failed[0]}")
    return statuses


def _named(statuses: set[int | None]) -> str:
    return ", ".join(sorted("nothing" if status is None else f"0x{status:04X}" for status in statuses))
