"""The fault runs by name, and how long each is for a number of rounds."""

import random
from collections.abc import Callable

from overread.torture.bad_pacs import bad_pacs
from overread.torture.crowds import associations, hostile
from overread.torture.duplicates import duplicates
from overread.torture.full_disk import full_disk
from overread.torture.kills import kills
from overread.torture.outages import outages
from overread.torture.outcome import Outcome
from overread.torture.power import fsync_errors, order, power, syncs
from overread.torture.races import races
from overread.torture.worker_kills import workers

Run = Callable[[int, random.Random], Outcome]

RUNS: dict[str, Run] = {
    "kills": lambda rounds, source: kills(5 * rounds, source),
    "workers": lambda rounds, source: workers(5 * rounds, source),
    "postgres": outages,
    "disk": lambda rounds, source: full_disk(max(rounds // 5, 1), source),
    "fsync": lambda rounds, source: fsync_errors(max(rounds // 4, 1), source),
    "power": power,
    "order": lambda rounds, source: order(max(rounds // 10, 1), source),
    "syncs": lambda _, source: syncs(source),
    "duplicates": lambda rounds, source: duplicates(max(rounds // 4, 1), source),
    "associations": lambda rounds, source: associations(rounds / 2, source),
    "races": lambda rounds, source: races(500 * rounds, source),
    "pacs": lambda rounds, source: bad_pacs(10 * rounds, source),
    "hostile": lambda rounds, source: hostile(rounds / 10, source),
}
