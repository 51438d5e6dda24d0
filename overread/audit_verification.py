"""Verifying the audit trail: the chain in the database against its own hashes and against the checkpoints outside."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from storage.domain.audit_chain import ChainRow, Checkpoint, examine
from storage.errors import AuditTampered
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres.audit_chain import chain_snapshot, guard
from storage.postgres.engine import Database


@dataclass(frozen=True, slots=True)
class Verification:
    """``rows`` fit, of which signed checkpoints confirm the first ``anchored``; faults and notes are sentences."""

    rows: int
    anchored: int
    first_bad_row: int | None
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def verify_trail(
    database: Database,
    checkpoints: CheckpointFile,
    public_key: bytes | None = None,
    watch: Callable[[Iterable[ChainRow], int], Iterable[ChainRow]] = lambda rows, _total: rows,
) -> Verification:
    """Read the whole trail once, in constant memory; ``watch`` may look at the rows as they pass.

    Raises:
        DatabaseUnavailable: the server does not answer.
        DamagedObject: the public key of the checkpoints cannot be read.
    """
    faults: list[str] = []
    # Before the rows are looked at: a checkpoint taken meanwhile would count rows that are not in our look.
    confirming = _until_doubtful(checkpoints.read(public_key), faults)
    with chain_snapshot(database) as chain:
        head = chain.head()
        found = examine(watch(chain.rows(), head.rows), head, confirming)
    if found.fault is not None:
        faults.insert(0, found.fault.sentence)
    guarded = guard(database)
    notes = [*guarded.weak]
    if not checkpoints.exists():
        notes.append(
            "There is no checkpoint under data_dir (the housekeeper writes one each minute), so rows deleted at the "
            "end, or a chain written anew, would not show."
        )
    return Verification(
        rows=found.rows,
        anchored=found.anchored,
        first_bad_row=None if found.fault is None else found.fault.row,
        faults=(*faults, *guarded.broken),
        notes=tuple(notes),
    )


def _until_doubtful(checkpoints: Iterator[Checkpoint], faults: list[str]) -> Iterator[Checkpoint]:
    try:
        yield from checkpoints
    except AuditTampered as error:
        faults.append(str(error))
