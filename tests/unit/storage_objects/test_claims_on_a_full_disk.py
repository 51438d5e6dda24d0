"""A disk without a free block: claims and boards say so, and the process that asks lives on."""

import errno
import os

import pytest

from storage.errors import SpoolFull
from storage.objects import claims
from tests.peers.small_disk import run_on_small_disk


@pytest.mark.parametrize("mounted", [True, False], ids=["small disk", "no blocks"])
def test_a_claim_on_a_full_disk_is_refused_and_the_process_lives(tmp_path, mounted):
    """Claims go into holes of their table until the disk has no block left: the next one is an error, not a signal."""
    done = run_on_small_disk(
        tmp_path,
        "64k",
        """
        import errno, pathlib, sys
        from storage.objects.claims import Claim, Claims
        from storage.objects.layout import DataFolder
        folder = DataFolder(pathlib.Path(sys.argv[1]))
        folder.claims.parent.mkdir(parents=True, exist_ok=True)
        table = Claims(folder)
        taken = 0
        try:
            while True:
                table.take(f"1.2.{taken}", Claim("00" * 32, "000-1"))
                taken += 1
        except OSError as error:
            assert error.errno == errno.ENOSPC
        assert 0 < taken < 1000
        assert table.count() == taken
        assert table.holder(f"1.2.{taken}") is None
        table.give_back(f"1.2.{taken}", "00" * 32)
        table.give_back("1.2.0", "00" * 32)
        assert table.count() == taken - 1
        print("lives")
        """,
        mounted=mounted,
    )

    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


@pytest.mark.parametrize("mounted", [True, False], ids=["small disk", "no blocks"])
def test_a_board_on_a_full_disk_is_an_error_and_the_process_lives(tmp_path, mounted):
    """The page of a log has its block before it is mapped: without one it cannot be made."""
    done = run_on_small_disk(
        tmp_path,
        "64k",
        """
        import errno, pathlib, sys
        from storage.objects.log_board import ImportedBoard
        place = pathlib.Path(sys.argv[1])
        try:
            (place / "full").write_bytes(bytes(2**20))
        except OSError:
            pass
        try:
            ImportedBoard(place / "board").publish(1, 1)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            print("lives")
        """,
        mounted=mounted,
    )

    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


def test_an_instance_whose_claim_has_no_room_is_refused_as_out_of_resources(spool, keep, folder, monkeypatch):
    """The sender is told that there is no room, and the same instance is stored when there is."""

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(claims.Claims, "_write", no_room)
        with pytest.raises(SpoolFull):
            keep(spool, "1.2.3", b"data set")

    assert claims.Claims(folder).count() == 0
    assert keep(spool, "1.2.3", b"data set").name == "STORED"
