"""Which children a worker has: devices, threads and memory are shared among them."""

from inference.algorithms.machine import usable_cores
from inference.model_child.board import StageBoard
from inference.model_child.memory import child_bytes, machine_bytes
from inference.model_child.places import places
from inference.settings import WorkerSettings


def test_one_child_is_the_usual() -> None:
    """It takes every core, and three quarters of the memory."""
    (place,) = places(WorkerSettings())

    assert place.settings.device == "auto"
    assert place.settings.threads == usable_cores()
    assert place.limits.memory_bytes == int(machine_bytes() * 0.75)
    assert place.limits.time_s == 1800


def test_several_children_share_the_machine() -> None:
    """Together they take no more than one would."""
    found = places(WorkerSettings(device="cpu", children=3))

    assert [place.settings.device for place in found] == ["cpu"] * 3
    assert sum(place.limits.memory_bytes for place in found) <= machine_bytes() * 0.75
    assert all(place.settings.threads == max(usable_cores() // 3, 1) for place in found)


def test_each_device_has_a_child() -> None:
    """Devices name themselves, and what is set counts for each child."""
    found = places(WorkerSettings(devices=("cuda:0", "cuda:1"), threads=5, memory_gib=2, time_limit_s=60, children=7))

    assert [place.settings.device for place in found] == ["cuda:0", "cuda:1"]
    assert {place.settings.threads for place in found} == {5}
    assert {place.limits.memory_bytes for place in found} == {2 * 2**30}
    assert {place.limits.time_s for place in found} == {60}


def test_memory_that_is_set_is_not_shared() -> None:
    """A setting is for each child, as its description says."""
    assert child_bytes(1.5, 4) == 3 * 2**29


def test_the_board_holds_the_step_and_the_series() -> None:
    """The other side reads what was written last, whatever its length."""
    board = StageBoard()
    other = StageBoard(board.descriptor)

    other.write("encode", "1.2.3.4")
    other.write("infer", "1.2")

    assert board.read() == ("infer", "1.2")
    board.clear()
    assert other.read() == ("", "")
    board.close()


def test_a_board_that_was_scribbled_on_says_nothing() -> None:
    """A child that was taken over brings no words into a sentence."""
    board = StageBoard()
    for step, series in (("Doe^Jane", ""), ("infer", "Doe"), ("x" * 200, "1.2"), ("infer", "1" * 100)):
        board.write(step, series)
        assert board.read() == ("", "")
    board.close()
