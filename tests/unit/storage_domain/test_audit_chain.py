"""What makes a chain of audit rows whole, without a database."""

from hashlib import sha256

from storage.domain.audit_chain import START, ChainEnd, ChainRow, Checkpoint, Examination, examine


def _chain(numbers: list[int]) -> tuple[list[ChainRow], ChainEnd]:
    """Rows with these numbers whose hashes all fit."""
    rows, last = [], START
    for number in numbers:
        text = f"[{number}]"
        row_hash = sha256(last + text.encode()).digest()
        rows.append((number, last, row_hash, text))
        last = row_hash
    return rows, ChainEnd(numbers[-1] if numbers else 0, last)


def _sentence(found: Examination) -> str:
    assert found.fault is not None
    return found.fault.sentence


def test_an_empty_trail_is_whole() -> None:
    """Nothing was written, and nothing says otherwise."""
    assert examine([], ChainEnd(0, START), []) == Examination(0, 0, None)


def test_a_gap_is_a_fault_although_every_hash_fits() -> None:
    """Numbers count without gaps, so rows left out of a chain written anew show by their numbers."""
    rows, head = _chain([1, 2, 5])

    found = examine(rows, head, [])

    assert found.fault is not None
    assert (found.fault.row, found.fault.sentence) == (3, "Rows 3 to 4 are missing.")


def test_a_number_that_occurs_twice_is_a_fault() -> None:
    """Also where somebody dropped the primary key first."""
    rows, head = _chain([1, 2, 2, 3])

    assert "Row 2 is there although" in _sentence(examine(rows, head, []))


def test_rows_beyond_the_head_are_a_fault() -> None:
    """A row that the head does not count was not written by the service."""
    rows, _ = _chain([1, 2, 3])

    assert "not the last one" in _sentence(examine(rows, ChainEnd(2, rows[1][2]), []))


def test_several_checkpoints_of_one_row_count() -> None:
    """A housekeeper that starts again may sign the same end twice."""
    rows, head = _chain([1, 2])
    twice = [Checkpoint(ChainEnd(1, rows[0][2]), "then"), Checkpoint(ChainEnd(1, rows[0][2]), "later")]

    assert examine(rows, head, twice) == Examination(2, 1, None)
