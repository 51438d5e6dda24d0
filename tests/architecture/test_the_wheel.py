"""What a built wheel carries."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from overread.published_algorithms import PUBLISHED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("overread-*.whl")
    return zipfile.ZipFile(built)


def test_a_wheel_carries_exactly_the_five_import_packages(wheel: zipfile.ZipFile) -> None:
    """Beside its metadata, a wheel has our five packages at the top, and nothing else."""
    top = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}

    assert top == {"listener", "inference", "storage", "training", "overread"}


def test_a_wheel_carries_the_statements_and_the_migrations(wheel: zipfile.ZipFile) -> None:
    """An installed Overread can upgrade its schema and claim jobs without a checkout beside it."""
    names = wheel.namelist()

    assert any(name.startswith("storage/postgres/statements/") and name.endswith(".sql") for name in names)
    assert "storage/postgres/migrations/env.py" in names
    assert any(name.startswith("storage/postgres/migrations/versions/") for name in names)


def test_a_wheel_carries_what_training_writes_from(wheel: zipfile.ZipFile) -> None:
    """An installed Overread can write the worked example's configuration, the evaluation report and the model card."""
    wanted = {"training/datasets/brain_mr.yaml", "training/evaluation/report.html.j2", "training/export/card.md.j2"}
    wanted |= {f"training/published/descriptions/{one.name}.{kind}" for one in PUBLISHED for kind in ("yaml", "md")}

    assert wanted <= set(wheel.namelist())
