"""SIGKILL of the listener's processes under load; the senders go on from what they know."""

import random
import time

from overread.torture.ledger import Ledger
from overread.torture.load import Load
from overread.torture.outcome import Outcome
from overread.torture.stand import Stand


def kills(rounds: int, source: random.Random) -> Outcome:
    """Kill one of the listener's processes, chosen by chance, at a moment chosen by chance, again and again."""
    outcome = Outcome("kills", f"{rounds} SIGKILLs of listener processes under load")
    with Stand("kills") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        with Load(stand.port, ledger, source) as load:
            for _ in range(rounds):
                load.wait_for_more(1, stand)
                time.sleep(source.uniform(0.0, 0.3))
                stand.kill_one(source.choice(stand.processes()))
            load.finish()
        stand.wait_until_imported()
        outcome.judge(stand)
    return outcome
