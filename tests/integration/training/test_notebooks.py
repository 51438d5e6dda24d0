"""The notebooks run from top to bottom on a small part of the data."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.peers.brain_mr import brain_mr_dataset

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small part of the brain-MR slices, where the notebooks look for it."""
    folder = brain_mr_dataset(tmp_path_factory.mktemp("notebooks") / "brain-mr", limit=240)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAIN_MR", str(folder))
        patch.setenv("EPOCHS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        yield folder


def test_both_notebooks_are_there() -> None:
    """The two that the documentation names, and each is run below."""
    assert [path.name for path in NOTEBOOKS] == ["data_exploration.ipynb", "model_training.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, dataset: Path) -> None:
    """Every cell succeeds, and at least one shows a picture."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": sys.executable, "language": "python"}

    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    """No image of the data set comes into the repository by way of a notebook."""
    notebook = nbformat.read(path, as_version=4)

    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
