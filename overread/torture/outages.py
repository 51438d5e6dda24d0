"""PostgreSQL stopped and killed under load: reception goes on, and everything has its rows afterwards."""

import os
import random
import signal

from overread.torture.instances import MR
from overread.torture.ledger import Ledger
from overread.torture.load import Load
from overread.torture.outcome import Outcome
from overread.torture.stand import Stand
from storage.errors import DatabaseUnavailable
from storage.postgres import schema

_MODES = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # what `pg_ctl stop` calls fast and immediate; and a crash
_WHILE_AWAY = 30  # acknowledgements


def outages(rounds: int, source: random.Random) -> Outcome:
    """Take PostgreSQL away in three ways in turn; meanwhile the listener must go on acknowledging."""
    outcome = Outcome("postgres", f"{rounds} outages of PostgreSQL under load (fast, immediate, SIGKILL in turn)")
    with Stand("postgres") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        with Load(stand.port, ledger, source, senders=3, mix=(MR,), pause=0.02) as load:
            for number in range(rounds):
                load.wait_for_more(source.randrange(5, 40), stand)
                postmaster = int((stand.folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
                os.kill(postmaster, _MODES[number % len(_MODES)])
                stand.wait_until(lambda: not _database_answers(stand), "PostgreSQL is away")
                load.wait_for_more(_WHILE_AWAY, stand)
                stand.wait_until(lambda: _comes_back(stand), "PostgreSQL is back")
            load.finish()
        stand.wait_until_imported()
        outcome.judge(stand)
    return outcome


def _comes_back(stand: Stand) -> bool:
    stand.server.revive()  # again if it ended at once, as it does while children of a killed one still run
    return _database_answers(stand)


def _database_answers(stand: Stand) -> bool:
    try:
        schema.check(stand.database_url)
    except DatabaseUnavailable:
        return False
    return True
