"""`overread torture`: fault runs on an installation of their own, which prove that nothing acknowledged is lost."""

import random
import secrets
import time

import click

from overread.errors import TortureFailed

_NAMES = (
    *("kills", "workers", "postgres", "disk", "fsync", "power", "order", "syncs", "duplicates", "associations"),
    *("races", "pacs", "hostile"),
)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=20, show_default=True, help="How often each fault happens.")
@click.option("--seed", type=int, help="Repeat the choices of an earlier run; without it they are new.")
@click.option("--only", type=click.Choice(_NAMES), multiple=True, help="Only this run; may be given several times.")
def torture(rounds: int, seed: int | None, only: tuple[str, ...]) -> None:
    """Kill, fill and cut off a listener and a worker of its own under load, and check what they promise.

    Uses a temporary folder and an embedded PostgreSQL, never the configured ones. With 20 rounds: 100 SIGKILLs of
    listener processes, 100 of the worker in the middle of its jobs, 20 outages of PostgreSQL, 4 full disks, 5 runs with
    failing syncs, 20 power cuts, the order of syncs and answers in 2 runs, each kind of sync left out once, 5 studies
    sent again and again, 200 associations for 10 minutes, 10,000 races of a stale delivery worker with its successor,
    200 times a PACS is down, rude in between, while the role that delivers is killed, and 500 hostile sockets for 2
    minutes.
    """
    from overread.torture.runs import RUNS

    if seed is None:
        seed = secrets.randbelow(2**31)
    faults = 0
    for name in only or _NAMES:
        click.echo(f"{name}: repeat with --seed {seed} --rounds {rounds} --only {name}")
        started = time.monotonic()
        outcome = RUNS[name](rounds, random.Random(f"{seed} {name}"))  # noqa: S311 - repeatable on purpose
        faults += len(outcome.faults)
        told = "; ".join(outcome.faults) or "0 lost, every digest equal"
        click.echo(
            f"{name}: {outcome.done}: {outcome.acknowledged} acknowledged, {told} ({time.monotonic() - started:.0f} s)."
        )
    if faults:
        raise TortureFailed(f"{faults} faults were found; the sentences above name the folders that show them.")
    click.echo("The promise was kept in every run.")
