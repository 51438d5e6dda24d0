"""Which children a worker has: devices, threads and memory are shared among them."""

import subprocess
from pathlib import Path

import numpy as np

from inference.algorithms.machine import usable_cores
from inference.imaging.series_reader import read_headers
from inference.model_child.board import StageBoard
from inference.model_child.memory import child_bytes, machine_bytes
from inference.model_child.places import places
from inference.model_child.running import RunningChild
from inference.settings import WorkerSettings
from inference.stages import WAIT, begin, tell_stages_to
from tests.peers.synthetic_series import kept, slice_headers, with_pixels


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


def test_the_board_holds_the_step_and_what_it_works_on() -> None:
    """The other side reads what was written last, whatever its length."""
    board = StageBoard()
    other = StageBoard(board.descriptor)

    other.write("encode", "1.2.3.4", "1.2.3.4.5")
    assert board.read() == ("encode", "1.2.3.4", "1.2.3.4.5")
    other.write("infer", "1.2")

    assert board.read() == ("infer", "1.2", "")
    board.clear()
    assert other.read() == ("", "", "")
    board.close()


def test_a_board_that_was_scribbled_on_says_nothing() -> None:
    """A child that was taken over brings no words into a sentence."""
    board = StageBoard()
    for step, series in (("Doe^Jane", ""), ("infer", "Doe"), ("x" * 200, "1.2"), ("infer", "1" * 100)):
        board.write(step, series)
        assert board.read() == ("", "", "")
    board.close()


def test_where_a_child_ended_is_told_with_the_instance_that_it_read(tmp_path: Path) -> None:
    """A file that crashes the reader is named by its SOP Instance UID, before its series is known."""
    instances = kept(with_pixels(slice_headers(), np.zeros((6, 5, 4))), tmp_path)
    board = StageBoard()
    running = RunningChild(subprocess.Popen(["true"]), [], [board])
    tell_stages_to(board.write)
    try:
        begin("select")
        read_headers(instances)
    finally:
        tell_stages_to()

    assert running.place(0) == f"in the step select, at instance {instances[-1].header.sop_instance_uid}"
    running.end()
    running.close()


def test_a_job_waits_only_where_another_one_works() -> None:
    """A child that says of all its jobs that they wait does not stop the clocks of any."""
    boards = [StageBoard(), StageBoard()]
    running = RunningChild(subprocess.Popen(["true"]), [], boards)
    boards[0].write(WAIT)
    assert not running.waits(0)
    boards[1].write(WAIT)
    assert not running.waits(0)
    boards[1].write("infer")
    assert running.waits(0)
    assert not running.waits(1)
    running.end()
    running.close()
