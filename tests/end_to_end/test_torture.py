"""The fault runs in their short form, by the command that users run, and proof that they can fail."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from overread.torture.bad_pacs import bad_pacs
from overread.torture.checker import check_promise
from overread.torture.instances import MR, make_instance, new_uid
from overread.torture.ledger import SUCCESS, Ledger
from overread.torture.load import Load
from overread.torture.power import answers_without_each_sync, mutations
from overread.torture.races import races
from overread.torture.stand import Stand


@pytest.mark.parametrize(
    ("run", "rounds"),
    [("kills", 1), ("workers", 1), ("postgres", 3), ("disk", 1), ("fsync", 1), ("power", 3), ("duplicates", 1)],
)
def test_nothing_acknowledged_is_lost(run: str, rounds: int) -> None:
    """The command says that the promise was kept, and what it checked."""
    done = subprocess.run(
        [sys.executable, "-m", "overread", "torture", "--seed", "1", "--rounds", str(rounds), "--only", run],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, every digest equal" in done.stdout
    assert " 0 acknowledged" not in done.stdout


def test_a_stale_delivery_worker_and_its_successor_leave_one_content_and_one_settlement() -> None:
    """Fault F15: whatever it was about when its lease was taken, the stale one settles nothing."""
    outcome = races(40, random.Random(1))

    assert outcome.faults == []
    assert outcome.acknowledged == 80


def test_a_bad_pacs_gets_everything_once() -> None:
    """Faults F17 to F19: down, rude and slow by turns, while the role that delivers is killed."""
    outcome = bad_pacs(3, random.Random(2))

    assert outcome.faults == []
    assert outcome.acknowledged == 60


@pytest.mark.timeout(900)  # one recovery for each kind of sync; a busy machine takes six minutes
def test_taking_out_any_sync_loses_something() -> None:
    """A power cut after which one kind of sync is taken as not made breaks the promise, whichever kind it is.

    One is for speed only: it gives a new segment of the log its blocks, which a record's own sync would do too.
    """
    verdicts = mutations(random.Random(1))

    as_it_is = verdicts.pop("")
    assert as_it_is.faults() == []
    assert as_it_is.acknowledged > 0
    seen_by_nothing = [name for name, verdict in verdicts.items() if verdict.holds]
    assert seen_by_nothing == ["fsync of data/spool/log/*/*.seg"]
    assert "fdatasync of data/spool/log/*/*.seg" in verdicts


def test_no_answer_comes_before_its_syncs() -> None:
    """At each success the instance is synced, with its name; without those syncs the answers would be too early."""
    judged = answers_without_each_sync(random.Random(1))

    assert judged[""].checked > 0
    assert judged[""].too_early == []
    log = ("fdatasync of data/spool/log/*/*.seg", "fsync of data/spool/log/*")
    large = ("fdatasync of data/spool/large/*-*.*-*.dcm", "fsync of data/spool/large")
    assert all(judged[name].too_early for name in (*log, *large))
    assert len(judged[log[0]].too_early) + len(judged[large[0]].too_early) == judged[""].checked


def test_the_checker_sees_what_is_lost_altered_or_promised_in_vain(tmp_path: Path) -> None:
    """A removed file, a changed byte, half a file and an acknowledgement of nothing are each found."""
    source = random.Random(1)
    with Stand("checker") as stand, Ledger(stand.ledger_path) as ledger:
        stand.start_listener()
        with Load(stand.port, ledger, source, senders=1, instances=6, mix=(MR,)) as load:
            load.finish()
        stand.wait_until_imported()
        assert check_promise(stand.ledger_path, stand.data_dir, stand.database_url).faults() == []

        removed, altered, cut = sorted((stand.data_dir / "objects").rglob("*.dcm"))[:3]
        removed.unlink()
        content = bytearray(altered.read_bytes())
        content[-1] ^= 1
        altered.write_bytes(content)
        cut.write_bytes(cut.read_bytes()[:140])
        never_sent = make_instance(MR, source, new_uid(source), 1)
        ledger.note(never_sent, never_sent.sha256(), SUCCESS)

        verdict = check_promise(stand.ledger_path, stand.data_dir, stand.database_url)

    assert len(verdict.without_file) == 3
    assert len(verdict.other_bytes_in_file) == 1
    assert len(verdict.half_files) == 1
    assert verdict.without_row == (never_sent.sop_instance_uid,)
    assert not verdict.holds
