"""Whose a SOP Instance UID is: the first bytes that are durable keep it, across threads, processes and the import."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3

from storage.domain.study import KeepOutcome
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects import claims, incoming
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.spool_content import part10_of, waiting, waiting_quarantined
from tests.peers.spool_import import another, imported

UID = "1.2.3.4.5"
LARGE = bytes(incoming.LARGEST_IN_LOG + 1)


def test_the_same_bytes_again_are_already_held(folder, spool, keep):
    """A duplicate is a success without a second copy."""
    keep(spool, UID, b"data set")

    assert keep(spool, UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert len(waiting(folder.root)) == 1


def test_the_same_bytes_at_another_process_are_durable_there_too(folder, spool, keep):
    """Another process cannot know how far the first one has come: it writes its own record, and one object results."""
    keep(spool, UID, b"data set")

    assert keep(another(folder), UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert len(waiting(folder.root)) == 2
    imported(folder, spool)
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"data set")
    assert claims.Claims(folder).count() == 0


def test_a_large_instance_that_another_process_claimed_keeps_its_file(folder, spool, keep):
    """The file of an acknowledged instance stays when the claim is another's, who may have died before its record."""
    table, digest = claims.Claims(folder), blake3(LARGE).hexdigest()
    table.take(UID, claims.Claim(digest, "007-1"))
    table.confirm(UID, digest)

    assert keep(spool, UID, LARGE) is KeepOutcome.ALREADY_HELD

    imported(folder, spool)
    assert ObjectStore(folder).held(UID).fingerprint == blake3(LARGE).hexdigest()


def test_other_bytes_under_the_same_uid_go_to_quarantine(folder, spool, keep):
    """The first copy stays as it was; the second is set aside."""
    keep(spool, UID, b"first")

    assert keep(spool, UID, b"second") is KeepOutcome.CONFLICT
    assert keep(another(folder), UID, b"third") is KeepOutcome.CONFLICT
    [record] = waiting(folder.root)
    assert part10_of(folder.root, record).endswith(b"first")
    assert waiting_quarantined(folder.root) == [("conflict", b"second"), ("conflict", b"third")]
    imported(folder, spool)
    assert sorted(path.read_bytes() for path in folder.quarantined_objects.iterdir()) == [b"second", b"third"]


@pytest.mark.parametrize(("again", "outcome"), [(b"one", KeepOutcome.ALREADY_HELD), (b"two", KeepOutcome.CONFLICT)])
def test_an_imported_instance_still_holds_its_uid(folder, spool, keep, again, outcome):
    """After the entry has left the spool, the object decides between ALREADY_HELD and CONFLICT."""
    keep(spool, UID, b"one")
    imported(folder, spool)
    assert claims.Claims(folder).count() == 0

    assert keep(spool, UID, again) is outcome
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")
    assert claims.Claims(folder).count() == 0


def test_an_import_between_claim_and_look_is_noticed(folder, spool, keep, monkeypatch):
    """If the first one's entry is imported while a second one waits for the claim, the object decides."""
    keep(another(folder), UID, b"one")
    real_take = claims.Claims.take

    def take_after_an_import(self, uid, claim):
        imported(folder, spool)
        return real_take(self, uid, claim)

    monkeypatch.setattr(claims.Claims, "take", take_after_an_import)

    assert keep(spool, UID, b"two") is KeepOutcome.CONFLICT
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")


def test_a_claim_of_a_dead_process_is_no_proof(folder, spool, keep):
    """Other bytes under a UID whose claimant died are neither stored nor refused until the importer has cleared up."""
    dead = another(folder)
    claims.Claims(folder).take(UID, claims.Claim("ab" * 32, dead._log.owner))
    dead.close()

    with pytest.raises(SpoolWriteFailed):
        keep(spool, UID, b"two")
    imported(folder, spool)
    assert keep(spool, UID, b"two") is KeepOutcome.STORED


def test_a_torn_claim_counts_as_none(folder):
    """An entry that a crash left half written is free."""
    table = claims.Claims(folder)
    mine = claims.Claim("ab" * 32, "000-1")
    assert table.take(UID, mine) is None
    [(place, _)] = table._all()
    table._write(place + 30, b"torn")

    assert table.holder(UID) is None
    assert table.take(UID, mine) is None
    assert table.holder(UID) == mine
    assert table.count() == 1


