"""The audit trail as a chain: what makes it whole, and which row is the first that does not fit."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

START = bytes(32)  # what stands for the hash before the first row

# Number, hash of the row before, own hash, canonical text of everything else (docs/reference/audit-trail.md).
ChainRow = tuple[int, bytes, bytes, str]


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """How many rows there are, and the hash of the last."""

    rows: int
    row_hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of the chain as it was at a time, kept outside the database."""

    end: ChainEnd
    taken_at: str  # ISO 8601 in UTC


@dataclass(frozen=True, slots=True)
class Fault:
    """The first row that does not fit, and why."""

    row: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a walk along the chain found; ``rows`` fit, of which checkpoints confirm the first ``anchored``."""

    rows: int
    anchored: int
    fault: Fault | None


def examine(rows: Iterable[ChainRow], head: ChainEnd, checkpoints: Iterable[Checkpoint]) -> Examination:
    """Walk the whole chain once, in constant memory, up to the first row that does not fit.

    ``rows`` come in the order of their numbers, ``checkpoints`` in the order in which they were taken.
    """
    end, anchored = ChainEnd(0, START), 0
    waiting = iter(checkpoints)
    checkpoint = next(waiting, None)
    for row_id, prev_hash, row_hash, canonical in rows:
        sentence = _misfit(end, row_id, prev_hash, row_hash, canonical)
        if sentence:
            return Examination(end.rows, anchored, Fault(min(row_id, end.rows + 1), sentence))
        end = ChainEnd(row_id, row_hash)
        while checkpoint is not None and checkpoint.end.rows <= row_id:
            if checkpoint.end != end:
                return Examination(anchored, anchored, _rewritten(anchored, checkpoint))
            anchored = row_id
            checkpoint = next(waiting, None)
    if checkpoint is not None and head == end:  # both were written anew, so what no checkpoint confirms may be too
        return Examination(anchored, anchored, _shortened(anchored, end, checkpoint))
    return Examination(end.rows, anchored, _end_fault(end, head, checkpoint))


def _misfit(end: ChainEnd, row_id: int, prev_hash: bytes, row_hash: bytes, canonical: str) -> str:
    expected = end.rows + 1
    if row_id > expected:
        which = f"Row {expected} is" if row_id == expected + 1 else f"Rows {expected} to {row_id - 1} are"
        return f"{which} missing."
    if row_id < expected:
        return f"Row {row_id} is there although row {end.rows} was to be followed by row {expected}."
    if prev_hash != end.row_hash:
        return f"Row {row_id} does not follow the row before it: one of the two is not the one that was written."
    if sha256(prev_hash + canonical.encode()).digest() != row_hash:
        return f"Row {row_id} was changed after it was written, or never written by the service."
    return ""


def _rewritten(anchored: int, checkpoint: Checkpoint) -> Fault:
    return Fault(
        anchored + 1,
        f"Row {checkpoint.end.rows} is not the one that the checkpoint of {checkpoint.taken_at} names: from a row "
        f"between {anchored + 1} and {checkpoint.end.rows} on, the chain was written anew, or an older copy restored.",
    )


def _shortened(anchored: int, end: ChainEnd, checkpoint: Checkpoint) -> Fault:
    return Fault(
        anchored + 1,
        f"There are {end.rows} rows, and the checkpoint of {checkpoint.taken_at} counts {checkpoint.end.rows} rows: "
        f"some were deleted, or an older copy was restored; checkpoints confirm only the first {anchored}.",
    )


def _end_fault(end: ChainEnd, head: ChainEnd, checkpoint: Checkpoint | None) -> Fault | None:
    written = max(head.rows, checkpoint.end.rows if checkpoint is not None else 0)
    if written > end.rows:
        return Fault(end.rows + 1, f"Row {end.rows + 1} and what followed it are missing: {written} rows were written.")
    if head != end:
        return Fault(end.rows, f"Row {end.rows} is not the last one that was written: the head of the chain differs.")
    return None
