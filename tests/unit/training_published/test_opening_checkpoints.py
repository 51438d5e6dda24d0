"""Checkpoints of strangers build tensors and nothing else, and are opened where there is nothing to steal."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from training.errors import ConversionFailed, TrainingError, UntrustedCheckpoint
from training.published import confined
from training.published.confined import convert_confined
from training.published.unpickling import read_whole_module

_STAND_INS = (("lung_segmentation", "PretrainedUNet"),)


class _Command:
    """What a hostile checkpoint holds: a call."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._mark}",)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_checkpoint_that_calls_a_command_is_not_opened(tmp_path: Path, legacy: bool) -> None:
    """The command is not run, in the old format and in the new one, and the sentence says that nothing was opened."""
    path, mark = tmp_path / "model.pt", tmp_path / "owned"
    torch.save(_Command(mark), path, _use_new_zipfile_serialization=not legacy)

    with pytest.raises(UntrustedCheckpoint, match="not on our list"):
        read_whole_module(path, _STAND_INS)

    assert not mark.exists()


def test_a_plain_pickle_and_noise_are_refused(tmp_path: Path) -> None:
    """Bytes that are no checkpoint end with the same sentence."""
    for content in (pickle.dumps(_Command(tmp_path / "owned")), b"", os.urandom(4096)):
        path = tmp_path / "model.pt"
        path.write_bytes(content)
        with pytest.raises(UntrustedCheckpoint):
            read_whole_module(path, _STAND_INS)
    assert not (tmp_path / "owned").exists()


def test_listed_layers_come_back_with_their_weights(tmp_path: Path) -> None:
    """What is on the list is read: a module of a class that we do not have, with a convolution in it."""
    kind = type("PretrainedUNet", (torch.nn.Module,), {"__module__": "lung_segmentation"})
    module = kind()
    module.first = torch.nn.Conv2d(1, 3, 1)
    path = tmp_path / "model.pt"
    _save_as(kind, module, path)

    weights = read_whole_module(path, _STAND_INS)

    assert torch.equal(weights["first.weight"], module.first.weight)


def _save_as(kind: type, module: torch.nn.Module, path: Path) -> None:
    """Pickle a module of a class that exists only while it is pickled."""
    import sys
    from types import ModuleType

    home = ModuleType("lung_segmentation")
    home.PretrainedUNet = kind  # type: ignore[attr-defined]
    sys.modules["lung_segmentation"] = home
    try:
        torch.save(module, path, _use_new_zipfile_serialization=False)
    finally:
        del sys.modules["lung_segmentation"]


def test_the_confined_process_refuses_in_a_sentence(tmp_path: Path) -> None:
    """A hostile checkpoint ends the child, and its reason reaches the user."""
    path = tmp_path / "0.pt"
    torch.save(_Command(tmp_path / "owned"), path)
    (tmp_path / "out").mkdir()

    with pytest.raises(TrainingError, match="not on our list"):
        convert_confined("lungs-radiograph", [path], tmp_path / "out")

    assert not (tmp_path / "owned").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_the_confined_process_writes_where_the_caller_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder beside the caller, as the command's own default is, is found by the child, which stands elsewhere."""
    site = tmp_path / "site" / "training"
    (site / "published").mkdir(parents=True)
    (site / "__init__.py").touch()
    (site / "published" / "__init__.py").touch()
    (site / "published" / "__main__.py").write_text(_COPYING)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    Path("in.pt").write_text("weights")
    Path("algorithms").mkdir()

    convert_confined("any", [Path("in.pt")], Path("algorithms"))

    assert (tmp_path / "algorithms" / "model.onnx").read_text() == "weights"
    with pytest.raises(ConversionFailed, match=r"ended with status 1: FileNotFoundError: .*absent"):
        convert_confined("any", [Path("in.pt")], Path("absent"))
    Path("full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as full:  # of which the command makes its sentence
        convert_confined("any", [Path("in.pt")], Path("full"))
    assert full.value.errno == errno.ENOSPC


_COPYING = """
import shutil, sys
full = sys.argv[2].endswith("full")
shutil.copy(sys.argv[3], sys.argv[2] + "/model.onnx" * (not full))
"""


def test_the_confined_process_has_no_settings_and_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in our environment does not reach it, and it may not take all memory."""
    monkeypatch.setenv("OVERREAD_DATABASE_URL", "postgresql://secret")
    spy = tmp_path / "spied"
    site = tmp_path / "site" / "training"
    (site / "published").mkdir(parents=True)
    (site / "__init__.py").touch()
    (site / "published" / "__init__.py").touch()
    own = Path(confined.__file__).with_name("__main__.py").read_text().replace("_main(sys", "_spy(sys")
    (site / "published" / "__main__.py").write_text(own.replace("def _main", _SPY + "\n\ndef _main"))
    (site / "errors.py").write_text("class TrainingError(Exception): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    with pytest.raises(ConversionFailed):
        convert_confined(str(spy), [], tmp_path)

    told = spy.read_text().splitlines()
    assert "secret" not in told[0]
    assert int(told[1]) == 20 * 2**30


_SPY = """
def _spy(name, folder, files):
    import os
    Path(name).write_text(f"{dict(os.environ)}\\n{resource.getrlimit(resource.RLIMIT_AS)[0]}\\n")
"""
