"""Several processes on one port: counted together, started again, ended in order."""

import os
import signal
import time
from pathlib import Path

import pytest

from listener.scp.seats import Seats, SharedSeats
from tests.peers.raw_sender import associated, ct_data_set, send
from tests.peers.upper_layer import Wire, associate_rq, data_pdu, store_command


def children_of(process_id: int) -> list[int]:
    """Its children, oldest first: the receivers, then the importer."""
    return [int(each) for each in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def peer_process(port: int, children: list[int]) -> int:
    """Which process has an established connection of this port; there is one connection only."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {each[9] for each in lines if each[1].endswith(f":{port:04X}") and each[3] == "01"}
    for child in children:
        for descriptor in Path(f"/proc/{child}/fd").iterdir():
            if str(descriptor.readlink())[8:-1] in inodes:
                return child
    raise AssertionError("nobody has the connection")


def wait_until(true, seconds: float = 20) -> None:
    """Wait for what must become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_receiver_takes_no_other_association_with_it(listener_process):
    """One of two receivers is killed: the association of the other goes on, a third process takes its place."""
    listener = listener_process()
    before = children_of(listener.process.pid)
    assert len(before) == 3  # two receivers and the importer
    with associated(listener.port) as association:
        holder = peer_process(listener.port, before)
        other = next(each for each in before[:2] if each != holder)
        os.kill(other, signal.SIGKILL)
        wait_until(lambda: len(set(children_of(listener.process.pid)) - set(before)) == 1)

        assert send(association, ct_data_set("1.2.3.1"), "1.2.3.1") == 0x0000
        for number in range(2, 6):
            with associated(listener.port) as further:
                assert send(further, ct_data_set(f"1.2.3.{number}"), f"1.2.3.{number}") == 0x0000
    assert holder in children_of(listener.process.pid)
    code, logged = listener.terminate()
    assert code == 0
    assert "it starts again" in logged


def test_a_killed_importer_is_started_again(listener_process):
    """The importer is a process of its own, nicer than the receivers, and comes back."""
    listener = listener_process()
    first = children_of(listener.process.pid)
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, first[2]) > os.getpriority(os.PRIO_PROCESS, first[0]))
    os.kill(first[2], signal.SIGKILL)

    wait_until(lambda: set(children_of(listener.process.pid)) - set(first))
    assert listener.terminate()[0] == 0


def test_no_process_outlives_the_keeper(listener_process):
    """When the keeper is killed, the kernel ends its children, and the port is free."""
    listener = listener_process()
    children = children_of(listener.process.pid)
    os.kill(listener.process.pid, signal.SIGKILL)
    listener.process.wait()

    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_a_message_in_progress_is_finished_when_the_listener_stops(listener_process):
    """SIGTERM in the middle of a data set: the rest is taken and answered with success, newcomers are put off."""
    listener = listener_process(processes=1)
    data = data_pdu(ct_data_set("1.2.3.1"))
    with Wire(listener.port) as wire, Wire(listener.port) as idle:
        wire.associate()
        idle.associate()
        wire.send(data_pdu(store_command("1.2.3.1"), command=True) + data[:100])
        listener.process.send_signal(signal.SIGTERM)
        assert idle.receive()[0] == 0x07
        with Wire(listener.port) as late:
            late.send(associate_rq())
            assert late.receive() == (0x03, b"\x00\x02\x03\x01")

        wire.send(data[100:])
        assert wire.status() == 0x0000
        assert wire.receive()[0] == 0x07
    listener.process.communicate(timeout=60)
    assert listener.process.returncode == 0


def test_seats_are_counted_by_all_processes():
    """Who sits in one process is seen in the other; a wiped part is empty; nobody sits twice."""
    shared = SharedSeats(2, 2)
    first, second = Seats(shared, 0), Seats(shared, 1)

    assert first.take("10.0.0.1") == (1, 0, 0)
    assert second.take("10.0.0.1") == (1, 1, 1)
    assert second.take("10.0.0.2") == (2, 2, 0)
    assert second.take("10.0.0.2")[0] == 0  # its part is full
    first.leave(1)
    assert first.take("10.0.0.2") == (1, 2, 1)
    shared.wipe(1)
    assert first.take("10.0.0.2") == (2, 1, 1)
    assert (first.taken, shared.counts(0)[0]) == (2, 2)


@pytest.mark.parametrize("processes", [1, 3])
def test_as_many_receivers_as_wanted_serve(listener_process, processes):
    """The setting says how many processes receive."""
    listener = listener_process(processes=processes)
    assert len(children_of(listener.process.pid)) == processes + 1
    with associated(listener.port) as association:
        assert send(association, ct_data_set("1.2.3.1"), "1.2.3.1") == 0x0000
