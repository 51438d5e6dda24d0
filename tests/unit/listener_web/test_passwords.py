"""Passwords are kept as argon2id hashes, and an unknown account costs what a known one does."""

import pytest
from argon2 import PasswordHasher

from listener.web import passwords
from listener.web.passwords import UnfitPassword, hash_password, is_outdated, matches

PASSWORD = "correct horse battery"


def test_only_the_password_matches_its_hash() -> None:
    """The hash accepts the password it was made from and no other, nor an empty or an endless one."""
    kept = hash_password(PASSWORD)

    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept
    assert matches(kept, PASSWORD)
    assert [wrong for wrong in ("", PASSWORD[:-1], PASSWORD + " ", "x" * 10**6) if matches(kept, wrong)] == []


def test_two_hashes_of_one_password_differ() -> None:
    """Each hash has its own salt, so equal passwords do not show."""
    assert hash_password(PASSWORD) != hash_password(PASSWORD)


@pytest.mark.parametrize("unfit", ["", "elevenchars", "x" * 1025])
def test_a_short_or_endless_password_is_refused(unfit: str) -> None:
    """Twelve characters at least, 1024 at most."""
    with pytest.raises(UnfitPassword):
        hash_password(unfit)


def test_an_unknown_account_is_hashed_for_like_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hash to compare with, the same work is done and the answer is no."""
    checked = []

    class Counting(PasswordHasher):
        def verify(self, hash: str, password: str | bytes) -> bool:
            """Note how the hash that is compared with was made."""
            checked.append(passwords.is_outdated(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting())

    assert not matches(None, PASSWORD)
    assert not matches(None, "x" * 10**6)
    assert checked == [False, False], "hashed, and with the parameters in force"


def test_a_hash_with_other_parameters_is_outdated() -> None:
    """A hash from a weaker time is found, so that the next login replaces it."""
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)

    assert matches(weak, PASSWORD)
    assert is_outdated(weak)
    assert not is_outdated(hash_password(PASSWORD))
