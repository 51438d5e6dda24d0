"""`overread destinations` as an administrator runs it, on the test's database."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Probe = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def destinations(database_url: str, tmp_path: Path) -> Run:
    """Runs `overread destinations …` with one destination, pacs, at a port of this machine, and [[profiles]]."""

    def run(
        *arguments: str,
        port: int,
        profiles: list[dict[str, object]] | None = None,
        variables: dict[str, str] | None = None,
        **settings: object,
    ) -> subprocess.CompletedProcess[str]:
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port} | settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        environment = inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(tmp_path / "data"),
            "OVERREAD_DATABASE_URL": database_url,
            "OVERREAD_DESTINATIONS": json.dumps([pacs]),
            "OVERREAD_PROFILES": json.dumps(profiles or []),
            **(variables or {}),
        }
        command = [sys.executable, "-m", "overread", "destinations", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    return run


@pytest.fixture
def probe(destinations: Run) -> Probe:
    """Runs `overread destinations probe pacs --json`: the exit status, and what it printed."""

    def run(port: int, *options: str, **settings: object) -> tuple[int, dict[str, Any]]:
        done = destinations("probe", "pacs", "--json", *options, port=port, **settings)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    return run
