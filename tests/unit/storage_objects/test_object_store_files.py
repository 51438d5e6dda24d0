"""Objects, evidence and the site secret on disk."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.domain.result import FrozenFile
from storage.domain.study import KeepOutcome
from storage.errors import DamagedObject, EvidenceNotStored
from storage.objects.direct import BLOCK, Blocks
from storage.objects.object_store import ObjectStore
from storage.objects.site_secret import site_secret
from tests.peers.spool_content import waiting

UID = "1.2.3.4.5"


@pytest.fixture
def adopted(folder, spool, keep):
    """A store that holds one instance."""
    assert keep(spool, UID, b"data set") is KeepOutcome.STORED
    store = ObjectStore(folder)
    [record] = waiting(folder.root)
    with Blocks(1, BLOCK).lent(record.data_length) as memory:
        store.name(store.draft(record.data_in(memory, 0), UID), UID)
    return store


def test_verify_returns_the_file_with_the_right_digest(adopted):
    """The digest is that of the data set, without preamble and file meta information."""
    path = adopted.verify(UID, hashlib.sha256(b"data set").hexdigest())

    assert path == adopted.instance(UID)


def test_a_flipped_bit_is_damage(adopted):
    """One changed byte in the data set raises DamagedObject."""
    path = adopted.instance(UID)
    path.write_bytes(path.read_bytes()[:-1] + b"T")

    with pytest.raises(DamagedObject, match=r"1\.2\.3\.4\.5 does not match"):
        adopted.verify(UID, hashlib.sha256(b"data set").hexdigest())


@pytest.mark.parametrize("length", [0, 100, 140, 200])
def test_a_cut_file_is_damage(adopted, length):
    """A file cut anywhere in its prefix raises DamagedObject, nothing else."""
    path = adopted.instance(UID)
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(DamagedObject):
        adopted.verify(UID, hashlib.sha256(b"data set").hexdigest())


def test_a_missing_file_is_damage(folder):
    """An instance without a file raises DamagedObject."""
    with pytest.raises(DamagedObject, match="cannot be read"):
        ObjectStore(folder).verify(UID, "00")


def test_other_bytes_are_never_adopted(folder, adopted, spool, keep, tmp_path):
    """Adopting other bytes under a held UID raises and leaves the first ones."""
    other = tmp_path / "other.dcm"
    other.write_bytes(adopted.instance(UID).read_bytes() + b"more")

    with pytest.raises(FileExistsError):
        adopted.adopt(other, UID)
    adopted.verify(UID, hashlib.sha256(b"data set").hexdigest())


def test_freezing_twice_keeps_one_copy(folder):
    """The name is the SHA-256 of the whole file, so equal bytes are one file."""
    store = ObjectStore(folder)

    first, second = store.freeze([b"evi", b"dence"]), store.freeze([b"evidence"])

    assert first == second == FrozenFile(hashlib.sha256(b"evidence").hexdigest(), 8)
    file = store.evidence(first.sha256)
    assert file.read_bytes() == b"evidence"
    assert [path for path in folder.evidence.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_evidence_that_cannot_be_synced_is_not_frozen(folder, monkeypatch, number):
    """A failed sync raises what a worker tries again, and leaves no file."""

    def failing(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", failing)

    with pytest.raises(EvidenceNotStored, match="free space under data_dir"):
        ObjectStore(folder).freeze([b"evidence"])
    assert [path for path in folder.evidence.rglob("*") if path.is_file()] == []


def test_everyone_who_asks_at_once_gets_the_same_secret(folder):
    """Sixteen racing callers agree on 32 bytes, and the file is for us alone."""
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(lambda _: site_secret(folder), range(16)))

    [secret] = secrets
    assert len(secret) == 32
    assert (folder.root / "site-secret").stat().st_mode & 0o777 == 0o600
    assert list(folder.root.glob("*.part")) == []


def test_a_cut_secret_is_refused(folder):
    """A secret of another length raises instead of making new UIDs for old results."""
    site_secret(folder)
    (folder.root / "site-secret").write_bytes(b"short")

    with pytest.raises(DamagedObject):
        site_secret(folder)