def test_a_full_bucket_is_a_full_spool(folder, monkeypatch):
    """When more instances wait than the table can hold, the sender keeps its images."""
    monkeypatch.setattr(claims, "_BUCKETS", 1)
    table = claims.Claims(folder)
    for number in range(claims._IN_BUCKET):
        assert table.take(f"1.2.{number}", claims.Claim("ab" * 32, "000-1")) is None

    with pytest.raises(SpoolFull, match="Too many"):
        table.take("1.2.3.4", claims.Claim("ab" * 32, "000-1"))
    table.give_back("1.2.7", "ab" * 32)
    assert table.take("1.2.3.4", claims.Claim("ab" * 32, "000-1")) is None


def test_a_claim_that_is_given_back_leaves_those_who_share_it(folder):
    """Two bring the same bytes; the first fails, the second makes them durable: other bytes are still in conflict."""
    table = claims.Claims(folder)
    first, second = claims.Claim("ab" * 32, "000-1"), claims.Claim("ab" * 32, "001-1")
    assert table.take(UID, first) is None
    assert table.take(UID, second) is None
    table.give_back(UID, first.fingerprint)
    assert table.holder(UID) is not None
    table.confirm(UID, second.fingerprint)
    table.give_back(UID, first.fingerprint)

    held = table.take(UID, claims.Claim("cd" * 32, "002-1"))

    assert held is not None
    assert (held.fingerprint, held.durable) == (first.fingerprint, True)
    table.end(UID, first.fingerprint)
    assert table.holder(UID) is None


def test_other_bytes_wait_for_whether_the_first_are_kept(folder, keep, monkeypatch):
    """Nobody is told that the first sender's bytes are held before they are; when they fail, the next ones count."""
    refused = FileSpool(folder, SpoolSettings(min_free_bytes=2**62))
    began, gate = threading.Event(), threading.Event()
    real = type(refused._capacity).reserve

    def slow(self, size):
        if self is refused._capacity:
            began.set()
            gate.wait(30)
        real(self, size)

    monkeypatch.setattr(type(refused._capacity), "reserve", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(keep, refused, UID, b"one")
        assert began.wait(30)
        second = pool.submit(keep, another(folder), UID, b"two")
        gate.set()
        with pytest.raises(SpoolFull):
            first.result(30)
        assert second.result(30) is KeepOutcome.STORED
    assert waiting_quarantined(folder.root) == []


def test_eight_senders_of_one_instance_leave_one_copy(folder, keep):
    """Concurrent keepers of the same bytes, each with its own spool object, all succeed; one object exists."""
    spools = [another(folder) for _ in range(8)]
    together = threading.Barrier(8)

    def send(spool):
        together.wait()
        return keep(spool, UID, b"data set" * 1000)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(send, spools))

    assert set(outcomes) <= {KeepOutcome.STORED, KeepOutcome.ALREADY_HELD}
    imported(folder, spools[0])
    assert len(list(folder.objects.rglob("*.dcm"))) == 1
    assert waiting(folder.root) == []


def test_a_duplicate_needs_no_room(folder, keep):
    """What is held already is a success even when nothing more fits."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=5000, min_free_bytes=0))
    keep(spool, UID, bytes(2000))

    with pytest.raises(SpoolFull):
        keep(spool, "1.2.3.4.6", bytes(2000))
    assert keep(spool, UID, bytes(2000)) is KeepOutcome.ALREADY_HELD


def test_a_claim_that_somebody_alive_shares_meanwhile_is_not_removed(folder):
    """Between the look at a dead owner's claim and its removal a living process may have joined it."""
    table = claims.Claims(folder)
    dead, living = claims.Claim("ab" * 32, "000-1"), claims.Claim("ab" * 32, "001-1")
    table.take(UID, dead)

    def is_alive(owner: str) -> bool:
        table.take(UID, living)
        return owner == living.owner

    assert table.remove_abandoned(is_alive) == 0
    assert table.holder(UID) == living


def test_only_what_waits_is_remembered(folder, spool, keep):
    """Of instances that have left the log a process keeps nothing in memory."""
    for number in range(50):
        keep(spool, f"1.2.{number}", b"data set")
    imported(folder, spool)
    keep(spool, UID, b"data set")

    assert list(spool._durable) == [UID]
