"""Whom audit rows name."""

import os

import pytest

from overread.caller import caller
from overread.data_folder import name_of


@pytest.mark.parametrize(
    ("person", "added"),
    [
        ("anna", " (sudo anna)"),
        ("anna.meyer@hospital.example", " (sudo anna.meyer@hospital.example)"),
        ("HOSPITAL\\anna", " (sudo HOSPITAL\\anna)"),
        ("", ""),
        ("anna) or (sudo bert", ""),
        ("anna\nbert", ""),
        ("a" * 65, ""),
    ],
)
def test_the_person_behind_sudo_is_named(monkeypatch: pytest.MonkeyPatch, person: str, added: str) -> None:
    """Several people share the service's account; what is no name of one is left out."""
    monkeypatch.setenv("SUDO_USER", person)

    assert caller() == f"{name_of(os.geteuid())}{added}"


def test_the_account_is_the_systems_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable renames it, and sudo to oneself adds nobody."""
    for variable in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(variable, "mallory")
    monkeypatch.setenv("SUDO_USER", name_of(os.geteuid()))

    assert caller() == name_of(os.geteuid())
