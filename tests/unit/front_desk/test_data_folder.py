"""Whose the data folder is: another account's is not touched, by no command."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from overread import cli
from overread.data_folder import make_data_folder, name_of, refuse_foreign_folder
from overread.database import place_of
from overread.errors import InvalidSettings
from overread.settings import Settings

COMMANDS = (
    *(["up"], ["status"], ["explain", "1.2.3"], ["jobs", "list"], ["db", "check"], ["db", "upgrade"]),
    *(["algorithms", "list"], ["algorithms", "add", "."], ["audit", "verify"], ["users", "list"]),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that was in use."""
    (tmp_path / "data" / "postgres" / "cluster").mkdir(parents=True)
    return tmp_path / "data"


def _settings(folder: Path, url: str = "") -> Settings:
    return Settings.model_validate({"data_dir": folder, "database": {"url": url}})


def _content(folder: Path) -> dict[Path, tuple[int, ...]]:
    """What would change if something were made, changed or given away; looking changes the time of the last look."""
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (one.st_ino, one.st_mode, one.st_uid, one.st_size, one.st_mtime_ns) for path, one in stats.items()}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_touches_the_folder_of_another_account(
    command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stops with the owner's name before it makes, changes or starts anything."""
    owner = folder.stat().st_uid
    before = _content(folder)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(InvalidSettings, match=rf"belongs to the account {name_of(owner)}.*sudo -u {name_of(owner)} "):
        CliRunner().invoke(
            cli.overread,
            command,
            env={"OVERREAD_CONFIG": os.devnull, "OVERREAD_DATA_DIR": str(folder)},
            catch_exceptions=False,
        )
    assert _content(folder) == before


def test_a_first_start_says_whose_the_folder_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy for a folder that somebody else made before the service's first start is in the sentence."""
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)

    with pytest.raises(InvalidSettings, match="give it the folder"):
        make_data_folder(_settings(folder))


def test_a_volume_of_root_may_be_used_by_its_group(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a database elsewhere only root is asked whose folder it is: a mounted volume belongs to root."""
    settings = _settings(folder, "postgresql://elsewhere/overread")
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    refuse_foreign_folder(settings)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result((0o40700, 0, 0, 1, 10001, 10001, 0, 0, 0, 0)))
    with pytest.raises(InvalidSettings, match=f"sudo -u {name_of(10001)} overread"):
        refuse_foreign_folder(settings)


def test_what_an_account_may_not_use_is_named(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """A refusal by the system is no fault of ours: one sentence with the path and the remedy, exit status 1."""

    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/overread/algorithms")

    monkeypatch.setattr(cli.overread, "main", refused)
    monkeypatch.setattr(sys, "argv", ["overread"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    assert "may not use /var/lib/overread/algorithms; run the command as the account" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("", "the database under {folder}"),
        (
            "postgresql://service:hunter2@db.hospital.example:5433/overread",
            "the database overread on db.hospital.example:5433",
        ),
        ("postgresql://service:hunter2@/overread?host=/run/postgresql", "the database overread on /run/postgresql"),
        ("postgresql:///overread", "the database overread on this machine"),
    ],
)
def test_a_database_is_named_without_its_password(folder: Path, url: str, place: str) -> None:
    """An answer about a database says which one it is about."""
    assert place_of(_settings(folder, url)) == place.format(folder=folder)
