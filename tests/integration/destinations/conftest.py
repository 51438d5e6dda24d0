"""`overread destinations` as an administrator runs it, on the test's database."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overread.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]
Probe = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The variables of an installation with one destination, pacs, at a port of this machine, and [[profiles]]."""

    def environment(
        *,
        port: int,
        profiles: list[dict[str, object]] | None = None,
        variables: dict[str, str] | None = None,
        **settings: object,
    ) -> dict[str, str]:
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port} | settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        return inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(tmp_path / "data"),
            "OVERREAD_DATABASE_URL": database_url,
            "OVERREAD_DESTINATIONS": json.dumps([pacs]),
            "OVERREAD_PROFILES": json.dumps(profiles or []),
            **(variables or {}),
        }

    return environment


@pytest.fixture
def destinations(site: Callable[..., dict[str, str]]) -> Run:
    """Runs `overread destinations …` as a process of its own."""

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "overread", "destinations", *arguments]
        return subprocess.run(command, env=site(**settings), capture_output=True, text=True, check=False, timeout=300)

    return run


@pytest.fixture
def probe(site: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Runs `overread destinations probe pacs --json`: the exit status, and what it printed.

    In this process: to load the encoders takes longer than to probe, and a process of its own has other tests.
    """
    levels = {name: logging.getLogger(name).level for name in ("pynetdicom", "pydicom", "highdicom")}

    def run(port: int, *options: str, **settings: object) -> tuple[int, dict[str, Any]]:
        printed, complained = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            for name, value in site(port=port, **settings).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["overread", "destinations", "probe", "pacs", "--json", *options])
            streams = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained)
            with streams[0], streams[1], pytest.raises(SystemExit) as left:
                main()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        assert complained.getvalue() == ""
        return int(left.value.code or 0), json.loads(printed.getvalue())

    return run
