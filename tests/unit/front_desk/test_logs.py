"""Whatever a peer sends, a log line is one line, and what it says stays where it was said."""

import json
import subprocess
import sys
import textwrap

import pytest

from overread.logs import one_line

HOSTILE = "CT1\r\n2026-01-01T00:00:00Z INFO listener: forged\x1b[2J\u202egnp.exe\u2028\x00\x85\ud800"
_BEGIN = """
import logging, threading
from overread.logs import LogSettings, configure_logging
configure_logging(LogSettings(format={format!r}))
log = logging.getLogger("listener")
"""

both = pytest.mark.parametrize("format", ["text", "json"])


def _logged(format: str, code: str) -> list[str]:
    """What a process with this format of log writes on standard error when it runs the code."""
    program = _BEGIN.format(format=format) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return done.stderr.decode().removesuffix("\n").split("\n")


@both
def test_hostile_text_does_not_leave_its_line(format: str) -> None:
    """As many records as events, whatever is in them; no control character reaches a terminal."""
    first, second = _logged(format, f"log.info('calling AE title %s', {HOSTILE!r})\nlog.warning('and another')")

    assert (first + second).isprintable()
    assert "forged" in first, "it is told, only not believed"
    if format == "json":
        assert json.loads(first)["message"] == f"calling AE title {HOSTILE}"
        told = json.loads(second)
        assert (told["level"], told["logger"], told["message"]) == ("WARNING", "listener", "and another")
        assert told["time"].endswith("Z")


@both
def test_an_exception_is_told_by_type_and_place(format: str) -> None:
    """Its text may repeat what was received, so it is nowhere in the log."""
    code = """
    def read():
        raise ValueError("Doe^Jane")
    try:
        read()
    except ValueError:
        logging.getLogger("pydicom").exception("could not read it")
    """
    (line,) = _logged(format, code)

    assert "could not read it (ValueError in read" in line
    assert "Doe" not in line


@both
def test_what_nobody_caught_is_one_line(format: str) -> None:
    """A thread or a process that dies writes no stack with received values."""
    code = """
    def die():
        raise RuntimeError("Doe^Jane")
    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    die()
    """
    lines = _logged(format, code)

    assert ["unexpected RuntimeError in die" in line for line in lines] == [True, True]
    assert "Doe" not in "".join(lines)


@both
def test_warnings_of_libraries_are_not_written(format: str) -> None:
    """pydicom's quote the values they warn of."""
    assert _logged(format, "import warnings; warnings.warn('Invalid value Doe^Jane')") == [""]


def test_ordinary_text_stays_as_it_is() -> None:
    """Letters of any script, spaces and punctuation are no danger."""
    text = "Überweisung „CT“ — 画像 ✓ 12 µg"

    assert one_line(text) == text
