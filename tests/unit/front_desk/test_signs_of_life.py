"""`overread health` tells a role whose loop goes round from one that hangs, died, or was never started."""

import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from overread.commands.health import health
from overread.errors import InvalidSettings, RoleFailed
from overread.pulse import SILENCE_SECONDS, pulse, silence


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where roles leave their signs, named in the settings."""
    monkeypatch.setenv("OVERREAD_CONFIG", "/dev/null")
    monkeypatch.setenv("OVERREAD_RUN_DIR", str(tmp_path))
    return tmp_path


def _ask(*arguments: str) -> Result:
    return CliRunner().invoke(health, arguments)


def test_a_role_that_beats_is_alive(run_dir: Path) -> None:
    """A sign of a moment ago is life."""
    pulse(str(run_dir), "deliver")

    done = _ask()

    assert (done.exit_code, done.output) == (0, "deliver: alive.\n")


def test_a_role_that_is_silent_is_not(run_dir: Path) -> None:
    """A sign older than the limit is that of a loop that hangs; so is one from before the last boot."""
    pulse(str(run_dir), "deliver")
    for sign in (time.monotonic() - SILENCE_SECONDS - 1, time.monotonic() + 1000):
        (run_dir / "deliver.alive").write_text(f"{sign:.3f}".zfill(20))

        with pytest.raises(RoleFailed, match="`overread deliver` has left no sign of life for 60 s"):
            CliRunner().invoke(health, catch_exceptions=False)


def test_a_beat_renews_the_sign(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each beat more than a second after the last one takes its place."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    beat = pulse(str(run_dir), "work")

    now += 50
    beat()
    now += 50

    assert silence(str(run_dir)) == {"work": pytest.approx(50, abs=0.01)}


def test_nothing_started_is_not_healthy(run_dir: Path) -> None:
    """Where no role was ever started the answer is no, and so it is for a role that is not the one that runs."""
    assert isinstance(_ask().exception, RoleFailed)
    pulse(str(run_dir), "deliver")
    assert isinstance(_ask("work").exception, RoleFailed)


@pytest.mark.parametrize(("role", "key"), [("listen", "LISTENER"), ("web", "WEB")])
def test_a_door_that_does_not_answer_is_not_healthy(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, role: str, key: str
) -> None:
    """A fresh sign does not help a door whose port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv(f"OVERREAD_{key}_PORT", str(free.getsockname()[1]))
    pulse(str(run_dir), role)

    with pytest.raises(RoleFailed, match=f"`overread {role}` does not answer on its port"):
        CliRunner().invoke(health, catch_exceptions=False)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A role does not start with a run_dir that it cannot write, since its health could never be asked."""
    with pytest.raises(InvalidSettings, match="set run_dir"):
        pulse(str(tmp_path / "none"), "work")
