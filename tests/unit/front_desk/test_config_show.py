"""`overread config show` prints what is in force, without its secrets."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from overread.commands.config import config


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed for a file with every kind of value."""
    path = tmp_path / "overread.toml"
    path.write_text(
        """
        data_dir = 'C:\\odd "folder"'
        [database]
        url = "postgresql://svc:hunter2@db.example/overread"
        [[listener.peers]]
        ae_title = "CT1"
        networks = ["10.1.0.0/16", "10.2.0.0/16"]
        [[destinations]]
        name = "pacs"
        ae_title = "ORTHANC"
        host = "127.0.0.1"
        port = 4242
        profile = "ward"
        [[profiles]]
        name = "ward"
        based_on = "weasis"
        further = [["presentation-state", "secondary-capture"]]
        """,
        encoding="utf-8",
    )
    monkeypatch.setenv("OVERREAD_CONFIG", str(path))
    result = CliRunner().invoke(config, ["show"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_what_is_shown_can_be_read_as_settings_again(shown: str) -> None:
    """The output is TOML with the same values."""
    read = tomllib.loads(shown)

    assert read["data_dir"] == 'C:\\odd "folder"'
    [peer] = read["listener"]["peers"]
    assert (peer["ae_title"], peer["networks"]) == ("CT1", ["10.1.0.0/16", "10.2.0.0/16"])
    assert read["destinations"][0]["port"] == 4242
    assert read["study"]["quiet_seconds"] == 60.0
    assert read["profiles"] == [
        {
            "name": "ward",
            "based_on": "weasis",
            "further": [["presentation-state", "secondary-capture"]],
            "one_object_per_structure": False,
        }
    ]


def test_the_password_of_the_database_is_masked(shown: str) -> None:
    """A screen shared with a vendor does not show it."""
    assert "hunter2" not in shown
    assert "svc:…@db.example" in shown
